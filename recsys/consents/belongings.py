"""Belongings of a switch: what a listener's yes brought with it, and a no takes away in the transaction that says so.

Each switch that brings something has tables of its own, every row of which is one listener's. Who turns a switch on
begins with nothing: what was there before it was off is gone.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from recsys.consents.consent_tables import (
    ALLOWANCES,
    CONTACTS,
    ENTRIES,
    HIDDEN,
    IDENTIFIERS,
    PICTURES,
    PLAYED,
    not_erased,
)
from recsys.consents.contacts import unshare
from recsys.consents.database import Database
from recsys.consents.marks import NEVER

After = Callable[[str, str], int]

BELONGINGS: Mapping[str, tuple[sa.Table, ...]] = {
    "feedback": (HIDDEN, PLAYED),
    "images": (PICTURES,),
    "contacts": (IDENTIFIERS, CONTACTS),
}
"""What goes with a purpose's switch; every table has a column ``listener``."""

OUTLIVING = (ALLOWANCES,)
"""What stays when a switch is turned off, and goes with the listener: turning it off and on again wins nothing."""

BELONGING_TABLES = (*chain.from_iterable(BELONGINGS.values()), *OUTLIVING)


class Belongings:
    """The belongings in the database of one consent log.

    This is the one place that knows whether they outlive a decision, whichever way that came.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owners = {purpose: database.compiled(_owners(tables)) for purpose, tables in BELONGINGS.items()}
        self._any = {purpose: database.compiled(_any(tables)) for purpose, tables in BELONGINGS.items()}
        self._answers = {purpose: database.compiled(_every_answer(purpose)) for purpose in BELONGINGS}

    @contextmanager
    def kept(
        self, listeners: Mapping[str, Collection[str]], connection: sa.Connection, *, after: After
    ) -> Iterator[None]:
        """Delete what belongs to some listeners unless, once the block ends, its switch has been on since before it.

        Of many listeners the most have nothing; one alone is looked up as quickly as that.

        Parameters
        ----------
        listeners : mapping of str to collection of str
            Whose switches may be turned in the block, by purpose.
        connection : sqlalchemy.Connection
            In a transaction.
        after : callable
            Returns up to when nothing that a listener said of a purpose counts, by the marks.
        """
        owners = {purpose: _among(some, purpose, connection) for purpose, some in listeners.items()}
        before = {purpose: _on(some, purpose, connection, after=after) for purpose, some in owners.items()}
        yield
        for purpose, some in owners.items():
            now = _on(some, purpose, connection, after=after)
            for listener in some:
                if listener not in now or now[listener] > before[purpose].get(listener, NEVER):
                    forget_belongings(connection, listener, purpose)

    def has(self, listener: str, purpose: str) -> bool:
        """Tell whether anything belongs to a listener under a purpose."""
        return bool(self._database.read(self._any[purpose], {"listener": listener})[0][0])

    def owners(self, purpose: str) -> list[str]:
        """Return to whom anything belongs under a purpose."""
        return [listener for (listener,) in self._database.read(self._owners[purpose], {})]

    def forget_where_off(self, *, marked: After, after: After) -> int:
        """Delete what belongs to those whose switch is off; return how many times a switch of a listener was.

        Parameters
        ----------
        marked : callable
            As ``after``, of all marks as they are known now: it finds whom to look at.
        after : callable
            As of :meth:`kept`: it is asked once more in the transaction that deletes.
        """
        return sum(
            self._forget(listener, purpose, after=after)
            for purpose in BELONGINGS
            for listener in self._off(purpose, after=marked)
        )

    def _off(self, purpose: str, *, after: After) -> list[str]:
        owners = set(self.owners(purpose))
        every = self._database.stream(self._answers[purpose], {}) if owners else ()
        on = _on_since((row for row in every if row[0] in owners), purpose, after=after)
        return sorted(owners - on.keys())

    def _forget(self, listener: str, purpose: str, *, after: After) -> bool:
        """Delete what belongs to a listener unless the switch is on at this moment, under whichever notice."""
        with self._database.deciding(listener) as connection:
            is_off = not _on([listener], purpose, connection, after=after)
            if is_off:
                forget_belongings(connection, listener, purpose)
        return is_off


def forget_belongings(connection: sa.Connection, listener: str, *purposes: str) -> None:
    """Delete everything that belongs to a listener, or what does under some purposes, in a transaction."""
    tables = list(chain.from_iterable(BELONGINGS[purpose] for purpose in purposes) if purposes else BELONGING_TABLES)
    if CONTACTS in tables:
        unshare(connection, listener)
    for table in tables:
        connection.execute(sa.delete(table).where(table.c.listener == listener))


def _among(listeners: Collection[str], purpose: str, connection: sa.Connection) -> Collection[str]:
    """Return to which of many listeners anything belongs; one alone is taken to have something."""
    if len(listeners) < 2:
        return listeners
    every = _owners(BELONGINGS[purpose]).subquery()
    return sorted(connection.execute(sa.select(every.c.listener).where(every.c.listener.in_(listeners))).scalars())


def on_since(answers: Iterable[tuple[int, bool]]) -> int | None:
    """Return since when a switch has been on without a break, under whichever notice; None where it is off.

    Parameters
    ----------
    answers : iterable of (int, bool)
        When something was answered, in order, and whether it was a yes; of one instant a no counts.
    """
    since: int | None = None
    for at, same in groupby(answers, key=itemgetter(0)):
        is_on = all(given for _, given in same)
        since = (at if since is None else since) if is_on else None
    return since


def _on(listeners: Collection[str], purpose: str, connection: sa.Connection, *, after: After) -> dict[str, int]:
    """Return since when those of some listeners whose switch is on have it on without a break."""
    some = _answers(purpose, ENTRIES.c.listener.in_(listeners))
    return _on_since(connection.execute(some).all() if listeners else (), purpose, after=after)


def _on_since(rows: Iterable[Any], purpose: str, *, after: After) -> dict[str, int]:
    """Return the same by answers in the order of listener and time."""
    found = {}
    for listener, answers in groupby(rows, key=itemgetter(0)):
        last = after(listener, purpose)
        found[listener] = on_since((at, bool(given)) for _, at, given in answers if at > last)
    return {listener: since for listener, since in found.items() if since is not None}


def _answers(purpose: str, *which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select all that everybody or some listeners answered about a purpose, under whichever notice, in order."""
    about_it = ENTRIES.c.purpose == sa.literal_column(f"'{purpose}'")
    yes = sa.case(
        (ENTRIES.c.state == sa.literal_column("'given'"), sa.literal_column("1")), else_=sa.literal_column("0")
    )
    answers = sa.select(ENTRIES.c.listener, ENTRIES.c.at, yes).where(about_it, not_erased(), *which)
    return answers.order_by(ENTRIES.c.listener, ENTRIES.c.at)


@cache
def _every_answer(purpose: str) -> sa.Select[Any]:
    return _answers(purpose)


@cache
def _owners(tables: tuple[sa.Table, ...]) -> sa.CompoundSelect[Any]:
    return sa.union(*(sa.select(table.c.listener) for table in tables))


@cache
def _any(tables: tuple[sa.Table, ...]) -> sa.Select[Any]:
    of_one = (sa.select(table).where(table.c.listener == sa.bindparam("listener")) for table in tables)
    return sa.select(sa.or_(*map(sa.exists, of_one)))
