"""The command ``export``: files for other tools, and one cluster as intelligence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import click

from cuckoo_ml_plugin.cli.show import answer_json, answers, errors, safe
from cuckoo_ml_plugin.desk import desk_package
from cuckoo_ml_plugin.engine import Engine
from cuckoo_ml_plugin.home import Home


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--cluster", "clusters", metavar="ID", multiple=True,
              help="Instead, this cluster (id or name) as MISP event and STIX bundle; repeatable.")  # fmt: skip
@click.option("--tlp", type=click.Choice(["clear", "green", "amber", "red"]), default="amber", show_default=True,
              help="Who a cluster may be shared with (Traffic Light Protocol).")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON: the files that were written.")
@click.pass_obj
def export(home: Home, folder: Path, clusters: tuple[str, ...], tlp: str, as_json: bool) -> None:
    """Write CuckooML's tables and Parquet files into DIR, or single clusters for MISP and STIX."""
    engine = Engine(home)
    engine.need_model()
    with errors.status("Writing ..."):
        written = list(_clusters(engine, clusters, tlp, folder) if clusters else _tables(engine, folder))
    if as_json:
        answer_json([str(path) for path in written])
        return
    for path in written:
        answers.print(safe(path, 1000), soft_wrap=True)


def _tables(engine: Engine, folder: Path) -> Iterable[Path]:
    from cuckoo_ml_plugin.export.parquet import write_features, write_findings
    from cuckoo_ml_plugin.export.results import results_of
    from cuckoo_ml_plugin.export.seed_files import write_seed_files

    desk_package("pyarrow", "Parquet files")  # said before anything is written
    results = results_of(engine)
    folder.mkdir(parents=True, exist_ok=True)
    yield from write_seed_files(results, engine.settings.anomaly, folder)
    yield write_features(engine.store, results.count_names, folder / "features.parquet")
    yield write_findings(engine.store, folder / "findings.parquet")


def _clusters(engine: Engine, clusters: tuple[str, ...], tlp: str, folder: Path) -> Iterable[Path]:
    from cuckoo_ml_plugin.export.intelligence import intelligence_of
    from cuckoo_ml_plugin.export.misp import misp_event
    from cuckoo_ml_plugin.export.stix import stix_bundle

    found = [intelligence_of(engine, one, tlp) for one in clusters]
    texts = [(f"{known.facts.id}.{kind}.json", make(known)) for known in found for kind, make in
             (("misp", misp_event), ("stix", stix_bundle))]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts:
        path = folder / re.sub(r"[^\w.-]", "_", name)
        path.write_text(text + "\n", encoding="utf-8")
        yield path
