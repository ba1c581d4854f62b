"""Courses as small pictures: what was where, night by night, as lines of an SVG that the server writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

from recsys.artifacts.list_candidates import POPULAR
from recsys.geography.places import Place
from recsys.messages import Message, Value, counted, said, sentences
from recsys.serving.lists.songs import TrackAnswer
from recsys.serving.snapshot.place_lists import Item
from recsys.serving.snapshot.snapshot_reader import Published

WIDTH, HEIGHT = 600, 120
NIGHTS = 35  # that the picture of a place shows
_LINES, _DEEPEST = 5, 20  # songs of a place's picture, and the rank at its bottom

Point = tuple[float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Course:
    """One line of a picture.

    Parameters
    ----------
    name : str
        What it is of.
    pieces : sequence of str
        Points of its unbroken pieces, as SVG has them.
    band : sequence of str
        Outlines of the intervals around it, where it has some.
    """

    name: str
    pieces: Sequence[str]
    band: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A picture of courses: what it shows in words, its nights, and what its top stands for."""

    label: str
    first: date
    last: date
    top: str
    courses: Sequence[Course]
    width: int = WIDTH
    height: int = HEIGHT


def place_picture(published: Published, place: Place, items: Sequence[Item]) -> Picture | None:
    """Return the courses of a place's first songs over its last nights; None where there are not two of these."""
    nights = list(published.history.nights)[-NIGHTS:]
    if len(nights) < 2 or not items:
        return None
    ranks = published.history.ranks(place.id, POPULAR, nights=nights)
    courses = [_ranked(item, ranks, nights=nights) for item in items[:_LINES]]
    span: dict[str, Value] = {"first": nights[0], "last": nights[-1]}
    ranks_of = counted(
        "Rank of the first one from {first} to {last}.",
        "Ranks of the first {n} from {first} to {last}.",
        len(courses),
        **span,
    )
    told = (said("{song}: now rank {rank}.", song=c.name, rank=i["rank"]) for c, i in zip(courses, items, strict=False))
    return Picture(sentences(ranks_of, *told), nights[0], nights[-1], said("rank 1"), courses)


def song_pictures(answer: TrackAnswer) -> list[Picture]:
    """Return a track's spread over places and its listeners in the world, night by night."""
    course = answer["course"]
    if len(course) < 2:
        return []
    days = [date.fromisoformat(each["night"]) for each in course]
    nights = [days[0] + timedelta(days=step) for step in range((days[-1] - days[0]).days + 1)]
    places = {day: float(each["places"]) for day, each in zip(days, course, strict=True)}
    world = {day: each["world"]["listeners"] for day, each in zip(days, course, strict=True) if each["world"]}
    pictures = [
        _measured(said("Places with it on the popular chart"), places, {}, nights=nights),
        _measured(
            said("Listeners a night in the world who contribute"),
            {day: each["estimate"] for day, each in world.items()},
            {day: (each["low"], each["high"]) for day, each in world.items()},
            nights=nights,
        ),
    ]
    return [picture for picture in pictures if picture]


def _ranked(item: Item, ranks: Mapping[date, Sequence[str]], *, nights: Sequence[date]) -> Course:
    track = item["track_id"]
    found = {night: tracks.index(track) + 1 for night, tracks in ranks.items() if track in tracks[:_DEEPEST]}
    points = [
        (_x(i, len(nights)), _y(found[night] - 1, _DEEPEST - 1)) if night in found else None
        for i, night in enumerate(nights)
    ]
    return Course(item["title"], _pieces(points))


def _measured(
    what: Message,
    values: Mapping[date, float],
    intervals: Mapping[date, tuple[float, float]],
    *,
    nights: Sequence[date],
) -> Picture | None:
    if len(values) < 2:
        return None
    most = max([*values.values(), *(high for _, high in intervals.values())]) or 1.0

    def at(i: int, value: float) -> Point:
        return _x(i, len(nights)), _y(most - value, most)

    line = [at(i, values[night]) if night in values else None for i, night in enumerate(nights)]
    bands = [(at(i, intervals[n][0]), at(i, intervals[n][1])) if n in intervals else None for i, n in enumerate(nights)]
    outlines = [_text([high for _, high in some] + [low for low, _ in reversed(some)]) for some in _unbroken(bands)]
    now = values.get(nights[-1])
    label = said(
        "{what}, {first} to {last}: {most} at the top.", what=what, first=nights[0], last=nights[-1], most=round(most)
    )
    ending = said("On the last night {n}.", n=round(now)) if now is not None else ""
    top = said("{what}: {most}", what=what, most=round(most))
    return Picture(sentences(label, ending), nights[0], nights[-1], top, [Course(what, _pieces(line), outlines)])


def _x(i: int, number: int) -> float:
    return 4 + (WIDTH - 8) * i / max(1, number - 1)


def _y(depth: float, deepest: float) -> float:
    return 6 + (HEIGHT - 12) * depth / deepest


def _pieces(points: Sequence[Point | None]) -> list[str]:
    return [_text(some if len(some) > 1 else [*some, (some[0][0] + 1, some[0][1])]) for some in _unbroken(points)]


def _unbroken(points: Sequence[T | None]) -> list[list[T]]:
    pieces: list[list[T]] = [[]]
    for point in points:
        if point is None:
            pieces.append([])
        else:
            pieces[-1].append(point)
    return [piece for piece in pieces if piece]


def _text(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
