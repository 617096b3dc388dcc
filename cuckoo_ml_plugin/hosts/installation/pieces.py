"""The pieces of an installation: files of our own, and marked blocks in files of the host's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file that is ours from its first byte to its last."""

    path: Path
    content: str


@dataclass(frozen=True, slots=True)
class Block:
    """Our lines at the end of one of the host's files; ``clash``: a line that must not occur in the rest of it."""

    path: Path
    content: str
    clash: str


@dataclass(frozen=True, slots=True)
class OldBlock:
    """A file of the host's that older versions put lines into: they are taken away, and no others are put there."""

    path: Path


Piece = OwnFile | Block | OldBlock

_WEB_SETTINGS: Final = """\
try:
    from {module} import install as install_cuckooml

    install_cuckooml(globals())
except Exception as error:  # the web interface starts without the plugin
    import logging

    logging.getLogger("cuckooml").error("cuckoo-ml-plugin could not be added to the web interface: %s", error)
"""


def web_settings_block(settings: Path, module: str) -> list[Block]:
    """The lines that add our pages to a host's Django settings; none where the host has no such file.

    Args:
        settings: the host's ``local_settings.py``.
        module: the module, as the host imports it, whose ``install`` takes the settings.
    """
    if not settings.is_file():
        return []
    content = _WEB_SETTINGS.format(module=module)
    return [Block(settings, content, content.splitlines()[1].strip())]


def with_home_line(configuration: str, line: str) -> str:
    """A configuration file as we ship it, with the admin's own line for the option ``home`` if there is one."""
    return re.sub(r"^home\b.*$", lambda _: line, configuration, flags=re.MULTILINE) if line else configuration


def packaged_text(package: str, name: str) -> str:
    """The text of a file that a folder of the package ships."""
    return (files(package) / name).read_text(encoding="utf-8")
