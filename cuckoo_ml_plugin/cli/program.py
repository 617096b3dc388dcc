"""The ``cuckoo-ml`` command itself: its options, and what becomes of errors (0 done, 1 failed, 2 wrong usage)."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click

from cuckoo_ml_plugin import __version__
from cuckoo_ml_plugin.cli.commands.ask import anomalies, clusters, score, similar
from cuckoo_ml_plugin.cli.commands.assess import assess
from cuckoo_ml_plugin.cli.commands.demo import demo
from cuckoo_ml_plugin.cli.commands.export import export
from cuckoo_ml_plugin.cli.commands.fit import models, refit
from cuckoo_ml_plugin.cli.commands.hosts import doctor, install, uninstall
from cuckoo_ml_plugin.cli.commands.import_ import import_
from cuckoo_ml_plugin.cli.commands.pictures import atlas, plots
from cuckoo_ml_plugin.cli.commands.refresh import refresh
from cuckoo_ml_plugin.cli.commands.threat import threat_scores
from cuckoo_ml_plugin.cli.commands.worker import worker
from cuckoo_ml_plugin.cli.console import errors, safe
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import ENVIRONMENT_VARIABLE, Home, default_home


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    envvar=ENVIRONMENT_VARIABLE,
    help="Where settings, store and models lie (default: $CUCKOO_ML_HOME, or ~/.cuckoo-ml).",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, package_name="cuckoo-ml-plugin")
@click.pass_context
def cli(context: click.Context, home: Path | None, debug: bool) -> None:
    """Have we seen this behaviour before, how sure are we, is it unlike anything we know?

    Clusters, similar past analyses and anomaly scores for the reports of Cuckoo Sandbox 2.0 and CAPE.
    """
    context.obj = Home((home or default_home()).absolute())
    if context.obj.path.exists() and not context.obj.path.is_dir():
        raise CuckooMLError(f"{context.obj.path}: is a file; --home names a folder.")


for command in (
    demo, import_, refit, score, similar, clusters, anomalies, assess, export, plots, atlas, models, refresh,
    threat_scores, install, uninstall, doctor, worker,
):  # fmt: skip
    cli.add_command(command)


def run() -> None:
    """Run the command line; every error that is ours, or the system's, is one sentence."""
    debug = "--debug" in sys.argv[1:]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # of a terminal without our dots, or malware's letters
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(file=said)  # it repeats what was typed, or what a shell made of ``*``
        for line in said.getvalue().splitlines():
            errors.print(safe(line, 2000), soft_wrap=True)
        sys.exit(2 if isinstance(error, click.UsageError) else 1)
    except (click.Abort, KeyboardInterrupt):
        errors.print(f"\nInterrupted{_left_behind(sys.argv[1:])}.", style="yellow", soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except (CuckooMLError, OSError, MemoryError) as error:
        if debug:
            raise
        errors.print(safe(f"Error: {_sentence(error)}", 2000), style="red", soft_wrap=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


_LEFT_BEHIND = {
    "import": "what was stored stays, the same command goes on from there",
    "refit": "the model that was in force stays in force; the next refit begins again",
    "score": "reports that were written stay written",
    "refresh": "findings that were brought up to date stay so, the same command does the rest",
}


def _left_behind(arguments: list[str]) -> str:
    """What an interrupted command leaves, for one of which that is a question."""
    command = next((one for one in arguments if one in cli.commands), "")
    return f"; {_LEFT_BEHIND[command]}" if command in _LEFT_BEHIND else ""


def _sentence(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; try fewer analyses or [vectors] dimensions."
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}."
    return str(error)
