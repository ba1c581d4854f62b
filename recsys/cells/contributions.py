"""COARSE: bound what one listener adds, in a night and over time.

Every choice made here for a listener depends on that listener's own listens and history, on public geography and on a
secret key, never on anybody else. That is what makes the bound one of user-level privacy: with or without one listener,
the rows of all others are the same, so the release changes by at most that listener's rows. A cap that looked at others
(a quota of the region, say) would let one listener push another one's rows in or out.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import polars as pl

from recsys.schemas import CoarseListens, Contributions, at_border
from recsys.settings import PrivacySettings

WINDOW_NIGHTS = 28
YEAR_NIGHTS = 365
_PACES = 4  # a quarter of a window's nights for each quarter of it


class Geography(Protocol):
    """What is asked of :class:`recsys.geography.atlas.Atlas` here."""

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
        ``listener``, ``night``: other nights within 364 days in which these listeners have a counted row
        (:meth:`recsys.cells.store.Store.counted_nights`).
    settings : PrivacySettings
        ``max_tracks`` a night, ``max_nights`` of any 28 and ``max_nights_per_year`` of any 365.
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
          ``ceil(max_nights / 4)`` in the present week of its own, which begins on a day that differs between
          listeners; nor with ``max_nights_per_year`` within 364 days, or a quarter of them in the present 91 days of
          its own. Weeks and quarters pace contributions: all listeners would else spend their nights at the same time,
          and the charts would run dry together.
        - ``trained`` rows carry the plays that may train models.
        - ``partner_part`` is the part with the most plays that partner statistics may see, on what was played there:
          found by itself, so that allowing partner statistics changes nothing else.
        - Rows that are for none of the three are dropped.
    """
    located = _located(at_border(coarse, CoarseListens), atlas=atlas, key=key)
    played = _played(located)
    open_to_count = played.filter("countable").join(
        _spent(past, played, night=night, settings=settings), on="listener", how="anti"
    )
    chosen = _chosen(open_to_count, night=night, max_tracks=settings.max_tracks, key=key)
    bounded = played.join(chosen, on=["listener", "track_id"], how="left").with_columns(
        pl.col("counted").fill_null(value=False), night=pl.lit(night), part="home"
    )
    used = pl.col("counted") | pl.col("trained") | pl.col("partner_part").is_not_null()
    kept = bounded.filter(used).sort("listener", "track_id")
    return at_border(kept.select(Contributions.column_names()), Contributions)


def bound_for_partner(contributions: pl.LazyFrame, *, night: date, max_tracks: int, key: bytes) -> pl.DataFrame:
    """Turn several nights' contributions into what each listener adds to one partner file.

    Parameters
    ----------
    contributions : polars.LazyFrame
        Schema :class:`recsys.schemas.Contributions`: all nights of the file, of listeners who still allow it.
    night : date
        The last of them, which stands for all.
    max_tracks : int
        Tracks that a listener adds at most.
    key : bytes
        As for :func:`bound`.

    Returns
    -------
    polars.DataFrame
        Schema :class:`recsys.schemas.Contributions`, as if all had been one night, sorted by listener and track; all
        rows are counted. Of each listener the one part with the most nights (of equals the one with the smallest keyed
        hash), and of what was played there at most ``max_tracks`` tracks, chosen by keyed hash. As in a night, all of
        it depends on the listener alone.
    """
    rows = at_border(contributions, Contributions).filter(pl.col("partner_part").is_not_null())
    nightly = rows.select("listener", "night", "track_id", part="partner_part").collect(engine="streaming")
    homes = _homes(nightly.select("listener", "night", "part").unique(), key=key)
    played = nightly.join(homes, left_on=["listener", "part"], right_on=["listener", "home"], how="semi")
    tracks = played.group_by("listener", "track_id").agg(pl.col("part").first(), plays=pl.len().cast(pl.UInt32))
    chosen = _first(tracks, max_tracks, by=("part", "listener", "track_id"), key=key).sort("listener", "track_id")
    uses = {"counted": pl.lit(True), "trained": pl.lit(False), "partner_part": pl.col("part")}
    whole = chosen.with_columns(night=pl.lit(night), **uses)
    return at_border(whole.select(Contributions.column_names()), Contributions)


