"""Names of libraries and network hosts, and paths of requests, in the form that they have in tokens."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from cuckoo_ml_plugin.behaviour.tokens.volatile import (
    COMPUTER,
    DEFAULT_COMPUTER,
    MAX_NAME,
    WITHOUT_RANDOM_NAMES,
    BoundedCache,
)

_SCHEME: Final = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_OPAQUE: Final = re.compile(r"(?=.*\d)[0-9a-z%+=_]{20,}")


def library_name(raw: str) -> str:
    """A library by its file name: ``C:\\Windows\\System32\\KERNEL32`` becomes ``kernel32.dll``."""
    return _LIBRARY_NAMES[raw]


def network_host(raw: str) -> str:
    """An address or a host name; an address without a meaning outside the sandbox is marked: ``private 10.0.0.5``."""
    return _NETWORK_HOSTS[raw]


def url_path(raw: str) -> str:
    """The path of a request with identifiers replaced, and the names of its parameters without their values."""
    return _URL_PATHS[raw]


def url_name(url: str) -> str:
    """Host and path of a URL, as a request for it has them: ``evil.example/a?id``."""
    name, _, path = _SCHEME.sub("", url).partition("/")
    return f"{network_host(name)}{url_path('/' + path)}" if name or path else ""


def _library_name(raw: str) -> str:
    name = raw[-MAX_NAME:].lower().replace("/", "\\").rpartition("\\")[2].strip()
    return name if "." in name or not name else name + ".dll"


def _network_host(raw: str) -> str:
    text = raw.strip().lower().rstrip(".")
    if not text[:1].isdigit() and ":" not in text:
        return DEFAULT_COMPUTER.sub(COMPUTER, text)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if address.is_multicast or address.is_unspecified or text == "255.255.255.255":
        return "multicast"
    return f"private {text}" if address.is_private else text


def _url_path(raw: str) -> str:
    path, _, query = raw.lower().partition("#")[0].partition("?")
    parts = "/".join("<rand>" if _OPAQUE.fullmatch(part) else WITHOUT_RANDOM_NAMES[part] for part in path.split("/"))
    names = sorted({WITHOUT_RANDOM_NAMES[field.partition("=")[0]] for field in query.split("&") if field})
    return f"{parts or '/'}?{'&'.join(names)}" if names else parts or "/"


_LIBRARY_NAMES: Final = BoundedCache(_library_name)
_NETWORK_HOSTS: Final = BoundedCache(_network_host)
_URL_PATHS: Final = BoundedCache(_url_path)
