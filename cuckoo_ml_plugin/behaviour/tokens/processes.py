"""Tokens for the processes that the host watched, and which of them run on the machine anyway.

CAPE also watches services of Windows, as soon as the sample uses one. What such a process does by itself is none of the
sample's doing, unless the sample started it or injected code into it.
"""

from __future__ import annotations

from cuckoo_ml_plugin.behaviour.tokens.background import is_agent, is_machines_command, is_machines_process
from cuckoo_ml_plugin.behaviour.tokens.normalise import Normaliser
from cuckoo_ml_plugin.behaviour.tokens.token_values import TokenValues
from cuckoo_ml_plugin.report.report import CAPE, Report

_MOST_PROCESSES = 5_000


class Processes:
    """The processes of an analysis: their normalised names, and whether each is the machine's own."""

    def __init__(self, report: Report, names: Normaliser) -> None:
        self.watched = report.processes[:_MOST_PROCESSES]
        self.names = [names.file_name(process.name or process.path) for process in self.watched]
        self._place_of = {process.pid: place for place, process in enumerate(self.watched) if process.pid is not None}
        may_be = [False] * len(self.watched)  # the first is the one that the host started
        if report.host == CAPE and not report.paths_are_posix:
            injected = {dump.target_pid for dump in report.dumps if dump.target_pid is not None}
            for place, process in enumerate(self.watched[1:], 1):
                path = names.path(process.path) if process.path else ""
                may_be[place] = process.pid not in injected and is_machines_process(self.names[place], path)
        self.are_machines = [
            self._is_machines(place, may_be) or (place > 0 and is_agent(process.command_line[:2000]))
            for place, process in enumerate(self.watched)
        ]

    def parent(self, place: int) -> int | None:
        """The place of the process that started one; None if the host did not watch it."""
        parent = self.watched[place].parent
        found = self._place_of.get(parent) if parent is not None else None
        return None if found == place else found

    def _is_machines(self, place: int, may_be: list[bool]) -> bool:
        """Whether a process and all above it may be the machine's own: what the sample started is not."""
        above: int | None = place
        seen: set[int] = set()
        while above is not None and above not in seen:
            if not may_be[above]:
                return False
            seen.add(above)
            above = self.parent(above)
        return True

    @property
    def samples(self) -> list[int]:
        """The places of those that are not the machine's own."""
        return [place for place, is_machines in enumerate(self.are_machines) if not is_machines]


def add_processes(processes: Processes, names: Normaliser, values: TokenValues) -> None:
    """Add the names, the parents and the command lines of the processes that are not the machine's own."""
    for place in processes.samples:
        values.add("process", [processes.names[place]])
        parent = processes.parent(place)
        if parent is not None:
            values.add("child_process", [f"{processes.names[parent]}>{processes.names[place]}"])
        line = processes.watched[place].command_line
        if line and not is_machines_command(command := names.command(line)):
            values.add("command", [command])
