"""The public API from Python, by its older address; ``from cuckoo_ml_plugin import Desk`` gives the same class."""

from cuckoo_ml_plugin.frames.desk import Desk

__all__ = ["Desk"]
