"""Commands that draw the corpus: ``plots`` and ``atlas``."""

from __future__ import annotations

from pathlib import Path

import click

from cuckoo_ml_plugin.cli.console import print_json, progress_bar, safe_text, show_missing, stdout
from cuckoo_ml_plugin.cli.options import pass_existing_home
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.extras import optional_package


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format",
    "formats",
    type=click.Choice(["png", "svg"]),
    multiple=True,
    help="Only this format (default: both); repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON: the paths of the files.")
@pass_existing_home
def plots(home: Home, folder: Path, formats: tuple[str, ...], as_json: bool) -> None:
    """Draw label bars, map, condensed tree, abnormal counts, distributions and growth into DIR."""
    from cuckoo_ml_plugin.landscape.landscape import landscape
    from cuckoo_ml_plugin.plots import write_plots
    from cuckoo_ml_plugin.plots.plot_files import FORMATS

    optional_package("matplotlib", "Plots")  # fails before anything is computed
    engine = Engine(home)
    engine.require_model()
    _say_what_maps_lack()
    with progress_bar("Computing the map") as update_bar:
        scene = landscape(engine, update_bar)
    written = []
    for path in write_plots(scene, folder, formats or FORMATS):
        written.append(str(path))
        if not as_json:
            stdout.print(safe_text(path, 1000), soft_wrap=True)
    if as_json:
        print_json(written)


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path), default=Path("atlas.html"))
@pass_existing_home
def atlas(home: Home, file: Path) -> None:
    """Write FILE (default: atlas.html), one self-contained page to explore the whole corpus."""
    from cuckoo_ml_plugin.atlas.html_page import write_atlas

    engine = Engine(home)
    engine.require_model()
    _say_what_maps_lack()
    with progress_bar("Computing the map") as update_bar:
        size = write_atlas(engine, file, update_bar)
    stdout.print(safe_text(f"{file.absolute()} ({size / 1e6:.1f} MB): open it in a browser.", 1000), soft_wrap=True)


def _say_what_maps_lack() -> None:
    from cuckoo_ml_plugin.landscape.positions import missing_for_maps

    if missing := missing_for_maps():
        show_missing("The map shows the first two principal components instead", missing)
