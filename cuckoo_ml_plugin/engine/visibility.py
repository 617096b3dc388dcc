"""What readers may see where a host serves several tenants: findings and lists without the analyses of others.

Comes in: a :data:`Visible`, which the host's adapter makes of its own rules. Everything here is computed over the
analyses that it lets through, so that neither a name nor a number tells of the rest. In doubt nothing is shown.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

from cuckoo_ml_plugin.behaviour.behash import as_text
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.past_analyses import Subject, past_of, put_verdict
from cuckoo_ml_plugin.engine.similar_analyses import each_sample_once
from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.finding.reasons import (
    INCOMPLETE_RUN,
    NOVEL,
    by_weight,
    cluster_reasons,
    incomplete_reasons,
    label_reasons,
    novelty_reasons,
)
from cuckoo_ml_plugin.finding.section import (
    MAX_LABELS,
    MAX_MESSAGE,
    AnomalyFinding,
    ClusterFinding,
    Evidence,
    Finding,
    KinFinding,
    LabelCount,
    ModelFacts,
    Reason,
    SimilarAnalysis,
    failed_section,
    read_section,
)
from cuckoo_ml_plugin.finding.verdict import Past
from cuckoo_ml_plugin.plumbing.times import day_of
from cuckoo_ml_plugin.store.analysis_record import sample_key
from cuckoo_ml_plugin.store.overview import Activity, AnalysisBrief, Counts

MOST_RUNS_COUNTED: Final = 1000
"""How many runs of the similar samples are looked through for those that the readers may see."""
MOST_CANDIDATES: Final = 100  # similar analyses that are looked through for those that the readers may see

_OWN_REASONS: Final = frozenset((
    "no_cluster", "high_outlier_score", "novel_behaviour", "abnormal_count_suspect", "abnormal_count_outlier",
    "threat_scores_disagree", "static_only",
))  # reasons that name no other analysis  # fmt: skip
_MEMBERS_READ: Final = 20  # of a cluster, for what they have in common
_TOKEN_READ: Final = 250  # characters; a finding cuts longer values
_LEFT_OUT: Final = re.compile(r" ?\b([\d,]+) similar analys[ie]s of other tenants (?:is|are) left out\.")

_LOG = logging.getLogger(__name__)


class HostAnalysis(Protocol):
    """What a host is asked by: the stored facts that tell which of its tasks an analysis is."""

    @property
    def analysis(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def target(self) -> str: ...
    @property
    def source_path(self) -> str | None: ...
    @property
    def node(self) -> str: ...
    @property
    def analysed_at(self) -> str | None: ...


Visible = Callable[[Iterable[HostAnalysis]], Collection[str]]
"""The ids, of the given analyses, that a reader may see."""


Group = TypeVar("Group", ClusterFinding, KinFinding)


def nothing(_analyses: Iterable[HostAnalysis]) -> Collection[str]:
    """What is visible where nobody can say who may see what."""
    return ()


def leaves_out(finding: Finding) -> bool:
    """Whether a finding says that similar analyses are left out."""
    return _LEFT_OUT.search(finding.message) is not None


def majority(labels: Mapping[str, int]) -> str | None:
    """The label of more than half of the labelled analyses, as clusters are named; None if there is none."""
    return next((label for label, count in labels.items() if 2 * count > sum(labels.values())), None)


def visible_section(engine: Engine | None, section: object, analysis: str, visible: Visible) -> dict[str, Any]:
    """A section as those readers may have it: the fields are the same, what is left out is a number in ``message``.

    ``engine``: of the home with the analyses; None or one whose store cannot be read: nothing of others is shown.
    """
    try:
        finding = read_section(section)
    except ReportError as error:
        return failed_section(str(error))
    return visible_finding(engine, finding, analysis, visible).section()


def section_for_report(engine: Engine, section: dict[str, Any], analysis: str) -> dict[str, Any]:
    """A section for a report of the host, as a command writes it: where the host has tenants, without other analyses.

    A command cannot ask the host whose an analysis is; the host's own modules write more. Raises StoreError.
    """
    has_store = bool(engine.settings.store.url) or engine.home.store_file.exists()
    if not has_store or not engine.store.has_tenants():
        return section
    return visible_section(None, section, analysis, nothing)


def visible_finding(
    engine: Engine | None,
    finding: Finding,
    analysis: str,
    visible: Visible,
    members: list[AnalysisBrief] | None = None,
    kin_members: list[AnalysisBrief] | None = None,
) -> Finding:
    """As :func:`visible_section`. Each field is named, so that a new one is left out until somebody decides on it.

    ``members``, ``kin_members``: those of its cluster and its kin that may be seen, if they are known already.
    """
    seen = _visible_similar(engine, finding.similar, visible)
    if members is None:
        members = _visible_members(engine, visible, cluster=finding.cluster.id) if finding.cluster else []
    if kin_members is None:
        kin_members = _visible_members(engine, visible, kin=finding.kin.id) if finding.kin else []
    cluster = _visible_group(finding.cluster, members)
    own = next((member.label for member in members if member.analysis == analysis), None)
    similar = _with_visible_facts(engine, seen, analysis, visible, cluster)
    shown = Finding(
        status=finding.status,
        message=_message(finding, len(finding.similar) - len(seen)),
        model=_visible_model(finding.model),
        cluster=cluster,
        kin=_visible_group(finding.kin, kin_members),
        anomaly=_visible_anomaly(engine, finding, cluster, own, similar),
        similar=similar,
        evidence=finding.evidence,
        behash=finding.behash,
        threat_scores=finding.threat_scores,
        counts=finding.counts,
    )
    _put_verdict(engine, finding, shown, analysis, visible)
    return shown


def _put_verdict(
    engine: Engine | None, finding: Finding, shown: Finding, analysis: str, visible: Visible
) -> None:  # fmt: skip
    """Give ``shown``, which is what readers may see of a finding, the verdict that follows from that."""
    past = Past(absence=finding.message if finding.verdict.kind == "not_run" else "", is_partial=True)
    try:
        stored = engine.store.get(analysis) if engine is not None and analysis else None
        if engine is not None and stored is not None:
            behaviour = engine.behaviour_of(stored)
            if finding.behash is None or (behaviour.behash and finding.behash == as_text(behaviour.behash)):
                subject, node_engine = Subject.of(stored, behaviour), engine
                past = past_of(engine.store, shown, subject, lambda found: visible(_of_this_node(node_engine, found)))
    except Exception as error:
        _LOG.error("The verdict tells of no other analyses, because nothing says who may see them: %s", error)
    put_verdict(shown, replace(past, is_static=past.is_static or finding.verdict.kind == "static_only"))


def with_more_similar(
    engine: Engine, finding: Finding, behaviour: Behaviour, analysis: str, visible: Visible
) -> Finding:
    """The finding with those similar analyses first that the readers may see, also from further down the list.

    The list is longer than the settings say by as many as will be left out. Raises ModelError, StoreError.
    """
    if finding.status not in ("scored", "no_model") or not behaviour.has_behaviour:
        return finding
    limit = engine.settings.scoring.similar
    wide = replace(engine.settings.scoring, similar=MOST_CANDIDATES)
    model = engine.model()
    candidates: list[SimilarAnalysis] = []
    if model is not None:
        candidates = model.score(
            behaviour, analysis=analysis, scoring=wide, anomaly=engine.settings.anomaly, each_run=True
        ).similar
    candidates = engine.with_stored(candidates, behaviour, analysis, MOST_CANDIDATES, each_run=True)
    listed = {similar.analysis for similar in finding.similar}
    further = [similar for similar in candidates if similar.analysis not in listed]
    shown = _visible_similar(engine, [*finding.similar, *further], visible)
    names = {similar.analysis for similar in shown}
    hidden = [similar for similar in finding.similar if similar.analysis not in names]
    samples = {name: sample_key(name, s.sha256, s.sample) for name, s in engine.store.get_many(names).items()}
    seen = each_sample_once(shown, samples, limit)
    similar = sorted([*seen, *hidden], key=lambda neighbour: -neighbour.similarity)
    return Finding(**{name: getattr(finding, name) for name in finding.__struct_fields__} | {"similar": similar})


def _visible_similar(
    engine: Engine | None, similar: list[SimilarAnalysis], visible: Visible
) -> list[SimilarAnalysis]:  # fmt: skip
    try:
        stored = engine.store.get_many({neighbour.analysis for neighbour in similar}) if engine and similar else {}
        shown = set(visible(_of_this_node(engine, stored.values()))) if engine and stored else set()
    except Exception as error:
        _LOG.error("Similar analyses are left out, because nothing says who may see them: %s", error)
        return []
    return [
        neighbour
        for neighbour in similar
        if neighbour.analysis in shown and stored[neighbour.analysis].is_of_file(neighbour.sha256)
    ]


def _with_visible_facts(
    engine: Engine | None,
    similar: list[SimilarAnalysis],
    analysis: str,
    visible: Visible,
    cluster: ClusterFinding | None,
) -> list[SimilarAnalysis]:
    """The similar analyses, which may be seen, with what may be seen of their samples' other runs.

    ``analysis``: what they are alike to; ``cluster``: its cluster as readers may see it, whose name alone is theirs.
    """
    if engine is None or not similar:
        return similar[:0]
    try:
        stored = engine.store.get_many({analysis, *(neighbour.analysis for neighbour in similar)})
        hashes = {known.sha256 for known in stored.values() if known.sha256}
        found = engine.store.runs_of_files(hashes, MOST_RUNS_COUNTED) if hashes else []
        shown = set(visible(_of_this_node(engine, found))) if found else set()
    except Exception as error:
        _LOG.error("Runs are not counted, because nothing says who may see them: %s", error)
        return similar[:0]
    runs = Counter(run.sha256 for run in found if run.analysis in shown and run.analysis != analysis)
    own = stored[analysis].sha256 if analysis in stored else None
    return [
        SimilarAnalysis(
            analysis=neighbour.analysis,
            sha256=neighbour.sha256,
            similarity=neighbour.similarity,
            cluster=neighbour.cluster,
            label=neighbour.label,
            same_file=own is not None and stored[neighbour.analysis].sha256 == own,
            date=day_of(stored[neighbour.analysis].analysed_at) or None,
            name=stored[neighbour.analysis].target or None,
            runs=max(runs[stored[neighbour.analysis].sha256], 1) if stored[neighbour.analysis].sha256 else None,
            cluster_name=cluster.name if cluster is not None and cluster.id == neighbour.cluster else None,
        )
        for neighbour in similar
        if neighbour.analysis in stored
    ]


def _of_this_node(engine: Engine, analyses: Iterable[HostAnalysis]) -> list[HostAnalysis]:
    """Without those of other nodes that share the store: their paths and task ids may be the same."""
    return [known for known in analyses if known.node in ("", engine.node)]


def _visible_members(
    engine: Engine | None, visible: Visible, *, cluster: str | None = None, kin: str | None = None
) -> list[AnalysisBrief]:
    try:
        members = engine.store.overview(cluster, kin) if engine else []
        shown = set(visible(_of_this_node(engine, members))) if engine and members else set()
    except Exception as error:
        _LOG.error("The members of a cluster or a kin are left out, because nothing says who may see them: %s", error)
        return []
    return [member for member in members if member.analysis in shown]


def _visible_group(group: Group | None, members: list[AnalysisBrief]) -> Group | None:
    """The cluster or the kin by the members that may be seen; ``size`` counts at least the analysis itself."""
    if group is None:
        return None
    labels = _label_counts(members)
    return type(group)(
        id=group.id,
        name=majority(labels) or group.id,
        size=max(len(members), 1),
        probability=group.probability,
        samples=max(len({member.sample for member in members}), 1),
        labels=[LabelCount(label=label, count=count) for label, count in list(labels.items())[:MAX_LABELS]],
    )


def _visible_model(model: ModelFacts | None) -> ModelFacts | None:
    """The model without the numbers of all tenants' analyses and clusters."""
    return None if model is None else ModelFacts(id=model.id, fitted_at=model.fitted_at)


