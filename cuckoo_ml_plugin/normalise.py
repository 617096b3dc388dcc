"""What differs between two runs of one sample, taken out of the names it uses; what tells samples apart, kept.

Drive letters, profiles and temporary folders become the variables that Windows knows them by, registry roots and
control sets their short names, and identifiers, long numbers and random-looking names a placeholder (``<guid>``,
``<hex>``, ``<n>``, ``<rand>``). The sample's own name becomes ``%sample%``, the user's ``%user%``, the machine's
``%computer%``.

Paths are normalised folder by folder: a folder that many names share is looked at once for an analysis, and a part that
many analyses share once for the process. That is what makes it cost less than a microsecond a name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Final

import xxhash

MAX_VALUE: Final = 300  # characters of a value; what is longer is cut, with a hash of the whole at its end
_MAX_RAW: Final = 1024  # characters of a name that are looked at
_LONGEST_NAME: Final = 260  # characters; to compile a pattern of longer ones takes quadratic time
_MAX_DEPTH: Final = 48  # folders of a path that are looked at
_CACHE_SIZE: Final = 20_000  # entries of a cache that lives as long as the process; then it starts again

SAMPLE: Final = "%sample%"
USER: Final = "%user%"
COMPUTER: Final = "%computer%"

# Names that are too common a word to be taken for a user's or a sample's wherever they appear.
_COMMON_NAMES: Final = frozenset(
    (  # noqa: SIM905
        "user users admin administrator public default system windows test sample file files data temp tmp app apps "
        "desktop documents software microsoft program programs setup install pc"
    ).split()
)


class BoundedCache(dict[str, str]):
    """A function of a string, remembered for the process; forgets all when full, so hostile input cannot grow it."""

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: str) -> str:
        value = self._function(key[:_MAX_RAW])
        if len(key) > MAX_VALUE:
            return value
        if len(self) >= _CACHE_SIZE:
            self.clear()
        self[key] = value
        return value


def printable(text: str) -> str:
    """``text`` without control characters, lone surrogates and direction marks: each becomes U+FFFD."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def bounded(text: str) -> str:
    """``text`` if it is short enough, else its beginning and a hash of the whole, together ``MAX_VALUE`` characters."""
    if len(text) <= MAX_VALUE:
        return text
    digest = xxhash.xxh3_64_hexdigest(text.encode("utf-8", "replace"))
    return f"{text[: MAX_VALUE - 17]}~{digest}"


# --- one part of a name -----------------------------------------------------------------------------------------------

_GUID: Final = r"\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?"
_VOLATILE = re.compile(rf"(?P<guid>{_GUID})|(?P<sid>s-1-5-21(?:-\d+)+)|(?P<word>[0-9a-z]*\d[0-9a-z]*)")
_DIGIT = re.compile(r"\d")
_LONG_NUMBER = re.compile(r"\d{5,}")
_HEXADECIMAL = re.compile(r"(?:0x)?[0-9a-f]{6,}$")
_ALTERNATIONS = re.compile(r"\d+")
_TEMPORARY = re.compile(r"(?:~df|~|tmp|nsi?s?|is-)[0-9a-z]{2,8}(?P<suffix>\.te?mp)$|[0-9a-z]{8}\.[0-9a-z]{3}$")
_DEFAULT_COMPUTER = re.compile(r"\b(?:desktop-[0-9a-z]{7}|win-[0-9a-z]{11})\b")
_CONSONANT_RUN = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}")
_VOWEL = re.compile(r"[aeiouy]")
# Letters that hardly ever follow each other in words or in the names that programs give their files.
_UNLIKELY_PAIR = re.compile(
    r"q[^u]|j[^aeiou]|[bcdfghjklmnpqrtvwxz]j|v[bcdfghjkmnpqtwxz]|x[bdfghjkrvwz]|z[bcdfgjkmnpqrtvx]"
)


