"""A finding as an analyst reads it in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from cuckoo_ml_plugin.cli.console import answers, safe, score_text, share, short, table
from cuckoo_ml_plugin.finding.finding import Finding


def show_finding(analysis: str, path: str, finding: Finding) -> None:
    """One finding in full."""
    answers.print(safe(f"{analysis}  ({path})", 300), style="bold", soft_wrap=True)
    if finding.status != "scored":
        answers.print(safe(f"  {finding.status}: {finding.message}", 500), soft_wrap=True)
        _show_threat_scores(finding)
        return
    answers.print(_verdict(finding), soft_wrap=True)
    for reason in finding.anomaly["reasons"] if finding.anomaly else []:
        answers.print(safe(f"  - {reason['text']}", 400), soft_wrap=True)
    if finding.similar:
        rows = [
            (one["analysis"], share(one["similarity"]), one["cluster"], one["label"], short(one["sha256"]))
            for one in finding.similar
        ]
        answers.print(table("Similar", ["analysis", "similarity", "cluster", "label", "SHA-256"], rows, numbers=[1]))
    if finding.evidence:
        inside = finding.cluster is not None
        evidence = [
            (one["kind"], one["value"], f"{one['in_cluster']:.0%}" if inside else "", f"{one['in_corpus']:.1%}")
            for one in finding.evidence
        ]
        answers.print(table("Evidence", ["kind", "value", "in cluster", "in corpus"], evidence, numbers=[2, 3]))
    _show_threat_scores(finding)


def _show_threat_scores(finding: Finding) -> None:
    """What providers say, beside what the others' scores predict for each."""
    threat = finding.threat_scores
    if threat is None:
        return
    rows = [
        (
            one["provider"],
            share(one["score"]),
            share(one["prediction"]),
            "any" if one["threshold"] == 1 else share(one["threshold"]),
            one["highest"][0]["indicator"] if one["highest"] else "",
        )
        for one in threat["providers"]
    ]
    columns = ["provider", "says", "expected", "may be off by", "highest indicator"]
    answers.print(table(f"Threat scores: {threat['joint']:.2f} together", columns, rows, numbers=[1, 2, 3]))


def _verdict(finding: Finding) -> Text:
    cluster, anomaly = finding.cluster, finding.anomaly
    text = Text("  ")
    if cluster:
        text.append_text(safe(f"cluster {cluster['id']} {cluster['name']} ({cluster['size']:,} analyses), "))
        text.append(f"probability {cluster['probability']:.2f}", style="green")
    else:
        text.append("no cluster", style="yellow")
    if anomaly:
        style = "red" if anomaly["anomalous"] else "green"
        verdict = "anomalous" if anomaly["anomalous"] else "not anomalous"
        text.append(f"; anomaly score {score_text(anomaly['score'])}, {verdict}", style=style)
    return text


def show_summary(findings: Sequence[tuple[str, Finding]]) -> None:
    """Many findings, a line each."""
    rows = []
    for analysis, finding in findings:
        cluster, anomaly = finding.cluster, finding.anomaly
        nearest = finding.similar[0] if finding.similar else None
        rows.append(
            (
                analysis,
                finding.status,
                f"{cluster['id']} {cluster['name']}" if cluster else "",
                share(cluster["probability"]) if cluster else "",
                score_text(anomaly["score"]) if anomaly else "",
                "yes" if anomaly and anomaly["anomalous"] else "",
                f"{nearest['analysis']} ({nearest['similarity']:.2f})" if nearest else "",
            )
        )
    columns = ["analysis", "status", "cluster", "probability", "anomaly", "anomalous", "most similar"]
    answers.print(table(f"{len(rows)} findings", columns, rows, numbers=[3, 4]))
