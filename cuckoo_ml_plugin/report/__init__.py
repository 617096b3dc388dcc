"""Reports in: the files and results of Cuckoo 2.0 and CAPE become one :class:`~cuckoo_ml_plugin.report.report.Report`.

A report enters as a file (unpacked by ``packing``, decoded by ``decode``, by the partial schema in ``schema``) or as
the dictionary that a host holds in memory. ``report`` reads both in the same way; it calls ``static``, ``network``,
``call_log``, ``trace`` (Linux), ``android`` and ``threat_scores`` for their parts. ``values`` takes values of an
unknown type safely. ``labels`` reads families from a report, and ``writeback`` puts a finding back into a report file.

Reports come from malware, so every size has a limit, and damage in one section leaves the others readable.
The room imports ``plumbing`` and ``errors``. Of third parties it uses NumPy and msgspec, zstandard for what that
packed, and, for labels only, AVClass.
"""
