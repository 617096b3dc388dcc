"""Tokens for network traffic: addresses, names, ports, requests, user agents, TLS.

What the host's own allow-list names, and what any machine does by itself, is left out.
"""

from __future__ import annotations

import re

from cuckoo_ml_plugin.behaviour.tokens.addresses import network_host, url_path
from cuckoo_ml_plugin.behaviour.tokens.background import (
    MACHINES_PORTS,
    NAME_SERVER_PORT,
    is_certificate_look_up,
    is_machines_agent,
    is_machines_host,
)
from cuckoo_ml_plugin.behaviour.tokens.token_values import TokenValues, limit_names
from cuckoo_ml_plugin.report.network import NetworkFacts
from cuckoo_ml_plugin.report.report import Report

_LAST_SERVICE_PORT = 10_000  # a higher port is more often the client's end of a connection than a service
_MANY_PORTS = 64  # with more than these, which ports they are is chance
_RESOLVER = frozenset((NAME_SERVER_PORT,))
_LOCAL = re.compile(r"private (?:10\.|127\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.|192\.168\.|f[cde])")


def add_network(report: Report, values: TokenValues) -> None:
    """Add the tokens of all network sections; none if the report has no such section."""
    network = report.network
    if network is None:
        return
    machines = _MachinesTraffic(network)
    names = {*network.domains, *network.queries}
    values.add("domain", [host for name in limit_names(names) if not machines.is_host(host := network_host(name))])
    tcp, udp = machines.without("tcp"), machines.without("udp")
    addresses = {*network.hosts, *(address for _, address in network.answers), *tcp, *udp}
    hosts = [network_host(address) for address in limit_names(addresses) if not machines.is_address(address)]
    values.add("host", [host for host in hosts if not is_machines_host(host)])
    for protocol, called in (("tcp", tcp), ("udp", udp)):
        ports = {port for port in set().union(*called.values()) if 0 < port <= _LAST_SERVICE_PORT}
        port_names = ports if len(ports) <= _MANY_PORTS else {"many"}
        values.add("port", (f"{protocol}/{port}" for port in port_names))
    for method, name, path, agent in set(network.requests[:20_000]):
        _add_request(values, machines, method, network_host(name), url_path(path), " ".join(agent.lower().split()))
    for name, ja3 in set(network.tls[:20_000]):
        if not machines.is_host(host := network_host(name)):
            values.add("tls", [host])
            values.add("ja3", [ja3.lower()])


def _add_request(
    values: TokenValues, machines: _MachinesTraffic, method: str, host: str, path: str, agent: str
) -> None:
    if machines.is_host(host) or is_certificate_look_up(agent, path):
        return
    values.add("http", [f"{method.lower()} {host}{path}"])
    if not is_machines_agent(agent):  # a sample may have Windows' own download service fetch a file
        values.add("user_agent", [agent])


class _MachinesTraffic:
    """What in the traffic of an analysis is the machine's own."""

    def __init__(self, network: NetworkFacts) -> None:
        self._left_out = {network_host(name) for name in network.left_out}
        self._called = network.called
        self._ports = {"tcp": _ports_by_address(network.tcp), "udp": _ports_by_address(network.udp)}
        answers: dict[bool, set[str]] = {True: set(), False: set()}  # whether the name is the machine's own
        for name, address in network.answers:
            answers[self.is_host(network_host(name))].add(address)
        self._addresses = answers[True] - answers[False]
        tcp, udp = self._ports["tcp"], self._ports["udp"]
        self._addresses |= {
            address
            for address in tcp.keys() | udp.keys()
            if {*tcp.get(address, ()), *udp.get(address, ())} == _RESOLVER
        }
        self._addresses.difference_update(address for address, _ in self._called)
        self._listed = frozenset(network.hosts) if network.has_list else None

    def is_host(self, host: str) -> bool:
        """Whether a normalised name is one that the host's allow-list or ours names."""
        return host in self._left_out or is_machines_host(host)

    def is_address(self, address: str) -> bool:
        """Whether an address is that of a name server, or only of names that are the machine's own."""
        return address in self._addresses

    def without(self, protocol: str) -> dict[str, set[int]]:
        """The ports that were called at each address, without what the machine itself calls.

        What a watched process called is never the machine's own.
        """
        called: dict[str, set[int]] = {}
        for address, ports in self._ports[protocol].items():
            own = MACHINES_PORTS[protocol] if not self._is_contact(protocol, address) else ports
            kept = {port for port in ports if port not in own or (address, port) in self._called}
            if kept:
                called[address] = kept
        return called

    def _is_contact(self, protocol: str, address: str) -> bool:
        """Whether the machine itself calls an address: its own names' or one that the host does not list.

        The hosts list no local addresses, which a sample may search by TCP; by UDP any machine calls there.
        """
        if self.is_address(address):
            return True
        host = network_host(address)
        if _LOCAL.match(host):
            return protocol == "udp"
        return is_machines_host(host) or (self._listed is not None and address not in self._listed)


def _ports_by_address(flows: list[tuple[str, int]]) -> dict[str, set[int]]:
    ports: dict[str, set[int]] = {}
    for address, port in flows:
        if address in ports:
            ports[address].add(port)
        else:
            ports[address] = {port}
    return ports
