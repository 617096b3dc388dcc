"""Queries that take both store and model: clusters, kin, one of these, anomalies.

Commands, web pages and Desk share them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

import msgspec

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour, kind_of, value_of
from cuckoo_ml_plugin.behaviour.kinds import CODES
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import VisibleCorpus
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.finding.comparison import compared
from cuckoo_ml_plugin.model.model import ClusterFacts, Model
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis, sample_key
from cuckoo_ml_plugin.store.behashes import Showing
from cuckoo_ml_plugin.store.finding_record import ListedAnalysis
from cuckoo_ml_plugin.store.overview import NONE, Activity, Counts

NEAREST = 5
NEW_DAYS: Final = 7  # for how long an analysis counts as new
MOST_COMPARED: Final = 100  # runs of a file, and members of a group, that a run is compared with
MOST_MEANT: Final = 3  # ids that are offered for one that is not stored
_MOST_LOOKED_AT: Final = 100  # ids among which those are looked for that may be named
_MOST_MISSED: Final = 10  # ids that are not stored and for which others are looked up


def ids_meant(engine: Engine, analyses: Iterable[str], visible: Callable[[str], bool] | None = None) -> list[str]:
    """The stored ids that somebody may mean by ids that are not stored, a few. Raises StoreError.

    ``visible``: whether an id may be named; by default each may.
    """
    meant: dict[str, None] = {}
    for analysis in islice(analyses, _MOST_MISSED):
        ids = engine.store.like(analysis, MOST_MEANT if visible is None else _MOST_LOOKED_AT)
        meant.update(dict.fromkeys([name for name in ids if visible is None or visible(name)][:MOST_MEANT]))
    return list(meant)


def did_you_mean(engine: Engine, *analyses: str) -> str:
    """What to do about ids that are not stored: "did you mean nodeB/17?", or to check them. Raises StoreError."""
    ids = ids_meant(engine, analyses)
    return f"did you mean {' or '.join(ids)}?" if ids else "check the id."


def no_such_analysis(engine: Engine, name: str) -> CuckooMLError:
    """The error of a name that is neither a stored analysis's id nor a file's path. Raises StoreError."""
    hint = did_you_mean(engine, name)
    return CuckooMLError(f"{name}: there is no such analysis in the store and no such file; {hint}")


class Groups(NamedTuple):
    """All clusters or all kin in short, what belongs to none, and how many analyses show nothing to compare."""

    rows: list[dict[str, Any]]
    outside: Counts
    without: int


def all_clusters(engine: Engine, model: Model) -> Groups:
    """All clusters in short, with what has become of them since the fit. Raises StoreError.

    Beside what :func:`cluster_brief` gives: ``new``, the samples first analysed in the last ``NEW_DAYS`` days, and
    ``first_day`` and ``last_day`` of its stored analyses.
    """
    activity = engine.store.cluster_activity(_new_since())
    return _groups(engine, activity, [(facts.id, cluster_brief(facts, NONE)) for facts in model.clusters])


def all_kin(engine: Engine, model: Model) -> Groups:
    """All kin in short, as :func:`all_clusters`. Raises StoreError."""
    activity = engine.store.kin_activity(_new_since())
    return _groups(engine, activity, [(facts.id, kin_brief(model, facts, NONE)) for facts in model.kins])


def _groups(
    engine: Engine, activity: dict[str | None, Activity], briefs: list[tuple[str, dict[str, Any]]]
) -> Groups:  # fmt: skip
    none = Activity(0, 0, 0, "", "")
    rows = [brief | with_activity(activity.get(group, none)) for group, brief in briefs]
    without = engine.store.count() - engine.store.count(with_behaviour=True)
    outside = activity.get(None, none)
    return Groups(rows, Counts(outside.samples, outside.runs), without)


def with_activity(activity: Activity) -> dict[str, Any]:
    """What is added to a group in short of what is stored now."""
    return {
        "stored_samples": activity.samples,
        "stored": activity.runs,
        "new": activity.new,
        "first_day": activity.first,
        "last_day": activity.last,
    }


def _new_since() -> datetime:
    return datetime.now(timezone.utc) - timedelta(days=NEW_DAYS)


def cluster_brief(facts: ClusterFacts, stored: Counts) -> dict[str, Any]:
    """One cluster in short; ``stored``: what is stored of it now; ``kin``: the id of its kin."""
    return _brief(facts, stored) | {"kin": facts.kin}


def kin_brief(model: Model, facts: ClusterFacts, stored: Counts) -> dict[str, Any]:
    """One kin in short; ``stored``: what is stored of it now; ``clusters``: the ids of those in it."""
    return _brief(facts, stored) | {"clusters": [cluster.id for cluster in model.clusters if cluster.kin == facts.id]}


def _brief(facts: ClusterFacts, stored: Counts) -> dict[str, Any]:
    return {
        "id": facts.id,
        "name": facts.name,
        "samples": facts.samples or None,
        "size": facts.size,
        "stored_samples": stored.samples,
        "stored": stored.runs,
        "labels": [{"label": label, "count": count} for label, count in facts.labels.items()],
        "first_seen": facts.first_seen,
        "last_seen": facts.last_seen,
    }


def cluster_number(model: Model, cluster: str) -> int | None:
    """The number of a cluster in the model, by its id, else by its name; the name of one may be the id of another."""
    return _number(model.clusters, cluster)


def kin_number(model: Model, kin: str) -> int | None:
    """The number of a kin in the model, by its id, else by its name."""
    return _number(model.kins, kin)


def _number(groups: list[ClusterFacts], group: str) -> int | None:
    ids, names = [facts.id for facts in groups], [facts.name for facts in groups]
    return next((keys.index(group) for keys in (ids, names) if group in keys), None)


def nearest_clusters(model: Model, number: int, limit: int = NEAREST) -> list[dict[str, Any]]:
    """The clusters whose centroids are most similar (cosine) to a cluster's, nearest first."""
    centroids = model.clustering.centroids
    similarities = centroids @ centroids[number]
    others = [i for i in (-similarities).argsort(kind="stable") if i != number][:limit]
    return [
        {"id": model.clusters[i].id, "name": model.clusters[i].name, "similarity": round(float(similarities[i]), 4)}
        for i in others
    ]