def _volatile_word(match: re.Match[str]) -> str:
    """The placeholder of an identifier or a number inside a name, or the word itself."""
    word = match.group()
    if match.lastgroup == "guid":
        return "<guid>"
    if match.lastgroup == "sid":
        return "<sid>"
    if word.isdigit():
        return "<n>" if len(word) >= 5 else word
    if _HEXADECIMAL.match(word) and (len(word) >= 8 or word.startswith("0x")):
        return "<hex>"
    if len(word) >= 8 and len(_ALTERNATIONS.findall(word)) >= 3:
        return "<rand>"
    return _LONG_NUMBER.sub("<n>", word)


def without_identifiers(part: str) -> str:
    """A lower-case part of a name with identifiers and long numbers replaced: ``v4.0.30319`` becomes ``v4.0.<n>``."""
    if _DIGIT.search(part) is None:
        return part
    part = _DEFAULT_COMPUTER.sub(COMPUTER, part)
    return _VOLATILE.sub(_volatile_word, part)


def looks_random(word: str) -> bool:
    """Whether a lower-case word looks made up by a generator; would rather miss one than take a real word."""
    if len(word) < 6 or not word.isascii() or not word.isalpha():
        return False
    if _VOWEL.search(word) is None and len(word) >= 8:
        return True
    return _CONSONANT_RUN.search(word) is not None or len(_UNLIKELY_PAIR.findall(word)) >= 2


def without_random_names(part: str) -> str:
    """As :func:`without_identifiers`, and random-looking names replaced: for places that any program may write to."""
    temporary = _TEMPORARY.match(part)
    if temporary is not None and (temporary["suffix"] or _DIGIT.search(part)):
        return "<rand>" + (temporary["suffix"] or "")
    if part.isalpha():
        return "<rand>" if looks_random(part) else part
    part = without_identifiers(part)
    stem, dot, extension = part.rpartition(".")
    if dot and looks_random(stem):
        return f"<rand>.{extension}"
    return part


# --- folders and registry keys ----------------------------------------------------------------------------------------

_PLAIN = BoundedCache(without_identifiers)
_RANDOM = BoundedCache(without_random_names)
_GUID_KEPT = BoundedCache(lambda part: part if part.startswith("{") and len(part) == 38 else _PLAIN[part])


def _user(part: str) -> str:
    return part if part in ("public", "default", "all users", "") else "*"


def _hive(part: str) -> str:
    if not part.startswith("s-1-5-21-"):
        return part
    return "*_classes" if part.endswith("_classes") else "*"


_USERS = BoundedCache(_user)
_HIVES = BoundedCache(_hive)

# Folders under which a GUID is the name of something that means the same on each machine, such as a COM class.
_GUID_PARENTS: Final = frozenset(
    ("clsid", "interface", "typelib", "appid", "folderdescriptions", "namespace", "activatableclassid", "shellex")
)
_SYSTEM_PREFIXES: Final = ("%windir%", "%programfiles%", "hklm", "hkcr", "device", "pipe")
_SHARED_PREFIXES: Final = (*_SYSTEM_PREFIXES, "hkcu", "hku")  # where this analysis's own names are not looked for

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

# What the first part of a name means; drives are told by their colon.
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
    """The first part of a lower-case path or key in our words."""
    if len(part) == 2 and part[1] == ":":
        return "%systemdrive%" if part == "c:" else "%drive%"
    return _ROOTS.get(part) or _PLAIN[part]


class _OwnNames(dict[str, str]):
    """Parts of names for one analysis: what is its own (the sample's name) is known beforehand, the rest is shared."""

    def __init__(self, own: dict[str, str], shared: BoundedCache) -> None:
        super().__init__(own)
        self._shared = shared

    def __missing__(self, part: str) -> str:
        value = self._shared[part]
        if "@" in part:  # a cookie's file name begins with the user's
            value = "%user%@" + value.partition("@")[2]
        self[part] = value
        return value


def _fit_names(names: Iterable[str]) -> list[str]:
    """In lower case those that Windows could give a file, a user or a machine, and that are no mere letter or two."""
    return [name.lower() for name in names if 2 < len(name) <= _LONGEST_NAME]


