"""Our own pages: clusters, kin, one of these, anomalies, births, the model, an analysis, a comparison, a behaviour."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

from cuckoo_ml_plugin.engine import queries
from cuckoo_ml_plugin.engine.births import births, visible_births
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.refit_due import refit_decision
from cuckoo_ml_plugin.engine.visibility import VisibleCorpus, VisibleGroup, counts_of, days, samples_of, summary_of
from cuckoo_ml_plugin.errors import CuckooMLError, StoreError
from cuckoo_ml_plugin.model.folder import list_models
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.analysis_ids import clean_id
from cuckoo_ml_plugin.plumbing.times import utc_text
from cuckoo_ml_plugin.store.overview import AnalysisBrief, Counts
from cuckoo_ml_plugin.web.links import MAX_VALUE
from cuckoo_ml_plugin.web.panel import PanelView
from cuckoo_ml_plugin.web.request import PAGE_SIZE, ForbiddenError, NotFoundError, PageResponse, Paging, Request
from cuckoo_ml_plugin.web.timeline import timeline

_SORTS = ("size", "new", "first", "last", "name")
_PERIODS = {"7": "7 days", "1": "a day", "30": "30 days", "365": "a year", "all": "all time"}
_MOST_CHANGES = 200
_MOST_CLUSTERS = 20  # of a kin that are listed
_ANOMALIES = 20  # on a page; few, because those that the refit found are scored again for their reasons
_COMPARED_PIECES = 30  # of each list of a comparison
_COMPARED_NAMED = 20  # runs of a comparison that are named
_SEARCH_SECONDS = 5.0  # that a page looks for a piece of behaviour; what was found is kept for a minute
_BIRTH_MEMBERS = 10  # samples of a group in the making that are named

Page = Callable[[Request], PageResponse]


def find_page(path: str) -> Page:
    """The function that draws the page at a path relative to our base. Raises NotFoundError."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if len(parts) == 2 and parts[0] == "clusters":
        return lambda request: cluster_page(request, parts[1])
    if len(parts) == 2 and parts[0] == "kin":
        return lambda request: kin_page(request, parts[1])
    page = _PAGES.get("/".join(parts))
    if page is None:
        raise NotFoundError("There is no such page.")
    return page


def clusters_page(request: Request) -> PageResponse:
    """All clusters: searchable, sortable, paged."""
    engine, model, corpus = request.engine, request.engine.require_model(), request.corpus
    sort, search = request.choice("sort", _SORTS), request.text("q").strip().lower()
    if corpus is None:
        groups = request.memory.recall(f"clusters of {model.id}", lambda: queries.all_clusters(engine, model))
    else:
        groups = _visible_clusters(corpus, model)
    rows, count = groups.rows, len(groups.rows)
    rows = [row for row in rows if not search or any(search in name.lower() for name in _names_of(row))]
    rows.sort(key=_SORT_KEYS[sort])
    return request.respond(
        "Clusters",
        "clusters.html",
        rows=rows[request.offset : request.offset + PAGE_SIZE],
        sort=sort,
        search=request.text("q"),
        new_days=queries.NEW_DAYS,
        clusters=count,
        outside=groups.outside,
        without=groups.without,
        paging=Paging(request.page_number, request.offset + PAGE_SIZE < len(rows), len(rows)),
    )


def _visible_clusters(corpus: VisibleCorpus, model: Model) -> queries.Groups:
    """The clusters that the reader may see a member of."""
    since = utc_text(datetime.now(timezone.utc) - timedelta(days=queries.NEW_DAYS))
    rows = [
        {
            "id": cluster.id,
            "name": cluster.name,
            "size": len(cluster.members),
            "labels": [{"label": label, "count": count} for label, count in cluster.labels.items()],
            "kin": facts.kin,
            **queries.with_activity(cluster.activity(since)),
        }
        for facts in model.clusters
        if (cluster := corpus.clusters.get(facts.id)) is not None
    ]
    return queries.Groups(rows, counts_of(corpus.outside), corpus.without)


