"""Small things that every room uses and that know nothing of malware: the lowest room but for ``errors``.

Each module defines one thing for the whole package: ``text`` (what is shown of a text, and what a database takes of
it), ``files`` (replacing a file whole), ``hashes`` (of tokens and behaviours), ``analysis_ids``, ``times``,
``csv_file``, ``ownership`` (root acts as the owner), ``interrupts`` (Ctrl-C and worker processes), ``commands``
(lines for users to paste) and ``extras`` (packages that may not be installed).

Plain values come in and go out. This room may import ``errors`` only. A test keeps second definitions out of the
package.
"""