# What to put in front of the names in a folder, and the table to look their last part up in.
_Folder = tuple[str, dict[str, str]]
_SYSTEM_FOLDERS: Final[dict[str, _Folder]] = {}
_SYSTEM_NAMES: Final[dict[str, str]] = {}  # as they are written -> normalised


def forget_system_names() -> None:
    """Empty what is remembered between analyses of the system's folders and names; for measuring."""
    _SYSTEM_FOLDERS.clear()
    _SYSTEM_NAMES.clear()


class Normaliser:
    """Names as one analysis uses them, without what only that run of the sample has.

    ``sample`` are the names and hashes of the sample, ``users`` and ``computers`` those of the machine; any case.
    """

    def __init__(self, sample: Iterable[str] = (), users: Iterable[str] = (), computers: Iterable[str] = ()) -> None:
        own = dict.fromkeys(_fit_names(computers), COMPUTER)
        own.update(dict.fromkeys(_fit_names(users), USER))
        names = set(_fit_names(sample))
        own.update(dict.fromkeys(names | {name.rpartition(".")[0] for name in names}, SAMPLE))
        self._own = {name: role for name, role in own.items() if name and name not in _COMMON_NAMES}
        words = sorted((name for name in self._own if len(name) > 3), key=len, reverse=True)
        self._own_pattern = (
            re.compile("(?<![a-z0-9])(?:" + "|".join(map(re.escape, words[:32])) + ")(?![a-z0-9])") if words else None
        )
        self._writable = _OwnNames(self._own, _RANDOM)
        self._folders: dict[str, _Folder] = {}
        self._paths: dict[str, str] = {}

    def path(self, raw: str) -> str:
        """A file, a folder or a registry key.

        ``C:\\Users\\joe\\AppData\\Local\\Temp\\a.exe`` becomes ``%temp%\\a.exe``.
        """
        return self.paths([raw])[0]

    def paths(self, names: Iterable[str]) -> list[str]:
        """The same for many; what was asked before costs least, then what lies in a known folder."""
        known, path = self._paths, self._path
        asked = list(names)
        return [
            value or known.get(raw) or path(raw)
            for raw, value in zip(asked, map(_SYSTEM_NAMES.get, asked), strict=True)
        ]

    def _path(self, raw: str) -> str:
        """One name that was not seen before: known from now on to this analysis, or to all if it is the system's."""
        head, _, tail = raw.lower().rpartition("\\")
        folder = _SYSTEM_FOLDERS.get(head)
        if folder is not None and tail and "/" not in tail:
            value = folder[0] + folder[1][tail]
            value = _ALIASES.get(value, value)
            if len(raw) <= MAX_VALUE:
                if len(_SYSTEM_NAMES) >= _CACHE_SIZE:
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

    def _odd_path(self, raw: str) -> str:
        """A name without a folder, of a device, with slashes the other way or with one at its end."""
        text = raw[:_MAX_RAW].lower().replace("/", "\\").rstrip("\\")
        text = _VOLUME.sub("c:", _DEVICE_PREFIX.sub("", text, count=1), count=1).lstrip("\\?")
        if "\\" in text:
            return self._path(text)
        root = _root(text)
        return root if root != text else self._writable[text]

    def _folder(self, head: str) -> _Folder:
        """The folder of a lower-case name, known from now on to this analysis, and to all if it is the system's."""
        folder = _SYSTEM_FOLDERS.get(head)
        if folder is None:
            if len(head) > _MAX_RAW or head.count("\\") > _MAX_DEPTH:
                head = "\\".join(head[:_MAX_RAW].split("\\")[:_MAX_DEPTH])
            parent, separator, tail = head.rpartition("\\")
            if separator:
                above = self._folders.get(parent) or self._folder(parent)
                name = above[0] + above[1][tail]
                name = _ALIASES.get(name, name)
            else:
                name = _root(head)
            folder = (name + "\\", self._table(name))
            if folder[1] is not self._writable and name.startswith(_SHARED_PREFIXES):
                if len(_SYSTEM_FOLDERS) >= _CACHE_SIZE:
                    _SYSTEM_FOLDERS.clear()
                _SYSTEM_FOLDERS[head] = folder
        self._folders[head] = folder
        return folder

    def _table(self, folder: str) -> dict[str, str]:
        """The table for the names in a normalised folder: how much of a name may be one run's own depends on where."""
        if folder == "%systemdrive%\\users":
            return _USERS
        if folder == "hku":
            return _HIVES
        if folder.rpartition("\\")[2] in _GUID_PARENTS:
            return _GUID_KEPT
        if folder.startswith(("hkcu", "hku")):
            return _RANDOM
        return _PLAIN if folder.startswith(_SYSTEM_PREFIXES) else self._writable

    def file_name(self, raw: str) -> str:
        """The last part of a path, normalised as if it stood in a folder that any program may write to."""
        name = raw[-_MAX_RAW:].lower().replace("/", "\\").rstrip("\\").rpartition("\\")[2]
        return self._writable[name]

    def _without_own(self, text: str) -> str:
        if self._own_pattern is None:
            return text
        return self._own_pattern.sub(lambda match: self._own[match.group()], text)

    def mutex(self, raw: str) -> str:
        """A mutex: process ids and handles in it are numbers that no two runs share."""
        return _MUTEXES[self._without_own(raw[:_MAX_RAW].lower())]

    def command(self, raw: str) -> str:
        """A command line: its paths normalised one by one, its numbers and identifiers replaced."""
        return _COMMANDS[self._without_own(raw[:_MAX_RAW].lower())]


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
    text = _MUTEX_NUMBER.sub("<n>", _VOLATILE.sub(_volatile_word, _MUTEX_SCOPE.sub("", text)))
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
    if word.startswith("/processid:{"):  # names the COM class that dllhost serves
        return word
    if word.isdigit() and len(word) > 2:  # a process id, a handle, a port
        return "<n>"
    return _RANDOM[word] if "." in word else without_identifiers(word)


