"""Report files: from the bytes of a file to the sections that are read of it, and back.

A path comes in, and the sections of its report, or of each of its reports, go out as plain dictionaries. ``packing``
unpacks compressed files within bounds, ``decode`` tells the forms that JSON comes in, ``schema`` names the keys that
are read. ``writeback`` puts a section into a report file, whole or not at all.

The room imports ``report.values``, ``plumbing`` and ``errors``. It knows nothing of what the sections mean.
"""
