"""The refit: from the store to a published model, one at a time, in stages that say what they found."""

from __future__ import annotations

import fcntl
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.anomaly import AnomalyDetector
from cuckoo_ml_plugin.anomaly_fit import score_fitted
from cuckoo_ml_plugin.behaviour import KINDS
from cuckoo_ml_plugin.calibration import held_back_unusualness
from cuckoo_ml_plugin.clustering import NOISE, Clustering
from cuckoo_ml_plugin.clustering_fit import fit_clustering
from cuckoo_ml_plugin.corpus import Corpus, Progress, read_corpus
from cuckoo_ml_plugin.engine import Engine
from cuckoo_ml_plugin.errors import BusyError, ModelError, NotEnoughError, SettingsError, StoreError
from cuckoo_ml_plugin.evidence import Evidence, Frequencies, cluster_evidence
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.lineage import Lineage, OldClusters, follow
from cuckoo_ml_plugin.members import Member, Members
from cuckoo_ml_plugin.model import ClusterFacts, Model
from cuckoo_ml_plugin.model_files import CURRENT, current_id, list_models, prune, publish, write_model
from cuckoo_ml_plugin.neighbours import NeighbourIndex
from cuckoo_ml_plugin.reasons import CountFences
from cuckoo_ml_plugin.records import FindingRecord
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.similarity import TokenRows
from cuckoo_ml_plugin.store import Store
from cuckoo_ml_plugin.threat.providers import ProviderModels
from cuckoo_ml_plugin.threat.providers_fit import fit_providers
from cuckoo_ml_plugin.vectors import FOR_CLUSTERS, FOR_NOVELTY, Embedding
from cuckoo_ml_plugin.vectors_fit import embed_all, fit_embedding

Report = Callable[[str, str], None]
"""Called with the name of a stage and what it found."""

NOVELTY_DIMENSIONS = 64
_EXAMPLES_PER_CLUSTER = 5


@dataclass(frozen=True, slots=True)
class RefitResult:
    """A refit's outcome: the model in force, its lineage, and analyses left out because their record is damaged."""

    model: Model
    lineage: Lineage
    damaged: list[str]


def refit(home: Home, store: Store, settings: Settings, report: Report | None = None) -> RefitResult:
    """Fit a model on everything stored, publish it, and bring the store's findings up to date.

    Raises:
        BusyError: another refit is running.
        NotEnoughError: too few analyses are stored.
        StoreError, ModelError: see there; the model before stays in force.
    """
    say = report or (lambda stage, found: None)
    with _alone(home):
        read_at = datetime.now(timezone.utc)
        corpus = read_corpus(store)
        say("read", f"{len(corpus.analyses):,} analyses, {corpus.tokens.shape[0]:,} distinct behaviours")
        enough(len(corpus.analyses), settings)
        model, lineage = fit_model(corpus, store, settings, readable_model(home), say)
        model = model.with_facts(read_at=read_at.isoformat())
        write_model(home.models, model.id, _facts_on_disk(model), model.arrays())
        _put_in_force(home, store, model, settings, say)
        prune(home.models, settings.refit.keep_models)
        return RefitResult(model, lineage, corpus.damaged)


def _put_in_force(
    home: Home, store: Store, model: Model, settings: Settings, say: Report, progress: Progress | None = None
) -> None:
    """Publish a model and bring the store's findings up to date; :func:`finish_findings` does what a kill left."""
    store.note_model_of_findings("")
    publish(home.models, model.id)
    say("publish", f"model {model.id} is in force")
    say("findings", f"{_update_findings(home, store, model, settings, progress):,} findings brought up to date")


def _update_findings(
    home: Home, store: Store, model: Model, settings: Settings, progress: Progress | None = None
) -> int:
    saved = save_findings(store, model, settings)
    saved += store.save_findings(_scored_again(home, store, model, progress))
    store.note_model_of_findings(model.id)
    return saved


