"""Contacts: who has whom in the address book, as tokens that only the server's key makes, and who are friends by that.

Two listeners are friends while each has a number or address of the other in the book and neither has blocked it. That
is never written down: it is found in what both told, so that it begins and ends for both at the same moment. What is
told waits for the other side for a while, and how much anybody can tell is bounded by leaky allowances.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa

from recsys.consents.consent_tables import ALLOWANCES, CONTACTS, IDENTIFIERS, instant_of, microseconds
from recsys.consents.database import Database
from recsys.errors import InputError

_DAY = 86_400_000_000  # microseconds

Of = Literal["evaluated", "told"]
"""What an allowance is of: entries that are evaluated blindly, and tokens that are told."""


@dataclass(frozen=True)
class Book:
    """What a listener tells of the address book; whatever is left out says nothing.

    Parameters
    ----------
    own : collection of str
        Tokens of all the listener's own numbers and addresses, as they were verified.
    added, removed, blocked : collection of str
        Tokens of entries: what is removed is forgotten, and what is blocked makes no friend until it is removed.
    shared, unshared : collection of str
        Tokens of entries that are there: with whom the listener shares under the own name once they are friends, and
        with whom no more.
    """

    own: Collection[str] = field(repr=False)
    added: Collection[str] = field(default=(), repr=False)
    removed: Collection[str] = field(default=(), repr=False)
    blocked: Collection[str] = field(default=(), repr=False)
    shared: Collection[str] = field(default=(), repr=False)
    unshared: Collection[str] = field(default=(), repr=False)


@dataclass(frozen=True)
class Friend:
    """Somebody whom a listener has in the book and who has the listener there.

    Parameters
    ----------
    token : str
        Of the entry in the listener's book.
    listener : str
        Who it is.
    shared : bool
        Whether the listener shares with the friend under the own name.
    shares : bool
        Whether the friend does with the listener.
    contributes : bool
        Whether what the friend plays may count among what others play.
    picture : str or None
        The edition of the friend's profile picture, if there is one that may be shown.
    """

    token: str = field(repr=False)
    listener: str = field(repr=False)
    shared: bool = False
    shares: bool = False
    contributes: bool = False
    picture: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Bounds:
    """How much one listener may tell.

    Parameters
    ----------
    most : int
        Entries that are kept, and as many evaluated or told at once.
    a_day : int
        Entries of which an allowance fills up again in a day.
    """

    most: int
    a_day: int

    @property
    def cost(self) -> int:
        """In how many microseconds one entry comes back."""
        return _DAY // self.a_day


_OF_ONE = [
    sa.select(table).where(table.c.listener == sa.bindparam("listener")).order_by(*table.primary_key)
    for table in (IDENTIFIERS, CONTACTS, ALLOWANCES)
]


class Contacts:
    """The contacts in the database of one consent log (:attr:`recsys.consents.log.ConsentLog.contacts`).

    Parameters
    ----------
    database : Database
    erased : callable
        Returns up to when nothing of a listener counts: whoever was erased begins with allowances that are used up.
    """

    def __init__(self, database: Database, *, erased: Callable[[str], int]) -> None:
        self._database, self._erased = database, erased
        self._own = database.insert_new(IDENTIFIERS, changing=["listener", "key"])
        self._tell = database.insert_new(CONTACTS, changing=["key", "told"])
        self._block = database.insert_new(CONTACTS, changing=["key", "told", "blocked", "shared"])
        self._use = database.insert_new(ALLOWANCES, changing=["used_until"])
        self._identifiers, self._contacts, self._used = map(database.compiled, _OF_ONE)

    def keep(self, connection: sa.Connection, listener: str, book: Book, *, key: str, day: date, most: int) -> int:
        """Keep what a listener tells, in a transaction in which it is allowed; return what an allowance is charged for.

        That is every pair of an entry and one of the listener's own numbers and addresses that is new: with twice as
        many of their own somebody can find twice as many. What is told again waits as long again. Numbers and addresses
        that are another listener's by now are that one's.

        Raises
        ------
        InputError
            If more than ``most`` entries would be kept.
        """
        of_one = CONTACTS.c.listener == listener
        connection.execute(sa.delete(CONTACTS).where(of_one, CONTACTS.c.token.in_(list(book.removed))))
        unshare(connection, listener, others=[*book.removed, *book.blocked])
        before, own_before = _count(connection, listener), _own_tokens(connection, listener)
        row = {"listener": listener, "key": key, "told": day.isoformat(), "blocked": False, "shared": False}
        _each(connection, self._tell, [row | {"token": token} for token in book.added])
        _each(connection, self._block, [row | {"token": token, "blocked": True} for token in book.blocked])
        for shared, tokens in ((True, book.shared), (False, book.unshared)):
            of_some = sa.update(CONTACTS).where(of_one, CONTACTS.c.token.in_(list(tokens)), sa.not_(CONTACTS.c.blocked))
            connection.execute(of_some.values(shared=shared))
        self._keep_own(connection, listener, book.own, key=key)
        after = _count(connection, listener)
        if after > most:
            raise InputError(f"more than {most} contacts would be kept", hint="Remove some first.")
        return (after - before) * len(set(book.own)) + before * len(set(book.own) - own_before)

    def use(
        self, connection: sa.Connection, listener: str, of: Of, entries: int, *, bounds: Bounds, at: datetime
    ) -> float:
        """Take entries off an allowance; return 0, or in how many seconds there will be enough and take none.

        It is a leaky bucket that holds a time: that at which all of it would be back (the generic cell rate algorithm
        of ATM, ITU-T I.371).
        """
        where = (ALLOWANCES.c.listener == listener, ALLOWANCES.c.of == of)
        held = connection.execute(sa.select(ALLOWANCES.c.used_until).where(*where)).scalar()
        used_until = self._used_until(listener, held, bounds=bounds, at=at) + entries * bounds.cost
        wait = used_until - microseconds(at) - bounds.most * bounds.cost
        if wait > 0:
            return wait / 1_000_000
        if entries:
            _each(connection, self._use, [{"listener": listener, "of": of, "used_until": used_until}])
        return 0.0

    def left(self, listener: str, *, bounds: Bounds, at: datetime) -> dict[str, int]:
        """Return how many entries a listener has left of each allowance."""
        held = {of: until for _, of, until in self._database.read(self._used, {"listener": listener})}
        until = {of: self._used_until(listener, held.get(of), bounds=bounds, at=at) for of in ("evaluated", "told")}
        full = microseconds(at) + bounds.most * bounds.cost
        return {of: max(0, (full - each) // bounds.cost) for of, each in until.items()}

    def told(self, listener: str) -> list[dict[str, Any]]:
        """Return what is kept of a listener, as an export tells it."""
        asked = {"listener": listener}
        own, book = (self._database.read(query, asked) for query in (self._identifiers, self._contacts))
        return [
            *({"kind": "identifier", "token": token} for token, *_ in own),
            *(
                {"kind": "contact", "token": token, "told": day, "blocked": bool(blocked), "shared": bool(shared)}
                for _, token, _, day, blocked, shared in book
            ),
        ]

    def used(self, listener: str) -> list[dict[str, Any]]:
        """Return what a listener has used of the allowances, as an export tells it."""
        rows = self._database.read(self._used, {"listener": listener})
        return [{"kind": "allowance", "of": of, "used_until": instant_of(until).isoformat()} for _, of, until in rows]

    def expire(self, *, before: date, key: str, at: datetime) -> int:
        """Delete what has waited since before a day, what another key made, and full allowances; return how much.

        What makes somebody a friend, and what is blocked, does not wait.
        """
        waits = sa.and_(CONTACTS.c.told < before.isoformat(), sa.not_(CONTACTS.c.blocked))
        of_friends = mutual_of().with_only_columns(MINE.c.listener, MINE.c.token).order_by(None)
        alone = sa.tuple_(CONTACTS.c.listener, CONTACTS.c.token).not_in(of_friends.params(key=key))
        gone = (
            sa.delete(CONTACTS).where(sa.or_(CONTACTS.c.key != key, sa.and_(waits, alone))),
            sa.delete(IDENTIFIERS).where(IDENTIFIERS.c.key != key),
            sa.delete(ALLOWANCES).where(ALLOWANCES.c.used_until <= microseconds(at)),
        )
        with self._database.writing() as connection:
            return sum(connection.execute(statement).rowcount for statement in gone)

    def _keep_own(self, connection: sa.Connection, listener: str, own: Collection[str], *, key: str) -> None:
        others = IDENTIFIERS.c.token.not_in(list(own))
        connection.execute(sa.delete(IDENTIFIERS).where(IDENTIFIERS.c.listener == listener, others))
        _each(connection, self._own, [{"token": token, "listener": listener, "key": key} for token in sorted(own)])

    def _used_until(self, listener: str, held: int | None, *, bounds: Bounds, at: datetime) -> int:
        """Return when all of an allowance will be back, which is now where nothing of it is used."""
        erased = self._erased(listener) + bounds.most * bounds.cost
        return max(microseconds(at), erased, held or 0)


MINE, THEM = CONTACTS.alias("mine"), IDENTIFIERS.alias("them")
"""An entry of a listener's book, and the number or address of somebody, as :func:`mutual_of` selects them."""


