"""The store: every analysis with its behaviour, labels, threat scores and latest finding, in SQLite or PostgreSQL.

A report with its behaviour and labels comes in as an ``AnalysisRecord``, a section as a ``FindingRecord``. Analyses go
out in the order of a corpus, one page at a time, and so do the lists and counts that pages and commands show.

:class:`~cuckoo_ml_plugin.store.store.Store` is the door. It consists of parts (labels, findings, lists, threat
scores, behashes) over one :class:`~cuckoo_ml_plugin.store.database.Database`; ``tables`` holds the schema and its
upgrades.

This room may import ``behaviour``, ``report`` and the rooms below them. It never imports SciPy or scikit-learn.
"""
