"""Tokens for network traffic: addresses, names, ports, requests, user agents, TLS."""

from __future__ import annotations

from cuckoo_ml_plugin.behaviour.addresses import network_host, url_path
from cuckoo_ml_plugin.behaviour.token_values import TokenValues, limit_names
from cuckoo_ml_plugin.report.report import Report

_LAST_SERVICE_PORT = 10_000  # a higher port is more often the client's end of a connection than a service
_MANY_PORTS = 64  # with more than these, which ports they are is chance


def add_network(report: Report, values: TokenValues) -> None:
    """Add the tokens of all network sections; none if the report has no such section."""
    network = report.network
    if network is None:
        return
    addresses = {*network.hosts, *network.answers, *(address for address, _ in network.tcp + network.udp)}
    values.add("host", map(network_host, limit_names(addresses)))
    values.add("domain", map(network_host, limit_names(network.domains + network.queries)))
    for protocol, flows in (("tcp", network.tcp), ("udp", network.udp)):
        ports = {port for _, port in flows if 0 < port <= _LAST_SERVICE_PORT}
        port_names = ports if len(ports) <= _MANY_PORTS else {"many"}
        values.add("port", (f"{protocol}/{port}" for port in port_names))
    requests = set(network.requests[:20_000])
    values.add("http", [f"{method.lower()} {network_host(name)}{url_path(path)}" for method, name, path, _ in requests])
    values.add("user_agent", [" ".join(agent.lower().split()) for *_, agent in requests])
    handshakes = set(network.tls[:20_000])
    values.add("tls", [network_host(name) for name, _ in handshakes])
    values.add("ja3", [ja3.lower() for _, ja3 in handshakes])
