"""A model and its corpus as something to look at: one ``Landscape``, which plots and the atlas draw.

An ``Engine`` with a model in force comes in. Out goes a ``Landscape``: analyses, clusters, scores, the condensed tree,
and the places of all behaviours on a map (``positions``, with ``islands``). ``similar_behaviours`` names the behaviours
most like each, ``behaviour_index`` what shows a given token, and ``colours`` gives each family its one colour.

This room may import ``fit``, ``engine``, ``model`` and the rooms below them; it draws nothing itself.
"""
