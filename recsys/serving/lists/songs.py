"""Songs and artists: where they are big, rise and are special, and how they came there, from all published charts."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NotRequired

from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

from recsys.artifacts.addresses import artist_address, song_address
from recsys.artifacts.chart_history import Sighting, Song, Spread
from recsys.artifacts.list_candidates import LOCAL, POPULAR, RISING
from recsys.errors import UnknownNightError, UnknownSongError
from recsys.geography.places import Level
from recsys.messages import template
from recsys.serving.lists.responses import Region, regions_answer
from recsys.serving.snapshot.place import place_named
from recsys.serving.snapshot.place_lists import Bounds, Interval
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.settings import CatalogueSettings

_SEARCH = "Search songs and artists with /v1/search?q=NAME."


class Track(TypedDict):
    """A track and its artist."""

    track_id: str
    title: str
    artist_id: str
    artist: str


class Listed(TypedDict):
    """Where a track is listed: numbers are those of that list, as it was published."""

    place: str
    name: str
    country: str | None
    level: Level
    rank: int
    previous_rank: int | None
    nights_on_chart: int
    peak_rank: int
    listeners: Interval
    lift: float
    lift_interval: Bounds


class Worldwide(TypedDict):
    """A track on the world's popular chart."""

    rank: int
    listeners: Interval


class TrackNight(TypedDict):
    """How far a track had come on a night: on how many popular charts it was, and its best rank there (0 for none)."""

    night: str
    places: int
    rank: int
    world: Worldwide | None


class CourseNight(TypedDict):
    """A night of a track on the popular chart of one place."""

    night: str
    rank: int
    listeners: Interval


class Course(TypedDict):
    """All nights of a track on the popular chart of one place."""

    place: str
    nights: list[CourseNight]


class Peak(TypedDict):
    """The best rank of a track on any popular chart, and the first night of it."""

    rank: int
    night: str


class TrackAnswer(TypedDict):
    """A track on a night: the places where it is listed, and all its nights until then.

    ``popular`` has the places with the most listeners first, ``rising`` and ``local`` those of the surest lift;
    ``places`` counts them all. ``nights`` counts the nights on which it was listed anywhere, ``nights_in_row`` those of
    them that are the last ones. Estimates are those of their night: ``drawn`` says when they were drawn. ``play`` is
    where the operator's app plays it, if it named one.
    """

    track: Track
    as_of: str
    drawn: str
    first_night: str | None
    peak: Peak | None
    nights: int
    nights_in_row: int
    places: dict[str, int]
    popular: list[Listed]
    rising: list[Listed]
    local: list[Listed]
    course: list[TrackNight]
    here: Course | None
    play: NotRequired[str]


class ArtistTrack(TypedDict):
    """A track of an artist: on how many popular charts it is now, its best rank there, and of all nights."""

    track_id: str
    title: str
    places: int
    rank: int | None
    peak: Peak | None
    first_night: str
    nights: int


class ArtistPlace(TypedDict):
    """A place where an artist is listed: how many tracks, and the first of them."""

    place: str
    name: str
    country: str | None
    level: Level
    tracks: int
    track_id: str
    title: str
    rank: int
    listeners: Interval


class ArtistAnswer(TypedDict):
    """An artist: tracks, the farthest spread first, and the places where they are popular."""

    artist_id: str
    artist: str
    as_of: str
    tracks: list[ArtistTrack]
    places: list[ArtistPlace]


class FoundTrack(Track):
    """A track that was found, and where its page is."""

    page: str


class FoundArtist(TypedDict):
    """An artist who was found, and where the page is."""

    artist_id: str
    artist: str
    page: str


class SearchAnswer(TypedDict):
    """What a name finds: places, tracks and artists."""

    as_of: str
    places: list[Region]
    tracks: list[FoundTrack]
    artists: list[FoundArtist]


