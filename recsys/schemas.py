"""The one place that owns every column name; the name of a frame's schema says how coarse its rows are.

``Listens -> CoarseListens -> Contributions -> RegionCounts -> Chart``: at each arrow the data gets coarser or more
public. After the first name there is no column for a position.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import dataframely as dy
import polars as pl
from polars.exceptions import PanicException, PolarsError

from recsys.causes import not_ready
from recsys.errors import InputError

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

READ_FAILURES = (PolarsError, PanicException, OSError)
"""Whatever Polars raises where a file is damaged or not what it seems; a panic of its Rust code is no Exception."""


@contextmanager
def to_the_end(what: str) -> Iterator[None]:
    """Turn what goes wrong while input is read in a block into an error of ours: Polars' words may quote a value.

    Parameters
    ----------
    what : str
        What is read, in words.

    Raises
    ------
    InputError
        If it cannot be read.
    NotReadyError
        If the system is behind that.
    """
    try:
        yield
    except READ_FAILURES as error:
        raise not_ready(error, "the input, or the stage of the workspace,") or InputError(
            f"{what} cannot be read to their end",
            hint="Check the input files: one of them is cut off or damaged.",
        ) from None


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
    the listener allowed, at the time of the play and now. ``partner_cell`` is the same cell where the listener allowed
    partner statistics: a column of its own, so that nothing else can see a place by that permission. A row that is for
    none of the three does not exist.
    """

    listener = dy.String(nullable=False)
    night = dy.Date(nullable=False)
    track_id = dy.String(nullable=False)
    cell = dy.UInt64(nullable=True)
    partner_cell = dy.UInt64(nullable=True)
    for_charts = dy.Bool(nullable=False)
    for_models = dy.Bool(nullable=False)


class Contributions(dy.Schema):
    """COARSE, bounded: what one listener played of one track in one night, and whether it counts in the release.

    ``part`` is the part of the atlas (a region, or a country's remainder) the listener is counted in that night;
    null where unknown. ``weight`` is how much the row counts in the release, in sixteenths of a listener, 0 for not at
    all: one part a night, all of a listener's tracks alike, and no more than was earned. ``trained`` rows may be used
    to train models. ``partner_part`` is the part in which a partner file may count the row; null where none may.
    """

    listener = dy.String(nullable=False)
    night = dy.Date(nullable=False)
    part = dy.String(nullable=True)
    track_id = dy.String(nullable=False)
    plays = dy.UInt32(nullable=False)
    weight = dy.UInt8(nullable=False)
    trained = dy.Bool(nullable=False)
    partner_part = dy.String(nullable=True)


class Figures(dy.Schema):
    """COARSE: how well each model ranked for one test listener of a run: NDCG at 10; NaN where there is no such model.

    ``part`` is the part of the atlas the listener is at home in; null where unknown. ``history`` is a class of how much
    the listener had played before. Figures of an evaluation of several draws are means over them; ``draws`` has those
    of the served model by each. It never leaves the private store, and no other frame has a figure of one person.
    """

    listener = dy.String(primary_key=True)
    part = dy.String(nullable=True)
    history = dy.String(nullable=False)
    popular_world = dy.Float64(nullable=False, allow_nan=True)
    popular_region = dy.Float64(nullable=False, allow_nan=True)
    recent_region = dy.Float64(nullable=False, allow_nan=True)
    neighbours = dy.Float64(nullable=False, allow_nan=True)
    ease = dy.Float64(nullable=False, allow_nan=True)
    global_ = dy.Float64(nullable=False, allow_nan=True, alias="global")
    local = dy.Float64(nullable=False, allow_nan=True)
    regional = dy.Float64(nullable=False, allow_nan=True)
    blend = dy.Float64(nullable=False, allow_nan=True)
    draws = dy.List(dy.Float64(nullable=False, allow_nan=True), nullable=False)


