"""What one small source sends changes nothing that is said of other files; what several send does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.quality.poisoning import (
    ATTACKS,
    SOURCES,
    VICTIMS,
    Attack,
    Prepared,
    Source,
    Trial,
    findings_of,
    prepare,
    reports_of,
    works,
)
from cuckoo_ml_plugin.finding.reasons import SINGLE_SOURCE
from cuckoo_ml_plugin.finding.verdict import verdict_of
from cuckoo_ml_samples.malware.families import CINDERWIPE, GLACIERLOCK

COUNT = 12  # of 160 analyses


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("poisoning"), analyses=160)


@pytest.fixture
def mallory(prepared: Prepared, tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(prepared.home, tmp_path / "home", SOURCES[0])
    with trial.store:
        yield trial


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.title)
@pytest.mark.parametrize(("title", "attack"), ATTACKS, ids=[title for title, _ in ATTACKS])
def test_no_attack_works_from_one_source(prepared: Prepared, title: str, attack: Attack, source: Source) -> None:
    assert not works(attack, source, COUNT, prepared), title


def test_a_family_that_one_source_sent_stays_unusual_and_the_finding_says_why(
    prepared: Prepared, mallory: Trial
) -> None:
    mallory.send(reports_of(CINDERWIPE, COUNT, "sent"))
    model = mallory.model(prepared.before)
    [cluster] = [cluster for cluster in model.clusters if cluster.only_from == "submitter" and cluster.size == COUNT]
    assert cluster.sources == 1
    findings = findings_of(model, reports_of(CINDERWIPE, VICTIMS, "victims"))
    placed = [finding for finding in findings if finding.cluster is not None and finding.cluster.id == cluster.id]
    assert len(placed) > VICTIMS / 2
    for finding in placed:
        assert finding.anomaly is not None
        assert finding.anomaly.anomalous
        assert SINGLE_SOURCE in [reason.kind for reason in finding.anomaly.reasons]
        assert "known only from a single submitter" in verdict_of(finding).text


def test_a_family_that_several_sources_sent_is_known(prepared: Prepared, mallory: Trial) -> None:
    reports = reports_of(CINDERWIPE, COUNT, "sent")
    for number in range(4):
        mallory.source = replace(mallory.source, submitter=f"colleague {number}")
        mallory.send(reports[3 * number : 3 * number + 3])
    findings = findings_of(mallory.model(prepared.before), reports_of(CINDERWIPE, VICTIMS, "victims"))
    usual = [finding for finding in findings if finding.anomaly is not None and not finding.anomaly.anomalous]
    assert len(usual) > VICTIMS / 2


def test_a_name_falls_to_better_labels_and_the_model_says_so(prepared: Prepared, mallory: Trial) -> None:
    mallory.send(reports_of(GLACIERLOCK, 2, "first"), "goodsoft")
    mallory.source = replace(mallory.source, submitter="another")
    mallory.send(reports_of(GLACIERLOCK, 2, "second"), "goodsoft")
    named = mallory.model(prepared.before)
    [wrong] = [cluster for cluster in named.clusters if cluster.name.startswith("goodsoft")]
    members = [
        m.analysis for point, m in named.members.all() if named.clustering.labels[point] == named.clusters.index(wrong)
    ]
    honest = [analysis for analysis in members if not analysis.startswith("evil")]
    mallory.store.set_labels({honest[0]: GLACIERLOCK.name})  # an analyst's
    tied = [cluster.name for cluster in mallory.model(named).clusters if cluster.id == wrong.id]
    assert tied == [wrong.name], "one label has not more votes than two"
    mallory.store.set_labels(dict.fromkeys(honest[:4], GLACIERLOCK.name))
    corrected = mallory.model(named)
    [now] = [cluster for cluster in corrected.clusters if cluster.id == wrong.id]
    assert now.name.startswith(GLACIERLOCK.name)
    [change] = [change for change in corrected.facts["changes"] if change["kind"] == "renamed"]
    assert (change["cluster"], change["other"]) == (wrong.id, wrong.name)
