"""MLRan (arXiv 2505.18613) before 2020 as Cuckoo reports: 2,830 samples, of which 979 are ransomware.

The archive holds a report for each sample, made from its 483 published features. The authors chose these features with
the labels in sight: compare methods on this corpus, and quote no absolute figures. No report names its family.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.support.labelled import LabelledReport, reports_of, table_of


def read_mlran(folder: Path) -> Iterator[LabelledReport]:
    """The samples in the order of the table of labels; goodware has the family ``goodware``.

    Args:
        folder: contains labels.tsv (analysis, family, day first seen, source) and reports-before-2020.zip.
    """
    families = {row[0]: row[1] for row in table_of(folder / "labels.tsv")}
    return reports_of(folder / "reports-before-2020.zip", families)


def read_days(folder: Path) -> dict[str, str]:
    """The day on which each sample was first seen, as YYYY-MM-DD, by its analysis."""
    return {row[0]: row[2] for row in table_of(folder / "labels.tsv")}
