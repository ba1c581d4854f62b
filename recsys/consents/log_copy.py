"""The copy of a whole consent log in another database: every row of every table, verified, and the same again."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa

from recsys.consents.belongings import BELONGING_TABLES
from recsys.consents.consent_tables import ENTRIES, ERASURES, IMPORTED, PICTURES
from recsys.consents.database import Database
from recsys.errors import InputError, NotReadyError

_PIECE = 10_000  # rows that are read and written at a time
_PIECES = {PICTURES.name: 100}  # whose rows are a thousand times as long

_TABLES = (ENTRIES, ERASURES, IMPORTED, *BELONGING_TABLES)
_CHANGING = {
    table.name: [column.name for column in table.c if not column.primary_key]
    for table in (ERASURES, *BELONGING_TABLES)  # an erasure is done some day; what belongs to a switch may be told anew
}


@dataclass(frozen=True)
class Copied:
    """What both logs hold once one is the copy of the other.

    Parameters
    ----------
    rows : mapping of str to int
        By table.
    new : int
        How many of them were not in the copy before.
    digest : str
        BLAKE2b of all rows in their order, the same of both.
    """

    rows: Mapping[str, int]
    new: int
    digest: str


def copy_log(source: Database, *, to: Database) -> Copied:
    """Copy a log piece by piece; what was copied before a crash is not copied again.

    Raises
    ------
    InputError
        If the other log holds what this one does not: they are two logs, and are not mixed.
    NotReadyError
        If a database cannot be used now, or this log was written to meanwhile.
    """
    for table in _TABLES:
        if not _is_part(_keys(to, table), _keys(source, table)):
            raise InputError(
                f"the log to copy to holds {table.name} that this log does not",
                hint="Copy to an empty database. If it holds an earlier copy, something was deleted here since (by an "
                "erasure or a compaction; or feedback or contacts, as a hidden track was shown again, a play or a "
                "contact expired; or a picture, as it was removed; or what somebody had who turned a switch off): "
                "empty it first.",
            )
    before = sum(_count(to, table) for table in _TABLES)
    for table in _TABLES:
        _copy(table, source, to)
    rows, digest = _told(source)
    if _told(to) != (rows, digest):
        raise NotReadyError(
            "the log was written to while it was copied", hint="Stop the endpoint, and run the same command again."
        )
    return Copied(rows, sum(rows.values()) - before, digest)


def _copy(table: sa.Table, source: Database, to: Database) -> None:
    statement, rows = to.insert_new(table, changing=_CHANGING.get(table.name, ())), _rows(source, table)
    while piece := list(islice(rows, _piece(table))):
        with to.writing() as connection:
            connection.exec_driver_sql(statement, piece)


def _told(database: Database) -> tuple[dict[str, int], str]:
    """Return how many rows each table holds, and a digest of them all."""
    counts, told = dict[str, int](), hashlib.blake2b(digest_size=16)
    for table in _TABLES:
        counts[table.name] = 0
        for row in _rows(database, table):
            counts[table.name] += 1
            told.update(json.dumps([table.name, row], default=bytes.hex).encode())
    return counts, told.hexdigest()


def _rows(database: Database, table: sa.Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table in the order of its key, with the same values whichever database it is."""
    names, flags = table.c.keys(), [name for name, column in table.c.items() if isinstance(column.type, sa.Boolean)]
    query = database.compiled(sa.select(table).order_by(*table.primary_key))
    for values in database.stream(query, {}, piece=_piece(table)):
        row = dict(zip(names, values, strict=True))
        yield row | {flag: bool(row[flag]) for flag in flags}


def _piece(table: sa.Table) -> int:
    return _PIECES.get(table.name, _PIECE)


def _keys(database: Database, table: sa.Table) -> Iterator[tuple[Any, ...]]:
    return database.stream(database.compiled(sa.select(*table.primary_key).order_by(*table.primary_key)), {})


def _is_part(part: Iterable[tuple[Any, ...]], whole: Iterator[tuple[Any, ...]]) -> bool:
    """Tell whether all of one sorted sequence is in another, reading both once."""
    return all(row in whole for row in part)


def _count(database: Database, table: sa.Table) -> int:
    ((count,),) = database.read(database.compiled(sa.select(sa.func.count()).select_from(table)), {})
    return int(count)
