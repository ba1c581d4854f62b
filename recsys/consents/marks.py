"""Marks of a no: what is older than such a moment, about whoever it was, is not to be taken in again.

A mark is a keyed hash and a moment, and nothing else: of a listener after an erasure, of a listener's one purpose after
a withdrawal. Marks lie in a file of their own beside the consent log, so that a log which is restored, moved or
imported again brings back nobody who was erased, and nothing that was withdrawn.
"""

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from recsys.consents.consent_tables import microseconds
from recsys.consents.database import Database

NEVER = -(2**63)
"""The moment of a no that was never said."""

_MARKS = sa.Table(
    "marks",
    sa.MetaData(),
    sa.Column("mark", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),  # microseconds since 1970, UTC
    sqlite_with_rowid=False,
)


class Marks:
    """The marks that erasures and withdrawals left, in a SQLite file.

    Parameters
    ----------
    place : Path
        Created (mode 0600) when missing.
    key : bytes
        A secret for this alone: without it a mark cannot be told to be about a listener.

    Raises
    ------
    NotReadyError
        If the file cannot be used now; every method may raise it.
    """

    def __init__(self, place: Path, *, key: bytes) -> None:
        self._database, self._key = Database(place), key
        with self._database.writing() as connection:
            _MARKS.create(connection, checkfirst=True)
        # One row in any case: what is done with it takes the same time for everybody.
        either = sa.or_(_MARKS.c.mark == sa.bindparam("mark"), _MARKS.c.mark == sa.bindparam("other"))
        self._of = self._database.compiled(sa.select(sa.func.max(_MARKS.c.at)).where(either))
        self._every = self._database.compiled(sa.select(_MARKS.c.mark, _MARKS.c.at))

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
        row = sqlite.insert(_MARKS).values(mark=self._hashed(subject), at=microseconds(at))
        latest = sa.func.max(_MARKS.c.at, row.excluded.at)
        superfluous = [self._hashed(other) for other in instead_of]
        with self._database.writing() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["mark"], set_={"at": latest}))
            connection.execute(sa.delete(_MARKS).where(_MARKS.c.mark.in_(superfluous)))

    def of(self, subject: str, *, or_of: str | None = None) -> int:
        """Return the moment up to which nothing about a subject counts, in microseconds since 1970; or ``NEVER``."""
        asked = {"mark": self._hashed(subject), "other": self._hashed(or_of or subject)}
        ((at,),) = self._database.read(self._of, asked)
        return NEVER if at is None else int(at)

    def known(self) -> Callable[[str], int]:
        """Return what tells the same of many subjects, by the marks that there are now, which it holds in memory."""
        every = dict(self._database.read(self._every, {}))
        return (lambda subject: every.get(self._hashed(subject), NEVER)) if every else never

    def expire(self, *, before: datetime) -> None:
        """Delete the marks of before a moment, and take them off the disk."""
        with self._database.writing() as connection:
            gone = connection.execute(sa.delete(_MARKS).where(_MARKS.c.at < microseconds(before))).rowcount
        if gone:
            self._database.scrub(_MARKS)

    def _hashed(self, subject: str) -> str:
        return hashlib.blake2b(subject.encode(), key=self._key, digest_size=16).hexdigest()


def about(listener: str, purpose: str) -> str:
    """Return the subject of a withdrawal."""
    return f"{listener} {purpose}"


def never(_: str) -> int:
    """Tell of every subject that there is no mark."""
    return NEVER
