"""What a Linux analysis did, from its system calls: CAPE's strace, Cuckoo's systemtap, and Tracee's events.

Reports of the first two have no summary. Paths, addresses and programs are arguments of the calls. strace writes them
as C would (``"/etc/crontab"``, ``{sa_family=AF_INET, sin_port=htons(4444), ...}``), Tracee as JSON. Cuckoo numbers what
systemtap writes and takes it apart: ``{"p0": "6", "p1": ["AF_INET", "8.8.8.8", "53"]}``. All become operations by the
names of Cuckoo's summary, and connections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cuckoo_ml_plugin.report.values import integer, items, mapping, mappings, text, texts

MAX_EVENTS: Final = 1_000_000  # that are used of one analysis
_MAX_TEXT: Final = 4096  # characters of an argument
_MOST_NUMBERED: Final = 64  # arguments of a call, as Cuckoo cuts them
# Calls that no Windows function has the name of, and that nearly every Linux process makes.
LINUX_CALLS: Final = frozenset(("execve", "openat", "brk", "mmap", "exit_group", "clone", "newfstatat", "rt_sigaction"))

_OPENED: Final = frozenset(("open", "openat", "openat2", "creat", "security_file_open"))
_READ: Final = frozenset(("read", "pread", "pread64", "readv", "preadv", "preadv2", "vfs_read", "vfs_readv"))
_WRITTEN: Final = frozenset(
    ("write", "pwrite", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "vfs_write", "vfs_writev",
     "magic_write")
)  # fmt: skip
_EXISTS: Final = frozenset(
    ("access", "faccessat", "faccessat2", "stat", "stat64", "lstat", "lstat64", "newstat", "newlstat", "newfstatat",
     "fstatat", "fstatat64", "statx")
)  # fmt: skip
# Calls whose first path is the object of one operation.
_PATH_CALLS: Final = {
    "unlink": "file_deleted", "unlinkat": "file_deleted", "security_inode_unlink": "file_deleted",
    "truncate": "file_written", "mknod": "file_created", "mknodat": "file_created",
    "mkdir": "directory_created", "mkdirat": "directory_created", "rmdir": "directory_removed",
}  # fmt: skip
_MOVED: Final = frozenset(("rename", "renameat", "renameat2", "security_inode_rename"))
_LISTED: Final = frozenset(("getdents", "getdents64"))
_EXECUTED: Final = frozenset(("execve", "execveat", "sched_process_exec"))
_CONNECTED: Final = frozenset(("connect", "sendto", "sendmsg", "security_socket_connect"))
_PATHS: Final = ("pathname", "filename", "path", "cmdpath")
_OLD_PATHS: Final = ("oldname", "oldpath", "old_path")
_NEW_PATHS: Final = ("newname", "newpath", "new_path")

# The names of the arguments that systemtap only numbers; "" for one that is not used.
_IN_FOLDER: Final = ("dfd", "pathname", "", "flags")
_POSITIONS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("open", "creat", *_EXISTS, *_PATH_CALLS), ("pathname", "flags")),
    **dict.fromkeys(
        ("faccessat", "faccessat2", "newfstatat", "fstatat", "fstatat64", "mkdirat", "mknodat"), _IN_FOLDER
    ),
    **dict.fromkeys(("openat", "openat2", "statx", "unlinkat"), ("dfd", "pathname", "flags")),
    **dict.fromkeys((*_READ, *_WRITTEN, *_LISTED, "close"), ("fd",)),
    "rename": ("oldname", "newname"), "renameat": ("", "oldname", "", "newname"),
    "renameat2": ("", "oldname", "", "newname"), "execve": ("pathname", "argv"),
    "execveat": ("dfd", "pathname", "argv"),
    "connect": ("fd", "address"), "sendto": ("fd", "", "", "", "address"), "sendmsg": ("fd", "address"),
    "socket": ("family", "type"), "dup": ("fd",), "dup2": ("fd",), "dup3": ("fd",),
}  # fmt: skip

_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f", "a": "\a", "b": "\b"}
_DESCRIPTOR: Final = re.compile(r"(-?\d+)\s*(?:\((.*)\)|<(.*)>)?$", re.DOTALL)
_PORT: Final = re.compile(r"sin6?_port=htons\((\d+)\)")
_ADDRESS: Final = re.compile(r'inet_addr\("([0-9.]+)"\)|inet_pton\(AF_INET6, "([0-9a-fA-F:.]+)"')


class TracedProgram(NamedTuple):
    """A process by its program: its path, where it is known, and the command line."""

    path: str
    command_line: str


@dataclass(slots=True)
class TraceFacts:
    """What the events show."""

    operations: dict[str, list[Any]] = field(default_factory=dict)  # by the names of Cuckoo's summary
    connections: list[tuple[str, str, int]] = field(default_factory=list)  # tcp or udp, address, port
    programs: list[TracedProgram] = field(default_factory=list)  # of the processes, in their order
    names: list[str] = field(default_factory=list)  # of Tracee's events
    processes: list[str] = field(default_factory=list)  # names, of Tracee's events

    def add(self, operation: str, name: Any) -> None:
        """Note the object of an operation, unless it has no name."""
        if name:
            self.operations.setdefault(operation, []).append(name)


class _Event(NamedTuple):
    name: str
    arguments: Mapping[str, Any]
    result: Any

    @property
    def failed(self) -> bool:
        """Whether the call returned an error. A result that is not known is none."""
        value = self.result
        return value.lstrip().startswith("-") if isinstance(value, str) else isinstance(value, int) and value < 0

    def path(self, names: Iterable[str] = _PATHS) -> str:
        """The first argument with one of these names."""
        return next((value for name in names if (value := _unquoted(self.arguments.get(name)))), "")

    def has_flag(self, *flags: str) -> bool:
        """Whether any argument names one of these flags."""
        values = [value for name in ("flags", "flag", "how") if (value := self.arguments.get(name)) is not None]
        return any(flag in value for value in values if isinstance(value, str) for flag in flags)


def is_trace(behavior: Any) -> bool:
    """Whether a report's behaviour consists of the system calls of Linux alone, without a summary."""
    section = mapping(behavior)
    if mapping(section.get("summary")):
        return False
    calls = (call for process in mappings(section.get("processes")) for call in items(process.get("calls")))
    return any(_name_of(call) in LINUX_CALLS for call in calls)


