"""Drift: how often known behaviour is anomalous after a fit, with the reference of the fit and with that of the day.

    python -m benchmarks.quality.drift [--data ../shared/data]

MLRan is replayed from fits every half year. Counted are the later analyses of families of which the fit knew 20 or
more, and of families of which it knew none, by the time since the fit.

RISS and MLRan are also shuffled: of each large family in turn a model is fitted on 60 % of the others, and the rest of
them come with the family in 12 days. From the third day on, each report may have more files, the same for all, as an
updater of the machine writes them. Counted are the analyses from the fifth day on. Labels judge, and nothing else.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.quality.nearest import read_samples
from benchmarks.support.labelled import table_of
from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import Sample, stored_corpus
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.likeness import TokenSets, likeness, token_sets
from cuckoo_ml_plugin.engine.births import birth_level
from cuckoo_ml_plugin.engine.recalibration import noted_of, reference_by, typical_of_clusters
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.model.drift import with_reference
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import SEED, ScoringSettings, Settings
from cuckoo_ml_plugin.store.between_refits.recent import RecentAnalysis

KNOWN_FROM = 20
DAYS, UPDATE, JUDGED_FROM = 12, 2, 4
UPDATES = (0, 5, 20)
FAMILIES = 3
GOODWARE = "goodware"
_ALONE = ScoringSettings(similar=1, evidence=0)


@dataclass(slots=True)
class Stream:
    """A model after its fit, and the analyses since then, without a store."""

    model: Model
    moved: Model
    level: float
    typical: dict[str, float]
    recent: list[RecentAnalysis] = field(default_factory=list)
    today: list[RecentAnalysis] = field(default_factory=list)
    newcomers: list[tuple[str, TokenSets, float]] = field(default_factory=list)
    grouped: set[str] = field(default_factory=set)

    @classmethod
    def after_fit(cls, samples: Sequence[Sample]) -> Stream:
        model = fit_model(stored_corpus(samples)[0], None, Settings(), None, lambda stage, text: None)[0]
        return cls(model, model, birth_level(model) or 1.0, typical_of_clusters(model))

    def new_day(self) -> None:
        """The reference of the day, by the analyses of the days before."""
        self.recent = [*reversed(self.today), *self.recent]
        self.today = []
        reference = reference_by(self.model, [r for r in self.recent if r.analysis not in self.grouped])
        self.moved = with_reference(self.model, reference) if len(reference) else self.model

    def scores(self, analysis: str, behaviour: Behaviour) -> tuple[float, float]:
        """The anomaly score with the reference of the fit and with that of the day."""
        finding = self.model.score(behaviour, scoring=_ALONE)
        if finding.anomaly is None:
            return 0.0, 0.0
        score, cluster = finding.anomaly.score, finding.cluster.id if finding.cluster else None
        self.today.append(noted_of(self.model, self.typical, analysis, analysis, score, cluster))
        known = finding.similar[0].similarity if finding.similar else 0.0
        if cluster is None and (finding.anomaly.anomalous or known < self.level):
            self._group(analysis, token_sets(behaviour.joined), known)
        if self.moved is self.model:
            return score, score
        moved = self.moved.score(behaviour, scoring=_ALONE).anomaly
        return score, moved.score if moved else 0.0

    def _group(self, analysis: str, own: TokenSets, known: float) -> None:
        for other, tokens, known_of_other in self.newcomers:
            value = likeness(own, tokens)
            if value >= self.level and value > max(known, known_of_other):
                self.grouped |= {analysis, other}
        self.newcomers.append((analysis, own, known))


def updated(behaviour: Behaviour, files: int) -> Behaviour:
    """A behaviour with more files, as an updater of the machine writes them."""
    more = (f"file_created:c:\\update\\part{number}.cab" for number in range(files))
    return Behaviour(sorted([*behaviour.tokens, *more]), behaviour.counts)


def replay(samples: Sequence[Sample], day_of: dict[str, str]) -> Table:
    """Shares of anomalous analyses by half year since the fit: fit's reference, then day's."""
    ordered = sorted(samples, key=lambda sample: (day_of[sample.analysis], sample.analysis))
    alarms: dict[tuple[str, int], list[tuple[bool, bool]]] = defaultdict(list)
    threshold = Settings().anomaly.threshold
    for cut in [f"{year}-{day}" for year in range(2014, 2020) for day in ("01-01", "07-01")]:
        fitted = [sample for sample in ordered if day_of[sample.analysis] < cut]
        known = Counter(sample.family for sample in fitted)
        stream, day = Stream.after_fit(fitted), ""
        for sample in ordered[len(fitted) :]:
            if day_of[sample.analysis] != day:
                day = day_of[sample.analysis]
                stream.new_day()
            plain, moved = stream.scores(sample.analysis, sample.behaviour)
            kind = _kind(sample.family, known)
            half = min((date.fromisoformat(day) - date.fromisoformat(cut)).days // 182, 2)
            alarms[kind, half].append((plain >= threshold, moved >= threshold))
    table = Table(title="MLRan by time: share of anomalous analyses, by the reference of the fit, and of the day")
    for column in ("families", "half year after the fit", "analyses", "fit's", "day's"):
        table.add_column(column, justify="left" if column == "families" else "right")
    for (kind, half), pairs in sorted(alarms.items()):
        if kind != "few known":
            name = ("first", "second", "later")[half]
            table.add_row(kind, name, f"{len(pairs):,}", *(f"{share:.3f}" for share in np.mean(pairs, axis=0)))
    return table


def _kind(family: str, known: Counter[str]) -> str:
    if family == GOODWARE:
        return "goodware"
    return f"{KNOWN_FROM} or more known" if known[family] >= KNOWN_FROM else "few known" if known[family] else "unknown"


def shuffled(samples: Sequence[Sample], name: str) -> Table:
    """Shares of anomalous analyses and the AUC of a family left out, after updates of the machine."""
    table = Table(
        title=f"{name}, shuffled: known that are anomalous, new that are, AUC; by the fit's reference, the day's"
    )
    for column in ("left out", "new files", "fit's: known", "new", "AUC", "day's: known", "new", "AUC"):
        table.add_column(column, justify="left" if column == "left out" else "right")
    sizes = Counter(sample.family for sample in samples)
    families = [family for family, size in sizes.most_common() if 20 <= size < 0.15 * len(samples)]
    for family in [family for family in families if family != GOODWARE][:FAMILIES]:
        rng = np.random.default_rng(SEED)
        others = [sample for sample in samples if sample.family != family]
        order = rng.permutation(len(others))
        cut = int(0.6 * len(others))
        stream = Stream.after_fit([others[i] for i in order[:cut]])
        arriving = [others[i] for i in order[cut:]] + [sample for sample in samples if sample.family == family]
        days = np.array_split(rng.permutation(len(arriving)), DAYS)
        for files in UPDATES:
            again = Stream(stream.model, stream.model, stream.level, stream.typical)
            known, new = _scores_of_days(again, ([arriving[i] for i in day] for day in days), family, files)
            cells = []
            for place in (0, 1):
                a, b = known[:, place], new[:, place]
                auc = roc_auc_score(np.repeat([0, 1], [len(a), len(b)]), np.concatenate([a, b]))
                threshold = Settings().anomaly.threshold
                cells += [f"{(a >= threshold).mean():.3f}", f"{(b >= threshold).mean():.3f}", f"{auc:.3f}"]
            table.add_row(family, str(files), *cells)
    return table


def _scores_of_days(
    stream: Stream, days: Iterable[list[Sample]], family: str, files: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores (k, 2) of known and of new analyses from the day on from which they are judged."""
    scores: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for number, day in enumerate(days):
        stream.new_day()
        for sample in day:
            behaviour = updated(sample.behaviour, files if number >= UPDATE else 0)
            pair = stream.scores(sample.analysis, behaviour)
            if number >= JUDGED_FROM:
                scores[sample.family == family].append(pair)
    return np.array(scores[0]), np.array(scores[1])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    console = Console(width=120)
    day_of = {row[0]: row[2] for row in table_of(options.data / "mlran" / "labels.tsv")}
    corpora = {}
    for name in ("RISS", "MLRan before 2020"):
        corpora[name] = [s for s in read_samples(options.data, name) if s.behaviour.has_behaviour]
        console.print(shuffled(corpora[name], name))
    console.print(replay(corpora["MLRan before 2020"], day_of))


if __name__ == "__main__":
    main()
