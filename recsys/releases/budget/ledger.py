"""The ledger: what privacy was spent, on what and when; a spend is on disk before its noise exists."""

import json
import os
import shutil
import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from recsys.causes import not_ready
from recsys.consents.witness import DRAWN, Witness
from recsys.errors import PrivacyBudgetError
from recsys.versions import check_columns, check_version
from recsys.workspace import digest, fsync, remove_folder, staged

CHARTS = "charts"  # the purpose of a night's release
LOST = "lost"  # the purpose of a release beside the one that the ledger knows of the same nights
SPENT = "spent"  # kind of a witness's line: what is about to be in the ledger

_DRAWN = ".drawn"  # a release that is whole, and not yet where it can be read


@dataclass(frozen=True)
class Spend:
    """What one release costs and what it covers: everything that must be the same when a night is run again.

    Parameters
    ----------
    night : date
        The night, or the last of several.
    purpose : str
        ``charts`` or ``partner``; a night is in one release per purpose at most.
    rho : float
        zCDP budget.
    sensitivity_squared : float
        Squared Euclidean norm of what one listener adds at most.
    tiers : mapping of str to mapping
        By tier of the release: ``rho``, its share of the budget, and ``sigma_squared`` of the discrete Gaussian noise
        in every one of its counts.
    rows : str
        Digest of the places that the release covers.
    parameters : mapping
        Whatever else decides the release, as JSON values; ``from``, where there are several nights, is the first.
    """

    night: date
    purpose: str
    rho: float
    sensitivity_squared: float
    tiers: Mapping[str, Mapping[str, float]]
    rows: str
    parameters: Mapping[str, Any]

    @property
    def first(self) -> date:
        """The first of the nights."""
        return date.fromisoformat(self.parameters.get("from", self.night.isoformat()))

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {**vars(self), "night": self.night.isoformat(), "tiers": dict(self.tiers)}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "Spend":
        """Return what :meth:`as_json` was made of."""
        return cls(**{**facts, "night": date.fromisoformat(facts["night"])})

    @property
    def nights(self) -> str:
        """The nights in words, for a person."""
        return f"night {self.night}" if self.first == self.night else f"period {self.first} to {self.night}"


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Parameters
    ----------
    number : int
        Counts from 1.
    spend : Spend
    at : datetime
        When the spend was committed.
    release : str or None
        Digest of the manifest of the release that it paid for; None until that is on disk.
    """

    number: int
    spend: Spend
    at: datetime
    release: str | None


class Ledger:
    """The durable, append-only ledger in one SQLite file.

    Parameters
    ----------
    path : Path
        The database; created (mode 0600) when missing.
    witness : Witness, optional
        What remembers all of it outside the workspace; without one, a copy may draw what this one drew.

    Raises
    ------
    InputError
        If another release wrote it, which says more, or something else, than this one reads.
    """

    def __init__(self, path: Path, *, witness: Witness | None = None) -> None:
        path.touch(mode=0o600)
        fsync(path.parent)
        self._path, self.name, self.witness = path, str(path), witness
        with self._connected() as connection:
            version = self._check_version(connection)
            connection.executescript(_SCHEMA)
            if version != _VERSION:
                connection.execute(f"PRAGMA user_version = {_VERSION}")

    @classmethod
    def to_read(cls, path: Path) -> "Ledger":
        """Open a ledger that nothing is written to, also where nothing can be: then a copy of it is read."""
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            return cls(path)
        folder = Path(mkdtemp())
        for file in (path, path.with_name(f"{path.name}-wal")):  # what was committed may still be beside it
            if file.exists():
                shutil.copyfile(file, folder / file.name)
        ledger = cls(folder / path.name)
        weakref.finalize(ledger, shutil.rmtree, folder, ignore_errors=True)
        return ledger

    def _check_version(self, connection: sqlite3.Connection) -> int:
        """Return the version; refuse a ledger that may say more than this release understands."""
        what = f"the ledger {self._path}"
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        check_version(what, version, known=range(_VERSION + 1))
        for table, expected in _COLUMNS.items():
            found = [str(name) for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
            if found:  # a new ledger has none yet
                check_columns(what, table, found, expected=expected)
        return version

    def commit(self, spend: Spend, *, at: datetime) -> Entry:
        """Write a spend; when this returns, it is on disk and its noise may be drawn, once.

        A spend that is there already, for a release that never came to exist, is returned as it stands: nothing was
        published under it, so the first noise to be published is still the only one.

        Raises
        ------
        PrivacyBudgetError
            If this night was released already, its spend was committed with other parameters, or one of its nights is
            in another period.
        """
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            existing = self._overlapping(connection, spend)
            if existing is None:
                if self.witness:
                    self.witness.record(SPENT, _named(spend), spend.as_json(), at=at)
                connection.execute(_INSERT, (*_row(spend), at.isoformat()))
                return Entry(_last_number(connection), spend, at, None)
        _refuse_other_period(existing, spend)
        _refuse_released(existing)
        _refuse_changed(existing.spend, spend)
        return existing

    @contextmanager
    def drawing(self, entry: Entry, *, into: Path, seal: str, at: datetime) -> Iterator[Path]:
        """Yield an empty folder for what an entry paid for; it becomes ``into`` when the block ends well.

        It is whole and on the disk before the witness hears of it, and cannot be read before the witness has: so what
        was read once is known there, and what the witness knows is either readable or lies ready for
        :meth:`finish_drawing`. Where another copy of the workspace was faster, nothing is left of it.

        Parameters
        ----------
        entry : Entry
        into : Path
            A folder that does not exist.
        seal : str
            The file whose digest stands for the whole.
        at : datetime

        Raises
        ------
        PrivacyBudgetError
            If the witness knows of something that this ledger does not.
        """
        ready = into.with_name(f".{into.name}{_DRAWN}")
        with staged(ready) as stage:
            yield stage
        release = digest(ready / seal)
        try:
            self._witness_drawn(entry.spend, release, at=at)
        except PrivacyBudgetError:
            remove_folder(ready)
            raise
        ready.rename(into)
        fsync(into.parent)
        self.complete(entry.number, release=release, at=at)

    def finish_drawing(self, releases: Path, *, seal: str) -> None:
        """Bring to their place the releases that are witnessed, if a crash came in between, and remove all others."""
        ready = list(releases.glob(f".*{_DRAWN}"))
        witnessed = {line.subject for line in self.witness.lines(DRAWN)} if ready and self.witness else set()
        for folder in ready:
            into = folder.with_name(folder.name.removeprefix(".").removesuffix(_DRAWN))
            if not into.exists() and digest(folder / seal) in witnessed:
                folder.rename(into)
                fsync(releases)
            else:
                remove_folder(folder)

    def _witness_drawn(self, spend: Spend, release: str, *, at: datetime) -> None:
        if self.witness:
            known = sum(entry.release is not None for entry in self.entries())
            self.witness.record(DRAWN, release, spend.as_json(), at=at, after=known)

    def complete(self, number: int, *, release: str, at: datetime) -> None:
        """Record the digest of the release that an entry paid for; the same digest again changes nothing.

        Raises
        ------
        PrivacyBudgetError
            If the entry paid for another release.
        """
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute("SELECT digest FROM releases WHERE number = ?", (number,)).fetchone()
            if found is None:
                connection.execute("INSERT INTO releases VALUES (?, ?, ?)", (number, release, at.isoformat()))
            elif found[0] != release:
                raise PrivacyBudgetError(
                    f"ledger entry {number} paid for another release than this one",
                    hint="Restore the night's folder under releases/ from a backup.",
                )

    def charge(self, spend: Spend, *, release: str, at: datetime) -> None:
        """Write down a release that this ledger has forgotten, or that was made beside the one it knows."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            begun = self._find(connection, spend.night, spend.purpose)
            number = begun.number if begun and begun.release is None and _facts(begun.spend) == _facts(spend) else None
            if number is None:
                purpose = spend.purpose if begun is None else f"{LOST} {release[:16]}"
                connection.execute(_INSERT, (*_row(replace(spend, purpose=purpose)), at.isoformat()))
                number = _last_number(connection)
            connection.execute("INSERT INTO releases VALUES (?, ?, ?)", (number, release, at.isoformat()))

    def last_written(self) -> datetime | None:
        """Return when the last entry or release was written down."""
        with self._connected() as connection:
            found = connection.execute("SELECT at FROM entries UNION ALL SELECT at FROM releases").fetchall()
        return max((datetime.fromisoformat(at) for (at,) in found), default=None)

    def find(self, night: date, *, purpose: str) -> Entry | None:
        """Return the entry of a night and purpose, or None."""
        with self._connected() as connection:
            return self._find(connection, night, purpose)

    def entries(self) -> list[Entry]:
        """Return all entries in the order in which they were committed."""
        with self._connected() as connection:
            return [_entry(row) for row in connection.execute(_SELECT + " ORDER BY entries.number")]

    def _find(self, connection: sqlite3.Connection, night: date, purpose: str) -> Entry | None:
        row = connection.execute(_SELECT + " WHERE night = ? AND purpose = ?", (night.isoformat(), purpose)).fetchone()
        return None if row is None else _entry(row)

    def _overlapping(self, connection: sqlite3.Connection, spend: Spend) -> Entry | None:
        """Return an entry of the purpose that has a night in common with a spend; the same period before any other."""
        later = " WHERE purpose = ? AND night >= ? ORDER BY night <> ?, entries.number"
        values = (spend.purpose, spend.first.isoformat(), spend.night.isoformat())
        entries = map(_entry, connection.execute(_SELECT + later, values))
        return next((entry for entry in entries if entry.spend.first <= spend.night), None)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Open a connection of its own, commit at the end (fsynced: WAL with synchronous=FULL), and close it."""
        try:
            connection = sqlite3.connect(self._path, timeout=5)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            raise not_ready(error, f"the ledger {self._path}") or PrivacyBudgetError(
                f"the ledger {self._path} cannot be read ({error})",
                hint="Restore it from a backup: without it nothing may be released.",
            ) from error


def _refuse_other_period(existing: Entry, wanted: Spend) -> None:
    if (existing.spend.first, existing.spend.night) != (wanted.first, wanted.night):
        raise PrivacyBudgetError(
            f"the {wanted.nights} has nights in common with the {existing.spend.nights} of ledger entry "
            f"{existing.number}; a second file over the same nights would count their listeners twice",
            hint=f"Begin after {existing.spend.night}, or end before {existing.spend.first}.",
        )


def _refuse_released(existing: Entry) -> None:
    if existing.release is not None:
        raise PrivacyBudgetError(
            f"the {existing.spend.nights} was released already (ledger entry {existing.number}), but its folder "
            "is gone or damaged; releasing it again would draw new noise over the same listeners",
            hint=f"Restore its folder from a backup{_or_without(existing.spend)}.",
        )


def _refuse_changed(existing: Spend, wanted: Spend) -> None:
    before, now = _facts(existing), _facts(wanted)
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        raise PrivacyBudgetError(
            f"the {existing.nights} has a ledger entry with another {', '.join(changed)}; "
            "a second spend for the same nights would count their listeners twice",
            hint=f"Run it with the settings, atlas and catalogue it was begun with{_or_without(existing)}.",
        )


def _or_without(spend: Spend) -> str:
    """Name the way out for a night that nothing can finish: it must not stop those after it."""
    nightly = spend.purpose == CHARTS
    return f", or leave that night out for good: `hearabouts nightly --skip {spend.night}`" if nightly else ""


def _named(spend: Spend) -> str:
    return f"{spend.purpose} {spend.night}"


def _facts(spend: Spend) -> dict[str, Any]:
    """Return everything that decides a release, through JSON, so that what was stored equals what is meant."""
    facts = {key: value for key, value in vars(spend).items() if key not in {"night", "parameters"}}
    stored: dict[str, Any] = json.loads(json.dumps({**facts, **spend.parameters}))
    return stored


def _row(spend: Spend) -> tuple[Any, ...]:
    return (
        spend.night.isoformat(),
        spend.purpose,
        spend.rho,
        spend.sensitivity_squared,
        json.dumps(dict(spend.tiers), sort_keys=True),
        spend.rows,
        json.dumps(dict(spend.parameters), sort_keys=True),
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    number, night, purpose, rho, sensitivity_squared, tiers, rows, parameters, at, release = row
    spend = Spend(
        night=date.fromisoformat(night),
        purpose=purpose,
        rho=rho,
        sensitivity_squared=sensitivity_squared,
        tiers=json.loads(tiers),
        rows=rows,
        parameters=json.loads(parameters),
    )
    return Entry(number, spend, datetime.fromisoformat(at), release)


def _last_number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT max(number) FROM entries").fetchone()[0])


_VERSION = 1  # 0 was the same, before it was written down

_COLUMNS = {
    "entries": (
        *("number", "night", "purpose", "rho", "sensitivity_squared"),
        *("tiers", "rows", "parameters", "at"),
    ),
    "releases": ("number", "digest", "at"),
}

# The triggers on insert stop INSERT OR REPLACE, which deletes without asking the triggers on delete.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, night TEXT NOT NULL, purpose TEXT NOT NULL,
    rho REAL NOT NULL CHECK (rho > 0), sensitivity_squared REAL NOT NULL CHECK (sensitivity_squared > 0),
    tiers TEXT NOT NULL, rows TEXT NOT NULL, parameters TEXT NOT NULL,
    at TEXT NOT NULL, UNIQUE (night, purpose)
);
CREATE TABLE IF NOT EXISTS releases (
    number INTEGER PRIMARY KEY REFERENCES entries (number), digest TEXT NOT NULL, at TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS entry_unchanged BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS entry_kept BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS entry_new BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE number = NEW.number OR (night = NEW.night AND purpose = NEW.purpose))
BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS release_unchanged BEFORE UPDATE ON releases BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS release_kept BEFORE DELETE ON releases BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS release_new BEFORE INSERT ON releases
WHEN EXISTS (SELECT 1 FROM releases WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'append only'); END;
"""

_INSERT = """
INSERT INTO entries (night, purpose, rho, sensitivity_squared, tiers, rows, parameters, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

_SELECT = """
SELECT entries.number, night, purpose, rho, sensitivity_squared, tiers, rows, parameters, entries.at, digest
FROM entries LEFT JOIN releases USING (number)
"""