def _visible_anomaly(
    engine: Engine | None,
    finding: Finding,
    cluster: ClusterFinding | None,
    own_label: str | None,
    similar: list[SimilarAnalysis],
) -> AnomalyFinding | None:
    """The anomaly with the reasons that name nothing of others; those that name a cluster are made anew.

    Whether it is a repeat of what others may not see is no part of it.
    """
    anomaly = finding.anomaly
    if anomaly is None:
        return None
    reasons: list[Reason] = []
    for reason in anomaly.reasons:
        if reason.kind in _OWN_REASONS:
            reasons.append(reason)
        elif reason.kind == INCOMPLETE_RUN:
            reasons += incomplete_reasons(reason.value)
        elif reason.kind == "low_probability" and cluster is not None:
            reasons += cluster_reasons(
                cluster=cluster.name, probability=reason.value, outlier_score=0.0,
                high_outlier_score=2.0, low_probability=2.0,
            )  # fmt: skip
        elif reason.kind == "label_mismatch" and cluster is not None:
            labels = {label.label: label.count for label in cluster.labels}
            reasons += label_reasons(own_label, cluster.name, labels)
    anomalous = anomaly.anomalous
    if engine is not None and not anomalous and anomaly.score >= engine.settings.anomaly.threshold:
        anomalous = True
        highest = similar[0].similarity if similar else 0.0
        novel = novelty_reasons(anomaly.score, 0.0, highest, engine.settings.anomaly.threshold)
        reasons = by_weight([*(reason for reason in reasons if reason.kind != NOVEL), *novel])
    return AnomalyFinding(
        score=anomaly.score, outlier_score=anomaly.outlier_score, anomalous=anomalous, reasons=reasons
    )


