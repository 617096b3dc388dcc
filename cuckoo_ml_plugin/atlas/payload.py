"""What the page gets: the landscape as JSON, its long columns as base64 of little-endian arrays."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.landscape.alike import most_alike
from cuckoo_ml_plugin.landscape.landscape import Landscape, offsets
from cuckoo_ml_plugin.plumbing.text import display_text

SIMILAR = 5
MOST_ANOMALIES = 200
REASONS_FOR = 100  # of them; each is scored again
MOST_TEXT = 120
MOST_REASON = 400
_BINS = 24
_MOST_OUTLIERS = 8
_FAR = 3.0  # interquartile ranges
_SCALE = 65_535


def payload(engine: Engine, scene: Landscape) -> dict[str, Any]:
    """Everything that the page shows. Raises StoreError, ModelError."""
    alike, similarities = most_alike(scene.model, SIMILAR)
    families = sorted({one for one in scene.families if one})
    codes = {family: code for code, family in enumerate(families)}
    order = np.argsort(scene.point_of, kind="stable")  # the analyses of a behaviour stand together
    starts = np.searchsorted(scene.point_of[order], np.arange(len(scene.labels) + 1))
    rows = order.tolist()
    return {
        "model": dict(scene.model.brief()),
        "threshold": scene.threshold,
        "clusters": [_cluster(one) for one in scene.clusters],
        "families": [_text(one) for one in families],
        "points": {
            "places": _packed((scene.places + 1) / 2 * _SCALE, "<u2"),
            "clusters": _packed(scene.labels, "<i4"),
            "certainties": _packed(np.clip(scene.certainties, 0, 1) * _SCALE, "<u2"),
            "anomalies": _packed(np.clip(scene.anomaly_scores, 0, 1) * _SCALE, "<u2"),
            "outliers": _packed(np.clip(scene.outlier_scores, 0, 1) * _SCALE, "<u2"),
            "starts": _packed(starts, "<i4"),
            "alike": _packed(alike, "<i4"),
            "similarities": _packed(similarities * _SCALE, "<u2"),
        },
        "analyses": {
            "ids": [_text(scene.analyses[row]) for row in rows],
            "sha256": [scene.sha256[row] or "" for row in rows],
            "targets": [_text(scene.targets[row]) for row in rows],
            "families": _packed(np.array([codes.get(scene.families[row] or "", -1) for row in rows]), "<i4"),
            "days": _packed(scene.days[order], "<i4"),
        },
        "anomalies": _anomalies(engine, scene, order),
        "tree": _tree(scene),
        "counts": _counts(scene, order),
    }


def as_script(data: dict[str, Any]) -> str:
    """JSON that may stand in a ``<script type="application/json">``: it cannot end it, nor begin a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _packed(values: NDArray[Any], kind: str) -> str:
    array = np.asarray(values)
    if array.dtype.kind == "f":
        array = np.rint(array)
    return base64.b64encode(array.astype(kind).tobytes()).decode("ascii")


def _text(value: object, limit: int = MOST_TEXT) -> str:
    """One line without what cannot be seen; the page shows it as text."""
    return display_text(value, limit)


def _cluster(one: Any) -> dict[str, Any]:
    evidence = [[each["kind"], _text(each["value"]), each["in_cluster"], each["in_corpus"]] for each in one.evidence]
    labels = [[_text(label), count] for label, count in list(one.labels.items())[:20]]
    return {"id": one.id, "name": _text(one.name), "size": one.size, "labels": labels, "evidence": evidence[:10]}


def _anomalies(engine: Engine, scene: Landscape, order: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The most unusual analyses, as places in ``order``, with why."""
    scores = scene.anomaly_scores[scene.point_of[order]]
    chosen = np.argsort(-scores, kind="stable")[:MOST_ANOMALIES]
    found = []
    for rank, place in enumerate(chosen.tolist()):
        if scores[place] < scene.threshold:
            break
        reasons = _reasons(engine, scene.analyses[order[place]]) if rank < REASONS_FOR else []
        found.append({"analysis": place, "reasons": reasons})
    return found


def _reasons(engine: Engine, analysis: str) -> list[str]:
    try:
        finding = engine.score_stored(analysis)
    except CuckooMLError:
        return []
    reasons = finding.anomaly["reasons"] if finding and finding.anomaly else []
    return [_text(one["text"], MOST_REASON) for one in reasons[:4]]


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
    """Each count's histogram on a logarithmic scale, its middle half, and what lies far outside of it."""
    found = []
    for column, name in enumerate(scene.count_names):
        values = scene.counts[order, column]
        known = values[np.isfinite(values)]
        if not len(known) or not known.any():
            continue
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
        top = max(float(known.max()), 1.0)
        edges = np.expm1(np.linspace(0, np.log1p(top), _BINS + 1))
        edges[-1] = top  # rounding may put it below, and the greatest values outside
        fence = high + _FAR * (high - low) if high > low else np.inf
        far = np.flatnonzero(np.nan_to_num(values, nan=-1) > fence)
        furthest = far[np.argsort(-values[far], kind="stable")]
        found.append(
            {
                "name": name.replace("_", " "),
                "quartiles": [float(low), float(middle), float(high)],
                "top": top,
                "bins": np.histogram(np.clip(known, 0, top), edges)[0].tolist(),
                "outliers": len(far),
                "furthest": [[int(place), float(values[place])] for place in furthest[:_MOST_OUTLIERS]],
            }
        )
    return sorted(found, key=lambda one: (-one["outliers"], one["name"]))
