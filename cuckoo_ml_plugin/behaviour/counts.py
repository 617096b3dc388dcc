"""Counts: how often an analysis did each thing. They include all ``:count:`` features of CuckooML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from cuckoo_ml_plugin.behaviour.kinds import FILE_KINDS
from cuckoo_ml_plugin.behaviour.tokens.token_values import TokenValues
from cuckoo_ml_plugin.report.report import CAPE, Report
from cuckoo_ml_plugin.report.values import items

# Count -> the lists in a host's summary whose lengths add up to it. A host without such a list has no such count.
_CUCKOO2: Final[Mapping[str, tuple[str, ...]]] = {
    "files_opened": ("file_opened",), "files_read": ("file_read",), "files_written": ("file_written",),
    "files_created": ("file_created", "file_recreated"), "files_deleted": ("file_deleted",),
    "files_copied": ("file_copied",), "files_renamed": ("file_moved",), "files_exists": ("file_exists",),
    "files_failed": ("file_failed",), "directories_created": ("directory_created",),
    "directories_enumerated": ("directory_enumerated",), "directories_removed": ("directory_removed",),
    "registry_opened": ("regkey_opened",), "registry_read": ("regkey_read",), "registry_written": ("regkey_written",),
    "registry_deleted": ("regkey_deleted",), "mutexes": ("mutex",), "commands": ("command_line",),
    "com_classes": ("guid",), "wmi_queries": ("wmi_query",),
}  # fmt: skip
_CAPE: Final[Mapping[str, tuple[str, ...]]] = {
    "files_opened": ("files",), "files_read": ("read_files",), "files_written": ("write_files",),
    "files_deleted": ("delete_files",), "registry_opened": ("keys",), "registry_read": ("read_keys",),
    "registry_written": ("write_keys",), "registry_deleted": ("delete_keys",), "mutexes": ("mutexes",),
    "commands": ("executed_commands",), "resolved_apis": ("resolved_apis",),
    "services_created": ("created_services",), "services_started": ("started_services",),
}  # fmt: skip


def count_features(report: Report, values: TokenValues) -> dict[str, int | float]:
    """The counts of one analysis, without those for which its report has no section."""
    counts: dict[str, int | float] = {
        "signatures": len(set(report.signatures)),
        "signature_severity": sum(report.severities.values()),
        "processes": len({process.name for process in report.processes}),
        "api_calls": sum(report.api_counts.values()) or len(report.calls.codes),
        "distinct_apis": len(values["api"]),
        "distinct_call_pairs": len(values["ngram"]),
        "libraries_loaded": len(values["library"]),
    }
    if report.file_size is not None:
        counts["file_size"] = report.file_size
    if report.static.present:
        counts |= _static_counts(report)
    if report.summary is not None:
        for name, operations in _lists(report).items():
            counts[name] = sum(len(items(report.summary.get(operation))) for operation in operations)
        counts["files_touched"] = len(set().union(*(values[kind] for kind in FILE_KINDS)))
    if report.network is not None:
        counts |= _network_counts(report)
    if report.dropped is not None:
        counts["dropped_files"] = len(report.dropped)
    if report.strings:
        counts["strings"] = len(report.strings)
    return counts


def _lists(report: Report) -> Mapping[str, tuple[str, ...]]:
    """The host's lists. What is read from events of Linux and Android has Cuckoo's names and no registry."""
    if not report.paths_are_posix:
        return _CAPE if report.host == CAPE else _CUCKOO2
    return {name: lists for name, lists in _CUCKOO2.items() if name.startswith(("files", "directories", "commands"))}


def _static_counts(report: Report) -> dict[str, int | float]:
    facts = report.static
    entropies = [entropy for _, entropy in facts.sections if entropy is not None and 0 <= entropy <= 8]
    counts: dict[str, int | float] = {
        "import_libraries": len(_distinct(name for name, _ in facts.imports)),
        "imports": sum(len(functions) for _, functions in facts.imports),
        "sections": len(facts.sections),
        "resources": len(facts.resources),
        "languages": len(_distinct(facts.languages)),
        "signers": len(facts.signers),
    }
    if entropies:
        counts["highest_section_entropy"] = max(entropies)
    return counts


def _network_counts(report: Report) -> dict[str, int | float]:
    network = report.network
    if network is None:
        return {}
    return {
        "hosts": len(_distinct(network.hosts)),
        "domains": len(_distinct(network.domains)),
        "dns_queries": len(_distinct(network.queries)),
        "tcp_hosts": len({address for address, _ in network.tcp}),
        "udp_hosts": len({address for address, _ in network.udp}),
        "flows": len(network.tcp) + len(network.udp),
        "icmp_messages": network.icmp,
        "http_requests": len(set(network.requests)),
        "tls_handshakes": len(network.tls),
    }


def _distinct(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}
