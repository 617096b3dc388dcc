"""Normalised names of files, folders, registry keys, mutexes and commands.

Normalisation removes what differs between two runs of one sample and keeps what tells samples apart. Drive letters,
profiles and temporary folders become the variables by which Windows knows them. Registry roots and control sets get
their short names. Identifiers, long numbers and random-looking names become placeholders (``<guid>``, ``<hex>``,
``<n>``, ``<rand>``). The sample's own name becomes ``%sample%``, the user's ``%user%``, the machine's ``%computer%``.

Paths are normalised folder by folder. A folder is normalised once an analysis however many names are in it, and a part
of a name once a process however many analyses share it. Thus a name costs less than a microsecond.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from cuckoo_ml_plugin.behaviour.tokens.volatile import (
    CACHE_SIZE,
    COMPUTER,
    MAX_NAME,
    VOLATILE,
    WITHOUT_IDENTIFIERS,
    WITHOUT_RANDOM_NAMES,
    BoundedCache,
    looks_random,
    placeholder,
    without_identifiers,
)
from cuckoo_ml_plugin.plumbing.text import MAX_VALUE

_MAX_OWN_NAME: Final = 260  # characters; compiling a pattern of longer names takes quadratic time
_MAX_DEPTH: Final = 48  # folders of a path that are used

SAMPLE: Final = "%sample%"
USER: Final = "%user%"

# Words too common to be replaced wherever they appear, even if a user or a sample has them for a name.
_COMMON_NAMES: Final = frozenset(
    (  # noqa: SIM905
        "user users admin administrator public default system windows test sample file files data temp tmp app apps "
        "desktop documents software microsoft program programs setup install pc"
    ).split()
)


_GUID_KEPT = BoundedCache(lambda part: part if part.startswith("{") and len(part) == 38 else WITHOUT_IDENTIFIERS[part])


def _user(part: str) -> str:
    return part if part in ("public", "default", "all users", "") else "*"


def _hive(part: str) -> str:
    if not part.startswith("s-1-5-21-"):
        return part
    return "*_classes" if part.endswith("_classes") else "*"


_USERS = BoundedCache(_user)
_HIVES = BoundedCache(_hive)

# Folders in which a GUID names something that is the same on each machine, such as a COM class.
_GUID_PARENTS: Final = frozenset(
    ("clsid", "interface", "typelib", "appid", "folderdescriptions", "namespace", "activatableclassid", "shellex")
)
_SYSTEM_PREFIXES: Final = ("%windir%", "%programfiles%", "hklm", "hkcr", "device", "pipe")
_POSIX_SYSTEM: Final = frozenset(("bin", "boot", "etc", "lib", "lib32", "lib64", "opt", "sbin", "sys", "system", "usr"))
_SHARED_PREFIXES: Final = (*_SYSTEM_PREFIXES, "hkcu", "hku")  # below these, the analysis's own names are not replaced

_ALIASES: Final[dict[str, str]] = {
    "%systemdrive%\\windows": "%windir%",
    "%systemdrive%\\winnt": "%windir%",
    "%windir%\\syswow64": "%windir%\\system32",
    "%windir%\\sysnative": "%windir%\\system32",
    "%systemdrive%\\program files": "%programfiles%",
    "%systemdrive%\\program files (x86)": "%programfiles%",
    "%systemdrive%\\progra~1": "%programfiles%",
    "%systemdrive%\\progra~2": "%programfiles%",
    "%programfiles%\\common files": "%commonprogramfiles%",
    "%systemdrive%\\programdata": "%programdata%",
    "%systemdrive%\\progra~3": "%programdata%",
    "%systemdrive%\\docume~1": "%systemdrive%\\users",
    "%systemdrive%\\documents and settings": "%systemdrive%\\users",
    "%systemdrive%\\users\\*": "%profile%",
    "%systemdrive%\\users\\all users": "%programdata%",
    "%systemdrive%\\users\\public": "%public%",
    "%programdata%\\application data": "%programdata%",
    "%profile%\\appdata\\roaming": "%appdata%",
    "%profile%\\application data": "%appdata%",
    "%profile%\\applic~1": "%appdata%",
    "%profile%\\appdata\\local": "%localappdata%",
    "%profile%\\local settings": "%localappdata%",
    "%profile%\\locals~1": "%localappdata%",
    "%localappdata%\\application data": "%localappdata%",
    "%localappdata%\\temp": "%temp%",
    "%windir%\\temp": "%temp%",
    "%temp%\\low": "%temp%",
    "hklm\\software\\wow6432node": "hklm\\software",
    "hkcu\\software\\wow6432node": "hkcu\\software",
    "hklm\\software\\classes": "hkcr",
    "hkcu\\software\\classes": "hkcr",
    "hkcr\\wow6432node": "hkcr",
    "hku\\*": "hkcu",
    "hku\\*_classes": "hkcr",
    "registry\\machine": "hklm",
    "registry\\user": "hku",
    **{f"hklm\\system\\controlset00{number}": "hklm\\system\\currentcontrolset" for number in range(1, 6)},
}

# The first part of a name -> what it stands for. Drives are recognised by their colon.
_ROOTS: Final[dict[str, str]] = {
    "hkey_local_machine": "hklm",
    "hkey_current_user": "hkcu",
    "hkey_classes_root": "hkcr",
    "hkey_current_config": "hklm\\system\\currentcontrolset\\hardware profiles\\current",
    "hkey_users": "hku",
    "systemroot": "%windir%",
    "%systemroot%": "%windir%",
    "%userprofile%": "%profile%",
    "%allusersprofile%": "%programdata%",
    "%programfiles(x86)%": "%programfiles%",
    "%homedrive%": "%systemdrive%",
    "%tmp%": "%temp%",
}
_DEVICE_PREFIX = re.compile(r"\\(?:\?\?|\\\?|\\\.|dosdevices|global\?\?)\\(?:global\\)?(?:unc\\)?")
_VOLUME = re.compile(r"\\?(?:device\\)?(?:harddiskvolume\d+|harddisk\d+\\partition\d+|volume\{[0-9a-f-]{36}\})(?=\\|$)")


def _root(part: str) -> str:
    """The first part of a lower-case path or key, normalised."""
    if len(part) == 2 and part[1] == ":":
        return "%systemdrive%" if part == "c:" else "%drive%"
    return _ROOTS.get(part) or WITHOUT_IDENTIFIERS[part]


class _OwnNames(dict[str, str]):
    """Normalised parts of names for one analysis: its own names (such as the sample's) first, the rest from a cache."""

    def __init__(self, own: dict[str, str], shared: BoundedCache) -> None:
        super().__init__(own)
        self._shared = shared

    def __missing__(self, part: str) -> str:
        value = self._shared[part]
        if "@" in part:  # the name of a cookie's file begins with the user's name
            value = "%user%@" + value.partition("@")[2]
        self[part] = value
        return value


def _usable_names(names: Iterable[str]) -> list[str]:
    """In lower case, the names of three characters or more that Windows could give a file, a user or a machine."""
    return [name.lower() for name in names if 2 < len(name) <= _MAX_OWN_NAME]


# The prefix of the names in a folder, and the dictionary that normalises their last part.
_Folder = tuple[str, dict[str, str]]
_SYSTEM_FOLDERS: Final[dict[str, _Folder]] = {}
_SYSTEM_NAMES: Final[dict[str, str]] = {}  # as written in reports -> normalised


def forget_system_names() -> None:
    """Empty the caches of the system's folders and names, which live as long as the process; for benchmarks."""
    _SYSTEM_FOLDERS.clear()
    _SYSTEM_NAMES.clear()


class Normaliser:
    """Normalises the names that one analysis uses.

    ``sample`` are the names and hashes of the sample, ``users`` and ``computers`` the names on the machine, in any
    case. They are replaced by ``%sample%``, ``%user%`` and ``%computer%``.
    """

    def __init__(
        self,
        sample: Iterable[str] = (),
        users: Iterable[str] = (),
        computers: Iterable[str] = (),
        *,
        posix: bool = False,
    ) -> None:
        """``posix``: paths are those of Linux, Android or macOS."""
        self._posix = posix
        own = dict.fromkeys(_usable_names(computers), COMPUTER)
        own.update(dict.fromkeys(_usable_names(users), USER))
        names = set(_usable_names(sample))
        own.update(dict.fromkeys(names | {name.rpartition(".")[0] for name in names}, SAMPLE))
        self._own = {name: role for name, role in own.items() if name and name not in _COMMON_NAMES}
        words = sorted((name for name in self._own if len(name) > 3), key=len, reverse=True)
        self._own_pattern = (
            re.compile("(?<![a-z0-9])(?:" + "|".join(map(re.escape, words[:32])) + ")(?![a-z0-9])") if words else None
        )
        self._writable = _OwnNames(self._own, WITHOUT_RANDOM_NAMES)
        self._folders: dict[str, _Folder] = {}
        self._paths: dict[str, str] = {}

    def path(self, raw: str) -> str:
        """A file, a folder or a registry key.

        ``C:\\Users\\joe\\AppData\\Local\\Temp\\a.exe`` becomes ``%temp%\\a.exe``.
        """
        return self.paths([raw])[0]

    def paths(self, names: Iterable[str]) -> list[str]:
        """As :meth:`path`, for many names. A name that was seen before is the quickest, then one in a known folder."""
        if self._posix:
            return [self._posix_path(raw) for raw in names]
        own_paths, path = self._paths, self._path
        raw_names = list(names)
        return [
            value or own_paths.get(raw) or path(raw)
            for raw, value in zip(raw_names, map(_SYSTEM_NAMES.get, raw_names), strict=True)
        ]

    def _path(self, raw: str) -> str:
        """One new name. Its value is kept for this analysis, or for the process if the name is the system's."""
        head, _, tail = raw.lower().rpartition("\\")
        folder = _SYSTEM_FOLDERS.get(head)
        if folder is not None and tail and "/" not in tail:
            value = folder[0] + folder[1][tail]
            value = _ALIASES.get(value, value)
            if len(raw) <= MAX_VALUE:
                if len(_SYSTEM_NAMES) >= CACHE_SIZE:
                    _SYSTEM_NAMES.clear()
                _SYSTEM_NAMES[raw] = value
            return value
        if not head or not tail or head[:1] == "\\" or "/" in tail:
            value = self._odd_path(raw)
        else:
            folder = self._folders.get(head) or self._folder(head)
            value = folder[0] + folder[1][tail]
            value = _ALIASES.get(value, value)
        self._paths[raw] = value
        return value

    def _posix_path(self, raw: str) -> str:
        """``/home/joe/.cache/x`` becomes ``/home/%user%/.cache/x``, and the numbers of processes become ``<n>``."""
        parts = raw[:MAX_NAME].lower().split("/")[:_MAX_DEPTH]
        while len(parts) > 1 and not parts[-1]:
            parts.pop()
        top = parts[1] if len(parts) > 1 and not parts[0] else ""
        if top in ("proc", "dev"):
            named = ["<n>" if part.isdigit() else self._own.get(part) or WITHOUT_IDENTIFIERS[part] for part in parts]
        elif top in _POSIX_SYSTEM:
            named = [self._own.get(part) or WITHOUT_IDENTIFIERS[part] for part in parts]
        else:
            named = [self._writable[part] if part else "" for part in parts]
            if top == "home" and len(parts) > 2:
                named[2] = USER
        return "/".join(named) or "/"

    def _odd_path(self, raw: str) -> str:
        """A name without a folder, a name of a device, one with forward slashes, or one that ends in a slash."""
        text = raw[:MAX_NAME].lower().replace("/", "\\").rstrip("\\")
        text = _VOLUME.sub("c:", _DEVICE_PREFIX.sub("", text, count=1), count=1).lstrip("\\?")
        if "\\" in text:
            return self._path(text)
        root = _root(text)
        return root if root != text else self._writable[text]

    def _folder(self, head: str) -> _Folder:
        """The folder of a lower-case name. It is kept for this analysis, and for the process if it is the system's."""
        folder = _SYSTEM_FOLDERS.get(head)
        if folder is None:
            if len(head) > MAX_NAME or head.count("\\") > _MAX_DEPTH:
                head = "\\".join(head[:MAX_NAME].split("\\")[:_MAX_DEPTH])
            parent, separator, tail = head.rpartition("\\")
            if separator:
                above = self._folders.get(parent) or self._folder(parent)
                name = above[0] + above[1][tail]
                name = _ALIASES.get(name, name)
            else:
                name = _root(head)
            folder = (name + "\\", self._parts_in(name))
            if folder[1] is not self._writable and name.startswith(_SHARED_PREFIXES):
                if len(_SYSTEM_FOLDERS) >= CACHE_SIZE:
                    _SYSTEM_FOLDERS.clear()
                _SYSTEM_FOLDERS[head] = folder
        self._folders[head] = folder
        return folder

    def _parts_in(self, folder: str) -> dict[str, str]:
        """The dictionary that normalises a name in this folder: which part of a name varies depends on where it is."""
        if folder == "%systemdrive%\\users":
            return _USERS
        if folder == "hku":
            return _HIVES
        if folder.rpartition("\\")[2] in _GUID_PARENTS:
            return _GUID_KEPT
        if folder.startswith(("hkcu", "hku")):
            return WITHOUT_RANDOM_NAMES
        return WITHOUT_IDENTIFIERS if folder.startswith(_SYSTEM_PREFIXES) else self._writable

    def file_name(self, raw: str) -> str:
        """The last part of a path, normalised as in a folder that any program may write to."""
        name = raw[-MAX_NAME:].lower().replace("/", "\\").rstrip("\\").rpartition("\\")[2]
        return self._writable[name]

    def _without_own_names(self, text: str) -> str:
        if self._own_pattern is None:
            return text
        return self._own_pattern.sub(lambda match: self._own[match.group()], text)

    def mutex(self, raw: str) -> str:
        """A mutex, without process ids and handles: no two runs share these numbers."""
        return _MUTEXES[self._without_own_names(raw[:MAX_NAME].lower())]

    def command(self, raw: str) -> str:
        """A command line, with its paths normalised and its numbers and identifiers replaced."""
        text = self._without_own_names(raw[:MAX_NAME].lower())
        if not self._posix:
            return _COMMANDS[text]
        words = text.replace('"', " ").replace("'", " ").split()
        return " ".join(self._posix_path(word) if word.startswith("/") else _argument(word) for word in words)


_MUTEX_SCOPE = re.compile(r"^(?:\\sessions\\\d+)?\\?(?:basenamedobjects\\)?(?:local\\)?")
_MUTEX_NUMBER = re.compile(r"(?<![0-9a-z])\d{3,}(?![0-9a-z])")
_WORD = re.compile(r"(?<![a-z0-9<%])[a-z]{6,}(?![a-z0-9>%])")
_SPACED_FOLDERS: Final = (
    ("c:\\program files (x86)\\", "%programfiles%\\"),
    ("c:\\program files\\", "%programfiles%\\"),
    ("c:\\documents and settings\\", "c:\\users\\"),
    ("\\local settings\\", "\\locals~1\\"),
    ("\\application data\\", "\\applic~1\\"),
    ("\\start menu\\", "\\start_menu\\"),
)


def _mutex(text: str) -> str:
    text = _MUTEX_NUMBER.sub("<n>", VOLATILE.sub(placeholder, _MUTEX_SCOPE.sub("", text)))
    return _WORD.sub(lambda match: "<rand>" if looks_random(match.group()) else match.group(), text)


def _command(text: str) -> str:
    text = " ".join(text.replace('"', " ").split())
    for folder, name in _SPACED_FOLDERS:
        text = text.replace(folder, name)
    names = Normaliser()
    return " ".join(
        names.path(word) if "\\" in word and not word.startswith("s-1-5-") else _argument(word)
        for word in text.split(" ")
    )


def _argument(word: str) -> str:
    if word.startswith("/processid:{"):  # the GUID names the COM class that dllhost serves
        return word
    if word.isdigit() and len(word) > 2:  # a process id, a handle, a port
        return "<n>"
    return WITHOUT_RANDOM_NAMES[word] if "." in word else without_identifiers(word)


_MUTEXES = BoundedCache(_mutex)
_COMMANDS = BoundedCache(_command)
