"""The page: what is trending in a place, as plain HTML that the map and a listener's own part then build upon."""

import json
import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from recsys.artifacts.addresses import id_in
from recsys.artifacts.chart_database import PublishedPlace
from recsys.artifacts.list_candidates import CHARTS
from recsys.consents.log import Purpose
from recsys.geography.places import WORLD, Place
from recsys.geography.positions import FINEST
from recsys.serving.lists.past import WEEK, any_chart_answer, weeks_of
from recsys.serving.lists.responses import Chart, short
from recsys.serving.lists.songs import search_answer
from recsys.serving.openapi.examples import problems
from recsys.serving.pages import templates
from recsys.serving.pages.chart_rows import AXES, BLANK, UNITS, rows
from recsys.serving.pages.courses import place_picture
from recsys.serving.pages.templates import SWITCHES, answered, found_page, shown
from recsys.serving.pages.words import ENGLISH, LANGUAGES, script_of
from recsys.serving.requests.query import size_of_list, without_parameters
from recsys.serving.routes.transparency import TransparencyHere, average_km2
from recsys.serving.snapshot.place import chain, place_named
from recsys.serving.snapshot.response_cache import Answer
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.serving.state.endpoint import Parts
from recsys.settings import CatalogueSettings

router = APIRouter()

_ASSETS = "/assets/{name}"
_NEARBY = 24  # places that a page leads to
_MATCHES = 30  # places that a search shows


class PageParameters(BaseModel):
    """The query of the page."""

    model_config = ConfigDict(extra="ignore")  # what others hang on a link; positions are refused before this

    place: Annotated[str, Query(max_length=20)] = WORLD
    chart: Annotated[str, Query(max_length=20)] = CHARTS[0]
    q: Annotated[str, Query(max_length=100)] = ""
    night: date | None = None
    week: Annotated[str | None, Query(pattern=WEEK)] = None


@router.get("/places/{name}/", include_in_schema=False)
@router.get("/places/{name}/{chart}/", include_in_schema=False)
def named_page(
    request: Request,
    *,
    name: Annotated[str, Path(max_length=200)],
    chart: str = CHARTS[0],
    query: Annotated[PageParameters, Query()],
    parts: Parts,
) -> Response:
    """Show the charts of a place at its own address."""
    # A part of an address may be anything, and is not found then: unlike a query it is not held against the model.
    asked = query.model_copy(update={"place": id_in(name), "chart": chart, "q": ""})
    return place_page(request, asked, parts)


@router.get("/", include_in_schema=False)
def place_page(request: Request, query: Annotated[PageParameters, Query()], parts: Parts) -> Response:
    """Show the charts of a place, or the places that a search finds."""
    limit = size_of_list(None, settings=parts.settings, most=parts.settings.charts.size)

    def find(published: Published) -> dict[str, Any]:
        if query.q.strip():
            return _found(published, query.q, catalogue=parts.settings.catalogue)
        return charts_of(published, query, limit=limit, catalogue=parts.settings.catalogue)

    return found_page(request, find, current=parts.current)


@router.get("/me", include_in_schema=False)
def me_page(request: Request, found: TransparencyHere, parts: Parts) -> Response:
    """Show the frame of a listener's own part, the same for everybody: what is in it, the browser asks for itself."""
    settings = parts.settings
    lines = size_of_list(None, settings=settings, most=settings.charts.size)
    collected = {p.value: [each for each in found["collected"] if p in each["purposes"]] for p in Purpose}
    return shown(
        "me.html",
        request,
        purposes=found["purposes"],
        collected=collected,
        area=round(average_km2(FINEST)),
        near=Purpose.LOCAL_TRENDS.explained,
        version=settings.consents.notice_version,
        notices={purpose.value: purpose.explained for purpose in Purpose},
        names=SWITCHES,
        axis=AXES["popular"],
        unit=UNITS["popular"],
        blank=BLANK,
        lines=lines,
        catalogue=settings.catalogue,
    )


@router.get(
    "/transparency",
    summary="The same as a page",
    response_class=HTMLResponse,
    responses=problems(400),
)
def transparency_page(request: Request, found: TransparencyHere) -> Response:
    """Return what `/v1/transparency` says as plain HTML, which needs no script and nothing from elsewhere."""
    return shown("transparency.html", request, found=found)


@router.get("/licences", include_in_schema=False)
def licences_page(request: Request) -> Response:
    """Show who wrote what the page takes from others."""
    return shown("licences.html", request, others=licences())


