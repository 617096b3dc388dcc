"""The quality of a clustering: against labels, without them, under resampling, and beside other settings.

A model and the corpus that it was fitted on come in; an ``Assessment`` of the model in force (``assessment``) or a
``Sweep`` over settings and feature sets (``sweep``) goes out. Both rest on ``measures`` (against labels), ``validity``
(without labels), ``resampling`` (stability) and ``feature_sets``. Nothing is stored or published.

This room may import ``fit``, ``engine``, ``model`` and the rooms below them.
"""