def _names_of(row: dict[str, Any]) -> list[str]:
    return [row["id"], row["name"], *(part["label"] for part in row["labels"])]


_SORT_KEYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "size": lambda row: (-row["stored_samples"], -row["stored"], -row["size"], row["name"]),
    "new": lambda row: (-row["new"], -row["stored_samples"], row["name"]),
    "first": lambda row: (_backwards(row["first_day"]), row["name"]),
    "last": lambda row: (_backwards(row["last_day"]), row["name"]),
    "name": lambda row: (row["name"].lower(), row["id"]),
}


def _backwards(text: str) -> list[int]:
    return [-ord(character) for character in text]


def cluster_page(request: Request, cluster_id: str) -> PageResponse:
    """One cluster: its labels, evidence, members, nearest clusters and timeline."""
    model = request.engine.require_model()
    if request.corpus is not None:
        return _visible_cluster_page(request, model, request.corpus, cluster_id)
    number = queries.cluster_number(model, cluster_id)
    if number is None:
        raise NotFoundError(_fate(model, cluster_id))
    detail = queries.cluster_detail(request.engine, model, number, PAGE_SIZE + 1, request.offset)
    members = detail["members"]
    request.links.look_up(request.engine, [member["analysis"] for member in members])
    return request.respond(
        f"Cluster {detail['name']}",
        "cluster.html",
        cluster=detail,
        members=members[:PAGE_SIZE],
        kin_name=next((kin.name for kin in model.kins if kin.id == detail["kin"]), None),
        timeline=timeline(request.engine.store.days(detail["id"])),
        paging=Paging(request.page_number, len(members) > PAGE_SIZE, detail["stored_samples"]),
    )


def _visible_cluster_page(request: Request, model: Model, corpus: VisibleCorpus, cluster_id: str) -> PageResponse:
    """One cluster as far as the reader may see it."""
    number = next((i for i, facts in enumerate(model.clusters) if facts.id == cluster_id), None)
    cluster = corpus.clusters.get(cluster_id)
    if number is None or cluster is None:
        raise NotFoundError("The model in force has no such cluster that you may see.")
    samples = samples_of(cluster.members)
    members = samples[request.offset : request.offset + PAGE_SIZE]
    request.links.look_up(request.engine, [member.analysis for member, _ in members])
    nearest = queries.nearest_clusters(model, number, len(model.clusters))
    detail = {
        "id": cluster.id,
        "name": cluster.name,
        "samples": len(samples),
        "size": len(cluster.members),
        "stored_samples": len(samples),
        "stored": len(cluster.members),
        "labels": [{"label": label, "count": count} for label, count in cluster.labels.items()],
        "kin": model.clusters[number].kin,
        "evidence": corpus.evidence(request.engine, cluster, model.clusters[number].evidence),
        "nearest": [
            neighbour | {"name": corpus.clusters[neighbour["id"]].name}
            for neighbour in nearest
            if neighbour["id"] in corpus.clusters
        ][: queries.NEAREST],
    }
    return request.respond(
        f"Cluster {cluster.name}",
        "cluster.html",
        cluster=detail,
        members=[_visible_member(member, runs, member.probability) for member, runs in members],
        kin_name=corpus.kins[detail["kin"]].name if detail["kin"] in corpus.kins else detail["kin"],
        timeline=timeline(days(cluster.members)),
        paging=Paging(request.page_number, request.offset + PAGE_SIZE < len(samples), len(samples)),
    )


def _visible_member(member: AnalysisBrief, runs: int, probability: float | None) -> dict[str, Any]:
    return {
        "analysis": member.analysis,
        "sha256": member.sha256,
        "target": member.target,
        "label": member.label,
        "cluster": member.cluster,
        "probability": probability,
        "anomaly_score": member.anomaly_score,
        "runs": runs,
    }


