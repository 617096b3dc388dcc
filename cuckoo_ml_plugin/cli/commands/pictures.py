"""Commands that draw: ``plots`` and ``atlas``."""

from __future__ import annotations

from pathlib import Path

import click

from cuckoo_ml_plugin.cli.console import answer_json, answers, progress_bar, safe
from cuckoo_ml_plugin.cli.options import pass_existing_home
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "formats", type=click.Choice(["png", "svg"]), multiple=True, help="Default: both.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON: the files that were written.")
@pass_existing_home
def plots(home: Home, folder: Path, formats: tuple[str, ...], as_json: bool) -> None:
    """Draw the clusters' labels, the map, the condensed tree, abnormal counts, distributions and growth into DIR."""
    from cuckoo_ml_plugin.landscape.landscape import landscape
    from cuckoo_ml_plugin.plots import write_plots
    from cuckoo_ml_plugin.plots.write import FORMATS

    engine = Engine(home)
    engine.need_model()
    with progress_bar("Laying out the map") as tell:
        scene = landscape(engine, tell)
    written = []
    for path in write_plots(scene, folder, formats or FORMATS):
        written.append(str(path))
        if not as_json:
            answers.print(safe(path, 1000), soft_wrap=True)
    if as_json:
        answer_json(written)


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path), default=Path("atlas.html"))
@pass_existing_home
def atlas(home: Home, file: Path) -> None:
    """Write FILE (atlas.html): one page, which needs nothing else, with a map of the whole corpus to explore."""
    from cuckoo_ml_plugin.atlas.build import write_atlas

    engine = Engine(home)
    engine.need_model()
    with progress_bar("Laying out the map") as tell:
        size = write_atlas(engine, file, tell)
    answers.print(safe(f"{file.absolute()} ({size / 1e6:.1f} MB): open it in a browser.", 1000), soft_wrap=True)
