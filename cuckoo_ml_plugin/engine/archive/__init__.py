"""A home as one file, and back.

A home comes in, while its host works; an archive goes out, and from an archive a checked home. This room may import
``engine``, ``model``, ``store`` and the rooms below them.
"""
