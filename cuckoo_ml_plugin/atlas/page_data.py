"""The data of the page: the landscape as JSON, with long columns as base64 of little-endian arrays."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.landscape.landscape import Landscape, offsets
from cuckoo_ml_plugin.landscape.similar_behaviours import most_similar
from cuckoo_ml_plugin.model.model import ClusterFacts
from cuckoo_ml_plugin.plumbing.text import display_text

SIMILAR = 5
MOST_ANOMALIES = 200
MOST_EXPLAINED = 100  # anomalies with their reasons: each is scored again for them
MOST_TEXT = 120
MOST_REASON = 400
_BINS = 24
_MOST_OUTLIERS = 8
_FAR = 3.0  # interquartile ranges
_SCALE = 65_535


def page_data(engine: Engine, scene: Landscape) -> dict[str, Any]:
    """All that the page shows. Raises StoreError, ModelError."""
    alike, similarities = most_similar(scene.model, SIMILAR)
    families = sorted({family for family in scene.families if family})
    codes = {family: code for code, family in enumerate(families)}
    order = np.argsort(scene.point_of, kind="stable")  # puts the analyses of a behaviour side by side
    starts = np.searchsorted(scene.point_of[order], np.arange(len(scene.labels) + 1))
    rows = order.tolist()
    kin_numbers: dict[str | None, int] = {kin.id: number for number, kin in enumerate(scene.kins)}
    return {
        "model": structs.asdict(scene.model.brief()),
        "threshold": scene.threshold,
        "clusters": [_cluster(cluster) | {"kin": kin_numbers.get(cluster.kin, -1)} for cluster in scene.clusters],
        "kins": [_cluster(kin) for kin in scene.kins],
        "families": [display_text(family, MOST_TEXT) for family in families],
        "points": {
            "places": _packed((scene.places + 1) / 2 * _SCALE, "<u2"),
            "clusters": _packed(scene.labels, "<i4"),
            "kins": _packed(scene.kin_of_point, "<i4"),
            "certainties": _packed(np.clip(scene.certainties, 0, 1) * _SCALE, "<u2"),
            "anomalies": _packed(np.clip(scene.anomaly_scores, 0, 1) * _SCALE, "<u2"),
            "outliers": _packed(np.clip(scene.outlier_scores, 0, 1) * _SCALE, "<u2"),
            "starts": _packed(starts, "<i4"),
            "alike": _packed(alike, "<i4"),
            "similarities": _packed(similarities * _SCALE, "<u2"),
        },
        "analyses": {
            "ids": [display_text(scene.analyses[row], MOST_TEXT) for row in rows],
            "sha256": [scene.sha256[row] or "" for row in rows],
            "targets": [display_text(scene.targets[row], MOST_TEXT) for row in rows],
            "families": _packed(np.array([codes.get(scene.families[row] or "", -1) for row in rows]), "<i4"),
            "days": _packed(scene.days[order], "<i4"),
        },
        "anomalies": _anomalies(engine, scene, order),
        "tree": _tree(scene),
        "counts": _counts(scene, order),
    }


def script_json(data: dict[str, Any]) -> str:
    """JSON for a ``<script type="application/json">``: it can neither end the element nor begin a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _packed(values: NDArray[Any], kind: str) -> str:
    array = np.asarray(values)
    if array.dtype.kind == "f":
        array = np.rint(array)
    return base64.b64encode(array.astype(kind).tobytes()).decode("ascii")


def _cluster(cluster: ClusterFacts) -> dict[str, Any]:
    evidence = [
        [piece.kind, display_text(piece.value, MOST_TEXT), piece.in_cluster, piece.in_corpus]
        for piece in cluster.evidence[:10]
    ]
    labels = [[display_text(label, MOST_TEXT), count] for label, count in list(cluster.labels.items())[:20]]
    name = display_text(cluster.name, MOST_TEXT)
    return {"id": cluster.id, "name": name, "size": cluster.size, "labels": labels, "evidence": evidence}


def _anomalies(engine: Engine, scene: Landscape, order: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The most unusual analyses as indices of ``order``, each with its reasons."""
    scores = scene.anomaly_scores[scene.point_of[order]]
    chosen = np.argsort(-scores, kind="stable")[:MOST_ANOMALIES]
    anomalies = []
    for rank, index in enumerate(chosen.tolist()):
        if scores[index] < scene.threshold:
            break
        reasons = _reasons(engine, scene.analyses[order[index]]) if rank < MOST_EXPLAINED else []
        anomalies.append({"analysis": index, "reasons": reasons})
    return anomalies


def _reasons(engine: Engine, analysis: str) -> list[str]:
    try:
        finding = engine.score_stored(analysis)
    except CuckooMLError:
        return []
    reasons = finding.anomaly.reasons if finding and finding.anomaly else []
    return [display_text(reason.text, MOST_REASON) for reason in reasons[:4]]


def _tree(scene: Landscape) -> dict[str, Any]:
    tree = scene.tree
    return {
        "starts": offsets(tree).round(1).tolist(),
        "sizes": tree.sizes.tolist(),
        "births": tree.births.round(4).tolist(),
        "deaths": tree.deaths.round(4).tolist(),
        "clusters": tree.clusters.tolist(),
    }


def _counts(scene: Landscape, order: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Of each count the histogram on a logarithmic scale, the quartiles and the analyses far outside of them."""
    cards = []
    for column, name in enumerate(scene.count_names):
        values = scene.counts[order, column]
        finite = values[np.isfinite(values)]
        if not len(finite) or not finite.any():
            continue
        low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75])
        top = max(float(finite.max()), 1.0)
        edges = np.expm1(np.linspace(0, np.log1p(top), _BINS + 1))
        edges[-1] = top  # rounding may lower it and so lose the greatest values
        fence = high + _FAR * (high - low) if high > low else np.inf
        far = np.flatnonzero(np.nan_to_num(values, nan=-1) > fence)
        furthest = far[np.argsort(-values[far], kind="stable")]
        cards.append(
            {
                "name": name.replace("_", " "),
                "quartiles": [float(low), float(middle), float(high)],
                "top": top,
                "bins": np.histogram(np.clip(finite, 0, top), edges)[0].tolist(),
                "outliers": len(far),
                "furthest": [[int(index), float(values[index])] for index in furthest[:_MOST_OUTLIERS]],
            }
        )
    return sorted(cards, key=lambda card: (-card["outliers"], card["name"]))
