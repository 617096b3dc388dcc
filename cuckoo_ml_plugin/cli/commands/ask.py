"""Commands that ask model and store: what is like an analysis, who shows a behaviour, clusters, kin, anomalies."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click

from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.cli.console import (
    print_json,
    progress_bar,
    safe_text,
    score_text,
    share_text,
    short_hash,
    show_error,
    stderr,
    stdout,
    table,
)
from cuckoo_ml_plugin.cli.finding_view import show_finding, show_summary, similar_table
from cuckoo_ml_plugin.cli.options import MAX_COUNT, MAX_DAYS, Finite, pass_existing_home
from cuckoo_ml_plugin.engine import queries
from cuckoo_ml_plugin.engine.births import birth_brief, birth_level
from cuckoo_ml_plugin.engine.births import births as births_of
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.similar_analyses import similar_analyses
from cuckoo_ml_plugin.engine.visibility import section_for_report
from cuckoo_ml_plugin.errors import CuckooMLError, ReportError
from cuckoo_ml_plugin.finding.section import Finding
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.text import counted, samples_and_runs
from cuckoo_ml_plugin.report.files.writeback import write_section
from cuckoo_ml_plugin.report.report import read_report, read_reports
from cuckoo_ml_plugin.store.overview import Counts

_MOST_OF_GROUP = 5  # samples of a group in the making that are named
_MOST_IN_FULL = 3  # more findings than this are shown as one table


@click.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--write", is_flag=True, help="Write the section into each report file.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON: a list with one finding for each report.")
@click.pass_obj
def score(home: Home, reports: tuple[Path, ...], write: bool, as_json: bool) -> None:
    """Score report files, or all in folders, against the model in force; model and store stay as they are."""
    from cuckoo_ml_plugin.intake.find_reports import find_reports, name_in_file

    engine = Engine(home)
    if not home.exists:
        warning = f"{home.path}: there is no home here, so there is no model to score with; check --home."
        stderr.print(safe_text(warning, 600), style="yellow", soft_wrap=True)
    files = find_reports(reports)
    if not files:
        raise CuckooMLError(f"{reports[0]}: there is no report file (*.json, packed or not); name another path.")
    findings: list[tuple[str, str, Finding]] = []
    failed = 0
    with progress_bar("Scoring") as update_bar:
        for done, file in enumerate(files):
            try:
                if file.problem:
                    raise ReportError(f"{file.path}: {file.problem}" if file.path not in file.problem else file.problem)
                in_files = list(read_reports(Path(file.path)))
                if write and len(in_files) > 1:
                    raise ReportError(
                        f"{file.path}: no section was written, because the file holds several reports; split it."
                    )
                for in_file in in_files:
                    if in_file.report is None:
                        failed += 1
                        show_error(ReportError(in_file.reason))
                        continue
                    name = name_in_file(file.analysis, in_file) if len(in_files) > 1 else file.analysis
                    finding = engine.score_report(in_file.report, name, Path(file.path))
                    if write:
                        section = section_for_report(engine, finding.section(), name)
                        write_section(Path(file.found), section, engine.seed(section))
                    findings.append((name, file.path, finding))
            except ReportError as error:
                failed += 1
                show_error(error)
            update_bar(done + 1, len(files))
    if as_json:
        print_json([{"analysis": name, "report": path, **finding.section()} for name, path, finding in findings])
    elif len(findings) <= _MOST_IN_FULL:
        for name, path, finding in findings:
            show_finding(name, path, finding)
    else:
        show_summary([(name, finding) for name, _, finding in findings])
        for message in dict.fromkeys(finding.message for _, _, finding in findings if finding.status == "no_model"):
            stdout.print(safe_text(message, 500), soft_wrap=True)
    if failed:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("analysis")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def similar(home: Home, analysis: str, as_json: bool) -> None:
    """List past analyses that behaved like ANALYSIS, which is a stored analysis's id or a report file."""
    from cuckoo_ml_plugin.intake.find_reports import report_at

    engine = Engine(home)
    finding = engine.score_stored(analysis)
    if finding is None and Path(analysis).is_file():
        finding = engine.score_file(Path(analysis), report_at(analysis).analysis)
    if finding is None:
        raise queries.no_such_analysis(engine, analysis)
    if as_json:
        print_json(finding.section()["similar"])
        return
    if not finding.similar:
        stdout.print(safe_text(f"{analysis}: {_why_none_similar(engine, analysis, finding)}", 1000), soft_wrap=True)
        return
    stdout.print(similar_table(f"Analyses similar to {analysis}", finding.similar))