_MUTEXES = BoundedCache(_mutex)
_COMMANDS = BoundedCache(_command)


# --- libraries, hosts, requests ---------------------------------------------------------------------------------------


def library(raw: str) -> str:
    """A library by its file name: ``C:\\Windows\\System32\\KERNEL32`` becomes ``kernel32.dll``."""
    return _LIBRARIES[raw]


def _library(raw: str) -> str:
    name = raw[-_MAX_RAW:].lower().replace("/", "\\").rpartition("\\")[2].strip()
    return name if "." in name or not name else name + ".dll"


def host(raw: str) -> str:
    """An address or a host name; addresses that mean nothing outside the sandbox are marked: ``private 10.0.0.5``."""
    return _HOSTS[raw]


def _host(raw: str) -> str:
    text = raw.strip().lower().rstrip(".")
    if not text[:1].isdigit() and ":" not in text:
        return _DEFAULT_COMPUTER.sub(COMPUTER, text)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if address.is_multicast or address.is_unspecified or text == "255.255.255.255":
        return "multicast"
    return f"private {text}" if address.is_private else text


_OPAQUE = re.compile(r"(?=.*\d)[0-9a-z%+=_]{20,}")


_HOSTS = BoundedCache(_host)
_LIBRARIES = BoundedCache(_library)


def url_path(raw: str) -> str:
    """The path of a request with identifiers replaced, and the names of its parameters without their values."""
    return _URL_PATHS[raw]


def _url_path(raw: str) -> str:
    path, _, query = raw.lower().partition("#")[0].partition("?")
    parts = "/".join("<rand>" if _OPAQUE.fullmatch(part) else _RANDOM[part] for part in path.split("/"))
    names = sorted({_RANDOM[field.partition("=")[0]] for field in query.split("&") if field})
    return f"{parts or '/'}?{'&'.join(names)}" if names else parts or "/"


_URL_PATHS = BoundedCache(_url_path)
