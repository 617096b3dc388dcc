"""The admin's side: refit after refit, the analysts find the same clusters under the same names."""

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
from cuckoo_ml_plugin.fit.lineage import OldClusters, follow
from cuckoo_ml_plugin.frames.desk import Desk
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.store.store import Store


def digests(home: Path) -> dict[str, str]:
    folder = home / "models" / "current"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npy")}


def clusters(home: Path) -> dict[str, tuple[str, int]]:
    return {one["id"]: (one["name"], one["size"]) for one in cuckoo_ml(home, "clusters", "--json").json}


# -- the same again ----------------------------------------------------------------------------------------------------
def test_the_same_corpus_gives_the_same_model_whatever_order_it_came_in(demo: DemoHome, tmp_path: Path) -> None:
    labels = demo.home.parent / "labels.tsv"
    for path in reversed(demo.corpus.import_paths):
        assert cuckoo_ml(tmp_path, "import", path, "--labels", labels).code == 0
    assert cuckoo_ml(tmp_path, "refit").code == 0
    assert digests(tmp_path) == digests(demo.home)


def test_a_refit_of_what_is_known_changes_no_cluster(own_demo: DemoHome) -> None:
    before, model = clusters(own_demo.home), current_id(own_demo.home / "models")
    done = cuckoo_ml(own_demo.home, "refit", "--json")
    assert done.code == 0
    assert clusters(own_demo.home) == before
    assert (done.json["changes"], done.json["moved"]) == ([], 0)
    assert done.json["survived"] == len(before)
    assert current_id(own_demo.home / "models") != model


def test_clusters_keep_their_id_and_name_when_analyses_are_added(own_demo: DemoHome) -> None:
    before = clusters(own_demo.home)
    cuckoo_ml(own_demo.home, "import", *[one.path for one in own_demo.corpus.new])
    done = cuckoo_ml(own_demo.home, "refit", "--json")
    after = clusters(own_demo.home)
    kept = [name for name in before if name in after]
    assert len(kept) >= len(before) - 1
    assert all(before[name][0] == after[name][0] for name in kept)
    assert {change["kind"] for change in done.json["changes"]} <= {"born", "split", "merged", "died"}


# -- the first days ----------------------------------------------------------------------------------------------------
def test_a_few_dozen_analyses_are_clustered_by_their_families(demo: DemoHome, tmp_path: Path) -> None:
    chosen = np.random.default_rng(5).choice(len(demo.corpus.fitted), 30, replace=False)
    analyses = [demo.corpus.fitted[number] for number in chosen]
    assert cuckoo_ml(tmp_path, "import", *[one.path for one in analyses]).code == 0
    assert cuckoo_ml(tmp_path, "refit").code == 0
    found = Desk(tmp_path).analyses()["cluster"].dropna()
    families = {one.name: one.family for one in analyses}
    assert len(found) >= 15
    assert homogeneity_score([families[name] for name in found.index], found) > 0.8
    others = [one.path for one in demo.corpus.analyses if one.family not in families.values()]
    placed = [section["cluster"] for section in cuckoo_ml(tmp_path, "score", *others, "--json").json]
    assert len(placed) >= 5
    assert sum(one is not None for one in placed) <= 0.2 * len(placed), "strangers stay outside"


@pytest.mark.parametrize("samples", [1, 2])
def test_a_corpus_of_nothing_but_repeats_has_a_cluster_for_each(demo: DemoHome, tmp_path: Path, samples: int) -> None:
    different = {made.family: made for made in demo.corpus.fitted if made.role == "member"}
    for number, made in enumerate(list(different.values())[:samples] * 25):
        shutil.copy(made.path, tmp_path / f"{number}{''.join(made.path.suffixes)}")
    home = tmp_path / "home"
    assert cuckoo_ml(home, "import", *tmp_path.glob("*.json*")).code == 0
    assert cuckoo_ml(home, "refit").code == 0
    assert [size for _, size in clusters(home).values()] == [25] * samples


# -- the story that is told --------------------------------------------------------------------------------------------
def story(before: Sequence[str | None], labels: list[int]) -> tuple[dict[str, str], list[tuple[str, str, str]], int]:
    """Names of the new clusters' ids by number, the changes, and how many analyses moved."""
    analyses = [str(number) for number in range(len(labels))]
    names = {cluster: f"name of {cluster}" for cluster in before if cluster}
    old = OldClusters(dict(zip(analyses, before, strict=False)), names, 10)
    found = follow(analyses, np.array(labels), [None] * (max(labels) + 1), old)
    changes = [(change.kind, change.cluster, change.other) for change in found.changes]
    return dict(zip(map(str, range(9)), found.ids, strict=False)), changes, found.moved


