"""What is said of one analysis: the section ``cuckooml`` and the words in it.

In come the numbers that a model computes: scores, probabilities, shares of analyses, counts. Out go the parts of a
:class:`~cuckoo_ml_plugin.finding.section.Finding`: reasons in sentences, the evidence that is worth reading, the
disagreements of threat scores. ``section`` is the one definition of the report section and generates its JSON schema,
``section.schema.json``.

May import ``store`` and the rooms below it. It needs NumPy and msgspec, and it knows nothing of models or files.
"""
