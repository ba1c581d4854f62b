"""The snapshot reader: one published snapshot, verified and opened, and the pointer that says which one it is."""

import re
import sqlite3
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, cast

import structlog

from recsys.errors import NotReadyError, RecsysError
from recsys.geography.places import WORLD, Place
from recsys.serving.snapshot.place_lists import Item, Lists, read_lists
from recsys.serving.snapshot.reload import HotReload
from recsys.workspace import Workspace, read_manifest

DATABASE = "charts.db"


@dataclass(frozen=True)
class PublishedPlace(Place):
    """A place, as the snapshot's atlas knows it.

    Parameters
    ----------
    search : str
        Name and country, casefolded and without accents.
    served : bool
        Whether the place has charts of its own.
    """

    search: str
    served: bool


@dataclass(frozen=True, eq=False)
class Published:
    """A snapshot that was verified; immutable, and safe to read from many threads.

    Build it with :func:`open_published`. Its file stays readable for as long as somebody holds this object, even when
    the folder is removed meanwhile.

    Parameters
    ----------
    id : str
    as_of : str
        The last night behind the charts, as an ISO date.
    nights : int
        How many nights are behind the charts.
    charts : tuple of str
        Which charts there are.
    places : mapping of id to PublishedPlace
        All places of the atlas, the largest population first.
    tracks : tuple of str
        The ids of all tracks on any list.
    """

    id: str
    as_of: str
    nights: int
    charts: tuple[str, ...]
    places: Mapping[str, PublishedPlace]
    tracks: tuple[str, ...] = field(repr=False)
    _database: sqlite3.Connection
    _turn: Lock = field(default_factory=Lock)  # two threads in one connection read each other's rows
    _kept: dict[str, Lists | None] = field(default_factory=dict)

    def items(self, place_id: str, *, chart: str) -> list[Item] | None:
        """Return all ranks of a place's own chart, or None where there is none."""
        lists = self.lists(place_id)
        return lists.items(chart) if lists else None

    def lists(self, place_id: str) -> Lists | None:
        """Return a place's own lists, or None where it has none; those of countries and of the world are kept."""
        place = self.places.get(place_id)
        if place is None or place.level == "region":
            return self.read(place_id)
        if place_id not in self._kept:
            self._kept[place_id] = self.read(place_id)
        return self._kept[place_id]

    def read(self, place_id: str) -> Lists | None:
        """Return the same, read anew: its time does not tell whether somebody else has asked for the place."""
        with self._turn:
            return read_lists(self._database, place_id)

    def country_of(self, cell: str) -> str | None:
        """Return the id of the country that a cell belongs to by public geography, or None."""
        with self._turn:
            row = self._database.execute("SELECT country FROM cells WHERE cell = ?", (cell,)).fetchone()
        return None if row is None else cast(str, row[0])


def open_published(workspace: Workspace) -> Published:
    """Open the snapshot that the workspace points to.

    Raises
    ------
    NotReadyError
        If nothing was published yet, or what was published is not whole.
    """
    try:
        name = workspace.current.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        raise NotReadyError("no snapshot has been published yet", hint="Run `hearabouts nightly` first.") from None
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise NotReadyError(f"{workspace.current} names no snapshot", hint=_REPUBLISH)
    return _open(workspace.snapshots / name)


class Current(HotReload[Published]):
    """Follows the workspace's pointer: a new snapshot is picked up by the first request that finds it.

    Parameters
    ----------
    workspace : Workspace
    log : structlog logger
        Told which snapshot is served from now on, or why a new one is not.
    found : callable, optional
        Told ``served`` or ``refused`` of every new snapshot.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        log: structlog.typing.FilteringBoundLogger,
        found: Callable[[str], None] = lambda _: None,
    ) -> None:
        opened = partial(open_published, workspace)
        super().__init__(workspace.current, opened=opened, what="snapshot", log=log, found=found)


_REPUBLISH = "Restore the folder from a backup, or publish again."


def _open(folder: Path) -> Published:
    try:
        manifest = read_manifest(folder)
        return _read(folder, manifest)
    except (RecsysError, sqlite3.Error, OSError, LookupError, AttributeError, TypeError, ValueError) as error:
        reason = error.message if isinstance(error, RecsysError) else type(error).__name__
        raise NotReadyError(f"the snapshot {folder.name} is not whole ({reason})", hint=_REPUBLISH) from None


def _read(folder: Path, manifest: Mapping[str, Any]) -> Published:
    if manifest["id"] != folder.name or DATABASE not in manifest["files"]:
        raise ValueError
    uri = f"{(folder / DATABASE).resolve().as_uri()}?mode=ro&immutable=1"
    database = sqlite3.connect(uri, uri=True, check_same_thread=False)  # threads take turns
    try:
        charts = tuple(chart for (chart,) in database.execute("SELECT DISTINCT chart FROM charts ORDER BY chart"))
        tracks = tuple(track for (track,) in database.execute("SELECT id FROM tracks ORDER BY code"))
        nights, places = len(manifest["nights"]), _places(database)
        published = Published(folder.name, manifest["as_of"], nights, charts, places, tracks, database)
    except BaseException:
        database.close()
        raise
    weakref.finalize(published, database.close)
    return published


def _places(database: sqlite3.Connection) -> dict[str, PublishedPlace]:
    names = [each.name for each in fields(PublishedPlace)]
    rows = database.execute(f"SELECT {', '.join(names)} FROM places ORDER BY population DESC, id")  # noqa: S608
    values = (dict(zip(names, row, strict=True)) for row in rows)
    places = {place["id"]: PublishedPlace(**place | {"served": bool(place["served"])}) for place in values}
    if WORLD not in places:
        raise ValueError
    return places
