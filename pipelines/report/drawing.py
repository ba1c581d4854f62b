"""The drawings of a report, as HTML and SVG: rows of dots that a phone can read, lines, and maps of regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

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


def dots(rows: Sequence[Dot], *, beside: Sequence[Dot] = (), zero: bool = False) -> str:
    """Draw one row per value, with a line at zero if asked for, on a scale that suits other rows, too."""
    ends = [end for row in (*rows, *beside) for end in (row.value, row.low, row.high)] + [0.0] * zero
    room = (max(ends) - min(ends) or 1) * 0.03
    low, high = min(ends) - room, max(ends) + room
    mark = f'<i class="zero" style="left:{_share(0, low, high)}%"></i>' if zero else ""
    return '<div class="dots">' + "".join(_row(row, low, high, mark) for row in rows) + "</div>"


def lines(series: Mapping[str, Sequence[float]], *, across: Sequence[str]) -> str:
    """Draw lines over named steps; values that are not numbers are left out. The legend stands below."""
    values = [value for line in series.values() for value in line if np.isfinite(value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low or 1) * 0.08
    scale = _Scale(low - room, high + room, max(len(across) - 1, 1))
    drawn = [_line(line, scale, number % COLOURS) for number, line in enumerate(series.values())]
    axes = _axes(scale, across)
    legend = "".join(
        f'<span><b class="key c{number % COLOURS}"></b>{escape(name)}</span>' for number, name in enumerate(series)
    )
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{axes}{"".join(drawn)}</svg>'
    return f'{svg}<p class="legend">{legend}</p>'


def world_map(places: Sequence[Place], gains: Mapping[str, float]) -> str:
    """Draw the world with its regions, those that gain and those that lose in different colours."""
    return _map(places, gains, frame=_WORLD, detail="c", size=2.2)


def country_map(places: Sequence[Place], gains: Mapping[str, float]) -> str:
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

    def x(self, step: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * step / self.steps, 1)

    def y(self, value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low), 1)


def _share(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / (high - low), 2)


def _row(row: Dot, low: float, high: float, mark: str) -> str:
    at, start, end = (_share(value, low, high) for value in (row.value, row.low, row.high))
    bar = f'<i class="bar" style="left:{start}%;width:{end - start:.2f}%"></i>'
    track = f'<span class="track">{mark}{bar}<b style="left:{at}%"></b></span>'
    name, said = escape(row.name), escape(row.said)
    return f'<div class="row {row.kind}"><span class="name">{name}</span>{track}<span class="said">{said}</span></div>'


def _line(values: Sequence[float], scale: _Scale, number: int) -> str:
    points = [(scale.x(step), scale.y(value)) for step, value in enumerate(values) if np.isfinite(value)]
    path = " ".join(f"{x},{y}" for x, y in points)
    circles = "".join(f'<circle cx="{x}" cy="{y}" r="2.6"/>' for x, y in points)
    return f'<g class="line c{number}"><polyline points="{path}"/>{circles}</g>'


def _axes(scale: _Scale, across: Sequence[str]) -> str:
    ticks = MaxNLocator(5).tick_values(scale.low, scale.high)
    heights = [height for height in ticks if scale.low <= height <= scale.high]
    marks = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{scale.y(height)}" y2="{scale.y(height)}"/>'
        f'<text x="{LEFT - 4}" y="{scale.y(height) + 4}" text-anchor="end">{height:.3g}</text>'
        for height in heights
    ]
    every = max(1, -(-len(across) // 8))
    names = [
        f'<text x="{scale.x(step)}" y="{HEIGHT - 6}" text-anchor="middle">{escape(name)}</text>'
        for step, name in enumerate(across)
        if step % every == 0
    ]
    return f'<g class="axes">{"".join(marks + names)}</g>'


def _map(
    places: Sequence[Place],
    gains: Mapping[str, float],
    *,
    frame: tuple[float, float, float, float],
    detail: str,
    size: float,
) -> str:
    west, east, south, north = frame
    largest = max((abs(gains[place.id]) for place in places), default=0) or 1
    marks = "".join(_mark(place, gains[place.id] / largest, size) for place in places)
    view = f"{west:.2f} {-north:.2f} {east - west:.2f} {north - south:.2f}"
    return f'<svg class="map" viewBox="{view}" role="img"><path class="land" d="{_land(frame, detail)}"/>{marks}</svg>'


def _mark(place: Place, share: float, size: float) -> str:
    kind, strength = ("gain" if share >= 0 else "loss"), 0.35 + 0.65 * abs(share)
    where = f'cx="{place.longitude:.2f}" cy="{-place.latitude:.2f}" r="{size:.2f}"'
    return f'<circle class="{kind}" {where} opacity="{strength:.2f}"><title>{escape(place.name)}</title></circle>'


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
