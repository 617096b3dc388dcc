"""Half of MalwareTrainingSets (Marco Ramilli, 2016) as Cuckoo reports: 3,120 labelled samples.

The archive holds a report for each sample, made from the published features. Their words are hashed; each hash is
written as syllables, so that it stays a word. No report names its label.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.support.labelled import LabelledReport, reports_of, table_of


def read_mts(folder: Path) -> Iterator[LabelledReport]:
    """The samples in the order of the table of labels.

    Args:
        folder: contains labels.tsv (analysis, label) and reports-half.zip.
    """
    labels = {row[0]: row[1] for row in table_of(folder / "labels.tsv")}
    return reports_of(folder / "reports-half.zip", labels)