def _scored_again(home: Home, store: Store, model: Model, progress: Progress | None) -> Iterator[FindingRecord]:
    """Findings of what the model was not fitted on and another one judged: newer than an old model, or than the fit."""
    others = store.judged_by_others(model.id)
    engine = Engine(home)
    for done, analysis in enumerate(others, 1):
        finding = None
        with suppress(StoreError):  # a damaged record keeps what it has
            finding = engine.score_stored(analysis)
        if finding is not None and (record := FindingRecord.of(analysis, finding.section())) is not None:
            yield record
        if progress is not None:
            progress(done, len(others))


def finish_findings(home: Home, store: Store, settings: Settings) -> int:
    """Do what a killed refit or rollback left; returns how many findings were brought up to date.

    Raises BusyError, ModelError, StoreError.
    """
    current = current_id(home.models)
    if current is None or store.findings_are_of(current):
        return 0
    with _alone(home):
        return _update_findings(home, store, Model.load(home.models / CURRENT), settings)


def readable_model(home: Home) -> Model | None:
    """The model in force, as far as it can be read: a damaged one must not stop a refit."""
    try:
        return Model.load(home.models / CURRENT) if current_id(home.models) else None
    except ModelError:
        return None


def enough(analyses: int, settings: Settings) -> None:
    """Raises NotEnoughError when a first fit has too little to go by."""
    needed = settings.refit.min_analyses
    if analyses < needed:
        raise NotEnoughError(
            f"{analyses} analyses with behaviour are stored, a model needs {needed}; run cuckoo-ml import with more "
            "reports, or lower [refit] min_analyses."
        )


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    home.models.mkdir(parents=True, exist_ok=True)
    with (home.models / ".refit.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it when a process dies
        except OSError as error:
            raise BusyError(f"{home.path}: another refit is running; wait for it to end.") from error
        yield


def fit_model(
    corpus: Corpus, store: Store | None, settings: Settings, before: Model | None, say: Report
) -> tuple[Model, Lineage]:
    """Fit on a corpus; ``store`` gives evidence its words (without it, clusters have none)."""
    multiplicities = corpus.multiplicities
    token_counts = np.diff(corpus.tokens.indptr)
    left_out = left_out_tokens(corpus.kinds, settings.features.leave_out)
    embedding, known = fit_embedding(
        corpus.tokens, corpus.hashes, corpus.kinds, multiplicities, FOR_CLUSTERS, settings.vectors, left_out
    )
    vectors, explained = embed_all(embedding, known, token_counts)
    say("vectors", f"{len(embedding.hashes):,} kinds of behaviour in {embedding.dimensions} dimensions, which explain "
        f"{float(np.average(explained, weights=multiplicities)):.0%}")  # fmt: skip
    clustering = fit_clustering(vectors, multiplicities, settings.clustering)
    labels = clustering.labels[corpus.point_of]
    say("clusters", f"{clustering.clusters:,} clusters hold {float((labels >= 0).mean()):.0%} of the analyses")
    novelty_settings = replace(settings.vectors, dimensions=NOVELTY_DIMENSIONS)
    novelty, novelty_known = fit_embedding(
        corpus.tokens, corpus.hashes, corpus.kinds, multiplicities, FOR_NOVELTY, novelty_settings, left_out
    )
    novelty_vectors, novelty_explained = embed_all(novelty, novelty_known, token_counts)
    reference = held_back_unusualness(
        corpus.tokens, corpus.hashes, corpus.kinds, multiplicities, FOR_NOVELTY, novelty_settings, left_out
    )
    detector = AnomalyDetector(multiplicities, novelty_explained, reference)
    say("anomalies", f"scores calibrated on {len(detector.reference):,} analyses")
    providers = _providers(store, say)
    lineage = follow(corpus.analyses, labels, _majorities(corpus, labels, clustering.clusters), _old(before))
    frequencies = _frequencies(corpus, embedding, known, clustering)
    fitted_at = datetime.now(timezone.utc)
    rows = TokenRows(known.indptr.astype(np.int64), known.indices.astype(np.int32))
    members = [Member(*one) for one in zip(corpus.analyses, corpus.sha256, corpus.labels, strict=True)]
    model = Model(
        facts={
            "id": "",
            "fitted_at": fitted_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "analyses": len(corpus.analyses),
            "behaviours": len(vectors),
            "clustered": int((labels >= 0).sum()),
            "seed": SEED,
            "settings": asdict(settings),
            "count_names": list(corpus.count_names),
            "next_cluster": lineage.next_number,
            "before": before.id if before else None,
            "survived": lineage.survived,
            "moved": lineage.moved,
            "compared": lineage.compared,
            "changes": [asdict(change) for change in lineage.changes],
            "providers": providers.facts(),
        },
        clusters=[],
        embedding=embedding,
        clustering=clustering,
        novelty=novelty,
        novelty_index=NeighbourIndex.build(novelty_vectors, SEED),
        detector=detector,
        rows=rows,
        frequencies=frequencies,
        members=Members.build(members, corpus.point_of, len(vectors)),
        fences=CountFences.fit(corpus.counts, corpus.count_names),
        novelty_vectors=novelty_vectors,
        fitted_scores=score_fitted(detector, novelty_vectors),
        providers=providers,
    )
    model.clusters.extend(_cluster_facts(corpus, model, lineage, labels, store))
    return model.with_facts(id=_model_id(model, fitted_at)), lineage


def _providers(store: Store | None, say: Report) -> ProviderModels:
    if store is None:
        return ProviderModels.none()
    fit = fit_providers(store)
    say("threat scores", fit.found)
    return fit.models


def left_out_tokens(kinds: NDArray[np.uint8], names: tuple[str, ...]) -> NDArray[np.bool_] | None:
    """(v,) True for tokens, known by their kinds (v,), that ``[features] leave_out`` names. Raises SettingsError."""
    unknown = sorted(set(names) - set(KINDS))
    if unknown:
        raise SettingsError(f"[features] leave_out: there is no kind {unknown[0]!r}; docs/features.md lists them.")
    return np.isin(kinds, [KINDS.index(name) for name in names]) if names else None


def _majorities(corpus: Corpus, labels: NDArray[np.int64], clusters: int) -> list[str | None]:
    """The label of more than half of each cluster's labelled analyses."""
    counts: list[Counter[str]] = [Counter() for _ in range(clusters)]
    for cluster, label in zip(labels.tolist(), corpus.labels, strict=True):
        if cluster != NOISE and label:
            counts[cluster][label] += 1
    found: list[str | None] = []
    for count in counts:
        label, most = max(count.items(), key=lambda pair: (pair[1], pair[0]), default=(None, 0))
        found.append(label if label is not None and most * 2 > sum(count.values()) else None)
    return found


def _old(before: Model | None) -> OldClusters | None:
    if before is None:
        return None
    labels = before.clustering.labels
    of_analysis = {
        member.analysis: before.clusters[labels[point]].id if labels[point] != NOISE else None
        for point, member in before.members.all()
    }
    return OldClusters(of_analysis, {one.id: one.name for one in before.clusters}, int(before.facts["next_cluster"]))


def _frequencies(corpus: Corpus, embedding: Embedding, known: csr_matrix, clustering: Clustering) -> Frequencies:
    multiplicities = corpus.multiplicities
    every = np.asarray(corpus.tokens.T @ multiplicities.astype(np.float64)).ravel().astype(np.int64)
    in_vocabulary = np.isin(corpus.hashes, embedding.hashes, assume_unique=True)
    members = np.flatnonzero(clustering.labels != NOISE)
    analyses = csr_matrix(  # (c, n): the analyses of each cluster that show each behaviour
        (multiplicities[members].astype(np.float64), (clustering.labels[members], members)),
        shape=(clustering.clusters, len(multiplicities)),
    )
    shown = (analyses @ known).tocsr()
    shown.sort_indices()
    rare = (analyses @ corpus.tokens[:, np.flatnonzero(~in_vocabulary)]).tocoo()
    pairs = rare.col.astype(np.int64) * clustering.clusters + rare.row
    order = np.argsort(pairs)
    return Frequencies(
        corpus=every[in_vocabulary],
        starts=shown.indptr.astype(np.int64),
        columns=shown.indices.astype(np.int32),
        counts=shown.data.astype(np.int32),
        rare_hashes=corpus.hashes[~in_vocabulary],
        rare_counts=every[~in_vocabulary].astype(np.int32),
        rare_pairs=pairs[order],
        rare_pair_counts=rare.data[order].astype(np.int32),
    )


def _cluster_facts(
    corpus: Corpus, model: Model, lineage: Lineage, labels: NDArray[np.int64], store: Store | None
) -> list[ClusterFacts]:
    facts = []
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(len(lineage.ids) + 1))
    for cluster, (cluster_id, name) in enumerate(zip(lineage.ids, lineage.names, strict=True)):
        members = order[bounds[cluster] : bounds[cluster + 1]]
        counts = Counter(label for i in members if (label := corpus.labels[i]))
        seen = sorted(corpus.seen_at[i] for i in members)
        facts.append(
            ClusterFacts(
                id=cluster_id,
                name=name,
                size=len(members),
                labels=dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
                evidence=_cluster_words(corpus, model, cluster, members, store) if store else [],
                first_seen=seen[0] if seen else "",
                last_seen=seen[-1] if seen else "",
                first_stored=min((corpus.stored_at[i] for i in members), default=""),
            )
        )
    return facts