def _name_of(call: Any) -> Any:
    name = call.get("api") if isinstance(call, Mapping) else getattr(call, "api", None)
    return name if isinstance(name, str) else None


def strace_facts(processes: Iterable[Mapping[str, Any]]) -> TraceFacts:
    """What the calls of CAPE's or Cuckoo's processes show."""
    facts = TraceFacts()
    left = MAX_EVENTS
    for process in processes:
        reading = _ProcessReading(facts)
        calls = items(process.get("calls"))[:left]
        left -= len(calls)
        for call in mappings(calls):
            name, arguments, result = text(call.get("api")), call.get("arguments"), call.get("return")
            if isinstance(arguments, Mapping) and "p0" in arguments:  # systemtap's, as Cuckoo numbers them
                reading.read(_Event(name, _named(name, arguments), call.get("return_value")))
            else:
                reading.read(_Event(name, _arguments(arguments), result))
        facts.programs.append(_program(process, reading))
    return facts


def tracee_facts(section: Any) -> TraceFacts:
    """What Tracee's events show: a list by process, or one list."""
    facts = TraceFacts()
    lists = section.values() if isinstance(section, Mapping) else [section]
    left = MAX_EVENTS
    for events in lists:
        reading = _ProcessReading(facts)
        listed = items(events)[:left]
        left -= len(listed)
        for event in mappings(listed):
            name = text(event.get("eventName"))
            facts.names.append(name)
            facts.processes.append(text(event.get("processName")))
            reading.read(_Event(name, _arguments(event.get("args")), event.get("returnValue")))
    return facts


def _program(process: Mapping[str, Any], reading: _ProcessReading) -> TracedProgram:
    """The program of a process. CAPE's ``process_name`` is the joined argv, or how the process was forked."""
    if "command_line" in process:  # Cuckoo's, whose name is the program's
        return TracedProgram(reading.program, reading.first_command_line)
    name = text(process.get("process_name"))
    if name.startswith("["):
        name = " ".join(_strings(name))
    if name.startswith(("(", "0x")) or re.match(r"(?:clone3?|v?fork)\(", name):
        name = ""
    return TracedProgram(reading.program, name or reading.command_line or reading.program)


