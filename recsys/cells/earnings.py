"""COARSE: earned weights: how much a listener's tracks count tonight, paid from what the listener has earned.

The length of what one listener adds to a night's release is squared and called *spent*; one track that counts in full
is 1. A listener earns a fixed amount a night into two leaky buckets, one for 28 nights and one for 365, which hold at
most their size and pay what is spent. In any n nights in a row a listener therefore spends at most ``size + n *
earning`` of either bucket: the balance before them is at most its size, and no balance is spent below zero. Sizes and
earnings are such that this is at most ``most_per_28_nights`` and ``most_per_365_nights``.

Whoever is not known begins with a single night's earnings. Nobody who is known has less on any night: a balance that
was once set to nothing stays at or below the one that was not, by induction over nights, whatever is spent. So
forgetting a listener (an erasure, a lost store, a new key) never lets anything be added that could not have been added
without, and the bound holds over it; nothing has to be kept of whoever was forgotten.

All of it is whole numbers: weights are sixteenths of a listener, and what is spent their squares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from recsys.settings import PrivacySettings
from recsys.weights import FULL, SQUARE, cost

BALANCES: Mapping[str, pl.DataType] = {
    "listener": pl.String(),
    "night": pl.Date(),
    "of_28": pl.Int32(),
    "of_365": pl.Int32(),
}
"""What is kept of a listener: both balances after the last night that was paid, in squared sixteenths."""

_BOTH = ("of_28", "of_365")


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

    The bound over n nights is ``size + n * earning``: a smaller bucket earns more a night, and holds less for nights
    with many tracks after nights with few.
    """
    size = settings.largest_balance * SQUARE
    return {
        "of_28": Bucket(size, (settings.most_per_28_nights * SQUARE - size) // 28),
        "of_365": Bucket(size, (settings.most_per_365_nights * SQUARE - size) // 365),
    }


def pay(played: pl.DataFrame, balances: pl.DataFrame, *, night: date, settings: PrivacySettings) -> pl.DataFrame:
    """Return what each listener's tracks weigh tonight, and the balances that are left.

    The weight is the largest that all of a listener's tracks can have alike, so that what they and the listener's part
    in the totals cost is at most what both balances hold, and ``most_per_night``. Light nights save for heavy ones.

    Parameters
    ----------
    played : polars.DataFrame
        ``listener``, ``tracks`` (how many may count tonight, at least one): one row a listener.
    balances : polars.DataFrame
        Schema ``BALANCES``: after earlier nights. A listener whose balances are not of an earlier night adds nothing:
        nights run in order.
    night : date
    settings : PrivacySettings

    Returns
    -------
    polars.DataFrame
        The columns of ``BALANCES`` with ``tracks`` and ``weight`` (sixteenths, 0 to 16), in the order of ``played``.
    """
    known = played.join(balances, on="listener", how="left", maintain_order="left", validate="1:1")
    earned = known.with_columns(_earned(name, bucket, night=night) for name, bucket in buckets(settings).items())
    has = pl.min_horizontal(*_BOTH, settings.most_per_night * SQUARE)
    weighed = earned.lazy().with_columns(weight=largest_weight(has, night=night)).collect()  # what they share: once
    spent = cost(pl.col("tracks"), pl.col("weight"), night=night)
    paid = weighed.with_columns(
        *((pl.col(name) - spent).cast(pl.Int32) for name in _BOTH), night=pl.max_horizontal("night", pl.lit(night))
    )
    return paid.select(*BALANCES, "tracks", "weight")


def largest_weight(has: pl.Expr, *, night: date) -> pl.Expr:
    """Return the largest weight (sixteenths, 0 to 16) of ``tracks`` tracks that costs at most what a listener has."""
    tracks = pl.col("tracks")
    affordable = (
        pl.when(cost(tracks, pl.lit(weight), night=night) <= has).then(weight) for weight in range(1, FULL + 1)
    )
    return pl.max_horizontal(*affordable, 0).cast(pl.UInt8)


def _earned(name: str, bucket: Bucket, *, night: date) -> pl.Expr:
    """Return a balance before tonight is paid: one night's earnings for a listener who is not known."""
    nights = (pl.lit(night) - pl.col("night")).dt.total_days()
    grown = pl.min_horizontal(pl.col(name) + nights * bucket.earning, bucket.size)
    first = min(bucket.earning, bucket.size)
    owed = pl.min_horizontal(name, 0)  # all that is left of balances of a later night
    found = pl.when(nights.is_null()).then(first).when(nights > 0).then(grown).otherwise(owed)
    return found.cast(pl.Int32).alias(name)