def _fate(model: Model, cluster_id: str) -> str:
    """What the last refit did to a cluster that the model does not have."""
    for change in model.facts["changes"]:
        if change["cluster"] == cluster_id and change["kind"] == "merged":
            return f"Cluster {cluster_id} was merged into {change['other']}."
        if change["cluster"] == cluster_id and change["kind"] == "died":
            return f"Cluster {cluster_id} was dissolved: its analyses now belong to no cluster or to several."
    return "The model in force has no such cluster."


def kins_page(request: Request) -> PageResponse:
    """All kin, the largest first."""
    engine, model, corpus = request.engine, request.engine.require_model(), request.corpus
    if corpus is None:
        groups = request.memory.recall(f"kin of {model.id}", lambda: queries.all_kin(engine, model))
    else:
        kins = [_visible_kin(corpus, model, corpus.kins[facts.id]) for facts in model.kins if facts.id in corpus.kins]
        groups = queries.Groups(kins, counts_of(corpus.outside_kin), corpus.without)
    rows = sorted(groups.rows, key=lambda row: (-row["stored_samples"], -row["stored"], -row["size"], row["name"]))
    return request.respond(
        "Kin",
        "kins.html",
        rows=rows[request.offset : request.offset + PAGE_SIZE],
        outside=groups.outside,
        without=groups.without,
        paging=Paging(request.page_number, request.offset + PAGE_SIZE < len(rows), len(rows)),
    )


def kin_page(request: Request, kin_id: str) -> PageResponse:
    """One kin: its labels, clusters, members and timeline."""
    model, corpus = request.engine.require_model(), request.corpus
    if corpus is not None:
        return _visible_kin_page(request, model, corpus, kin_id)
    number = queries.kin_number(model, kin_id)
    if number is None:
        raise NotFoundError("The model in force has no such kin.")
    detail = queries.kin_detail(request.engine, model, number, PAGE_SIZE + 1, request.offset)
    members = detail["members"]
    request.links.look_up(request.engine, [member["analysis"] for member in members])
    return request.respond(
        f"Kin {detail['name']}",
        "kin.html",
        kin=detail,
        members=members[:PAGE_SIZE],
        most_clusters=_MOST_CLUSTERS,
        timeline=timeline(request.engine.store.days(kin=detail["id"])),
        paging=Paging(request.page_number, len(members) > PAGE_SIZE, detail["stored_samples"]),
    )


def _visible_kin_page(request: Request, model: Model, corpus: VisibleCorpus, kin_id: str) -> PageResponse:
    """One kin as far as the reader may see it."""
    kin = corpus.kins.get(kin_id) if any(facts.id == kin_id for facts in model.kins) else None
    if kin is None:
        raise NotFoundError("The model in force has no such kin that you may see.")
    samples = samples_of(kin.members)
    briefs = samples[request.offset : request.offset + PAGE_SIZE]
    request.links.look_up(request.engine, [brief.analysis for brief, _ in briefs])
    return request.respond(
        f"Kin {kin.name}",
        "kin.html",
        kin=_visible_kin(corpus, model, kin),
        members=[_visible_member(brief, runs, brief.kin_probability) for brief, runs in briefs],
        most_clusters=_MOST_CLUSTERS,
        timeline=timeline(days(kin.members)),
        paging=Paging(request.page_number, request.offset + PAGE_SIZE < len(samples), len(samples)),
    )


def _visible_kin(corpus: VisibleCorpus, model: Model, kin: VisibleGroup) -> dict[str, Any]:
    """One kin by the members that the reader may see."""
    activity = summary_of(kin.members, "")
    clusters = [
        corpus.clusters[facts.id] for facts in model.clusters if facts.kin == kin.id and facts.id in corpus.clusters
    ]
    clusters.sort(key=lambda cluster: -len(cluster.members))
    return {
        "id": kin.id,
        "name": kin.name,
        "samples": activity.samples,
        "size": len(kin.members),
        "labels": [{"label": label, "count": count} for label, count in kin.labels.items()],
        "clusters": [
            {
                "id": cluster.id,
                "name": cluster.name,
                "samples": len(samples_of(cluster.members)),
                "size": len(cluster.members),
            }
            for cluster in clusters
        ],
        **queries.with_activity(activity),
    }