def licences() -> list[dict[str, str]]:
    """Return what the page takes from others, each with its licence."""
    file = templates.BUILT / "licences.json"
    return json.loads(file.read_bytes()) if file.is_file() else []


@router.get(_ASSETS, include_in_schema=False, dependencies=[Depends(without_parameters)])
def asset(name: str) -> Response:
    """Return a script, a style, a font or the outline of the land."""
    if name in _WORDS:
        return _packed(script_of(_WORDS[name]), "text/javascript; charset=utf-8")
    found = _asset(name)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return _packed(found.read_bytes(), _media_type(found))


def assets() -> Iterator[tuple[str, bytes, str]]:
    """Yield name, content and media type of every asset that the pages in English need, as they are served."""
    names = {*_OURS, *(path.name for path in templates.BUILT.glob("*"))}
    for name in sorted(names):
        found = _asset(name)
        if found is not None:
            yield name, found.read_bytes(), _media_type(found)


@lru_cache(64)  # there are fewer assets, and catalogues
def _packed(body: bytes, media_type: str) -> Answer:
    answer = answered(body, media_type=media_type, route=_ASSETS, vary="Accept-Encoding")
    answer.pack()
    return answer


def _media_type(asset: FilePath) -> str:
    kind = _TYPES[asset.suffix]
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _asset(name: str) -> FilePath | None:
    if not re.fullmatch(r"[a-z][a-z-]*\.[a-z0-9]+", name) or FilePath(name).suffix not in _TYPES:
        return None
    folders = [templates.BUILT] if name not in _OURS else [templates.PAGES]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_OURS = (
    "page.css",
    "early.js",
    "page.js",
    "session.js",
    "search.js",
    "me.js",
    "pictures.js",
    "list.js",
    "covers.js",
    "share.js",
    "friends.js",
    "reasons.js",
    "voice.js",
    "words.js",
    "icon.svg",
)  # served as they are
_WORDS = {f"words-{language}.js": language for language in LANGUAGES if language != ENGLISH}


def charts_of(
    published: Published, query: PageParameters, *, limit: int, catalogue: CatalogueSettings
) -> dict[str, Any]:
    """Return the template of a place's page, and what is in it."""
    place = place_named(query.place, published=published)
    answer = any_chart_answer(
        published, place_id=place.id, chart=query.chart, limit=limit, night=query.night, week=query.week
    )
    wider = list(chain(place, published=published))[1:]
    return {
        "template": "place.html",
        "place": place,
        "answer": answer,
        "rows": rows(answer["items"], chart=query.chart, place=place.id, called=partial(_called, published)),
        "catalogue": catalogue,
        "axis": AXES[query.chart],
        "unit": UNITS[query.chart],
        **_earlier(published, place, answer),
        "wider": wider,
        "larger": next((each for each in wider if each.served), None),
        "nearby": _nearby(place, published=published),
    }


def _earlier(published: Published, place: Place, answer: Chart) -> dict[str, Any]:
    """Return what leads to earlier nights: which there are, and the course of the first songs; nothing while away."""
    if published.past.refusal:
        return {"chosen": None, "is_past": False, "picture": None}
    nights, is_past = list(published.history.nights), "drawn" in answer
    chosen = {"first": nights[0], "last": nights[-1], "weeks": list(weeks_of(published))[::-1]} if nights else None
    own = answer["items"] if answer["chart"] == CHARTS[0] and answer["scope"] == place.level and not is_past else []
    return {"chosen": chosen, "is_past": is_past, "picture": place_picture(published, place, own)}


def _called(published: Published, place_id: str) -> str:
    return short(published.places[place_id])


def _found(published: Published, query: str, *, catalogue: CatalogueSettings) -> dict[str, Any]:
    found = search_answer(published, query=query, limit=_MATCHES)
    places = [published.places[each["id"]] for each in found["places"]]
    towns = {each["id"]: each["found_by"] for each in found["places"] if "found_by" in each}
    shown = {"query": query, "places": places, "towns": towns, "found": found, "catalogue": catalogue}
    return {"template": "search.html", **shown}


def _nearby(place: Place, *, published: Published) -> list[PublishedPlace]:
    """Return the places with charts within a place, or beside a region."""
    within = place.parent if place.level == "region" else place.id
    return [each for each in published.served if each.parent == within and each.id != place.id][:_NEARBY]
