"""Tokens of what a sample sent: addresses, names, ports, requests, user agents, TLS."""

from __future__ import annotations

from cuckoo_ml_plugin.behaviour.addresses import host, url_path
from cuckoo_ml_plugin.behaviour.token_values import Found, few_enough
from cuckoo_ml_plugin.report.report import Report

_LAST_SERVICE_PORT = 10_000  # above, a port is more often one end of a connection than a service's address
_MANY_PORTS = 64  # more than that, and which ones they are is chance


def add_network(report: Report, found: Found) -> None:
    """All of it; nothing if the host saw no network."""
    network = report.network
    if network is None:
        return
    addresses = {*network.hosts, *network.answers, *(address for address, _ in network.tcp + network.udp)}
    found.add("host", map(host, few_enough(addresses)))
    found.add("domain", map(host, few_enough(network.domains + network.queries)))
    for protocol, flows in (("tcp", network.tcp), ("udp", network.udp)):
        ports = {port for _, port in flows if 0 < port <= _LAST_SERVICE_PORT}
        few = ports if len(ports) <= _MANY_PORTS else {"many"}
        found.add("port", (f"{protocol}/{port}" for port in few))
    requests = set(network.requests[:20_000])
    found.add("http", [f"{method.lower()} {host(name)}{url_path(path)}" for method, name, path, _ in requests])
    found.add("user_agent", [" ".join(agent.lower().split()) for *_, agent in requests])
    handshakes = set(network.tls[:20_000])
    found.add("tls", [host(name) for name, _ in handshakes])
    found.add("ja3", [ja3.lower() for _, ja3 in handshakes])
