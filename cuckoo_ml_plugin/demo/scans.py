"""What VirusTotal's scanners would say of a sample, each in its own way of naming."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from .run import Sample

# scanner, how it names a family, how often it has one; {F} family, {f} lower case, {L} a letter, {n} a number, {h} hex
_SCANNERS = (
    ("Kaspersky", "{kind}.Win32.{F}.{l}", 0.95),
    ("Microsoft", "{ms}:Win32/{F}.{L}", 0.9),
    ("ESET-NOD32", "a variant of Win32/{F}.{L}", 0.95),
    ("BitDefender", "Gen:Variant.{F}.{n}", 0.8),
    ("GData", "Gen:Variant.{F}.{n}", 0.8),
    ("Avast", "Win32:{F}-{L} [Trj]", 0.85),
    ("AVG", "Win32/{F}.{L}", 0.7),
    ("Sophos", "Troj/{F}-{L}", 0.8),
    ("DrWeb", "Trojan.{F}.{n}", 0.85),
    ("Symantec", "Trojan.{F}", 0.7),
    ("TrendMicro", "TROJ_{U}.SM{n}", 0.75),
    ("Fortinet", "W32/{F}.{L}!tr", 0.85),
    ("Ikarus", "Trojan.Win32.{F}", 0.8),
    ("Avira", "TR/{F}.{h}", 0.8),
    ("McAfee", "{F}!{h}{h}", 0.6),
    ("AhnLab-V3", "Trojan/Win32.{F}.R{n}", 0.7),
    ("Rising", "Trojan.{F}!1.{h}", 0.6),
    ("VBA32", "Trojan.{F}", 0.6),
    ("Panda", "Trj/{F}.{L}", 0.5),
    ("K7AntiVirus", "Trojan ( 00{h}{h}1 )", 0.9),
    ("CrowdStrike", "malicious_confidence_100% (W)", 0.9),
    ("Cylance", "Unsafe", 0.9),
    ("McAfee-GW-Edition", "BehavesLike.Win32.Generic.dh", 0.8),
    ("Paloalto", "generic.ml", 0.8),
    ("ClamAV", None, 0.0),
    ("Zoner", None, 0.0),
    ("Baidu", None, 0.0),
)
_KINDS = {
    "ransom": "Trojan-Ransom",
    "banker": "Trojan-Banker",
    "downloader": "Trojan-Downloader",
    "spyware": "Trojan-Spy",
    "worm": "Worm",
    "adware": "not-a-virus:AdWare",
    "dropper": "Trojan-Dropper",
}
_MICROSOFT = {
    "ransom": "Ransom",
    "banker": "PWS",
    "downloader": "TrojanDownloader",
    "spyware": "TrojanSpy",
    "worm": "Worm",
    "adware": "Adware",
    "dropper": "TrojanDropper",
}


class Scan(NamedTuple):
    scanner: str
    version: str
    result: str | None
    update: str


def overlooked(scans: list[Scan]) -> list[Scan]:
    """The same scans when the file is new to nearly all of them: one has a suspicion."""
    return [one._replace(result="generic.ml" if one.scanner == "Paloalto" else None) for one in scans]


def scan(sample: Sample, rng: Random, *, family: str | None) -> list[Scan]:
    """All scanners' verdicts; `family` is what those that know it call it (None: clean)."""
    scans = []
    for scanner, pattern, knows in _SCANNERS:
        result = None
        if family is not None and pattern is not None and rng.random() < knows:
            letter = rng.choice("ABCDEFGH")
            result = pattern.format(
                F=family.capitalize(),
                U=family.upper(),
                f=family,
                L=letter,
                l=letter.lower(),
                n=rng.randrange(100, 99_999),
                h=f"{rng.getrandbits(20):05x}",
                kind=_KINDS.get(sample.av_category, "Trojan"),
                ms=_MICROSOFT.get(sample.av_category, "Trojan"),
            )
        version = f"{rng.randrange(1, 20)}.{rng.randrange(10)}.{rng.randrange(1000)}.0"
        scans.append(Scan(scanner, version, result, f"201605{rng.randrange(10, 24)}"))
    return scans
