"""Frames of analyses: all that are stored, those similar to one, and two side by side."""

from __future__ import annotations

from collections.abc import Sequence

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.finding.section import SimilarAnalysis
from cuckoo_ml_plugin.frames.pandas_import import pd, shown
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.store.store import Store

_STORED = ("host", "sha256", "target", "label", "analysed_at", "stored_at", "machine", "has_behaviour")
_FINDING = ("cluster", "probability", "outlier_score", "anomaly_score", "anomalous", "kin", "kin_probability")
_SIMILAR = (
    "analysis", "similarity", "cluster", "label", "sha256", "same_file", "date", "name", "runs", "cluster_name",
)  # fmt: skip


def analysis_frame(store: Store) -> pd.DataFrame:
    """A row for each stored analysis: its sample, its host, and its latest finding. Raises StoreError."""
    analyses = list(store.analyses_in_order(behaviours=False))
    findings = store.findings_of([stored.analysis for stored in analyses])
    rows = [
        {"analysis": stored.analysis, **{name: getattr(stored, name) for name in _STORED}}
        | {name: getattr(findings.get(stored.analysis), name, None) for name in _FINDING}
        for stored in analyses
    ]
    frame = pd.DataFrame(rows, columns=["analysis", *_STORED, *_FINDING]).set_index("analysis")
    return shown(frame.assign(anomalous=[anomalous is True for anomalous in frame["anomalous"]]))


def similar_frame(similar: Sequence[SimilarAnalysis]) -> pd.DataFrame:
    """A row for each similar analysis of a finding, in the finding's order."""
    return shown(pd.DataFrame(similar, columns=list(_SIMILAR)).set_index("analysis"))


def comparison_frame(first: Behaviour, second: Behaviour, model: Model | None) -> pd.DataFrame:
    """A row for each token of two behaviours: kind, value, whether ``one`` and ``other`` have it, and ``background``.

    ``background``: whether a machine shows it by itself, as far as the model has learnt.
    """
    first_tokens, second_tokens = set(first.tokens), set(second.tokens)
    background = model.background_of(first) | model.background_of(second) if model else frozenset()
    rows = [
        (*token.split(":", 1), token in first_tokens, token in second_tokens, token in background)
        for token in sorted(first_tokens | second_tokens)
    ]
    return shown(pd.DataFrame(rows, columns=["kind", "value", "one", "other", "background"]))