def cluster_detail(engine: Engine, model: Model, number: int, limit: int, offset: int = 0) -> dict[str, Any]:
    """One cluster with its evidence, its nearest clusters and a page of its samples, most probable first.

    Raises StoreError.
    """
    facts = model.clusters[number]
    return cluster_brief(facts, engine.store.cluster_count(facts.id)) | {
        "evidence": msgspec.to_builtins(facts.evidence),
        "nearest": nearest_clusters(model, number),
        "members": [
            _member(member) | {"probability": member.finding.probability}
            for member in engine.store.cluster_members(facts.id, limit=limit, offset=offset, once=True)
        ],
    }


def kin_detail(engine: Engine, model: Model, number: int, limit: int, offset: int = 0) -> dict[str, Any]:
    """One kin with its clusters, largest first, and a page of its samples, most probable first. Raises StoreError."""
    facts = model.kins[number]
    stored = engine.store.kin_count(facts.id)
    clusters = sorted((cluster for cluster in model.clusters if cluster.kin == facts.id), key=lambda c: -c.size)
    return _brief(facts, stored) | {
        "clusters": [
            {"id": cluster.id, "name": cluster.name, "samples": cluster.samples or None, "size": cluster.size}
            for cluster in clusters
        ],
        "members": [
            _member(member) | {"probability": member.finding.kin_probability, "cluster": member.finding.cluster}
            for member in engine.store.kin_members(facts.id, limit=limit, offset=offset, once=True)
        ],
    }


def _member(member: ListedAnalysis) -> dict[str, Any]:
    return {
        "analysis": member.finding.analysis,
        "sha256": member.sha256,
        "target": member.target,
        "label": member.label,
        "anomaly_score": member.finding.anomaly_score,
        "runs": member.runs,
    }


def anomalies(
    engine: Engine,
    limit: int,
    order: Literal["score", "date"] = "score",
    since: datetime | None = None,
    offset: int = 0,
) -> Iterator[dict[str, Any]]:
    """A page of the anomalous samples with their reasons, most unusual or latest first.

    ``since``: by the moment of the analysis, not by that of storing.

    Raises StoreError, ModelError.
    """
    page = engine.store.anomalies(order=order, since=since, limit=limit, offset=offset, once=True)
    reasons = _reasons(engine, page)
    for anomaly in page:
        yield {
            "analysis": anomaly.finding.analysis,
            "sha256": anomaly.sha256,
            "target": anomaly.target,
            "label": anomaly.label,
            "analysed_at": anomaly.analysed_at,
            "stored_at": anomaly.stored_at,
            "cluster": anomaly.finding.cluster,
            "score": anomaly.finding.anomaly_score,
            "reasons": reasons.get(anomaly.finding.analysis, []),
            "runs": anomaly.runs,
        }


