"""Commands that answer: ``score``, ``similar``, ``clusters`` and ``anomalies``."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click

from cuckoo_ml_plugin.cli.console import (
    answer_json,
    errors,
    progress_bar,
    safe,
    score_text,
    share,
    short,
    show_error,
    table,
)
from cuckoo_ml_plugin.cli.console import answers as out
from cuckoo_ml_plugin.cli.finding_view import show_finding, show_summary
from cuckoo_ml_plugin.cli.options import LONGEST_DAYS, MOST, Finite, pass_existing_home
from cuckoo_ml_plugin.engine import queries as answers
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError, ReportError
from cuckoo_ml_plugin.finding.finding import Finding
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.report.writeback import write_section

_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)
_IN_DETAIL = 3  # more findings than this are shown as one table


@click.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--write", is_flag=True, help="Write the section into each report file.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON: a list, one finding a report.")
@click.pass_obj
def score(home: Home, reports: tuple[Path, ...], write: bool, as_json: bool) -> None:
    """The finding for each report, or for each in a folder, without touching the model or the store."""
    from cuckoo_ml_plugin.intake.find_reports import find_reports

    engine = Engine(home)
    if not home.exists:
        warning = f"{home.path}: there is no home, so nothing to compare with; check --home."
        errors.print(safe(warning, 600), style="yellow", soft_wrap=True)
    files = find_reports(reports)
    if not files:
        raise CuckooMLError(f"{reports[0]}: there is no report file; *.json or *.json.gz, in folders of any depth.")
    found: list[tuple[str, str, Finding]] = []
    failed = 0
    with progress_bar("Scoring") as tell:
        for done, file in enumerate(files):
            try:
                if file.problem:
                    raise ReportError(f"{file.path}: {file.problem}" if file.path not in file.problem else file.problem)
                finding = engine.score_file(Path(file.path), file.analysis)
                if write:
                    section = finding.section()
                    write_section(Path(file.path), section, engine.seed(section))
                found.append((file.analysis, file.path, finding))
            except ReportError as error:
                failed += 1
                show_error(error)
            tell(done + 1, len(files))
    if as_json:
        answer_json([{"analysis": name, "report": path, **finding.section()} for name, path, finding in found])
    elif len(found) <= _IN_DETAIL:
        for name, path, finding in found:
            show_finding(name, path, finding)
    else:
        show_summary([(name, finding) for name, _, finding in found])
    if failed:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("analysis")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def similar(home: Home, analysis: str, as_json: bool) -> None:
    """Past analyses that behaved like ANALYSIS (the id of a stored one, or a report file)."""
    from cuckoo_ml_plugin.intake.find_reports import report_at

    engine = Engine(home)
    engine.need_model()
    finding = engine.score_stored(analysis)
    if finding is None and Path(analysis).is_file():
        finding = engine.score_file(Path(analysis), report_at(analysis).analysis)
    if finding is None:
        raise CuckooMLError(f"{analysis}: there is no such analysis in the store and no such file; check the id.")
    if as_json:
        answer_json(finding.similar)
        return
    rows = [
        (one["analysis"], share(one["similarity"]), one["cluster"], one["label"], short(one["sha256"]))
        for one in finding.similar
    ]
    columns = ["analysis", "similarity", "cluster", "label", "SHA-256"]
    out.print(table(f"Like {analysis}", columns, rows, numbers=[1]))


@click.command()
@click.argument("cluster", required=False, metavar="[ID]")
@click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="Members that are listed.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def clusters(home: Home, cluster: str | None, limit: int, as_json: bool) -> None:
    """All clusters, or one of them (by id or name) with its labels, evidence and members."""
    engine = Engine(home)
    model = engine.need_model()
    _warn_of_unfinished(engine)
    if cluster is None:
        _all_clusters(engine, model, as_json)
        return
    detail = answers.cluster_detail(engine, model, _found_cluster(model, cluster), limit)
    if as_json:
        answer_json(detail)
    else:
        _show_cluster(detail)


def _warn_of_unfinished(engine: Engine) -> None:
    if not engine.store.findings_are_of(current_id(engine.home.models)):
        warning = (
            "The stored findings are not yet those of the model in force: a refit is running or was cut off;"
            " cuckoo-ml refit --if-needed does the rest."
        )
        errors.print(warning, style="yellow", soft_wrap=True)


def _all_clusters(engine: Engine, model: Model, as_json: bool) -> None:
    counts = engine.store.cluster_counts()
    found = [answers.cluster_brief(one, counts.get(one.id, 0)) for one in model.clusters]
    if as_json:
        answer_json(found)
        return
    rows = [
        (
            one["id"],
            one["name"],
            one["size"],
            one["stored"],
            _labels(one["labels"]),
            one["first_seen"][:10],
            one["last_seen"][:10],
        )
        for one in found
    ]
    columns = ["cluster", "name", "fitted", "now", "labels", "first seen", "last seen"]
    out.print(table(f"{len(rows)} clusters", columns, rows, numbers=[2, 3]))
    without = engine.store.count() - engine.store.count(with_behaviour=True)
    more = f" {without:,} more show no behaviour." if without else ""
    out.print(f"{counts.get(None, 0):,} analyses belong to no cluster.{more}")


def _found_cluster(model: Model, cluster: str) -> int:
    number = answers.cluster_number(model, cluster)
    if number is None:
        raise CuckooMLError(f"{cluster}: there is no such cluster in model {model.id}; cuckoo-ml clusters lists them.")
    return number


def _labels(labels: list[dict[str, Any]]) -> str:
    shown = ", ".join(f"{one['label']} {one['count']}" for one in labels[:3])
    return f"{shown}, ..." if len(labels) > 3 else shown


def _show_cluster(detail: dict[str, Any]) -> None:
    out.print(safe(f"Cluster {detail['id']}, {detail['name']}: {detail['size']:,} analyses fitted"), style="bold")
    out.print(safe(f"Labels: {_labels(detail['labels']) or 'none'}", 500))
    near = ", ".join(f"{one['name']} {one['similarity']:.2f}" for one in detail["nearest"])
    out.print(safe(f"Nearest clusters: {near or 'none'}", 500))
    rows: list[tuple[object, ...]] = [
        (one["kind"], one["value"], f"{one['in_cluster']:.0%}", f"{one['in_corpus']:.1%}") for one in detail["evidence"]
    ]
    out.print(table("What ties it together", ["kind", "value", "in cluster", "in corpus"], rows, numbers=[2, 3]))
    rows = [
        (one["analysis"], one["target"], one["label"], share(one["probability"]), score_text(one["anomaly_score"]))
        for one in detail["members"]
    ]
    columns = ["analysis", "target", "label", "probability", "anomaly"]
    out.print(table(_of(len(rows), detail["stored"], "members, the surest first"), columns, rows, numbers=[3, 4]))


def _of(shown: int, there: int, what: str) -> str:
    """``2 of 15 anomalies`` where the list was cut."""
    return f"{shown:,} of {there:,} {what}" if shown < there else f"{shown:,} {what}"


@click.command()
@click.option("--limit", type=click.IntRange(1, MOST), default=20, show_default=True, help="How many are listed.")
@click.option("--order", type=click.Choice(["score", "date"]), default="score", show_default=True)
@click.option("--days", type=Finite(0, LONGEST_DAYS), default=None, help="Only those stored in the last days.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def anomalies(home: Home, limit: int, order: Any, days: float | None, as_json: bool) -> None:
    """The analyses that are unlike what is known, most unusual or latest first, with reasons."""
    engine = Engine(home)
    engine.need_model()
    _warn_of_unfinished(engine)
    since = datetime.now(timezone.utc) - timedelta(days=days) if days is not None else None
    found = list(answers.anomalies(engine, limit, order, since))
    if as_json:
        answer_json(found)
        return
    rows = [
        (
            one["analysis"],
            one["label"],
            one["cluster"],
            score_text(one["score"]),
            safe(" ".join(reason["text"] for reason in one["reasons"][:2]), 300),
        )
        for one in found
    ]
    columns = ["analysis", "label", "cluster", "score", "why"]
    number, _ = engine.store.anomalous_since(since or _LONG_AGO)
    out.print(table(_of(len(rows), number, "anomalies"), columns, rows, numbers=[3]))
