"""Commands that a message tells users to run: each can be pasted as it is, whatever the shell finds on its path."""

from __future__ import annotations

import shlex
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

PROGRAM = "cuckoo-ml"


def program() -> list[str]:
    """The words that run this program: the full path of ``cuckoo-ml``, or this Python with the package's name."""
    started = Path(sys.argv[0] if sys.argv else "")
    beside = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    for path in (started, *(folder / PROGRAM for folder in beside)):
        if path.name == PROGRAM and len(path.parts) > 1 and path.is_file():
            return [str(path.absolute())]
    return [sys.executable, "-m", "cuckoo_ml_plugin"]


def shell_command(*words: str | Path) -> str:
    """The words as one line for a shell, quoted where they need it."""
    return shlex.join(map(str, words))


def install_command(*requirements: str) -> str:
    """The line that installs packages for this Python: by its pip, or by uv where the environment has no pip."""
    pip = [sys.executable, "-m", "pip", "install"]
    uv = ["uv", "pip", "install", "--python", sys.executable]
    return shell_command(*(pip if find_spec("pip") else uv), *requirements)
