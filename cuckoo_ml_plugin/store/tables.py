"""The tables of the store, their version, and how an older store becomes a current one.

Version 4 has what an analysis is known by (node, task, start, sample) and the files that repeat a stored run; version 5
what a report lacks or why it shows no behaviour, which its tokens do not say. Version 6 has the behashes, which are not
made when a store is upgraded but later: that takes a minute for 100,000 behaviours. Version 7 has the kin of findings,
which the next refit fills in. Version 8 has the births and what follows a drift.

To change the schema, change the tables below *and* append to ``UPGRADES`` a function that upgrades a store of the
previous version. A new store is created from the tables, and an older one runs the upgrades; the tests compare the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    inspect,
    select,
    update,
)

from cuckoo_ml_plugin.behaviour.absence import GENERAL
from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.plumbing import analysis_ids
from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.store.analysis_record import MAX_REMARK
from cuckoo_ml_plugin.store.database import Database

tables = MetaData()
# Compared byte by byte in both databases: the order of analyses must not depend on the language of a server.
Bytewise = Text().with_variant(Text(collation="C"), "postgresql")
Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite assigns numbers only to a column of type INTEGER

meta = Table(
    "cuckooml_meta",
    tables,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

analysis = Table(
    "cuckooml_analysis",
    tables,
    Column("number", Number, Identity(), primary_key=True),  # in the order in which analyses were first stored
    Column("analysis", Bytewise, nullable=False, unique=True),  # the short id, which is never given to another run
    Column("node", Text, nullable=False, server_default=""),  # of the host that reported it; "" for a file
    Column("task", Text, nullable=False, server_default="", index=True),  # its id in the host's web interface
    Column("local_task", Text, nullable=False, server_default="", index=True),  # its id on the node
    Column("sample", Text, nullable=False, server_default=""),  # SHA-256, or "url:" and the URL
    Column("run", Text, nullable=False, server_default="", index=True),  # analysis_ids.Identity.run
    Column("order_key", Bytewise, nullable=False, unique=True),  # the order of a corpus, see analysis_ids.order_key
    Column("host", Text, nullable=False),
    Column("host_version", Text, nullable=False),
    Column("sha256", Text, index=True),
    Column("target", Text, nullable=False),
    Column("analysed_at", Text),
    Column("machine", Text, nullable=False),
    Column("tags", Text, nullable=False),  # a JSON list
    Column("submitter", Text, nullable=False),
    # SHA-256 of the path, because a path may be too long for an index. Two nodes may have the same path.
    Column("source_key", Text, index=True),
    Column("source_path", Text),
    Column("source_size", BigInteger),
    Column("source_mtime_ns", BigInteger),
    Column("digest", Text, nullable=False, index=True),
    Column("token_count", Integer, nullable=False),
    Column("has_behaviour", Boolean, nullable=False),
    Column("stored_at", Bytewise, nullable=False, index=True),  # UTC, of fixed width, so that it sorts as text
    Column("behaviour", LargeBinary, nullable=False),  # behind the others, so that SQLite reaches these without it
    # What its report lacks or why it shows no behaviour: NULL for nearly all, which takes SQLite no reading.
    Column("remark", Text),
)

label = Table(
    "cuckooml_label",
    tables,
    Column("analysis", Bytewise, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("family", Text, nullable=False),
    Index("ix_cuckooml_label_family", "family"),
)

finding = Table(
    "cuckooml_finding",
    tables,
    Column("analysis", Bytewise, primary_key=True),
    Column("model", Text, nullable=False),
    Column("cluster", Text),
    Column("probability", Float),
    Column("outlier_score", Float),
    Column("anomaly_score", Float),
    Column("anomalous", Boolean, nullable=False),
    Column("section", Text, nullable=False),
    Column("scored_at", Bytewise, nullable=False),
    Column("kin", Text),
    Column("kin_probability", Float),
    Index("ix_cuckooml_finding_cluster", "cluster", "probability"),
    Index("ix_cuckooml_finding_anomalous", "anomalous", "anomaly_score"),
    Index("ix_cuckooml_finding_kin", "kin", "kin_probability"),
)

threat_score = Table(
    "cuckooml_threat_score",
    tables,
    Column("analysis", Bytewise, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("indicator", Bytewise, primary_key=True),
    Column("score", Float, nullable=False),
)

reading = Table(
    "cuckooml_reading",
    tables,
    Column("source_key", Text, primary_key=True),
    Column("extraction", Integer, nullable=False),  # the version of the extraction that read the file
)

copy = Table(  # files that hold the run of an analysis that was stored from elsewhere
    "cuckooml_copy",
    tables,
    Column("source_key", Text, primary_key=True),
    Column("analysis", Bytewise, nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("extraction", Integer, nullable=False),
)

behash = Table(
    "cuckooml_behash",
    tables,
    Column("number", Number, Identity(), primary_key=True),  # in the order in which behaviours were added here
    Column("digest", Text, nullable=False, unique=True),  # of the behaviour, as in cuckooml_analysis
    Column("behash", LargeBinary, nullable=False),
    Column("stored_at", Bytewise, nullable=False, index=True),  # when an analysis first showed the behaviour, UTC
)

birth = Table(  # analyses that belong to nothing known, alone or in a group in the making
    "cuckooml_birth",
    tables,
    Column("analysis", Bytewise, primary_key=True),
    Column("digest", Text, nullable=False),  # of the behaviour by which it was judged
    Column("behash", LargeBinary, nullable=False),
    Column("sample", Text, nullable=False),  # SHA-256, or what is known instead: repeats of a sample are no news
    Column("known", Float, nullable=False),  # its likeness to the most alike analysis of the model
    Column("cluster", Text, index=True),  # the id of its group, which the next refit adopts; NULL: it is alone
    Column("noticed_at", Bytewise, nullable=False, index=True),
)

recent = Table(  # how unusual the analyses since the last fit are
    "cuckooml_recent",
    tables,
    Column("analysis", Bytewise, primary_key=True),
    Column("fit", Text, nullable=False),  # the moment of the fit
    Column("day", Bytewise, nullable=False),
    Column("sample", Text, nullable=False),
    Column("unusualness", Float, nullable=False),
    Column("cluster", Text),
    Column("excess", Float),  # over the fitted members of the cluster
    Column("noted_at", Bytewise, nullable=False),
    Index("ix_cuckooml_recent_fit", "fit", "day", "noted_at"),
)

calibration = Table(  # the reference of the anomaly scores, day by day
    "cuckooml_calibration",
    tables,
    Column("fit", Text, primary_key=True),
    Column("day", Bytewise, primary_key=True),
    Column("reference", LargeBinary, nullable=False),  # ascending 64-bit numbers; none: the fit's own is in force
)

BEHASHES_LACK = "behashes_lack"  # key in the table meta: of stored behaviours, because an earlier version stored them

Upgrade = Callable[[Connection], None]


def _to_version_3(connection: Connection) -> None:
    """Add the table of readings, and drop dates before 1970 or after 2099, which no report can mean."""
    reading.create(connection)
    made = analysis.c.analysed_at
    connection.execute(update(analysis).where((made < "1970") | (made >= "2100")).values(analysed_at=None))


_NEW_IN_4 = ("node", "task", "local_task", "sample", "run")
_BATCH = 2_000  # analyses
_SECTIONS = 200  # which may be large


def _to_version_4(connection: Connection) -> None:
    """Give analyses the columns of their identity, as far as an older store tells it, and allow a path to several."""
    copy.create(connection, checkfirst=True)
    if "run" in {column["name"] for column in inspect(connection).get_columns(analysis.name)}:
        return
    if connection.dialect.name == "sqlite":
        _rebuild_sqlite_table(connection)
    else:
        _alter_postgresql_table(connection)
    columns = [analysis.c[n] for n in ("number", "analysis", "sha256", "target", "analysed_at", "source_path")]
    change = update(analysis).where(analysis.c.number == bindparam("row"))
    last = -1
    while rows := connection.execute(
        select(*columns).where(analysis.c.number > last).order_by(analysis.c.number).limit(_BATCH)
    ).all():
        last = rows[-1].number
        connection.execute(change, [_identity_of_version_3(row) for row in rows])


def _rebuild_sqlite_table(connection: Connection) -> None:
    """SQLite can neither drop a constraint nor add a column before the last one."""
    old = f"{analysis.name}_3"
    kept = ", ".join(column["name"] for column in inspect(connection).get_columns(analysis.name))
    for index in inspect(connection).get_indexes(analysis.name):
        connection.exec_driver_sql(f'DROP INDEX "{index["name"]}"')
    connection.exec_driver_sql(f"ALTER TABLE {analysis.name} RENAME TO {old}")
    analysis.create(connection)
    connection.exec_driver_sql(f"INSERT INTO {analysis.name} ({kept}) SELECT {kept} FROM {old} ORDER BY number")
    connection.exec_driver_sql(f"DROP TABLE {old}")


def _alter_postgresql_table(connection: Connection) -> None:
    for name in _NEW_IN_4:
        connection.exec_driver_sql(f"ALTER TABLE {analysis.name} ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")
    for constraint in inspect(connection).get_unique_constraints(analysis.name):
        if constraint["column_names"] == ["source_key"]:
            connection.exec_driver_sql(f'ALTER TABLE {analysis.name} DROP CONSTRAINT "{constraint["name"]}"')
    for index in analysis.indexes:
        index.create(connection, checkfirst=True)


def _identity_of_version_3(row: Row[Any]) -> dict[str, object]:
    """What version 3 tells of an identity: the task by the folder of a host's report, or by an id from no file."""
    folders = PurePath(row.source_path or "").parts
    task = ""
    if len(folders) > 2 and folders[-2] == "reports" and folders[-3].isdecimal():
        task = folders[-3]
    elif row.source_path is None and row.analysis.isdecimal():
        task = row.analysis
    sample = row.sha256 or (f"url:{row.target}" if "://" in row.target else "")
    identity = analysis_ids.Identity(task=task, local_task=task, job=task, started=row.analysed_at or "", sample=sample)
    return {
        "row": row.number,
        "task": task,
        "local_task": task,
        "sample": sample,
        "run": identity.run if task else "",
    }


