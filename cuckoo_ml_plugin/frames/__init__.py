"""The home as pandas frames, for notebooks and programs.

In: a home, and the reports that a caller names. Out: frames, findings, figures and the paths of written files, all as
methods of :class:`~cuckoo_ml_plugin.frames.desk.Desk`. The other modules hold the frames, by subject, as functions.

This room may import every room but ``cli``, ``api`` and ``hosts``. Only ``api`` and the package's root, which loads
it on demand, offer it to users. pandas is imported when the first frame is asked for.
"""
