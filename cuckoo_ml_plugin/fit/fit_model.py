"""Fits a model on a corpus: embeddings, clusters with ids and names, anomaly scores, and the facts shown of each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.behaviour.kinds import ASPECTS, KINDS
from cuckoo_ml_plugin.behaviour.likeness import ASPECT_NUMBERS, NO_ASPECT
from cuckoo_ml_plugin.errors import NotEnoughError, SettingsError
from cuckoo_ml_plugin.finding.evidence import cluster_evidence
from cuckoo_ml_plugin.finding.section import Evidence
from cuckoo_ml_plugin.fit.anomaly import WeightedTokens, score_fitted
from cuckoo_ml_plugin.fit.births import birth_likeness
from cuckoo_ml_plugin.fit.calibration import WIDE, held_back_unusualness
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.fit.embedding import embed_all, fit_embedding
from cuckoo_ml_plugin.fit.groups.alike import AspectTokens
from cuckoo_ml_plugin.fit.groups.clustering import clustering_and_neighbours
from cuckoo_ml_plugin.fit.groups.continuity import Before
from cuckoo_ml_plugin.fit.groups.kin import fit_kin
from cuckoo_ml_plugin.fit.habits import fit_habits
from cuckoo_ml_plugin.fit.lineage import LabelVotes, Lineage, OldClusters, follow
from cuckoo_ml_plugin.fit.providers import fit_providers
from cuckoo_ml_plugin.model.anomaly import LEAST_REFERENCE, AnomalyDetector, place
from cuckoo_ml_plugin.model.embedding import FOR_CLUSTERS, FOR_NOVELTY, Embedding
from cuckoo_ml_plugin.model.fences import CountFences
from cuckoo_ml_plugin.model.frequencies import Frequencies
from cuckoo_ml_plugin.model.groups.clustering import NOISE, Clustering
from cuckoo_ml_plugin.model.groups.kin import NO_KIN
from cuckoo_ml_plugin.model.members import Member, Members
from cuckoo_ml_plugin.model.model import ClusterFacts, Model
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex
from cuckoo_ml_plugin.model.providers import ProviderModels
from cuckoo_ml_plugin.model.token_rows import TokenRows
from cuckoo_ml_plugin.plumbing.hashes import token_hashes
from cuckoo_ml_plugin.plumbing.sources import ONLY_FROM, kind_of_source
from cuckoo_ml_plugin.plumbing.text import counted
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis
from cuckoo_ml_plugin.store.store import Store

StageProgress = Callable[[str, str], None]
"""Called after each stage of a refit with its name and its outcome."""
NOVELTY_DIMENSIONS = 32
_EXAMPLES_PER_CLUSTER = 5
_EVIDENCE_PER_CLUSTER = 15
_CLUSTERS_AT_ONCE = 100  # whose examples are read from the store together


def require_enough(analyses: int, settings: Settings) -> None:
    """Raises NotEnoughError when there are too few analyses for a fit."""
    needed = settings.refit.min_analyses
    if analyses < needed:
        known = f"{counted(analyses, 'analysis', 'analyses')} with behaviour {'is' if analyses == 1 else 'are'} stored"
        remedy = f"import at least {needed - analyses:,} more, or lower [refit] min_analyses in cuckooml.conf"
        raise NotEnoughError(f"{known}, and a model needs {needed:,}: {remedy}.")


def fit_model(
    corpus: Corpus, store: Store | None, settings: Settings, before: Model | None, progress: StageProgress
) -> tuple[Model, Lineage]:
    """Fit a model on a corpus.

    Args:
        store: gives the evidence of clusters its words, and the threat scores; without it, there are neither.
        before: the model in force, whose clusters pass on their ids and names.

    Raises:
        SettingsError: ``[features] leave_out`` names an unknown kind.
        StoreError: the store cannot be read.
        CuckooMLError: the installed hdbscan or fast-hdbscan is not as tested.
    """
    multiplicities = corpus.weights
    sources = corpus.voices.only(corpus.point_of, corpus.tokens.shape[0])
    token_counts = np.diff(corpus.tokens.indptr)
    left_out = left_out_tokens(corpus.kinds, settings.features.leave_out)
    embedding, known = fit_embedding(
        corpus.tokens, corpus.hashes, corpus.kinds, multiplicities, FOR_CLUSTERS, settings.vectors, left_out,
        corpus.background,
    )  # fmt: skip
    vectors, explained = embed_all(embedding, known, token_counts)
    explained_share = float(np.average(explained, weights=multiplicities))
    progress(
        "vectors",
        f"{len(embedding.hashes):,} tokens in {embedding.dimensions} dimensions, which explain {explained_share:.0%}",
    )
    old = _old_clusters(before)
    tokens = AspectTokens.of(corpus, left_out)
    clustering, neighbours = clustering_and_neighbours(
        vectors,
        multiplicities,
        settings.clustering,
        tokens=tokens,
        before=_before(corpus, old),
        analyses=corpus.multiplicities,
    )
    labels = clustering.labels[corpus.point_of]
    clustered_share = float((labels >= 0).mean())
    progress("clusters", f"{clustering.clusters:,} clusters hold {clustered_share:.0%} of the analyses")
    old_kin = _old_kin(before)
    old_level = float(before.kin.level.sum()) if before is not None else 0.0
    kin = fit_kin(
        vectors,
        tokens,
        neighbours,
        clustering,
        settings.clustering.kin_level,
        _before(corpus, old_kin),
        old_level,
        corpus.multiplicities,
    )
    kin_labels, kin_count = kin.labels[corpus.point_of], int(kin.labels.max(initial=NO_KIN)) + 1
    kin_share = float((kin_labels != NO_KIN).mean())
    progress(
        "kin", f"{kin_count:,} kin hold {kin_share:.0%} of the analyses, alike by {float(kin.level[0]):.2f} in the mean"
    )
    wide, novelty_known = fit_embedding(
        corpus.tokens, corpus.hashes, corpus.kinds, multiplicities, FOR_NOVELTY,
        replace(settings.vectors, dimensions=WIDE), left_out, corpus.background,
    )  # fmt: skip
    novelty = wide.truncated(NOVELTY_DIMENSIONS)
    novelty_vectors, novelty_explained = embed_all(novelty, novelty_known, token_counts)
    placed = place(novelty_vectors, novelty_explained)
    weighted = WeightedTokens(wide, novelty_known)
    reference = held_back_unusualness(
        wide, NOVELTY_DIMENSIONS, novelty_known, token_counts, multiplicities, sources, weighted,
        settings.vectors.min_document_frequency,
    )  # fmt: skip
    detector = AnomalyDetector(
        multiplicities, novelty_explained, reference, np.ascontiguousarray(weighted.sizes.ravel(), np.int32), sources
    )
    if detector.is_calibrated:
        progress("anomalies", f"scores calibrated on {len(detector.reference):,} analyses")
    else:
        progress("anomalies", f"no scores: to say what is usual takes {LEAST_REFERENCE} analyses")
    providers = _providers(store, progress)
    lineage = _lineage(corpus, labels, _names_by_labels(corpus, labels, clustering.clusters), old, store)
    kin_votes = _names_by_labels(corpus, kin_labels, kin_count)
    kin_lineage = follow(corpus.analyses, kin_labels, kin_votes, old_kin, prefix="k")
    frequencies = _frequencies(corpus, embedding, known, clustering)
    fitted_at = datetime.now(timezone.utc)
    members = [Member(*member) for member in zip(corpus.analyses, corpus.sha256, corpus.labels, strict=True)]
    model = Model(
        facts={
            "id": "",
            "fitted_at": fitted_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "analyses": len(corpus.analyses),
            "samples": len(set(corpus.samples)),
            "behaviours": len(vectors),
            "clustered": int((labels >= 0).sum()),
            "seed": SEED,
            "settings": asdict(settings),
            "count_names": list(corpus.count_names),
            "next_cluster": lineage.next_number,
            "next_kin": kin_lineage.next_number,
            "before": before.id if before else None,
            "survived": lineage.survived,
            "moved": lineage.moved,
            "compared": lineage.compared,
            "changes": [asdict(change) for change in lineage.changes],
            "providers": providers.facts(),
        },
        clusters=[],
        kins=_kin_facts(corpus, kin_lineage, kin_labels),
        embedding=embedding,
        clustering=clustering,
        kin=kin,
        novelty=novelty,
        novelty_index=NeighbourIndex.build(placed, SEED),
        detector=detector,
        rows=_token_rows(corpus, embedding),
        frequencies=frequencies,
        habits=fit_habits(corpus, embedding, known, clustering.labels, kin.labels),
        members=Members.build(members, corpus.point_of, len(vectors)),
        fences=CountFences.fit(corpus.counts, corpus.count_names),
        novelty_vectors=placed,
        fitted_scores=score_fitted(placed, weighted, multiplicities, sources)
        if detector.is_calibrated
        else np.zeros(len(placed)),
        providers=providers,
    )
    model.clusters.extend(_cluster_facts(corpus, model, lineage, labels, store))
    return model.with_facts(id=_model_id(model, fitted_at), birth_likeness=birth_likeness(model)), lineage


def _providers(store: Store | None, progress: StageProgress) -> ProviderModels:
    if store is None:
        return ProviderModels.none()
    fit = fit_providers(store)
    progress("threat scores", fit.summary)
    return fit.models


def left_out_tokens(kinds: NDArray[np.uint8], names: tuple[str, ...]) -> NDArray[np.bool_] | None:
    """(v,) True for tokens whose kind (v,) is among the names in ``[features] leave_out``. Raises SettingsError."""
    unknown = sorted(set(names) - set(KINDS))
    if unknown:
        raise SettingsError(f"[features] leave_out: there is no kind {unknown[0]!r}; docs/features.md lists them.")
    return np.isin(kinds, [KINDS.index(name) for name in names]) if names else None


def _names_by_labels(corpus: Corpus, labels: NDArray[np.int64], groups: int) -> list[LabelVotes]:
    """What the labels of each group's analyses say; ``labels``: the group of each analysis, -1 for none.

    A label has as many votes as there are voices whose analyses carry it, so that many files of one submitter weigh as
    one. A label by an analyst is a judgement on the file: each such file is a vote, and one suffices for a name.
    """
    voters: list[dict[str, set[tuple[int, str]]]] = [{} for _ in range(groups)]
    judged: list[set[str]] = [set() for _ in range(groups)]
    for row, (group, label) in enumerate(zip(labels.tolist(), corpus.labels, strict=True)):
        if group < 0 or not label:
            continue
        if corpus.by_analyst[row]:
            judged[group].add(label)
            voter = -1, corpus.sha256[row] or corpus.analyses[row]
        else:
            voter = int(corpus.voices.numbers[row]), ""
        voters[group].setdefault(label, set()).add(voter)
    return [
        LabelVotes({label: len(voters) for label, voters in of_group.items()}, frozenset(by_analyst))
        for of_group, by_analyst in zip(voters, judged, strict=True)
    ]


def _old_clusters(before: Model | None) -> OldClusters | None:
    if before is None:
        return None
    return _old_groups(before, before.clustering.labels, before.clusters, int(before.facts["next_cluster"]))


def _old_kin(before: Model | None) -> OldClusters | None:
    if before is None:
        return None
    return _old_groups(before, before.kin.labels, before.kins, int(before.facts.get("next_kin", 0)))


def _old_groups(before: Model, labels: NDArray[np.int64], groups: list[ClusterFacts], next_number: int) -> OldClusters:
    """``labels``: (n,) the group of each point of the model before, -1 for none."""
    of_analysis = {
        member.analysis: groups[labels[point]].id if labels[point] >= 0 else None
        for point, member in before.members.all()
    }
    return OldClusters(of_analysis, {group.id: group.name for group in groups}, next_number)


def _before(corpus: Corpus, old: OldClusters | None) -> Before | None:
    """Where the behaviours were in the model before: in the cluster, or kin, that most of their analyses were in."""
    if old is None:
        return None
    numbers = {cluster: number for number, cluster in enumerate(sorted(old.names))}
    n = corpus.tokens.shape[0]
    clusters, known = np.full(n, NOISE), np.zeros(n, np.bool_)
    counts: Counter[tuple[int, str]] = Counter()
    for point, analysis in zip(corpus.point_of.tolist(), corpus.analyses, strict=True):
        if analysis in old.of_analysis:
            known[point] = True
            if (cluster := old.of_analysis[analysis]) is not None:
                counts[point, cluster] += 1
    for (point, cluster), _ in sorted(counts.items(), key=lambda pair: (pair[1], pair[0][1])):
        clusters[point] = numbers[cluster]  # the most frequent comes last
    return Before(clusters, known)


def _lineage(
    corpus: Corpus,
    labels: NDArray[np.int64],
    votes: list[LabelVotes],
    old: OldClusters | None,
    store: Store | None,
) -> Lineage:
    """The lineage, with the groups in the making that became clusters; its new ids are taken. Raises StoreError."""
    if store is None:
        return follow(corpus.analyses, labels, votes, old)
    while True:  # until no group took a number in the meantime
        births = store.group_of_each()
        first = store.next_cluster_number(old.next_number if old else 0)
        lineage = follow(corpus.analyses, labels, votes, old, births, first)
        if store.claim_cluster_numbers(first, lineage.next_number):
            return lineage


def _token_rows(corpus: Corpus, embedding: Embedding) -> TokenRows:
    """All tokens of the corpus, those of an aspect together; tokens without an aspect are left out."""
    is_known = np.isin(corpus.hashes, embedding.hashes, assume_unique=True)
    numbers = np.where(is_known, np.cumsum(is_known), is_known.sum() + np.cumsum(~is_known)) - 1
    aspects = ASPECT_NUMBERS[corpus.kinds]
    order = np.argsort(aspects, kind="stable")[: np.count_nonzero(aspects != NO_ASPECT)]
    tokens = corpus.tokens[:, order]
    tokens.sort_indices()
    rows = np.repeat(np.arange(tokens.shape[0]), np.diff(tokens.indptr))
    sizes = np.bincount(rows * len(ASPECTS) + aspects[order][tokens.indices], minlength=len(ASPECTS) * tokens.shape[0])
    return TokenRows(
        tokens.indptr.astype(np.int64), numbers[order][tokens.indices].astype(np.int32), sizes.astype(np.int32)
    )


def _frequencies(corpus: Corpus, embedding: Embedding, known: csr_matrix, clustering: Clustering) -> Frequencies:
    multiplicities = corpus.multiplicities
    analyses_with = np.asarray(corpus.tokens.T @ multiplicities.astype(np.float64)).ravel().astype(np.int64)
    in_vocabulary = np.isin(corpus.hashes, embedding.hashes, assume_unique=True)
    members = np.flatnonzero(clustering.labels != NOISE)
    analyses = csr_matrix(  # (c, n): how many analyses of each cluster have each behaviour
        (multiplicities[members].astype(np.float64), (clustering.labels[members], members)),
        shape=(clustering.clusters, len(multiplicities)),
    )
    counts = (analyses @ known).tocsr()
    counts.sort_indices()
    rare = (analyses @ corpus.tokens[:, np.flatnonzero(~in_vocabulary)]).tocoo()
    pairs = rare.col.astype(np.int64) * clustering.clusters + rare.row
    order = np.argsort(pairs)
    return Frequencies(
        corpus=analyses_with[in_vocabulary],
        starts=counts.indptr.astype(np.int64),
        columns=counts.indices.astype(np.int32),
        counts=counts.data.astype(np.int32),
        rare_hashes=corpus.hashes[~in_vocabulary],
        rare_counts=analyses_with[~in_vocabulary].astype(np.int32),
        rare_pairs=pairs[order],
        rare_pair_counts=rare.data[order].astype(np.int32),
    )


def _cluster_facts(
    corpus: Corpus, model: Model, lineage: Lineage, labels: NDArray[np.int64], store: Store | None
) -> list[ClusterFacts]:
    facts = []
    groups = _group_facts(corpus, lineage, labels)
    for first in range(0, len(lineage.ids), _CLUSTERS_AT_ONCE):
        batch = list(islice(groups, _CLUSTERS_AT_ONCE))
        examples = [_examples(corpus, model, members) for _, members in batch]
        names = [corpus.analyses[i] for of_cluster in examples for i in of_cluster]
        stored = store.get_many(names, behaviours=True) if store else {}
        for cluster, ((briefly, members), of_cluster) in enumerate(zip(batch, examples, strict=True), first):
            kin = int(model.kin.labels[corpus.point_of[members[0]]])
            shown = [stored[name] for i in of_cluster if (name := corpus.analyses[i]) in stored]
            evidence = _evidence_of_cluster(corpus, model, cluster, len(members), shown) if store else []
            facts.append(replace(briefly, evidence=evidence, kin=model.kins[kin].id if kin != NO_KIN else None))
    return facts


def _examples(corpus: Corpus, model: Model, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """The surest members of a cluster, from whose behaviour its evidence has its words."""
    certainties = model.clustering.certainties[corpus.point_of[members]]
    return members[np.argsort(-certainties, kind="stable")[:_EXAMPLES_PER_CLUSTER]]


def _kin_facts(corpus: Corpus, lineage: Lineage, labels: NDArray[np.int64]) -> list[ClusterFacts]:
    return [facts for facts, _ in _group_facts(corpus, lineage, labels)]


def _group_facts(
    corpus: Corpus, lineage: Lineage, labels: NDArray[np.int64]
) -> Iterator[tuple[ClusterFacts, NDArray[np.int64]]]:
    """The facts of each cluster or kin, without evidence, and its analyses; ``labels``: the group of each analysis."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(len(lineage.ids) + 1))
    voices = corpus.voices.count_by(labels, len(lineage.ids))
    sources = corpus.voices.only(labels, len(lineage.ids))
    for group, (group_id, name) in enumerate(zip(lineage.ids, lineage.names, strict=True)):
        members = order[bounds[group] : bounds[group + 1]]
        counts = Counter(label for i in members if (label := corpus.labels[i]))
        dates = sorted(corpus.seen_at[i] for i in members)
        facts = ClusterFacts(
            id=group_id,
            name=name,
            size=len(members),
            labels=dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
            evidence=[],
            first_seen=dates[0] if dates else "",
            last_seen=dates[-1] if dates else "",
            first_stored=min((corpus.stored_at[i] for i in members), default=""),
            sources=int(voices[group]),
            only_from=ONLY_FROM[kind_of_source(int(sources[group]))],
            label_sources=lineage.votes[group].of,
            samples=len({corpus.samples[i] for i in members}),
        )
        yield facts, members


