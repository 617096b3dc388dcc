"""From the store to a model: everything that only a refit needs, with SciPy, scikit-learn and HDBSCAN.

The stored behaviours come in as one ``Corpus``; a published ``Model``, its lineage and updated findings go out. The way
through the room: ``corpus`` (tokens as a matrix), ``embedding`` (vectors), ``groups`` (clusters and kin), ``lineage``
(ids and names of groups from one model to the next), ``calibration`` and ``anomaly`` (scores), ``births`` (how alike
newcomers must be to make a group), ``providers`` (threat scores). ``fit_model`` puts them together, ``refit`` publishes
the result.

This room may import ``engine``, ``model``, ``finding``, ``store`` and the rooms below them. Nothing that runs for an
analysis or draws its page may import it.
"""
