"""The errors that users see. Each message is one sentence that names the file or setting and says what to do."""

from __future__ import annotations


class CuckooMLError(Exception):
    """The base of every error that this package raises on purpose.

    The command line prints the message alone and exits with 1; the modules in the hosts write it into the section.

    >>> from cuckoo_ml_plugin import CuckooMLError, Desk
    >>> try:
    ...     Desk("cuckoo-ml-demo").score("no-such-analysis")
    ... except CuckooMLError as error:
    ...     print(error)
    no-such-analysis: there is no such analysis in the store and no such file; check the id.
    """


class ReportError(CuckooMLError):
    """A report cannot be read: it is missing, not JSON, not a sandbox report, or beyond a limit."""


class StoreError(CuckooMLError):
    """The store cannot be opened, was written by a newer version, or refused to read or write."""


class ModelError(CuckooMLError):
    """There is no such model, or its folder is incomplete, damaged or no model's."""


class NoModelError(ModelError):
    """There is no model yet; the message says how many analyses are stored and needed, and what comes next."""


class SettingsError(CuckooMLError):
    """``cuckooml.conf`` cannot be read, or has a section, key or value that cannot be used."""


class BusyError(CuckooMLError):
    """Another process is at work that only one process may do at a time, such as a refit."""


class NotEnoughError(CuckooMLError):
    """The store holds too few analyses for the task, such as a first fit."""


class TableError(CuckooMLError):
    """A table of threat scores cannot be read, or holds values that are no scores."""


class MissingPackageError(CuckooMLError):
    """An optional part needs a package that is not installed; the message has the command that installs it."""
