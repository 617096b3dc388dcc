"""A model's findings against what the store holds: what they say of the corpus is true."""

from __future__ import annotations

from collections import Counter

from support.demo_home import DemoHome

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.clustering import NOISE


def test_the_shares_in_evidence_are_those_of_the_stored_analyses(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    model = engine.need_model()
    cluster_of = {member.analysis: int(model.clustering.labels[point]) for point, member in model.members.all()}
    tokens = {one.analysis: set(joined.decode().split("\n")) for one, joined, _ in engine.store.iter_behaviours()}
    in_corpus: Counter[str] = Counter(token for one in cluster_of for token in tokens[one])
    in_cluster: dict[int, Counter[str]] = {number: Counter() for number in range(-1, len(model.clusters))}
    for one, cluster in cluster_of.items():
        in_cluster[cluster].update(tokens[one])
    seen = below = 0
    for one, cluster in cluster_of.items():
        finding = engine.score_stored(one)
        assert finding is not None
        for piece in finding.evidence:
            token = f"{piece['kind']}:{piece['value']}"
            assert abs(piece["in_corpus"] - in_corpus[token] / len(cluster_of)) < 1e-3, (one, piece)
            share = in_cluster[cluster][token] / model.clusters[cluster].size if cluster != NOISE else 0.0
            assert abs(piece["in_cluster"] - share) < 1e-3, (one, piece, share)
            seen += 1
            below += 0 < share < 0.25
    assert seen > 1000
    assert below, "behaviour that a few of a cluster show is among it"


def test_a_copy_of_one_known_analysis_has_been_seen_and_itself_is_scored_as_it_was(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    model = engine.need_model()
    points = {member.analysis: point for point, member in model.members.all()}
    alone = [one for one, point in points.items() if model.detector.multiplicities[point] == 1]
    unusual = sorted(alone, key=lambda one: -model.fitted_scores[points[one]])[:20]
    lower = 0
    for one in unusual:
        stored = engine.store.get(one)
        assert stored is not None
        behaviour = Behaviour(*stored.unpack())
        itself = model.score(behaviour, analysis=one)
        copy = model.score(behaviour, analysis="a copy of it")
        assert itself.anomaly is not None
        assert copy.anomaly is not None
        assert itself.anomaly["score"] == round(float(model.fitted_scores[points[one]]), 4)
        assert one not in [other["analysis"] for other in itself.similar]
        assert (copy.similar[0]["analysis"], copy.similar[0]["similarity"]) == (one, 1.0)
        assert copy.anomaly["score"] <= itself.anomaly["score"]
        lower += copy.anomaly["score"] < itself.anomaly["score"]
        for reason in copy.anomaly["reasons"]:
            assert reason["kind"] != "novel_behaviour" or "was seen before" in reason["text"]
    assert lower > 10


def test_what_a_reason_says_of_the_most_similar_analysis_is_what_the_list_says(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    model = engine.need_model()
    told = 0
    for _, member in model.members.all():
        finding = engine.score_stored(member.analysis)
        assert finding is not None
        assert finding.anomaly is not None
        texts = [one["text"] for one in finding.anomaly["reasons"] if one["kind"] == "novel_behaviour"]
        for text in texts:
            share = int(finding.similar[0]["similarity"] * 1000 + 1e-9) / 10 if finding.similar else 0
            assert f"has {share:g} % of its known" in text or (share == 0 and "no analysis in the model" in text), text
            told += 1
    assert told


def test_a_cluster_is_named_after_a_family_only_when_most_of_its_labelled_analyses_are_of_it(demo: DemoHome) -> None:
    named = 0
    for cluster in Engine(Home(demo.home)).need_model().clusters:
        family = cluster.name if cluster.name in cluster.labels else cluster.name.rpartition("-")[0]
        if cluster.name == cluster.id:
            continue
        assert cluster.labels[family] * 2 > sum(cluster.labels.values()), cluster
        named += 1
    assert named > 5


def test_a_cluster_was_seen_when_its_analyses_were_made_not_when_they_were_imported(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    model = engine.need_model()
    for number, cluster in enumerate(model.clusters):
        members = [one.analysis for point, one in model.members.all() if model.clustering.labels[point] == number]
        made = sorted(stored.analysed_at or "" for one in members if (stored := engine.store.get(one)))
        assert cluster.first_seen[:19] == made[0][:19]
        assert cluster.last_seen[:19] == made[-1][:19]
        assert cluster.first_stored > cluster.first_seen
