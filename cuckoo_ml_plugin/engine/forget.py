"""Forgetting analyses: their records, labels and findings, their mention in the findings of others and in all models.

A model keeps what it learned: the vectors and counts stay, so that it scores as before until the next refit. Only
names go. They go from the models first and from the store last, so that a forgetting that was killed is completed by
repeating it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.host_tasks import deleted_tasks
from cuckoo_ml_plugin.engine.model_lock import alone
from cuckoo_ml_plugin.engine.queries import did_you_mean
from cuckoo_ml_plugin.errors import CuckooMLError, ModelError
from cuckoo_ml_plugin.model.folder import (
    CURRENT,
    current_id,
    publish,
    remove_leftovers,
    remove_model,
    write_edited_copy,
)
from cuckoo_ml_plugin.model.members import Member, Members
from cuckoo_ml_plugin.model.model import ClusterFacts, Model
from cuckoo_ml_plugin.plumbing.hashes import text_digest, token_hash
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis, seen_at

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Chosen:
    """What is to be forgotten.

    Attributes:
        stored: the records, without their behaviour.
        names: the ids of these and of analyses that only a model still names.
        hashes: SHA-256 of files of which nothing is to be named any more.
    """

    stored: list[StoredAnalysis] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)

    def names_member(self, member: Member) -> bool:
        """Whether a model's member is one of them."""
        return member.analysis in self.names or member.sha256 in self.hashes


@dataclass(slots=True)
class Forgotten:
    """How much was forgotten; ``unreadable``: models that cannot be read, so that names in them stay."""

    analyses: int = 0
    findings: int = 0
    models: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def choose(engine: Engine, names: Iterable[str]) -> Chosen:
    """The analyses with these ids. Raises CuckooMLError, which names those that neither the store nor a model has."""
    wanted = set(names)
    stored = engine.store.get_many(wanted)
    missing = wanted - set(stored)
    if missing:
        missing -= {member.analysis for model in _models(engine)[0] for _, member in model.members.all()}
    if missing:
        raise CuckooMLError(
            f"{', '.join(sorted(missing))}: no such analysis is stored; nothing was forgotten;"
            f" {did_you_mean(engine, *sorted(missing))}"
        )
    return Chosen(list(stored.values()), wanted)


def choose_file(engine: Engine, sha256: str) -> Chosen:
    """The analyses of a file. Raises CuckooMLError when neither the store nor a model has one."""
    stored = list(engine.store.get_many(engine.store.ids_of_file(sha256)).values())
    chosen = Chosen(stored, {analysis.analysis for analysis in stored}, {sha256})
    if not stored and not _named_by(engine, chosen):
        raise CuckooMLError(f"{sha256}: no analysis of this file is stored; nothing was forgotten.")
    return chosen


def choose_before(engine: Engine, moment: str) -> Chosen:
    """The analyses made before a moment as the store writes it; of an analysis without a date, when it was stored."""
    return _chosen(stored for stored in engine.store.analyses_in_order(behaviours=False) if seen_at(stored) < moment)


def choose_deleted(engine: Engine, storage: Path) -> Chosen:
    """The analyses of this host whose task it has deleted.

    Raises:
        CuckooMLError: the host's folder is missing or empty: its disk may not be mounted.
    """
    storage = storage.resolve()
    if not storage.is_dir() or not any(path.name.isdecimal() for path in storage.iterdir()):
        raise CuckooMLError(
            f"{storage}: there is no task at all in this folder, so nothing was forgotten; check --host-root, and that"
            " the disk is mounted. Without tasks, use --before DATE instead."
        )
    return _chosen(deleted_tasks(engine.store.analyses_in_order(behaviours=False), storage, engine.node))


def _chosen(analyses: Iterable[StoredAnalysis]) -> Chosen:
    stored = list(analyses)
    return Chosen(stored, {analysis.analysis for analysis in stored})


def models_that_name(engine: Engine, chosen: Chosen) -> list[str]:
    """The ids of the models that name one of the chosen."""
    return [model.id for model in _named_by(engine, chosen)]


def _named_by(engine: Engine, chosen: Chosen) -> list[Model]:
    readable, _ = _models(engine)
    return [model for model in readable if any(chosen.names_member(member) for _, member in model.members.all())]


def _models(engine: Engine) -> tuple[list[Model], list[str]]:
    """All models that can be read, the one in force first, and the names of the others."""
    current = current_id(engine.home.models)
    folders = engine.home.models.glob("[!.]*") if engine.home.models.is_dir() else []
    names = [path.name for path in folders if path.is_dir() and not path.is_symlink() and path.name != CURRENT]
    readable, unreadable = [], []
    for name in sorted(names, key=lambda name: (name != current, name)):
        try:
            model = Model.load(engine.home.models / name)
            model.require_members()
            readable.append(model)
        except ModelError:
            unreadable.append(name)
    return readable, unreadable


