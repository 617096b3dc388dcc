"""The tables of the store, their version, and how an older store becomes a current one.

To change the schema: change the tables below *and* append to ``UPGRADES`` the function that takes a store of the
version before to the new one. A new store is made from the tables, an older one walks the upgrades; the tests compare
the two.
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
# Compared byte by byte in both databases, so that the order of analyses does not depend on a server's language.
Bytewise = Text().with_variant(Text(collation="C"), "postgresql")
Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only for INTEGER

meta = Table(
    "cuckooml_meta",
    tables,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

analysis = Table(
    "cuckooml_analysis",
    tables,
    Column("number", Number, Identity(), primary_key=True),  # in the order of storing
    Column("analysis", Bytewise, nullable=False, unique=True),
    Column("order_key", Bytewise, nullable=False, unique=True),  # the order of a corpus, see records.order_key
    Column("host", Text, nullable=False),
    Column("host_version", Text, nullable=False),
    Column("sha256", Text, index=True),
    Column("target", Text, nullable=False),
    Column("analysed_at", Text),
    Column("machine", Text, nullable=False),
    Column("tags", Text, nullable=False),  # a JSON list
    Column("submitter", Text, nullable=False),
    Column("source_key", Text, unique=True),  # SHA-256 of the path: a path may be too long for an index
    Column("source_path", Text),
    Column("source_size", BigInteger),
    Column("source_mtime_ns", BigInteger),
    Column("digest", Text, nullable=False, index=True),
    Column("token_count", Integer, nullable=False),
    Column("has_behaviour", Boolean, nullable=False),
    Column("stored_at", Bytewise, nullable=False, index=True),  # UTC, fixed width: sorts as text
    Column("behaviour", LargeBinary, nullable=False),  # last: SQLite need not walk over it to reach another column
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
    Column("extraction", Integer, nullable=False),  # the version that read the file
)

Upgrade = Callable[[Connection], None]


def _to_version_3(connection: Connection) -> None:
    """What version read a file; and no analysis was made before 1970 or after 2099, whatever its report says."""
    reading.create(connection)
    made = analysis.c.analysed_at
    connection.execute(update(analysis).where((made < "1970") | (made >= "2100")).values(analysed_at=None))


# UPGRADES[0] takes a store of version 1 to version 2, and so on
UPGRADES: list[Upgrade] = [threat_score.create, _to_version_3]


def current_version() -> int:
    """The version of the schema that this program writes."""
    return 1 + len(UPGRADES)


def stored_version(connection: Connection) -> int | None:
    """The version of the store, None when there is none yet. Raises ValueError when it is no number."""
    if not inspect(connection).has_table(meta.name):
        return None
    value = connection.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar()
    return None if value is None else int(value)


def prepare(database: Database) -> None:
    """Make the tables, or bring an older store up to date: once, however many processes open it at the same time.

    Raises StoreError for a store from a newer version or one that is not ours.
    """
    try:
        if database.read(stored_version) != current_version():
            database.use_wal()
            database.write(lambda connection: _bring_up_to_date(connection, database.name))
    except ValueError as error:
        raise StoreError(
            f"The store {database.name} does not say its version: it is damaged, or another program's."
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
