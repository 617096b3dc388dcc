r"""What any machine with Windows does by itself, whatever sample runs on it: no behaviour of the sample.

The functions ``is_machines_…`` answer whether the machine does this without any sample; it then makes no token. The
names are in ``machine_names``, each table with its reasons.

:func:`is_ordinary` answers whether nearly every program causes this, such as reading a library of Windows. It makes a
token, because in numbers it tells samples apart, but it explains nothing to a person and is no evidence.
"""

from __future__ import annotations

import re
from typing import Final

from cuckoo_ml_plugin.behaviour.tokens import machine_names as table
from cuckoo_ml_plugin.behaviour.tokens.machine_names import Reasons
from cuckoo_ml_plugin.behaviour.tokens.volatile import BoundedCache

NAME_SERVER_PORT: Final = 53
MACHINES_PORTS: Final = {"tcp": frozenset((NAME_SERVER_PORT,)), "udp": frozenset(table.UDP_PORTS)}
"""The ports that any machine uses: by UDP for addresses, names, time and the search for devices."""


def _names(reasons: Reasons) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in reasons.values() for name in names))


_DOMAINS: Final = frozenset(_names(table.DOMAINS))
_FIRST_LABELS: Final = frozenset(_names(table.FIRST_LABELS))
_AGENTS: Final = _names(table.AGENTS)
_PROCESSES: Final = frozenset(_names(table.PROCESSES))
_SERVICES: Final = frozenset(_names(table.SERVICES))
_PATHS: Final = (*_names(table.FILES), *_names(table.REGISTRY))
_FILE_NAMES: Final = frozenset(_names(table.FILE_NAMES))
_MUTEXES: Final = _names(table.MUTEXES)

_CERTIFICATE_PATH: Final = re.compile(r"\.(?:crl|crt|cer|p7c|stl|cab)$|/ocsp|/<rand>$")
_COMMAND: Final = re.compile(  # as the service manager, the task scheduler and COM start what they start
    r"(?:%windir%\\system32\\)?(?:wbem\\)?(?:svchost\.exe (?:.* )?-k |dllhost\.exe /processid:|taskeng\.exe [<{]"
    r"|wmiadap\.exe /|wmiprvse\.exe -|werfault\.exe -|wermgr\.exe|conhost\.exe|sppsvc\.exe|services\.exe|lsass\.exe"
    r"|taskhost(?:w|ex)?\.exe|dwm\.exe|searchindexer\.exe|searchprotocolhost\.exe|searchfilterhost\.exe|audiodg\.exe"
    r"|runtimebroker\.exe|backgroundtaskhost\.exe|securityhealth(?:host|service)\.exe|sihost\.exe|compattelrunner\.exe"
    r"|usoclient\.exe|wuauclt\.exe|trustedinstaller\.exe|microsoftedgecp\.exe|unsecapp\.exe|wsqmcons\.exe|mobsync\.exe)"
    r"|%windir%\\(?:explorer\.exe$|servicing\\|winsxs\\)|%programfiles%\\(?:microsoft\\edge|google\\update\\)"
    r"|%programfiles%\\microsoft office\\(?:root\\)?office\d+\\msoia\.exe"
)
_AGENT: Final = re.compile(r"(?:.*\\)?py(?:thon)?w?\.exe .*\\agent\.pyw?$", re.IGNORECASE)
_DROPPED: Final = re.compile(
    r"__psscriptpolicytest|powershell_transcript\.|microsoftedge_x64|.*\.(?:automatic|custom)destinations-ms$"
)
_OPEN_WITH: Final = re.compile(r"hkcu\\.*\\explorer\\fileexts(?:\\[^\\]*)?(?:\\openwith|$)")  # Explorer's menus


def is_machines_host(name: str) -> bool:
    """Whether a normalised host name or address is one that any machine with Windows contacts by itself."""
    if name == "multicast" or name.partition(".")[0] in _FIRST_LABELS:
        return True
    while name:  # the name itself and each domain above it
        if name in _DOMAINS:
            return True
        name = name.partition(".")[2]
    return False


def is_machines_agent(agent: str) -> bool:
    """Whether a user agent in lower case is that of a service of Windows or of an updater."""
    return agent.startswith(_AGENTS)


def is_certificate_look_up(agent: str, path: str) -> bool:
    """Whether a request is Windows' look-up of a certificate, at whatever issuer."""
    return agent.startswith("microsoft-cryptoapi") and _CERTIFICATE_PATH.search(path) is not None


def is_machines_process(name: str, path: str) -> bool:
    """Whether a program, by its normalised name and path, is one that runs on any machine by itself.

    A path that is not known counts as that of Windows. A program of that name elsewhere is not Windows' own.
    """
    return name in _PROCESSES and ("\\" not in path or path.startswith(table.PROCESS_FOLDERS))


def is_machines_command(command: str) -> bool:
    """Whether a normalised command line starts a process of Windows or of an updater as Windows itself does."""
    return _COMMAND.match(command) is not None or is_agent(command)


def is_agent(command: str) -> bool:
    """Whether a command line, normalised or not, starts the sandbox's own agent."""
    return _AGENT.match(command.replace('"', "").strip()) is not None


def is_machines_service(name: str) -> bool:
    """Whether Windows or an updater starts this service by itself."""
    return name in _SERVICES


def is_machines_mutex(name: str) -> bool:
    """Whether a normalised mutex is made by a library of Windows or by an updater."""
    return name.startswith(_MUTEXES)


def is_machines_dropped(name: str) -> bool:
    """Whether a dropped file of this normalised name is one of Windows' own, such as a cache."""
    return name in _FILE_NAMES or _DROPPED.match(name) is not None


def _without_background(path: str) -> str:
    is_machines = (
        path.startswith(_PATHS) or path.rpartition("\\")[2] in _FILE_NAMES or _OPEN_WITH.match(path) is not None
    )
    return "" if is_machines else path


WITHOUT_BACKGROUND: Final = BoundedCache(_without_background)
"""A normalised path or key as it is, or an empty text if any machine uses it by itself."""


# -- what nearly every program causes ----------------------------------------------------------------------------------
_FILE_LOOKS: Final = frozenset(("file_opened", "file_read", "file_exists", "file_failed", "dir_enumerated"))
_KEY_LOOKS: Final = frozenset(("reg_opened", "reg_read"))
_PROBES: Final = re.compile(r"vbox|vmware|virtual ?(?:box|machine|pc)|qemu|xen|sandbox|disk\\enum|defender|machineguid")
_SHIPPED: Final = ("api-ms-win-", "ext-ms-")


def is_ordinary(kind: str, value: str) -> bool:
    """Whether nearly every program causes this: looking at Windows' own folders and keys, loading its libraries.

    A look that searches for a virtual machine or for protection is not ordinary.
    """
    if value in table.DEVICES or kind == "task":
        return True
    if kind in _FILE_LOOKS:
        return (value in table.FOLDERS or value.startswith(table.WINDOWS_FOLDERS)) and _PROBES.search(value) is None
    if kind in _KEY_LOOKS:
        is_windows = "\\" not in value or value in table.BARE_KEYS or value.startswith(table.WINDOWS_KEYS)
        return is_windows and _PROBES.search(value) is None
    return kind == "library" and (value.startswith(_SHIPPED) or value.rpartition(".")[0] in table.WINDOWS_LIBRARIES)
