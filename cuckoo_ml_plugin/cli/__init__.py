"""The command line, ``cuckoo-ml``: a module a group of commands, all over one ``Engine``."""

from cuckoo_ml_plugin.cli.main import main

__all__ = ["main"]
