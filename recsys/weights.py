"""Weights: what one listener adds to a night's release, in sixteenths, and what that costs.

A listener who plays T tracks at home adds the weight w to each of them, and a little to two totals of the place: how
many tracks its listeners played, and with which weight. Their ratio is the mean weight by which counts are turned back
into listeners. What is paid is the squared Euclidean length of all that together, which is what noise has to hide.
"""

from datetime import date

import polars as pl

FULL = 16  # of a track that counts in full
SQUARE = FULL**2  # what one such track costs
TOTALS = ("tracks", "weights")  # of a place; they stand behind the tracks of a release
TRACKS_UNIT, WEIGHTS_UNIT = 8, 2  # tracks, and full weights, behind a sixteenth of the totals

_MOST_TRACKS = 64  # of a night: who plays more is in the totals with so many
_STEP = WEIGHTS_UNIT * FULL  # sixteenths of weight behind one of the total of weights


def totals(tracks: pl.Expr, weight: pl.Expr, *, night: date) -> tuple[pl.Expr, pl.Expr]:
    """Return a listener's part in the totals of tracks and of weights, in sixteenths.

    Both are rounded up or down so that they are right on average: by the listener's own hash and the night.

    Parameters
    ----------
    tracks : polars.Expr
        How many tracks count tonight.
    weight : polars.Expr
        Of each of them, 0 to 16; a listener with 0 is in neither total.
    night : date
        The frame has a column ``listener``, which is a keyed hash in hex digits.
    """
    spread = (pl.col("listener").str.tail(4).str.to_integer(base=16) + night.toordinal()) % _STEP
    within, counts = tracks.clip(upper_bound=_MOST_TRACKS).cast(pl.Int64), (weight > 0).cast(pl.Int64)
    return (
        counts * ((within + spread // (_STEP // TRACKS_UNIT)) // TRACKS_UNIT),
        counts * ((within * weight + spread) // _STEP),
    )


def cost(tracks: pl.Expr, weight: pl.Expr, *, night: date) -> pl.Expr:
    """Return the squared length of what a listener adds, in squared sixteenths; arguments as for :func:`totals`."""
    own = sum(total**2 for total in totals(tracks, weight, night=night))
    return tracks.cast(pl.Int64) * weight.cast(pl.Int64) ** 2 + own
