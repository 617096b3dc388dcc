"""The command ``export``: files for other tools, or single clusters for MISP and STIX."""

from __future__ import annotations

from pathlib import Path

import click

from cuckoo_ml_plugin.cli.console import print_json, safe_text, show_missing, stderr, stdout
from cuckoo_ml_plugin.cli.options import pass_existing_home
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import MissingPackageError
from cuckoo_ml_plugin.export.formats import CLUSTER_FORMATS, TABLE_FORMATS
from cuckoo_ml_plugin.home import Home


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--cluster", "clusters", metavar="ID", multiple=True,
              help="Write this cluster (id or name) as MISP event and STIX bundle instead; repeatable.")  # fmt: skip
@click.option("--tlp", type=click.Choice(["clear", "green", "amber", "red"]), default=None,
              help="Who a cluster may be shared with (Traffic Light Protocol; default: amber).")  # fmt: skip
@click.option("--format", "formats", type=click.Choice([*TABLE_FORMATS, *CLUSTER_FORMATS]), multiple=True,
              help="Only this format (csv, parquet; with --cluster: misp, stix); repeatable. Default: all for which the"
              " packages are installed.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON: the paths of the files.")
@pass_existing_home
def export(
    home: Home, folder: Path, clusters: tuple[str, ...], tlp: str | None, formats: tuple[str, ...], as_json: bool
) -> None:
    """Write CuckooML's tables and Parquet files into DIR, or single clusters for MISP and STIX."""
    from cuckoo_ml_plugin.export.export_files import write_cluster, write_tables

    if tlp and not clusters:
        raise click.UsageError("--tlp marks an exported cluster; add --cluster.")
    fitting = CLUSTER_FORMATS if clusters else TABLE_FORMATS
    for name in formats:
        if name not in fitting:
            remedy = "leave --cluster out" if clusters else "add --cluster"
            raise click.UsageError(f"--format {name} does not fit: {remedy}, or choose of {', '.join(fitting)}.")
    engine = Engine(home)
    missing: dict[str, MissingPackageError] = {}  # by sentence, so that each is shown once for several clusters

    def note(error: MissingPackageError) -> None:
        missing[str(error)] = error

    with stderr.status("Writing ..."):
        if clusters:
            parts = [write_cluster(engine, cluster, folder, tlp or "amber", formats, note) for cluster in clusters]
            written = [path for part in parts for path in part]
        else:
            written = write_tables(engine, folder, formats, note)
    if as_json:
        print_json([str(path) for path in written])
    else:
        for path in written:
            stdout.print(safe_text(path, 1000), soft_wrap=True)
    if not clusters and engine.model() is None:
        lacking = f"Left out, as there is no model yet: all tables but the features; {engine.step_to_model()}"
        stderr.print(safe_text(lacking, 1000), style="yellow", soft_wrap=True)
    for error in missing.values():
        show_missing("Left out", error)