def test_a_split_a_merger_a_birth_and_a_death_are_told_as_such() -> None:
    ids, changes, moved = story(["c1"] * 10, [0] * 6 + [1] * 4)
    assert ids == {"0": "c1", "1": "c10"}
    assert changes == [("split", "c10", "c1")]
    assert moved == 4
    ids, changes, moved = story(["c1"] * 6 + ["c2"] * 4, [0] * 10)
    assert ids == {"0": "c1"}
    assert changes == [("merged", "c2", "c1")]
    assert moved == 4
    ids, changes, moved = story([None] * 5 + ["c1"] * 5, [0] * 5 + [1] * 5)
    assert ids == {"0": "c10", "1": "c1"}
    assert changes == [("born", "c10", "")]
    ids, changes, moved = story(["c1"] * 5 + ["c2"] * 5, [0] * 5 + [-1] * 5)
    assert changes == [("died", "c2", "")]
    assert moved == 5


def test_a_number_that_was_a_clusters_is_never_given_again(own_demo: DemoHome) -> None:
    model = Model.load(own_demo.home / "models" / "current")
    numbers = {int(one.id[1:]) for one in model.clusters}
    assert int(model.facts["next_cluster"]) > max(numbers)


# -- when --------------------------------------------------------------------------------------------------------------
def test_if_needed_says_why_or_why_not(own_demo: DemoHome) -> None:
    home = own_demo.home
    done = cuckoo_ml(home, "refit", "--if-needed")
    assert done.code == 0
    assert done.out.startswith("No refit. 0 new analyses since the last fit on ")
    cuckoo_ml(home, "import", *[one.path for one in own_demo.corpus.new])
    assert "No refit. 6 analyses have come" in cuckoo_ml(home, "refit", "--if-needed").out
    settings = home / "cuckooml.conf"
    text = settings.read_text()
    fewer = text.replace("new_analyses = 50", "new_analyses = 5").replace("new_share = 0.1", "new_share = 0")
    settings.write_text(fewer)
    done = cuckoo_ml(home, "refit", "--if-needed")
    assert "Refit. 6 new analyses since the last fit" in done.err
    settings.write_text(text.replace("min_cluster_size = 4", "min_cluster_size = 5"))
    done = cuckoo_ml(home, "refit", "--if-needed", "--json")
    assert "Refit. The settings that a fit depends on have changed." in done.err
    assert done.json["refitted"] is True


def test_if_needed_sees_drift(own_demo: DemoHome) -> None:
    """New analyses that are all unlike anything known call for a refit before enough have come."""
    from cuckoo_ml_plugin.store.finding_record import FindingRecord
    from cuckoo_ml_plugin.store.store import Store

    cuckoo_ml(own_demo.home, "import", *[one.path for one in own_demo.corpus.new])
    with Store.open(own_demo.home / "store.db") as store:
        strange = [FindingRecord(one.name, "m", None, None, None, 0.99, True) for one in own_demo.corpus.new]
        store.save_findings(strange)
    done = cuckoo_ml(own_demo.home, "refit", "--if-needed")
    assert "Refit. Drift: 6 of the 6 new analyses that were scored are anomalous" in done.err


def test_too_few_analyses_are_not_fitted(demo: DemoHome, tmp_path: Path) -> None:
    cuckoo_ml(tmp_path, "import", *[one.path for one in demo.corpus.fitted[:5]])
    done = cuckoo_ml(tmp_path, "refit")
    assert done.code == 1
    assert "a model needs 20" in done.err.replace("\n", " ")
    assert "No refit. There is no model yet" in cuckoo_ml(tmp_path, "refit", "--if-needed").out
    scored = cuckoo_ml(tmp_path, "score", demo.corpus.new[0].path, "--json").json[0]
    assert scored["status"] == "no_model"
    assert "are needed" in scored["message"]


