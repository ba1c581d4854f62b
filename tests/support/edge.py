"""A small published snapshot and a client, for all tests of the endpoint: every name and number is known here."""

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import h3
import httpx
import numpy as np
from fastapi import FastAPI
from support.sealing import sealed_in

from pipelines.night.public_files import write_public
from recsys.artifacts.addresses import artist_address, song_address
from recsys.artifacts.affinities import NO_TRACK, Affinities, default_orders, nobody, write
from recsys.artifacts.chart_database import PublishedPlace, write_chart_database
from recsys.artifacts.chart_history import Night, append
from recsys.artifacts.public_files import rendering
from recsys.artifacts.recent_plays import Song, recent_plays_of
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.geography.names import Name
from recsys.releases.snapshot.publishing import link_public
from recsys.serving.app import create_app
from recsys.serving.auth.tokens import mint
from recsys.serving.state.export import ListenerRecords
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of, replace_file, staged, write_manifest

NOW = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
AS_OF = "2026-10-31"

# Public centres of cities; the cells follow from them.
LISBON = h3.latlng_to_cell(38.72, -9.14, 5)
PORTO = h3.cell_to_parent(h3.latlng_to_cell(41.15, -8.61, 5), 4)  # a region of resolution 4, and not served
SUVA = h3.latlng_to_cell(-18.14, 178.44, 5)
ALENTEJO = h3.latlng_to_cell(37.9, -7.9, 5)  # in no region; its parent of resolution 4 belongs to Portugal
OCEAN = h3.latlng_to_cell(0.0, -30.0, 5)

_PLACES = [
    PublishedPlace("world", "World", None, "world", None, 0.0, 0.0, 8_000_000_000, "world", True),
    PublishedPlace(
        "PT", "Portugal", "Portugal", "country", "world", 39.69, -8.13, 10_000_000, "portugal portugal", True
    ),
    PublishedPlace("FJ", "Fiji", "Fiji", "country", "world", -18.0, 178.0, 900_000, "fiji fiji", False),
    PublishedPlace(LISBON, "Lisboa", "Portugal", "region", "PT", 38.7, -9.1, 500_000, "lisboa portugal", True),
    PublishedPlace(PORTO, "Pôrto", "Portugal", "region", "PT", 41.1, -8.6, 600_000, "porto portugal", False),
    PublishedPlace(SUVA, "Suva", "Fiji", "region", "FJ", -18.1, 178.4, 90_000, "suva fiji", False),
]


def items(place: str, *, size: int) -> list[dict[str, Any]]:
    """The items of a chart, which say where they come from."""
    return [
        {
            "rank": rank,
            "previous_rank": "new" if rank == 2 else rank + 1,
            "nights_on_chart": rank,
            "track_id": f"track-{rank}",
            "title": f"Song {rank} of {place}",
            "artist": "The Ünits",
            "artist_id": "ünits",
            "listeners": {"estimate": 100.0 / rank, "low": 90.0 / rank, "high": 110.0 / rank},
            "lift": 1.5,
            "lift_interval": {"low": 0.9, "high": 1.9},
            "nights": 7,
            "reason": "made by hand",
        }
        for rank in range(1, size + 1)
    ]


def listed(place: str, *, size: int) -> list[dict[str, Any]]:
    """The same items as a listener's list has them of whom nothing is known or may be used."""
    extra = {"because": "popular_here", "source": {"chart": "popular", "place": place}}
    return [item | extra | pages_of(item) for item in items(place, size=size)]


def pages_of(item: dict[str, Any]) -> dict[str, str]:
    """The addresses of a line's pages: a track has one, by the title that the first list gives it."""
    title = f"Song {item['rank']} of {LISBON}"
    song, artist = song_address(item["track_id"], title), artist_address(item["artist_id"], item["artist"])
    return {"page": song, "artist_page": artist}


_NAMES = [Name("almada", LISBON, "Almada", 100_000, own=True), Name("ulyssipo", LISBON, "Lisboa", 500_000, own=False)]


def publish(
    workspace: Workspace, *, as_of: str = AS_OF, size: int = 100, point: bool = True, files: Settings | None = None
) -> str:
    """Write a snapshot with charts of Lisbon, Portugal and the world, with public files or without, and point to it."""
    name = f"{as_of}-0123abcd"
    nights = [str(date.fromisoformat(as_of) - timedelta(days=back)) for back in range(6, -1, -1)]
    with staged(workspace.snapshots / name) as folder:
        _write_charts(folder / "charts.db", size=size)
        facts = {"id": name, "as_of": as_of, "nights": nights, "atlas": "a", "settings": "s", "ledger": []}
        if files:
            facts["rendering"] = rendering(files)
            write_public(folder, facts, workspace=workspace, settings=files)
        write_manifest(folder, facts, names=["charts.db", *(["public/manifest.json"] if files else [])])
    if point:
        replace_file(workspace.current, name.encode())
        link_public(workspace)
    return name


def keep_nights(workspace: Workspace, *, last: str = AS_OF, nights: int = 30, size: int = 10) -> None:
    """Keep charts of Lisbon, Portugal and the world for some nights: number one was number two the night before."""
    end = date.fromisoformat(last)
    for night in (end - timedelta(days=back) for back in range(nights - 1, -1, -1)):
        turned = night.toordinal() % 2
        lists = [
            (place, "popular", _kept(place, night, size=size, turned=bool(turned))) for place in (LISBON, "PT", "world")
        ]
        charted = Night(night, night + timedelta(days=1 if night > end - timedelta(days=7) else 9), 7, "v")
        artists = {f"track-{rank}": "ünits" for rank in range(1, size + 1)}
        append(workspace.history, charted, lists, kept=size, artists=artists)


