"""Family labels: from the host's detections, from VirusTotal's engines by AVClass, and from an analyst.

AVClass is the method of Sebastian et al., "AVclass: A Tool for Massive Malware Labeling" (RAID 2016) and "AVClass2"
(ACSAC 2020). The package is its authors' own.
"""

from __future__ import annotations

import functools
import logging
import re
import warnings
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
# Words that name no family.
_GENERIC: Final = frozenset(
    (  # noqa: SIM905
        "unknown none null na n/a singleton generic malware malicious suspicious trojan virus worm backdoor downloader "
        "dropper agent gen heur heuristic packed packer clean benign goodware undetected other false true"
    ).split()
)
_NOT_IN_FAMILY = re.compile(r"[^a-z0-9_.+-]+")


@dataclass(frozen=True, slots=True)
class Label:
    """A malware family in lower case, and the source of the label: ``analyst``, ``host`` or ``virustotal``.

    >>> from cuckoo_ml_plugin import Desk
    >>> Desk("cuckoo-ml-demo").labels_of("cuckoo-ml-demo/demo/new/new-02.json")
    [Label(family='velmora', source='virustotal')]
    """

    family: str
    source: str


def family_name(raw: str) -> str:
    """A family's name for comparison: lower case, without spaces; empty for a name such as ``generic``."""
    family = _NOT_IN_FAMILY.sub("", raw.strip().lower())[:_MAX_FAMILY]
    return "" if family in _GENERIC or len(family) < 2 else family


def labels_of(report: Report) -> list[Label]:
    """All labels in the report: the host's in its order, then VirusTotal's."""
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
    """AVClass with its own taxonomy, or None if it cannot be loaded. Loading takes 0.2 s and happens at most once."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # from Python 3.12 on, where its source is not compiled yet
            from avclass.common import AvLabels

        return AvLabels()
    except Exception as error:
        _LOG.warning("AVClass cannot be used, so VirusTotal scans give no labels: %s", error)
        return None


def _avclass_family(report: Report) -> str | None:
    """The most frequent family, or unknown word, in the labels of more than one engine."""
    avclass = _avclass()
    if avclass is None:
        return None
    from avclass.common import SampleInfo

    sample = SampleInfo(report.md5 or "", report.sha1 or "", report.sha256 or "", _engine_labels(report.scans), [])
    try:
        for tag, _ in avclass.rank_tags(avclass.get_sample_tags(sample)):
            if avclass.taxonomy.get_category(tag) in ("FAM", "UNK"):
                return str(tag)
    except Exception as error:
        _LOG.warning("AVClass failed on the scans of %s: %s", report.target[:200], error)
    return None


def _engine_labels(scans: Mapping[str, str]) -> list[tuple[str, str]]:
    """The input of AVClass, bounded: there are about 70 engines, and each writes one line at most."""
    return [(engine, label[:200]) for engine, label in sorted(scans.items())[:200]]
