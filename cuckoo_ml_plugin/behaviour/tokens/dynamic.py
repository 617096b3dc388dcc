"""Tokens for what a sample did as it ran: API calls and their order, files, registry, mutexes, services."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import filterfalse, islice
from typing import Final

from cuckoo_ml_plugin.behaviour.tokens.addresses import library_name, network_host, url_name
from cuckoo_ml_plugin.behaviour.tokens.background import (
    WITHOUT_BACKGROUND,
    is_machines_command,
    is_machines_host,
    is_machines_mutex,
    is_machines_service,
)
from cuckoo_ml_plugin.behaviour.tokens.normalise import Normaliser
from cuckoo_ml_plugin.behaviour.tokens.processes import Processes
from cuckoo_ml_plugin.behaviour.tokens.token_values import TokenValues, limit_names
from cuckoo_ml_plugin.plumbing.text import printable
from cuckoo_ml_plugin.report.report import Report
from cuckoo_ml_plugin.report.values import texts

# Operation in a host's summary -> its kind. Where a line has two operations of one kind, the first is Cuckoo's, the
# second CAPE's.
_PATH_KINDS: Final = {
    "file_opened": "file_opened", "files": "file_opened",
    "file_read": "file_read", "read_files": "file_read",
    "file_written": "file_written", "write_files": "file_written",
    "file_deleted": "file_deleted", "delete_files": "file_deleted",
    "file_created": "file_created", "file_recreated": "file_created",
    "file_exists": "file_exists", "file_failed": "file_failed",
    "file_moved": "file_moved", "file_copied": "file_copied",
    "directory_created": "dir_created", "directory_enumerated": "dir_enumerated", "directory_removed": "dir_removed",
    "regkey_opened": "reg_opened", "keys": "reg_opened",
    "regkey_read": "reg_read", "read_keys": "reg_read",
    "regkey_written": "reg_written", "write_keys": "reg_written",
    "regkey_deleted": "reg_deleted", "delete_keys": "reg_deleted",
}  # fmt: skip
_MOST_VALUES: Final = 1_000
_TELLING: Final = re.compile(  # in a lower-case key: after one of its backslashes
    r"\\(?:currentversion\\(?:run|runonce|runonceex|runservices)(?:\\|$)|explorer\\run\\|active setup\\installed comp"
    r"|winlogon\\(?:shell|userinit|notify|taskman)|image file execution options\\|silentprocessexit\\|appinit_dlls"
    r"|services\\[^\\]+\\(?:imagepath|start|type|failurecommand|parameters\\servicedll)$|(?:open|runas)\\command(?:\\|$)"
    r"|policies\\(?:system|explorer|microsoft\\windows defender)|windows defender\\|security center\\|firewallpolicy\\"
    r"|internet settings\\(?:proxyserver|autoconfigurl)|explorer\\advanced\\(?:hidden|showsuperhidden|hidefileext)"
    r"|terminal server\\|control\\(?:lsa|safeboot|securityproviders)\\|control panel\\desktop\\(?:wallpaper|scrnsave)"
    r"|systemrestore\\|session manager\\(?:bootexecute|app)|windows script host\\settings\\enabled|browser helper"
    r"|command processor\\autorun|environment\\)"
)
_USER_FOLDER = re.compile(r":\\(?:users|documents and settings)\\([^\\\"]+)\\", re.IGNORECASE)
_HOME_FOLDER = re.compile(r"/home/([^/\s\"]+)/")
_IN_POSIX_TEMP = re.compile(r"^/(?:var/)?tmp/([^/\s\"]+)")
_IN_TEMP = re.compile(r"\\temp\\([^\\\"/:*?<>|]+\.[a-z0-9_]{1,5})(?=[\"\s]|$)", re.IGNORECASE)


def own_names(report: Report) -> tuple[set[str], set[str], set[str]]:
    """The names that belong to this run alone: of the sample, of the users and of the computers.

    The first process is the one that the host started, so a file in the temporary folder that it names is the sample.
    """
    sample = {name for name in (report.target, report.sha256, report.md5, report.sha1) if name and "/" not in name}
    for process in report.processes[:1]:
        for line in (process.command_line, process.path):
            sample.update((_IN_POSIX_TEMP if report.paths_are_posix else _IN_TEMP).findall(line[:2000]))
    users = {user for user in report.users if not user.endswith("$") and user.lower() != "system"}
    for process in report.processes[:100]:
        for line in (process.path, process.command_line):
            users.update(_USER_FOLDER.findall(line[:2000]))
            if report.paths_are_posix:
                users.update(_HOME_FOLDER.findall(line[:2000]))
    computers = report.computers | {user.rstrip("$") for user in report.users if user.endswith("$")}
    return sample, users, computers


def add_calls(report: Report, processes: Processes, values: TokenValues) -> None:
    """Add the API names, and the pairs of different calls that follow each other in one process."""
    calls = report.calls
    if any(processes.are_machines):
        calls = calls.of([place for place in processes.samples if place < len(calls.lengths)])
    values.add("api", calls.names)
    values.add("api", report.api_counts)
    values.add("ngram", calls.bigrams())


# --- operations of the summary ----------------------------------------------------------------------------------------


def operation_names(report: Report, operation: str) -> list[str]:
    """The names in one list of the summary. Of a pair (a file moved or copied: from, to), both are in it.

    CAPE's ``keys`` lists every key that was touched. Without those that were read, written or deleted, it is what
    Cuckoo calls opened.
    """
    value = (report.summary or {}).get(operation)
    if not isinstance(value, (list, tuple)):
        return []
    try:
        "".join(value)  # only strings can be joined: the fastest check that all are
        names = list(value)
    except TypeError:
        names = [name for entry in value for name in texts(entry if isinstance(entry, (list, tuple)) else [entry])]
    if operation == "keys":
        read_or_changed = (operation_names(report, other) for other in ("read_keys", "write_keys", "delete_keys"))
        return list(set(names).difference(*read_or_changed))
    return names


def add_operations(report: Report, names: Normaliser, values: TokenValues) -> None:
    """Add files, folders, registry, mutexes, services, libraries, COM and WMI, normalised, from the summary."""
    if report.summary is not None:
        for operation, kind in _PATH_KINDS.items():
            if operation in report.summary:
                paths = names.paths(limit_names(operation_names(report, operation)))
                values.add(kind, map(WITHOUT_BACKGROUND.__getitem__, paths))
        for operation, kind, normalise in _other_operations(names):
            if operation in report.summary:
                normalised = map(normalise, limit_names(operation_names(report, operation)))
                values.add(kind, filterfalse(_MACHINES.get(kind, _never), normalised))
        for operation in ("fetches_url", "downloads_file"):
            values.add("http", map(_request, limit_names(operation_names(report, operation))))
    values.add("library", map(library_name, limit_names(report.libraries)))


def add_registry_values(report: Report, names: Normaliser, values: TokenValues) -> None:
    """Add what was written to keys by which Windows starts programs or guards itself, normalised as a command line."""
    telling = ((key, content) for key, content in report.registry_values if _TELLING.search(key.lower()))
    for key, content in islice(telling, _MOST_VALUES):
        value = names.command(content)
        if value and printable(value) == value and "\\x" not in value:  # CAPE writes bytes that are no text as \x00
            values.add("reg_value", [f"{names.path(key)}={value}"])


def _other_operations(names: Normaliser) -> Iterable[tuple[str, str, Callable[[str], str]]]:
    return (
        ("mutex", "mutex", names.mutex),
        ("mutexes", "mutex", names.mutex),
        ("command_line", "command", names.command),
        ("executed_commands", "command", names.command),
        ("service_created", "service_created", names.file_name),
        ("created_services", "service_created", names.file_name),
        ("service_started", "service_started", names.file_name),
        ("started_services", "service_started", names.file_name),
        ("dll_loaded", "library", library_name),
        ("resolved_apis", "resolved_api", _resolved_api),
        ("guid", "com_class", str.lower),
        ("wmi_query", "wmi", lambda query: " ".join(query.lower().split())),
        ("resolves_host", "domain", network_host),
        ("connects_host", "domain", network_host),
        ("connects_ip", "host", network_host),
    )


_MACHINES: Final[Mapping[str, Callable[[str], bool]]] = {
    "command": is_machines_command, "mutex": is_machines_mutex, "service_started": is_machines_service,
    "domain": is_machines_host, "host": is_machines_host,
}  # fmt: skip


def _never(_name: str) -> bool:
    return False


def _resolved_api(raw: str) -> str:
    """``kernel32.dll.CreateFileW`` in the form of an import: ``kernel32.dll!createfilew``."""
    module, _, function = raw.lower().rpartition(".")
    return f"{library_name(module)}!{function}" if module else function


def _request(url: str) -> str:
    """A fetched URL in the form of an HTTP request: ``get evil.example/a``."""
    return f"get {url_name(url) or '/'}"