def _kept(place: str, night: date, *, size: int, turned: bool) -> list[dict[str, Any]]:
    """Items of a past night, of which every second one has the first two in the other order."""
    found = past_items(place, night, size=size)
    if turned:
        first, second = found[:2]
        found[:2] = [{**second, "rank": 1}, {**first, "rank": 2}]
    return found


def past_items(place: str, night: date, *, size: int) -> list[dict[str, Any]]:
    """Items as they were told on a night."""
    facts = {"first_rank": 1, "peak_rank": 1, "nights": 1, "first_night": str(night), "peak_night": str(night)}
    return [item | {"history": facts, "reason": f"made for {night}"} for item in items(place, size=size)]


def decide(
    workspace: Workspace,
    user_id: str,
    state: State,
    *,
    purpose: Purpose = Purpose.LOCAL_TRENDS,
    at: datetime = NOW - timedelta(days=1),
    notice: str = "2026-09",
) -> None:
    """Let a listener give or withdraw consent, by default under the notice of the settings."""
    listener = listener_of(user_id, key=workspace.listener_key())
    _log(workspace.consents).append([Entry(listener, purpose, state, at, notice)])


@lru_cache(maxsize=1)
def _log(place: Path) -> ConsentLog:
    """Open a log once for many decisions: that takes as long as a hundred of them."""
    return ConsentLog(place)


def remember(
    workspace: Workspace,
    close: Mapping[str, Mapping[str, float]],
    *,
    played: Sequence[str] = (),
    challenger: Mapping[str, Mapping[str, float]] | None = None,
) -> Affinities:
    """Write what is close to each user, by track; the played ones were played by everybody who has them.

    Where there is a challenger, what it says of some of them is written beside it.
    """
    affinities = _affinities(workspace, close, played=played)
    if challenger is not None:
        affinities = replace(affinities, challenger=_affinities(workspace, challenger, played=played), rivals=RIVALS)
    write(sealed_in(workspace.private), affinities)
    return affinities


RIVALS = "0123456789abcdef"


def remember_plays(workspace: Workspace, played: Mapping[str, tuple[str, Collection[str]]]) -> Affinities:
    """Write what each user played lately, with its country, for their friends, as the night does; no more than that."""
    key = workspace.listener_key()
    tracks = sorted({track for _, own in played.values() for track in own})
    songs = [Song(track, f"Title of {track}", "The Ünits", "ünits") for track in tracks]
    recent = recent_plays_of(
        {listener_of(user, key=key): own for user, own in played.items()}, songs=songs, night=AS_OF
    )
    affinities = replace(nobody(), recent=recent)
    write(sealed_in(workspace.private), affinities)
    return affinities


def _affinities(workspace: Workspace, close: Mapping[str, Mapping[str, float]], *, played: Sequence[str]) -> Affinities:
    tracks = tuple(sorted({track for row in close.values() for track in row}))
    key = workspace.listener_key()
    rows = sorted((bytes.fromhex(listener_of(user, key=key)), sorted(row.items())) for user, row in close.items())
    shape = (len(rows), max((len(row) for _, row in rows), default=0))
    columns, closeness = np.full(shape, NO_TRACK, dtype=np.int32), np.zeros(shape, dtype=np.float16)
    for number, (_, row) in enumerate(rows):
        columns[number, : len(row)] = [tracks.index(track) for track, _ in row]
        closeness[number, : len(row)] = [value for _, value in row]
    heard = np.isin(columns, [tracks.index(track) for track in played if track in tracks])
    listeners = np.array([listener for listener, _ in rows], dtype="S16")
    return Affinities("2026-10-31", tracks, default_orders(new=1.0), listeners, columns, closeness, heard)


def bearer(user_id: str, *, workspace: Workspace, settings: Settings, now: datetime = NOW) -> dict[str, str]:
    """The header of a signed-in listener."""
    return {"Authorization": f"Bearer {mint(user_id, workspace=workspace, settings=settings, now=now)}"}


def told(answer: httpx.Response) -> tuple[object, ...]:
    """What an answer tells: all but the name of the request, that of a list, and what is left of the asker's allowance.

    The name of a listener's own list is another one in each answer, for the same listener, too.
    """
    own = {"x-request-id", "ratelimit"}
    headers = tuple((name, value) for name, value in sorted(answer.headers.items()) if name not in own)
    return answer.status_code, headers, unnamed(answer.content)


def unnamed(content: bytes) -> bytes:
    """An answer without the name of its list, which is drawn anew each time."""
    return _LIST.sub(b'"list":""', content)


_LIST = re.compile(rb'"list":"[\w-]+"')


class Client:
    """A client of the endpoint in this process; the clock can be set."""

    def __init__(self, workspace: Workspace, *, settings: Settings, records: ListenerRecords | None = None) -> None:
        self.now = NOW
        self._workspace, self._settings, self._records = workspace, settings, records

    @cached_property
    def app(self) -> FastAPI:
        """Made at the first request, so that its log goes to what captures standard error in the test itself."""
        return create_app(self._workspace, settings=self._settings, clock=lambda: self.now, records=self._records)

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.request("GET", url, **options)

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self.all([(method, url, options)])[0]

    def all(self, requests: Iterable[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """Send many requests, one after the other, and return their answers."""

        async def answers() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return [await client.request(method, url, **options) for method, url, options in requests]

        return asyncio.run(answers())


def _write_charts(path: Path, *, size: int) -> None:
    lists = ((place, "popular", items(place, size=size)) for place in (LISBON, "PT", "world"))
    write_chart_database(
        path, places=_PLACES, cells=[(h3.cell_to_parent(ALENTEJO, 4), "PT")], charts=lists, prices={}, names=_NAMES
    )