def _message(finding: Finding, left_out: int) -> str:
    message = finding.message
    if finding.status == "no_model":
        message = "There is no model yet."  # the rest of the sentence counts all tenants' analyses
    for number in _LEFT_OUT.findall(message):
        left_out += int(number.replace(",", ""))
    message = _LEFT_OUT.sub("", message)
    if left_out:
        what = "similar analysis of other tenants is" if left_out == 1 else "similar analyses of other tenants are"
        sentence = f"{left_out:,} {what} left out."
        message = f"{message[: MAX_MESSAGE - len(sentence) - 1]} {sentence}".strip()
    return message


def _label_counts(members: Iterable[AnalysisBrief]) -> dict[str, int]:
    counts = Counter(member.label for member in members if member.label)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


# -- lists ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class VisibleGroup:
    """A cluster or a kin as far as a reader may see it: its members, most probable first."""

    id: str
    members: list[AnalysisBrief] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, int]:
        return _label_counts(self.members)

    @property
    def name(self) -> str:
        return majority(self.labels) or self.id

    def activity(self, since: str) -> Activity:
        """Its size, growth, first and last day, by the visible members."""
        return summary_of(self.members, since)


def summary_of(members: list[AnalysisBrief], since: str) -> Activity:
    """Samples, runs, samples first analysed after ``since`` (UTC, as the store has it), first and last day."""
    days = [member.day for member in members]
    made: dict[str, str] = {}
    for member in members:
        moment = member.analysed_at or ""
        made[member.sample] = min(made.get(member.sample, moment), moment)
    new = sum(moment > since for moment in made.values())
    return Activity(len(made), len(members), new, min(days, default=""), max(days, default=""))