def _cluster_words(
    corpus: Corpus, model: Model, cluster: int, members: NDArray[np.int64], store: Store
) -> list[Evidence]:
    """The strongest tokens of a cluster in words, which its surest members lend."""
    certainties = model.clustering.certainties[corpus.point_of[members]]
    surest = members[np.argsort(-certainties, kind="stable")[:_EXAMPLES_PER_CLUSTER]]
    import xxhash

    words: dict[int, str] = {}
    for i in surest:
        stored = store.get(corpus.analyses[i])
        if stored is not None:
            words.update({xxhash.xxh3_64_intdigest(token.encode()): token for token in stored.unpack()[0]})
    wanted = model.frequencies.strongest(cluster, len(members), len(corpus.analyses), model.embedding.kinds, 40)
    columns = np.array([c for c in wanted if int(model.embedding.hashes[c]) in words], np.int64)
    tokens = [words[int(model.embedding.hashes[c])] for c in columns]
    in_cluster = model.frequencies.in_cluster(cluster, columns) / max(len(members), 1)
    in_corpus = model.frequencies.corpus[columns] / len(corpus.analyses)
    places = np.arange(len(tokens))
    return cluster_evidence(tokens, places, model.embedding.kinds[columns], in_cluster, in_corpus, 15)


def _model_id(model: Model, fitted_at: datetime) -> str:
    content = hashlib.blake2b(digest_size=4)
    for array in (model.clustering.labels, model.clustering.index.vectors):
        content.update(np.ascontiguousarray(array).tobytes())
    return f"{fitted_at.strftime('%Y%m%d-%H%M%S-%f')[:-3]}-{content.hexdigest()}"


