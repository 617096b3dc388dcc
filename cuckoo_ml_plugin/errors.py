"""The errors that users see: each message is one sentence that names the file or setting and says what to do."""

from __future__ import annotations


class CuckooMLError(Exception):
    """Base of every error that this package raises on purpose.

    The command line prints the message alone and exits with 1; the hosts' modules put it into the section.
    """


class ReportError(CuckooMLError):
    """A report cannot be read: not there, not JSON, not a sandbox report, or beyond a stated limit."""


class StoreError(CuckooMLError):
    """The store cannot be opened, is from a newer version, or refused what was asked."""


class ModelError(CuckooMLError):
    """There is no such model, or its folder is incomplete, damaged or not one of ours."""


class SettingsError(CuckooMLError):
    """A setting in ``cuckooml.conf`` has a value that cannot be used."""


class BusyError(CuckooMLError):
    """Another process is doing what may only be done once at a time, such as a refit."""


class NotEnoughError(CuckooMLError):
    """There is too little in the store for what was asked, such as a first fit."""


class TableError(CuckooMLError):
    """A table of threat scores cannot be read, or holds what is no score."""