def _reasons(engine: Engine, page: Sequence[ListedAnalysis]) -> dict[str, list[dict[str, Any]]]:
    """The reasons of each anomaly, by analysis: those in its stored section, or those of the model.

    A finding that a refit stored has no section. Of these only the model's reasons are made, all with one look into the
    store: whole findings of a page of 50 would ask it a thousand times.
    """
    reasons = {}
    for anomaly in page:
        try:
            if anomaly.finding.section:
                reasons[anomaly.finding.analysis] = json.loads(anomaly.finding.section)["anomaly"]["reasons"] or []
        except (ValueError, KeyError, TypeError):
            pass
    others = [anomaly.finding.analysis for anomaly in page if anomaly.finding.analysis not in reasons]
    stored = list(engine.store.get_many(others, behaviours=True).values())
    for analysis, behaviour in zip(stored, engine.behaviours_of(stored), strict=True):
        finding = engine.score_without_store(behaviour, analysis.analysis, analysis.label)
        found = finding.anomaly.reasons if finding.anomaly else []
        reasons[analysis.analysis] = msgspec.to_builtins(found)
    return reasons


# -- who shows a piece of behaviour ------------------------------------------------------------------------------------


def analyses_showing(engine: Engine, token: str, seconds: float | None = None) -> Showing:
    """The stored analyses that show a piece of behaviour (``mutex:...``), newest first.

    Values are compared as they are normalised, so one in capital letters is looked for in small ones, too.

    Args:
        seconds: after how many the search ends; None: it looks at everything.

    Raises:
        CuckooMLError: there is no such kind of behaviour, or the store cannot be read.
    """
    kind, value = kind_of(token), value_of(token)
    if kind not in CODES or not value:
        kinds = ", ".join(sorted(CODES))
        raise CuckooMLError(f"{token[:100]}: write KIND:VALUE, such as mutex:name. The kinds are {kinds}.")
    return engine.store.analyses_showing({token, f"{kind}:{value.lower()}"}, seconds)


def seen(
    engine: Engine, token: str, showing: Showing, limit: int, offset: int = 0, corpus: VisibleCorpus | None = None
) -> dict[str, Any]:
    """A page of the analyses that :func:`analyses_showing` found, of those that a reader may see. Raises StoreError.

    ``samples`` counts distinct files and URLs, and each analysis without either. ``is_complete``: whether all were
    looked at.
    """
    names = [name for name in showing.analyses if corpus is None or corpus.get(name) is not None]
    known = engine.store.get_many(names)
    names = [name for name in names if name in known]
    page = names[offset : offset + limit]
    findings = engine.store.findings_of(page)
    return {
        "kind": kind_of(token),
        "value": value_of(token),
        "count": len(names),
        "samples": len({sample_key(name, known[name].sha256, known[name].sample) for name in names}),
        "is_complete": showing.is_complete,
        "analyses": [
            {
                "analysis": name,
                "sha256": known[name].sha256,
                "target": known[name].target,
                "label": known[name].label,
                "day": (known[name].analysed_at or known[name].stored_at)[:10],
                "cluster": findings[name].cluster if name in findings else None,
            }
            for name in page
        ],
    }


# -- runs that differ --------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """A run that is compared: its id, its file and what it showed."""

    analysis: str
    sha256: str | None
    behaviour: Behaviour


def stored_run(engine: Engine, analysis: str) -> Run | None:
    """A stored analysis as a run; None when it is not stored. Raises StoreError."""
    stored = engine.store.get(analysis)
    return None if stored is None else Run(stored.analysis, stored.sha256, engine.behaviour_of(stored))


def _runs(engine: Engine, analyses: list[StoredAnalysis]) -> list[Run]:
    """Stored analyses, read with their behaviours, as runs."""
    behaviours = engine.behaviours_of(analyses)
    return [Run(s.analysis, s.sha256, behaviour) for s, behaviour in zip(analyses, behaviours, strict=True)]


