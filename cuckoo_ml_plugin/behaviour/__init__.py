"""From a report to behaviour: the tokens and counts by which analyses are compared.

In comes a :class:`~cuckoo_ml_plugin.report.report.Report`, out goes a
:class:`~cuckoo_ml_plugin.behaviour.behaviour.Behaviour`: sorted tokens (``kind:value``) and counts. ``extract`` is the
entry point. It calls the room ``tokens`` for the tokens and ``counts`` for the counts. ``kinds`` lists every kind of
token. ``absence`` says why no sample acted. ``likeness`` says how alike two behaviours are, ``behash`` makes 128 bytes
of one, from which that is estimated.

The room imports ``report``, ``plumbing`` and ``errors``. Everything here runs once for each analysis, inside a
sandbox's worker: NumPy and xxhash are its only dependencies.
"""
