"""Births: analyses that belong to nothing known, and the groups that they make between two refits.

Each has a row from the moment at which it is noticed until a model holds it in a cluster. Two that are more like each
other than like anything known make a group. Its id comes from the counter of the clusters' ids, so that the next refit
can give it to the cluster that the group becomes.

A row is added while nobody else writes: of two analyses that are stored at the same time, the second finds the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from cuckoo_ml_plugin.behaviour.behash import BYTES, VERSION, BehashTable
from cuckoo_ml_plugin.behaviour.likeness import likeness, token_sets
from cuckoo_ml_plugin.plumbing.times import now_text
from cuckoo_ml_plugin.report.labels import first_by_source
from cuckoo_ml_plugin.store.behashes import packed_behaviours
from cuckoo_ml_plugin.store.database import Database, chunks
from cuckoo_ml_plugin.store.labels import labels_by_analysis
from cuckoo_ml_plugin.store.overview import DAY
from cuckoo_ml_plugin.store.packed_behaviour import DamagedBlobError, unpack_joined
from cuckoo_ml_plugin.store.tables import analysis, birth, finding, meta

MOST_COMPARED: Final = 2_000
"""How many rows an analysis is compared with by behashes: the newest."""
CANDIDATES: Final = 8
"""How many of these are compared exactly: the nearest by their behashes."""
_NEXT = "next_cluster"  # key in the table meta: the first number that no cluster and no group has
_DIGITS = 6  # to which likenesses are equal
_B = birth.c


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An analysis that belongs to nothing known.

    Attributes:
        digest, behash, joined: of its behaviour; ``joined`` holds the tokens as UTF-8, a line each.
        sample: what tells its sample from others: the SHA-256, or what is known instead.
        known: its likeness to the most alike analysis that the model knows, in [0, 1].
    """

    analysis: str
    digest: str
    behash: bytes
    joined: bytes
    sample: str
    known: float


@dataclass(frozen=True, slots=True)
class BirthMember:
    """An analysis of a group in the making. ``day``: when it was made, or stored if its host did not say."""

    analysis: str
    sha256: str | None
    target: str
    sample: str
    source_path: str | None
    node: str
    analysed_at: str | None
    day: str
    label: str | None
    anomaly_score: float | None
    known: float


@dataclass(frozen=True, slots=True)
class BirthGroup:
    """A group in the making: its id and its analyses, first noticed first."""

    id: str
    members: list[BirthMember]

    @property
    def samples(self) -> int:
        """How many distinct samples there are; repeats of one are no news."""
        return len({member.sample for member in self.members})

    @property
    def first_runs(self) -> list[tuple[BirthMember, int]]:
        """Of each sample the first analysis, and how many of the analyses are of it."""
        runs = Counter(member.sample for member in self.members)
        first = {member.sample: member for member in reversed(self.members)}
        return [(first[sample], count) for sample, count in runs.items()]

    @property
    def first(self) -> str:
        """The day of the first analysis."""
        return min(member.day for member in self.members)

    @property
    def last(self) -> str:
        """The day of the last analysis."""
        return max(member.day for member in self.members)

    @property
    def days(self) -> int:
        """How many days there are from the first analysis to the last, both counted; 0 where a day is unreadable."""
        try:
            return (date.fromisoformat(self.last) - date.fromisoformat(self.first)).days + 1
        except ValueError:
            return 0


def newest_first(group: BirthGroup) -> tuple[str, int, str]:
    """Sorts groups, in reverse, by their last day and their size."""
    return group.last, group.samples, group.id


