"""The command ``demo``: make sample analyses, import them, fit a model, score new ones, and show every answer."""

from __future__ import annotations

from pathlib import Path

import click

from cuckoo_ml_plugin.cli.commands.ask import anomalies, clusters, score
from cuckoo_ml_plugin.cli.commands.assess import agreement_sentence
from cuckoo_ml_plugin.cli.commands.fit import refit
from cuckoo_ml_plugin.cli.commands.import_ import import_
from cuckoo_ml_plugin.cli.console import progress_bar, safe_text, stdout
from cuckoo_ml_plugin.engine import queries
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.finding.section import Finding
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis

_MOST_LOOKED_AT = 100  # anomalies among which a run that was cut short is looked for


@click.command()
@click.option("--analyses", type=click.IntRange(min=60), default=320, show_default=True, help="How many to make.")
@click.pass_obj
def demo(home: Home, analyses: int) -> None:
    """Fill the home with sample analyses in the formats of both hosts, and walk through the commands."""
    from cuckoo_ml_samples import generate

    reports = home.path / "demo"
    if home.store_file.exists() and not reports.exists():
        raise CuckooMLError(
            f"{home.path}: this home holds analyses that are not the demo's; name another folder with --home."
        )
    home.create()
    _step(1, f"Make {analyses} sample analyses of invented malware, in the report formats of Cuckoo 2.0.7 and CAPE")
    with progress_bar("Making") as update_bar:
        corpus = generate(reports, analyses=analyses, progress=update_bar)
    stdout.print(
        safe_text(f"{len(corpus.fitted)} analyses to learn from and {len(corpus.new)} new ones, in {reports}", 500),
        soft_wrap=True,
    )
    _step(2, "cuckoo-ml import: read the reports, extract behaviour, store it")
    _run(home, import_, paths=tuple(corpus.import_paths), labels=reports / "labels.tsv", jobs=None, as_json=False)
    _step(3, "cuckoo-ml refit: compute weights, vectors, clusters and anomaly scores")
    _run(home, refit, if_needed=False, as_json=False)
    _step(4, "cuckoo-ml clusters: list the clusters")
    _run(home, clusters, cluster=None, limit=50, as_json=False)
    _step(5, "cuckoo-ml anomalies: list the analyses that are unlike the rest")
    _run(home, anomalies, limit=8, order="score", days=None, as_json=False)
    new = sorted(sample.path for sample in corpus.new)
    _step(6, "cuckoo-ml score: score new analyses against the model")
    _run(home, score, reports=tuple(new), write=False, as_json=False)
    _step(7, "cuckoo-ml score --write: write the section into three reports: a known family, a file that VirusTotal's "
             "scanners miss, and a family never seen before")  # fmt: skip
    _run(home, score, reports=(new[0], new[2], new[-1]), write=True, as_json=False)
    _show_places(home, reports, new[0])
    engine = Engine(home)
    _explain_assessment(engine)
    _show_value(engine, new)


def _run(home: Home, command: click.Command, **parameters: object) -> None:
    context = click.Context(command, obj=home)
    try:
        context.invoke(command, **parameters)
    except click.exceptions.Exit as end:
        if end.exit_code:
            raise CuckooMLError(f"the demo stopped at {command.name}; the lines above say why.") from end


def _step(number: int, text: str) -> None:
    stdout.print()
    stdout.rule(safe_text(f"{number}. {text}"), align="left", style="dim")


def _show_places(home: Home, reports: Path, written: Path) -> None:
    stdout.print()
    stdout.rule(safe_text("Where to find everything"), align="left", style="dim")
    for name, path in (
        ("reports", reports),
        ("a report with a section", written),
        ("what each sample really is", reports / "truth.tsv"),
        ("settings", home.settings_file),
        ("store", home.store_file),
        ("model", home.models / "current"),
    ):
        stdout.print(safe_text(f"  {name:<26} {path}", 600), soft_wrap=True)


def _explain_assessment(engine: Engine) -> None:
    """Say what ``assess`` measures on this corpus, and why the figures are what they are."""
    from cuckoo_ml_plugin.assess.assessment import assess_model
    from cuckoo_ml_plugin.fit.corpus import read_corpus

    assessment = assess_model(engine.require_model(), read_corpus(engine.store), engine.settings, 0)
    stdout.print()
    stdout.rule(safe_text("How good the clusters are, as cuckoo-ml assess says"), align="left", style="dim")
    stdout.print(safe_text(agreement_sentence(assessment), 1000), soft_wrap=True)


def _show_value(engine: Engine, new: list[Path]) -> None:
    """End with five lines: what an analyst gets from all this, with the answers of this very run."""
    findings = [(path.stem, engine.score_file(path, path.stem)) for path in new]
    known = [(name, finding) for name, finding in findings if finding.verdict.kind == "variant"]
    variant = max(known, key=lambda pair: pair[1].cluster.probability if pair[1].cluster else 0.0, default=None)
    novel = next((pair for pair in findings if pair[1].verdict.kind == "unusual"), None)
    lines = (
        ("Seen before", _resubmission(engine) or "no file of this corpus was analysed twice"),
        ("A known family", _verdict(variant) or "none of the new samples is a variant of a cluster"),
        ("A run cut short", _incomplete_run(engine) or "no run did less than its like"),
        ("Something new", _verdict(novel) or "none of the new samples is unusual"),
        ("What to open next", f"the map of all analyses, for a browser: {engine.home.command('atlas')}"),
    )
    stdout.print()
    stdout.rule(safe_text("What you get from it"), align="left", style="dim")
    for title, text in lines:
        stdout.print(safe_text(f"{title:<18} {text}", 1200), soft_wrap=True)


def _verdict(answer: tuple[str, Finding] | None) -> str:
    return f"{answer[0]}: {answer[1].verdict.text}" if answer else ""


def _resubmission(engine: Engine) -> str:
    """The verdict on the last analysis of a file that was analysed before, if possible with the same behaviour."""
    runs: dict[str, list[StoredAnalysis]] = {}
    for stored in engine.store.analyses_in_order(behaviours=False):
        if stored.sha256:
            runs.setdefault(stored.sha256, []).append(stored)
    answer = ""
    for of_file in runs.values():
        last = max(of_file, key=lambda stored: stored.analysed_at or "")
        finding = engine.score_stored(last.analysis) if len(of_file) > 1 else None
        if finding is None or finding.verdict.kind != "same_file":
            continue
        is_same = any(past.sha256 == last.sha256 and past.similarity == 1 for past in finding.similar)
        if is_same or not answer:
            answer = f"{last.analysis}: {finding.verdict.text}"
        if is_same:
            break
    return answer


def _incomplete_run(engine: Engine) -> str:
    """The first sentence on the most unusual run that did less than its like."""
    for anomaly in queries.anomalies(engine, _MOST_LOOKED_AT):
        for reason in anomaly["reasons"]:
            if reason["kind"] == "incomplete_run":
                return f"{anomaly['analysis']}: {reason['text'].split('. ')[0].rstrip('.')}."
    return ""
