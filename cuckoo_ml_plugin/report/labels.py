"""Family labels: what the host detected, what VirusTotal's engines say by AVClass, and what an analyst wrote.

AVClass is the method of Sebastian et al., "AVclass: A Tool for Massive Malware Labeling" (RAID 2016) and "AVClass2"
(ACSAC 2020), here by its authors' own package.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cuckoo_ml_plugin.report.report import Report

ANALYST: Final = "analyst"
HOST: Final = "host"
VIRUSTOTAL: Final = "virustotal"
SOURCES: Final = (ANALYST, HOST, VIRUSTOTAL)
"""Where labels come from, in order of precedence: the first source that has a label decides."""

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_MAX_FAMILY = 64
# Words, not families. Text that is split reads better than thirty quoted words.
_GENERIC: Final = frozenset(
    (  # noqa: SIM905
        "unknown none null na n/a singleton generic malware malicious suspicious trojan virus worm backdoor downloader "
        "dropper agent gen heur heuristic packed packer clean benign goodware undetected other false true"
    ).split()
)
_NOT_IN_FAMILY = re.compile(r"[^a-z0-9_.+-]+")


@dataclass(frozen=True, slots=True)
class Label:
    """A malware family, in lower case, and who says so: ``analyst``, ``host`` or ``virustotal``."""

    family: str
    source: str


def family_name(raw: str) -> str:
    """A family as it is compared: lower case, without spaces; empty if the name says nothing (``generic``)."""
    family = _NOT_IN_FAMILY.sub("", raw.strip().lower())[:_MAX_FAMILY]
    return "" if family in _GENERIC or len(family) < 2 else family


def labels_of(report: Report) -> list[Label]:
    """Every label that the report has, the host's in its order, then VirusTotal's. Empty if nothing names a family."""
    families = dict.fromkeys(family for raw in report.host_families if (family := family_name(raw)))
    labels = [Label(family, HOST) for family in families]
    if report.scans and (family := family_name(_avclass_family(report) or "")):
        labels.append(Label(family, VIRUSTOTAL))
    return labels


def best_label(labels: Iterable[Label]) -> Label | None:
    """The label that counts: the analyst's before the host's before VirusTotal's; of one source the first."""
    families: dict[str, Label] = {}
    for label in labels:
        families.setdefault(label.source, label)
    return first_by_source(families)


def first_by_source(by_source: Mapping[str, T]) -> T | None:
    """What the source of the highest precedence has; None where none of :data:`SOURCES` has anything."""
    return next((by_source[source] for source in SOURCES if source in by_source), None)


# --- AVClass ----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _avclass() -> Any | None:
    """AVClass with its own taxonomy, read once (a fifth of a second) and only when there are scans; None without it."""
    try:
        from avclass.common import AvLabels

        return AvLabels()
    except Exception as error:
        _LOG.warning("AVClass cannot be used, so VirusTotal scans give no labels: %s", error)
        return None


def _avclass_family(report: Report) -> str | None:
    """The first family, or unknown token, that more than one engine's label has, the most frequent first."""
    engines = _avclass()
    if engines is None:
        return None
    from avclass.common import SampleInfo

    sample = SampleInfo(report.md5 or "", report.sha1 or "", report.sha256 or "", _printable(report.scans), [])
    try:
        for tag, _ in engines.rank_tags(engines.get_sample_tags(sample)):
            if engines.taxonomy.get_category(tag) in ("FAM", "UNK"):
                return str(tag)
    except Exception as error:
        _LOG.warning("AVClass failed on the scans of %s: %s", report.target[:200], error)
    return None


def _printable(scans: Mapping[str, str]) -> list[tuple[str, str]]:
    """AVClass's input, each label bounded: there are about 70 engines, and none writes more than a line."""
    return [(engine, label[:200]) for engine, label in sorted(scans.items())[:200]]