def _facts_on_disk(model: Model) -> dict[str, Any]:
    facts = {key: value for key, value in model.facts.items() if key != "id"}
    return facts | {"clusters": [asdict(cluster) for cluster in model.clusters]}


def save_findings(store: Store, model: Model, settings: Settings) -> int:
    """Bring the store's findings of all fitted analyses up to date with a model."""
    scores = model.fitted_scores
    threshold = settings.anomaly.threshold
    clustering = model.clustering

    def records() -> Iterator[FindingRecord]:
        for point, member in model.members.all():
            cluster = int(clustering.labels[point])
            yield FindingRecord(
                analysis=member.analysis,
                model=model.id,
                cluster=model.clusters[cluster].id if cluster != NOISE else None,
                probability=float(clustering.probabilities[point]),
                outlier_score=float(clustering.outlier_scores[point]),
                anomaly_score=float(scores[point]),
                anomalous=bool(scores[point] >= threshold),
            )

    return store.save_findings(records())


def rollback(
    home: Home, store: Store, settings: Settings, model_id: str, progress: Progress | None = None
) -> Model:
    """Put an older model in force again, and its findings; what it was not fitted on is scored by it.

    Raises:
        ModelError: there is no such model, or it cannot be read.
        BusyError: a refit is running.
    """
    if model_id not in {facts["folder"] for facts in list_models(home.models)}:
        raise ModelError(f"{home.models}: there is no model {model_id}; cuckoo-ml models list shows those there are.")
    with _alone(home):
        model = Model.load(home.models / model_id)
        _put_in_force(home, store, model, settings, lambda stage, found: None, progress)
    return model
