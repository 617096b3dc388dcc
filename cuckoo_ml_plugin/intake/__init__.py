"""The import: report files on disk become analyses in the store.

Paths of files and folders come in, and optionally an analyst's label file. ``find_reports`` lists the report files and
the ids of their analyses, ``import_reports`` reads them over all cores and stores what is new or has changed, and
``label_file`` applies the labels. Analyses in the store go out, with an
:class:`~cuckoo_ml_plugin.intake.import_reports.ImportResult` that says what was done.

``import_mongodb`` reads a host's past analyses from its MongoDB, where the calls are in a collection of their own.

The room imports ``store``, ``behaviour``, ``report``, ``plumbing`` and ``errors``, and joblib for the workers.
"""
