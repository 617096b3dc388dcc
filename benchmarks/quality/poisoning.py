"""Poisoning: how many files one source must send before its attack on the demo's model works.

    python -m benchmarks.quality.poisoning

Whoever may submit files to a sandbox tries to change what it says of other files. The source is a submitter whose files
come over ten days, or nobody by name whose files come on one day. A model is fitted on the demo's corpus, then again
with the files of the source. Listed is the least number of files with which an attack works, up to a tenth of the
corpus. docs/poisoning.md describes the attacks. The same command at an older commit measures that commit.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.engine.refit_due import refit_decision
from cuckoo_ml_plugin.finding.section import Finding
from cuckoo_ml_plugin.fit.corpus import read_corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.fit.refit import refit
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.intake.import_reports import import_reports
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.hashes import token_hash
from cuckoo_ml_plugin.report.labels import HOST, Label
from cuckoo_ml_plugin.report.report import Report, report_from_results
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.finding_record import FindingRecord
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import generate
from cuckoo_ml_samples.execute import execute
from cuckoo_ml_samples.malware.families import CINDERWIPE, GLACIERLOCK, Family
from cuckoo_ml_samples.report_formats import cuckoo2
from cuckoo_ml_samples.sample_files import make_sample

ANALYSES: Final = 300
FILES: Final = (1, 3, 6, 12, 20, 29)
"""How many files the source sends: below a tenth of the corpus."""
VICTIMS: Final = 12
HONEST: Final = 4
"""How many files of the imitated family others have labelled."""
FALSE_LABEL: Final = "goodsoft"
_LATER: Final = datetime(2016, 6, 23, 9)


@dataclass(frozen=True, slots=True)
class Source:
    """Whose files they are, and on how many days they come."""

    title: str
    submitter: str
    days: int


SOURCES: Final = (Source("one submitter, ten days", "mallory", 10), Source("nobody by name, one day", "", 1))


def reports_of(family: Family, count: int, seed: str) -> list[Report]:
    """Runs of new files of the family's first variant."""
    rng = Random(f"{SEED} {seed}")
    variant = family.variants[0]
    runs = (execute(make_sample(family, variant, rng), variant, rng) for _ in range(count))
    return [report_from_results(cuckoo2.render(run, 1, label=None, scanned=False)) for run in runs]


class Trial:
    """A home with the demo's corpus, without labels, to which a source sends files."""

    def __init__(self, prepared: Path, folder: Path, source: Source) -> None:
        shutil.copytree(prepared, folder, symlinks=True)
        self.home, self.source = Home(folder), source
        self.store = Store.open(folder / "store.db")
        self.sent = 0

    def send(self, reports: list[Report], label: str = "", machine: str | None = None, copies: bool = False) -> None:
        """Store files of the source, ``copies``: the first one again and again."""
        records = []
        for number, sent in enumerate(reports):
            report = reports[0] if copies else sent
            moment = _LATER + timedelta(days=number % self.source.days, minutes=self.sent)
            own = replace(
                report,
                submitter=self.source.submitter,
                analysed_at=moment.strftime("%Y-%m-%d %H:%M:%S"),
                machine=machine or report.machine,
            )
            labels = [Label(label, HOST)] if label else []
            records.append(AnalysisRecord.of(f"evil-{self.sent}", own, extract(report), labels))
            self.sent += 1
        self.store.put(records)

    def label_honestly(self, family: str, truth: dict[str, str]) -> None:
        """Labels of the host on files of a family, of different days."""
        members = sorted(analysis for analysis, of in truth.items() if of == family)
        days: dict[str, str] = {}
        for stored in self.store.get_many(members).values():
            days.setdefault((stored.analysed_at or "")[:10], stored.analysis)
        self.store.set_labels(dict.fromkeys(sorted(days.values())[:HONEST], family), source=HOST)

    def model(self, before: Model) -> Model:
        """A model of what is stored."""
        return fit_model(read_corpus(self.store), self.store, Settings(), before, lambda stage, text: None)[0]


def findings_of(model: Model, reports: list[Report]) -> list[Finding]:
    """What a model says of files that it has not seen."""
    return [model.score(extract(report)) for report in reports]


def most(answers: Iterator[bool]) -> bool:
    """Whether more than half are true."""
    return bool(np.mean(list(answers)) > 0.5)


def says_where_from(finding: Finding) -> bool:
    """Whether the finding says that its cluster is known from one source alone."""
    return finding.cluster is not None and bool(getattr(finding.cluster, "only_from", ""))


def makes_normal(trial: Trial, before: Model, count: int, copies: bool = False) -> bool:
    """The source sends files of a family that nobody knows; others of it are no longer anomalous."""
    trial.send(reports_of(CINDERWIPE, count, "sent"), copies=copies)
    victims = findings_of(trial.model(before), reports_of(CINDERWIPE, VICTIMS, "victims"))
    return most(bool(victim.anomaly) and not victim.anomaly.anomalous for victim in victims if victim.anomaly)


