"""The tables of the store, their version, and how an older store becomes a current one.

To change the schema, change the tables below *and* append to ``UPGRADES`` a function that upgrades a store of the
previous version. A new store is created from the tables, and an older one runs the upgrades; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable

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
    Table,
    Text,
    insert,
    inspect,
    select,
    update,
)

from cuckoo_ml_plugin.errors import StoreError
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
    Column("analysis", Bytewise, nullable=False, unique=True),
    Column("order_key", Bytewise, nullable=False, unique=True),  # the order of a corpus, see analysis_ids.order_key
    Column("host", Text, nullable=False),
    Column("host_version", Text, nullable=False),
    Column("sha256", Text, index=True),
    Column("target", Text, nullable=False),
    Column("analysed_at", Text),
    Column("machine", Text, nullable=False),
    Column("tags", Text, nullable=False),  # a JSON list
    Column("submitter", Text, nullable=False),
    Column("source_key", Text, unique=True),  # SHA-256 of the path, because a path may be too long for an index
    Column("source_path", Text),
    Column("source_size", BigInteger),
    Column("source_mtime_ns", BigInteger),
    Column("digest", Text, nullable=False, index=True),
    Column("token_count", Integer, nullable=False),
    Column("has_behaviour", Boolean, nullable=False),
    Column("stored_at", Bytewise, nullable=False, index=True),  # UTC, of fixed width, so that it sorts as text
    Column(
        "behaviour", LargeBinary, nullable=False
    ),  # last, so that SQLite reaches all other columns without reading it
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
    Index("ix_cuckooml_finding_cluster", "cluster", "probability"),
    Index("ix_cuckooml_finding_anomalous", "anomalous", "anomaly_score"),
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

Upgrade = Callable[[Connection], None]


def _to_version_3(connection: Connection) -> None:
    """Add the table of readings, and drop dates before 1970 or after 2099, which no report can mean."""
    reading.create(connection)
    made = analysis.c.analysed_at
    connection.execute(update(analysis).where((made < "1970") | (made >= "2100")).values(analysed_at=None))


# UPGRADES[0] upgrades a store from version 1 to version 2, and so on.
UPGRADES: list[Upgrade] = [threat_score.create, _to_version_3]


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
