"""Refits and rollbacks: clusters keep their ids and names from one model to the next."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from sklearn.metrics import homogeneity_score
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.fit import refit as refit_module
from cuckoo_ml_plugin.fit.lineage import LabelVotes, OldClusters, follow
from cuckoo_ml_plugin.frames.desk import Desk
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.anomaly import LEAST_REFERENCE
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.store.store import Store


def digests(home: Path) -> dict[str, str]:
    folder = home / "models" / "current"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npy")}


def clusters(home: Path) -> dict[str, tuple[str, int]]:
    return {cluster["id"]: (cluster["name"], cluster["size"]) for cluster in cuckoo_ml(home, "clusters", "--json").json}


# -- unchanged data ----------------------------------------------------------------------------------------------------
def test_the_order_of_imports_does_not_change_the_model(demo: DemoHome, tmp_path: Path) -> None:
    labels = demo.home.parent / "labels.tsv"
    for path in reversed(demo.corpus.import_paths):
        assert cuckoo_ml(tmp_path, "import", path, "--labels", labels).code == 0
    assert cuckoo_ml(tmp_path, "refit").code == 0
    assert digests(tmp_path) == digests(demo.home)


def test_a_refit_without_new_analyses_changes_no_cluster(own_demo: DemoHome) -> None:
    before, model = clusters(own_demo.home), current_id(own_demo.home / "models")
    done = cuckoo_ml(own_demo.home, "refit", "--json")
    assert done.code == 0
    assert clusters(own_demo.home) == before
    assert (done.json["changes"], done.json["moved"]) == ([], 0)
    assert done.json["survived"] == len(before)
    assert current_id(own_demo.home / "models") != model


def test_clusters_keep_their_id_and_name_when_analyses_are_added(own_demo: DemoHome) -> None:
    before = clusters(own_demo.home)
    cuckoo_ml(own_demo.home, "import", *[analysis.path for analysis in own_demo.corpus.new])
    done = cuckoo_ml(own_demo.home, "refit", "--json")
    after = clusters(own_demo.home)
    kept = [name for name in before if name in after]
    assert len(kept) >= len(before) - 1
    assert all(before[name][0] == after[name][0] for name in kept)
    assert {change["kind"] for change in done.json["changes"]} <= {"born", "split", "merged", "died"}


# -- small corpora -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("analyses", "scored"), [(LEAST_REFERENCE - 1, False), (LEAST_REFERENCE, True)])
def test_with_too_few_analyses_there_is_no_anomaly_score_and_a_sentence_says_so(
    demo: DemoHome, tmp_path: Path, analyses: int, scored: bool
) -> None:
    (tmp_path / "cuckooml.conf").write_text("[refit]\nmin_analyses = 5\n")
    paths = [analysis.path for analysis in demo.corpus.analyses]
    assert cuckoo_ml(tmp_path, "import", *paths[:analyses]).code == 0
    done = cuckoo_ml(tmp_path, "refit")
    assert done.code == 0
    assert ("no scores" in (done.out + done.err)) is not scored
    assert "calibrated on 0" not in (done.out + done.err)
    sections = cuckoo_ml(tmp_path, "score", *paths[-5:], "--json").json
    assert [section["status"] for section in sections] == ["scored"] * 5
    assert [section["anomaly"] is not None for section in sections] == [scored] * 5
    assert ["There is no anomaly score" in section["message"] for section in sections] == [not scored] * 5
    assert any(section["similar"] for section in sections)
    kept = Desk(tmp_path).analyses()
    assert kept["anomaly_score"].notna().all() == scored
    assert scored or not kept["anomalous"].any()
    shown = cuckoo_ml(tmp_path, "score", paths[-1])
    assert ("There is no anomaly score" in " ".join((shown.out + shown.err).split())) is not scored
    assert cuckoo_ml(tmp_path, "refit").code == 0, "the findings of the model before can be compared"


def test_a_few_dozen_analyses_are_clustered_by_their_families(demo: DemoHome, tmp_path: Path) -> None:
    chosen = np.random.default_rng(5).choice(len(demo.corpus.fitted), 30, replace=False)
    analyses = [demo.corpus.fitted[number] for number in chosen]
    assert cuckoo_ml(tmp_path, "import", *[analysis.path for analysis in analyses]).code == 0
    assert cuckoo_ml(tmp_path, "refit").code == 0
    assigned = Desk(tmp_path).analyses()["cluster"].dropna()
    families = {analysis.name: analysis.family for analysis in analyses}
    assert len(assigned) >= 15
    assert homogeneity_score([families[name] for name in assigned.index], assigned) > 0.8
    others = [analysis.path for analysis in demo.corpus.analyses if analysis.family not in families.values()]
    placed = [section["cluster"] for section in cuckoo_ml(tmp_path, "score", *others, "--json").json]
    assert len(placed) >= 5
    assert sum(cluster is not None for cluster in placed) <= 0.2 * len(placed), "unknown families stay outside"


@pytest.mark.parametrize("samples", [1, 2])
def test_runs_of_one_file_are_one_sample_and_make_no_cluster(demo: DemoHome, tmp_path: Path, samples: int) -> None:
    different = {made.family: made for made in demo.corpus.fitted if made.role == "member"}
    for number, made in enumerate(list(different.values())[:samples] * 25):
        shutil.copy(made.path, tmp_path / f"{number}{''.join(made.path.suffixes)}")
    home = tmp_path / "home"
    assert cuckoo_ml(home, "import", *tmp_path.glob("*.json*")).code == 0
    assert cuckoo_ml(home, "refit").code == 0
    assert clusters(home) == {}
    [finding] = cuckoo_ml(home, "score", next(tmp_path.glob("0.json*")), "--json").json
    assert finding["verdict"]["kind"] == "same_file"


# -- lineage -----------------------------------------------------------------------------------------------------------
def lineage_of(
    before: Sequence[str | None], labels: list[int]
) -> tuple[dict[str, str], list[tuple[str, str, str]], int]:
    """The ids of the new clusters by number, the changes, and how many analyses moved."""
    analyses = [str(number) for number in range(len(labels))]
    names = {cluster: f"name of {cluster}" for cluster in before if cluster}
    old = OldClusters(dict(zip(analyses, before, strict=False)), names, 10)
    votes = LabelVotes(dict.fromkeys(names.values(), 1))  # so that names stay
    lineage = follow(analyses, np.array(labels), [votes] * (max(labels) + 1), old)
    changes = [(change.kind, change.cluster, change.other) for change in lineage.changes]
    return dict(zip(map(str, range(9)), lineage.ids, strict=False)), changes, lineage.moved


def test_splits_mergers_births_and_deaths_are_recognised() -> None:
    ids, changes, moved = lineage_of(["c1"] * 10, [0] * 6 + [1] * 4)
    assert ids == {"0": "c1", "1": "c10"}
    assert changes == [("split", "c10", "c1")]
    assert moved == 4
    ids, changes, moved = lineage_of(["c1"] * 6 + ["c2"] * 4, [0] * 10)
    assert ids == {"0": "c1"}
    assert changes == [("merged", "c2", "c1")]
    assert moved == 4
    ids, changes, moved = lineage_of([None] * 5 + ["c1"] * 5, [0] * 5 + [1] * 5)
    assert ids == {"0": "c10", "1": "c1"}
    assert changes == [("born", "c10", "")]
    ids, changes, moved = lineage_of(["c1"] * 5 + ["c2"] * 5, [0] * 5 + [-1] * 5)
    assert changes == [("died", "c2", "")]
    assert moved == 5


def test_the_number_of_a_cluster_is_never_used_again(own_demo: DemoHome) -> None:
    model = Model.load(own_demo.home / "models" / "current")
    numbers = {int(cluster.id[1:]) for cluster in model.clusters}
    assert int(model.facts["next_cluster"]) > max(numbers)


# -- refit --if-needed -------------------------------------------------------------------------------------------------
def test_if_needed_gives_its_reason(own_demo: DemoHome) -> None:
    home = own_demo.home
    done = cuckoo_ml(home, "refit", "--if-needed")
    assert done.code == 0
    assert done.out.startswith("No refit. 0 new analyses since the last fit on ")
    cuckoo_ml(home, "import", *[analysis.path for analysis in own_demo.corpus.new])
    assert "No refit. 6 new analyses since the last fit" in cuckoo_ml(home, "refit", "--if-needed").out
    settings = home / "cuckooml.conf"
    text = settings.read_text()
    fewer = text.replace("new_analyses = 50", "new_analyses = 5").replace("new_share = 0.1", "new_share = 0")
    settings.write_text(fewer)
    done = cuckoo_ml(home, "refit", "--if-needed")
    assert "Refit. 6 new analyses since the last fit" in done.err
    settings.write_text(text.replace("min_cluster_size = 2", "min_cluster_size = 5"))
    done = cuckoo_ml(home, "refit", "--if-needed", "--json")
    assert "Refit. The settings that a fit depends on have changed." in done.err
    assert done.json["refitted"] is True


def test_drift_makes_a_refit_due(own_demo: DemoHome) -> None:
    """A refit is due early when all new analyses are anomalous."""
    from cuckoo_ml_plugin.store.finding_record import FindingRecord
    from cuckoo_ml_plugin.store.store import Store

    cuckoo_ml(own_demo.home, "import", *[analysis.path for analysis in own_demo.corpus.new])
    with Store.open(own_demo.home / "store.db") as store:
        strange = [FindingRecord(analysis.name, "m", None, None, None, 0.99, True) for analysis in own_demo.corpus.new]
        store.save_findings(strange)
    done = cuckoo_ml(own_demo.home, "refit", "--if-needed")
    assert "Refit. Drift: 6 of the 6 new samples that were scored are anomalous" in done.err


def test_too_few_analyses_are_not_fitted(demo: DemoHome, tmp_path: Path) -> None:
    cuckoo_ml(tmp_path, "import", *[analysis.path for analysis in demo.corpus.fitted[:5]])
    done = cuckoo_ml(tmp_path, "refit")
    assert done.code == 1
    assert "a model needs 20" in done.err.replace("\n", " ")
    assert "No refit. There is no model yet" in cuckoo_ml(tmp_path, "refit", "--if-needed").out
    scored = cuckoo_ml(tmp_path, "score", demo.corpus.new[0].path, "--json").json[0]
    assert scored["status"] == "no_model"
    assert "5 analyses with behaviour are stored, and it needs 20" in scored["message"]


def test_two_refits_never_run_at_once(own_demo: DemoHome) -> None:
    before = current_id(own_demo.home / "models")
    with (own_demo.home / "models" / ".refit.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cuckoo_ml(own_demo.home, "refit")
    assert done.code == 1
    assert "another command is at work on its models" in done.err
    assert current_id(own_demo.home / "models") == before


def test_settings_choose_dbscan_and_leave_out_kinds(own_demo: DemoHome) -> None:
    settings = own_demo.home / "cuckooml.conf"
    text = settings.read_text()
    settings.write_text(text.replace("algorithm = hdbscan", "algorithm = dbscan"))
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    assert len(clusters(own_demo.home)) >= 5
    scored = cuckoo_ml(own_demo.home, "score", own_demo.corpus.new[0].path, "--json").json[0]
    assert scored["status"] == "scored"
    settings.write_text(text.replace("leave_out =", "leave_out = string, no_such_kind"))
    done = cuckoo_ml(own_demo.home, "refit")
    assert done.code == 1
    assert "no_such_kind" in done.err


def test_scoring_a_fitted_analysis_repeats_its_finding(demo: DemoHome) -> None:
    """This includes analyses that differ only in tokens too rare for the model: they share one point."""
    engine = Engine(Home(demo.home))
    for name, stored in engine.store.findings_of([analysis.name for analysis in demo.corpus.fitted]).items():
        finding = engine.score_stored(name)
        assert finding is not None
        assert finding.anomaly is not None
        assert abs(finding.anomaly["score"] - (stored.anomaly_score or 0)) < 1e-4, name
        assert abs(finding.anomaly["outlier_score"] - (stored.outlier_score or 0)) < 1e-4, name
        assert (finding.cluster["id"] if finding.cluster else None) == stored.cluster, name


def test_a_refit_killed_before_it_stored_its_findings_is_completed_by_the_next(
    own_demo: DemoHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = own_demo.home
    assert "interrupted" not in cuckoo_ml(home, "clusters").err, "the refit is complete"
    settings = home / "cuckooml.conf"
    settings.write_text(re.sub(r"(?m)^certainty = .*", "certainty = 0.85", settings.read_text()))
    with monkeypatch.context() as patch:
        patch.setattr(refit_module, "save_findings", mock.Mock(side_effect=KeyboardInterrupt))
        assert cuckoo_ml(home, "refit").code == 1
    stale = cuckoo_ml(home, "clusters")
    assert stale.err.count("refit --if-needed") == 1
    done = cuckoo_ml(home, "refit", "--if-needed")
    assert "An interrupted refit was completed" in done.err
    fresh = cuckoo_ml(home, "clusters")
    assert "refit" not in fresh.err
    assert fresh.out != stale.out
    for cluster in cuckoo_ml(home, "clusters", "--json").json:
        assert cluster["size"] == cluster["stored"]


@pytest.mark.parametrize("keep", range(1, 7))
def test_prune_keeps_the_given_number_of_models(demo: DemoHome, tmp_path: Path, keep: int) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo.home, home, symlinks=True)
    current = current_id(home / "models")
    assert current is not None
    for number in range(3):
        shutil.copytree(home / "models" / current, home / "models" / f"2020010{number}-000000-000-abcdef00")
    done = cuckoo_ml(home, "models", "prune", "--keep", keep)
    kept = [model["id"] for model in cuckoo_ml(home, "models", "list", "--json").json]
    assert len(kept) == min(keep, 4), done.out
    assert current in kept
    assert current_id(home / "models") == current


def test_after_a_rollback_all_findings_are_those_of_the_model_in_force(own_demo: DemoHome) -> None:
    home = own_demo.home
    first = set(clusters(home))
    newcomers = [analysis.name for analysis in own_demo.corpus.new]
    cuckoo_ml(home, "import", *[analysis.path for analysis in own_demo.corpus.new])
    assert cuckoo_ml(home, "refit").code == 0
    with Store.open(home / "store.db") as store:  # findings that only the later model could give
        later = [replace(finding, cluster="c999", anomalous=True) for finding in store.findings_of(newcomers).values()]
        assert store.save_findings(later) == len(newcomers)
    assert cuckoo_ml(home, "models", "rollback").code == 0
    analyses = Desk(home).analyses()
    assert set(analyses["cluster"].dropna()) == first
    for section in cuckoo_ml(home, "score", *[analysis.path for analysis in own_demo.corpus.new], "--json").json:
        row = analyses.loc[section["analysis"]]
        assert row["anomaly_score"] == pytest.approx(section["anomaly"]["score"])
        assert (section["cluster"] or {}).get("id") == (row["cluster"] if isinstance(row["cluster"], str) else None)
    with Store.open(home / "store.db") as store:
        model = current_id(home / "models")
        assert model is not None
        assert store.scored_by_other_models(model) == []
        assert store.findings_are_of(model)


# -- models ------------------------------------------------------------------------------------------------------------
def test_models_are_listed_rolled_back_and_pruned(own_demo: DemoHome) -> None:
    home = own_demo.home
    first = current_id(home / "models")
    for _ in range(2):
        assert cuckoo_ml(home, "refit").code == 0
    listed = cuckoo_ml(home, "models", "list", "--json").json
    assert [model["current"] for model in listed] == [False, False, True]
    assert cuckoo_ml(home, "models", "rollback").code == 0
    assert current_id(home / "models") == listed[1]["id"]
    assert cuckoo_ml(home, "models", "rollback", first).code == 0
    assert current_id(home / "models") == first
    for wrong in ("nothing", "../..", "."):
        done = cuckoo_ml(home, "models", "rollback", wrong)
        assert done.code == 1
        assert done.err.count("Error: ") == 1
    assert cuckoo_ml(home, "models", "rollback").code == 1, "there is none before the first"
    cuckoo_ml(home, "models", "prune", "--keep", "1")
    assert [model["id"] for model in cuckoo_ml(home, "models", "list", "--json").json] == [first]
    assert cuckoo_ml(home, "score", own_demo.corpus.new[0].path).code == 0
