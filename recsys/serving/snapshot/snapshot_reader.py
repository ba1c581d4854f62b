"""The snapshot reader: one published snapshot, verified and opened, and the pointer that says which one it is."""

import re
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

import orjson
import structlog

from recsys.artifacts.addresses import pages_of
from recsys.artifacts.chart_database import DATABASE, FORMATS, ChartDatabase, Line, Lists, PublishedPlace
from recsys.artifacts.chart_history import ChartHistory, open_history
from recsys.artifacts.likeness import Likeness
from recsys.artifacts.public_files import NO_FILES, PublicFolder, open_folder
from recsys.causes import not_ready
from recsys.errors import NotReadyError, RecsysError
from recsys.geography.names import Name, meant
from recsys.geography.places import WORLD, chain
from recsys.geography.spelling import searchable
from recsys.serving.snapshot.past import NO_PAST, Past
from recsys.serving.snapshot.place_lists import Item, Price
from recsys.serving.snapshot.reload import HotReload
from recsys.versions import check_version
from recsys.workspace import MANIFEST, PUBLIC, Workspace, age_of, read_manifest


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
    files : PublicFolder
        Its public answers as files.
    files_by : mapping or None
        The rendering that they were made by.
    past : Past
        The charts of all nights until then, which may be away.
    number : int
        How many were opened before it: what is opened later is newer here, whatever its nights.
    """

    id: str
    as_of: str
    nights: int
    charts: tuple[str, ...]
    places: Mapping[str, PublishedPlace]
    tracks: tuple[str, ...] = field(repr=False)
    _database: ChartDatabase
    files: PublicFolder = field(default=NO_FILES, repr=False)
    files_by: Mapping[str, int | str] | None = None
    past: Past = field(default=NO_PAST, repr=False)
    number: int = field(default_factory=count().__next__)
    _kept: dict[str, Lists | None] = field(default_factory=dict)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The position of each track in ``tracks``."""
        return {track: number for number, track in enumerate(self.tracks)}

    @cached_property
    def served(self) -> tuple[PublishedPlace, ...]:
        """The places with charts of their own, the largest population first."""
        return tuple(place for place in self.places.values() if place.served)

    @property
    def history(self) -> ChartHistory:
        """The charts of all nights.

        Raises
        ------
        NotReadyError
            If they cannot be read now.
        """
        return self.past.get()

    def meant(self, text: str) -> list[Name]:
        """Return the places that a person means by a name or an id, the likeliest first."""
        return meant(text, named=self._named, chain=self._chain)

    def named_like(self, search: str) -> list[Name]:
        """Return what has a name that begins so, the most people first."""
        return self._database.named_like(search)

    def own_names(self) -> list[Name]:
        """Return the own names of all places and of towns, and the English ones of countries and of the world."""
        own = (name for names in self._own_names.values() for name in names)
        return [*(each for each in own if each.search != each.place.casefold()), *self._database.own_names()]

    def _named(self, search: str) -> list[Name]:
        return [*self._own_names.get(search, ()), *self._database.named(search)]

    def _chain(self, place_id: str) -> Iterator[str]:
        return chain(place_id, parent_of=lambda here: self.places[here].parent)

    @cached_property
    def _own_names(self) -> Mapping[str, list[Name]]:
        """The names and ids of all places, which need no index."""
        found: dict[str, list[Name]] = {}
        for place in self.places.values():
            for name in {searchable(place.name), place.id.casefold()}:
                found.setdefault(name, []).append(Name(name, place.id, place.name, place.population, own=True))
        return found

    def items(self, place_id: str, *, chart: str) -> list[Item] | None:
        """Return all ranks of a place's own chart, or None where there is none."""
        return cast("list[Item] | None", self._database.chart(place_id, chart))

    def price(self, place_id: str, *, chart: str) -> Price | None:
        """Return what it costs to bring a track onto a place's own chart, or None where nothing can be listed."""
        price = self._database.price(place_id, chart)
        return None if price is None else {"first_20": price.first_20, "rank_1": price.rank_1}

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
        return self._database.lists(place_id)

    def lines(self, lines: Sequence[Line]) -> list[dict[str, Any]]:
        """Return the items of some lines of any lists; they are the caller's own."""
        return self._database.items([line.number for line in lines])

    def pages(self, tracks: Sequence[int], items: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        """Return where the pages of some tracks, by their numbers, and of their artists are; beside their items."""
        return self._database.pages(tracks) or list(map(pages_of, items))

    def most_bytes(self, lines: int) -> int:
        """Return how long so many lines of any list are at most together, as JSON; 0 where nobody has measured."""
        return self._database.most_bytes(lines)

    @cached_property
    def longest_place(self) -> "PublishedPlace":
        """No place, but one whose every word and number is as long as that of any place, as JSON."""
        places = self.places.values()
        name, country, id_ = (
            max((getattr(place, key) or "" for place in places), key=lambda text: len(orjson.dumps(text)))
            for key in ("name", "country", "id")
        )
        population = max(place.population for place in places)
        return PublishedPlace(
            id_, name, country, "region", id_, _LONGEST, _LONGEST, population, search="", served=False
        )

    @cached_property
    def likeness(self) -> Likeness:
        """What the lists of regions, or where there are none of countries, say of all tracks; largest places first."""
        level = "region" if any(place.level == "region" for place in self.served) else "country"
        return self._database.likeness([place.id for place in self.served if place.level == level])

    def country_of(self, cell: str) -> str | None:
        """Return the id of the country that a cell belongs to by public geography, or None."""
        return self._database.country_of(cell)


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
    return open_snapshot(workspace.snapshots / name)


def open_newest(workspace: Workspace) -> Published | None:
    """Open the newest whole snapshot, whatever the pointer names; None where there is none."""
    folders = (path for path in workspace.snapshots.glob("[!.]*") if path.is_dir())
    for folder in sorted(folders, key=age_of, reverse=True):
        with suppress(NotReadyError):
            return open_snapshot(folder)
    return None


@contextmanager
def open_staged(folder: Path, facts: Mapping[str, Any]) -> Iterator[Published]:
    """Open, for a block, what is about to be published: there is no manifest yet, but only what it will say.

    Raises
    ------
    NotReadyError
        If the charts of all nights cannot be read: nothing is published without them.
    """
    published = _read_charts(folder, facts)
    try:
        published.past.get()
        yield published
    finally:
        published._database.close()
        published.past.close()


class Current(HotReload[Published]):
    """Follows the workspace's pointer: a new snapshot is picked up by the first request that finds it.

    Where the first one that it finds is not whole, it begins with the newest that is.

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
        opened = partial(_told, lambda: open_published(workspace), log)
        instead = partial(_told, lambda: open_newest(workspace), log)
        super().__init__(workspace.current, opened=opened, what="snapshot", log=log, found=found, instead=instead)


Found = TypeVar("Found", bound=Published | None)


def _told(opened: Callable[[], Found], log: structlog.typing.FilteringBoundLogger) -> Found:
    """Open a snapshot, and tell the log where its past is away: once, and not at every request."""
    found = opened()
    if found is not None and found.past.refusal:
        log.error("chart history away", id=found.id, reason=found.past.refusal.message)
    return found


_LONGEST = -2.2250738585072014e-308  # no number of degrees has more digits
_REPUBLISH = "Restore the folder from a backup, or publish again."


def open_snapshot(folder: Path) -> Published:
    """Open one snapshot, verified.

    Raises
    ------
    NotReadyError
        If it is not whole.
    """
    try:
        manifest = read_manifest(folder)
        return _read(folder, manifest)
    except (RecsysError, sqlite3.Error, OSError, LookupError, AttributeError, TypeError, ValueError) as error:
        refused = not_ready(error, f"the snapshot {folder.name}")
        if refused and not isinstance(error, FileNotFoundError):
            raise refused from None
        reason = error.message if isinstance(error, RecsysError) else type(error).__name__
        raise NotReadyError(f"the snapshot {folder.name} is not whole ({reason})", hint=_REPUBLISH) from None


def _read(folder: Path, manifest: Mapping[str, Any]) -> Published:
    found = manifest.get("format", FORMATS[0])  # before it was written down its tables tell
    check_version("it", found, known=FORMATS)
    if manifest["id"] != folder.name or DATABASE not in manifest["files"]:
        raise ValueError
    public = open_folder(folder / PUBLIC) if f"{PUBLIC}/{MANIFEST}" in manifest["files"] else NO_FILES
    return _read_charts(folder, manifest, files=public)


def _read_charts(folder: Path, facts: Mapping[str, Any], *, files: PublicFolder = NO_FILES) -> Published:
    database = ChartDatabase(folder / DATABASE)
    try:
        charts, places, tracks = tuple(database.charts()), _places(database), tuple(database.tracks())
        nights = len(facts["nights"])
        known = (facts["id"], facts["as_of"], nights, charts, places, tracks)
        history = Workspace(folder.parents[1]).history
        past = Past(partial(open_history, history, until=date.fromisoformat(facts["as_of"])))
        published = Published(*known, database, files, facts.get("rendering"), past)
    except BaseException:
        database.close()
        raise
    weakref.finalize(published, database.close)
    weakref.finalize(published, past.close)
    return published


def _places(database: ChartDatabase) -> dict[str, PublishedPlace]:
    places = {place.id: place for place in database.places()}
    if WORLD not in places:
        raise ValueError
    return places
