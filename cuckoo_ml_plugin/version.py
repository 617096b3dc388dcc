"""The version of the package. It has a module of its own so that no room imports the package's root."""

__version__ = "0.2.0"