def forget(engine: Engine, chosen: Chosen, progress: Progress | None = None) -> Forgotten:
    """Forget the chosen analyses, at once and for good; repeating it after a kill completes it.

    Raises:
        BusyError: a refit is running, whose model would name them.
        ModelError, StoreError: a model or the store cannot be written.
    """
    forgotten = Forgotten()
    if not chosen.names and not chosen.hashes:
        return forgotten
    with alone(engine.home):
        remove_leftovers(engine.home.models)
        readable, forgotten.unreadable = _models(engine)
        for done, model in enumerate(readable, 1):
            if _forget_in_model(engine, model, chosen):
                forgotten.models.append(model.id)
            if progress is not None:
                progress(done, len(readable))
        forgotten.analyses, forgotten.findings = engine.store.erase(chosen.names, chosen.hashes)
    return forgotten


def _forget_in_model(engine: Engine, model: Model, chosen: Chosen) -> bool:
    """Put a copy of a model in its place that names none of the chosen; False where it names none."""
    members = model.members.without(chosen.names_member)
    if members is None:
        return False
    models, store = engine.home.models, engine.store
    clusters = _groups_without(model, members, model.clusters, model.clustering.labels)
    kins = _groups_without(model, members, model.kins, model.kin.labels)
    arrays = {f"members.{name}": array for name, array in members.arrays().items()}
    stem, _, _ = model.id.rpartition("-")
    edited_id = f"{stem}-{text_digest(model.id + members.text.tobytes().decode())[:8]}"
    facts: dict[str, Any] = {"clusters": msgspec.to_builtins(clusters), "kins": msgspec.to_builtins(kins)}
    facts["changes"] = _changes_without(model, clusters)
    write_edited_copy(models, model.id, edited_id, facts, arrays)
    if current_id(models) == model.id:
        complete = store.findings_are_of(model.id)
        publish(models, edited_id)
        store.rename_model_of_findings(model.id, edited_id)
        if complete:
            store.note_model_of_findings(edited_id)
        store.findings_of_groups_change(_changed(model.clusters, clusters), _changed(model.kins, kins))
    remove_model(models, model.id)
    return True


def _changed(before: list[ClusterFacts], after: list[ClusterFacts]) -> set[str]:
    return {new.id for old, new in zip(before, after, strict=True) if old != new}


def _groups_without(
    model: Model, members: Members, groups: list[ClusterFacts], group_of: NDArray[np.int64]
) -> list[ClusterFacts]:
    """The groups without what only forgotten analyses showed: words of behaviour, labels, and a name made from one.

    Sizes and counts stay, because scores rest on them.

    Args:
        groups: the clusters or the kin.
        group_of: (n,) the group of each fitted behaviour, -1 for none.
    """
    points: dict[int, set[int]] = {}
    labels: dict[int, set[str | None]] = {}
    for point, member in members.all():
        group = int(group_of[point])
        points.setdefault(group, set()).add(point)
        labels.setdefault(group, set()).add(member.label)
    before: dict[int, int] = {}
    after: dict[int, int] = {}
    for counts, some in ((before, model.members), (after, members)):
        for point, _ in some.all():
            group = int(group_of[point])
            counts[group] = counts.get(group, 0) + 1
    without, hashes = [], model.token_hashes
    for number, facts in enumerate(groups):
        if before.get(number, 0) == after.get(number, 0):
            without.append(facts)
            continue
        remaining = sorted(points.get(number, ()))
        columns = [model.rows.columns_of(point) for point in remaining] if facts.evidence else []
        shown = set(hashes[np.unique(np.concatenate(columns))].tolist()) if columns else set()
        kept = {label: count for label, count in facts.labels.items() if label in labels.get(number, ())}
        lost = set(facts.labels) - set(kept)
        named_after = any(facts.name == label or facts.name.startswith(f"{label}-") for label in lost)
        without.append(
            replace(
                facts,
                name=facts.id if named_after or not remaining else facts.name,
                labels=kept,
                label_sources={label: count for label, count in facts.label_sources.items() if label in kept},
                evidence=[piece for piece in facts.evidence if token_hash(f"{piece.kind}:{piece.value}") in shown],
            )
        )
    return without


def _changes_without(model: Model, clusters: list[ClusterFacts]) -> list[dict[str, Any]]:
    """The changes of the last refit, with the names that the clusters have now, and without former names."""
    names = {cluster.id: cluster.name for cluster in clusters}
    return [
        {
            **change,
            "name": names.get(change["cluster"], change["name"]),
            "other": "" if change["kind"] == "renamed" else change["other"],
        }
        for change in model.facts.get("changes", [])
    ]
