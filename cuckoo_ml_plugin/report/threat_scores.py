"""What threat exchanges said of an analysis's file, URLs, domains and addresses, as far as the host wrote it down.

Nothing is ever looked up from here. Of both hosts' reports VirusTotal's verdicts are read on the sample or URL and on
dropped files, and on domains and addresses where a module of the site's own puts them into ``network``; of CAPE's also
ReversingLabs, ``threatintelligence`` with its confidences, and ``detections``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from cuckoo_ml_plugin.plumbing.text import printable
from cuckoo_ml_plugin.report.values import hexadecimal, items, mapping, number, mappings, text, texts

MAX_SCORES: Final = 200  # of an analysis; the highest are kept
MAX_ENTRIES: Final = 5_000  # of one list in a report that are looked at
_MAX_NAME: Final = 300
_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_PASSED_ON: Final = frozenset(("virustotal", "threatintelligence"))  # detections that repeat another provider's
NOTHING: Final = "nothing"  # the kind of an indicator where a provider was asked and knew nothing


class ThreatScore(NamedTuple):
    """What one provider says of one indicator."""

    provider: str  # "virustotal", "threatfox", "reversinglabs", "detections", ...
    kind: str  # "file", "url", "domain", "ip", or NOTHING
    indicator: str  # a hash, a name, an address
    score: float  # in [0, 1]


def threat_scores(results: Mapping[str, Any]) -> tuple[ThreatScore, ...]:
    """All scores in a report's sections, an indicator once a provider (the highest counts). Never raises."""
    if not any(name in results for name in ("virustotal", "threatintelligence", "reversinglabs", "detections", "CAPE")):
        target = mapping(results.get("target"))
        dropped = mappings(results.get("dropped"))
        if "virustotal" not in mapping(target.get("file")) and not any("virustotal" in one for one in dropped):
            return ()
    best: dict[tuple[str, str, str], float] = {}
    for provider, kind, indicator, score in _all(results):
        key = (provider, kind, printable(indicator[:_MAX_NAME]))
        best[key] = max(best.get(key, 0.0), score)
    found = [ThreatScore(*key, score) for key, score in best.items()]
    if len(found) > MAX_SCORES:
        found = sorted(found, key=lambda one: -one.score)[:MAX_SCORES]
    return tuple(sorted(found))


def _all(results: Mapping[str, Any]) -> Iterator[ThreatScore]:
    target = mapping(results.get("target"))
    file = mapping(target.get("file"))
    sha256, url = hexadecimal(file.get("sha256"), 64), text(target.get("url"))
    kind, name = ("file", sha256) if sha256 else ("url", url)
    blocks = (results.get("virustotal"), file.get("virustotal"), mapping(results.get("url")).get("virustotal"))
    for block in blocks:
        yield from _virustotal(block, kind, name)
    for entry in _first(mappings(results.get("dropped"))):
        yield from _virustotal(entry.get("virustotal"), "file", hexadecimal(entry.get("sha256"), 64) or "")
    network = mapping(results.get("network"))
    for entry in _first(mappings(network.get("domains"))):
        yield from _virustotal(entry.get("virustotal"), "domain", text(entry.get("domain")))
    for entry in _first(mappings(network.get("hosts"))):
        yield from _virustotal(entry.get("virustotal"), "ip", text(entry.get("ip")))
    labs = mapping(results.get("reversinglabs"))
    if (share := _share(labs.get("detected"), labs.get("total"))) is not None:
        yield ThreatScore("reversinglabs", kind, name, share)
    yield from _intelligence(mapping(results.get("threatintelligence")))
    yield from _detections(results, kind, name)


def _first(entries: Iterable[Any]) -> Iterator[Any]:
    return islice(entries, MAX_ENTRIES)


def _virustotal(block: Any, kind: str, indicator: str) -> Iterator[ThreatScore]:
    """The share of engines that detect; a URL's own of ``detected_urls`` (VirusTotal's report on a domain)."""
    block = mapping(block)
    if not block or block.get("error"):
        return
    share = _share(block.get("positives"), block.get("total"))
    if share is None:
        share = _share_of_scans(block)
    if share is not None:
        yield ThreatScore("virustotal", kind, indicator, share)
    for entry in _first(mappings(block.get("detected_urls"))):
        if (share := _share(entry.get("positives"), entry.get("total"))) is not None:
            yield ThreatScore("virustotal", "url", text(entry.get("url")), share)


def _share(positives: Any, total: Any) -> float | None:
    """The share of those asked that say yes; None where nobody was asked, or the numbers contradict each other."""
    yes, asked = number(positives), number(total)
    if yes is None or not asked or not 0 <= yes <= asked:
        return None
    return yes / asked


def _share_of_scans(block: Mapping[str, Any]) -> float | None:
    """The same counted from ``scans``; CAPE leaves engines out of them that found nothing, so ``results`` go first."""
    asked = [bool(text(entry.get("sig"))) for entry in _first(mappings(block.get("results")))]
    if not asked:
        scans = [mapping(scan) for scan in _first(mapping(block.get("scans")).values())]
        asked = [scan["detected"] is True for scan in scans if "detected" in scan]
    return sum(asked) / len(asked) if asked else None


def _intelligence(section: Mapping[str, Any]) -> Iterator[ThreatScore]:
    """Confidences, of 100, by indicator and source; a source that was asked and knew nothing says 0."""
    found = set()
    by_indicator = mapping(mapping(section.get("indicators")).get("by_indicator"))
    for indicator, hits in _first(by_indicator.items()):
        for hit in _first(mappings(hits)):
            provider, confidence = _provider(hit.get("source")), number(hit.get("confidence_level"))
            if provider and confidence is not None and 0 <= confidence <= 100:
                found.add(provider)
                kind = text(hit.get("indicator_type")).lower()
                kind = {"hash": "file"}.get(kind, kind if kind in ("ip", "domain", "url") else "domain")
                yield ThreatScore(provider, kind, text(indicator), confidence / 100)
    for name in _first(items(mapping(section.get("providers")).get("indicator"))):
        provider = _provider(name)
        if provider and provider not in found:
            yield ThreatScore(provider, NOTHING, "", 0.0)


def _provider(value: Any) -> str:
    """A provider's name as a short word; nothing for what is none."""
    name = text(value).strip().lower()
    return name if _PROVIDER.fullmatch(name) else ""


def _detections(results: Mapping[str, Any], kind: str, indicator: str) -> Iterator[ThreatScore]:
    """1 where CAPE's own rules name a family, 0 where they looked and name none."""
    detections = results.get("detections")
    named = bool(texts(detections))
    for block in _first(mappings(detections)):
        by = {name.lower() for one in mappings(block.get("details")) for name in one if isinstance(name, str)}
        named = named or not by or bool(by - _PASSED_ON)
    if named or "CAPE" in results:
        yield ThreatScore("detections", kind, indicator, float(named))
