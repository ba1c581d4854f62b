"""COARSE: earned weights: how much a listener's tracks count tonight, paid from what the listener has earned.

The length of what one listener adds to a night's release is squared and called *spent*; one track that counts in full
is 1. A listener earns a fixed amount a night into two leaky buckets, one for 28 nights and one for 365, which hold at
most their size and pay what is spent. In any n nights in a row a listener therefore spends at most ``size + n *
earning`` of either bucket: the balance before them is at most its size, and no balance falls below zero. Sizes and
earnings are such that this is ``most_per_28_nights`` and ``most_per_365_nights``.

Whoever is not known begins with a single night's earnings. That is no more than anybody has who is known: forgetting a
listener (an erasure, a lost store, a new key) never lets anything be added that could not have been added without.
By induction a balance that was ever set to nothing stays below the one that was not.

All of it is whole numbers: weights are sixteenths of a listener, and what is spent their squares.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from recsys.settings import PrivacySettings

FULL = 16  # weight of a track that counts in full: weights are whole sixteenths
SQUARE = FULL**2  # of what is spent by one such track
MOST_TRACKS = 64  # of a night: more count as so many in a place's totals
TOTALS = 256  # of the totals' grid to a listener: a track is one, a full weight is four

BALANCES = {
    "listener": pl.String(),
    "night": pl.Date(),
    "of_28": pl.Int32(),
    "of_365": pl.Int32(),
    "spent": pl.Int32(),
}
"""What is kept of a listener: both balances after a night, and what was spent on it, in squared sixteenths."""

_OF_BOTH = ("of_28", "of_365")


@dataclass(frozen=True)
class Bucket:
    """A leaky bucket, in squared sixteenths of a listener.

    Parameters
    ----------
    size : int
        The largest balance.
    earning : int
        Of a night.
    """

    size: int
    earning: int


def buckets(settings: PrivacySettings) -> dict[str, Bucket]:
    """Return the bucket behind each of the two balances.

    The bound over n nights is ``size + n * earning``: a smaller bucket earns more a night and holds less for nights
    with many tracks.
    """
    return {
        "of_28": _bucket(28, most=settings.most_per_28_nights, size=settings.largest_balance),
        "of_365": _bucket(365, most=settings.most_per_365_nights, size=settings.largest_balance),
    }


def pay(played: pl.DataFrame, balances: pl.DataFrame, *, night: date, settings: PrivacySettings) -> pl.DataFrame:
    """Return what each listener's tracks weigh tonight, and the balances that are left.

    Parameters
    ----------
    played : polars.DataFrame
        ``listener``, ``tracks`` (how many may count tonight, at least one): one row a listener.
    balances : polars.DataFrame
        Schema ``BALANCES``: after the last night on which each listener paid. Of this very night, which is run again,
        what was spent is taken back first; a listener whose balances are of a later night adds nothing.
    night : date
    settings : PrivacySettings

    Returns
    -------
    polars.DataFrame
        ``listener``, ``tracks``, ``weight`` (sixteenths, 0 to 16) and the columns of ``BALANCES``, in the order of
        ``played``. ``weight`` is the largest that all tracks can have alike: ``tracks`` of it squared, and the
        listener's part in the place's totals, are at most what both balances hold, and ``most_per_night``.
    """
    known = played.join(balances, on="listener", how="left", maintain_order="left", validate="1:1")
    earned = known.with_columns(_earned(name, bucket, night=night) for name, bucket in buckets(settings).items())
    most = settings.most_per_night * SQUARE
    has = pl.min_horizontal(*_OF_BOTH, most)
    weighed = earned.with_columns(weight=_largest_weight(has)).with_columns(spent=cost(pl.col("weight")))
    return weighed.select(
        "listener",
        "tracks",
        "weight",
        night=pl.max_horizontal("night", pl.lit(night)),
        **{name: pl.col(name) - pl.col("spent") for name in _OF_BOTH},
        spent="spent",
    )


def cost(weight: pl.Expr) -> pl.Expr:
    """Return the squared length of what a listener with ``tracks`` adds at a weight; nothing at the weight 0.

    ``tracks`` counts of ``weight`` each, and the two totals of the place, rounded up.
    """
    totals = _tracks_in_total() ** 2 + weights_in_total(weight) ** 2
    tracks = pl.col("tracks").cast(pl.Int64)
    whole = tracks * weight**2 + (totals * SQUARE + TOTALS**2 - 1) // TOTALS**2
    return pl.when(weight > 0).then(whole).otherwise(0).cast(pl.Int32)


def weights_in_total(weight: pl.Expr) -> pl.Expr:
    """Return a listener's part in the total of weights of its place, in ``1 / TOTALS``: four a full weight."""
    return (_tracks_in_total() * weight + 2) // 4


def _tracks_in_total() -> pl.Expr:
    """Return a listener's part in the total of tracks, in ``1 / TOTALS``."""
    return pl.col("tracks").clip(upper_bound=MOST_TRACKS).cast(pl.Int64)


def _bucket(nights: int, *, most: int, size: int) -> Bucket:
    return Bucket(size * SQUARE, (most - size) * SQUARE // nights)


def _earned(name: str, bucket: Bucket, *, night: date) -> pl.Expr:
    """Return a balance before tonight is paid: one night's earnings for a listener who is not known."""
    nights = (pl.lit(night) - pl.col("night")).dt.total_days()
    with_earnings = pl.min_horizontal(pl.col(name) + nights * bucket.earning, bucket.size)
    again, first = pl.col(name) + pl.col("spent"), min(bucket.earning, bucket.size)
    known = pl.when(nights > 0).then(with_earnings).when(nights == 0).then(again).otherwise(0)
    return pl.when(nights.is_null()).then(first).otherwise(known).cast(pl.Int32).alias(name)


def _largest_weight(has: pl.Expr) -> pl.Expr:
    affordable = [pl.when(cost(pl.lit(weight)) <= has).then(weight) for weight in range(1, FULL + 1)]
    return pl.max_horizontal(*affordable, 0).cast(pl.UInt8)
