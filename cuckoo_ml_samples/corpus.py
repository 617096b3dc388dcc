"""Lays out the demo's sample analyses on disk: two hosts' storage trees, shared reports, and new samples."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from cuckoo_ml_plugin.settings import SEED
from cuckoo_ml_samples.execute import execute, execute_nothing
from cuckoo_ml_samples.malware import blocks
from cuckoo_ml_samples.malware.families import (
    CINDERWIPE,
    FAMILIES,
    FERRYDROP,
    GLACIERLOCK,
    HOPWORM,
    ODDITIES,
    TARNRAT,
    VELMORA,
    Family,
    Variant,
)
from cuckoo_ml_samples.report_formats import cape, cuckoo2
from cuckoo_ml_samples.run import Run
from cuckoo_ml_samples.samples import make_sample

CUCKOO2_FIRST, CAPE_FIRST = 1001, 50001  # task ids of the two hosts do not overlap
_SHARED = 8  # reports that another laboratory sent
_NOISE = 6
_OVERLOOKED = 2  # of the new samples: the sandbox and a threat exchange know it, VirusTotal's scanners not yet
_BEGINNING = datetime(2016, 5, 23, 9, 0, 0)


@dataclass(frozen=True, slots=True)
class Analysis:
    """One report of the corpus and the truth about it."""

    name: str  # the task id, or the file's name without extension for a report from elsewhere
    path: Path
    family: str
    variant: str
    role: str  # member | outlier | noise | mislabelled | abnormal | new | novel


@dataclass(frozen=True, slots=True)
class DemoCorpus:
    folder: Path
    analyses: list[Analysis]
    labels: dict[str, str] = field(default_factory=dict)  # analysis -> what an analyst called it

    @property
    def new(self) -> list[Analysis]:
        """The samples to score after the fit."""
        return [analysis for analysis in self.analyses if analysis.role in ("new", "novel")]

    @property
    def fitted(self) -> list[Analysis]:
        return [analysis for analysis in self.analyses if analysis.role not in ("new", "novel")]

    @property
    def import_paths(self) -> list[Path]:
        """What `import` is given, in this order."""
        return [
            self.folder / "cuckoo2" / "storage" / "analyses",
            self.folder / "cape" / "storage" / "analyses",
            self.folder / "shared-reports",
        ]


@dataclass(slots=True)
class _Planned:
    run: Run
    role: str
    label: str | None = None  # a wrong label that scanners and rules give


def _known(family: Family) -> list[Variant]:
    return [variant for variant in family.variants if not variant.new]


def _share(families: tuple[Family, ...], total: int) -> list[tuple[Family, int]]:
    """Splits `total` by weight; the rounding's rest goes to the first families."""
    weight = sum(family.weight for family in families)
    counts = [total * family.weight // weight for family in families]
    for place in range(total - sum(counts)):
        counts[place % len(counts)] += 1
    return list(zip(families, counts, strict=True))


def _members(family: Family, count: int, seed: int) -> Iterator[_Planned]:
    """`count` analyses of a family: the first variant is the most common, some files come twice."""
    rng = Random(f"{seed} members of {family.name}")
    variants = _known(family)
    weights = [len(variants) - place + 1 for place in range(len(variants))]
    previous: _Planned | None = None
    for number in range(count):
        luck = rng.random()
        if previous is not None and luck < 0.03:  # the same recording again
            yield replace(previous)
            continue
        variant = variants[number] if number < len(variants) else rng.choices(variants, weights)[0]
        if previous is not None and luck < 0.07:  # the same file, run once more
            variant = next(v for v in variants if v.name == previous.run.sample.variant)
            sample = previous.run.sample
        else:
            sample = make_sample(family, variant, rng)
        previous = _Planned(execute(sample, variant, rng), "member")
        yield previous


def _special(seed: int) -> list[_Planned]:
    """Outliers, noise, one wrongly labelled sample, one with abnormal counts."""
    rng = Random(f"{seed} special")
    planned = [_Planned(execute(make_sample(f, f.variants[0], rng), f.variants[0], rng), "outlier") for f in ODDITIES]
    for number in range(_NOISE):
        family = FAMILIES[number % len(FAMILIES)]
        planned.append(_Planned(execute_nothing(make_sample(family, family.variants[0], rng), rng), "noise"))
    variant = VELMORA.variants[0]
    planned.append(_Planned(execute(make_sample(VELMORA, variant, rng), variant, rng), "mislabelled", GLACIERLOCK.name))
    variant = FERRYDROP.variants[0]
    flood = partial(blocks.write_many_files, folder="cache", count=1800)
    planned.append(_Planned(execute(make_sample(FERRYDROP, variant, rng), variant, rng, extra=(flood,)), "abnormal"))
    return planned


def _new(seed: int) -> list[_Planned]:
    """New variants of known families, and a family never seen in the fit."""
    rng = Random(f"{seed} new")
    planned = []
    for family in (GLACIERLOCK, VELMORA, TARNRAT, HOPWORM):
        variant = next(v for v in family.variants if v.new)
        planned.append(_Planned(execute(make_sample(family, variant, rng), variant, rng), "new"))
    variant = FERRYDROP.variants[1]
    planned.append(_Planned(execute(make_sample(FERRYDROP, variant, rng), variant, rng), "new"))
    variant = CINDERWIPE.variants[0]
    planned.append(_Planned(execute(make_sample(CINDERWIPE, variant, rng), variant, rng), "novel"))
    return planned


def _encode(report: dict[str, Any], indent: int) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=indent)


