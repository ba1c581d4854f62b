"""The witness: what a workspace must not forget, kept outside it, so that no restored backup can make it unhappen.

Each line is on disk before what it tells of counts: a release before it can be read, an erasure's mark before it is
believed, a key before something stands on it. Lines of several deployments may share one witness; a deployment is known
by the id in its workspace, and one that lost this by where it lies and by the key that its plays are stored under.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from recsys.consents.database import Database
from recsys.errors import NotReadyError, PrivacyBudgetError, SettingsError
from recsys.settings import Settings
from recsys.workspace import Workspace, accepting, fingerprint, fsync, make_folder, replace_file

PLACE, KEY, DRAWN, ACCEPTED = "place", "key", "drawn", "accepted"
"""Kinds of lines: where a deployment lies, its listener key, what was drawn, what a person took upon them."""

_METADATA = sa.MetaData()
_LINES = sa.Table(
    "witnessed",
    _METADATA,
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)
_OF = _LINES.c


@dataclass(frozen=True)
class Line:
    """One line of a witness.

    Parameters
    ----------
    deployment : str
    number : int
        Counts from 1 in each deployment.
    kind : str
    subject : str
        What the line is about, in the words of its kind.
    facts : mapping
        JSON values.
    at : datetime
    """

    deployment: str
    number: int
    kind: str
    subject: str
    facts: Mapping[str, Any]
    at: datetime


class Witness:
    """The lines of one deployment in one append-only database.

    Parameters
    ----------
    place : Path or str
        A SQLite file, created (mode 0600) with its folder when missing, or the URL of a PostgreSQL database.
    deployment : str, optional
        Its id; without it the witness can only be asked who is known.

    Raises
    ------
    SettingsError
        If the URL does not fit.
    NotReadyError
        If it cannot be used now; every method may raise it. What is not witnessed does not count.
    """

    def __init__(self, place: Path | str, *, deployment: str = "") -> None:
        if isinstance(place, Path):
            _create(place)
        self._database = Database(place, of="witness", setting="privacy.witness")
        self.name, self.deployment = self._database.name, deployment
        every, one = (
            sa.select(_LINES).order_by(_OF.deployment, _OF.number),
            _OF.deployment == sa.bindparam("deployment"),
        )
        self._every, self._own = self._database.compiled(every), self._database.compiled(every.where(one))
        _prepare(self._database)

    def of(self, deployment: str) -> "Witness":
        """Return the witness of another deployment in the same database."""
        other = copy(self)
        other.deployment = deployment
        return other

    def record(
        self,
        kind: str,
        subject: str,
        facts: Mapping[str, Any] | None = None,
        *,
        at: datetime,
        after: int | None = None,
    ) -> Line:
        """Add a line, on disk when this returns.

        Parameters
        ----------
        kind, subject : str
        facts : mapping, optional
            JSON values; no value of a row, no id of a listener but a keyed one.
        at : datetime
        after : int, optional
            How many lines of this kind the caller knows of: where there are others, somebody else went on meanwhile.

        Raises
        ------
        PrivacyBudgetError
            If there are others.
        """
        (line,) = self.record_all(kind, {subject: facts or {}}, at=at, after=after)
        return line

    def record_all(
        self, kind: str, facts: Mapping[str, Mapping[str, Any]], *, at: datetime, after: int | None = None
    ) -> list[Line]:
        """Add lines by their subject as :meth:`record` does, all or, after a crash, none of them."""
        with self._database.deciding(f"witness {self.deployment}") as connection:
            found = sa.select(sa.func.count().filter(_OF.kind == kind), sa.func.max(_OF.number))
            known, last = connection.execute(found.where(_OF.deployment == self.deployment)).one()
            if after is not None and known != after:
                raise PrivacyBudgetError(
                    f"the {self.name} has {known} lines of what was {kind}, and this workspace knows {after}: another "
                    "copy of it went on meanwhile, and only one of them can",
                    hint="Nothing of this run counts. Go on with the other copy, and remove this one.",
                )
            numbered = enumerate(facts.items(), (last or 0) + 1)
            lines = [Line(self.deployment, number, kind, subject, some, at) for number, (subject, some) in numbered]
            if lines:
                connection.execute(sa.insert(_LINES), list(map(_row, lines)))
        return lines

    def lines(self, *kinds: str) -> list[Line]:
        """Return the deployment's lines, of some kinds or all, in the order in which they were written."""
        lines = _lines(self._database.read(self._own, {"deployment": self.deployment}))
        return [line for line in lines if not kinds or line.kind in kinds]

    def every(self) -> list[Line]:
        """Return the lines of all deployments."""
        return _lines(self._database.read(self._every, {}))


def place_of(settings: Settings) -> Path | str:
    """Return where the witness is: what the settings say, else beside what is logged."""
    named = settings.privacy.witness.get_secret_value()
    if not named:
        return settings.tracking.folder / "witness.db"
    return named if "://" in named else Path(named)


