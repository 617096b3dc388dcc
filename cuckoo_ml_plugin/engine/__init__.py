"""A home in use: its settings, its store and its model in force, shared by commands, hosts and web pages.

In comes a report or a stored analysis; out goes its finding (``engine``). ``queries`` answers for lists of clusters and
anomalies, ``refit_due`` decides whether a refit is due, ``refresh`` brings the findings of past analyses up to date.
``births`` notices groups in the making, ``recalibration`` follows a drift between two refits.

May import ``model``, ``intake`` and the rooms below them. It never reaches SciPy or scikit-learn.
"""