class BirthStore:
    """The part of the store that keeps births."""

    _db: Database

    def add_newcomer(self, newcomer: Newcomer, level: float, first_number: int) -> str | None:
        """Add an analysis that belongs to nothing known; returns the id of its group, None while it is alone.

        It joins the most alike other sample among the newest if their likeness reaches ``level`` and exceeds the
        likeness of both to what is known. What was added before with the same behaviour stays as it is.

        Args:
            level: the least likeness of two analyses of a group, in [0, 1].
            first_number: the first number that no cluster of the model has had, for a new group's id.

        Raises:
            StoreError: the store cannot be read or written.
        """
        return self._db.write(lambda connection: _add(connection, newcomer, level, first_number))

    def drop_newcomer(self, name: str) -> None:
        """Remove the row of an analysis that turns out to belong to something. Raises StoreError."""
        own = select(_B.analysis).where(_B.analysis == name)
        if self._db.read(lambda connection: connection.execute(own).first()) is not None:
            self._db.write(lambda connection: connection.execute(delete(birth).where(_B.analysis == name)))

    def newcomers_among(self, names: Iterable[str]) -> set[str]:
        """Those of these analyses that have a row. Raises StoreError."""
        return self._db.read(lambda connection: _among(connection, list(names)))

    def birth_of(self, name: str) -> BirthGroup | None:
        """The group in the making of an analysis, None where it has none. Raises StoreError."""
        own = select(_B.cluster).where(_B.analysis == name).scalar_subquery()
        groups = self._db.read(lambda connection: _groups(connection, _B.cluster == own))
        return groups[0] if groups else None

    def births(self, samples: int) -> list[BirthGroup]:
        """The groups in the making of at least so many samples, those with the newest analyses first.

        Raises StoreError.
        """
        groups = self._db.read(lambda connection: _groups(connection, _B.cluster.is_not(None)))
        groups = [group for group in groups if group.samples >= samples]
        return sorted(groups, key=newest_first, reverse=True)

    def group_of_each(self) -> dict[str, str]:
        """The id of the group of each analysis that is in one. Raises StoreError."""
        query = select(_B.analysis, _B.cluster).where(_B.cluster.is_not(None))
        return self._db.read(lambda connection: {row[0]: row[1] for row in connection.execute(query)})

    def next_cluster_number(self, at_least: int) -> int:
        """The first number that neither a cluster nor a group in the making has had. Raises StoreError."""
        return self._db.read(lambda connection: _next_number(connection, at_least))

    def claim_cluster_numbers(self, first: int, end: int) -> bool:
        """Take the numbers from ``first`` to before ``end`` for clusters; False if a group took one. Raises StoreError.

        Nothing is taken where it answers False.
        """

        def work(connection: Connection) -> bool:
            if _next_number(connection, first) != first:
                return False
            _set_next(connection, end)
            return True

        return self._db.write(work)

    def drop_settled_newcomers(self) -> None:
        """Remove the rows of all analyses that are in a cluster by their latest finding. Raises StoreError."""
        settled = select(finding.c.analysis).where(finding.c.cluster.is_not(None))
        statement = delete(birth).where(_B.analysis.in_(settled))
        self._db.write(lambda connection: connection.execute(statement))


def drop_births(connection: Connection, names: Sequence[str]) -> None:
    """Remove the rows of some analyses; what is stored of others in their groups no longer counts them."""
    groups = select(_B.cluster).where(_B.analysis.in_(names), _B.cluster.is_not(None))
    others = select(_B.analysis).where(_B.cluster.in_(groups))
    connection.execute(update(finding).where(finding.c.analysis.in_(others)).values(section=""))
    connection.execute(delete(birth).where(_B.analysis.in_(names)))


def _add(connection: Connection, newcomer: Newcomer, level: float, first_number: int) -> str | None:
    own = connection.execute(select(_B.digest, _B.cluster).where(_B.analysis == newcomer.analysis)).first()
    if own is not None and own.digest == newcomer.digest:
        return None if own.cluster is None else str(own.cluster)
    connection.execute(delete(birth).where(_B.analysis == newcomer.analysis))
    nearest = _nearest(connection, newcomer, level)
    cluster: str | None = None
    if nearest is not None:
        cluster = nearest.cluster
        if cluster is None:
            number = _next_number(connection, first_number)
            cluster = f"c{number}"
            _set_next(connection, number + 1)
            connection.execute(update(birth).where(_B.analysis == nearest.analysis).values(cluster=cluster))
        # Their sections say how many there are, and are made anew when they are asked for.
        others = select(_B.analysis).where(_B.cluster == cluster)
        connection.execute(update(finding).where(finding.c.analysis.in_(others)).values(section=""))
    connection.execute(
        birth.insert().values(
            analysis=newcomer.analysis,
            digest=newcomer.digest,
            behash=newcomer.behash,
            sample=newcomer.sample,
            known=newcomer.known,
            cluster=cluster,
            noticed_at=now_text(),
        )
    )
    return cluster