class _Writer:
    """Gives each planned analysis a host, a number and a file."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.analyses: list[Analysis] = []
        self._rng = Random(f"{seed} layout")
        self._next = {"cuckoo2": CUCKOO2_FIRST, "cape": CAPE_FIRST}
        self._clock = _BEGINNING

    def _render(self, planned: _Planned, host: str, *, overlooked: bool = False) -> tuple[int, bytes]:
        task = self._next[host]
        self._next[host] += 1
        self._clock += timedelta(minutes=self._rng.randrange(2, 15))
        run = replace(planned.run, started=self._clock)
        scanned = self._rng.random() < 0.85 or planned.label is not None or overlooked
        if host == "cuckoo2":
            return task, _encode(cuckoo2.render(run, task, label=planned.label, scanned=scanned), 4)
        old = self._rng.random() < 0.15 and not overlooked
        report = cape.render(run, task, label=planned.label, scanned=scanned, old=old, new=overlooked)
        return task, _encode(report, 2)

    def _note(self, name: str, path: Path, planned: _Planned, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        sample = planned.run.sample
        self.analyses.append(Analysis(name, path, sample.family, sample.variant, planned.role))

    def in_tree(self, planned: _Planned) -> None:
        host = self._rng.choice(("cuckoo2", "cape"))
        task, data = self._render(planned, host)
        self._note(
            str(task),
            self.folder / host / "storage" / "analyses" / str(task) / "reports" / "report.json",
            planned,
            data,
        )

    def shared(self, planned: _Planned, number: int) -> None:
        host = ("cuckoo2", "cape")[number % 2]
        _, data = self._render(planned, host)
        name = f"shared-{number + 1:03d}"
        packed = gzip.compress(data, compresslevel=3, mtime=0)
        self._note(name, self.folder / "shared-reports" / f"{name}.json.gz", planned, packed)

    def fresh(self, planned: _Planned, number: int) -> None:
        host = ("cape", "cuckoo2")[number % 2]
        _, data = self._render(planned, host, overlooked=number == _OVERLOOKED)
        name = f"new-{number + 1:02d}"
        self._note(name, self.folder / "new" / f"{name}.json", planned, data)


def _labels(analyses: list[Analysis], rng: Random) -> dict[str, str]:
    """An analyst has named a few, among them goodware that no scanner names."""
    members = [analysis for analysis in analyses if analysis.role == "member"]
    chosen = rng.sample(members, min(12, len(members)))
    chosen += [analysis for analysis in members if analysis.family in ("goodsetup", "paperdesk")][:6]
    return {analysis.name: analysis.family for analysis in sorted(chosen, key=lambda a: a.name)}


def _table(path: Path, header: str | None, rows: Iterable[tuple[str, ...]]) -> None:
    lines = ([header] if header else []) + ["\t".join(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def generate(
    folder: Path, *, analyses: int = 320, seed: int = SEED, progress: Callable[[int, int], None] | None = None
) -> DemoCorpus:
    """Writes the demo's corpus below `folder` and tells what is in it.

    `analyses` (at least 60) reports to fit and six new ones to score. The same seed writes the same bytes. Files:
    `cuckoo2/storage/analyses/N/reports/report.json`, `cape/storage/analyses/N/reports/report.json`,
    `shared-reports/*.json.gz`, `new/*.json`, `truth.tsv` (analysis, family, variant, role; with a header) and
    `labels.tsv` (analysis, label; without). `progress` is called with (written, total). Raises ValueError for too few
    analyses, OSError when the folder cannot be written.
    """
    if analyses < 60:
        raise ValueError(f"a demo corpus needs at least 60 analyses to have its families, not {analyses}")
    special = _special(seed)
    writer = _Writer(folder, seed)
    planned = [
        member
        for family, count in _share(FAMILIES, analyses - len(special))
        for member in _members(family, count, seed)
    ] + special
    Random(f"{seed} order").shuffle(planned)
    shared = [p for p in planned if p.role == "member"][:_SHARED]
    fresh = _new(seed)
    total = len(planned) + len(fresh)
    number = 0
    for entry in planned:
        if any(entry is other for other in shared):
            writer.shared(entry, number)
            number += 1
        else:
            writer.in_tree(entry)
        if progress is not None:
            progress(len(writer.analyses), total)
    for number, entry in enumerate(fresh):
        writer.fresh(entry, number)
        if progress is not None:
            progress(len(writer.analyses), total)
    labels = _labels(writer.analyses, Random(f"{seed} labels"))
    rows = [(a.name, a.family, a.variant, a.role) for a in writer.analyses]
    _table(folder / "truth.tsv", "analysis\tfamily\tvariant\trole", rows)
    _table(folder / "labels.tsv", None, labels.items())
    return DemoCorpus(folder, writer.analyses, labels)