def anomalies_page(request: Request) -> PageResponse:
    """The anomalous samples of a period, with reasons; the period is that of the analyses, not of storing."""
    request.engine.require_model()
    period = request.choice("days", tuple(_PERIODS))
    order = request.choice("order", ("date", "score"))
    since = None if period == "all" else datetime.now(timezone.utc) - timedelta(days=int(period))
    by = "score" if order == "score" else "date"
    offset = (request.page_number - 1) * _ANOMALIES
    corpus = request.corpus
    if corpus is None:
        rows = list(queries.anomalies(request.engine, _ANOMALIES, by, since, offset))  # type: ignore[arg-type]
        total = request.engine.store.anomaly_count(since)
    else:
        anomalies = corpus.anomalies(by, None if since is None else utc_text(since))
        page = anomalies[offset : offset + _ANOMALIES]
        rows = [_visible_anomaly(request, corpus, anomaly, runs) for anomaly, runs in page]
        total = Counts(len(anomalies), sum(runs for _, runs in anomalies))
    request.links.look_up(request.engine, [row["analysis"] for row in rows])
    return request.respond(
        "Anomalies",
        "anomalies.html",
        rows=rows,
        total=total,
        period=period,
        periods=_PERIODS,
        order=order,
        threshold=request.engine.settings.anomaly.threshold,
        names=_names_of_clusters(request.engine, corpus),
        paging=Paging(request.page_number, offset + len(rows) < total.samples and bool(rows)),
    )


def _visible_anomaly(request: Request, corpus: VisibleCorpus, anomaly: AnalysisBrief, runs: int) -> dict[str, Any]:
    return {
        "analysis": anomaly.analysis,
        "sha256": anomaly.sha256,
        "target": anomaly.target,
        "label": anomaly.label,
        "analysed_at": anomaly.analysed_at,
        "stored_at": anomaly.stored_at,
        "cluster": anomaly.cluster,
        "score": anomaly.anomaly_score,
        "reasons": corpus.reasons(request.engine, anomaly),
        "runs": runs,
    }


def behaviour_page(request: Request) -> PageResponse:
    """The analyses that show one piece of behaviour, newest first."""
    engine = request.engine
    token = f"{request.query.get('kind', '')}:{request.query.get('value', '')}"[:MAX_VALUE]
    try:
        showing = request.memory.recall(
            f"showing {token}", lambda: queries.analyses_showing(engine, token, _SEARCH_SECONDS)
        )
    except StoreError:
        raise
    except CuckooMLError as error:
        raise NotFoundError(str(error)) from error
    answer = queries.seen(engine, token, showing, PAGE_SIZE, request.offset, request.corpus)
    request.links.look_up(engine, [row["analysis"] for row in answer["analyses"]])
    return request.respond(
        "Behaviour",
        "behaviour.html",
        **answer,
        names=_names_of_clusters(engine, request.corpus),
        paging=Paging(request.page_number, request.offset + PAGE_SIZE < answer["count"], answer["count"]),
    )


def births_page(request: Request) -> PageResponse:
    """The groups in the making, as far as the reader may see their analyses."""
    request.engine.require_model()
    groups = births(request.engine)
    if request.corpus is not None:
        groups = visible_births(request.engine, groups, request.corpus.visible)
    rows = groups[request.offset : request.offset + PAGE_SIZE]
    shown = [(group, group.first_runs[:_BIRTH_MEMBERS]) for group in rows]
    request.links.look_up(request.engine, [member.analysis for _, members in shown for member, _ in members])
    return request.respond(
        "New groups",
        "births.html",
        rows=shown,
        paging=Paging(request.page_number, request.offset + PAGE_SIZE < len(groups), len(groups)),
    )


