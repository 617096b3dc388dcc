"""The study of threat scores: how providers agree, what predicts one of them, and where score and prediction differ.

A table of scores comes in: a file (``reading``) or the stored analyses by group (``groups``). ``study`` joins it by
domain and device (``levels``, ``noisy_or``) and fits the models (``correlations``, ``cubic``, ``boosting``). Out go
tables, plots and one page (``result_tables``, ``plots``, ``study_files``), and the study as JSON.

This room may import ``store``, ``report`` and the rooms below them. It needs no model; the order of its modules is
checked.
"""