def counts_of(members: Iterable[AnalysisBrief]) -> Counts:
    """How many samples these analyses ran, and how many they are."""
    samples = [brief.sample for brief in members]
    return Counts(len(set(samples)), len(samples))


def samples_of(members: Iterable[AnalysisBrief]) -> list[tuple[AnalysisBrief, int]]:
    """Of each sample the first of the analyses, and how many of them are its runs."""
    first: dict[str, AnalysisBrief] = {}
    runs: Counter[str] = Counter()
    for member in members:
        first.setdefault(member.sample, member)
        runs[member.sample] += 1
    return [(member, runs[sample]) for sample, member in first.items()]


class VisibleCorpus:
    """The stored analyses that a reader may see, for pages with lists."""

    def __init__(self, analyses: Iterable[AnalysisBrief]) -> None:
        self.analyses = list(analyses)
        self._by_id = {brief.analysis: brief for brief in self.analyses}
        shown = [brief for brief in self.analyses if brief.has_behaviour]
        self.without = len(self.analyses) - len(shown)
        self.outside = [brief for brief in shown if brief.scored and brief.cluster is None]
        self.outside_kin = [brief for brief in shown if brief.scored and brief.kin is None]
        by_probability = sorted(self.analyses, key=lambda brief: -(brief.probability or 0.0))
        self.clusters = _groups((brief.cluster, brief) for brief in by_probability)
        by_kin_probability = sorted(self.analyses, key=lambda brief: -(brief.kin_probability or 0.0))
        self.kins = _groups((brief.kin, brief) for brief in by_kin_probability)

    @classmethod
    def chosen(cls, engine: Engine, analyses: list[AnalysisBrief], visible: Visible) -> VisibleCorpus:
        """Of these analyses those that a reader may see; an error of the host's leaves none."""
        try:
            shown = set(visible(_of_this_node(engine, analyses)))
        except Exception as error:
            _LOG.error("Nothing is shown, because nothing says who may see it: %s", error)
            shown = set()
        return cls(brief for brief in analyses if brief.analysis in shown)

    def visible(self, analyses: Iterable[HostAnalysis]) -> Collection[str]:
        """As a :data:`Visible`."""
        return [known.analysis for known in analyses if known.analysis in self._by_id]

    def get(self, analysis: str) -> AnalysisBrief | None:
        return self._by_id.get(analysis)

    def finding(self, engine: Engine, finding: Finding, analysis: str) -> Finding:
        """A finding as the reader may see it."""
        cluster = self.clusters.get(finding.cluster.id) if finding.cluster else None
        kin = self.kins.get(finding.kin.id) if finding.kin else None
        members, kin_members = cluster.members if cluster else [], kin.members if kin else []
        return visible_finding(engine, finding, analysis, self.visible, members, kin_members)

    def scored(self, engine: Engine, analysis: str) -> Finding | None:
        """The finding for a stored analysis, as the reader may see it. Raises ModelError, StoreError."""
        stored, finding = engine.store.get(analysis), engine.score_stored(analysis)
        if stored is None or finding is None:
            return None
        wide = with_more_similar(engine, finding, engine.behaviour_of(stored), stored.analysis, self.visible)
        return self.finding(engine, wide, stored.analysis)

    def reasons(self, engine: Engine, anomaly: AnalysisBrief) -> list[Reason]:
        """Why a visible analysis is unusual, without what names others. Raises ModelError, StoreError."""
        record = engine.store.findings_of([anomaly.analysis]).get(anomaly.analysis)
        finding: Finding | None = None
        if record is not None and record.section:
            try:
                finding = self.finding(engine, read_section(record.section), anomaly.analysis)
            except ReportError:
                finding = None
        if finding is None:  # a refit stores no section
            finding = self.scored(engine, anomaly.analysis)
        return finding.anomaly.reasons if finding and finding.anomaly else []

    def evidence(self, engine: Engine, cluster: VisibleGroup, evidence: Iterable[Evidence]) -> list[Evidence]:
        """Of what is typical of a cluster, what the first of its visible members show. Raises StoreError."""
        shown: set[str] = set()
        names = [member.analysis for member in cluster.members[:_MEMBERS_READ]]
        for stored in engine.store.get_many(names, behaviours=True).values():
            shown |= {token[:_TOKEN_READ] for token in stored.unpack()[0]}
        return [piece for piece in evidence if f"{piece.kind}:{piece.value}"[:_TOKEN_READ] in shown]

    def anomalies(self, order: str, since: str | None) -> list[tuple[AnalysisBrief, int]]:
        """The anomalous samples with their runs, of those analysed after ``since``: highest score or latest first."""
        rows = [
            brief for brief in self.analyses if brief.anomalous and (since is None or (brief.analysed_at or "") > since)
        ]
        if order == "score":
            return samples_of(sorted(rows, key=lambda brief: -(brief.anomaly_score or 0.0)))
        return samples_of(sorted(rows, key=lambda brief: brief.analysed_at or "", reverse=True))


def days(members: Iterable[AnalysisBrief]) -> list[tuple[str, int]]:
    """Each day with the number of analyses made on it, in order."""
    return sorted(Counter(member.day for member in members).items())


def _groups(briefs: Iterable[tuple[str | None, AnalysisBrief]]) -> dict[str, VisibleGroup]:
    """The groups by their id, each with its scored analyses in the given order; those of no group are left out."""
    groups: dict[str, VisibleGroup] = {}
    for group, brief in briefs:
        if group is not None and brief.scored:
            groups.setdefault(group, VisibleGroup(group)).members.append(brief)
    return groups
