"""The table of situations, and the sentence of each: what is known decides, and a repeat is never called unusual."""

from __future__ import annotations

from typing import Any

import pytest

from cuckoo_ml_plugin.finding.reasons import by_weight
from cuckoo_ml_plugin.finding.section import (
    MAX_VERDICT,
    AnomalyFinding,
    ClusterFinding,
    Finding,
    KinFinding,
    Reason,
    SimilarAnalysis,
)
from cuckoo_ml_plugin.finding.verdict import MOST_RUNS, Past, PastAnalysis, verdict_of
from cuckoo_ml_plugin.plumbing.times import day_of

FILE = "ab" * 32
CLUSTER = ClusterFinding(id="c17", name="zbot", size=14, probability=0.934)
KIN = KinFinding(id="k3", name="k3", size=1, probability=0.8)
NEAREST = "the most similar, analysis 7 of 2016-05-20, has 87 % of the behaviour in common with it."


def scored(*, unusual: bool | None = False, similar: float = 0.879, **parts: Any) -> Finding:
    """A finding; ``unusual`` None: without an anomaly score; ``similar`` 0: nothing is similar."""
    anomaly = None if unusual is None else AnomalyFinding(score=0.5, outlier_score=0.0, anomalous=unusual)
    neighbours = [SimilarAnalysis(analysis="7", similarity=similar)] if similar else []
    return Finding(status="scored", anomaly=anomaly, similar=neighbours, **parts)


def run(name: str, day: str = "2016-05-23", *, same: bool = True) -> PastAnalysis:
    return PastAnalysis(name, FILE, day, same)


def past(**parts: Any) -> Past:
    return Past(nearest=PastAnalysis("7", day="2016-05-20"), day="2016-05-25", **parts)


def other(name: str, sha256: str = "cd" * 32) -> PastAnalysis:
    return PastAnalysis(name, sha256, "2016-05-22", same_behaviour=True)


