"""The data of the page: the landscape as JSON, with long columns as base64 of little-endian arrays."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.queries import nearest_clusters
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.finding.section import Reason
from cuckoo_ml_plugin.landscape.behaviour_index import BehaviourIndex
from cuckoo_ml_plugin.landscape.colours import Colours, colours_of
from cuckoo_ml_plugin.landscape.landscape import Landscape, offsets
from cuckoo_ml_plugin.landscape.similar_behaviours import Similar, similar_of_all
from cuckoo_ml_plugin.model.model import ClusterFacts
from cuckoo_ml_plugin.plumbing.text import display_text

SIMILAR = 5
MOST_ANOMALIES = 200
MOST_EXPLAINED = 100  # anomalies with their reasons: each is scored again for them
MOST_TEXT = 120
MOST_REASON = 400
MOST_TOKEN = 200
_BINS = 24
_MOST_OUTLIERS = 8
_FAR = 3.0  # interquartile ranges
_SCALE = 65_535

# A group of anomalies by the weightiest reason; what is not here is called by its kind.
_TITLES = {
    "birth": "New groups in the making",
    "incomplete_run": "Runs that did less than their like",
    "static_only": "Nothing known but the file",
    "novel_behaviour": "Behaviour that is unlike all others",
    "single_source": "Known only from a single source",
    "label_mismatch": "Labels that contradict the cluster",
    "threat_scores_disagree": "Threat scores that contradict each other",
    "no_cluster": "In no cluster",
    "low_probability": "At the edge of a cluster",
    "abnormal_count_outlier": "Counts far outside the usual",
    "high_outlier_score": "Far from their neighbours",
    "abnormal_count_suspect": "Counts outside the usual",
    "": "Reasons not computed",
}


def page_data(engine: Engine, scene: Landscape) -> dict[str, Any]:
    """All that the page shows. Raises StoreError, ModelError."""
    alike, similarities, newer = _similar(similar_of_all(engine, scene, SIMILAR), scene)
    colours = colours_of(scene)
    codes = {family: code for code, family in enumerate(colours.families)}
    order = np.argsort(scene.point_of, kind="stable")  # puts the analyses of a behaviour side by side
    starts = np.searchsorted(scene.point_of[order], np.arange(len(scene.labels) + 1))
    rows = order.tolist()
    kin_numbers: dict[str | None, int] = {kin.id: number for number, kin in enumerate(scene.kins)}
    return {
        "model": structs.asdict(scene.model.brief()),
        "threshold": scene.threshold,
        "clusters": _clusters(scene, colours, codes, kin_numbers),
        "kins": [_group(kin, codes) | {"colour": colour} for kin, colour in zip(scene.kins, colours.kins, strict=True)],
        "families": [display_text(family, MOST_TEXT) for family in colours.families],
        "colours": list(colours.families.values()),
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
        "newer": newer,
        "behaviours": _behaviours(scene.behaviours),
        "analyses": {
            "ids": [display_text(scene.analyses[row], MOST_TEXT) for row in rows],
            "sha256": [scene.sha256[row] or "" for row in rows],
            "targets": [display_text(scene.targets[row], MOST_TEXT) for row in rows],
            "families": _packed(np.array([codes.get(scene.families[row] or "", -1) for row in rows]), "<i4"),
            "days": _packed(scene.days[order], "<i4"),
        },
        "anomalies": _anomalies(engine, scene, order),
        "anomalous": int(np.count_nonzero(scene.anomaly_scores[scene.point_of] >= scene.threshold)),
        "reasons": _TITLES,
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


def _similar(
    similar: list[list[Similar]], scene: Landscape
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[dict[str, Any]]]:
    """The similar behaviours of each (n, k), their similarities, and the analyses that are newer than the model.

    -1 is none; -2, -3 and so on are the first, the second and so on of the newer analyses.
    """
    names = sorted({one.analysis for row in similar for one in row if one.point < 0})
    codes = {name: -2 - number for number, name in enumerate(names)}
    alike = np.full((len(similar), SIMILAR), -1, np.int64)
    similarities = np.zeros((len(similar), SIMILAR))
    for point, row in enumerate(similar):
        for place, one in enumerate(row):
            alike[point, place] = one.point if one.point >= 0 else codes[one.analysis]
            similarities[point, place] = min(max(one.similarity, 0.0), 1.0)
    newer = [
        {
            "id": display_text(name, MOST_TEXT),
            "target": display_text(scene.newer[name].target, MOST_TEXT),
            "family": display_text(scene.newer[name].family or "", MOST_TEXT),
            "day": scene.newer[name].day,
        }
        for name in names
    ]
    return alike, similarities, newer


def _behaviours(index: BehaviourIndex) -> dict[str, Any]:
    """The index for the search. Of each token the number of points, and the steps between them as LEB128."""
    steps = np.diff(index.points, prepend=0)
    begins = index.starts[:-1][np.diff(index.starts) > 0]
    steps[begins] = index.points[begins]
    return {
        "texts": [display_text(token, MOST_TOKEN) for token in index.tokens],
        "sizes": _packed(np.diff(index.starts), "<i4"),
        "steps": base64.b64encode(_leb128(steps)).decode("ascii"),
        "known": index.known,
    }


def _leb128(numbers: NDArray[np.int64]) -> bytes:
    """Numbers below 2 ** 28 as bytes: seven bits each, the lowest first, the eighth says that more follow."""
    lengths = 1 + (numbers >= 1 << 7) + (numbers >= 1 << 14) + (numbers >= 1 << 21)
    ends = np.cumsum(lengths)
    encoded = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for place in range(4):
        longer = lengths > place
        more = np.where(lengths[longer] > place + 1, 128, 0)
        encoded[(ends - lengths)[longer] + place] = (numbers[longer] >> 7 * place) % 128 + more
    return encoded.tobytes()


def _clusters(
    scene: Landscape, colours: Colours, codes: dict[str, int], kin_numbers: dict[str | None, int]
) -> list[dict[str, Any]]:
    number_of = {cluster.id: number for number, cluster in enumerate(scene.clusters)}
    clusters = []
    for number, cluster in enumerate(scene.clusters):
        nearest = [[number_of[near["id"]], near["similarity"]] for near in nearest_clusters(scene.model, number)]
        evidence = [
            [piece.kind, display_text(piece.value, MOST_TEXT), piece.in_cluster, piece.in_corpus]
            for piece in cluster.evidence[:10]
        ]
        own = {"kin": kin_numbers.get(cluster.kin, -1), "nearest": nearest, "evidence": evidence}
        clusters.append(_group(cluster, codes) | own | {"colour": colours.clusters[number]})
    return clusters


def _group(group: ClusterFacts, codes: dict[str, int]) -> dict[str, Any]:
    """What clusters and kin have in common; a label is the number of its family."""
    labels = [[codes[label], count] for label, count in list(group.labels.items())[:20]]
    seen = [group.first_seen[:10], group.last_seen[:10]]
    return {
        "id": group.id,
        "name": display_text(group.name, MOST_TEXT),
        "size": group.size,
        "labels": labels,
        "seen": seen,
    }


def _anomalies(engine: Engine, scene: Landscape, order: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The most unusual analyses as indices of ``order``, each with its reasons."""
    scores = scene.anomaly_scores[scene.point_of[order]]
    chosen = np.argsort(-scores, kind="stable")[:MOST_ANOMALIES]
    anomalies = []
    for rank, index in enumerate(chosen.tolist()):
        if scores[index] < scene.threshold:
            break
        reasons = _reasons(engine, scene.analyses[order[index]]) if rank < MOST_EXPLAINED else []
        shown = [[reason.kind, display_text(reason.text, MOST_REASON)] for reason in reasons[:4]]
        anomalies.append({"analysis": index, "reasons": shown})
    return anomalies


def _reasons(engine: Engine, analysis: str) -> list[Reason]:
    """Why an analysis is unusual, the weightiest reason first."""
    try:
        finding = engine.score_stored(analysis)
    except CuckooMLError:
        return []
    return finding.anomaly.reasons if finding and finding.anomaly else []


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
