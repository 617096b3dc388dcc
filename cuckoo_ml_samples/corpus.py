"""Writes the demo's corpus: the storage trees of two hosts, shared reports, and new samples to score."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

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
from cuckoo_ml_samples.sample_files import make_sample

SEED = 20160523
_FIRST_TASKS = {"cuckoo2": 1001, "cape": 50001}  # the task ids of the two hosts do not overlap
_SHARED = 8  # reports that another laboratory sent
_NOISE = 6
_OVERLOOKED = 2  # index of the new sample that the sandbox and a threat exchange know, but VirusTotal's scanners do not
_BEGINNING = datetime(2016, 5, 23, 9, 0, 0)


@dataclass(frozen=True, slots=True)
class Analysis:
    """One report of the corpus and the truth about it."""

    name: str  # the task id; for a report from elsewhere the file name without its extension
    path: Path
    family: str
    variant: str
    role: str  # member | outlier | noise | mislabelled | abnormal | new | novel


@dataclass(frozen=True, slots=True)
class DemoCorpus:
    """A corpus on disk, with the truth about each of its analyses."""

    folder: Path
    analyses: list[Analysis]
    labels: dict[str, str] = field(default_factory=dict)  # analysis -> family that an analyst gave it

    @property
    def new(self) -> list[Analysis]:
        """The samples to score after the fit."""
        return [analysis for analysis in self.analyses if analysis.role in ("new", "novel")]

    @property
    def fitted(self) -> list[Analysis]:
        """The analyses to import before the fit."""
        return [analysis for analysis in self.analyses if analysis.role not in ("new", "novel")]

    @property
    def import_paths(self) -> list[Path]:
        """The paths to import, in this order."""
        return [
            self.folder / "cuckoo2" / "storage" / "analyses",
            self.folder / "cape" / "storage" / "analyses",
            self.folder / "shared-reports",
        ]


@dataclass(slots=True)
class _PlannedAnalysis:
    run: Run
    role: str
    wrong_label: str | None = None  # the wrong family that scanners and rules name


def _fitted_variants(family: Family) -> list[Variant]:
    return [variant for variant in family.variants if not variant.new]


def _family_sizes(families: tuple[Family, ...], total: int) -> list[tuple[Family, int]]:
    """Splits `total` by weight; the first families get what rounding leaves over."""
    weight = sum(family.weight for family in families)
    counts = [total * family.weight // weight for family in families]
    for index in range(total - sum(counts)):
        counts[index % len(counts)] += 1
    return list(zip(families, counts, strict=True))


def _plan_family(family: Family, count: int, seed: int) -> Iterator[_PlannedAnalysis]:
    """Plans `count` analyses of a family. The first variant is the most common; some files are analysed twice."""
    rng = Random(f"{seed} members of {family.name}")
    variants = _fitted_variants(family)
    weights = [len(variants) - index + 1 for index in range(len(variants))]
    previous: _PlannedAnalysis | None = None
    for number in range(count):
        chance = rng.random()
        if previous is not None and chance < 0.03:  # another analysis with the same recording
            yield replace(previous)
            continue
        variant = variants[number] if number < len(variants) else rng.choices(variants, weights)[0]
        if previous is not None and chance < 0.07:  # another run of the same file
            variant = next(variant for variant in variants if variant.name == previous.run.sample.variant)
            sample = previous.run.sample
        else:
            sample = make_sample(family, variant, rng)
        previous = _PlannedAnalysis(execute(sample, variant, rng), "member")
        yield previous


def _plan_special(seed: int) -> list[_PlannedAnalysis]:
    """Plans outliers, noise, one sample with a wrong label and one with abnormal counts."""
    rng = Random(f"{seed} special")
    planned = []
    for oddity in ODDITIES:
        variant = oddity.variants[0]
        planned.append(_PlannedAnalysis(execute(make_sample(oddity, variant, rng), variant, rng), "outlier"))
    for number in range(_NOISE):
        family = FAMILIES[number % len(FAMILIES)]
        planned.append(_PlannedAnalysis(execute_nothing(make_sample(family, family.variants[0], rng), rng), "noise"))
    variant = VELMORA.variants[0]
    run = execute(make_sample(VELMORA, variant, rng), variant, rng)
    planned.append(_PlannedAnalysis(run, "mislabelled", GLACIERLOCK.name))
    variant = FERRYDROP.variants[0]
    flood = partial(blocks.write_many_files, folder="cache", count=1800)
    run = execute(make_sample(FERRYDROP, variant, rng), variant, rng, extra=(flood,))
    planned.append(_PlannedAnalysis(run, "abnormal"))
    return planned


def _plan_new(seed: int) -> list[_PlannedAnalysis]:
    """Plans new variants of fitted families, and a family that no fit has seen."""
    rng = Random(f"{seed} new")
    planned = []
    for family in (GLACIERLOCK, VELMORA, TARNRAT, HOPWORM):
        variant = next(variant for variant in family.variants if variant.new)
        planned.append(_PlannedAnalysis(execute(make_sample(family, variant, rng), variant, rng), "new"))
    variant = FERRYDROP.variants[1]
    planned.append(_PlannedAnalysis(execute(make_sample(FERRYDROP, variant, rng), variant, rng), "new"))
    variant = CINDERWIPE.variants[0]
    planned.append(_PlannedAnalysis(execute(make_sample(CINDERWIPE, variant, rng), variant, rng), "novel"))
    return planned


def _encode(report: dict[str, Any], indent: int) -> bytes:
    import msgspec  # only here: the rest of the package needs nothing but the standard library

    return msgspec.json.format(msgspec.json.encode(report), indent=indent)


class _Writer:
    """Gives each planned analysis a host, a task id and a file."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.analyses: list[Analysis] = []
        self._rng = Random(f"{seed} layout")
        self._next_task = dict(_FIRST_TASKS)
        self._clock = _BEGINNING

    def _render(self, planned: _PlannedAnalysis, host: str, *, overlooked: bool = False) -> tuple[int, bytes]:
        task = self._next_task[host]
        self._next_task[host] += 1
        self._clock += timedelta(minutes=self._rng.randrange(2, 15))
        run = replace(planned.run, started=self._clock)
        scanned = self._rng.random() < 0.85 or planned.wrong_label is not None or overlooked
        if host == "cuckoo2":
            return task, _encode(cuckoo2.render(run, task, label=planned.wrong_label, scanned=scanned), 4)
        old = self._rng.random() < 0.15 and not overlooked
        report = cape.render(run, task, label=planned.wrong_label, scanned=scanned, old=old, new=overlooked)
        return task, _encode(report, 2)

    def _save(self, name: str, path: Path, planned: _PlannedAnalysis, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        sample = planned.run.sample
        self.analyses.append(Analysis(name, path, sample.family, sample.variant, planned.role))

    def write_to_host(self, planned: _PlannedAnalysis) -> None:
        """Writes the report where its host would: below the folder of its task."""
        host = self._rng.choice(("cuckoo2", "cape"))
        task, data = self._render(planned, host)
        self._save(
            str(task),
            self.folder / host / "storage" / "analyses" / str(task) / "reports" / "report.json",
            planned,
            data,
        )

    def write_shared(self, planned: _PlannedAnalysis, number: int) -> None:
        """Writes the report as another laboratory would send it: compressed, under another name."""
        host = ("cuckoo2", "cape")[number % 2]
        _, data = self._render(planned, host)
        name = f"shared-{number + 1:03d}"
        packed = gzip.compress(data, compresslevel=3, mtime=0)
        self._save(name, self.folder / "shared-reports" / f"{name}.json.gz", planned, packed)

    def write_new(self, planned: _PlannedAnalysis, number: int) -> None:
        """Writes the report of a sample that is to be scored after the fit."""
        host = ("cape", "cuckoo2")[number % 2]
        _, data = self._render(planned, host, overlooked=number == _OVERLOOKED)
        name = f"new-{number + 1:02d}"
        self._save(name, self.folder / "new" / f"{name}.json", planned, data)


def _choose_labels(analyses: list[Analysis], rng: Random) -> dict[str, str]:
    """The labels of an analyst for a few analyses, among them goodware, which no scanner names."""
    members = [analysis for analysis in analyses if analysis.role == "member"]
    chosen = rng.sample(members, min(12, len(members)))
    chosen += [analysis for analysis in members if analysis.family in ("goodsetup", "paperdesk")][:6]
    return {analysis.name: analysis.family for analysis in sorted(chosen, key=lambda analysis: analysis.name)}


def _write_table(path: Path, header: str | None, rows: Iterable[tuple[str, ...]]) -> None:
    lines = ([header] if header else []) + ["\t".join(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def generate(
    folder: Path, *, analyses: int = 320, seed: int = SEED, progress: Callable[[int, int], None] | None = None
) -> DemoCorpus:
    """Writes the demo's corpus below `folder`. The same seed gives the same bytes.

    Files: `cuckoo2/storage/analyses/N/reports/report.json`, `cape/storage/analyses/N/reports/report.json`,
    `shared-reports/*.json.gz`, `new/*.json`, `truth.tsv` (analysis, family, variant, role; with a header) and
    `labels.tsv` (analysis, label; without a header).

    Args:
        analyses: number of reports to fit, at least 60; six new ones to score are added.
        progress: called with the numbers of reports written and to write.

    Raises:
        ValueError: `analyses` is too small.
        OSError: the folder cannot be written.
    """
    if analyses < 60:
        raise ValueError(f"a demo corpus needs at least 60 analyses to have all its families; {analyses} are too few")
    special = _plan_special(seed)
    writer = _Writer(folder, seed)
    planned = [
        member
        for family, count in _family_sizes(FAMILIES, analyses - len(special))
        for member in _plan_family(family, count, seed)
    ] + special
    Random(f"{seed} order").shuffle(planned)
    shared = [analysis for analysis in planned if analysis.role == "member"][:_SHARED]
    new = _plan_new(seed)
    total = len(planned) + len(new)
    number = 0
    for analysis in planned:
        if any(analysis is other for other in shared):
            writer.write_shared(analysis, number)
            number += 1
        else:
            writer.write_to_host(analysis)
        if progress is not None:
            progress(len(writer.analyses), total)
    for number, analysis in enumerate(new):
        writer.write_new(analysis, number)
        if progress is not None:
            progress(len(writer.analyses), total)
    labels = _choose_labels(writer.analyses, Random(f"{seed} labels"))
    truth = [(analysis.name, analysis.family, analysis.variant, analysis.role) for analysis in writer.analyses]
    _write_table(folder / "truth.tsv", "analysis\tfamily\tvariant\trole", truth)
    _write_table(folder / "labels.tsv", None, labels.items())
    return DemoCorpus(folder, writer.analyses, labels)