def witness_of(workspace: Workspace, *, settings: Settings, at: datetime) -> Witness:
    """Open the witness of a workspace; one that is not known there begins.

    A workspace without an id is looked for by its listener key, if something stands on it, and by where it lies: what
    is found may be all that is left of it.

    Raises
    ------
    PrivacyBudgetError
        If the workspace was witnessed once and the witness does not know it.
    SettingsError, NotReadyError
        As :class:`Witness` does.
    """
    witness, names = Witness(place_of(settings)), _names(workspace)
    known = workspace.id_file.exists()
    found = workspace.id_file.read_text().strip() if known else _last_named(witness.every(), names)
    witness = witness.of(found or secrets.token_hex(16))
    mine = {(line.kind, line.subject) for line in witness.lines()}
    if known and not mine and workspace.is_begun:
        raise PrivacyBudgetError(
            f"the {witness.name} does not know this workspace, which was witnessed before: it is another one, or lost",
            hint=f"Check privacy.witness and tracking.folder, or restore it from a backup. {accepting('witness')}",
        )
    if (PLACE, names[PLACE]) not in mine:
        witness.record(PLACE, names[PLACE], at=at)
    if not known:
        replace_file(workspace.id_file, witness.deployment.encode())
    return witness


def witness_at_hand(workspace: Workspace, *, settings: Settings) -> Witness | None:
    """Open the witness of a workspace to read it; None where it is elsewhere, cannot be asked, or knows nothing."""
    place = place_of(settings)
    if not workspace.id_file.exists() or (isinstance(place, Path) and not place.exists()):
        return None
    try:
        witness = Witness(place, deployment=workspace.id_file.read_text().strip())
        return witness if witness.lines() else None
    except NotReadyError:
        return None


def begin_again(workspace: Workspace, *, settings: Settings, at: datetime) -> None:
    """Let a witness that forgot a workspace know it again, as the same."""
    witness = Witness(place_of(settings), deployment=workspace.id_file.read_text().strip())
    witness.record(PLACE, _names(workspace)[PLACE], at=at)


def check_key(witness: Witness, key: bytes, *, lines: Sequence[Line], at: datetime) -> None:
    """Refuse another listener key than the one that is witnessed, by its lines; the first one is witnessed here.

    Raises
    ------
    SettingsError
        If something stands on the other one.
    """
    mine = fingerprint(key)
    known = [line.subject for line in lines if line.kind == KEY]
    if known and known[-1] == mine:
        return
    if known and any(line.kind not in {PLACE, KEY} for line in lines):
        raise SettingsError(
            "the listener key is another than the witnessed one: consents, stored plays and what listeners have earned "
            "are kept under that, and with this one they are nobody's",
            hint=f"Restore listener.key from a backup. {accepting('key')}",
        )
    witness.record(KEY, mine, at=at)


def _names(workspace: Workspace) -> dict[str, str]:
    """Return by what a workspace without an id may be known: a key alone, on which nothing stands, tells of nothing."""
    names = {PLACE: hashlib.sha256(str(workspace.root.resolve()).encode()).hexdigest()[:32]}
    if workspace.has_listener_key and workspace.is_begun:
        names[KEY] = fingerprint(workspace.listener_key())
    return names


def _last_named(lines: Iterable[Line], names: Mapping[str, str]) -> str | None:
    """Return the deployment that was known last by a key, else by a place."""
    named = sorted((line for line in lines if names.get(line.kind) == line.subject), key=lambda line: line.at)
    by_key = [line.deployment for line in named if line.kind == KEY]
    return next(reversed(by_key or [line.deployment for line in named]), None)


def _create(path: Path) -> None:
    try:
        make_folder(path.parent)
        path.touch(mode=0o600)
        fsync(path.parent)
    except OSError as error:
        raise NotReadyError(
            f"the witness {path} cannot be written ({error.strerror}), and what is not witnessed is not released",
            hint="Make room for it, or name another place in privacy.witness.",
        ) from None


def _prepare(database: Database) -> None:
    """Create the table, which is never changed: a line that was written stays."""
    with database.deciding("witness schema") as connection:
        _METADATA.create_all(connection)
        for statement in _KEPT_IN_POSTGRESQL if database.is_postgresql else _KEPT_IN_SQLITE:
            connection.exec_driver_sql(statement)


def _lines(rows: Iterable[Sequence[Any]]) -> list[Line]:
    return [
        Line(deployment, number, kind, subject, json.loads(facts), datetime.fromisoformat(at))
        for deployment, number, kind, subject, facts, at in rows
    ]


def _row(line: Line) -> dict[str, Any]:
    return {**vars(line), "facts": json.dumps(dict(line.facts), sort_keys=True), "at": line.at.isoformat()}


_KEPT_IN_SQLITE = tuple(
    f"CREATE TRIGGER IF NOT EXISTS witnessed_{event.lower()} BEFORE {event} ON witnessed "
    "BEGIN SELECT RAISE(ABORT, 'append only'); END"
    for event in ("UPDATE", "DELETE")
)

_KEPT_IN_POSTGRESQL = (
    """
    CREATE OR REPLACE FUNCTION witnessed_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'append only' USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    "CREATE OR REPLACE TRIGGER kept BEFORE UPDATE OR DELETE ON witnessed "
    "FOR EACH ROW EXECUTE FUNCTION witnessed_kept()",
    "CREATE OR REPLACE TRIGGER whole BEFORE TRUNCATE ON witnessed EXECUTE FUNCTION witnessed_kept()",
)
