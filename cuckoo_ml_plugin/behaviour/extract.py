"""To be described."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.counts import count_features
from cuckoo_ml_plugin.behaviour.dynamic import add_calls, add_operations, add_processes, own_names
from cuckoo_ml_plugin.behaviour.network import add_network
from cuckoo_ml_plugin.behaviour.normalise import Normaliser
from cuckoo_ml_plugin.behaviour.static import add_dropped, add_signatures, add_static, add_strings
from cuckoo_ml_plugin.behaviour.token_values import (
    Found,
    presentable,
    smallest_by_hash,
    sorted_tokens,
    tokens_if_presentable,
)
from cuckoo_ml_plugin.report.report import Report

MAX_TOKENS: Final = 20_000  # of an analysis; the counts keep the true numbers


def extract(report: Report) -> Behaviour:
    """The behaviour of one analysis. Never raises, whatever is in the report; the same report gives the same tokens."""
    found = Found()
    names = Normaliser(*own_names(report))
    add_static(report, found)
    add_calls(report, found)
    add_operations(report, names, found)
    add_processes(report, names, found)
    add_network(report, found)
    add_dropped(report, names, found)
    add_signatures(report, found)
    add_strings(report, found)
    for values in found.values():
        values.pop("", None)
    tokens = tokens_if_presentable(_bounded(found))
    if tokens is None:
        tokens = sorted_tokens(_bounded({kind: presentable(values) for kind, values in found.items()}))
    return Behaviour(tokens, count_features(report, found), report.threat_scores)


def _bounded(values: Mapping[str, Collection[str]]) -> Mapping[str, Collection[str]]:
    """At most ``MAX_TOKENS`` values: the largest kinds give way, and keep those whose hashes are the smallest.

    Two analyses that share values therefore tend to keep the same ones.
    """
    if sum(map(len, values.values())) <= MAX_TOKENS:
        return values
    share, left = 0, MAX_TOKENS
    sizes = sorted(map(len, values.values()))
    for position, size in enumerate(sizes):
        share = left // (len(sizes) - position)
        if size > share:
            break
        left -= size
    return {kind: smallest_by_hash(kept, share) for kind, kept in values.items()}
