"""The one place that owns every column name; the name of a frame's schema says how coarse its rows are.

``Listens -> CoarseListens -> Contributions -> RegionCounts -> Chart``: at each arrow the data gets coarser or more
public. After the first name there is no column for a position.
"""

from typing import TypeVar

import dataframely as dy
import polars as pl

from recsys.errors import InputError

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class Listens(dy.Schema):
    """PRECISE: one play as the app sent it. Exists in memory, inside ``recsys.arrivals``, and nowhere else."""

    user_id = dy.String(nullable=False)
    track_id = dy.String(nullable=False)
    played_at = dy.Datetime(time_zone="UTC", time_unit="us", nullable=False)
    latitude = dy.Float64(nullable=True)
    longitude = dy.Float64(nullable=True)
    cell = dy.String(nullable=True)
    ms_played = dy.Int64(nullable=True)


class CoarseListens(dy.Schema):
    """COARSE: one play by a keyed-hash listener in an H3 cell of the finest allowed resolution.

    ``cell`` is null where no position came or none may be used; ``for_charts`` and ``for_models`` say which purpose
    the listener allowed, at the time of the play and now. A row that is for neither does not exist.
    """

    listener = dy.String(nullable=False)
    night = dy.Date(nullable=False)
    track_id = dy.String(nullable=False)
    cell = dy.UInt64(nullable=True)
    for_charts = dy.Bool(nullable=False)
    for_models = dy.Bool(nullable=False)


class Contributions(dy.Schema):
    """COARSE, bounded: what one listener played of one track in one night, and whether it counts in the release.

    ``part`` is the part of the atlas (a region, or a country's remainder) the listener is counted in that night;
    null where unknown. ``counted`` rows are bounded: one part a night, at most ``privacy.max_tracks`` tracks, at most
    ``privacy.max_nights`` nights of any 28. ``trained`` rows may be used to train models.
    """

    listener = dy.String(nullable=False)
    night = dy.Date(nullable=False)
    part = dy.String(nullable=True)
    track_id = dy.String(nullable=False)
    plays = dy.UInt32(nullable=False)
    counted = dy.Bool(nullable=False)
    trained = dy.Bool(nullable=False)


class RegionCounts(dy.Schema):
    """PUBLIC: the noisy number of distinct contributing listeners by place and candidate track.

    ``part`` is a part of the atlas, or a country or the world, which are also counted by themselves.
    """

    part = dy.String(nullable=False)
    track_id = dy.String(nullable=False)
    listeners = dy.Int32(nullable=False)


class Chart(dy.Schema):
    """PUBLIC: one line of one chart of one place.

    ``estimate``, ``low`` and ``high`` are contributing listeners a night, averaged over the window, with a 95 %
    interval; ``lift`` is the track's share here over its share in the world.
    """

    place = dy.String(nullable=False)
    chart = dy.String(nullable=False)
    rank = dy.UInt32(nullable=False)
    track_id = dy.String(nullable=False)
    estimate = dy.Float64(nullable=False)
    low = dy.Float64(nullable=False)
    high = dy.Float64(nullable=False)
    lift = dy.Float64(nullable=False)


class Catalogue(dy.Schema):
    """PUBLIC: the tracks that can be played."""

    track_id = dy.String(primary_key=True)
    title = dy.String(nullable=False)
    artist_id = dy.String(nullable=False)
    artist = dy.String(nullable=False)
    released = dy.Date(nullable=True)


def at_border(frame: Frame, schema: type[dy.Schema]) -> Frame:
    """Return the frame if it has exactly the columns and types of its schema: the check at every zone's border.

    Parameters
    ----------
    frame : polars.DataFrame or polars.LazyFrame
        What is about to cross the border. A lazy frame is checked by its schema alone and stays lazy.
    schema : type of dataframely.Schema
        What the other side expects.

    Raises
    ------
    InputError
        If a column is missing, unexpected, or of another type, or (eager frames) a rule of the schema is broken.
        The message names columns and types, never values.
    """
    found, expected = dict(frame.collect_schema()), {name: column.dtype for name, column in schema.columns().items()}
    if found != expected:
        wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        differences = ", ".join(f"{name}: found {found.get(name)}, expected {expected.get(name)}" for name in wrong)
        raise InputError(
            f"{schema.__name__} has columns that do not fit ({differences})",
            hint="A frame that crosses a zone's border has exactly the columns of its schema in recsys/schemas.py.",
        )
    if isinstance(frame, pl.DataFrame) and not schema.is_valid(frame):
        raise InputError(
            f"{schema.__name__} breaks a rule of its schema (a null or a repeated key)",
            hint="The columns' rules are in recsys/schemas.py.",
        )
    return frame