def _evidence_of_cluster(
    corpus: Corpus, model: Model, cluster: int, size: int, examples: list[StoredAnalysis]
) -> list[Evidence]:
    """The strongest tokens of a cluster of some size. Their text comes from examples, as a model knows only hashes."""
    words: dict[int, str] = {}
    for stored in examples:
        tokens = stored.unpack()[0]
        words.update(zip(token_hashes([token.encode() for token in tokens]).tolist(), tokens, strict=True))
    strongest = model.frequencies.strongest(cluster, size, len(corpus.analyses), model.embedding)
    columns = np.array([c for c in strongest if int(model.embedding.hashes[c]) in words], np.int64)
    tokens = [words[int(model.embedding.hashes[c])] for c in columns]
    in_cluster = model.frequencies.in_cluster(cluster, columns) / max(size, 1)
    in_corpus = model.frequencies.corpus[columns] / len(corpus.analyses)
    places = np.arange(len(tokens))
    return cluster_evidence(
        tokens, places, model.embedding.kinds[columns], in_cluster, in_corpus, _EVIDENCE_PER_CLUSTER
    )


def _model_id(model: Model, fitted_at: datetime) -> str:
    content = hashlib.blake2b(digest_size=4)
    for array in (model.clustering.labels, model.clustering.index.vectors):
        content.update(np.ascontiguousarray(array).tobytes())
    return f"{fitted_at.strftime('%Y%m%d-%H%M%S-%f')[:-3]}-{content.hexdigest()}"
