"""Values as malware chooses them, for whatever is shown on a page."""

from __future__ import annotations

from typing import Any

SCRIPTS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'-alert(3)-'",
    "</title></style></script><svg onload=alert(4)>",
    "javascript:alert(5)",
    "{{ 7*7 }}{% debug %}{{ request }}",
    "http://elsewhere.invalid/pixel.png",
    "\u202egnp.exe\u2066\u200f",
    "Z" + "\u0301" * 500,
    "no\nbreaks\r\n\ttabs\x00\x1b[31m",
    "<!-- --><base href=//elsewhere.invalid/><iframe src=//elsewhere.invalid>",
)
LONG = "W" * 500_000  # a section of 18 of them is still a document that MongoDB takes (16 MB)


def hostile_section() -> dict[str, Any]:
    """A section in which every text is hostile; its shape is as it should be."""
    texts = [*SCRIPTS, LONG]
    return {
        "schema": 2,
        "status": "scored",
        "message": SCRIPTS[0],
        "model": {"id": SCRIPTS[1], "fitted_at": SCRIPTS[2], "analyses": 10**12, "clusters": -1},
        "cluster": {
            "id": SCRIPTS[4],
            "name": "".join(SCRIPTS),
            "size": 3,
            "probability": 1e308,
            "labels": [{"label": text, "count": 1} for text in texts],
        },
        "kin": {
            "id": SCRIPTS[5],
            "name": "".join(SCRIPTS),
            "size": 10**12,
            "probability": -1e308,
            "labels": [{"label": text, "count": 1} for text in texts],
        },
        "anomaly": {
            "score": 0.99,
            "outlier_score": -5.0,
            "anomalous": True,
            "reasons": [{"kind": text, "text": text, "value": 1e308} for text in texts],
        },
        "similar": [
            {"analysis": text, "sha256": text, "similarity": 0.5, "cluster": text, "label": text}
            | {"date": text, "name": text, "runs": 10**12, "cluster_name": text}
            for text in texts
        ],
        "evidence": [{"kind": text, "value": text, "in_cluster": 2.0, "in_corpus": -1.0} for text in texts],
        "behash": "".join(SCRIPTS),
        "threat_scores": {
            "providers": [
                {
                    "provider": text,
                    "score": 1e308,
                    "indicators": 1,
                    "highest": [{"kind": text, "indicator": text, "score": 0.5}],
                    "prediction": -5.0,
                    "threshold": 0.1,
                }
                for text in texts
            ],
            "joint": 2.0,
            "disagreements": [
                {"provider": text, "score": 0.5, "prediction": 0.1, "threshold": 0.1, "text": text} for text in texts
            ],
        },
        "counts": {text[:100]: 1e308 for text in texts},
    }