def comparison_of_two(engine: Engine, run: Run, other: Run, limit: int) -> dict[str, Any]:
    """What two runs share and how they differ, as :func:`~cuckoo_ml_plugin.finding.comparison.compared` gives it.

    Raises ModelError.
    """
    same = run.sha256 is not None and run.sha256 == other.sha256
    name = f"{other.analysis}, another run of the same file" if same else other.analysis
    return {
        "analysis": run.analysis,
        "sha256": run.sha256,
        "comparisons": [_compared(engine.model(), run, "run", other.analysis, name, [other], 1, limit)],
    }


def comparison(engine: Engine, run: Run, limit: int, corpus: VisibleCorpus | None = None) -> dict[str, Any]:
    """How a run differs from the other runs of its file, and from its cluster or else its kin.

    Its group is the one that the reason ``incomplete_run`` speaks of, because a run that was cut off may lie in none.

    Args:
        limit: how many pieces of behaviour each list shows.
        corpus: what the reader may see; None: everything.

    Raises:
        ModelError, StoreError
    """
    model = engine.model()
    comparisons: list[dict[str, Any]] = []
    runs = engine.store.of_file(run.sha256, MOST_COMPARED + 1) if run.sha256 else []
    others = _runs(engine, [
        stored
        for stored in runs
        if stored.analysis != run.analysis and (corpus is None or corpus.get(stored.analysis) is not None)
    ][:MOST_COMPARED])  # fmt: skip
    if others:
        name = "the other runs of the same file"
        comparisons.append(_compared(model, run, "runs", run.sha256 or "", name, others, len(others), limit))
    group = _group_of(engine, model, run) if model is not None else None
    if model is not None and group is not None:
        facts, is_cluster = group
        name, ids, total = _members_of(engine, facts, is_cluster, corpus)
        stored_members = engine.store.get_many([member for member in ids if member != run.analysis], behaviours=True)
        kept = _runs(engine, [stored_members[name] for name in ids if name in stored_members][:MOST_COMPARED])
        if kept:
            kind = "cluster" if is_cluster else "kin"
            total -= run.analysis in ids
            comparisons.append(_compared(model, run, kind, facts.id, f"{kind} {name}", kept, total, limit))
    return {"analysis": run.analysis, "sha256": run.sha256, "comparisons": comparisons}


def _group_of(engine: Engine, model: Model, run: Run) -> tuple[ClusterFacts, bool] | None:
    """The group that a run belongs to most probably, and whether it is a cluster; None where it has none."""
    lack = model.lack_of(run.behaviour)
    if lack is not None:
        return model.group_of(lack)
    finding = engine.score_without_store(run.behaviour, run.analysis, None)
    if finding.cluster is not None and (number := cluster_number(model, finding.cluster.id)) is not None:
        return model.clusters[number], True
    if finding.kin is not None and (number := kin_number(model, finding.kin.id)) is not None:
        return model.kins[number], False
    return None


def _members_of(
    engine: Engine, facts: ClusterFacts, is_cluster: bool, corpus: VisibleCorpus | None
) -> tuple[str, list[str], int]:
    """What a group is called, its surest members as far as the reader may see them, and how many there are."""
    most = MOST_COMPARED + 1
    if corpus is not None:
        group = (corpus.clusters if is_cluster else corpus.kins).get(facts.id)
        members = group.members if group else []
        return (group.name if group else facts.id), [member.analysis for member in members[:most]], len(members)
    store = engine.store
    listed = store.cluster_members(facts.id, limit=most) if is_cluster else store.kin_members(facts.id, limit=most)
    counts = store.cluster_count(facts.id) if is_cluster else store.kin_count(facts.id)
    return facts.name, [member.finding.analysis for member in listed], counts.runs


def _compared(
    model: Model | None, run: Run, kind: str, group: str, name: str, others: list[Run], total: int, limit: int
) -> dict[str, Any]:
    tokens = sorted({token for one in (run, *others) for token in one.behaviour.tokens})
    background = model.background_of(Behaviour(tokens, {})) if model is not None else frozenset()
    shown = [set(one.behaviour.tokens) - background for one in (run, *others)]
    return {
        "kind": kind,
        "id": group,
        "name": name,
        "analyses": len(others),
        "of": max(total, len(others)),
        "with": [other.analysis for other in others],
        **compared(shown[0], shown[1:], limit),
    }
