"""Marks of a no: what is older than such a moment, about whoever it was, is not to be taken in again.

A mark is a keyed hash and a moment, and nothing else: of a listener after an erasure, of a listener's one purpose after
a withdrawal. Marks lie in a file of their own beside the consent log, so that a log which is restored, moved or
imported again brings back nobody who was erased, and nothing that was withdrawn; and in the witness's database outside
the workspace, so that no restored workspace does.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from recsys.consents.consent_tables import microseconds
from recsys.consents.database import Database
from recsys.errors import NotReadyError

NEVER = -(2**63)
"""The moment of a no that was never said."""

_MARKS = sa.Table(
    "marks",
    sa.MetaData(),
    sa.Column("mark", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),  # microseconds since 1970, UTC
    sqlite_with_rowid=False,
)
_EVERY = sa.select(_MARKS.c.mark, _MARKS.c.at)
_LISTED = sa.func.json_each(sa.bindparam("marks")).table_valued("value")  # of SQLite, as marks here are
_AMONG = _EVERY.where(_MARKS.c.mark.in_(sa.select(_LISTED.c.value)))


class Marks:
    """The marks that erasures and withdrawals left, in a SQLite file.

    Parameters
    ----------
    place : Path
        Created (mode 0600) when missing.
    key : bytes
        A secret for this alone: without it a mark cannot be told to be about a listener.
    witness : Path or str, optional
        The database of the witness, which knows the same marks. It is told of each at once, if it can be; and at the
        latest by :meth:`share`.

    Raises
    ------
    NotReadyError
        If the file cannot be used now; every method may raise it.
    """

    def __init__(self, place: Path, *, key: bytes, witness: Path | str | None = None) -> None:
        self._here, self._key, self._witness = _Kept(Database(place, of="marks")), key, witness

    def record(self, subject: str, *, at: datetime, instead_of: Iterable[str] = ()) -> None:
        """Leave a mark, on disk when this returns; of several about one subject the latest counts.

        Parameters
        ----------
        subject : str
            A listener; or one purpose of a listener (:func:`about`).
        at : datetime
        instead_of : iterable of str
            Subjects whose marks it makes superfluous.
        """
        marks, superfluous = {self._hashed(subject): microseconds(at)}, [self._hashed(other) for other in instead_of]
        self._here.keep(marks, instead_of=superfluous)
        with suppress(NotReadyError):  # no witness is a reason to refuse a withdrawal
            if there := self._there():
                there.keep(marks, instead_of=superfluous)

    def of(self, subject: str) -> int:
        """Return the moment up to which nothing about a subject counts, in microseconds since 1970; or ``NEVER``."""
        return self.of_each(subject)[0]

    def of_each(self, subject: str, *others: str) -> list[int]:
        """Return the same of a subject; then of each of some others, where what is about the subject counts, too."""
        first, *rest = self._here.latest([self._hashed(each) for each in (subject, *others)])
        return [first, *(max(first, each) for each in rest)]

    def among(self, subjects: Collection[str]) -> Callable[[str], int]:
        """Return what tells the same of some subjects, which are asked for at once."""
        hashed = {subject: self._hashed(subject) for subject in subjects}
        found = self._here.among(hashed.values()) if hashed else {}
        return lambda subject: found.get(hashed[subject], NEVER)

    def known(self) -> Callable[[str], int]:
        """Return what tells the same of many subjects, by the marks that there are now, which it holds in memory."""
        every = self.every()
        return (lambda subject: every.get(self._hashed(subject), NEVER)) if every else never

    def every(self) -> Mapping[str, int]:
        """Return all marks that there are now, and their moments in microseconds since 1970."""
        return self._here.every()

    def share(self) -> None:
        """Tell the witness of all marks, and take in those that only it knows: this file was restored, or moved."""
        if there := self._there():
            here, known = self._here.every(), there.every()
            there.keep(here)
            self._here.keep({mark: at for mark, at in known.items() if at > here.get(mark, NEVER)})

    def expire(self, *, before: datetime) -> None:
        """Delete the marks of before a moment, here and at the witness."""
        for kept in filter(None, (self._here, self._there())):
            kept.expire(microseconds(before))

    def scrub(self) -> None:
        """Bring what was deleted off the disk, here and at the witness.

        Raises
        ------
        NotReadyError
            If somebody is reading one of both; nothing is lost, try again.
        """
        for kept in filter(None, (self._here, self._there())):
            kept.scrub()

    def _there(self) -> "_Kept | None":
        return _Kept(Database(self._witness, of="witness", setting="privacy.witness")) if self._witness else None

    def _hashed(self, subject: str) -> str:
        return hashlib.blake2b(subject.encode(), key=self._key, digest_size=16).hexdigest()


class _Kept:
    """Marks in one database."""

    def __init__(self, database: Database) -> None:
        self._database, self._insert = database, (postgresql if database.is_postgresql else sqlite).insert
        with database.deciding("marks schema") as connection:
            _MARKS.create(connection, checkfirst=True)
        self._among, self._every = database.compiled(_AMONG), database.compiled(_EVERY)

    def keep(self, marks: Mapping[str, int], *, instead_of: Collection[str] = ()) -> None:
        new = self._insert(_MARKS)
        later = sa.case((new.excluded.at > _MARKS.c.at, new.excluded.at), else_=_MARKS.c.at)
        rows = [{"mark": mark, "at": at} for mark, at in marks.items()]
        with self._database.writing() as connection:
            if rows:
                connection.execute(new.on_conflict_do_update(index_elements=["mark"], set_={"at": later}), rows)
            connection.execute(sa.delete(_MARKS).where(_MARKS.c.mark.in_(instead_of)))

    def latest(self, marks: Sequence[str]) -> list[int]:
        asked = {f"mark_{number}": mark for number, mark in enumerate(marks)}
        (found,) = self._database.read(self._database.compiled(_latest(tuple(asked))), asked)
        return [NEVER if at is None else int(at) for at in found]

    def among(self, marks: Iterable[str]) -> dict[str, int]:
        return dict(self._database.read(self._among, {"marks": json.dumps(list(marks))}))

    def every(self) -> dict[str, int]:
        return dict(self._database.read(self._every, {}))

    def expire(self, before: int) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.delete(_MARKS).where(_MARKS.c.at < before))

    def scrub(self) -> None:
        self._database.scrub(_MARKS)


@cache
def _latest(names: tuple[str, ...]) -> sa.Select[Any]:
    """Select one row in any case: what is done with it takes the same time for everybody."""
    each = (sa.select(_MARKS.c.at).where(_MARKS.c.mark == sa.bindparam(name)) for name in names)
    return sa.select(*(one.scalar_subquery() for one in each))


def about(listener: str, purpose: str) -> str:
    """Return the subject of a withdrawal."""
    return f"{listener} {purpose}"


def never(_: str) -> int:
    """Tell of every subject that there is no mark."""
    return NEVER
