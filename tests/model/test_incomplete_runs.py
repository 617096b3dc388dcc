"""A run that did less than its like is called incomplete, by the model alone; one that ran to its end is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.kinds import DEEDS, KINDS
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.finding.reasons import incomplete_reasons
from cuckoo_ml_plugin.finding.section import Reason
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.habits import Habits
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_samples.execute import execute
from cuckoo_ml_samples.malware.families import GLACIERLOCK
from cuckoo_ml_samples.report_formats import cape, cuckoo2
from cuckoo_ml_samples.sample_files import make_sample


def scored_run(demo: DemoHome, folder: Path, host: str, kept: int | None) -> list[Reason]:
    """The reasons of a new file of a known variant, after so many of its steps; None: after all."""
    variant = GLACIERLOCK.variants[0]
    sample = make_sample(GLACIERLOCK, variant, Random("a new file"))
    run = execute(sample, replace(variant, steps=variant.steps[:kept]), Random("the same run"))
    render = cuckoo2.render if host == "cuckoo2" else cape.render
    path = folder / "report.json"
    path.write_text(json.dumps(render(run, 1, label=None, scanned=False)), encoding="utf-8")
    finding = Engine(Home(demo.home)).score_file(path, "new")
    assert finding.anomaly is not None
    return [reason for reason in finding.anomaly.reasons if reason.kind == "incomplete_run"]


@pytest.mark.parametrize("host", ["cuckoo2", "cape"])
def test_a_run_that_was_cut_off_is_called_incomplete_and_a_whole_one_is_not(
    demo: DemoHome, tmp_path: Path, host: str
) -> None:
    assert scored_run(demo, tmp_path, host, None) == []
    [reason] = scored_run(demo, tmp_path, host, len(GLACIERLOCK.variants[0].steps) // 3)
    assert 0.2 <= reason.value <= 1
    assert "of what nearly all analyses of" in reason.text
    assert "glacierlock" in reason.text
    assert "run it longer" in reason.text


def test_samples_that_did_nothing_are_named_beside_those_of_their_family(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    model = engine.require_model()
    silent = [sample for sample in demo.corpus.fitted if sample.role == "noise"]
    families = {sample.name: sample.family for sample in demo.corpus.fitted}
    right = 0
    for sample in silent:
        finding, stored = engine.score_stored(sample.name), engine.store.get(sample.name)
        assert finding is not None
        assert stored is not None
        assert finding.anomaly is not None
        [reason] = [reason for reason in finding.anomaly.reasons if reason.kind == "incomplete_run"]
        assert reason.text.startswith("Did none of what nearly all analyses of cluster ")
        lack = model.lack_of(engine.behaviour_of(stored))
        assert lack is not None
        assert "write files" in [deed for deed, _ in lack.deeds]
        group, _ = model.group_of(lack)
        members = [member.finding.analysis for member in engine.store.cluster_members(group.id)]
        right += families[members[0]] == sample.family
    assert right >= len(silent) - 1


def test_few_whole_runs_of_the_corpus_are_called_incomplete(demo: DemoHome) -> None:
    members = [sample.path for sample in demo.corpus.fitted if sample.role == "member"]
    answers = cuckoo_ml(demo.home, "score", *members, "--json").json
    called = [a for a in answers if any(r["kind"] == "incomplete_run" for r in a["anomaly"]["reasons"])]
    assert len(called) <= 0.04 * len(answers)


def test_a_task_in_which_no_sample_ran_is_not_called_incomplete(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    silent = next(sample for sample in demo.corpus.fitted if sample.role == "noise")
    stored = engine.store.get(silent.name)
    assert stored is not None
    tokens = sorted([*engine.behaviour_of(stored).tokens, "task:static"])
    finding = engine.score(Behaviour(tokens, {}), "static", None)
    assert finding.anomaly is not None
    assert "incomplete_run" not in [reason.kind for reason in finding.anomaly.reasons]


def test_what_a_group_does_is_counted_right(demo: DemoHome) -> None:
    model = Model.load(demo.home / "models" / "current")
    engine = Engine(Home(demo.home))
    of_cluster: dict[int, list[set[str]]] = {}
    for point, member in model.members.all():
        stored = engine.store.get(member.analysis)
        assert stored is not None
        kinds = {token.partition(":")[0] for token in stored.unpack()[0]}
        of_cluster.setdefault(int(model.clustering.labels[point]), []).append(kinds)
    assert set(DEEDS["write files"]) <= set(KINDS)
    deeds = model.habits.deeds.reshape(-1, len(DEEDS))
    for cluster in range(len(model.clusters)):
        assert model.habits.sizes[cluster] == len(of_cluster[cluster])
        counted = [sum(bool(kinds & of_deed) for kinds in of_cluster[cluster]) for of_deed in DEEDS.values()]
        assert deeds[cluster].tolist() == counted


def test_a_model_from_before_habits_calls_nothing_incomplete() -> None:
    none = Habits.none()
    groups, actions = np.array([0, -1]), np.zeros(len(DEEDS), bool)
    assert none.lack(groups, np.ones(2), 0, np.zeros(9, bool), 0, actions) is None
    assert Habits.from_arrays(none.arrays()).sizes.tolist() == []


def test_a_reader_who_may_not_know_the_group_learns_neither_its_name_nor_its_size() -> None:
    [reason] = incomplete_reasons(0.5)
    assert not any(character.isdigit() for character in reason.text)
    assert incomplete_reasons(0.1999, "cluster c1", 10, 1.0, [("write files", 10)]) == []
