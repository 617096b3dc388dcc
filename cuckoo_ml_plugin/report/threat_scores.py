"""Threat scores: what threat exchanges and others say about an analysis's file, URLs, domains and addresses.

The scores are read from the report. Nothing is looked up online. From both hosts' reports come VirusTotal's verdicts on
the sample or URL and on dropped files, and those on domains and addresses if a module of the site adds them to
``network``. CAPE's reports also have ReversingLabs and ``threatintelligence`` with its confidences.

Not every provider is an exchange. CAPE's ``detections``, ``sigma`` and ``malscore`` are the sandbox's own judgement,
and ``similarity`` (MCRIT) compares code. :func:`origin_of` tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from cuckoo_ml_plugin.plumbing.text import printable
from cuckoo_ml_plugin.report.values import hexadecimal, items, mapping, mappings, number, text, texts

MAX_SCORES: Final = 200  # of an analysis; the highest ones are kept
MAX_ENTRIES: Final = 5_000  # that are used of one list in a report
_MAX_NAME: Final = 300
_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# Sources of CAPE's detections that are providers themselves; so are those of _CODE_SIMILARITY.
_PASSED_ON: Final = frozenset(("virustotal", "threatintelligence"))
_CODE_SIMILARITY: Final = "similarity/"

EXCHANGE: Final = "exchange"
SANDBOX: Final = "sandbox"
SIMILARITY: Final = "similarity"
DETECTIONS: Final = "detections"
SIGMA: Final = "sigma"
MALSCORE: Final = "malscore"
MCRIT: Final = "mcrit"
MALSCORE_MAX: Final = 10.0
_OTHER_ENGINE: Final = "similarity-"  # before the name of an engine of code similarity that is not MCRIT
SIGMA_LEVELS: Final = {"informational": 0.0, "low": 0.25, "medium": 0.5, "high": 0.75, "critical": 1.0}
"""Sigma's levels, which have an order and no probability, evenly spaced."""
_SECTIONS: Final = ("virustotal", "threatintelligence", "reversinglabs", "detections", "CAPE", "similarity", "sigma",
                    "malscore")  # fmt: skip
NOTHING: Final = "nothing"  # the kind of indicator for a provider that was asked and had no answer


class ThreatScore(NamedTuple):
    """One provider's score of one indicator."""

    provider: str  # "virustotal", "threatfox", "reversinglabs", "detections", "mcrit", ...
    kind: str  # "file", "url", "domain", "ip", or NOTHING
    indicator: str  # a hash, a name, an address
    score: float  # in [0, 1]


def origin_of(provider: str) -> str:
    """What a provider is: ``exchange``, ``sandbox`` (the host's own judgement) or ``similarity`` (of code)."""
    if provider in (DETECTIONS, SIGMA, MALSCORE):
        return SANDBOX
    return SIMILARITY if provider == MCRIT or provider.startswith(_OTHER_ENGINE) else EXCHANGE


def threat_scores(results: Mapping[str, Any]) -> tuple[ThreatScore, ...]:
    """All scores in a report; of several by one provider on one indicator, the highest. Never raises."""
    if not any(name in results for name in _SECTIONS):
        target = mapping(results.get("target"))
        dropped = mappings(results.get("dropped"))
        if "virustotal" not in mapping(target.get("file")) and not any("virustotal" in entry for entry in dropped):
            return ()
    best: dict[tuple[str, str, str], float] = {}
    for provider, kind, indicator, score in _reported_scores(results):
        key = (provider, kind, printable(indicator[:_MAX_NAME]))
        best[key] = max(best.get(key, 0.0), score)
    scores = [ThreatScore(*key, score) for key, score in best.items()]
    if len(scores) > MAX_SCORES:
        scores.sort(key=lambda score: -score.score)
        highest = {score.provider: score for score in reversed(scores)}  # so that a flood hides no provider
        scores = list(dict.fromkeys((*highest.values(), *scores)))[:MAX_SCORES]
    return tuple(sorted(scores))


def _reported_scores(results: Mapping[str, Any]) -> Iterator[ThreatScore]:
    target = mapping(results.get("target"))
    file = mapping(target.get("file"))
    sha256, url = hexadecimal(file.get("sha256"), 64), text(target.get("url"))
    kind, name = ("file", sha256) if sha256 else ("url", url)
    blocks = (results.get("virustotal"), file.get("virustotal"), mapping(results.get("url")).get("virustotal"))
    for block in blocks:
        yield from _virustotal(block, kind, name)
    for entry in _limited(mappings(results.get("dropped"))):
        if (share := _verdict(mapping(entry.get("virustotal")))) is not None:
            yield ThreatScore("virustotal", "file", hexadecimal(entry.get("sha256"), 64) or "", share)
    network = mapping(results.get("network"))
    for entry in _limited(mappings(network.get("domains"))):
        yield from _virustotal(entry.get("virustotal"), "domain", text(entry.get("domain")))
    for entry in _limited(mappings(network.get("hosts"))):
        yield from _virustotal(entry.get("virustotal"), "ip", text(entry.get("ip")))
    labs = mapping(results.get("reversinglabs"))
    if (share := _share(labs.get("detected"), labs.get("total"))) is not None:
        yield ThreatScore("reversinglabs", kind, name, share)
    yield from _intelligence(mapping(results.get("threatintelligence")))
    yield from _detections(results, kind, name)
    yield from _similarity(mapping(results.get("similarity")))
    if (level := _sigma_level(mapping(results.get("sigma")))) is not None:
        yield ThreatScore(SIGMA, kind, name, level)
    malscore = number(results.get("malscore"))
    # "Failed": the sample never ran, so that the 0 beside it is no judgement.
    if malscore is not None and 0 <= malscore <= MALSCORE_MAX and results.get("malstatus") != "Failed":
        yield ThreatScore(MALSCORE, kind, name, malscore / MALSCORE_MAX)


