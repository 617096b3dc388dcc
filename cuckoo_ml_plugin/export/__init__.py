"""Files for other tools: CuckooML's own tables, Parquet, and one cluster as intelligence for MISP and STIX."""