def is_known_cluster(trial: Trial, before: Model, count: int) -> bool:
    """... and others of it are in a cluster, of which nothing says that one source made it."""
    trial.send(reports_of(CINDERWIPE, count, "sent"))
    victims = findings_of(trial.model(before), reports_of(CINDERWIPE, VICTIMS, "victims"))
    return most(victim.cluster is not None and not says_where_from(victim) for victim in victims)


def copies_make_normal(trial: Trial, before: Model, count: int) -> bool:
    """The source sends one file again and again."""
    return makes_normal(trial, before, count, copies=True)


def names_a_cluster(trial: Trial, before: Model, count: int) -> bool:
    """Nobody has labelled a family; the source sends files of it that the host's rules name otherwise."""
    trial.send(reports_of(GLACIERLOCK, count, "sent"), FALSE_LABEL)
    return _is_named_falsely(trial.model(before))


def outvotes(trial: Trial, before: Model, count: int) -> bool:
    """Others have labelled files of the family, and the source sends labelled ones."""
    trial.send(reports_of(GLACIERLOCK, count, "sent"), FALSE_LABEL)
    return _is_named_falsely(trial.model(before))


def _is_named_falsely(model: Model) -> bool:
    victims = findings_of(model, reports_of(GLACIERLOCK, VICTIMS, "victims"))
    return most(victim.cluster is not None and victim.cluster.name.startswith(FALSE_LABEL) for victim in victims)


def starts_a_refit(trial: Trial, before: Model, count: int) -> bool:
    """The source sends anomalous files, and the drift starts a refit."""
    trial.send(reports_of(CINDERWIPE, count, "sent"))
    names = [f"evil-{number}" for number in range(count)]
    records = [FindingRecord(name, before.id, None, 0.0, 1.0, 1.0, True) for name in names]
    trial.store.save_findings(records)
    return "Drift: " in refit_decision(trial.home, trial.store, Settings()).reason


def becomes_background(trial: Trial, before: Model, count: int) -> bool:
    """The source sends files to a machine that nobody else uses; what they share no longer has weight anywhere."""
    sent = reports_of(CINDERWIPE, count, "sent")
    shared = set.intersection(*(set(extract(report).tokens) for report in sent))
    told = sorted(shared - set(extract(reports_of(GLACIERLOCK, 1, "other")[0]).tokens))
    trial.send(sent, machine="lonely")
    corpus = read_corpus(trial.store)
    columns = np.isin(corpus.hashes, np.array([token_hash(token) for token in told], np.uint64))
    return bool(corpus.background[columns].any())


Attack = Callable[[Trial, Model, int], bool]
ATTACKS: Final[tuple[tuple[str, Attack], ...]] = (
    ("variants make a new family normal", makes_normal),
    ("variants give it a cluster that looks known", is_known_cluster),
    ("copies of one file make it normal", copies_make_normal),
    ("labelled files name a cluster", names_a_cluster),
    (f"labelled files outvote {HONEST} labels of others", outvotes),
    ("anomalous files start a refit", starts_a_refit),
    ("files on a machine of their own hide behaviour", becomes_background),
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A home with the demo's corpus without labels, its model, and the family of each analysis."""

    home: Path
    before: Model
    truth: dict[str, str]
    analyses: int


def prepare(folder: Path, analyses: int = ANALYSES) -> Prepared:
    """Make the demo's corpus and a home of it."""
    corpus = generate(folder / "samples", analyses=analyses)
    home = Home(folder / "home")
    home.path.mkdir()
    with Store.open(home.path / "store.db") as store:
        import_reports(store, corpus.import_paths)
        labelled = store.labels_of([analysis.name for analysis in corpus.fitted])
        for source in sorted({source for labels in labelled.values() for source in labels}):
            store.set_labels(dict.fromkeys(sorted(labelled), None), source=source)
        refit(home, store, Settings())
        stored = store.count(with_behaviour=True)
    truth = {analysis.name: analysis.family for analysis in corpus.fitted}
    return Prepared(home.path, Model.load(home.models / "current"), truth, stored)


def works(attack: Attack, source: Source, count: int, prepared: Prepared) -> bool:
    """Whether an attack works with so many files."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(prepared.home, Path(folder) / "home", source)
        with trial.store:
            if attack is outvotes:
                trial.label_honestly(GLACIERLOCK.name, prepared.truth)
            return attack(trial, prepared.before, count)


def main() -> None:
    """Print the table."""
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as name:
        prepared = prepare(Path(name))
        title = f"least files, of {prepared.analyses} analyses"
        table = Table("attack", *(source.title for source in SOURCES), title=title)
        for attack_title, attack in track(ATTACKS, console=console, transient=True):
            row = [attack_title]
            for source in SOURCES:
                found = next((count for count in FILES if works(attack, source, count, prepared)), None)
                row.append(str(found) if found else f"none up to {FILES[-1]}")
            table.add_row(*row)
        console.print(table)


if __name__ == "__main__":
    main()