def model_page(request: Request) -> PageResponse:
    """The model in force: its facts, whether it is out of date, what the last refit changed, and older models."""
    if request.reader is not None:
        raise ForbiddenError("This page covers the analyses of every tenant, so that only administrators may open it.")
    engine = request.engine
    current = engine.require_model()
    try:
        decision = refit_decision(engine.home, engine.store, engine.settings, engine.model())
    except CuckooMLError as error:
        refit_reason, refit_due = str(error), True
    else:
        refit_reason, refit_due = decision.reason, decision.due
    return request.respond(
        "Model",
        "model.html",
        facts=current.facts,
        brief=current.brief(),
        kins=len(current.kins),
        refit_reason=refit_reason,
        refit_due=refit_due,
        changes=current.facts["changes"][:_MOST_CHANGES],
        more_changes=max(len(current.facts["changes"]) - _MOST_CHANGES, 0),
        history=list(reversed(list_models(engine.home.models))),
        timeline=timeline(request.memory.recall("days", engine.store.days)),
        settings=[
            (f"[{part}] {key}", value)
            for part in ("vectors", "clustering", "anomaly")
            for key, value in current.facts["settings"].get(part, {}).items()
        ],
    )


def analysis_page(request: Request) -> PageResponse:
    """One stored analysis, even one that the host does not have."""
    name = request.query.get("id", "")[:1000]
    corpus = request.corpus
    stored = request.engine.store.get(name) if corpus is None or corpus.get(clean_id(name)) else None
    finding = None
    if stored is not None:
        finding = request.engine.score_stored(name) if corpus is None else corpus.scored(request.engine, name)
    if stored is None or finding is None:
        visible = None if corpus is None else lambda known: corpus.get(known) is not None
        raise NotFoundError("The store has no such analysis.", queries.ids_meant(request.engine, [name], visible))
    panel = PanelView.of(finding.section(), request.links, request.engine, also=[stored.analysis])
    return request.respond(
        f"Analysis {stored.analysis[:40]}",
        "analysis.html",
        stored=stored,
        panel=panel.markup(request.look),
        at_host=request.links.is_at_host(stored.analysis),
    )


def compare_page(request: Request) -> PageResponse:
    """How one stored analysis differs from another, or from the other runs of its file and from its group."""
    engine = request.engine
    run = _visible_run(request, request.query.get("id", ""))
    other = request.query.get("with", "")
    if other:
        answer = queries.comparison_of_two(engine, run, _visible_run(request, other), _COMPARED_PIECES)
    else:
        answer = queries.comparison(engine, run, _COMPARED_PIECES, request.corpus)
    for compared in answer["comparisons"]:
        compared["with"] = compared["with"][:_COMPARED_NAMED]
    named = [name for compared in answer["comparisons"] for name in compared["with"]]
    request.links.look_up(engine, [run.analysis, *named])
    return request.respond(f"Comparison of {run.analysis[:40]}", "compare.html", **answer)


def _visible_run(request: Request, name: str) -> queries.Run:
    """A stored analysis that the reader may see. Raises NotFoundError, StoreError."""
    name, corpus = name[:1000], request.corpus
    run = queries.stored_run(request.engine, name) if corpus is None or corpus.get(clean_id(name)) else None
    if run is None:
        visible = None if corpus is None else lambda known: corpus.get(known) is not None
        raise NotFoundError("The store has no such analysis.", queries.ids_meant(request.engine, [name], visible))
    return run


def _names_of_clusters(engine: Engine, corpus: VisibleCorpus | None) -> dict[str, str]:
    """The names of the clusters that the reader may see, by their ids; none before the first refit."""
    if corpus is not None:
        return {cluster.id: cluster.name for cluster in corpus.clusters.values()}
    model = engine.model()
    return {cluster.id: cluster.name for cluster in model.clusters} if model else {}


_PAGES: dict[str, Page] = {
    "": clusters_page,
    "kin": kins_page,
    "anomalies": anomalies_page,
    "births": births_page,
    "model": model_page,
    "analysis": analysis_page,
    "compare": compare_page,
    "behaviour": behaviour_page,
}
