"""What store and model answer together: clusters, one cluster, anomalies. Shared by the commands and the web pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.finding.reasons import Reason
from cuckoo_ml_plugin.model.model import ClusterFacts, Model
from cuckoo_ml_plugin.store.records import FoundAnalysis

NEAREST = 5


def cluster_brief(facts: ClusterFacts, stored: int) -> dict[str, Any]:
    """One cluster in a line; ``stored``: how many analyses it has now."""
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
    """The number of a cluster in the model, by its id, else by its name: a name may be what malware was called."""
    ids, names = [one.id for one in model.clusters], [one.name for one in model.clusters]
    return next((found.index(cluster) for found in (ids, names) if cluster in found), None)


def nearest_clusters(model: Model, number: int, limit: int = NEAREST) -> list[dict[str, Any]]:
    """The clusters whose centroids are most alike (cosine), nearest first."""
    centroids = model.clustering.centroids
    alike = centroids @ centroids[number]
    others = [i for i in (-alike).argsort(kind="stable") if i != number][:limit]
    return [
        {"id": model.clusters[i].id, "name": model.clusters[i].name, "similarity": round(float(alike[i]), 4)}
        for i in others
    ]


def cluster_detail(engine: Engine, model: Model, number: int, limit: int, offset: int = 0) -> dict[str, Any]:
    """One cluster with its evidence, nearest clusters and a page of its members, the surest first.

    Raises StoreError.
    """
    facts = model.clusters[number]
    return cluster_brief(facts, engine.store.cluster_count(facts.id)) | {
        "evidence": facts.evidence,
        "nearest": nearest_clusters(model, number),
        "members": [
            {
                "analysis": one.finding.analysis,
                "sha256": one.sha256,
                "target": one.target,
                "label": one.label,
                "probability": one.finding.probability,
                "anomaly_score": one.finding.anomaly_score,
            }
            for one in engine.store.cluster_members(facts.id, limit=limit, offset=offset)
        ],
    }


def anomalies(
    engine: Engine,
    limit: int,
    order: Literal["score", "date"] = "score",
    since: datetime | None = None,
    offset: int = 0,
) -> Iterator[dict[str, Any]]:
    """A page of the anomalous analyses with their reasons, the most unusual or the latest first.

    Raises StoreError, ModelError.
    """
    for one in engine.store.anomalies(order=order, since=since, limit=limit, offset=offset):
        yield {
            "analysis": one.finding.analysis,
            "sha256": one.sha256,
            "target": one.target,
            "label": one.label,
            "stored_at": one.stored_at,
            "cluster": one.finding.cluster,
            "score": one.finding.anomaly_score,
            "reasons": list(_reasons(engine, one)),
        }


def _reasons(engine: Engine, one: FoundAnalysis) -> Sequence[Reason]:
    """As the finding was kept; for one that came from a refit, which keeps no sections, scored again."""
    try:
        kept = json.loads(one.finding.section) if one.finding.section else None
        if kept is not None:
            return kept["anomaly"]["reasons"] or ()
    except (ValueError, KeyError, TypeError):
        pass
    finding = engine.score_stored(one.finding.analysis)
    return finding.anomaly["reasons"] if finding and finding.anomaly else ()