def track_answer(
    published: Published,
    *,
    track_id: str,
    limit: int,
    catalogue: CatalogueSettings,
    night: date | None = None,
    place_id: str | None = None,
) -> TrackAnswer:
    """Return where a track is listed on a night, by default the last, and how it came there.

    Parameters
    ----------
    published : Published
    track_id : str
        An id, or the letters that stand for it in an address.
    limit : int
        Places of each chart at most.
    catalogue : CatalogueSettings
        Where tracks are played.
    night : date, optional
    place_id : str, optional
        A place whose chart is told of night by night.

    Raises
    ------
    UnknownSongError, UnknownNightError, UnknownPlaceError
        If it was on no chart, no charts of the night were published, or the atlas has no such place.
    """
    history = published.history
    song = song_of(published, track_id)
    if night is not None and night not in history.nights:
        raise UnknownNightError("no charts of this night were published", hint="/v1/releases lists those that are.")
    at = history.last if night is None else night
    course = [each for each in history.spread(song.track_id) if each.night <= at]
    seen = history.sightings(song.track_id, night=at)
    lists = {chart: [each for each in seen if each.chart == chart] for chart in (POPULAR, RISING, LOCAL)}
    where = {chart: _listed(some, chart, published=published) for chart, some in lists.items()}
    here = place_named(place_id, published=published).id if place_id is not None else None
    play = catalogue.play(song.track_id)
    answer: TrackAnswer = {
        "track": track_of(song),
        "as_of": at.isoformat(),
        "drawn": history.nights[at].drawn.isoformat(),
        "first_night": course[0].night.isoformat() if course else None,
        "peak": _peak(course),
        "nights": len(course),
        "nights_in_row": _in_row(course, [each for each in history.nights if each <= at]),
        "places": {chart: len(some) for chart, some in where.items()},
        "popular": where[POPULAR][:limit],
        "rising": where[RISING][:limit],
        "local": where[LOCAL][:limit],
        "course": [_track_night(each) for each in course],
        "here": None if here is None else _course(published, song.track_id, place=here, until=at),
    }
    return {**answer, "play": play} if play else answer


def artist_answer(published: Published, *, artist_id: str, limit: int) -> ArtistAnswer:
    """Return an artist's tracks and where they are popular on the last night.

    Raises
    ------
    UnknownSongError
        If no track of the artist was on a chart.
    """
    songs = published.history.by_artist(artist_id)
    if not songs:
        raise UnknownSongError(template("no track of such an artist was on a published chart"), hint=_SEARCH)
    courses = published.history.spreads(song.track_id for song in songs)
    tracks = [_artist_track(published, song, courses[song.track_id]) for song in songs if song.track_id in courses]
    tracks.sort(key=lambda each: (-each["places"], each["rank"] or 10_000, each["title"], each["track_id"]))
    places = _artist_places(published, songs)
    return {
        "artist_id": songs[0].artist_id,
        "artist": songs[0].artist,
        "as_of": published.history.last.isoformat(),
        "tracks": tracks[:limit],
        "places": places[:limit],
    }


def search_answer(published: Published, *, query: str, limit: int) -> SearchAnswer:
    """Return the places, tracks and artists that a text names; places alone while the history is away.

    Raises
    ------
    NotReadyError
        If the history is away, and no place is called so: there may be a song.
    """
    places = regions_answer(published, query=query, limit=limit)["regions"] if query.strip() else []
    is_away = bool(places and published.past.refusal)
    songs = [] if is_away else published.history.named(query, limit=limit)
    artists = [] if is_away else published.history.artists_named(query, limit=limit)
    return {
        "as_of": published.as_of,
        "places": places,
        "tracks": [{**track_of(song), "page": song_address(song.track_id, song.title)} for song in songs],
        "artists": [{"artist_id": id_, "artist": name, "page": artist_address(id_, name)} for id_, name in artists],
    }


def song_of(published: Published, track_id: str) -> Song:
    """Return a track by its id, or by the letters that stand for it.

    Raises
    ------
    UnknownSongError
        If it was on no chart.
    """
    song = published.history.song(track_id)
    if song is None:
        raise UnknownSongError(template("no such track was on a published chart"), hint=_SEARCH)
    return song


