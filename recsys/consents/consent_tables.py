"""The tables of the consent log, in SQLite and PostgreSQL, which keep entries themselves.

But for those of who asked for erasure, and those that lie between two others about the same. Beside them is what some
switches bring with them: the feedback, the pictures and the contacts of whom they are on for.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from recsys.consents.database import Database
from recsys.versions import check_columns, check_version

_METADATA = sa.MetaData()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")  # the same order in both, byte by byte


ENTRIES = sa.Table(
    "entries",
    _METADATA,
    sa.Column("listener", _text(), primary_key=True),
    sa.Column("purpose", _text(), primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True),  # microseconds since 1970, UTC
    sa.Column("state", _text(), sa.CheckConstraint("state IN ('given', 'withdrawn')"), primary_key=True),
    sa.Column("notice_version", _text(), primary_key=True),
    sa.Column("channel", _text(), nullable=False, server_default="import"),
    sqlite_with_rowid=False,
)

ERASURES = sa.Table(
    "erasures",
    _METADATA,
    sa.Column("receipt", _text(), primary_key=True),
    sa.Column("listener", _text(), unique=True),  # gone once the erasure is done
    sa.Column("asked_at", sa.BigInteger),  # microseconds since 1970, UTC; gone once the erasure is done
    sa.Column("done", sa.Boolean, nullable=False),
)

CLAIMED = sa.Table("claimed", _METADATA, sa.Column("key", _text(), primary_key=True))  # fingerprint of the listener key

IMPORTED = sa.Table("imported", _METADATA, sa.Column("digest", _text(), primary_key=True))  # of consents files

HIDDEN = sa.Table(
    "hidden",
    _METADATA,
    sa.Column("listener", _text(), primary_key=True),
    sa.Column("track", _text(), primary_key=True),
    sa.Column("night", _text(), nullable=False),  # of the list that it was hidden from, as an ISO date
    sqlite_with_rowid=False,
)

PLAYED = sa.Table(
    "played",
    _METADATA,
    sa.Column("listener", _text(), primary_key=True),
    sa.Column("night", _text(), primary_key=True),  # of the list, as an ISO date
    sa.Column("track", _text(), primary_key=True),
    sa.Column("team", _text()),  # whose ranker put it there, where two of them shared the list
    sa.Column("rivals", _text(), nullable=False),  # which two; empty where there were none
    sqlite_with_rowid=False,
)

PICTURES = sa.Table(
    "pictures",
    _METADATA,
    sa.Column("listener", _text(), primary_key=True),
    sa.Column("kind", _text(), primary_key=True),  # what it is the picture of
    sa.Column("edition", _text(), nullable=False),  # at random, another one whenever a picture is chosen
    sa.Column("content", sa.LargeBinary, nullable=False),  # JPEG, as it was made anew here
)

IDENTIFIERS = sa.Table(
    "identifiers",
    _METADATA,
    sa.Column("token", _text(), primary_key=True),  # of a verified number or address, whose it was said to be last
    sa.Column("listener", _text(), nullable=False, index=True),
    sa.Column("key", _text(), nullable=False),  # fingerprint of the key that made the token
    sqlite_with_rowid=False,
)

CONTACTS = sa.Table(
    "contacts",
    _METADATA,
    sa.Column("listener", _text(), primary_key=True),
    sa.Column("token", _text(), primary_key=True),  # of a number or address in the listener's book
    sa.Column("key", _text(), nullable=False),
    sa.Column("told", _text(), nullable=False),  # on which day, as an ISO date
    sa.Column("blocked", sa.Boolean, nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False, server_default=sa.false()),  # whether with a friend, by name
    sqlite_with_rowid=False,
)

ALLOWANCES = sa.Table(
    "allowances",
    _METADATA,
    sa.Column("listener", _text(), primary_key=True),
    sa.Column("of", _text(), primary_key=True),
    sa.Column("used_until", sa.BigInteger, nullable=False),  # microseconds since 1970, UTC: when all of it is back
    sqlite_with_rowid=False,
)


def prepare(database: Database) -> None:
    """Create what is missing, and bring a log of an earlier version up to this one; changes nothing a second time.

    Raises
    ------
    InputError
        If a later release wrote it.
    """
    version, what = _version(database), f"the {database.name}"
    check_version(what, version, known=range(_VERSION + 1))
    if not database.is_postgresql:
        check_current(what, lambda query: database.read(query, {}))
    if version != _VERSION:
        with database.deciding("schema") as connection:
            _METADATA.create_all(connection)
            for statement in _postgresql() if database.is_postgresql else _sqlite(connection):
                connection.exec_driver_sql(statement)


def not_erased() -> sa.ColumnElement[bool]:
    """Return the condition that an entry is not of before an erasure that its listener asked for."""
    asked = sa.exists().where(ERASURES.c.listener == ENTRIES.c.listener, ERASURES.c.asked_at >= ENTRIES.c.at)
    return sa.not_(asked.correlate(ENTRIES))


def microseconds(instant: datetime) -> int:
    """Return an instant as the tables hold it: microseconds since 1970, UTC."""
    return (instant - _EPOCH) // _MICROSECOND


def instant_of(at: int) -> datetime:
    """Return the instant that the tables hold as so many microseconds."""
    return _EPOCH + at * _MICROSECOND


def _version(database: Database) -> int:
    """Return the version of a log; 0 where there is none, or none that says so."""
    found = database.read(_POSTGRESQL_VERSION if database.is_postgresql else "PRAGMA user_version", {})
    return int(found[0][0] or 0) if found else 0


def check_current(what: str, read: Callable[[str], Sequence[Any]]) -> None:
    """Refuse a log of a later release, or one of this release that has other columns: its entries may mean more.

    Parameters
    ----------
    what : str
        In words, for the message.
    read : callable
        Asks the SQLite file.

    Raises
    ------
    InputError
        If it is another.
    """
    [(version,)] = read("PRAGMA user_version")
    check_version(what, version, known=range(_VERSION + 1))
    for table in _METADATA.sorted_tables if version == _VERSION else ():
        found = [str(name) for _, name, *_ in read(f"PRAGMA table_info({table.name})")]
        check_columns(what, table.name, found, expected=table.columns.keys())


def _sqlite(connection: sa.Connection) -> list[str]:
    added = (
        ("entries", "channel", "TEXT NOT NULL DEFAULT 'import'"),  # the only way there was before
        ("contacts", "shared", "BOOLEAN NOT NULL DEFAULT 0"),
    )
    known = {table: {each["name"] for each in sa.inspect(connection).get_columns(table)} for table, *_ in added}
    new = (f"ALTER TABLE {table} ADD COLUMN {name} {kind}" for table, name, kind in added if name not in known[table])
    return [*new, *_SQLITE_KEPT, f"PRAGMA user_version = {_VERSION}"]


def _postgresql() -> tuple[str, ...]:
    return "ALTER TABLE contacts ADD COLUMN IF NOT EXISTS shared BOOLEAN NOT NULL DEFAULT false", *_POSTGRESQL_KEPT


_VERSION = 7
_ERASED = "EXISTS (SELECT 1 FROM erasures WHERE listener = OLD.listener)"
_ALIKE = "EXISTS (SELECT 1 FROM entries WHERE listener = OLD.listener AND purpose = OLD.purpose AND at {} OLD.at)"
_BETWEEN = f"({_ALIKE.format('<')} AND {_ALIKE.format('>')})"
_MAY_GO = f"({_ERASED} OR {_BETWEEN})"

_SQLITE_KEPT = (
    "DROP TRIGGER IF EXISTS unchanged",
    "DROP TRIGGER IF EXISTS kept",
    "CREATE TRIGGER unchanged BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append only'); END",
    f"CREATE TRIGGER kept BEFORE DELETE ON entries WHEN NOT {_MAY_GO} BEGIN SELECT RAISE(ABORT, 'append only'); END",
)

# In PostgreSQL the function that keeps entries says of which version it is; earlier ones say nothing.
_POSTGRESQL_VERSION = r"""
    SELECT CAST(substring(prosrc FROM '-- version (\d+)') AS integer)
    FROM pg_proc WHERE proname = 'entries_kept' AND pg_function_is_visible(oid)
"""

_POSTGRESQL_KEPT = (
    f"""
    CREATE OR REPLACE FUNCTION entries_kept() RETURNS trigger LANGUAGE plpgsql AS $$ -- version {_VERSION}
    BEGIN
        IF TG_OP = 'DELETE' THEN IF {_MAY_GO} THEN RETURN OLD; END IF; END IF;
        RAISE EXCEPTION 'append only' USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    "CREATE OR REPLACE TRIGGER kept BEFORE UPDATE OR DELETE ON entries FOR EACH ROW EXECUTE FUNCTION entries_kept()",
    "CREATE OR REPLACE TRIGGER whole BEFORE TRUNCATE ON entries EXECUTE FUNCTION entries_kept()",
)