def _limited(entries: Iterable[Any]) -> Iterator[Any]:
    return islice(entries, MAX_ENTRIES)


def _virustotal(block: Any, kind: str, indicator: str) -> Iterator[ThreatScore]:
    """The share of engines that detect something, also for each URL in ``detected_urls`` (in a report on a domain)."""
    block = mapping(block)
    if not block or block.get("error"):
        return
    share = _verdict(block)
    if share is None:
        share = _share_of_scans(block)
    if share is not None:
        yield ThreatScore("virustotal", kind, indicator, share)
    for entry in _limited(mappings(block.get("detected_urls"))):
        if (share := _share(entry.get("positives"), entry.get("total"))) is not None:
            yield ThreatScore("virustotal", "url", text(entry.get("url")), share)


def _verdict(block: Mapping[str, Any]) -> float | None:
    """The share of engines that detect something, as VirusTotal states it. Of dropped files, nothing else is read."""
    return None if block.get("error") else _share(block.get("positives"), block.get("total"))


def _share(positives: Any, total: Any) -> float | None:
    """``positives`` / ``total``; None if ``total`` is missing or 0, or if the numbers contradict each other."""
    detecting, engines = number(positives), number(total)
    if detecting is None or not engines or not 0 <= detecting <= engines:
        return None
    return detecting / engines


def _share_of_scans(block: Mapping[str, Any]) -> float | None:
    """The share of engines, counted. ``results`` comes first: CAPE's ``scans`` lack the engines that found nothing."""
    detected = [bool(text(entry.get("sig"))) for entry in _limited(mappings(block.get("results")))]
    if not detected:
        scans = [mapping(scan) for scan in _limited(mapping(block.get("scans")).values())]
        detected = [scan["detected"] is True for scan in scans if "detected" in scan]
    return sum(detected) / len(detected) if detected else None


def _intelligence(section: Mapping[str, Any]) -> Iterator[ThreatScore]:
    """Confidences (of 100) by indicator and source. A source that was asked and had no answer scores 0."""
    answering = set()
    by_indicator = mapping(mapping(section.get("indicators")).get("by_indicator"))
    for indicator, hits in _limited(by_indicator.items()):
        for hit in _limited(mappings(hits)):
            provider, confidence = _provider(hit.get("source")), number(hit.get("confidence_level"))
            if provider and confidence is not None and 0 <= confidence <= 100:
                answering.add(provider)
                kind = text(hit.get("indicator_type")).lower()
                kind = {"hash": "file"}.get(kind, kind if kind in ("ip", "domain", "url") else "domain")
                yield ThreatScore(provider, kind, text(indicator), confidence / 100)
    for name in _limited(items(mapping(section.get("providers")).get("indicator"))):
        provider = _provider(name)
        if provider and provider not in answering:
            yield ThreatScore(provider, NOTHING, "", 0.0)


def _provider(value: Any) -> str:
    """An exchange's name, in lower case; empty if the value is not a name, or that of another kind of provider."""
    name = text(value).strip().lower()
    return name if _PROVIDER.fullmatch(name) and origin_of(name) == EXCHANGE else ""


def _detections(results: Mapping[str, Any], kind: str, indicator: str) -> Iterator[ThreatScore]:
    """1 if CAPE's own rules name a family, 0 if they ran and name none."""
    detections = results.get("detections")
    named = bool(texts(detections))
    for block in _limited(mappings(detections)):
        rules = {name.lower() for rule in mappings(block.get("details")) for name in rule if isinstance(name, str)}
        named = named or not rules or any(map(_is_own_rule, rules))
    if named or "CAPE" in results:
        yield ThreatScore(DETECTIONS, kind, indicator, float(named))


def _is_own_rule(name: str) -> bool:
    """Whether what named a family, in lower case, is CAPE's own, and not a provider whose answer CAPE repeats."""
    return name not in _PASSED_ON and not name.startswith(_CODE_SIMILARITY)


def _similarity(section: Mapping[str, Any]) -> Iterator[ThreatScore]:
    """The highest similarity (of 100 %) of each file's code with a family's, by engine; 0 if none of a family is alike.

    CAPE may promote such a family into ``detections``. The percentage is here, whether it does or not.
    """
    for engine, rows in _limited(mapping(section.get("results")).items()):
        name = text(engine).strip().lower()
        provider = name if name == MCRIT else f"{_OTHER_ENGINE}{name}"
        if not _PROVIDER.fullmatch(provider):
            continue
        for row in _limited(mappings(rows)):
            if row.get("status") not in ("ok", "no_match"):
                continue  # a time limit or an error is not a judgement
            similarities = [
                similarity
                for match in _limited(mappings(row.get("matches")))
                if text(match.get("family")) and (similarity := number(match.get("similarity"))) is not None
            ]
            highest = max((value for value in similarities if 0 <= value <= 100), default=0.0)
            yield ThreatScore(provider, "file", hexadecimal(row.get("sha256"), 64) or "", highest / 100)


def _sigma_level(section: Mapping[str, Any]) -> float | None:
    """The highest level of the Sigma rules that matched the event logs; 0 if none did, None if none was tried."""
    if not isinstance(section.get("detections"), (list, tuple)):
        return None
    levels = (text(entry.get("level")).strip().lower() for entry in _limited(mappings(section["detections"])))
    return max((SIGMA_LEVELS.get(level, 0.0) for level in levels), default=0.0)
