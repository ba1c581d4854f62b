"""COARSE: bound what one listener adds, in a night and over time.

Every choice made here for a listener depends on that listener's own listens and history, on public geography and on a
secret key, never on anybody else. That is what makes the bound one of user-level privacy: with or without one listener,
the rows of all others are the same, so the release changes by at most that listener's rows. A cap that looked at others
(a quota of the region, say) would let one listener push another one's rows in or out.
"""

import hashlib
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Protocol

import polars as pl

from recsys.schemas import CoarseListens, Contributions, at_border
from recsys.settings import PrivacySettings

WINDOW_NIGHTS = 28
_WEEK = 7
_WEEKS = WINDOW_NIGHTS // _WEEK


class Geography(Protocol):
    """What is asked of :class:`recsys.atlas.Atlas` here."""

    def locate(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Add ``part`` (str, null outside the service area) from the column ``cell``."""
        ...


def bound(
    coarse: pl.DataFrame, *, night: date, atlas: Geography, past: pl.DataFrame, settings: PrivacySettings, key: bytes
) -> pl.DataFrame:
    """Turn the night's listens of some listeners into their bounded contributions.

    Parameters
    ----------
    coarse : polars.DataFrame
        Schema :class:`recsys.schemas.CoarseListens`: all rows of the night of every listener in it.
    night : date
        The UTC day.
    atlas : Atlas
        Locates cells in the parts of a release.
    past : polars.DataFrame
        ``listener``, ``night``: other nights within 27 days in which these listeners have a counted row
        (:meth:`recsys.cells.store.Store.counted_nights`).
    settings : PrivacySettings
        ``max_tracks`` a night and ``max_nights`` of any 28.
    key : bytes
        Secret, at most 64 bytes: orders tracks and breaks ties in a way nobody can steer or foresee.

    Returns
    -------
    polars.DataFrame
        Schema :class:`recsys.schemas.Contributions`, sorted by listener and track, whatever the order of the input:

        - A listener has one ``part`` a night, the one with the most plays. All rows carry it.
        - ``counted`` are tracks played *in that part* with consent to count; what was played elsewhere that night does
          not count. At most ``max_tracks``, chosen by keyed hash: choosing by plays would favour what is popular
          already and let a listener decide what is dropped.
        - Nothing is counted where the listener has ``max_nights`` counted nights within 27 days, or
          ``ceil(max_nights / 4)`` in the present week of its own, which begins on a weekday that differs between
          listeners. The latter paces contributions: all listeners would else spend their nights at the same time,
          and the charts would run dry together.
        - ``trained`` rows carry the plays that may train models. Rows that are neither are dropped.
    """
    located = atlas.locate(at_border(coarse, CoarseListens).lazy()).collect()
    homes = _homes(located, key=key)
    played = _played(located.join(homes, on="listener", how="left", maintain_order="left"))
    open_to_count = played.filter("countable").join(
        _spent(past, played, night=night, settings=settings), on="listener", how="anti"
    )
    chosen = _chosen(open_to_count, night=night, max_tracks=settings.max_tracks, key=key)
    bounded = played.join(chosen, on=["listener", "track_id"], how="left").with_columns(
        pl.col("counted").fill_null(value=False), night=pl.lit(night), part="home"
    )
    kept = bounded.filter(pl.col("counted") | pl.col("trained")).sort("listener", "track_id")
    return at_border(kept.select(Contributions.column_names()), Contributions)


def _homes(located: pl.DataFrame, *, key: bytes) -> pl.DataFrame:
    """Return ``listener``, ``home``: the part with the most plays; of equals the one with the smallest keyed hash."""
    plays = located.filter(pl.col("part").is_not_null()).group_by("listener", home="part").len("plays")
    most = plays.filter(pl.col("plays") == pl.col("plays").max().over("listener"))
    return _first(most, 1, by=("listener", "home"), key=key).select("listener", "home")


def _played(located: pl.DataFrame) -> pl.DataFrame:
    """Sum up by listener and track: plays, and what they may be used for."""
    at_home = pl.col("for_charts") & (pl.col("part") == pl.col("home")).fill_null(value=False)
    return located.group_by("listener", "track_id").agg(
        pl.col("home").first(),
        # A play that may not train must not raise the confidence of one that may.
        plays=pl.when(pl.col("for_models").any()).then(pl.col("for_models").sum()).otherwise(pl.len()).cast(pl.UInt32),
        countable=at_home.any(),
        trained=pl.col("for_models").any(),
    )


def _spent(past: pl.DataFrame, played: pl.DataFrame, *, night: date, settings: PrivacySettings) -> pl.DataFrame:
    """Return the listeners who may not count tonight, by their own history alone.

    The nights that are counted here lie on either side of tonight, so that the bound holds for every 28 nights in
    whatever order nights are run: of the nights in such a window, the one run last saw all others.
    """
    reach = timedelta(days=WINDOW_NIGHTS - 1)
    others = past.filter(pl.col("night").is_between(night - reach, night + reach), pl.col("night") != night)
    weekday = pl.col("listener").str.tail(4).str.to_integer(base=16) % _WEEK  # a listener is a keyed hash already
    since_start = (pl.lit(night.toordinal()) - weekday) % _WEEK
    days = (pl.col("night") - pl.lit(night)).dt.total_days()
    this_week = days.is_between(-since_start, _WEEK - 1 - since_start)
    own = others.unique().join(played.select("listener").unique(), on="listener", how="semi")
    spent = own.group_by("listener").agg(nights=pl.len(), week=this_week.sum())
    a_week = -(-settings.max_nights // _WEEKS)
    return spent.filter((pl.col("nights") >= settings.max_nights) | (pl.col("week") >= a_week)).select("listener")


def _chosen(countable: pl.DataFrame, *, night: date, max_tracks: int, key: bytes) -> pl.DataFrame:
    """Return ``listener``, ``track_id``, ``counted``: at most ``max_tracks`` a listener, by hash of night and track."""
    tonight = countable.select("listener", "track_id", night=pl.lit(night.isoformat()))
    chosen = _first(tonight, max_tracks, by=("night", "listener", "track_id"), key=key)
    return chosen.select("listener", "track_id", counted=True)


def _first(rows: pl.DataFrame, limit: int, *, by: tuple[str, ...], key: bytes) -> pl.DataFrame:
    """Keep a listener's first rows in the order of a keyed hash; only listeners with more rows need the hash."""
    many = pl.len().over("listener") > limit
    few, choice = rows.filter(~many), rows.filter(many)
    if choice.is_empty():
        return few
    hashed = choice.with_columns(pl.Series("order", _hashes(choice.select(by).iter_rows(), key=key)))
    first = hashed.filter(pl.col("order").rank("ordinal").over("listener") <= limit)
    return pl.concat([few, first.drop("order")])


def _hashes(rows: Iterable[tuple[str, ...]], *, key: bytes) -> list[bytes]:
    """Hash texts with keyed BLAKE2b (RFC 7693); 16 bytes, so that no two rows of a listener are ever equal."""
    return [hashlib.blake2b("\x1f".join(row).encode(), key=key, digest_size=16).digest() for row in rows]