class _ProcessReading:
    """Reads the events of one process, with the names of its open files and the kinds of its sockets."""

    def __init__(self, facts: TraceFacts) -> None:
        self.program = ""
        self.first_command_line = ""
        self.command_line = ""
        self._facts = facts
        self._files: dict[str, str] = {}
        self._protocols: dict[str, str] = {}

    def read(self, event: _Event) -> None:
        name, facts = event.name, self._facts
        if name in _OPENED:
            self._open(event)
        elif name in _READ or name in _WRITTEN or name in _LISTED:
            if not event.failed:
                operation = "file_read" if name in _READ else "file_written" if name in _WRITTEN else ""
                facts.add(operation or "directory_enumerated", event.path() or self._file(event))
        elif name in _EXISTS:
            facts.add("file_failed" if event.failed else "file_exists", event.path())
        elif name in _PATH_CALLS:
            if not event.failed:
                removed = name == "unlinkat" and event.has_flag("AT_REMOVEDIR")
                facts.add("directory_removed" if removed else _PATH_CALLS[name], event.path())
        elif name in _MOVED:
            names = [path for path in (event.path(_OLD_PATHS), event.path(_NEW_PATHS)) if path]
            if not event.failed:
                facts.add("file_moved", names)
        elif name in _EXECUTED:
            self._execute(event)
        elif name in _CONNECTED:
            self._connect(event)
        elif name == "socket":
            descriptor = _descriptor(event.result)[0]
            self._protocols[descriptor] = "udp" if "SOCK_DGRAM" in str(event.arguments.get("type"))[:100] else "tcp"
        elif name in ("dup", "dup2", "dup3"):
            old = next(iter(event.arguments.values()), None)
            self._note_file(event, self._files.get(_descriptor(old)[0], ""))
        elif name == "close":
            descriptor = _descriptor(event.arguments.get("fd"))[0]
            self._files.pop(descriptor, None)
            self._protocols.pop(descriptor, None)

    def _open(self, event: _Event) -> None:
        path, facts = event.path(), self._facts
        if event.failed:
            facts.add("file_failed", path)
            return
        facts.add("file_opened", path)
        if event.name == "creat" or event.has_flag("O_CREAT"):
            facts.add("file_created", path)
        if event.has_flag("O_TRUNC"):
            facts.add("file_written", path)
        self._note_file(event, path)

    def _note_file(self, event: _Event, path: str) -> None:
        """Note what the descriptor in a result stands for; a call that was cut off has no result."""
        descriptor, _ = _descriptor(event.result)
        if descriptor:
            self._files[descriptor] = path

    def _file(self, event: _Event) -> str:
        """The file that the call reads or writes: strace may give its name, else it is the one that was opened."""
        descriptor, name = _descriptor(event.arguments.get("fd"))
        path = self._files.get(descriptor) or name
        return "" if path in ("STDIN", "STDOUT", "STDERR") or path.startswith(("pipe:", "socket:", "anon_")) else path

    def _execute(self, event: _Event) -> None:
        if event.failed:
            return
        self.program = event.path() or self.program
        line = " ".join(_strings(event.arguments.get("argv")))
        if line:
            self.first_command_line = self.first_command_line or line
            self.command_line = line
            self._facts.add("command_line", line)

    def _connect(self, event: _Event) -> None:
        descriptor = _descriptor(event.arguments.get("fd", event.arguments.get("sockfd")))[0]
        for value in event.arguments.values():
            address, port = _endpoint(value)
            if address:
                self._facts.connections.append((self._protocols.get(descriptor, "tcp"), address, port))


# -- arguments ---------------------------------------------------------------------------------------------------------


