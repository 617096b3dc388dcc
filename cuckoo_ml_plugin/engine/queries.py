"""Queries that take both store and model: clusters, one cluster, anomalies. Commands, web pages and Desk share them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal

import msgspec

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.model.model import ClusterFacts, Model
from cuckoo_ml_plugin.store.finding_record import ListedAnalysis

NEAREST = 5
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


def cluster_brief(facts: ClusterFacts, stored: int) -> dict[str, Any]:
    """One cluster in short; ``stored``: how many stored analyses it has now."""
    return {
        "id": facts.id,
        "name": facts.name,
        "size": facts.size,
        "stored": stored,
        "labels": [{"label": label, "count": count} for label, count in facts.labels.items()],
        "first_seen": facts.first_seen,
        "last_seen": facts.last_seen,
    }


def cluster_number(model: Model, cluster: str) -> int | None:
    """The number of a cluster in the model, by its id, else by its name; the name of one may be the id of another."""
    ids, names = [facts.id for facts in model.clusters], [facts.name for facts in model.clusters]
    return next((keys.index(cluster) for keys in (ids, names) if cluster in keys), None)


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
    """One cluster with its evidence, its nearest clusters and a page of its members, most probable first.

    Raises StoreError.
    """
    facts = model.clusters[number]
    return cluster_brief(facts, engine.store.cluster_count(facts.id)) | {
        "evidence": msgspec.to_builtins(facts.evidence),
        "nearest": nearest_clusters(model, number),
        "members": [
            {
                "analysis": member.finding.analysis,
                "sha256": member.sha256,
                "target": member.target,
                "label": member.label,
                "probability": member.finding.probability,
                "anomaly_score": member.finding.anomaly_score,
            }
            for member in engine.store.cluster_members(facts.id, limit=limit, offset=offset)
        ],
    }


def anomalies(
    engine: Engine,
    limit: int,
    order: Literal["score", "date"] = "score",
    since: datetime | None = None,
    offset: int = 0,
) -> Iterator[dict[str, Any]]:
    """A page of the anomalous analyses with their reasons, most unusual or latest first.

    Raises StoreError, ModelError.
    """
    for anomaly in engine.store.anomalies(order=order, since=since, limit=limit, offset=offset):
        yield {
            "analysis": anomaly.finding.analysis,
            "sha256": anomaly.sha256,
            "target": anomaly.target,
            "label": anomaly.label,
            "stored_at": anomaly.stored_at,
            "cluster": anomaly.finding.cluster,
            "score": anomaly.finding.anomaly_score,
            "reasons": _reasons(engine, anomaly),
        }


def _reasons(engine: Engine, anomaly: ListedAnalysis) -> list[dict[str, Any]]:
    """The reasons in the stored section; a finding that a refit stored has no section and is scored again."""
    reasons: list[dict[str, Any]]
    try:
        section = json.loads(anomaly.finding.section) if anomaly.finding.section else None
        if section is not None:
            reasons = section["anomaly"]["reasons"] or []
            return reasons
    except (ValueError, KeyError, TypeError):
        pass
    finding = engine.score_stored(anomaly.finding.analysis)
    reasons = msgspec.to_builtins(finding.anomaly.reasons) if finding and finding.anomaly else []
    return reasons