class RegionCounts(dy.Schema):
    """PUBLIC: the noisy sum of the weights of contributing listeners by place and track.

    ``part`` is a part of the atlas, or a country or the world, which are also counted by themselves. ``listeners`` is
    in listeners who count in full, rounded after the noise; over the mean weight of the place (``Totals``) it is in
    listeners. Where ``candidate`` is false, the count was written because it stood out of the noise: it is too large,
    and estimates nothing.
    """

    part = dy.String(nullable=False)
    track_id = dy.String(nullable=False)
    listeners = dy.Int32(nullable=False)
    candidate = dy.Bool(nullable=False)


class Totals(dy.Schema):
    """PUBLIC: noisy totals by place: how many tracks its contributing listeners played, and the weights of those."""

    part = dy.String(nullable=False)
    tracks = dy.Int64(nullable=False)
    weights = dy.Int64(nullable=False)


class Chart(dy.Schema):
    """PUBLIC: one line of one chart of one place.

    ``estimate``, ``low`` and ``high`` are contributing listeners a night, averaged over the last ``nights``, with a
    95 % interval. ``lift``, ``lift_low`` and ``lift_high`` are the same for how much more that is than what the chart
    compares with: popular: the track's share here over its share in the world; rising: its own past here; local: its
    share in the rest of the world. ``kind`` of a rising track is ``mover``, or ``debut`` where it has no past here.
    ``grade`` of a rising or local track is how sure it is that the lift exceeds 1: ``surely``, ``likely`` or ``guess``.
    ``previous_rank`` is the rank of the night before, null where the track is new, and ``nights_on_chart`` counts the
    nights in a row, this one included. Over all nights, and null before they are looked at: on which night and at which
    rank it entered first, its best rank and the first night of it, and on how many nights it was listed.
    """

    place = dy.String(nullable=False)
    chart = dy.String(nullable=False)
    rank = dy.UInt32(nullable=False)
    previous_rank = dy.UInt32(nullable=True)
    nights_on_chart = dy.UInt32(nullable=False)
    track_id = dy.String(nullable=False)
    estimate = dy.Float64(nullable=False)
    low = dy.Float64(nullable=False)
    high = dy.Float64(nullable=False)
    lift = dy.Float64(nullable=False)
    lift_low = dy.Float64(nullable=False)
    lift_high = dy.Float64(nullable=False)
    kind = dy.String(nullable=True)
    nights = dy.UInt32(nullable=False)
    first_night = dy.Date(nullable=True)
    first_rank = dy.UInt32(nullable=True)
    peak_rank = dy.UInt32(nullable=True)
    peak_night = dy.Date(nullable=True)
    listed_nights = dy.UInt32(nullable=True)
    grade = dy.String(nullable=True)


OVER_ALL_NIGHTS = ("first_night", "first_rank", "peak_rank", "peak_night", "listed_nights")
"""What a Chart says of a line over all nights."""


class Remembered(dy.Schema):
    """PUBLIC: what a place remembers of a track: faded sums of what was counted, its noise, and what was expected."""

    place = dy.String(nullable=False)
    track_id = dy.String(nullable=False)
    counts = dy.Float32(nullable=False)
    variances = dy.Float32(nullable=False)
    rest = dy.Float32(nullable=False)
    nearby = dy.Float32(nullable=False)


class PartnerTrends(dy.Schema):
    """PUBLIC: one line of a partner file: about how many consenting listeners of a place played a track."""

    place = dy.String(nullable=False)
    name = dy.String(nullable=False)
    country = dy.String(nullable=True)
    level = dy.String(nullable=False)
    track_id = dy.String(nullable=False)
    title = dy.String(nullable=False)
    artist = dy.String(nullable=False)
    listeners = dy.Int32(nullable=False)


class Catalogue(dy.Schema):
    """PUBLIC: the tracks that can be played."""

    track_id = dy.String(primary_key=True)
    title = dy.String(nullable=False)
    artist_id = dy.String(nullable=False)
    artist = dy.String(nullable=False)
    released = dy.Date(nullable=True)
    artist_country = dy.String(nullable=True)  # ISO 3166-1 alpha-2: where the artist comes from


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
