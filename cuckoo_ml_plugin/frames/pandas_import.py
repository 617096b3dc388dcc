"""pandas as ``pd`` for the frames' modules; where it is missing, the import raises a CuckooMLError that says so."""

from cuckoo_ml_plugin.plumbing.extras import optional_package

optional_package("pandas", "Data frames")

import pandas as pd  # noqa: E402 -- the line above turns an ImportError into a sentence

__all__ = ["pd"]
