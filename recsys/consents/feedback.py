"""Feedback: what listeners told about their own lists, kept beside the log of who allows it, and gone with the switch.

A hidden track stays hidden until the listener shows it again; what was played is kept by the night of the list, as
plays are, with which of two rankers had put it there: what no two rankers shared is not kept. Neither has a time of
day, a place or the list itself.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import sqlalchemy as sa

from recsys.consents.consent_tables import HIDDEN, PLAYED
from recsys.consents.database import Database, Values
from recsys.errors import InputError

_TABLES = (HIDDEN, PLAYED)
_LISTENER: sa.BindParameter[str] = sa.bindparam("listener")
_HIDDEN = sa.select(HIDDEN.c.track).where(HIDDEN.c.listener == _LISTENER)
_EVERY = [sa.select(t).where(t.c.listener == _LISTENER).order_by(t.c.night, t.c.track) for t in _TABLES]
_RIVALS = sa.select(PLAYED).where(PLAYED.c.rivals == sa.bindparam("rivals"), PLAYED.c.team.is_not(None))


@dataclass(frozen=True)
class Told:
    """What a listener tells about a list.

    Parameters
    ----------
    night : date
        The last night behind the list.
    played : mapping of str to str
        Tracks, each with the team whose ranker put it there (:mod:`recsys.artifacts.interleaving`).
    hidden, shown : collection of str
        Tracks to hide from now on, and such to hide no more; a track is not among both.
    rivals : str
        Which two rankers shared the list; empty where none did.
    """

    night: date
    played: Mapping[str, str] = field(default_factory=dict, repr=False)
    hidden: Collection[str] = field(default=(), repr=False)
    shown: Collection[str] = field(default=(), repr=False)
    rivals: str = ""


@dataclass(frozen=True)
class Played:
    """One track that a listener played from the lists of a night.

    Parameters
    ----------
    listener : str
    night : date
    track : str
    team : str
    rivals : str
    """

    listener: str = field(repr=False)
    night: date
    track: str = field(repr=False)
    team: str
    rivals: str


class Feedback:
    """The feedback in the database of one consent log (:attr:`recsys.consents.log.ConsentLog.feedback`)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hide, self._play = (database.insert_new(table) for table in _TABLES)
        self._hidden, self._rivals = database.compiled(_HIDDEN), database.compiled(_RIVALS)
        self._every = list(map(database.compiled, _EVERY))

    def keep(self, connection: sa.Connection, listener: str, told: Told, *, most_hidden: int, most_played: int) -> None:
        """Keep what a listener told, in a transaction in which it was allowed; the same once more changes nothing.

        Raises
        ------
        InputError
            If more tracks would be hidden than ``most_hidden``. Of more than ``most_played`` the latest are kept.
        """
        night = told.night.isoformat()
        of_one = HIDDEN.c.listener == listener
        if told.shown:
            connection.execute(sa.delete(HIDDEN).where(of_one, HIDDEN.c.track.in_(list(told.shown))))
        if told.hidden:
            rows = [{"listener": listener, "track": track, "night": night} for track in told.hidden]
            connection.exec_driver_sql(self._hide, rows)
            if _count(connection, HIDDEN, listener) > most_hidden:
                raise InputError(
                    f"more than {most_hidden} tracks would be hidden",
                    hint="Show some of them again, or turn the switch off, which forgets them all.",
                )
        if told.played:
            of_list = {"listener": listener, "night": night, "rivals": told.rivals}
            played = [{**of_list, "track": track, "team": team} for track, team in told.played.items()]
            connection.exec_driver_sql(self._play, played)
            _drop_oldest(connection, listener, more=_count(connection, PLAYED, listener) - most_played)

    def hidden(self, listener: str) -> frozenset[str]:
        """Return the tracks that a listener has hidden, whether that is still allowed or not."""
        return frozenset(track for (track,) in self._database.read(*self.hidden_by(listener)))

    def hidden_by(self, listener: str) -> tuple[str, Values]:
        """Return what asks for them, for whoever asks more of the same database."""
        return self._hidden, {"listener": listener}

    def told(self, listener: str) -> Iterator[tuple[str, date, str, str | None]]:
        """Yield everything that is kept about a listener: ``hidden`` or ``played``, night, track and team."""
        asked = {"listener": listener}
        hidden, played = (self._database.read(query, asked) for query in self._every)
        yield from (("hidden", date.fromisoformat(night), track, None) for _, track, night in hidden)
        yield from (("played", date.fromisoformat(night), track, team) for _, night, track, team, _ in played)

    def of_rivals(self, rivals: str) -> list[Played]:
        """Return what everybody played that was put there by one of two rankers."""
        rows = self._database.read(self._rivals, {"rivals": rivals})
        return [Played(listener, date.fromisoformat(night), *rest) for listener, night, *rest in rows]

    def expire(self, before: date) -> int:
        """Delete what was played from lists of nights before one, and what is nobody's credit; return how much."""
        serves_nothing = sa.or_(PLAYED.c.night < before.isoformat(), PLAYED.c.team.is_(None))
        with self._database.writing() as connection:
            return connection.execute(sa.delete(PLAYED).where(serves_nothing)).rowcount


def _count(connection: sa.Connection, table: sa.Table, listener: str) -> int:
    found: Any = connection.execute(sa.select(sa.func.count()).where(table.c.listener == listener)).scalar_one()
    return int(found)


def _drop_oldest(connection: sa.Connection, listener: str, *, more: int) -> None:
    """Delete so many of the oldest tracks that a listener played."""
    if more <= 0:
        return
    of_one = PLAYED.c.listener == listener
    oldest = sa.select(PLAYED.c.night, PLAYED.c.track).where(of_one).order_by(PLAYED.c.night, PLAYED.c.track)
    for night, track in connection.execute(oldest.limit(more)).all():
        connection.execute(sa.delete(PLAYED).where(of_one, PLAYED.c.night == night, PLAYED.c.track == track))
