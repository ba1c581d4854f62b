"""The consent log: who allowed what, since when; the default is no."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from recsys.errors import NotReadyError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Purpose(StrEnum):
    """What a listener can allow, each a switch of its own, none given by default."""

    LOCAL_TRENDS = "local_trends"
    CONTRIBUTE_TRENDS = "contribute_trends"
    PERSONALISATION = "personalisation"
    PARTNER_STATISTICS = "partner_statistics"


class State(StrEnum):
    """The two words in which giving and withdrawing differ."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Entry:
    """One line of the log: from ``at`` on, this listener's answer for this purpose is this state.

    Parameters
    ----------
    listener : str
        The keyed hash of a user id (:func:`recsys.workspace.listener_of`).
    purpose : Purpose
    state : State
    at : datetime
        When the listener decided, with a time zone.
    notice_version : str
        Which text the listener was shown.
    """

    listener: str
    purpose: Purpose
    state: State
    at: datetime
    notice_version: str


class ConsentLog:
    """The durable, append-only log in one SQLite file; the latest entry at an instant is the state.

    Of two entries of the same instant the withdrawal wins: in doubt the answer is no. Appending the same entry twice
    changes nothing. Entries cannot be changed or removed, except by :meth:`forget`.

    Parameters
    ----------
    path : Path
        The database; created (mode 0600) when missing.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._path = path
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def append(self, entries: Iterable[Entry]) -> int:
        """Add entries in one transaction that is on disk when this returns; return how many were new."""
        rows = ((e.listener, e.purpose.value, e.state.value, _microseconds(e.at), e.notice_version) for e in entries)
        with self._connected() as connection:
            before = connection.total_changes
            connection.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?)", rows)
            return connection.total_changes - before

    def allows(self, listener: str, purpose: Purpose, *, at: datetime) -> bool:
        """Tell whether the listener's latest entry for a purpose, no later than ``at``, is ``given``."""
        with self._connected() as connection:
            row = connection.execute(_LATEST, (listener, purpose.value, _microseconds(at))).fetchone()
        return row is not None and row[0] == State.GIVEN

    def history(self, purpose: Purpose, *, until: datetime) -> Iterator[tuple[str, int, bool]]:
        """Yield ``(listener, at in microseconds since 1970 UTC, given)`` of a purpose up to an instant.

        Entries come in the order of listener and time; of one instant only the one that counts is there.
        """
        with self._connected() as connection:
            for listener, at, withdrawn in connection.execute(_HISTORY, (purpose.value, _microseconds(until))):
                yield listener, at, not withdrawn

    def forget(self, listener: str) -> int:
        """Erase every entry of one listener, the file's free pages included; return how many there were."""
        with self._connected() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("DROP TRIGGER kept")
            erased = connection.execute("DELETE FROM entries WHERE listener = ?", (listener,)).rowcount
            connection.executescript(_SCHEMA)
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return erased

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Open a connection of its own (SQLite's are cheap), commit at the end, and close it."""
        connection = sqlite3.connect(self._path, timeout=5)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            with connection:
                yield connection
        except sqlite3.OperationalError as error:
            raise NotReadyError(
                f"the consent log {self._path} cannot be used now ({error})",
                hint="Another job may be writing to it; try again.",
            ) from error
        finally:
            connection.close()


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    listener TEXT NOT NULL, purpose TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('given', 'withdrawn')),
    at INTEGER NOT NULL, notice_version TEXT NOT NULL,
    PRIMARY KEY (listener, purpose, at, state, notice_version)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS unchanged BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS kept BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append only'); END;
"""

# 'withdrawn' sorts after 'given', so that it is the later of two entries of one instant.
_LATEST = """
SELECT state FROM entries WHERE listener = ? AND purpose = ? AND at <= ? ORDER BY at DESC, state DESC LIMIT 1
"""

_HISTORY = """
SELECT listener, at, max(state) = 'withdrawn' FROM entries WHERE purpose = ? AND at <= ?
GROUP BY listener, at ORDER BY listener, at
"""
