"""From what a report says to the values of tokens: a module for each part of a report, and what normalises names.

In comes a :class:`~cuckoo_ml_plugin.report.report.Report`, out go the values of each kind in a
:class:`~cuckoo_ml_plugin.behaviour.tokens.token_values.TokenValues`. ``static``, ``dynamic``, ``processes``,
``network`` and ``dumps`` read the parts. ``normalise``, with ``volatile`` and ``addresses``, removes from a name what
only one run or one machine has, and ``background`` names what any machine does by itself.

The room imports ``report`` and ``plumbing``.
"""
