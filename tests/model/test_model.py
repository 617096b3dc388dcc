"""What findings say of the corpus agrees with what the store holds."""

from __future__ import annotations

from collections import Counter

from support.demo_home import DemoHome

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.groups.clustering import NOISE


def test_the_shares_in_evidence_are_those_of_the_stored_analyses(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    model = engine.require_model()
    cluster_of = {member.analysis: int(model.clustering.labels[point]) for point, member in model.members.all()}
    tokens = {stored.analysis: set(joined.decode().split("\n")) for stored, joined, _ in engine.store.iter_behaviours()}
    in_corpus: Counter[str] = Counter(token for analysis in cluster_of for token in tokens[analysis])
    in_cluster: dict[int, Counter[str]] = {number: Counter() for number in range(-1, len(model.clusters))}
    for analysis, cluster in cluster_of.items():
        in_cluster[cluster].update(tokens[analysis])
    pieces = below = 0
    for analysis, cluster in cluster_of.items():
        finding = engine.score_stored(analysis)
        assert finding is not None
        for piece in finding.evidence:
            token = f"{piece.kind}:{piece.value}"
            assert abs(piece.in_corpus - in_corpus[token] / len(cluster_of)) < 1e-3, (analysis, piece)
            share = in_cluster[cluster][token] / model.clusters[cluster].size if cluster != NOISE else 0.0
            assert abs(piece.in_cluster - share) < 1e-3, (analysis, piece, share)
            pieces += 1
            below += 0 < share < 0.25
    assert pieces > 1000
    assert below, "behaviour that few analyses of a cluster show is among the evidence"


def test_a_copy_of_a_fitted_analysis_is_not_more_unusual_and_the_analysis_keeps_its_fitted_score(
    demo: DemoHome,
) -> None:
    engine = Engine(Home(demo.home))
    model = engine.require_model()
    points = {member.analysis: point for point, member in model.members.all()}
    alone = [analysis for analysis, point in points.items() if model.detector.multiplicities[point] == 1]
    unusual = sorted(alone, key=lambda analysis: -model.fitted_scores[points[analysis]])[:20]
    from_one_day = lower = 0
    for analysis in unusual:
        stored = engine.store.get(analysis)
        assert stored is not None
        behaviour = Behaviour(*stored.unpack())
        itself = model.score(behaviour, analysis=analysis)
        copy = model.score(behaviour, analysis="a copy of it")
        assert itself.anomaly is not None
        assert copy.anomaly is not None
        assert itself.anomaly.score == round(float(model.fitted_scores[points[analysis]]), 4)
        assert analysis not in [neighbour.analysis for neighbour in itself.similar]
        assert (copy.similar[0].analysis, copy.similar[0].similarity) == (analysis, 1.0)
        if model.detector.sources[points[analysis]] >= 0:  # what one day's uploads alone show is not known
            assert copy.anomaly.score == itself.anomaly.score
            from_one_day += 1
        else:
            assert copy.anomaly.score <= itself.anomaly.score
            lower += copy.anomaly.score < itself.anomaly.score
        for reason in copy.anomaly.reasons:
            assert reason.kind != "novel_behaviour" or "has been seen before" in reason.text
    assert from_one_day
    assert lower > 10


def test_the_reason_gives_the_similarity_of_the_first_similar_analysis(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    model = engine.require_model()
    checked = 0
    for _, member in model.members.all():
        stored = engine.store.get(member.analysis)
        assert stored is not None
        finding = engine.score_without_store(Behaviour(*stored.unpack()), member.analysis, stored.label)
        assert finding.anomaly is not None
        texts = [reason.text for reason in finding.anomaly.reasons if reason.kind == "novel_behaviour"]
        for text in texts:
            share = int(finding.similar[0].similarity * 1000 + 1e-9) / 10 if finding.similar else 0
            assert f"most similar analysis in the model is {share:g} %" in text or (
                share == 0 and "no analysis in the model" in text
            ), text
            checked += 1
    assert checked


def test_a_cluster_is_named_after_a_family_only_when_most_of_its_labelled_analyses_are_of_it(demo: DemoHome) -> None:
    named_after_family = 0
    for cluster in Engine(Home(demo.home)).require_model().clusters:
        family = cluster.name if cluster.name in cluster.labels else cluster.name.rpartition("-")[0]
        if cluster.name == cluster.id:
            continue
        assert cluster.labels[family] * 2 > sum(cluster.labels.values()), cluster
        named_after_family += 1
    assert named_after_family > 5


def test_a_cluster_is_seen_when_its_analyses_ran_not_when_they_were_imported(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    model = engine.require_model()
    for number, cluster in enumerate(model.clusters):
        members = [member.analysis for point, member in model.members.all() if model.clustering.labels[point] == number]
        times = sorted(stored.analysed_at or "" for member in members if (stored := engine.store.get(member)))
        assert cluster.first_seen[:19] == times[0][:19]
        assert cluster.last_seen[:19] == times[-1][:19]
        assert cluster.first_stored > cluster.first_seen
