"""What an installation consists of: files of ours, and marked blocks in files of the host's."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file that is ours from its first byte to its last."""

    path: Path
    content: str


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of ours at the end of a file of the host's; ``clash``: a line that must not stand elsewhere in it."""

    path: Path
    content: str
    clash: str


Piece = OwnFile | Block


def web_block(settings: Path, content: str) -> list[Block]:
    """Our lines in the settings of a host's web interface; none where the host has no such file."""
    return [Block(settings, content, content.splitlines()[1].strip())] if settings.is_file() else []


def packaged(package: str, name: str) -> str:
    """A text that is shipped in a folder of the package."""
    return (files(package) / name).read_text(encoding="utf-8")
