"""From vectors and tokens to the two levels of groups: clusters and kin.

The vectors (n, d), the tokens by aspect and the multiplicities of n behaviours come in; a ``Clustering`` and ``Kin`` go
out. The way through the room: ``alike`` (exact likeness of candidates, nearest first; ``pair_likeness`` where they are
many), ``neighbour_graph`` (the neighbours, by ``neighbour_cells`` where they are many, and their spanning tree),
``clustering`` (HDBSCAN by ``hdbscan_adapter``, certainties), ``kin`` (average linkage above the clusters).
``continuity`` keeps both as they were before, where what decides has hardly changed.

This room may import ``model``, ``behaviour`` and the rooms below them.
"""