def mutual_of(*which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select who have each other in the book, whether they still allow it or not; of all, or of some.

    Returns
    -------
    sqlalchemy.Select
        ``listener``, ``token`` of the entry of the listener's book, and ``other``, who that is; whether the entry is
        ``shared``, and whether the other one ``shares``.
    """
    key: sa.BindParameter[str] = sa.bindparam("key")
    met = (THEM.c.token == MINE.c.token, THEM.c.listener != MINE.c.listener)
    counted = (table.c.key == key for table in (MINE, THEM))
    told = _holds(THEM, MINE, key=key)
    open_ = (sa.not_(_holds(who, whom, "blocked", key=key)) for who, whom in ((MINE, THEM), (THEM, MINE)))
    shares = _holds(THEM, MINE, "shared", key=key).label("shares")
    columns = (MINE.c.listener, MINE.c.token, THEM.c.listener.label("other"))
    return sa.select(*columns, MINE.c.shared, shares).where(*which, *met, told, *open_, *counted).order_by(*columns)


def _holds(who: sa.FromClause, whom: sa.FromClause, *flags: str, key: sa.BindParameter[str]) -> sa.Exists:
    """Tell whether the book of somebody has an entry (that is flagged so) for somebody, by any number or address.

    These are few, and looked up in the book, however many entries it has.
    """
    entry, own = CONTACTS.alias(), IDENTIFIERS.alias()
    there = (entry.c.listener == who.c.listener, entry.c.token == own.c.token, entry.c.key == key)
    entries = sa.exists().where(*there, *(entry.c[flag] for flag in flags)).correlate(who, own)
    return sa.exists().where(own.c.listener == whom.c.listener, own.c.key == key, entries).correlate(who, whom)


def unshare(connection: sa.Connection, listener: str, *, others: Collection[str] | None = None) -> None:
    """End what others share with a listener under their own name, those of some tokens or all: a friendship ends so.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction.
    listener : str
    others : collection of str, optional
        Tokens of the others' numbers and addresses.
    """
    own, theirs = IDENTIFIERS.alias(), IDENTIFIERS.alias()
    with_me = CONTACTS.c.token.in_(sa.select(own.c.token).where(own.c.listener == listener))
    by_some = CONTACTS.c.listener.in_(sa.select(theirs.c.listener).where(theirs.c.token.in_(list(others or ()))))
    which = (CONTACTS.c.shared, with_me) if others is None else (CONTACTS.c.shared, with_me, by_some)
    connection.execute(sa.update(CONTACTS).where(*which).values(shared=False))


def _each(connection: sa.Connection, statement: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.exec_driver_sql(statement, rows)


def _own_tokens(connection: sa.Connection, listener: str) -> set[str]:
    return set(connection.execute(sa.select(IDENTIFIERS.c.token).where(IDENTIFIERS.c.listener == listener)).scalars())


def _count(connection: sa.Connection, listener: str) -> int:
    of_one = sa.select(sa.func.count()).where(CONTACTS.c.listener == listener)
    return int(connection.execute(of_one).scalar_one())