def _located(coarse: pl.DataFrame, *, atlas: Geography, key: bytes) -> pl.DataFrame:
    """Add the parts that each permission shows, and the homes in them: for all else, and for the partner file."""
    parts = atlas.locate(coarse.lazy()).collect()
    for_partner = atlas.locate(coarse.lazy().select("listener", cell="partner_cell")).collect()
    both = parts.with_columns(partner_cell_part=for_partner["part"])
    partner_homes = _homes(for_partner, key=key).rename({"home": "partner_home"})
    with_homes = both.join(_homes(parts, key=key), on="listener", how="left", maintain_order="left")
    return with_homes.join(partner_homes, on="listener", how="left", maintain_order="left")


def _homes(located: pl.DataFrame, *, key: bytes) -> pl.DataFrame:
    """Return ``listener``, ``home``: the part with the most rows; of equals the one with the smallest keyed hash."""
    plays = located.filter(pl.col("part").is_not_null()).group_by("listener", home="part").len("plays")
    most = plays.filter(pl.col("plays") == pl.col("plays").max().over("listener"))
    return _first(most, 1, by=("listener", "home"), key=key).select("listener", "home")


def _played(located: pl.DataFrame) -> pl.DataFrame:
    """Sum up by listener and track: plays, and what they may be used for."""
    at_home = pl.col("for_charts") & (pl.col("part") == pl.col("home")).fill_null(value=False)
    return located.group_by("listener", "track_id").agg(
        pl.col("home").first(),
        # A play that may not train must not raise the confidence of one that may.
        plays=pl.coalesce(_some("for_models"), _some("for_charts"), pl.len()).cast(pl.UInt32),
        countable=at_home.any(),
        trained=pl.col("for_models").any(),
        partner_part=pl.col("partner_cell_part").filter(pl.col("partner_cell_part") == pl.col("partner_home")).first(),
    )


def _some(use: str) -> pl.Expr:
    """Return how many plays may be put to a use; null for none."""
    return pl.when(pl.col(use).any()).then(pl.col(use).sum())


def _spent(past: pl.DataFrame, played: pl.DataFrame, *, night: date, settings: PrivacySettings) -> pl.DataFrame:
    """Return the listeners who may not count tonight, by their own history alone.

    The nights that are counted here lie on either side of tonight, so that a cap holds for every window in whatever
    order nights are run: of the nights in such a window, the one run last saw all others.
    """
    caps = (_Cap(WINDOW_NIGHTS, settings.max_nights), _Cap(YEAR_NIGHTS, settings.max_nights_per_year))
    own = past.unique().join(played.select("listener").unique(), on="listener", how="semi")
    others = own.filter(pl.col("night") != night)
    return others.group_by("listener").agg(spent=pl.any_horizontal(cap.reached(night) for cap in caps)).filter("spent")


@dataclass(frozen=True)
class _Cap:
    """At most so many counted nights of any window, and a quarter of them in each quarter of an own calendar.

    Parameters
    ----------
    window, nights : int
    """

    window: int
    nights: int

    def reached(self, night: date) -> pl.Expr:
        """Tell by a listener's other counted ``night`` values whether another one is too many."""
        away = (pl.col("night") - pl.lit(night)).dt.total_days()
        pace = self.window // _PACES
        own_start = pl.col("listener").first().str.tail(4).str.to_integer(base=16)  # a keyed hash already
        since_start = (pl.lit(night.toordinal()) - own_start) % pace
        in_window, in_quarter = away.abs() < self.window, away.is_between(-since_start, pace - 1 - since_start)
        return (in_window.sum() >= self.nights) | (in_quarter.sum() >= -(-self.nights // _PACES))


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
