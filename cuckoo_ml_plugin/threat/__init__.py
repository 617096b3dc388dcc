"""Scores that threat exchanges (VirusTotal and others) give to indicators: joined, compared, predicted from each other.

``noisy_or`` joins them. The study of a table is ``sources`` -> ``table`` -> ``levels`` -> ``correlations``, ``cubic``,
``boosting`` -> ``study`` -> ``tables``, ``plots``, ``page``.
"""
