"""The extraction: from one report to one behaviour."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from cuckoo_ml_plugin.behaviour.absence import with_task
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.counts import count_features
from cuckoo_ml_plugin.behaviour.tokens.dumps import add_dumps
from cuckoo_ml_plugin.behaviour.tokens.dynamic import add_calls, add_operations, add_registry_values, own_names
from cuckoo_ml_plugin.behaviour.tokens.network import add_network
from cuckoo_ml_plugin.behaviour.tokens.normalise import Normaliser
from cuckoo_ml_plugin.behaviour.tokens.processes import Processes, add_processes
from cuckoo_ml_plugin.behaviour.tokens.static import add_dropped, add_signatures, add_static, add_strings
from cuckoo_ml_plugin.behaviour.tokens.token_values import (
    TokenValues,
    presentable,
    smallest_by_hash,
    sorted_tokens,
    tokens_if_presentable,
)
from cuckoo_ml_plugin.report.report import Report

EXTRACTION: Final = 6
"""Version of the extraction. Raise it when a report gives other tokens, counts or scores: imports read it again."""
MAX_TOKENS: Final = 20_000  # of an analysis; the counts keep the true numbers


def extract(report: Report) -> Behaviour:
    """The behaviour of one analysis.

    Never raises, whatever the report contains. Equal reports give equal tokens.
    """
    values = TokenValues()
    names = Normaliser(*own_names(report), posix=report.paths_are_posix)
    add_static(report, values)
    processes = Processes(report, names)
    add_calls(report, processes, values)
    add_operations(report, names, values)
    add_registry_values(report, names, values)
    add_processes(processes, names, values)
    add_network(report, values)
    add_dropped(report, names, values)
    add_dumps(report, names, values)
    add_signatures(report, values)
    add_strings(report, values)
    for of_kind in values.values():
        of_kind.pop("", None)
    tokens = tokens_if_presentable(_bounded(values))
    if tokens is None:
        tokens = sorted_tokens(_bounded({kind: presentable(of_kind) for kind, of_kind in values.items()}))
    behaviour = Behaviour(tokens, count_features(report, values), report.threat_scores, " ".join(report.missing))
    return with_task(report, behaviour)


def _bounded(values: Mapping[str, Collection[str]]) -> Mapping[str, Collection[str]]:
    """At most ``MAX_TOKENS`` values, taken from the largest kinds first.

    A kind that is cut keeps the values with the smallest hashes, so two analyses that share values tend to keep the
    same ones.
    """
    if sum(map(len, values.values())) <= MAX_TOKENS:
        return values
    share, remaining = 0, MAX_TOKENS
    sizes = sorted(map(len, values.values()))
    for position, size in enumerate(sizes):
        share = remaining // (len(sizes) - position)
        if size > share:
            break
        remaining -= size
    return {kind: smallest_by_hash(of_kind, share) for kind, of_kind in values.items()}
