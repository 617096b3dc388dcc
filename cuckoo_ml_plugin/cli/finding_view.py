"""Findings as an analyst reads them in a terminal: one in full, or many as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from cuckoo_ml_plugin.cli.console import safe_text, score_text, share_text, short_hash, stdout, table
from cuckoo_ml_plugin.finding.section import Finding, SimilarAnalysis, ThreatFinding
from cuckoo_ml_plugin.finding.threat import shown_threat_scores
from cuckoo_ml_plugin.plumbing.text import counted, display_text, samples_and_runs

_MAX_FILE_NAME = 40  # characters


def show_finding(analysis: str, path: str, finding: Finding) -> None:
    """Print one finding in full."""
    stdout.print(safe_text(f"{analysis}  ({path})", 300), style="bold", soft_wrap=True)
    stdout.print(safe_text(f"  {finding.verdict.text}", 1010), soft_wrap=True)
    if finding.status != "scored":
        rest = "" if finding.message in finding.verdict.text else f": {finding.message}"
        stdout.print(safe_text(f"  {finding.status}{rest}", 500), soft_wrap=True)
        _show_similar(finding)
        _show_threat_scores(finding)
        return
    stdout.print(_headline(finding), soft_wrap=True)
    if finding.kin:
        size = samples_and_runs(finding.kin.samples, finding.kin.size)
        kin = f"kin {finding.kin.id} {finding.kin.name} ({size})"
        stdout.print(safe_text(f"  {kin}, probability {finding.kin.probability:.2f}"), soft_wrap=True)
    if finding.message:
        stdout.print(safe_text(f"  {finding.message}", 500), soft_wrap=True)
    for reason in finding.anomaly.reasons if finding.anomaly else []:
        stdout.print(safe_text(f"  - {reason.text}", 400), soft_wrap=True)
    _show_similar(finding)
    _show_evidence(finding, "shared", "Evidence that ties it to its cluster")
    _show_evidence(finding, "new", "Evidence of its own: unseen or rare elsewhere")
    _show_threat_scores(finding)


def _show_evidence(finding: Finding, role: str, title: str) -> None:
    inside = finding.cluster is not None
    rows = [
        (piece.kind, piece.value, f"{piece.in_cluster:.0%}" if inside else "", f"{piece.in_corpus:.1%}")
        for piece in finding.evidence
        if piece.role == role
    ]
    if rows:
        stdout.print(table(title, ["kind", "value", "in cluster", "in corpus"], rows, numbers=[2, 3]))


def similar_table(title: str, similar: Sequence[SimilarAnalysis]) -> Table:
    """Similar past samples, one in a row, each by the most similar of its analyses."""
    rows = [
        (
            past.analysis,
            past.date,
            "same file" if past.same_file else display_text(past.name or "", _MAX_FILE_NAME),
            share_text(past.similarity),
            f"{past.cluster} {past.cluster_name}" if past.cluster_name not in (None, past.cluster) else past.cluster,
            past.label,
            past.runs,
            short_hash(past.sha256),
        )
        for past in similar
    ]
    columns = ["analysis", "date", "file", "similarity", "cluster", "label", "runs", "SHA-256"]
    return table(title, columns, rows, numbers=[3, 6])


def _show_similar(finding: Finding) -> None:
    if finding.similar:
        stdout.print(similar_table("Similar past analyses", finding.similar))


def _show_threat_scores(finding: Finding) -> None:
    """Print each provider's score beside the one that the other providers' scores predict, and what to know of them."""
    threat = shown_threat_scores(finding)
    if threat is None:
        return
    rows = [
        (
            provider.provider,
            provider.origin,
            share_text(provider.score) if provider.score else "none",
            share_text(provider.prediction),
            "any" if provider.threshold == 1 else share_text(provider.threshold),
            provider.says,
            provider.highest[0].indicator if provider.highest and provider.origin != "sandbox" else "",
        )
        for provider in sorted(threat.providers, key=lambda provider: provider.origin != "exchange")
    ]
    columns = ["provider", "what it is", "score", "expected", "tolerance", "it says", "highest indicator"]
    stdout.print(table(_threat_title(threat), columns, rows, numbers=[2, 3, 4]))
    for note in threat.notes:
        stdout.print(safe_text(f"  {note}", 400), soft_wrap=True)


def _threat_title(threat: ThreatFinding) -> str:
    if not threat.exchanges:
        return "Threat scores, from no exchange"
    exchanges = f"{threat.exchanges:,} threat {'exchange' if threat.exchanges == 1 else 'exchanges'}"
    if not threat.joint:
        return f"Threat scores, no detection by {exchanges}"
    return f"Threat scores, joint score {threat.joint:.2f} of {exchanges}"


def _headline(finding: Finding) -> Text:
    cluster, anomaly = finding.cluster, finding.anomaly
    text = Text("  ")
    if cluster:
        text.append_text(
            safe_text(f"cluster {cluster.id} {cluster.name} ({samples_and_runs(cluster.samples, cluster.size)}), ")
        )
        text.append(f"probability {cluster.probability:.2f}", style="green")
    else:
        text.append("no cluster", style="yellow")
    if anomaly:
        style = "red" if anomaly.anomalous else "green"
        verdict = "anomalous" if anomaly.anomalous else "not anomalous"
        text.append(f"; anomaly score {score_text(anomaly.score)}, {verdict}", style=style)
    return text


def show_summary(findings: Sequence[tuple[str, Finding]]) -> None:
    """Print many findings, one in a row."""
    rows = []
    for analysis, finding in findings:
        cluster, anomaly = finding.cluster, finding.anomaly
        nearest = finding.similar[0] if finding.similar else None
        rows.append(
            (
                analysis,
                finding.status,
                f"{cluster.id} {cluster.name}" if cluster else "",
                share_text(cluster.probability) if cluster else "",
                f"{finding.kin.id} {finding.kin.name}" if finding.kin else "",
                score_text(anomaly.score) if anomaly else "",
                "yes" if anomaly and anomaly.anomalous else "",
                f"{nearest.analysis} ({nearest.similarity:.2f})" if nearest else "",
            )
        )
    columns = ["analysis", "status", "cluster", "probability", "kin", "anomaly", "anomalous", "most similar"]
    stdout.print(table(counted(len(rows), "finding"), columns, rows, numbers=[3, 5]))
