"""To be described."""

from __future__ import annotations

import ipaddress
import re

from cuckoo_ml_plugin.behaviour.volatile import _DEFAULT_COMPUTER, _MAX_RAW, _RANDOM, COMPUTER, BoundedCache


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