def _arguments(value: Any) -> Mapping[str, Any]:
    """The arguments by name, without their C types. Of a call that CAPE does not know, they are one text."""
    if isinstance(value, Mapping):
        return value
    arguments: dict[str, Any] = {}
    for entry in items(value):
        if isinstance(entry, Mapping):
            arguments[text(entry.get("name")).rpartition(" ")[2].lstrip("*")] = entry.get("value")
        elif isinstance(entry, str):
            quoted = _QUOTED.search(entry[:_MAX_TEXT])
            if quoted is not None:
                arguments.setdefault("pathname", quoted[0])
            arguments.setdefault("flags", entry[:_MAX_TEXT])
    return arguments


def _named(call: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The numbered arguments of a call by their names, as far as they are used."""
    names = _POSITIONS.get(call)
    if names is None:
        return {}
    numbered = [arguments[key] for key in map("p{}".format, range(_MOST_NUMBERED)) if key in arguments]
    return {name: value for name, value in zip(names, _rejoined(numbered), strict=False) if name}


def _rejoined(values: Iterable[Any]) -> list[Any]:
    """The arguments as they were. Cuckoo cuts at each comma, also inside of a text, which then keeps its quotes."""
    whole: list[Any] = []
    pending: list[str] = []
    for value in values:
        if isinstance(value, str):
            value = _from_bytes(value)
            if pending or (value.startswith('"') and not _is_closed(value)):
                pending.append(value)
                if len(pending) == 1 or not _is_closed(value):
                    continue
                value, pending = ", ".join(pending), []
        elif isinstance(value, (list, tuple)):
            value = _rejoined(value)
        whole.append(value)
    return whole + pending


def _is_closed(piece: str) -> bool:
    """Whether a piece ends a quoted text; of a long text, systemtap writes the beginning and dots."""
    return piece.endswith(('"', '"...')) and piece != '"'


def _from_bytes(value: str) -> str:
    """A text whose bytes Cuckoo took for characters of Latin-1."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _unquoted(value: Any) -> str:
    """A text without the quotes and escapes of strace; an address or a number is none."""
    raw = text(value)[:_MAX_TEXT]
    if raw.startswith('"'):
        quoted = _QUOTED.match(raw)
        return _unescaped(quoted[1]) if quoted else ""
    return "" if raw == "NULL" or raw.startswith("0x") else raw


def _unescaped(raw: str) -> str:
    if "\\" not in raw:
        return raw

    def character(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] == "x" and len(escape) > 1:
            return chr(int(escape[1:], 16))
        return chr(int(escape, 8) & 0xFF) if escape[0] in "01234567" else _ESCAPED.get(escape, escape)

    plain = _ESCAPE.sub(character, raw)
    try:
        return plain.encode("latin-1").decode("utf-8", "replace")  # strace escapes each byte
    except UnicodeEncodeError:
        return plain


def _strings(value: Any) -> list[str]:
    """A list of texts, from JSON or as strace writes it: ``["sh", "-c", ...]``."""
    if isinstance(value, str):
        return [_unescaped(match) for match in _QUOTED.findall(value[: 4 * _MAX_TEXT])]
    return [_unquoted(word) if word.startswith('"') else word for word in texts(value)]


def _descriptor(value: Any) -> tuple[str, str]:
    """The number of a file, and its name where strace gives it: ``3 (/etc/crontab)``, ``3</etc/crontab>``."""
    match = _DESCRIPTOR.match(str(value)[:_MAX_TEXT]) if isinstance(value, (str, int)) else None
    return (match[1], match[2] or match[3] or "") if match else ("", "")


def _endpoint(value: Any) -> tuple[str, int]:
    """Address and port of a socket's address; an empty address if it is none of the internet."""
    if isinstance(value, Mapping):
        address = text(value.get("sin_addr")) or text(value.get("sin6_addr"))
        port = value.get("sin_port", value.get("sin6_port"))
        return address[:100], integer(port) or 0
    if isinstance(value, (list, tuple)):  # systemtap's: family, address, port
        family, address, port = ([text(entry) for entry in value[:3]] + ["", "", ""])[:3]
        return (address[:100], integer(port) or 0) if family in ("AF_INET", "AF_INET6") else ("", 0)
    raw = text(value)[:_MAX_TEXT]
    match = _ADDRESS.search(raw) if "sin" in raw else None
    if match is None:
        return "", 0
    port_match = _PORT.search(raw)
    return match[1] or match[2], int(port_match[1]) % 65536 if port_match else 0
