"""The refit, from the store to a published model, and the rollback to an older one; one at a time for each home.

What fits is imported when a model is fitted: a rollback, and a refit that is not due, need no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.model_lock import alone
from cuckoo_ml_plugin.errors import ModelError, StoreError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id, folder_in_force, list_models, prune, publish, write_model
from cuckoo_ml_plugin.model.groups.kin import NO_KIN
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.text import counted
from cuckoo_ml_plugin.settings import Settings
from cuckoo_ml_plugin.store.finding_record import FindingRecord
from cuckoo_ml_plugin.store.store import Store

if TYPE_CHECKING:
    from cuckoo_ml_plugin.fit.corpus import Progress
    from cuckoo_ml_plugin.fit.fit_model import StageProgress
    from cuckoo_ml_plugin.fit.lineage import Lineage

_BATCH: Final = 200  # findings of analyses outside the fit, each of which takes milliseconds


@dataclass(frozen=True, slots=True)
class RefitResult:
    """The model in force, its lineage, and the ids of analyses that were left out because their record is damaged."""

    model: Model
    lineage: Lineage
    damaged: list[str]


def refit(home: Home, store: Store, settings: Settings, progress: StageProgress | None = None) -> RefitResult:
    """Fit a model on all stored analyses, publish it, and bring the findings in the store up to date.

    Raises:
        BusyError: another command changes the models.
        NotEnoughError: too few analyses are stored.
        StoreError, ModelError, CuckooMLError: see :func:`~cuckoo_ml_plugin.fit.fit_model.fit_model`. The model before
            stays in force.
    """
    from cuckoo_ml_plugin.fit.corpus import read_corpus
    from cuckoo_ml_plugin.fit.fit_model import fit_model, require_enough

    tell_stage = progress or _ignore_stage
    with alone(home):
        store.fill_behashes()  # of a store that an earlier version wrote
        read_at, mark = datetime.now(timezone.utc), store.mark()
        corpus = read_corpus(store)
        read = counted(len(corpus.analyses), "analysis", "analyses")
        tell_stage("read", f"{read}, {counted(corpus.tokens.shape[0], 'distinct behaviour')}")
        require_enough(len(corpus.analyses), settings)
        before = _model_before(home)
        if before is None and current_id(home.models) is not None:
            tell_stage("lineage", "no model before can be read, so that clusters and kin get new ids and names")
        model, lineage = fit_model(corpus, store, settings, before, tell_stage)
        model = model.with_facts(read_at=read_at.isoformat())
        write_model(home.models, model.id, _facts_on_disk(model), model.arrays())
        store.keep_mark(model.id, mark, [facts["folder"] for facts in list_models(home.models)])
        _put_in_force(home, store, model, settings, tell_stage)
        prune(home.models, settings.refit.keep_models)
        return RefitResult(model, lineage, corpus.damaged)


def _model_before(home: Home) -> Model | None:
    """The model in force, from which clusters have their ids; where it is damaged, the newest that is not."""
    names = [str(facts["folder"]) for facts in reversed(list_models(home.models))]
    current = current_id(home.models)
    folders = [folder_in_force(home.models, current)] if current is not None else []
    for folder in (*folders, *(home.models / name for name in names if name != current)):
        with suppress(ModelError):
            model = Model.load(folder, from_before=True)
            model.require_members()
            return model
    return None


def _put_in_force(
    home: Home,
    store: Store,
    model: Model,
    settings: Settings,
    tell_stage: StageProgress,
    progress: Progress | None = None,
) -> None:
    """Publish a model and bring the findings up to date; :func:`finish_findings` completes it after a kill."""
    store.note_model_of_findings("")
    publish(home.models, model.id)
    tell_stage("publish", f"model {model.id} is in force")
    tell_stage("findings", f"{_update_findings(home, store, model, settings, progress):,} findings brought up to date")


def _update_findings(
    home: Home, store: Store, model: Model, settings: Settings, progress: Progress | None = None
) -> int:
    saved = save_findings(store, model, settings)
    scored = _scored_again(home, store, model, progress)
    while batch := list(islice(scored, _BATCH)):  # what a kill leaves undone is little
        saved += store.save_findings(batch)
    store.drop_settled_newcomers()
    store.drop_recent(str(model.facts["fitted_at"]))
    store.note_model_of_findings(model.id)
    return saved


def _scored_again(home: Home, store: Store, model: Model, progress: Progress | None) -> Iterator[FindingRecord]:
    """Findings of analyses outside the fit whose stored finding another model gave, by the model in force."""
    others = store.scored_by_other_models(model.id)
    engine = Engine(home)
    for done, analysis in enumerate(others, 1):
        finding = None
        with suppress(StoreError):  # an analysis with a damaged record keeps its finding
            finding = engine.score_stored(analysis)
        if finding is not None and (record := FindingRecord.of(analysis, finding.section())) is not None:
            yield record
        if progress is not None:
            progress(done, len(others))


def finish_findings(home: Home, store: Store, settings: Settings) -> int:
    """Complete a refit or rollback that was killed; return how many findings were brought up to date.

    Raises BusyError, ModelError, StoreError.
    """
    current = current_id(home.models)
    if current is None or store.findings_are_of(current):
        return 0
    with alone(home):
        current = current_id(home.models)
        if current is None or store.findings_are_of(current):  # another has done it meanwhile
            return 0
        return _update_findings(home, store, Model.load(home.models / current), settings)


def _ignore_stage(stage: str, outcome: str) -> None:
    """The progress of a refit that nobody follows."""


def _facts_on_disk(model: Model) -> dict[str, Any]:
    facts = {key: value for key, value in model.facts.items() if key != "id"}
    return facts | {"clusters": msgspec.to_builtins(model.clusters), "kins": msgspec.to_builtins(model.kins)}


def save_findings(store: Store, model: Model, settings: Settings) -> int:
    """Save the findings of all analyses that a model was fitted on. A repeat of a behaviour is never anomalous.

    Those that have one of this model already, from before a kill or from a host, keep it.
    """
    scores = model.fitted_scores
    calibrated = model.detector.is_calibrated
    repeats = np.diff(model.members.starts) > 1
    anomalous = calibrated & (scores >= settings.anomaly.threshold) & ~repeats
    cluster_ids = [*(cluster.id for cluster in model.clusters), None]  # the last: of NOISE and NO_KIN, which are -1
    kin_ids = [*(kin.id for kin in model.kins), None]
    done = store.scored_by(model.id)
    of_points = list(
        zip(
            (cluster_ids[label] for label in model.clustering.labels.tolist()),
            model.clustering.probabilities.tolist(),
            model.clustering.outlier_scores.tolist(),
            scores.tolist() if calibrated else [None] * len(repeats),
            anomalous.tolist(),
            (kin_ids[label] for label in model.kin.labels.tolist()),
            np.where(model.kin.labels == NO_KIN, 0.0, model.kin.certainties).tolist(),
            strict=True,
        )
    )

    def records() -> Iterator[FindingRecord]:
        for point, member in model.members.all():
            if member.analysis in done:
                continue
            cluster, probability, outlier_score, score, is_anomalous, kin, kin_probability = of_points[point]
            yield FindingRecord(
                analysis=member.analysis,
                model=model.id,
                cluster=cluster,
                probability=probability,
                outlier_score=outlier_score,
                anomaly_score=score,
                anomalous=is_anomalous,
                kin=kin,
                kin_probability=kin_probability,
            )

    return store.save_findings(records())


def rollback(home: Home, store: Store, settings: Settings, model_id: str, progress: Progress | None = None) -> Model:
    """Put an older model in force again, and bring the findings in the store up to date with it.

    Raises:
        ModelError: there is no such model, or it cannot be read.
        BusyError: another command changes the models.
    """
    with alone(home):
        if model_id not in {facts["folder"] for facts in list_models(home.models)}:
            listing = home.command("models", "list")
            raise ModelError(f"{home.models}: there is no model {model_id}; all are listed by {listing}")
        model = Model.load(home.models / model_id)
        _put_in_force(home, store, model, settings, _ignore_stage, progress)
    return model