@pytest.mark.parametrize(
    ("finding", "known", "kind", "text"),
    [
        (
            scored(cluster=CLUSTER), past(runs=[run("1005")]), "same_file",
            "This file was analysed before, on 2016-05-23 (analysis 1005), with the same behaviour: cluster"
            " zbot (c17).",
        ),
        (
            scored(unusual=True), past(runs=[run("1005", "")]), "same_file",
            "This file was analysed before (analysis 1005), with the same behaviour: in no cluster.",
        ),
        (
            scored(kin=KIN), past(runs=[run("1"), run("2", "2016-05-24"), run("3", "2016-05-01")]), "same_file",
            "This file was analysed 3 times before, last on 2016-05-24 (analysis 2), always with the same"
            " behaviour: in no"
            " cluster, of kin k3.",
        ),
        (
            scored(cluster=CLUSTER), past(runs=[run("1"), run("2", "2016-05-24", same=False), run("3", "2016-05-01")]),
            "same_file",
            "This file was analysed 3 times before, 2 of them with the same behaviour, last on 2016-05-23 (analysis 1):"
            " cluster zbot (c17).",
        ),
        (
            scored(unusual=True), past(runs=[run("1005", same=False)]), "same_file",
            "This file was analysed before, on 2016-05-23 (analysis 1005), but behaved differently. This"
            " time: unusual: no"
            f" known group behaves like it, and {NEAREST}",
        ),
        (
            scored(cluster=CLUSTER), past(runs=[run("1", same=False), run("2", same=False)], repeats=[other("9")]),
            "same_file",
            "This file was analysed 2 times before, last on 2016-05-23 (analysis 1), never with this"
            " behaviour. This time:"
            " another file with exactly this behaviour was analysed before, on 2016-05-22 (analysis 9):"
            " cluster zbot (c17).",
        ),
        (
            scored(cluster=CLUSTER), past(runs=[run("8", "2016-06-02"), run("9", "2016-06-01")]), "same_file",
            "This file was analysed 2 times later, first on 2016-06-01 (analysis 9), always with the same behaviour:"
            " cluster zbot (c17).",
        ),
        (
            Finding(status="no_model", message="There is no model yet."), past(runs=[run("1005")]), "same_file",
            "This file was analysed before, on 2016-05-23 (analysis 1005), with the same behaviour.",
        ),
        (
            scored(cluster=CLUSTER), past(repeats=[other("9")]), "same_behaviour",
            "Another file with exactly this behaviour was analysed before, on 2016-05-22 (analysis 9):"
            " cluster zbot (c17).",
        ),
        (
            scored(), past(repeats=[other("9"), other("10", "ef" * 32)]), "same_behaviour",
            "2 other files with exactly this behaviour were analysed 2 times before, last on 2016-05-22"
            " (analysis 9): in"
            " no cluster.",
        ),
        (
            scored(), past(repeats=[other("9")], has_file=False), "same_behaviour",
            "Exactly this behaviour was seen before, on 2016-05-22 (analysis 9): in no cluster.",
        ),
        (
            scored(cluster=CLUSTER), past(), "variant",
            f"A variant of cluster zbot (c17), a group of 14 past analyses, with the membership probability"
            f" 0.93; {NEAREST}",
        ),
        (
            scored(cluster=ClusterFinding(id="c17", name="zbot", size=40, samples=15, probability=0.934)), past(),
            "variant",
            f"A variant of cluster zbot (c17), a group of 15 samples, 40 runs, with the membership probability"
            f" 0.93; {NEAREST}",
        ),
        (
            scored(cluster=CLUSTER, unusual=True, similar=0), past(), "variant",
            "A variant of cluster zbot (c17), a group of 14 past analyses, with the membership probability 0.93, but"
            " behaves unusually; no past analysis shares any of its behaviour.",
        ),
        (
            scored(kin=KIN), past(), "kin",
            f"In no cluster, but of kin k3, a group of 1 past analysis, and is not unusual; {NEAREST}",
        ),
        (scored(unusual=True), past(), "unusual", f"Unusual: no known group behaves like it, and {NEAREST}"),
        (
            scored(unusual=True, similar=0), past(), "unusual",
            "Unusual: no known group behaves like it, and no past analysis shares any of its behaviour.",
        ),
        (
            scored(unusual=True, similar=0), past(is_partial=True), "unusual",
            "Unusual: no known group behaves like it.",
        ),
        (scored(), past(), "unknown", f"No known group behaves like it, but it is not unusual; {NEAREST}"),
        (scored(unusual=None), past(known=7), "too_few",
         f"Too little is known yet to say more: 7 other analyses are known; {NEAREST}"),
        (
            Finding(status="no_model"), past(known=1), "too_few",
            "Too little is known yet to say more: 1 other analysis is known; no past analysis shares any of"
            " its behaviour.",
        ),
        (Finding(status="no_model"), Past(is_partial=True), "too_few", "Too little is known yet to say more."),
        (
            scored(unusual=True), past(is_static=True, repeats=[other("9")]), "static_only",
            "Only static facts of the file are known, which equal those of analysis 9 of 2016-05-22: in no cluster.",
        ),
        (
            scored(cluster=CLUSTER), past(is_static=True, runs=[run("1005")]), "same_file",
            "This file was analysed before, on 2016-05-23 (analysis 1005). This time: only static facts of the file are"
            " known: cluster zbot (c17).",
        ),
        (
            Finding(status="no_behaviour", message="A static analysis: the sample was not run."), past(), "not_run",
            "A static analysis: the sample was not run.",
        ),
        (
            Finding(status="no_model", message="More."), past(absence="The task failed.", runs=[run("5", same=False)]),
            "not_run", "The task failed. This file was analysed before, on 2016-05-23 (analysis 5).",
        ),
        (Finding(status="failed", message="The disk is full."), Past(), "unknown", "The disk is full."),
    ],
)  # fmt: skip
def test_each_situation_has_its_kind_and_its_sentence(finding: Finding, known: Past, kind: str, text: str) -> None:
    verdict = verdict_of(finding, known)
    assert (verdict.kind, verdict.text) == (kind, text)


def test_a_sentence_is_bounded_whatever_a_group_is_called() -> None:
    cluster = ClusterFinding(id="c17", name="z" * 100_000, size=14, probability=0.9)
    many = [run("n" * 200, same=False)] * MOST_RUNS
    text = verdict_of(scored(cluster=cluster), past(runs=many)).text
    assert len(text) <= MAX_VERDICT
    assert text.startswith("This file was analysed at least 100 times before")
    long = Finding(status="no_behaviour", message="m" * 5000)
    assert len(verdict_of(long).text) == MAX_VERDICT


def test_only_what_states_a_day_gives_one() -> None:
    assert day_of("2016-05-23T10:00:00Z") == day_of("2016-05-23") == "2016-05-23"
    assert [day_of(text) for text in (None, "", "yesterday", "2016-05-234", "<b>2016-05-23")] == [""] * 5


def test_reasons_stand_in_the_order_of_their_weight() -> None:
    kinds = ["abnormal_count_suspect", "unheard_of", "no_cluster", "novel_behaviour", "birth"]
    ordered = [reason.kind for reason in by_weight(Reason(kind=kind, text="") for kind in kinds)]
    assert ordered == ["birth", "novel_behaviour", "no_cluster", "abnormal_count_suspect", "unheard_of"]