def _nearest(connection: Connection, newcomer: Newcomer, level: float) -> Any:
    """The row that is most like a newcomer, None where none is alike enough; ties by id."""
    # A repeat of a sample is in the group of its sample, and founds none.
    may_join = (_B.sample != newcomer.sample) | _B.cluster.is_not(None)
    newest = select(_B.analysis, _B.behash).where(may_join).order_by(_B.noticed_at.desc(), _B.analysis)
    rows = connection.execute(newest.limit(MOST_COMPARED)).all()
    known = [(name, made) for name, made in rows if len(made) == BYTES and made[0] == VERSION]
    if not known:
        return None
    table = BehashTable()
    table.append([made for _, made in known])
    places, _ = table.nearest(newcomer.behash, CANDIDATES)
    columns = (_B.analysis, _B.digest, _B.known, _B.cluster)
    names = [known[place][0] for place in places.tolist()]
    candidates = connection.execute(select(*columns).where(_B.analysis.in_(names))).all()
    packed = packed_behaviours(connection, sorted({row.digest for row in candidates}))
    own = token_sets(newcomer.joined)
    alike: list[tuple[float, str, Any]] = []
    for row in candidates:
        try:
            joined = unpack_joined(packed[row.digest])[0] if row.digest in packed else None
        except DamagedBlobError:
            joined = None
        if joined is None:
            continue
        value = round(likeness(own, token_sets(joined)), _DIGITS)
        if value >= level and value > max(row.known, newcomer.known):
            alike.append((-value, row.analysis, row))
    return min(alike, key=lambda entry: entry[:2])[2] if alike else None


def _next_number(connection: Connection, at_least: int) -> int:
    value = connection.execute(select(meta.c.value).where(meta.c.key == _NEXT)).scalar()
    return max(at_least, int(value) if value is not None else 0)


def _set_next(connection: Connection, number: int) -> None:
    if connection.execute(update(meta).where(meta.c.key == _NEXT).values(value=str(number))).rowcount == 0:
        connection.execute(meta.insert().values(key=_NEXT, value=str(number)))


def _among(connection: Connection, names: list[str]) -> set[str]:
    query = select(_B.analysis)
    return {
        name for batch in chunks(names) for name in connection.execute(query.where(_B.analysis.in_(batch))).scalars()
    }


def _groups(connection: Connection, where: Any) -> list[BirthGroup]:
    query = (
        select(
            _B.cluster,
            _B.analysis,
            _B.sample,
            _B.known,
            *(analysis.c[name] for name in ("sha256", "target", "source_path", "node", "analysed_at")),
            DAY.label("day"),
            finding.c.anomaly_score,
        )
        .select_from(
            birth.join(analysis, analysis.c.analysis == _B.analysis).outerjoin(
                finding, finding.c.analysis == _B.analysis
            )
        )
        .where(where)
        .order_by(_B.noticed_at, _B.analysis)
    )
    rows = connection.execute(query).all()
    labels: dict[str, Mapping[str, str]] = {}
    for batch in chunks([row.analysis for row in rows]):
        labels |= labels_by_analysis(connection, batch)
    members: dict[str, list[BirthMember]] = {}
    for row in rows:
        members.setdefault(row.cluster, []).append(
            BirthMember(
                analysis=row.analysis,
                sha256=row.sha256,
                target=row.target,
                sample=row.sample,
                source_path=row.source_path,
                node=row.node,
                analysed_at=row.analysed_at,
                day=str(row.day),
                label=first_by_source(dict(labels.get(row.analysis, {}))),
                anomaly_score=row.anomaly_score,
                known=row.known,
            )
        )
    return [BirthGroup(cluster, of_group) for cluster, of_group in members.items()]