def test_two_refits_never_run_at_once(own_demo: DemoHome) -> None:
    before = current_id(own_demo.home / "models")
    with (own_demo.home / "models" / ".refit.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cuckoo_ml(own_demo.home, "refit")
    assert done.code == 1
    assert "another refit is running" in done.err
    assert current_id(own_demo.home / "models") == before


def test_dbscan_and_kinds_left_out_are_a_matter_of_settings(own_demo: DemoHome) -> None:
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


def test_scoring_what_was_fitted_says_what_the_refit_said(demo: DemoHome) -> None:
    """Also of analyses that differ only in what is too rare for the model to know: they are in one place."""
    engine = Engine(Home(demo.home))
    for name, said in engine.store.findings_of([one.name for one in demo.corpus.fitted]).items():
        finding = engine.score_stored(name)
        assert finding is not None
        assert finding.anomaly is not None
        assert abs(finding.anomaly["score"] - (said.anomaly_score or 0)) < 1e-4, name
        assert abs(finding.anomaly["outlier_score"] - (said.outlier_score or 0)) < 1e-4, name
        assert (finding.cluster["id"] if finding.cluster else None) == said.cluster, name


def test_a_refit_cut_off_before_its_findings_are_stored_is_told_and_finished(
    own_demo: DemoHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = own_demo.home
    assert "cut off" not in cuckoo_ml(home, "clusters").err, "nothing is wrong yet"
    settings = home / "cuckooml.conf"
    settings.write_text(re.sub(r"(?m)^certainty = .*", "certainty = 0.85", settings.read_text()))
    with monkeypatch.context() as patch:
        patch.setattr(refit_module, "save_findings", mock.Mock(side_effect=KeyboardInterrupt))
        assert cuckoo_ml(home, "refit").code == 1
    stale = cuckoo_ml(home, "clusters")
    assert stale.err.count("refit --if-needed") == 1
    done = cuckoo_ml(home, "refit", "--if-needed")
    assert "cut off" in done.err
    fresh = cuckoo_ml(home, "clusters")
    assert "refit" not in fresh.err
    assert fresh.out != stale.out
    for one in cuckoo_ml(home, "clusters", "--json").json:
        assert one["size"] == one["stored"]


@pytest.mark.parametrize("keep", range(1, 7))
def test_as_many_models_are_kept_as_was_asked(demo: DemoHome, tmp_path: Path, keep: int) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo.home, home, symlinks=True)
    current = current_id(home / "models")
    assert current is not None
    for number in range(3):
        shutil.copytree(home / "models" / current, home / "models" / f"2020010{number}-000000-000-abcdef00")
    done = cuckoo_ml(home, "models", "prune", "--keep", keep)
    left = [one["id"] for one in cuckoo_ml(home, "models", "list", "--json").json]
    assert len(left) == min(keep, 4), done.out
    assert current in left
    assert current_id(home / "models") == current


def test_after_a_rollback_all_findings_are_those_of_the_model_in_force(own_demo: DemoHome) -> None:
    home = own_demo.home
    first = set(clusters(home))
    newcomers = [one.name for one in own_demo.corpus.new]
    cuckoo_ml(home, "import", *[one.path for one in own_demo.corpus.new])
    assert cuckoo_ml(home, "refit").code == 0
    with Store.open(home / "store.db") as store:  # what a later model alone knows
        later = [replace(one, cluster="c999", anomalous=True) for one in store.findings_of(newcomers).values()]
        assert store.save_findings(later) == len(newcomers)
    assert cuckoo_ml(home, "models", "rollback").code == 0
    found = Desk(home).analyses()
    assert set(found["cluster"].dropna()) == first
    for section in cuckoo_ml(home, "score", *[one.path for one in own_demo.corpus.new], "--json").json:
        told = found.loc[section["analysis"]]
        assert told["anomaly_score"] == pytest.approx(section["anomaly"]["score"])
        assert (section["cluster"] or {}).get("id") == (told["cluster"] if isinstance(told["cluster"], str) else None)
    with Store.open(home / "store.db") as store:
        model = current_id(home / "models")
        assert model is not None
        assert store.scored_by_other_models(model) == []
        assert store.findings_are_of(model)


# -- models ------------------------------------------------------------------------------------------------------------
def test_models_are_listed_gone_back_to_and_pruned(own_demo: DemoHome) -> None:
    home = own_demo.home
    first = current_id(home / "models")
    for _ in range(2):
        assert cuckoo_ml(home, "refit").code == 0
    listed = cuckoo_ml(home, "models", "list", "--json").json
    assert [one["current"] for one in listed] == [False, False, True]
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
    assert [one["id"] for one in cuckoo_ml(home, "models", "list", "--json").json] == [first]
    assert cuckoo_ml(home, "score", own_demo.corpus.new[0].path).code == 0
