"""The step of the night that writes the public half as files: all that needs neither a listener nor a query.

The functions of the endpoint's own routes make them, so that both give the same bytes. Only places with charts of
their own have files: what all others would say is their larger place's list, in thousands of copies, and the endpoint
says it when asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from starlette.responses import JSONResponse

from recsys.artifacts.addresses import (
    answer_address,
    artist_address,
    next_week_address,
    past_address,
    place_address,
    song_address,
)
from recsys.artifacts.list_candidates import CHARTS
from recsys.artifacts.privacy_account import Accounted, read_privacy_account
from recsys.artifacts.public_files import LinkedFile, PublicFile, write_files
from recsys.errors import NotReadyError
from recsys.releases.snapshot.open_data import OpenFolder, open_folders
from recsys.serving.app import routed
from recsys.serving.lists.number_ones import number_ones_answer
from recsys.serving.lists.releases import RELEASES, OpenData, ReleasesAnswer, releases_answer
from recsys.serving.lists.responses import chart_answer, region_answer, regions_answer, regions_geojson
from recsys.serving.lists.songs import artist_answer, track_answer
from recsys.serving.pages.routes import PageParameters, assets, charts_of, licences
from recsys.serving.pages.song_pages import artist_of_page, next_week_of_page, past_of_page, song_of_page
from recsys.serving.pages.templates import MISSING, rendered
from recsys.serving.requests.query import size_of_list
from recsys.serving.routes.transparency import transparency_of
from recsys.serving.snapshot.snapshot_reader import Published, open_staged
from recsys.settings import CatalogueSettings, Settings
from recsys.workspace import PUBLIC, Workspace

_OF_DATA = {
    "parquet": "application/vnd.apache.parquet",
    "csv.gz": "application/gzip",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "": "text/plain; charset=utf-8",
}
JSON, GEOJSON, HTML = "application/json", "application/geo+json", "text/html; charset=utf-8"


def write_public(stage: Path, facts: Mapping[str, Any], *, workspace: Workspace, settings: Settings) -> None:
    """Write ``public/`` into a staged snapshot, from its charts and the account as they are.

    Parameters
    ----------
    stage : Path
        Has ``charts.db``.
    facts : mapping
        What the manifest will say: ``id``, ``as_of`` and ``nights`` among it.
    workspace : Workspace
    settings : Settings
    """
    with open_staged(stage, facts) as published:
        nights, months = open_folders(workspace)
        told = releases_answer(published, nights=_told(nights, "releases"), months=_told(months, "history"))
        files = _public_files(published, settings=settings, account=_account(workspace), releases=told)
        linked = [*_linked(nights, "releases"), *_linked(months, "history")]
        write_files(stage / PUBLIC, files, linked=linked, before=workspace.public)


def _public_files(
    published: Published, *, settings: Settings, account: Accounted | None, releases: ReleasesAnswer
) -> Iterator[PublicFile]:
    """Yield all files; the account goes stale where a partner file spends more, and so the endpoint has its own."""
    yield from _regions(published, settings)
    size = size_of_list(None, settings=settings, most=settings.charts.size)
    yield from _charts(published, size=size)
    yield from _songs(published, settings)
    yield PublicFile(RELEASES, to_json(releases), JSON)
    yield _page("data/index.html", "data.html", {"releases": releases})
    told = transparency_of(settings, published=published, account=account)
    yield PublicFile("v1/transparency.json", to_json(told), JSON)
    yield PublicFile("openapi.json", bytes(JSONResponse(routed(settings=settings).openapi()).body), JSON)
    world = charts_of(published, PageParameters(), limit=size, catalogue=settings.catalogue)
    pages = {
        "index": (world.pop("template"), world),
        "transparency": ("transparency.html", {"found": told}),
        "licences": ("licences.html", {"others": licences()}),
        "404": ("problem.html", {"problem": MISSING}),
        "503": ("problem.html", {"problem": _AWAY}),
    }
    for name, (template, values) in pages.items():
        yield _page(f"{name}.html", template, values)
    for name in ("transparency", "licences"):  # for servers that know no endings
        yield _page(f"{name}/index.html", *pages[name])
    yield _page("me/index.html", "problem.html", {"problem": _PERSONAL})
    yield from _place_pages(published, size=size, catalogue=settings.catalogue)
    yield from _next_week(published)
    yield from _song_pages(published, settings)
    for name, content, media_type in assets():
        yield PublicFile(f"assets/{name}", content, media_type)


def _regions(published: Published, settings: Settings) -> Iterator[PublicFile]:
    most = settings.serving.max_regions
    first = size_of_list(None, settings=settings, most=most)
    yield PublicFile("v1/regions.json", to_json(regions_answer(published, query="", limit=first)), JSON)
    yield PublicFile("v1/regions.geojson", to_json(regions_geojson(published, query="", limit=first)), GEOJSON)
    yield PublicFile("v1/regions/all.json", to_json(regions_answer(published, query="", limit=most)), JSON)
    yield PublicFile("v1/regions/map.json", to_json(number_ones_answer(published)), JSON)


def _charts(published: Published, *, size: int) -> Iterator[PublicFile]:
    for place in published.places.values():
        if place.served:
            found = region_answer(published, place_id=place.id)
            yield PublicFile(f"v1/regions/{place.id}.json", to_json(found), JSON)
        for chart in CHARTS if place.served else ():
            answer = chart_answer(published, place_id=place.id, chart=chart, limit=size)
            yield PublicFile(f"v1/regions/{place.id}/charts/{chart}.json", to_json(answer), JSON)


def _told(folders: Sequence[OpenFolder], kind: str) -> list[OpenData]:
    """Return what is told of folders of open data: each file with where it is and its digest."""
    return [
        {
            "name": each.name,
            "drawn": each.facts.get("drawn"),
            "files": [
                {
                    "name": name,
                    "url": f"/v1/{kind}/{each.name}/{name}",
                    "bytes": facts["bytes"],
                    "sha256": facts["sha256"],
                }
                for name, facts in each.facts["files"].items()
            ],
        }
        for each in folders
    ]


def _linked(folders: Sequence[OpenFolder], kind: str) -> Iterator[LinkedFile]:
    for each in folders:
        for name, facts in each.facts["files"].items():
            path, media_type = f"v1/{kind}/{each.name}/{name}", _OF_DATA[name.partition(".")[2]]
            yield LinkedFile(path, each.folder / name, facts["bytes"], facts["sha256"], media_type)


def _songs(published: Published, settings: Settings) -> Iterator[PublicFile]:
    """Yield what is answered of each track that was listed, as far back as there is room for, and of their artists."""
    size = size_of_list(None, settings=settings, most=settings.charts.size)
    songs = published.history.latest_songs(limit=settings.history.songs)
    for song in songs:
        track = track_answer(published, track_id=song.track_id, limit=size, catalogue=settings.catalogue)
        yield PublicFile(answer_address("tracks", song.track_id)[1:], to_json(track), JSON)
    for id_ in dict.fromkeys(song.artist_id for song in songs):
        artist = artist_answer(published, artist_id=id_, limit=size)
        yield PublicFile(answer_address("artists", id_)[1:], to_json(artist), JSON)


def _place_pages(published: Published, *, size: int, catalogue: CatalogueSettings) -> Iterator[PublicFile]:
    """Yield the pages of places: of one without charts of its own, at least where to find some."""
    for place in published.places.values():
        for chart in CHARTS if place.served else ():
            found = charts_of(published, PageParameters(place=place.id, chart=chart), limit=size, catalogue=catalogue)
            yield _page(f"{place_address(place, chart)[1:]}index.html", found.pop("template"), found)
        if place.served and published.history.nights:
            found = past_of_page(published, place)
            yield _page(f"{past_address(place)[1:]}index.html", found.pop("template"), found)


def _next_week(published: Published) -> Iterator[PublicFile]:
    """Yield what is forecast, as an answer and, where there are nights to lead to it, as a page."""
    for place in published.places.values():
        if place.served:
            found = next_week_of_page(published, place)
            yield PublicFile(f"v1/regions/{place.id}/next-week.json", to_json(found["answer"]), JSON)
            if published.history.nights:
                yield _page(f"{next_week_address(place)[1:]}index.html", found.pop("template"), found)


def _song_pages(published: Published, settings: Settings) -> Iterator[PublicFile]:
    songs = published.history.latest_songs(limit=settings.history.songs)
    for song in songs:
        found = song_of_page(published, song.track_id, catalogue=settings.catalogue)
        address = song_address(song.track_id, song.title)
        yield _page(f"{address[1:]}index.html", found.pop("template"), found)
    for id_, name in dict.fromkeys((song.artist_id, song.artist) for song in songs):
        found = artist_of_page(published, id_, catalogue=settings.catalogue)
        yield _page(f"{artist_address(id_, name)[1:]}index.html", found.pop("template"), found)


def _page(path: str, template: str, values: Mapping[str, Any]) -> PublicFile:
    return PublicFile(path, rendered(template, **values).encode(), HTML)


def _account(workspace: Workspace) -> Accounted | None:
    try:
        return read_privacy_account(workspace)
    except NotReadyError:
        return None


_PERSONAL = {
    "title": "Your own part is away",
    "text": "Your own list and your switches are served by a program that does not answer right now. Please come back.",
}
_AWAY = {
    "title": "This part is away",
    "text": "Other places, the search and your own part are served by a program that does not answer right now. "
    "Please come back.",
}
