"""pandas as ``pd`` for the frames' modules; where it is missing, the import raises a CuckooMLError that says so.

Here is also what makes the texts in a frame fit to show.
"""

from __future__ import annotations

from cuckoo_ml_plugin.plumbing.extras import optional_package
from cuckoo_ml_plugin.plumbing.text import printable_values

optional_package("pandas", "Data frames")

import pandas as pd  # noqa: E402 -- the line above turns an ImportError into a sentence

__all__ = ["pd", "shown"]


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose texts are printable; its index stays, because an analysis is asked for by its id."""
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            frame[name] = frame[name].map(printable_values)
    return frame
