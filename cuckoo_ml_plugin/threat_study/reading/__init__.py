"""From a CSV or Parquet file to a ``ScoreTable``, or to one sentence that names the file, line and column.

``sources`` yields the rows of a file, ``cells`` reads the numbers of a column, ``score_table`` puts them together.
These modules may import ``plumbing`` and ``errors`` only.
"""
