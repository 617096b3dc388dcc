"""The command line as a user calls it, in this process: exit code, answer and messages."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from cuckoo_ml_plugin.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def cuckoo_ml(home: Path, *arguments: object) -> Done:
    """Run ``cuckoo-ml --home HOME ARGUMENTS``."""
    out, err = io.StringIO(), io.StringIO()
    command = ["cuckoo-ml", "--home", str(home), *map(str, arguments)]
    with mock.patch.object(sys, "argv", command), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Done(code, out.getvalue(), err.getvalue())