def track_of(song: Song) -> Track:
    """Return a track as it is answered."""
    return {"track_id": song.track_id, "title": song.title, "artist_id": song.artist_id, "artist": song.artist}


def _listed(seen: Iterable[Sighting], chart: str, *, published: Published) -> list[Listed]:
    """Return places, the best first; one that the atlas of today does not know is left out."""
    known = [each for each in seen if each.place in published.places]
    known.sort(key=lambda each: -each.listeners[0] if chart == POPULAR else -each.lift[1])
    return [_where(each, published=published) for each in known]


def _where(seen: Sighting, *, published: Published) -> Listed:
    place = published.places[seen.place]
    return {
        "place": place.id,
        "name": place.name,
        "country": place.country,
        "level": place.level,
        "rank": seen.rank,
        "previous_rank": seen.previous_rank,
        "nights_on_chart": seen.nights_on_chart,
        "peak_rank": seen.peak_rank,
        "listeners": _interval(seen.listeners),
        "lift": seen.lift[0],
        "lift_interval": {"low": seen.lift[1], "high": seen.lift[2]},
    }


def _interval(values: Sequence[float]) -> Interval:
    return {"estimate": values[0], "low": values[1], "high": values[2]}


def _peak(course: Sequence[Spread]) -> Peak | None:
    ranked = [each for each in course if each.rank]
    best = min(ranked, key=lambda each: each.rank, default=None)
    return {"rank": best.rank, "night": best.night.isoformat()} if best else None


def _in_row(course: Sequence[Spread], nights: Sequence[date]) -> int:
    listed = {each.night for each in course}
    return next((i for i, night in enumerate(reversed(nights)) if night not in listed), len(nights))


def _track_night(each: Spread) -> TrackNight:
    world: Worldwide | None = {"rank": each.world[0], "listeners": _interval(each.world[1:])} if each.world else None
    return {"night": each.night.isoformat(), "places": each.places, "rank": each.rank, "world": world}


def _course(published: Published, track: str, *, place: str, until: date) -> Course:
    steps = (step for step in published.history.course(place, POPULAR, track) if step.night <= until)
    nights: list[CourseNight] = [
        {"night": step.night.isoformat(), "rank": step.rank, "listeners": _interval(step.listeners)} for step in steps
    ]
    return {"place": place, "nights": nights}


def _artist_track(published: Published, song: Song, course: Sequence[Spread]) -> ArtistTrack:
    now = course[-1] if course[-1].night == published.history.last else None
    return {
        "track_id": song.track_id,
        "title": song.title,
        "places": now.places if now else 0,
        "rank": (now.rank or None) if now else None,
        "peak": _peak(course),
        "first_night": course[0].night.isoformat(),
        "nights": len(course),
    }


def _artist_places(published: Published, songs: Sequence[Song]) -> list[ArtistPlace]:
    last, found = published.history.last, dict[str, list[tuple[Sighting, Song]]]()
    sighted = published.history.all_sightings((song.track_id for song in songs), night=last)
    for song in songs:
        for seen in sighted.get(song.track_id, ()):
            if seen.chart == POPULAR and seen.place in published.places:
                found.setdefault(seen.place, []).append((seen, song))
    first = {place: min(some, key=lambda each: each[0].rank) for place, some in found.items()}
    ordered = sorted(first, key=lambda place: (first[place][0].rank, -first[place][0].listeners[0], place))
    return [_artist_place(published, *first[place], tracks=len(found[place])) for place in ordered]


def _artist_place(published: Published, seen: Sighting, song: Song, *, tracks: int) -> ArtistPlace:
    place = published.places[seen.place]
    return {
        "place": place.id,
        "name": place.name,
        "country": place.country,
        "level": place.level,
        "tracks": tracks,
        "track_id": song.track_id,
        "title": song.title,
        "rank": seen.rank,
        "listeners": _interval(seen.listeners),
    }
