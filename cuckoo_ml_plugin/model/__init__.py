"""A fitted model: it is read from its folder and scores a behaviour in a millisecond.

In comes a behaviour (tokens, counts, threat scores); out goes its finding: the cluster, the anomaly score with reasons,
the most similar fitted analyses, the evidence. ``fit`` makes models; ``model`` holds a module for each part of one
(``embedding``, ``clustering``, ``neighbours``, ``anomaly``, ``token_rows``, ``frequencies``, ``members``, ``fences``,
``providers``), the base of their arrays (``arrays``) and the folder on disk (``folder``).

May import ``finding`` and the rooms below it. It runs in every process of a sandbox: NumPy only, never SciPy or
scikit-learn.
"""
