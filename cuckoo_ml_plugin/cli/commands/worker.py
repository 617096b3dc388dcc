"""The command ``worker``: scores for Cuckoo 2.0, which runs on Python 2.7."""

from __future__ import annotations

import click

from cuckoo_ml_plugin.home import Home


@click.command()
@click.option(
    "--parent", type=click.IntRange(min=1), default=None, help="Exit when this process is no longer the parent."
)
@click.pass_obj
def worker(home: Home, parent: int | None) -> None:
    """Answer requests on standard input; Cuckoo 2.0's modules start this command."""
    from cuckoo_ml_plugin.hosts.worker import run

    run(home.path, parent)
