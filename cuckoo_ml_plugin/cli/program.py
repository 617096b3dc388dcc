"""The ``cuckoo-ml`` command: its own options, its subcommands, and its exit codes (0 done, 1 failed, 2 wrong usage)."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import click

from cuckoo_ml_plugin.cli.commands.ask import anomalies, births, clusters, compare, kin_, score, seen, similar
from cuckoo_ml_plugin.cli.commands.assess import assess
from cuckoo_ml_plugin.cli.commands.demo import demo
from cuckoo_ml_plugin.cli.commands.export import export
from cuckoo_ml_plugin.cli.commands.fit import models, refit
from cuckoo_ml_plugin.cli.commands.hosts import doctor, install, uninstall
from cuckoo_ml_plugin.cli.commands.import_ import import_
from cuckoo_ml_plugin.cli.commands.pictures import atlas, plots
from cuckoo_ml_plugin.cli.commands.refresh import refresh
from cuckoo_ml_plugin.cli.commands.threat import threat_scores
from cuckoo_ml_plugin.cli.commands.upkeep import backup, forget, restore, selftest
from cuckoo_ml_plugin.cli.commands.worker import worker
from cuckoo_ml_plugin.cli.console import safe_text, stderr
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import ENVIRONMENT_VARIABLE, Home, default_home
from cuckoo_ml_plugin.plumbing.ownership import become_owner, mending
from cuckoo_ml_plugin.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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


for command in (
    demo, import_, refit, score, similar, seen, compare, clusters, kin_, anomalies, births, assess, export, plots,
    atlas, models, refresh, threat_scores, forget, backup, restore, install, uninstall, doctor, selftest, worker,
):  # fmt: skip
    cli.add_command(command)


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
            stderr.print(safe_text(line, 2000), soft_wrap=True)
        sys.exit(2 if isinstance(error, click.UsageError) else 1)
    except (click.Abort, KeyboardInterrupt):
        stderr.print(f"\nInterrupted{_left_behind(sys.argv[1:])}.", style="yellow", soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except (CuckooMLError, OSError, MemoryError) as error:
        if debug:
            raise
        stderr.print(safe_text(f"Error: {_error_text(error)}", 2000), style="red", soft_wrap=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


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
    command = next((argument for argument in arguments if argument in cli.commands), "")
    return f"; {_LEFT_BEHIND[command]}" if command in _LEFT_BEHIND else ""


def _error_text(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory; try fewer analyses, or fewer dimensions in [vectors]."
    if isinstance(error, PermissionError) and error.filename and os.path.lexists(error.filename):
        return f"{error.filename}: {error.strerror}{mending(Path(error.filename))}."
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}."
    return str(error)
