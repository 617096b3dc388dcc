"""The groups of a model and the place of an analysis among them: clusters, kin, and what became of them. NumPy only.

The nearest fitted behaviours of an analysis, with their distances and likenesses, come in; a cluster, a kin and how
certain each is go out. This room may import ``model.arrays``, ``model.neighbours`` and the rooms below ``model``.
"""
