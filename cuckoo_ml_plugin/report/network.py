"""Network traffic as the hosts report it: ``network`` of Cuckoo and CAPE, and ``suricata`` of CAPE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cuckoo_ml_plugin.report.values import integer, items, mapping, mappings, text, texts


@dataclass(slots=True)
class NetworkFacts:
    """Names and addresses as the host wrote them, in its order, with duplicates."""

    hosts: list[str] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(default_factory=list)  # name, address
    tcp: list[tuple[str, int]] = field(default_factory=list)  # address, port
    udp: list[tuple[str, int]] = field(default_factory=list)
    requests: list[tuple[str, str, str, str]] = field(default_factory=list)  # method, host, path, user agent
    tls: list[tuple[str, str]] = field(default_factory=list)  # server name, JA3 hash
    icmp: int = 0  # messages
    called: set[tuple[str, int]] = field(default_factory=set)  # those of tcp and udp that watched processes called
    has_list: bool = False  # whether the host lists hosts, without those that its allow-list names
    left_out: set[str] = field(default_factory=set)  # names that were looked up and that the host's allow-list names


def network_facts(results: Mapping[str, Any]) -> NetworkFacts | None:
    """The network traffic of an analysis; None if the report has neither section."""
    if not (isinstance(results.get("network"), Mapping) or isinstance(results.get("suricata"), Mapping)):
        return None
    network, suricata = mapping(results.get("network")), mapping(results.get("suricata"))
    facts = NetworkFacts(
        has_list=isinstance(network.get("hosts"), (list, tuple)),
        hosts=_names(network.get("hosts"), "ip"),
        domains=_names(network.get("domains"), "domain"),
        tcp=_connections(network.get("tcp")),
        udp=_connections(network.get("udp")),
        icmp=len(items(network.get("icmp"))),
    )
    facts.hosts += [address for entry in items(network.get("dead_hosts")) for address in texts(entry)[:1]]
    for query in mappings(network.get("dns")):
        facts.queries += texts(query.get("request"))
        facts.answers += [
            (text(query.get("request")), data)
            for answer in mappings(query.get("answers"))
            if answer.get("type") == "A" and (data := text(answer.get("data")))
        ]
    for section in (network.get("http"), network.get("http_ex"), network.get("https_ex"), suricata.get("http")):
        facts.requests += [request for entry in mappings(section) if (request := _request(entry))[1] or request[2]]
    for handshake in mappings(suricata.get("tls")):
        ja3 = handshake.get("ja3")
        facts.tls.append((text(handshake.get("sni")), text(mapping(ja3).get("hash")) or text(ja3)))
    if isinstance(network.get("domains"), (list, tuple)):
        facts.left_out = _queries(suricata.get("dns")).difference(facts.domains, facts.queries)
    return facts


def _queries(value: Any) -> set[str]:
    """The names that Suricata saw being looked up."""
    return {name for entry in mappings(value) if (name := text(mapping(entry.get("dns")).get("rrname")))}


def _names(value: Any, key: str) -> list[str]:
    """The names in a list of names (Cuckoo) or of mappings with the name under ``key`` (CAPE)."""
    return [name for entry in items(value) if (name := text(entry) or text(mapping(entry).get(key)))]


def _connections(value: Any) -> list[tuple[str, int]]:
    return [
        (address, integer(flow.get("dport")) or 0) for flow in mappings(value) if (address := text(flow.get("dst")))
    ]


def _request(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Method, host, path and user agent. ``uri`` is a whole URL in ``http`` and a path elsewhere.

    Suricata also lists responses whose request it did not see. CAPE writes ``None`` for the fields of such a request,
    and the path is a note of libhtp's.
    """
    path = text(entry.get("path")) if text(entry.get("path")).startswith("/") else text(entry.get("uri"))
    host = _first_text(entry, "host", "hostname")
    if path.startswith("/libhtp::"):
        path = ""
    elif "://" in path[:12]:
        rest = path.partition("://")[2]
        host, path = host or rest.partition("/")[0], "/" + rest.partition("/")[2]
    return _first_text(entry, "method", "http_method"), host, path, _first_text(entry, "user-agent", "ua")


def _first_text(entry: Mapping[str, Any], *keys: str) -> str:
    """The first of the fields that has a text."""
    return next((value for key in keys if (value := text(entry.get(key))) and value != "None"), "")
