"""The drawings of a report, as HTML and SVG: rows of dots that a phone can read, lines, and maps of regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from pipelines.report.html_templates import template
from pipelines.report.maps import coastlines
from recsys.geography.places import Place

WIDTH, HEIGHT = 360, 210  # of a chart of lines, in its own units: a phone shows its letters as large as the page's
LEFT, RIGHT, TOP, BOTTOM = 38, 18, 8, 24  # room for the axes
COLOURS = 4  # classes of lines in the style sheet
_WORLD = (-170.0, 180.0, -56.0, 75.0)  # degrees: west, east, south, north


@dataclass(frozen=True)
class Dot:
    """A row of a chart: a name, a value, its interval, what stands at its end, and its class."""

    name: str
    value: float
    low: float
    high: float
    said: str
    kind: str = ""


def dots(rows: Sequence[Dot], *, beside: Sequence[Dot] = (), zero: bool = False) -> Markup:
    """Draw one row per value, with a line at zero if asked for, on a scale that suits other rows, too."""
    ends = [end for row in (*rows, *beside) for end in (row.value, row.low, row.high)] + [0.0] * zero
    room = (max(ends) - min(ends) or 1) * 0.03
    low, high = min(ends) - room, max(ends) + room
    return _drawn("dots", rows, lambda value: round(100 * (value - low) / (high - low), 2), zero)


def lines(series: Mapping[str, Sequence[float]], *, across: Sequence[str]) -> Markup:
    """Draw lines over named steps; values that are not numbers are left out. The legend stands below."""
    values = [value for line in series.values() for value in line if np.isfinite(value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low or 1) * 0.08
    scale = _Scale(low - room, high + room, max(len(across) - 1, 1))
    drawn = [
        {"name": name, "colour": number % COLOURS, "points": scale.points(line)}
        for number, (name, line) in enumerate(series.items())
    ]
    ticks = MaxNLocator(5).tick_values(scale.low, scale.high)
    heights = [height for height in ticks if scale.low <= height <= scale.high]
    return _drawn("lines", drawn, scale, heights, list(enumerate(across))[:: max(1, -(-len(across) // 8))])


def world_map(places: Sequence[Place], gains: Mapping[str, float]) -> Markup:
    """Draw the world with its regions, those that gain and those that lose in different colours."""
    return _map(places, gains, frame=_WORLD, detail="c", size=2.2)


def country_map(places: Sequence[Place], gains: Mapping[str, float]) -> Markup:
    """Draw the regions of a country, as close as they allow."""
    longitudes, latitudes = [p.longitude for p in places], [p.latitude for p in places]
    west, east, south, north = min(longitudes), max(longitudes), min(latitudes), max(latitudes)
    half = max(east - west, 1.4 * (north - south), 2.0) / 2 * 1.25
    middle, centre = (west + east) / 2, (south + north) / 2
    frame = (middle - half, middle + half, centre - half / 1.4, centre + half / 1.4)
    return _map(places, gains, frame=frame, detail="l", size=half / 22)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    steps: int
    width = WIDTH
    height = HEIGHT
    left = LEFT
    right = WIDTH - RIGHT

    def x(self, step: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * step / self.steps, 1)

    def y(self, value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low), 1)

    def points(self, values: Sequence[float]) -> list[tuple[float, float]]:
        return [(self.x(step), self.y(value)) for step, value in enumerate(values) if np.isfinite(value)]


def _drawn(chart: str, *values: object) -> Markup:
    """Return a chart as the macro of its name writes it."""
    drawn: Markup = getattr(template("charts.html.j2").module, chart)(*values)
    return drawn


def _map(
    places: Sequence[Place],
    gains: Mapping[str, float],
    *,
    frame: tuple[float, float, float, float],
    detail: str,
    size: float,
) -> Markup:
    west, east, south, north = frame
    largest = max((abs(gains[place.id]) for place in places), default=0) or 1
    marks = [(place, gains[place.id] / largest) for place in places]
    view = f"{west:.2f} {-north:.2f} {east - west:.2f} {north - south:.2f}"
    return _drawn("regions", marks, _land(frame, detail), view, size)


def _land(frame: tuple[float, float, float, float], detail: str) -> str:
    """Return the shores within a frame as the path of an SVG, a degree being a unit and the north at the top."""
    west, east, south, north = frame
    box = Bbox([[west, south], [east, north]])
    shores = [shore for shore in coastlines(detail) if _near(shore, frame)]
    clipped = [np.asarray(Outline(shore, closed=False).clip_to_bbox(box).vertices) for shore in shores]
    digits = 1 if east - west > 100 else 2
    rounded = [np.round(shore * (1, -1), digits) for shore in clipped if len(shore) > 2]
    return "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in shore) + "Z" for shore in rounded)


def _near(shore: np.ndarray, frame: tuple[float, float, float, float]) -> bool:
    west, east, south, north = frame
    least, most = shore.min(axis=0), shore.max(axis=0)
    return bool(least[0] < east and most[0] > west and least[1] < north and most[1] > south)