def _why_none_similar(engine: Engine, analysis: str, finding: Finding) -> str:
    if finding.verdict.kind == "not_run":
        return f"nothing can be compared with it. {finding.verdict.text}"
    others = engine.store.count(with_behaviour=True) - (engine.store.get(analysis) is not None)
    if others:
        return (
            f"it shares no behaviour with {counted(others, 'other analysis', 'other analyses')}, all that are stored."
        )
    step = "" if engine.store.count() else f"; {engine.step_to_model()}"
    return f"no other analysis with behaviour is stored, so there is nothing to compare it with{step}"


@click.command()
@click.argument("behaviour", metavar="KIND:VALUE")
@click.option(
    "--limit", type=click.IntRange(1, MAX_COUNT), default=50, show_default=True, help="How many analyses to list."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def seen(home: Home, behaviour: str, limit: int, as_json: bool) -> None:
    """List the stored analyses that show a piece of behaviour, such as mutex:name, newest first."""
    engine = Engine(home)
    answer = queries.seen(engine, behaviour, queries.analyses_showing(engine, behaviour), limit)
    if as_json:
        print_json(answer)
        return
    if not answer["count"]:
        stdout.print(safe_text(f"No stored analysis shows {behaviour[:200]}.", 300), soft_wrap=True)
        return
    columns = ["analysis", "day", "target", "cluster", "label", "SHA-256"]
    rows = [
        (row["analysis"], row["day"], row["target"], row["cluster"], row["label"], short_hash(row["sha256"]))
        for row in answer["analyses"]
    ]
    samples = "1 sample" if answer["samples"] == 1 else f"{answer['samples']:,} samples"
    what = f"({samples}) {'shows' if answer['count'] == 1 else 'show'} {behaviour[:200]}"
    title = _list_title(len(rows), answer["count"], f"analysis {what}", f"analyses {what}")
    stdout.print(table(title, columns, rows))


@click.command()
@click.argument("analysis", metavar="A")
@click.argument("other", required=False, metavar="[B]")
@click.option(
    "--limit", type=click.IntRange(1, MAX_COUNT), default=10, show_default=True, help="How many pieces each list shows."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def compare(home: Home, analysis: str, other: str | None, limit: int, as_json: bool) -> None:
    """Show how run A differs from run B, or from the other runs of its file and from its cluster or kin.

    A and B are ids of stored analyses or report files.
    """
    engine = Engine(home)
    run = _run(engine, analysis)
    if other is None:
        answer = queries.comparison(engine, run, limit)
    else:
        answer = queries.comparison_of_two(engine, run, _run(engine, other), limit)
    if as_json:
        print_json(answer)
        return
    if not answer["comparisons"]:
        stdout.print(safe_text(f"{run.analysis}: {_nothing_beside(engine, run)}", 1000), soft_wrap=True)
    for comparison in answer["comparisons"]:
        _show_comparison(run.analysis, comparison)


def _nothing_beside(engine: Engine, run: queries.Run) -> str:
    """Why a run can be compared with nothing by itself, and with which analysis it can be when that is named."""
    alone = "no other run of its file is stored"
    if engine.model() is None:
        alone = f"{alone}, and there is no model yet whose clusters it could be compared with"
    else:
        alone = f"{alone}, and it is in no cluster and no kin"
    nearest = similar_analyses(engine.store, run.behaviour, run.analysis, 1)
    if not nearest:
        return f"{alone}."
    command = engine.home.command("compare", run.analysis, nearest[0].analysis)
    return f"{alone}; it can be compared with the most similar analysis: {command}"


def _run(engine: Engine, name: str) -> queries.Run:
    """A stored analysis, or the report in a file."""
    stored = queries.stored_run(engine, name)
    if stored is not None:
        return stored
    if not Path(name).is_file():
        raise queries.no_such_analysis(engine, name)
    report = read_report(Path(name))
    return queries.Run(name, report.sha256, extract(report))


_PARTS = {
    "always": "In this run and in all others",
    "sometimes": "In some of the runs",
    "only_here": "In this run alone",
    "lacking": "In nearly all others, not in this run",
}


def _of_analyses(number: int, total: int) -> str:
    return f"{number:,} of {total:,} analyses" if total > number else counted(number, "analysis", "analyses")


def _show_comparison(analysis: str, comparison: dict[str, Any]) -> None:
    n, total = comparison["analyses"], comparison["of"]
    beside = "" if comparison["kind"] == "run" else f" ({_of_analyses(n, total)})"
    stdout.print(safe_text(f"{analysis} beside {comparison['name']}{beside}", 600), style="bold", soft_wrap=True)
    for deed in comparison["deeds"]:
        if deed["deed"] in comparison["differs_in"]:
            sentence = f"Did it run to its end? {deed['analyses']:,} of {n:,} {deed['deed']}; this run did not."
            stdout.print(sentence, style="yellow", soft_wrap=True)
    for part, title in _PARTS.items():
        pieces = comparison[part]
        rows = [(piece["kind"], piece["value"], piece["analyses"]) for piece in pieces["shown"]]
        if rows:
            title = _list_title(len(rows), pieces["count"], f"piece. {title}", f"pieces. {title}")
            stdout.print(table(title, ["kind", "value", "others"], rows, numbers=[2]))


@click.command()
@click.argument("cluster", required=False, metavar="[ID]")
@click.option(
    "--limit", type=click.IntRange(1, MAX_COUNT), default=50, show_default=True, help="How many members to list."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def clusters(home: Home, cluster: str | None, limit: int, as_json: bool) -> None:
    """List all clusters, or show one (by id or name) with its labels, evidence and members."""
    engine = Engine(home)
    model = engine.require_model()
    _warn_of_unfinished_refit(engine)
    if cluster is None:
        _all_clusters(engine, model, as_json)
        return
    detail = queries.cluster_detail(engine, model, _cluster_number(home, model, cluster), limit)
    if as_json:
        print_json(detail)
    else:
        _show_cluster(detail)


def _warn_of_unfinished_refit(engine: Engine) -> None:
    if not engine.store.findings_are_of(current_id(engine.home.models)):
        warning = (
            "The stored findings are not yet those of the model in force: a refit is running or was interrupted;"
            f" an interrupted one is completed by {engine.home.command('refit', '--if-needed')}"
        )
        stderr.print(safe_text(warning, 1000), style="yellow", soft_wrap=True)


def _all_clusters(engine: Engine, model: Model, as_json: bool) -> None:
    briefs, outside, without = queries.all_clusters(engine, model)
    if as_json:
        print_json(briefs)
        return
    rows = [
        (
            brief["id"],
            brief["name"],
            brief["stored_samples"],
            brief["stored"],
            brief["size"],
            brief["kin"],
            _labels_text(brief["labels"]),
            brief["first_day"],
            brief["last_day"],
        )
        for brief in briefs
    ]
    columns = ["cluster", "name", "samples", "runs", "fitted runs", "kin", "labels", "first seen", "last seen"]
    stdout.print(table(counted(len(rows), "cluster"), columns, rows, numbers=[2, 3, 4]))
    _show_outside(outside, without, "cluster")


def _show_outside(outside: Counts, without: int, group: str) -> None:
    more = f" {counted(without, 'more analysis has', 'more analyses have')} nothing to compare." if without else ""
    stdout.print(f"In no {group}: {samples_and_runs(*outside)}.{more}")


def _cluster_number(home: Home, model: Model, cluster: str) -> int:
    number = queries.cluster_number(model, cluster)
    if number is None:
        raise CuckooMLError(
            f"{cluster}: there is no such cluster in model {model.id}; all are listed by {home.command('clusters')}"
        )
    return number


def _labels_text(labels: list[dict[str, Any]]) -> str:
    shown = ", ".join(f"{label['label']} {label['count']}" for label in labels[:3])
    return f"{shown}, ..." if len(labels) > 3 else shown


def _fitted(size: int) -> str:
    return counted(size, "fitted analysis", "fitted analyses")


def _show_cluster(detail: dict[str, Any]) -> None:
    stdout.print(safe_text(f"Cluster {detail['id']}, {detail['name']}: {_sizes(detail)}"), style="bold")
    stdout.print(safe_text(f"Labels: {_labels_text(detail['labels']) or 'none'}", 500))
    stdout.print(f"Kin: {detail['kin'] or 'none'}")
    near = ", ".join(f"{nearest['name']} {nearest['similarity']:.2f}" for nearest in detail["nearest"])
    stdout.print(safe_text(f"Nearest clusters: {near or 'none'}", 500))
    rows: list[tuple[object, ...]] = [
        (piece["kind"], piece["value"], f"{piece['in_cluster']:.0%}", f"{piece['in_corpus']:.1%}")
        for piece in detail["evidence"]
    ]
    stdout.print(
        table("Behaviour that sets it apart", ["kind", "value", "in cluster", "in corpus"], rows, numbers=[2, 3])
    )
    _show_members(detail)


def _sizes(detail: dict[str, Any]) -> str:
    """How much is stored of a group, and on how much of it the model was fitted."""
    stored = samples_and_runs(detail["stored_samples"], detail["stored"])
    fitted = samples_and_runs(detail["samples"], detail["size"])
    return f"{stored}; the model was fitted on {'all' if fitted == stored else fitted} of them"


def _show_members(detail: dict[str, Any]) -> None:
    rows = [
        (
            member["analysis"],
            member["target"],
            member["runs"],
            member["label"],
            share_text(member["probability"]),
            score_text(member["anomaly_score"]),
        )
        for member in detail["members"]
    ]
    columns = ["analysis", "target", "runs", "label", "probability", "anomaly"]
    title = _list_title(
        len(rows), detail["stored_samples"], "sample, most probable first", "samples, most probable first"
    )
    stdout.print(table(title, columns, rows, numbers=[2, 4, 5]))


@click.command("kin")
@click.argument("kin", required=False, metavar="[ID]")
@click.option(
    "--limit", type=click.IntRange(1, MAX_COUNT), default=50, show_default=True, help="How many members to list."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def kin_(home: Home, kin: str | None, limit: int, as_json: bool) -> None:
    """List all kin, the broad groups above the clusters, or show one (by id or name) with its clusters and members."""
    engine = Engine(home)
    model = engine.require_model()
    _warn_of_unfinished_refit(engine)
    if kin is None:
        _all_kin(engine, model, as_json)
        return
    number = queries.kin_number(model, kin)
    if number is None:
        raise CuckooMLError(f"{kin}: there is no such kin in model {model.id}; all are listed by {home.command('kin')}")
    detail = queries.kin_detail(engine, model, number, limit)
    if as_json:
        print_json(detail)
    else:
        _show_kin(detail)


def _all_kin(engine: Engine, model: Model, as_json: bool) -> None:
    briefs, outside, without = queries.all_kin(engine, model)
    if as_json:
        print_json(briefs)
        return
    rows = [
        (
            brief["id"],
            brief["name"],
            brief["stored_samples"],
            brief["stored"],
            brief["size"],
            len(brief["clusters"]),
            _labels_text(brief["labels"]),
            brief["first_day"],
            brief["last_day"],
        )
        for brief in briefs
    ]
    columns = ["kin", "name", "samples", "runs", "fitted runs", "clusters", "labels", "first seen", "last seen"]
    stdout.print(table(f"{len(rows)} kin", columns, rows, numbers=[2, 3, 4, 5]))
    _show_outside(outside, without, "kin")


def _show_kin(detail: dict[str, Any]) -> None:
    stdout.print(safe_text(f"Kin {detail['id']}, {detail['name']}: {_sizes(detail)}"), style="bold")
    stdout.print(safe_text(f"Labels: {_labels_text(detail['labels']) or 'none'}", 500))
    clusters = [(cluster["id"], cluster["name"], cluster["samples"], cluster["size"]) for cluster in detail["clusters"]]
    columns = ["cluster", "name", "fitted samples", "fitted runs"]
    stdout.print(table(counted(len(clusters), "cluster"), columns, clusters, numbers=[2, 3]))
    _show_members(detail)


def _list_title(shown: int, total: int, noun: str, nouns: str) -> str:
    """``2 of 15 anomalies`` for a list that was cut, else ``15 anomalies``."""
    return f"{shown:,} of {total:,} {nouns}" if shown < total else counted(shown, noun, nouns)


@click.command()
@click.option("--limit", type=click.IntRange(1, MAX_COUNT), default=20, show_default=True, help="How many to list.")
@click.option(
    "--order",
    type=click.Choice(["score", "date"]),
    default="score",
    show_default=True,
    help="Sort by anomaly score or by date.",
)
@click.option("--days", type=Finite(0, MAX_DAYS), default=None, help="Only analyses made within this many days.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def anomalies(home: Home, limit: int, order: Any, days: float | None, as_json: bool) -> None:
    """List analyses that are unlike the rest of the corpus, most unusual or latest first, with reasons."""
    engine = Engine(home)
    engine.require_model()
    _warn_of_unfinished_refit(engine)
    since = datetime.now(timezone.utc) - timedelta(days=days) if days is not None else None
    anomalous = list(queries.anomalies(engine, limit, order, since))
    if as_json:
        print_json(anomalous)
        return
    rows = [
        (
            anomaly["analysis"],
            (anomaly["analysed_at"] or "")[:10],
            anomaly["runs"],
            anomaly["label"],
            anomaly["cluster"],
            score_text(anomaly["score"]),
            safe_text(" ".join(reason["text"] for reason in anomaly["reasons"][:2]), 300),
        )
        for anomaly in anomalous
    ]
    columns = ["analysis", "date", "runs", "label", "cluster", "score", "reasons"]
    total = engine.store.anomaly_count(since)
    repeats = f" in {total.runs:,} runs" if total.runs > total.samples else ""
    title = _list_title(len(rows), total.samples, f"anomaly{repeats}", f"anomalies{repeats}")
    stdout.print(table(title, columns, rows, numbers=[2, 5]))
    threshold = engine.settings.anomaly.threshold
    stdout.print(
        f"By construction, up to {1 - threshold:.1%} of the analyses of a fit count as unusual: those with an anomaly"
        f" score of at least {threshold:g} that repeat no other. The score ranks; it does not say malicious.",
        soft_wrap=True,
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, with all analyses of each group.")
@pass_existing_home
def births(home: Home, as_json: bool) -> None:
    """List groups in the making: new analyses that are like each other and unlike all that is known."""
    engine = Engine(home)
    model = engine.require_model()
    groups = births_of(engine)
    if as_json:
        print_json([birth_brief(group) for group in groups])
        return
    rows = []
    for group in groups:
        names = ", ".join(member.analysis for member, _ in group.first_runs[:_MOST_OF_GROUP])
        more = group.samples - _MOST_OF_GROUP
        labels = sorted({member.label for member in group.members if member.label})
        rows.append(
            (
                group.id,
                group.samples,
                len(group.members),
                group.days,
                group.first,
                group.last,
                ", ".join(labels),
                f"{names}, and {more:,} more" if more > 0 else names,
            )
        )
    if rows:
        columns = ["group", "samples", "runs", "days", "first", "last", "labels", "analyses"]
        title = counted(len(rows), "group in the making", "groups in the making")
        stdout.print(table(title, columns, rows, numbers=[1, 2, 3]))
    else:
        stdout.print("No groups in the making: no new analyses are like each other and unlike all that is known.")
    if birth_level(model) is None:
        hint = f"Nothing can be noticed with this model; the next refit mends that: {home.command('refit')}"
        stdout.print(safe_text(hint, 1000), soft_wrap=True)
