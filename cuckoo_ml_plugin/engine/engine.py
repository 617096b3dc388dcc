"""The engine: the settings, the store and the model of a home, opened when needed, and the finding for a report."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from cuckoo_ml_plugin.behaviour.absence import reason_for_absence
from cuckoo_ml_plugin.behaviour.behash import as_text
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.engine.past_analyses import Subject, past_of, put_verdict
from cuckoo_ml_plugin.engine.recalibration import Recalibration
from cuckoo_ml_plugin.engine.similar_analyses import similar_analyses, with_facts
from cuckoo_ml_plugin.errors import ModelError, NoModelError
from cuckoo_ml_plugin.finding.reasons import BIRTH, birth_reasons
from cuckoo_ml_plugin.finding.section import Finding, Reason, SimilarAnalysis
from cuckoo_ml_plugin.finding.seed import seed_section
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id, folder_in_force
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.model.providers import threat_finding
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity, Source, clean_id, source_key
from cuckoo_ml_plugin.plumbing.text import counted, storable
from cuckoo_ml_plugin.plumbing.times import day_of, today
from cuckoo_ml_plugin.report.labels import ANALYST, Label, best_label, labels_of
from cuckoo_ml_plugin.report.report import Report, read_report
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis
from cuckoo_ml_plugin.store.between_refits.marks import Mark
from cuckoo_ml_plugin.store.database import PATIENCE
from cuckoo_ml_plugin.store.store import Store

T = TypeVar("T")

_RUNS_OF_A_URL: Final = 3  # only the store knows URLs, so more analyses are looked at than are listed
_CLOCKS: Final = timedelta(minutes=10)  # by how much the clocks of several nodes may differ


class Engine:
    """Opens store and model when they are first needed, and loads a newly published model by itself."""

    def __init__(self, home: Home, *, patience: float = PATIENCE) -> None:
        """``patience``: seconds to wait for other writers of the store. Raises SettingsError."""
        self.home = home
        self.settings = home.settings()
        self._patience = patience
        self._store: Store | None = None
        self._model: Model | None = None
        self._recalibration: Recalibration | None = None
        self._mark: tuple[Model, Mark | None] | None = None
        self.loss_of_store = ""  # a sentence, once a new store was begun in place of one that was lost

    @property
    def store(self) -> Store:
        """The store. Raises StoreError."""
        if self._store is None:
            self.home.create()
            is_lost = self.store_is_lost()
            self._store = Store(self.home.store_url(self.settings), patience=self._patience)
            if is_lost:
                self.loss_of_store = (
                    f"{self.home.store_file}: the store is gone, with all that was stored, and a new one was begun;"
                    f" restore a backup ({self.home.command('restore', 'FILE', '--force')}), or import the reports"
                    " again."
                )
        return self._store

    def cut(self) -> None:
        """End what threads wait for in the store whose time is over: they get StoreError."""
        store = self._store
        if store is not None:
            store.cut()

    def again(self) -> Engine:
        """Another engine with the same settings and model, which opens the store anew."""
        engine = Engine.__new__(Engine)
        engine.home, engine.settings, engine._patience = self.home, self.settings, self._patience
        engine._store, engine._model, engine._recalibration = None, self._model, self._recalibration
        engine._mark, engine.loss_of_store = self._mark, self.loss_of_store
        return engine

    def store_is_lost(self) -> bool:
        """Whether there is no store though one was: a model was fitted on it."""
        in_home = not self.settings.store.url
        return in_home and not self.home.store_file.exists() and current_id(self.home.models) is not None

    @property
    def node(self) -> str:
        """The name of this node among those that share the store: from the settings, else the machine's host name."""
        return storable(self.settings.host.node or socket.gethostname(), 100)

    def model(self) -> Model | None:
        """The model in force, None before the first refit. Raises ModelError when it cannot be read."""
        current = current_id(self.home.models)
        if current is None:
            self._model = None
        elif self._model is None or self._model.id != current:
            self._model = _load(self.home, current)
        return self._model

    def require_model(self) -> Model:
        """The model in force. Raises ModelError; where there is none, NoModelError, which says what is missing."""
        model = self.model()
        if model is None:
            raise NoModelError(f"{self.home.path}: there is no model yet; {self.step_to_model()}")
        return model

    def step_to_model(self) -> str:
        """What comes before the first model: to import reports, more of them, or to refit. Raises StoreError.

        It counts what is stored, so that nobody is sent to do what he has just done.
        """
        stored = self.store.count() if self._has_store else 0
        if not stored:
            return f"nothing is stored, so import reports first: {self.home.command('import', 'FOLDER')}"
        known, needed = self.store.count(with_behaviour=True), self.settings.refit.min_analyses
        have = f"{counted(known, 'analysis', 'analyses')} with behaviour"
        without = f" (and {stored - known:,} with nothing to compare)" if stored > known else ""
        is_stored = "is stored" if stored == 1 else "are stored"
        if known >= needed:
            return f"{have}{without} {is_stored}, enough for the first one: {self.home.command('refit')}"
        meanwhile = "; meanwhile score, similar and compare answer without a model" if known else ""
        more = f"import at least {needed - known:,} more, or lower min_analyses of [refit] in {self.home.settings_file}"
        return f"{have}{without} {is_stored}, and a model needs {needed:,}: {more}{meanwhile}."

    def score_file(self, path: Path, analysis: str) -> Finding:
        """The finding for a report file. Raises ReportError, ModelError, StoreError."""
        report = read_report(path)
        return self.reading(lambda: self.score_report(report, analysis, path))

    def score_report(self, report: Report, analysis: str, path: Path | None = None) -> Finding:
        """The finding for a report that has been read; ``path``: its file. Raises ModelError, StoreError.

        What is stored of another analysis with the same id has no part in it.
        """
        stored = self._stored_id(report.identity, clean_id(analysis), path) if self._has_store else ""
        behaviour, sha256 = extract(report), (report.sha256 or "").lower() or None
        subject = Subject(stored, behaviour, sha256, day_of(report.analysed_at))
        return self.score(behaviour, stored, self.label(labels_of(report), stored), subject)

    def _stored_id(self, identity: Identity, analysis: str, path: Path | None) -> str:
        """The id under which the run of a report is stored, "" if it is not. Raises StoreError."""
        key = source_key(os.path.realpath(path)) if path is not None else ""
        of_path = dict(self.store.sources([key]).get(key, ())) if key else {}
        says_nothing = not (identity.started or identity.sample)
        for stored in self.store.get_many(of_path).values():
            is_same_file = path is not None and _is_unchanged(path, of_path[stored.analysis])
            # The file may hold several runs of one sample from one second; what a host stored, it knows by its own id.
            is_task = bool(stored.node) or stored.local_task in ("", identity.local_task)
            if is_task and stored.identity.is_of_run(identity) and (is_same_file or not says_nothing):
                return stored.analysis
        runs = [stored.analysis for stored in self.store.of_run(identity)]
        if runs:
            return analysis if analysis in runs else runs[0]
        by_id = self.store.get_many([analysis]).get(analysis)
        return analysis if by_id is not None and _may_be(by_id.identity, identity) else ""

    def label(self, labels: Iterable[Label], analysis: str) -> str | None:
        """The family of an analysis: the best of its report's labels and the analyst's. Raises StoreError."""
        best = best_label([*labels, *self._analyst_label(analysis)])
        return best.family if best else None

    def score(
        self, behaviour: Behaviour, analysis: str, label: str | None, subject: Subject | None = None
    ) -> Finding:  # fmt: skip
        """The finding for a behaviour. Raises ModelError, StoreError.

        ``subject``: what is known of the analysis beside its behaviour; by default, what the store has.
        """
        return self.reading(lambda: self._score(behaviour, analysis, label, subject))

    def reading(self, work: Callable[[], T]) -> T:
        """Do the work, with all that it reads of the store on one connection; it may be repeated. Raises StoreError."""
        return self.store.reading(work) if self._has_store else work()

    def _score(
        self, behaviour: Behaviour, analysis: str, label: str | None, subject: Subject | None = None
    ) -> Finding:  # fmt: skip
        model = self.model()
        limit = self.settings.scoring.similar
        if model is None:
            finding = self._no_model(behaviour)
        else:
            if self._has_store:
                self.recalibration(model).of_day(self.store, today())
            finding = self._score_by_model(model, behaviour, analysis, label, similar=_RUNS_OF_A_URL * limit)
        subject = subject or self._subject(behaviour, analysis)
        if finding.status in ("scored", "no_model") and behaviour.has_behaviour:
            similar = self.with_stored(finding.similar, behaviour, analysis, _RUNS_OF_A_URL * limit)
            finding.similar = with_facts(
                self.store if self._has_store else None, similar, analysis, subject.sha256,
                {facts.id: facts.name for facts in model.clusters} if model else {}, limit,
            )  # fmt: skip
        if finding.anomaly is not None and finding.cluster is None and analysis and self._has_store:
            finding.anomaly.reasons = self.with_birth_reason(finding.anomaly.reasons, analysis)
        store = self.store if self._has_store else None
        put_verdict(finding, past_of(store, finding, subject))
        return finding

    def _subject(self, behaviour: Behaviour, analysis: str) -> Subject:
        stored = self.store.get_many([analysis]).get(analysis) if analysis and self._has_store else None
        return Subject(analysis, behaviour) if stored is None else Subject.of(stored, behaviour)

    def with_birth_reason(self, reasons: list[Reason], analysis: str) -> list[Reason]:
        """The reasons, with the one of the group in the making of a stored analysis first. Raises StoreError."""
        group = self.store.birth_of(analysis)
        others = [reason for reason in reasons if reason.kind != BIRTH]
        if group is None or group.samples < self.settings.births.shown:
            return others
        return [*birth_reasons(group.samples, group.days), *others]

    def with_stored(
        self,
        similar: list[SimilarAnalysis],
        behaviour: Behaviour,
        analysis: str,
        limit: int,
        *,
        each_run: bool = False,
    ) -> list[SimilarAnalysis]:
        """The most alike of the model's similar analyses and of those stored after the fit, most alike first.

        Without a model, of all stored ones. Raises ModelError, StoreError.

        ``each_run``: whether to list every analysis of a sample that was stored after the fit.
        """
        if not self._has_store:
            return similar[:limit]
        model = self.model()
        since = self._fitted_until(model) if model is not None else None
        listed = {neighbour.analysis for neighbour in similar}
        stored = similar_analyses(self.store, behaviour, analysis, limit, since, each_run=each_run)
        unlisted = [neighbour for neighbour in stored if neighbour.analysis not in listed]
        return sorted([*similar, *unlisted], key=lambda neighbour: -neighbour.similarity)[:limit]

    def _fitted_until(self, model: Model) -> Mark | datetime:
        """Up to where the store was read for a fit; the time where the store does not know it. Raises StoreError."""
        if self._mark is None or self._mark[0] is not model:
            self._mark = model, self.store.mark_of(model.id)
        read_at = datetime.fromisoformat(model.facts["read_at"].replace("Z", "+00:00"))
        return self._mark[1] or read_at - _CLOCKS

    def score_without_store(self, behaviour: Behaviour, analysis: str, label: str | None) -> Finding:
        """The finding from the model alone, without analyses that are too new for it, as last recalibrated.

        Raises:
            ModelError: also when there is no model.
        """
        model = self.require_model()
        finding = self._score_by_model(model, behaviour, analysis, label, similar=self.settings.scoring.similar)
        put_verdict(finding, past_of(None, finding, Subject(analysis, behaviour)))
        return finding

    def _score_by_model(
        self, model: Model, behaviour: Behaviour, analysis: str, label: str | None, *, similar: int
    ) -> Finding:  # fmt: skip
        """The finding as last recalibrated, with so many similar analyses and without a verdict."""
        finding = self.recalibration(model).latest.score(
            behaviour,
            analysis=analysis,
            label=label,
            scoring=replace(self.settings.scoring, similar=similar),
            anomaly=self.settings.anomaly,
        )
        finding.behash = _behash_text(behaviour)
        return finding

    def recalibration(self, model: Model) -> Recalibration:
        """What becomes of a model as time passes; the same for as long as the model is in force."""
        if self._recalibration is None or self._recalibration.model is not model:
            self._recalibration = Recalibration(model)
        return self._recalibration

    def seed(self, section: Mapping[str, Any]) -> dict[str, Any]:
        """The section ``info.clustering.hdbscan`` that belongs to a section. Raises ModelError."""
        model = self.model()
        fitted = model.facts["settings"]["clustering"] if model else {}
        current = self.settings.clustering
        return seed_section(
            section,
            fitted.get("min_samples", current.min_samples),
            fitted.get("min_cluster_size", current.min_cluster_size),
        )

    def score_stored(self, analysis: str) -> Finding | None:
        """The finding for a stored analysis, None when it is not stored. Raises ModelError, StoreError."""
        stored = self.store.get(analysis)
        if stored is None:
            return None
        return self.score(self.behaviour_of(stored), analysis, stored.label)

    def behaviour_of(self, stored: StoredAnalysis) -> Behaviour:
        """The behaviour of an analysis that was read with it, and what travels with it. Raises StoreError."""
        return self.behaviours_of([stored])[0]

    def behaviours_of(self, analyses: Sequence[StoredAnalysis]) -> list[Behaviour]:
        """The behaviours of analyses that were read with them, with one question for what travels along.

        Raises StoreError.
        """
        scores = self.store.threat_scores_of([stored.analysis for stored in analyses])
        return [Behaviour(*stored.unpack(), scores.get(stored.analysis, []), stored.remark) for stored in analyses]

    @property
    def _has_store(self) -> bool:
        return self._store is not None or bool(self.settings.store.url) or self.home.store_file.exists()

    def _analyst_label(self, analysis: str) -> Iterable[Label]:
        if not self._has_store:
            return []  # opening the store would create it
        labels = self.store.labels_of([analysis]).get(analysis, {})
        return [Label(family, source) for source, family in labels.items() if source == ANALYST]

    def _no_model(self, behaviour: Behaviour) -> Finding:
        stored = self.store.count(with_behaviour=True) if self._has_store else 0
        needed = self.settings.refit.min_analyses
        remark = f"{reason_for_absence(behaviour)} ".lstrip()
        known = f"{counted(stored, 'analysis', 'analyses')} with behaviour {'is' if stored == 1 else 'are'} stored"
        step = f"and it needs {needed:,}" if stored < needed else "enough for the first one, which cuckoo-ml refit fits"
        return Finding(
            status="no_model",
            message=f"{remark}There is no model yet: {known}, {step}.",
            behash=_behash_text(behaviour),
            threat_scores=threat_finding(behaviour.scores, None),
            counts=behaviour.counts,
        )


def _behash_text(behaviour: Behaviour) -> str | None:
    return None if behaviour.behash is None else as_text(behaviour.behash)


def _load(home: Home, current: str) -> Model:
    """The model in force; when another is published while this one is read, that one. Raises ModelError."""
    while True:
        try:
            return Model.load(folder_in_force(home.models, current))
        except ModelError:
            published = current_id(home.models)
            if published is None or published == current:
                raise
            current = published


def _may_be(stored: Identity, report: Identity) -> bool:
    """Whether a stored analysis with the id of a report may be the same run: of the same sample, by what both know."""
    known = ((stored.local_task, report.local_task), (stored.started, report.started))
    is_of_sample = bool(report.sample) and stored.sample == report.sample
    return is_of_sample and not any(a and b and a != b for a, b in known)


def _is_unchanged(path: Path, source: Source) -> bool:
    """Whether a file is still as it was when it was read."""
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (source.size, source.mtime_ns)


def readable_model(home: Home) -> Model | None:
    """The model in force, None when there is none or it cannot be read: a damaged model must not stop a refit."""
    current = current_id(home.models)
    if current is None:
        return None
    try:
        model = Model.load(folder_in_force(home.models, current))
        model.require_members()
    except ModelError:
        return None
    return model
