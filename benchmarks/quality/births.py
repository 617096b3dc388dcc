"""Early births: whether a family that appears between two refits is noticed as a group, how early, and how purely.

    python -m benchmarks.quality.births [--data ../shared/data]

MLRan is replayed in the order in which its samples were first seen, with a refit every half year. Judged are the
families of 8 or more samples of which the first was seen from 2014 on. A refit notices a family with the first cluster
of 3 or more of its samples in which it is the majority; births notice it with the first such group that is shown.

RISS and MTS have no such days. There each large family is left out in turn; a model is fitted on 80 % of the others,
and the family arrives in random order among the other 20 %. A false birth is a group whose majority the fit knew.

Labels enter neither store nor fit. They judge the groups afterwards.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.quality.nearest import read_samples
from benchmarks.support.labelled import table_of
from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import Sample
from cuckoo_ml_plugin.engine.births import births, notice_birth, sample_of
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.fit.refit import refit
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.finding_record import FindingRecord

SMALLEST = 8
SMALLEST_LEFT_OUT = 20
KNOWN_FROM = 4  # samples in the fit from which on its family is a known one: the smallest cluster
GROUP = 3
FIRST_YEAR, LAST_YEAR = 2014, 2020
GOODWARE = "goodware"


@dataclass(frozen=True, slots=True)
class Notice:
    """When a family was noticed: the day, and how many of its samples had been seen."""

    day: str
    seen: int


@dataclass(slots=True)
class Group:
    """A group when it was first shown: the families of its analyses, and how many of its majority were fitted."""

    families: Counter[str]
    fitted: int

    @property
    def majority(self) -> str:
        return self.families.most_common(1)[0][0]

    @property
    def purity(self) -> float:
        return self.families.most_common(1)[0][1] / self.families.total()

    @property
    def kind(self) -> str:
        if self.majority == GOODWARE:
            return "goodware"
        return "known" if self.fitted >= KNOWN_FROM else "new"


@dataclass(slots=True)
class Stream:
    """A home to which analyses come one by one, and what was noticed."""

    engine: Engine
    families: dict[str, str]
    shown: dict[str, Group] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    fitted: Counter[str] = field(default_factory=Counter)
    by_births: dict[str, Notice] = field(default_factory=dict)
    by_refits: dict[str, Notice] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, sample: Sample, day: str) -> None:
        """Store, score and look at an analysis, as a host does."""
        self._put(sample)
        stored = self.engine.store.get(sample.analysis)
        assert stored is not None
        finding = self.engine.score(sample.behaviour, sample.analysis, None)
        began = perf_counter()
        notice_birth(self.engine, finding, sample.behaviour, sample.analysis, sample_of(stored))
        self.seconds.append(perf_counter() - began)
        record = FindingRecord.of(sample.analysis, finding.section())
        self.engine.store.save_findings([record] if record else [])
        self._judge(day)

    def fit(self, day: str) -> None:
        """Refit on all that was stored."""
        model = refit(self.engine.home, self.engine.store, Settings()).model
        self.fitted = Counter(self.seen)
        for families in _clusters(model, self.families):
            self._note(self.by_refits, families, day)

    def store_all(self, samples: Iterable[Sample]) -> None:
        """Store analyses that are not looked at, as before the first refit."""
        for sample in samples:
            self._put(sample)

    def _put(self, sample: Sample) -> None:
        self.engine.store.put([AnalysisRecord.of(sample.analysis, sample.report, sample.behaviour)])
        self.seen[sample.family] += 1

    def _judge(self, day: str) -> None:
        for group in births(self.engine):
            families = Counter(self.families[member.analysis] for member in group.members)
            if group.id not in self.shown:
                majority = families.most_common(1)[0][0]
                self.shown[group.id] = Group(families, self.fitted[majority])
            self._note(self.by_births, families, day)

    def _note(self, notices: dict[str, Notice], families: Counter[str], day: str) -> None:
        family, count = families.most_common(1)[0]
        if count >= GROUP and 2 * count > families.total() and family not in notices:
            notices[family] = Notice(day, self.seen[family])


def _clusters(model: Model, families: dict[str, str]) -> list[Counter[str]]:
    """The families of the analyses of each cluster."""
    counts: list[Counter[str]] = [Counter() for _ in model.clusters]
    for point, member in model.members.all():
        cluster = int(model.clustering.labels[point])
        if cluster != NOISE:
            counts[cluster][families[member.analysis]] += 1
    return counts


@contextmanager
def new_stream(samples: Sequence[Sample]) -> Any:
    """A stream into an empty home."""
    with tempfile.TemporaryDirectory() as folder:
        families = {sample.analysis: sample.family for sample in samples}
        yield Stream(Engine(Home(Path(folder) / "home").create()), families)


def replay(samples: Sequence[Sample], day_of: dict[str, str], console: Console) -> None:
    """Replay a corpus by its days; print what was noticed and when."""
    ordered = sorted(samples, key=lambda sample: (day_of[sample.analysis], sample.analysis))
    cuts = [f"{year}-{day}" for year in range(FIRST_YEAR, LAST_YEAR) for day in ("01-01", "07-01")]
    first_day: dict[str, str] = {}
    for sample in ordered:
        first_day.setdefault(sample.family, day_of[sample.analysis])
    sizes = Counter(sample.family for sample in ordered)
    judged = [family for family in first_day if sizes[family] >= SMALLEST and first_day[family] >= cuts[0]]
    with new_stream(samples) as stream:
        stream.store_all(sample for sample in ordered if day_of[sample.analysis] < cuts[0])
        for cut, end in track(list(zip(cuts, [*cuts[1:], f"{LAST_YEAR}-01-01"], strict=True)), "replaying"):
            stream.fit(cut)
            for sample in ordered:
                if cut <= day_of[sample.analysis] < end:
                    stream.add(sample, day_of[sample.analysis])
        stream.fit(f"{LAST_YEAR}-01-01")
        console.print(_families_table(judged, sizes, first_day, stream))
        console.print(_groups_sentence(stream))


def _families_table(
    judged: Sequence[str], sizes: Counter[str], first_day: dict[str, str], stream: Stream
) -> Table:  # fmt: skip
    table = Table(title="Samples seen, and days since the first, when a family was noticed: by refits, with births")
    for name in ("family", "first seen", "samples", "refits: seen", "days", "births: seen", "days"):
        table.add_column(name, justify="left" if name in ("family", "first seen") else "right")
    best: dict[str, list[tuple[int, int]]] = {"refits": [], "both": []}
    for family in judged:
        notices = [stream.by_refits.get(family), stream.by_births.get(family)]
        cells = []
        delays = []
        for notice in notices:
            if notice is None:
                cells += ["", ""]
                continue
            delay = (date.fromisoformat(notice.day) - date.fromisoformat(first_day[family])).days
            cells += [str(notice.seen), str(delay)]
            delays.append((delay, notice.seen))
        if notices[0] is not None:
            best["refits"].append(delays[0])
        if delays:
            best["both"].append(min(delays))
        table.add_row(family, first_day[family], str(sizes[family]), *cells)
    table.add_section()
    refits, both = (np.median(np.array(values), axis=0) if values else (np.nan, np.nan) for values in best.values())
    table.add_row(
        f"noticed of {len(judged)}; medians", "", "",
        f"{len(best['refits'])}; {refits[1]:.0f}", f"{refits[0]:.0f}",
        f"{len(best['both'])}; {both[1]:.0f}", f"{both[0]:.0f}",
    )  # fmt: skip
    return table


def _groups_sentence(stream: Stream) -> str:
    kinds = Counter(group.kind for group in stream.shown.values())
    purity = np.mean([group.purity for group in stream.shown.values()]) if stream.shown else np.nan
    milliseconds = np.array(stream.seconds) * 1e3
    return (
        f"Groups shown: {len(stream.shown)}, of new families {kinds['new']}, of families that the fit knew"
        f" {kinds['known']}, of goodware {kinds['goodware']}; purity {purity:.2f}. Analyses looked at:"
        f" {len(milliseconds):,}, in {milliseconds.mean():.1f} ms each, 99 % of them in at most"
        f" {np.quantile(milliseconds, 0.99):.1f} ms."
    )


def leave_out(samples: Sequence[Sample], name: str, console: Console) -> None:
    """Leave each large family out in turn; print how many are noticed, and how many groups are of known families."""
    samples = [sample for sample in samples if sample.behaviour.has_behaviour]
    sizes = Counter(sample.family for sample in samples)
    table = Table(title=f"{name}: a family that the fit does not know, among 20 % of the others in random order")
    for column in (
        "family",
        "samples",
        "noticed after",
        "groups of it",
        "known",
        "goodware",
        "of known analyses",
        "purity",
    ):
        table.add_column(column, justify="left" if column == "family" else "right")
    for family in sorted(family for family, size in sizes.items() if size >= SMALLEST_LEFT_OUT and family != GOODWARE):
        rng = np.random.default_rng(SEED)
        others = [sample for sample in samples if sample.family != family]
        held = set(rng.permutation(len(others))[int(0.8 * len(others)) :].tolist())
        arriving = [sample for i, sample in enumerate(others) if i in held]
        arriving += [sample for sample in samples if sample.family == family]
        with new_stream(samples) as stream:
            stream.store_all(sample for i, sample in enumerate(others) if i not in held)
            stream.fit("")
            for place in rng.permutation(len(arriving)).tolist():
                stream.add(arriving[place], "")
            kinds = Counter(group.kind for group in stream.shown.values())
            notice = stream.by_births.get(family)
            table.add_row(
                family, str(sizes[family]), str(notice.seen) if notice else "never",
                *(str(kinds[kind]) for kind in ("new", "known", "goodware")), str(len(held)),
                f"{np.mean([group.purity for group in stream.shown.values()]):.2f}" if stream.shown else "",
            )  # fmt: skip
    console.print(table)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    console = Console(width=120)
    day_of = {row[0]: row[2] for row in table_of(options.data / "mlran" / "labels.tsv")}
    mlran = read_samples(options.data, "MLRan before 2020")
    replay([sample for sample in mlran if sample.behaviour.has_behaviour], day_of, console)
    for name in ("RISS", "MTS, half"):
        leave_out(read_samples(options.data, name), name, console)


if __name__ == "__main__":
    main()
