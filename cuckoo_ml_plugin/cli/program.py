"""The ``cuckoo-ml`` command: its own options, its subcommands, and its exit codes (0 done, 1 failed, 2 wrong usage)."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from cuckoo_ml_plugin.cli.interruption import ending_at_once
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import ENVIRONMENT_VARIABLE, Home, default_home
from cuckoo_ml_plugin.plumbing.ownership import become_owner, mending
from cuckoo_ml_plugin.version import __version__

_MODULES: Final = {
    "ask": ("score", "similar", "seen", "compare", "clusters", "kin", "anomalies", "births"),
    "assess": ("assess",),
    "demo": ("demo",),
    "export": ("export",),
    "fit": ("refit", "models"),
    "hosts": ("install", "uninstall", "doctor"),
    "import_": ("import",),
    "pictures": ("plots", "atlas"),
    "refresh": ("refresh",),
    "threat": ("threat-scores",),
    "upkeep": ("forget", "backup", "restore", "selftest"),
    "worker": ("worker",),
}
"""The commands of each module of ``commands``."""
COMMANDS: Final = {command: module for module, commands in _MODULES.items() for command in commands}


class _Commands(click.Group):
    """Imports the command that is called, and no other: the store's library alone takes longer than a short command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with ending_at_once():
            module = import_module(f"cuckoo_ml_plugin.cli.commands.{COMMANDS[cmd_name]}")
        commands = [value for value in vars(module).values() if isinstance(value, click.Command)]
        return next(command for command in commands if command.name == cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    envvar=ENVIRONMENT_VARIABLE,
    help="The folder of settings, store and models (default: $CUCKOO_ML_HOME, or ~/.cuckoo-ml).",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, package_name="cuckoo-ml-plugin")
@click.pass_context
def cli(context: click.Context, home: Path | None, debug: bool) -> None:
    """Have we seen this behaviour before? How sure are we? Is it unlike anything we know?

    Clusters, similar past analyses and anomaly scores for the reports of Cuckoo Sandbox 2.0 and CAPE.
    """
    context.obj = Home((home or default_home()).absolute())
    if context.obj.path.exists() and not context.obj.path.is_dir():
        raise CuckooMLError(f"{context.obj.path}: this is a file; --home must name a folder.")
    if context.invoked_subcommand in _MAKES_FILES_IN_HOME:
        become_owner(context.obj.path)  # what root makes there belongs to the host's user


def run() -> None:
    """Run the command line and exit; errors of this package and of the system are shown as one sentence."""
    debug = "--debug" in sys.argv[1:]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the terminal may lack our ellipsis or letters from malware
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        message = io.StringIO()
        error.show(file=message)  # repeats the arguments, which may be file names that a shell expanded
        for line in message.getvalue().splitlines():
            _say(line)
        sys.exit(2 if isinstance(error, click.UsageError) else 1)
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("\n")
        _say(f"Interrupted{_left_behind(sys.argv[1:])}.", "yellow")
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except (CuckooMLError, OSError, MemoryError) as error:
        if debug:
            raise
        _say(f"Error: {_error_text(error)}", "red")
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str, style: str = "") -> None:
    from cuckoo_ml_plugin.cli.console import safe_text, stderr

    stderr.print(safe_text(text, 2000), style=style, soft_wrap=True)


_MAKES_FILES_IN_HOME = frozenset({"demo", "forget", "import", "models", "refit", "threat-scores"})
_LEFT_BEHIND = {
    "import": "what was imported is stored, and the same command continues from there",
    "refit": "the model before it stays in force, and the next refit starts again",
    "score": "reports that were already written keep their new section",
    "forget": "what is not yet forgotten goes when the same command is repeated",
    "backup": "the file is as it was",
    "restore": "the home is as it was",
    "refresh": "updated findings are kept, and the same command continues from there",
}


def _left_behind(arguments: list[str]) -> str:
    """What an interrupted command leaves behind, as the end of a sentence; empty for most commands."""
    command = next((argument for argument in arguments if argument in COMMANDS), "")
    return f"; {_LEFT_BEHIND[command]}" if command in _LEFT_BEHIND else ""


def _error_text(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory; try fewer analyses, or fewer dimensions in [vectors]."
    if isinstance(error, PermissionError) and error.filename and os.path.lexists(error.filename):
        return f"{error.filename}: {error.strerror}{mending(Path(error.filename))}."
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}."
    return str(error)