def _to_version_5(connection: Connection) -> None:
    """Add the remarks. Those of version 4 stand in the findings until the next refit; earlier ones had none."""
    if "remark" not in {column["name"] for column in inspect(connection).get_columns(analysis.name)}:
        connection.exec_driver_sql(f"ALTER TABLE {analysis.name} ADD COLUMN remark TEXT")
    if stored_version(connection) != 4:
        return
    change = update(analysis).where(analysis.c.analysis == bindparam("name"))
    telling = finding.c.section.not_like('%"message": "", "model"%')  # quotes inside of a text are escaped
    query = select(finding.c.analysis, finding.c.section).where(finding.c.section != "", telling)
    last = ""
    while rows := connection.execute(
        query.where(finding.c.analysis > last).order_by(finding.c.analysis).limit(_SECTIONS)
    ).all():
        last = rows[-1].analysis
        remarks = [{"name": row.analysis, "remark": remark} for row in rows if (remark := _message(row.section))]
        if remarks:
            connection.execute(change, remarks)


def _message(section: str) -> str:
    """What a section says of its analysis alone; empty for a text that is no section."""
    try:
        message = json.loads(section)["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return storable(message, MAX_REMARK) if isinstance(message, str) and message not in GENERAL else ""


def _to_version_6(connection: Connection) -> None:
    """Add the table of behashes, and note that it is to be filled, which a refit or an import does."""
    behash.create(connection, checkfirst=True)
    connection.execute(delete(meta).where(meta.c.key == BEHASHES_LACK))
    connection.execute(insert(meta).values(key=BEHASHES_LACK, value="yes"))


def _to_version_7(connection: Connection) -> None:
    """Add the kin of findings."""
    present = {column["name"] for column in inspect(connection).get_columns(finding.name)}
    for name, kind in (("kin", "TEXT"), ("kin_probability", "FLOAT")):
        if name not in present:
            connection.exec_driver_sql(f"ALTER TABLE {finding.name} ADD COLUMN {name} {kind}")
    for index in finding.indexes:
        index.create(connection, checkfirst=True)


def _to_version_8(connection: Connection) -> None:
    """Add the tables of births and of what follows a drift."""
    for table in (birth, recent, calibration):
        table.create(connection, checkfirst=True)


# UPGRADES[0] upgrades a store from version 1 to version 2, and so on.
UPGRADES: list[Upgrade] = [
    threat_score.create, _to_version_3, _to_version_4, _to_version_5, _to_version_6, _to_version_7, _to_version_8,
]  # fmt: skip


def current_version() -> int:
    """The version of the schema that this package writes."""
    return 1 + len(UPGRADES)


def stored_version(connection: Connection) -> int | None:
    """The version of the store, None for a new one. Raises ValueError when the version is no number."""
    if not inspect(connection).has_table(meta.name):
        return None
    value = connection.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar()
    return None if value is None else int(value)


def prepare(database: Database) -> None:
    """Create the tables or upgrade an older store, once, however many processes open it at the same time.

    Raises StoreError for a store of a newer version and for another program's database.
    """
    try:
        if database.read(stored_version) != current_version():
            database.use_wal()
            database.write(lambda connection: _bring_up_to_date(connection, database.name))
    except ValueError as error:
        raise StoreError(
            f"The store {database.name} does not state its version: it is damaged or belongs to another program."
        ) from error


def _bring_up_to_date(connection: Connection, name: str) -> None:
    version = stored_version(connection)
    if version is None:
        tables.create_all(connection)
        connection.execute(insert(meta).values(key="schema", value=str(current_version())))
        return
    if version > current_version():
        raise StoreError(
            f"The store {name} was written by a newer cuckoo-ml-plugin (schema {version}, this one knows"
            f" {current_version()}): upgrade cuckoo-ml-plugin."
        )
    for upgrade in UPGRADES[version - 1 :]:
        upgrade(connection)
    connection.execute(update(meta).where(meta.c.key == "schema").values(value=str(current_version())))
