"""What is popular where, and how sure that is: every public chart, from released counts only."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.atlas import Atlas
from recsys.errors import NotReadyError
from recsys.releases import shrinkage
from recsys.releases.counts import Released
from recsys.releases.reading import Reading, read_places
from recsys.releases.shrinkage import Array
from recsys.releases.window import Window
from recsys.schemas import Chart, at_border
from recsys.settings import ChartsSettings

POPULAR = "popular"

_MARGIN = 3  # times the length of a chart are looked at closely


def popular(released: Released, *, atlas: Atlas, settings: ChartsSettings) -> pl.DataFrame:
    """Rank tracks by estimated contributing listeners, for the world, every country and every region.

    The world is read by itself; a country in the light of the rest of the world, and a region in the light of the rest
    of its country (:mod:`recsys.releases.reading`). The estimate is the posterior mean, the interval holds 95 % of the
    posterior. No place is too small for a chart: with little evidence it reads like its surroundings, with wide
    intervals.

    Parameters
    ----------
    released : Released
        The window of nights.
    atlas : Atlas
        The one that the nights were released under.
    settings : ChartsSettings

    Returns
    -------
    polars.DataFrame
        A Chart, by place (the world, countries, regions) and rank. Estimates are listeners a night; of equal
        estimates the first track id ranks first.

    Raises
    ------
    NotReadyError
        If the nights were released under another atlas.
    """
    if atlas.version != released.atlas:
        raise NotReadyError(
            "the last nights were released under another atlas", hint="Release a night under the present settings."
        )
    window = Window(released, atlas.members)
    readings = read_places(window, atlas=atlas)
    world = next(readings)
    frames = [_chart(world, world=world, window=window, length=settings.size)]
    frames += [_chart(reading, world=world, window=window, length=settings.size) for reading in readings]
    return at_border(pl.concat(frames), Chart)


def _chart(reading: Reading, *, world: Reading, window: Window, length: int) -> pl.DataFrame:
    """Rank the tracks of a place and keep the first."""
    rates = reading.belief.mean
    likely = _largest(rates, _MARGIN * length)
    close = shrinkage.estimate(*shrinkage.take(reading.noisy, reading.prior, likely))
    order = np.argsort(-close.mean, axis=1, kind="stable")[:, :length]
    chosen = np.take_along_axis(likely, order, axis=1)[0]
    tracks = reading.tracks[chosen]
    shares = rates[0, chosen] / rates.sum()
    world_shares = world.belief.mean[0, world.at(tracks)] / world.belief.mean.sum()
    frame = {
        "place": np.repeat(reading.place, len(chosen)),
        "chart": np.repeat(POPULAR, len(chosen)),
        "rank": np.arange(1, len(chosen) + 1, dtype=np.uint32),
        "track_id": np.array(window.tracks)[tracks],
        "lift": shares / world_shares,
    }
    for name, values in (("estimate", close.mean), ("low", close.low), ("high", close.high)):
        frame[name] = np.take_along_axis(values, order, axis=1)[0] / window.nights
    return pl.DataFrame({name: frame[name] for name in Chart.column_names()}, schema_overrides={"rank": pl.UInt32})


def _largest(values: Array, number: int) -> NDArray[np.intp]:
    """Return the columns of the largest values of each row, in ascending order of the column."""
    number = min(number, values.shape[1])
    return np.sort(np.argpartition(-values, number - 1, axis=1)[:, :number], axis=1)
