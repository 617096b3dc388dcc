"""Our own pages: all clusters, one cluster, anomalies, the model, one analysis."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

from cuckoo_ml_plugin.engine import queries as answers
from cuckoo_ml_plugin.engine.refit_due import need_for_refit
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.model.folder import list_models
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.store.activity import Activity
from cuckoo_ml_plugin.web.panel import PanelView
from cuckoo_ml_plugin.web.request import PAGE_SIZE, Answer, NotFoundError, Paging, Request
from cuckoo_ml_plugin.web.timeline import timeline

NEW_DAYS = 7
_SORTS = ("size", "new", "first", "last", "name")
_PERIODS = {"7": "7 days", "1": "a day", "30": "30 days", "365": "a year", "all": "all time"}
_MOST_CHANGES = 200
_ANOMALIES = 20  # on a page: each is scored again for its reasons, where the refit found it

Page = Callable[[Request], Answer]


def find(path: str) -> Page:
    """The page at a path behind our base. Raises NotFoundError."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if len(parts) == 2 and parts[0] == "clusters":
        return lambda request: cluster(request, parts[1])
    page = _PAGES.get("/".join(parts))
    if page is None:
        raise NotFoundError("There is no such page.")
    return page


def clusters(request: Request) -> Answer:
    """All clusters: searchable, sortable, paged."""
    model = request.engine.need_model()
    since = datetime.now(timezone.utc) - timedelta(days=NEW_DAYS)
    store = request.engine.store
    activity = request.memory.recall("activity", lambda: store.cluster_activity(since))
    sort, wanted = request.choice("sort", _SORTS), request.text("q").strip().lower()
    rows = [
        answers.cluster_brief(facts, 0) | {"activity": activity.get(facts.id, Activity(0, 0, "", ""))}
        for facts in model.clusters
        if not wanted or any(wanted in name.lower() for name in (facts.id, facts.name, *facts.labels))
    ]
    rows.sort(key=_SORT_KEYS[sort])
    page = rows[request.offset : request.offset + PAGE_SIZE]
    return request.answer(
        "Clusters",
        "clusters.html",
        rows=page,
        sort=sort,
        wanted=request.text("q"),
        new_days=NEW_DAYS,
        model=model.brief(),
        without=activity.get(None, Activity(0, 0, "", "")),
        paging=Paging(request.page_number, request.offset + PAGE_SIZE < len(rows), len(rows)),
    )


_SORT_KEYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "size": lambda row: (-row["activity"].analyses, -row["size"], row["name"]),
    "new": lambda row: (-row["activity"].new, -row["activity"].analyses, row["name"]),
    "first": lambda row: (_backwards(row["activity"].first), row["name"]),
    "last": lambda row: (_backwards(row["activity"].last), row["name"]),
    "name": lambda row: (row["name"].lower(), row["id"]),
}


def _backwards(text: str) -> list[int]:
    return [-ord(one) for one in text]


def cluster(request: Request, wanted: str) -> Answer:
    """One cluster: labels, evidence, members, nearest clusters, timeline."""
    model = request.engine.need_model()
    number = answers.cluster_number(model, wanted)
    if number is None:
        raise NotFoundError(_what_became_of(model, wanted))
    detail = answers.cluster_detail(request.engine, model, number, PAGE_SIZE + 1, request.offset)
    members = detail["members"]
    request.links.look_up(request.engine, [one["analysis"] for one in members])
    return request.answer(
        f"Cluster {detail['name']}",
        "cluster.html",
        cluster=detail,
        members=members[:PAGE_SIZE],
        timeline=timeline(request.engine.store.days(detail["id"])),
        paging=Paging(request.page_number, len(members) > PAGE_SIZE, detail["stored"]),
    )


def _what_became_of(model: Model, wanted: str) -> str:
    for change in model.facts["changes"]:
        if change["cluster"] == wanted and change["kind"] == "merged":
            return f"Cluster {wanted} has merged into {change['other']}."
        if change["cluster"] == wanted and change["kind"] == "died":
            return f"Cluster {wanted} is no more: its analyses belong to no cluster now, or to several."
    return "There is no such cluster in the model in force."


def anomalies(request: Request) -> Answer:
    """The anomalous analyses of the last days, with reasons."""
    request.engine.need_model()
    period = request.choice("days", tuple(_PERIODS))
    order = request.choice("order", ("date", "score"))
    since = None if period == "all" else datetime.now(timezone.utc) - timedelta(days=int(period))
    by = "score" if order == "score" else "date"
    offset = (request.page_number - 1) * _ANOMALIES
    rows = list(answers.anomalies(request.engine, _ANOMALIES + 1, by, since, offset))  # type: ignore[arg-type]
    request.links.look_up(request.engine, [row["analysis"] for row in rows])
    return request.answer(
        "Anomalies",
        "anomalies.html",
        rows=rows[:_ANOMALIES],
        period=period,
        periods=_PERIODS,
        order=order,
        names=_names(request.engine.need_model()),
        paging=Paging(request.page_number, len(rows) > _ANOMALIES),
    )


def model(request: Request) -> Answer:
    """The model: what it is, whether it is out of date, what the last refit changed, and those before it."""
    engine = request.engine
    current = engine.need_model()
    try:
        need = need_for_refit(engine.home, engine.store, engine.settings)
    except CuckooMLError as error:
        need_text, needed = str(error), True
    else:
        need_text, needed = need.why, need.needed
    return request.answer(
        "Model",
        "model.html",
        facts=current.facts,
        brief=current.brief(),
        need=need_text,
        needed=needed,
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


def analysis(request: Request) -> Answer:
    """One stored analysis, also one that the host does not have."""
    wanted = request.query.get("id", "")[:1000]
    stored = request.engine.store.get(wanted)
    finding = request.engine.score_stored(wanted)
    if stored is None or finding is None:
        raise NotFoundError("There is no such analysis in the store.")
    request.links.look_up(request.engine, [stored.analysis])
    panel = PanelView.of(finding.section(), request.links, request.engine)
    return request.answer(
        f"Analysis {stored.analysis[:40]}",
        "analysis.html",
        stored=stored,
        panel=panel.markup(request.look),
        at_host=request.links.is_at_host(stored.analysis),
    )


def _names(model: Model) -> dict[str, str]:
    return {one.id: one.name for one in model.clusters}


_PAGES: dict[str, Page] = {"": clusters, "anomalies": anomalies, "model": model, "analysis": analysis}
