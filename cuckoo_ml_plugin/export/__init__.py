"""Files for other tools: CuckooML's CSV files, Parquet files, and a cluster as MISP event and STIX bundle.

Comes in: an engine with a model and its store. Goes out: files in a folder. `export_files` writes them all.
`clustering_results` gathers the fitted analyses, from which `seed_files` makes the CSV files; `parquet_files` reads the
store. `intelligence` gathers what leaves the sandbox of a cluster, from which `misp` and `stix` make their texts.

Imports `assess`, `fit`, `engine` and the rooms below them. PyArrow, PyMISP and stix2 are imported only when needed.
"""
