"""Kin: broad groups above the clusters, with ids that stay, in every place that names them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import adjusted_rand_score, homogeneity_score
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.model_facts import facts_of, write_facts

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.fit.groups import kin as kin_module
from cuckoo_ml_plugin.fit.groups.alike import AspectTokens, aspect_sizes
from cuckoo_ml_plugin.fit.groups.clustering import clustering_and_neighbours
from cuckoo_ml_plugin.fit.groups.kin import fit_kin
from cuckoo_ml_plugin.frames.desk import Desk
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.groups.kin import NO_KIN, Kin
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import ClusteringSettings


def current(home: Path) -> Path:
    return home / "models" / "current"


def as_of_version_0_2(folder: Path) -> None:
    """A model as versions without kin wrote it."""
    facts = facts_of(folder)
    for name in [name for name in facts["arrays"] if name.startswith("kin.")]:
        del facts["arrays"][name]
        (folder / f"{name}.npy").unlink()
    for cluster in facts["clusters"]:
        del cluster["kin"]
    for name in ("kins", "next_kin"):
        del facts[name]
    del facts["settings"]["clustering"]["kin_level"]
    write_facts(folder, facts)


# -- what a kin is -----------------------------------------------------------------------------------------------------
def test_kin_are_fewer_than_clusters_hold_more_analyses_and_are_of_one_family(demo: DemoHome) -> None:
    kin = cuckoo_ml(demo.home, "kin", "--json").json
    clusters = cuckoo_ml(demo.home, "clusters", "--json").json
    assert 3 <= len(kin) < len(clusters)
    assert sum(group["size"] for group in kin) >= sum(cluster["size"] for cluster in clusters)
    assert [group["size"] for group in kin] == sorted((group["size"] for group in kin), reverse=True)
    assert {group["id"]: set(group["clusters"]) for group in kin} == {
        group["id"]: {cluster["id"] for cluster in clusters if cluster["kin"] == group["id"]} for group in kin
    }
    analyses = Desk(demo.home).analyses()["kin"].dropna()
    families = {sample.name: sample.family for sample in demo.corpus.fitted}
    assert homogeneity_score([families[name] for name in analyses.index], analyses) > 0.8


def test_a_fitted_analysis_has_the_kin_that_the_fit_gave_it(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    for name, stored in engine.store.findings_of([sample.name for sample in demo.corpus.fitted]).items():
        finding = engine.score_stored(name)
        assert finding is not None
        assert (finding.kin.id if finding.kin else None) == stored.kin, name
        if finding.kin is not None:
            assert abs(finding.kin.probability - (stored.kin_probability or 0)) < 1e-4, name


def test_a_new_analysis_is_in_the_kin_of_its_cluster_and_its_relatives(demo: DemoHome) -> None:
    model = Model.load(current(demo.home))
    facts = {kin.id: kin for kin in model.kins}
    kin_of = {cluster.id: cluster.kin for cluster in model.clusters}
    sections = cuckoo_ml(demo.home, "score", *[sample.path for sample in demo.corpus.new], "--json").json
    clustered = [section for section in sections if section["cluster"]]
    assert len(clustered) >= 4
    for section in clustered:
        assert section["kin"]["id"] == kin_of[section["cluster"]["id"]]
        assert 0 < section["kin"]["probability"] <= 1
        assert section["kin"]["size"] == facts[section["kin"]["id"]].size >= section["cluster"]["size"]
        assert {label["label"]: label["count"] for label in section["kin"]["labels"]} == facts[
            section["kin"]["id"]
        ].labels
    strange = [section for section in sections if not section["cluster"] and section["anomaly"]["anomalous"]]
    assert len(strange) >= 1
    assert [section["kin"] for section in strange] == [None] * len(strange), "unlike anything known"
    shown = cuckoo_ml(demo.home, "score", demo.corpus.new[0].path).out
    assert f"kin {sections[0]['kin']['id']} {sections[0]['kin']['name']} (" in shown


def test_the_list_of_kin_and_one_of_them_say_the_same(demo: DemoHome) -> None:
    kin = cuckoo_ml(demo.home, "kin", "--json").json
    table = Desk(demo.home).kin_table()
    assert table["size"].to_dict() == {group["id"]: group["size"] for group in kin}
    assert table["clusters"].to_dict() == {group["id"]: group["clusters"] for group in kin}
    memberships = Counter(f"k{number}" for number in Desk(demo.home).cluster_memberships()["kin"] if number >= 0)
    assert memberships == {group["id"]: group["size"] for group in kin}
    largest = kin[0]
    detail = cuckoo_ml(demo.home, "kin", largest["name"], "--json", "--limit", largest["size"]).json
    assert sorted(cluster["id"] for cluster in detail["clusters"]) == sorted(largest["clusters"])
    assert len(detail["members"]) == detail["stored_samples"] == largest["stored_samples"]
    assert sum(member["runs"] for member in detail["members"]) == detail["stored"] == largest["stored"]
    probabilities = [member["probability"] for member in detail["members"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert {member["cluster"] for member in detail["members"]} - {None} == set(largest["clusters"])
    shown = cuckoo_ml(demo.home, "kin", largest["id"]).out
    assert f"Kin {largest['id']}, {largest['name']}" in shown
    assert f"Kin: {largest['id']}" in cuckoo_ml(demo.home, "clusters", largest["clusters"][0]).out
    missing = cuckoo_ml(demo.home, "kin", "k999")
    assert (missing.code, "there is no such kin" in missing.err) == (1, True)


# -- refits ------------------------------------------------------------------------------------------------------------
def test_kin_keep_their_id_and_name_when_a_tenth_of_the_analyses_is_added(demo: DemoHome, tmp_path: Path) -> None:
    paths = [sample.path for sample in demo.corpus.fitted]
    order = np.random.default_rng(3).permutation(len(paths)).tolist()
    tenth = len(paths) // 11
    labels = demo.home.parent / "labels.tsv"
    assert cuckoo_ml(tmp_path, "import", *[paths[i] for i in order[tenth:]], "--labels", labels).code == 0
    assert cuckoo_ml(tmp_path, "refit").code == 0
    before = {group["id"]: group for group in cuckoo_ml(tmp_path, "kin", "--json").json}
    placed = Desk(tmp_path).analyses()["kin"].dropna()
    assert cuckoo_ml(tmp_path, "import", *[paths[i] for i in order[:tenth]], "--labels", labels).code == 0
    assert cuckoo_ml(tmp_path, "refit").code == 0
    after = {group["id"]: group for group in cuckoo_ml(tmp_path, "kin", "--json").json}
    large = [name for name, group in before.items() if group["size"] >= 8]
    assert len(large) >= 5
    assert set(large) <= set(after)
    assert all(after[name]["name"] == before[name]["name"] for name in large)
    now = Desk(tmp_path).analyses()["kin"]
    assert (now[placed.index] == placed).mean() > 0.8
    numbers = {int(name[1:]) for name in after}
    assert int(Model.load(current(tmp_path)).facts["next_kin"]) > max(numbers)


def test_a_refit_without_new_analyses_changes_no_kin(own_demo: DemoHome) -> None:
    before = cuckoo_ml(own_demo.home, "kin", "--json").json
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    assert cuckoo_ml(own_demo.home, "kin", "--json").json == before


def test_a_model_without_kin_is_read_and_the_next_refit_finds_them(own_demo: DemoHome, tmp_path: Path) -> None:
    home, new = own_demo.home, own_demo.corpus.new[0].path
    kin = cuckoo_ml(home, "kin", "--json").json
    as_of_version_0_2(current(home).resolve())
    assert cuckoo_ml(home, "kin", "--json").json == []
    [section] = cuckoo_ml(home, "score", new, "--json").json
    assert section["cluster"] is not None
    assert section["kin"] is None
    for command in (("export", tmp_path / "out"), ("atlas", tmp_path / "atlas.html"), ("clusters",), ("refresh",)):
        done = cuckoo_ml(home, *command)
        assert done.code == 0, (command, done.err)
    rows = (tmp_path / "out" / "clustering_results.csv").read_text(encoding="utf-8").splitlines()
    assert {row.rsplit(",", 1)[1] for row in rows} == {"kin", "-1.0"}
    forgotten = cuckoo_ml(home, "clusters", "c0", "--json").json["members"][0]["analysis"]
    assert cuckoo_ml(home, "forget", forgotten).code == 0
    assert cuckoo_ml(home, "refit").code == 0
    found = cuckoo_ml(home, "kin", "--json").json
    assert found[0]["id"] == "k0"
    assert abs(len(found) - len(kin)) <= 2
    [section] = cuckoo_ml(home, "score", new, "--json").json
    assert section["kin"] is not None


@pytest.mark.parametrize(("level", "fewer"), [("1", False), ("0.02", True)])
def test_the_setting_decides_how_broad_kin_are(own_demo: DemoHome, level: str, fewer: bool) -> None:
    before = len(cuckoo_ml(own_demo.home, "kin", "--json").json)
    conf = own_demo.home / "cuckooml.conf"
    conf.write_text(conf.read_text(encoding="utf-8").replace("kin_level = 0\n", f"kin_level = {level}\n"))
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    after = cuckoo_ml(own_demo.home, "kin", "--json").json
    assert (len(after) < before) is fewer
    if not fewer:
        assert all(len(kin["clusters"]) <= 1 for kin in after)


def test_a_damaged_model_whose_cluster_names_no_kin_of_it_is_one_sentence(own_demo: DemoHome) -> None:
    facts = facts_of(current(own_demo.home))
    for cluster in facts["clusters"]:
        cluster["kin"] = "k12345"
    write_facts(current(own_demo.home), facts)
    done = cuckoo_ml(own_demo.home, "score", *[sample.path for sample in own_demo.corpus.new])
    assert done.code == 1
    assert "the model's parts contradict each other" in done.err
    assert "Traceback" not in done.err


# -- forgetting --------------------------------------------------------------------------------------------------------
def test_a_kin_of_forgotten_analyses_keeps_no_label_of_them(own_demo: DemoHome) -> None:
    home = own_demo.home
    secret = cuckoo_ml(home, "clusters", "c0", "--json").json["members"][0]["analysis"]
    labels = home.parent / "secret.tsv"
    labels.write_text(f"{secret}\tcustomer-x\n", encoding="utf-8")
    assert cuckoo_ml(home, "import", "--labels", labels).code == 0
    assert cuckoo_ml(home, "refit").code == 0
    assert cuckoo_ml(home, "refresh").code == 0
    kin = Desk(home).analyses().loc[secret, "kin"]
    before = cuckoo_ml(home, "kin", kin, "--json").json
    assert "customer-x" in [label["label"] for label in before["labels"]]
    assert cuckoo_ml(home, "forget", secret).code == 0
    after = cuckoo_ml(home, "kin", kin, "--json").json
    assert "customer-x" not in json.dumps(after)
    assert (after["stored"], after["size"]) == (before["stored"] - 1, before["size"])
    member = next(
        member["analysis"] for member in after["members"] if not member["cluster"] or member["cluster"] != "c0"
    )
    finding = Engine(Home(home)).score_stored(member)
    assert finding is not None
    assert finding.kin is not None
    assert "customer-x" not in [label.label for label in finding.kin.labels]
    stored = Engine(Home(home)).store.findings_of([member])[member]
    assert "customer-x" not in stored.section, "no stored section lists the label any more"


# -- the grouping ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Behaviours:
    """n behaviours of three families; what a member shows is its family's, its variant's and its own."""

    vectors: NDArray[np.float32]
    tokens: AspectTokens
    family: NDArray[np.int64]

    @classmethod
    def of(cls, count: int, seed: int = 1) -> Behaviours:
        random = np.random.default_rng(seed)
        family, variant = np.arange(count) % 3, np.arange(count) % 6
        shown = np.zeros((count, 91 + count))
        shown[:, 90] = 1
        for i in range(count):
            shown[i, 10 * family[i] : 10 * family[i] + 10] = random.random(10) < 0.8
            shown[i, 30 + 10 * variant[i] : 40 + 10 * variant[i]] = random.random(10) < 0.6
            shown[i, 91 + i] = 1
        tokens = csr_matrix(shown.astype(np.float32))
        aspects = np.zeros(shown.shape[1], np.uint8)
        vectors = shown[:, :90] / np.linalg.norm(shown[:, :90], axis=1, keepdims=True)
        return cls(vectors.astype(np.float32), AspectTokens(tokens, aspects, aspect_sizes(tokens, aspects)), family)

    def kin(self, level: float = 0.0, counts: NDArray[np.int64] | None = None, epsilon: float = 0.7) -> Kin:
        counts = np.ones(len(self.vectors), np.int64) if counts is None else counts
        settings = replace(ClusteringSettings(), selection_epsilon=epsilon)
        clustering, near = clustering_and_neighbours(self.vectors, counts, settings, tokens=self.tokens)
        kin = fit_kin(self.vectors, self.tokens, near, clustering, level)
        for cluster in range(clustering.clusters):
            assert len(set(kin.labels[clustering.labels == cluster].tolist())) == 1, "a cluster lies in one kin"
        return kin


def test_variants_of_one_family_are_one_kin() -> None:
    behaviours = Behaviours.of(60)
    kin = behaviours.kin()
    assert len(set(zip(kin.labels.tolist(), behaviours.family.tolist(), strict=True))) == 3
    assert kin.sizes.tolist() == [20, 20, 20]
    assert (kin.certainties > 0.3).all()
    again = behaviours.kin()
    assert (again.labels == kin.labels).all()
    assert 0 < kin.level[0] < 1


def test_a_level_of_one_joins_nothing_and_a_level_near_zero_joins_all() -> None:
    behaviours = Behaviours.of(60)
    assert len(behaviours.kin(1.0).sizes) == 3, "the clusters"
    assert len(behaviours.kin(0.001).sizes) == 1


def test_single_analyses_and_those_of_which_nothing_is_known_are_in_no_kin() -> None:
    behaviours = Behaviours.of(30)
    shown = behaviours.tokens.tokens.toarray()
    shown[-2:] = 0
    shown[-2, -2] = 1  # shares nothing with any other; of the last nothing is known
    tokens = csr_matrix(shown)
    vectors = behaviours.vectors.copy()
    vectors[-2:] = 0
    vectors[-2, 0] = 1
    aspects = behaviours.tokens.aspects
    lonely = Behaviours(vectors, AspectTokens(tokens, aspects, aspect_sizes(tokens, aspects)), behaviours.family)
    kin = lonely.kin()
    assert kin.labels[-2:].tolist() == [NO_KIN, NO_KIN]
    assert kin.certainties[-2:].tolist() == [0.0, 0.0]
    counts = np.ones(30, np.int64)
    counts[-2] = 2
    twice = lonely.kin(counts=counts)
    assert twice.labels[-2] != NO_KIN, "two analyses of one behaviour are a kin"
    assert twice.labels[-1] == NO_KIN


def test_more_units_than_are_linked_join_the_kin_of_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    behaviours = Behaviours.of(150, seed=3)
    exact = behaviours.kin(0.15, epsilon=0.0)
    assert len(exact.sizes) == 3
    monkeypatch.setattr(kin_module, "EXACT", 60)
    bounded = behaviours.kin(0.15, epsilon=0.0)
    assert adjusted_rand_score(bounded.labels, exact.labels) > 0.95


# -- placement ---------------------------------------------------------------------------------------------------------
KIN = Kin(np.array([0, 0, 1, 1, NO_KIN]), np.full(5, 0.5), np.array([40, 40]), np.array([0.3]))
POINTS = np.arange(5)
ONES = np.ones(5, np.int64)
LIKE = np.array([0.9, 0.8, 0.7, 0.6, 0.5])


def placed(points: list[int], cluster_kin: int | None, counts: list[int] | None = None) -> tuple[int, float]:
    """The kin of an analysis with these neighbours, nearest first."""
    numbers = np.array(points, np.int64)
    likenesses = LIKE[: len(numbers)]
    multiplicities = np.array(counts or [1] * len(numbers), np.int64)
    return KIN.place(numbers, np.sqrt(2 - 2 * likenesses), likenesses, multiplicities, cluster_kin)


def test_a_clusters_kin_decides_and_the_witnesses_give_the_certainty() -> None:
    kin, certainty = placed([0, 1, 2], 1)
    assert (kin, round(certainty, 4)) == (1, round(0.7 * 1 / 3.5, 4))
    assert placed([0, 1, 2], NO_KIN) == (NO_KIN, 0.0)


def test_without_a_cluster_more_than_half_of_the_nearest_decide() -> None:
    kin, certainty = placed([0, 1, 2], None)
    assert (kin, round(certainty, 4)) == (0, round(0.9 * 2 / 3.5, 4))
    assert placed([0, 1, 2, 3], None) == (NO_KIN, 0.0), "a tie"
    assert placed([0, 2, 4], None) == (NO_KIN, 0.0), "one of three"
    assert placed([], None) == (NO_KIN, 0.0)


def test_repeats_count_and_only_the_16_nearest_analyses_do() -> None:
    assert placed([0, 2], None, [1, 3])[0] == 1
    assert placed([0, 2], None, [10, 50])[0] == 0


def test_an_analysis_that_is_less_alike_than_the_level_is_in_no_kin() -> None:
    far = np.array([0.29, 0.28])
    assert KIN.place(POINTS[:2], np.sqrt(2 - 2 * far), far, ONES[:2], None) == (NO_KIN, 0.0)
    near = np.array([0.35, 0.28])
    assert KIN.place(POINTS[:2], np.sqrt(2 - 2 * near), near, ONES[:2], None)[0] == 0
