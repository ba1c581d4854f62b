"""COARSE: bound what one listener adds, in a night and over time.

Every choice made here for a listener depends on that listener's own listens and balances, on public geography and on a
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

from recsys.cells.earnings import BALANCES, largest_weight, pay
from recsys.schemas import CoarseListens, Contributions, at_border
from recsys.settings import PartnerSettings, PrivacySettings
from recsys.weights import SQUARE


class Geography(Protocol):
    """What is asked of :class:`recsys.geography.atlas.Atlas` here."""

    def locate(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Add ``part`` (str, null outside the service area) from the column ``cell``."""
        ...


@dataclass(frozen=True)
class Bounded:
    """A night of some listeners.

    Parameters
    ----------
    contributions : polars.DataFrame
        Schema :class:`recsys.schemas.Contributions`, sorted by listener and track.
    balances : polars.DataFrame
        Schema :data:`recsys.cells.earnings.BALANCES`, sorted by listener: of those who paid tonight, and of the others
        as they were.
    """

    contributions: pl.DataFrame
    balances: pl.DataFrame


def bound(
    coarse: pl.LazyFrame,
    *,
    night: date,
    atlas: Geography,
    balances: pl.DataFrame,
    settings: PrivacySettings,
    key: bytes,
) -> Bounded:
    """Turn the night's listens of some listeners into their bounded contributions.

    Parameters
    ----------
    coarse : polars.LazyFrame
        Schema :class:`recsys.schemas.CoarseListens`: all rows of the night of every listener in it.
    night : date
        The UTC day.
    atlas : Atlas
        Locates cells in the parts of a release.
    balances : polars.DataFrame
        Schema :data:`recsys.cells.earnings.BALANCES`: what these listeners and perhaps others have earned and not spent
        after the nights before (:meth:`recsys.cells.store.Store.balances`).
    settings : PrivacySettings
        What may be spent on a night, in any 28 and in any 365.
    key : bytes
        Secret, at most 64 bytes: breaks ties in a way nobody can steer or foresee.

    Returns
    -------
    Bounded
        Whatever the order of the input:

        - A listener has one ``part`` a night, the one with the most plays. All rows carry it.
        - ``weight`` is how much a row counts in the release: the same for all tracks that were played *in that part*
          with consent to count, as much as the listener has earned (:func:`recsys.cells.earnings.pay`), and 0 for all
          else. What was played elsewhere that night does not count.
        - ``trained`` rows carry the plays that may train models.
        - ``partner_part`` is the part with the most plays that partner statistics may see, on what was played there:
          found by itself, so that allowing partner statistics changes nothing else.
        - Rows that are for none of the three are dropped.
    """
    counted = _numbered(_counted(at_border(coarse, CoarseListens)))
    played = _played(_located(counted, atlas=atlas, key=key))
    countable = played.filter("countable").group_by("listener", maintain_order=True).agg(tracks=pl.len())
    paid = pay(countable.with_columns(pl.col("listener").cast(pl.String)), balances, night=night, settings=settings)
    weights = paid.select(pl.col("listener").cast(counted.schema["listener"]), "weight")
    weighed = played.join(weights, on="listener", how="left").with_columns(
        weight=pl.when("countable").then("weight").otherwise(0).cast(pl.UInt8), night=pl.lit(night), part="home"
    )
    used = (pl.col("weight") > 0) | pl.col("trained") | pl.col("partner_part").is_not_null()
    kept = weighed.filter(used).sort("listener", "track_id").select(Contributions.column_names())
    named = kept.with_columns(pl.col("listener", "track_id").cast(pl.String))
    others = balances.join(paid, on="listener", how="anti")
    return Bounded(at_border(named, Contributions), pl.concat([others, paid.select(*BALANCES)]).sort("listener"))


def bound_for_partner(
    contributions: pl.LazyFrame, *, night: date, settings: PartnerSettings, key: bytes
) -> pl.DataFrame:
    """Turn several nights' contributions into what each listener adds to one partner file.

    Files share no night and each has its own bound, which does not depend on what was before: no erasure resets it.

    Parameters
    ----------
    contributions : polars.LazyFrame
        Schema :class:`recsys.schemas.Contributions`: all nights of the file, of listeners who still allow it.
    night : date
        The last of them, which stands for all.
    settings : PartnerSettings
        ``max_tracks`` that a listener adds to at most, and ``most_per_file``, the squared length of that.
    key : bytes
        As for :func:`bound`.

    Returns
    -------
    polars.DataFrame
        Schema :class:`recsys.schemas.Contributions`, as if all had been one night, sorted by listener and track. Of
        each listener the one part with the most nights (of equals the one with the smallest keyed hash), and of what
        was played there at most ``max_tracks`` tracks, chosen by keyed hash, each with the largest weight that all can
        have alike. As in a night, all of it depends on the listener alone.
    """
    rows = at_border(contributions, Contributions).filter(pl.col("partner_part").is_not_null())
    nightly = rows.select("listener", "night", "track_id", part="partner_part").collect(engine="streaming")
    homes = _homes(nightly.select("listener", "night", "part", plays=pl.lit(1)).unique(), key=key)
    played = nightly.join(homes, left_on=["listener", "part"], right_on=["listener", "home"], how="semi")
    tracks = played.group_by("listener", "track_id").agg(pl.col("part").first(), plays=pl.len().cast(pl.UInt32))
    chosen = _first(tracks, settings.max_tracks, by=("part", "listener", "track_id"), key=key)
    weighed = chosen.with_columns(tracks=pl.len().over("listener")).with_columns(
        weight=largest_weight(pl.lit(settings.most_per_file * SQUARE), night=night)
    )
    uses = {"trained": pl.lit(False), "partner_part": pl.col("part")}
    whole = weighed.sort("listener", "track_id").with_columns(night=pl.lit(night), **uses)
    return at_border(whole.select(Contributions.column_names()), Contributions)


def _counted(coarse: pl.LazyFrame) -> pl.DataFrame:
    """Count the plays that are alike as a stream: a listener has few tracks and places, but may have endless plays."""
    return coarse.group_by(CoarseListens.column_names()).agg(plays=pl.len()).collect(engine="streaming")


def _numbered(counted: pl.DataFrame) -> pl.DataFrame:
    """Let listeners and tracks be numbers in their order: what follows groups, joins and sorts by them repeatedly."""
    return counted.with_columns(
        pl.col(name).cast(pl.Enum(counted[name].unique().sort())) for name in ("listener", "track_id")
    )


def _located(counted: pl.DataFrame, *, atlas: Geography, key: bytes) -> pl.DataFrame:
    """Add the parts that each permission shows, and the homes in them: for all else, and for the partner file."""
    parts = atlas.locate(counted.lazy()).collect()
    for_partner = atlas.locate(counted.lazy().select("listener", "plays", cell="partner_cell")).collect()
    both = parts.with_columns(partner_cell_part=for_partner["part"])
    partner_homes = _homes(for_partner, key=key).rename({"home": "partner_home"})
    with_homes = both.join(_homes(parts, key=key), on="listener", how="left", maintain_order="left")
    return with_homes.join(partner_homes, on="listener", how="left", maintain_order="left")


def _homes(located: pl.DataFrame, *, key: bytes) -> pl.DataFrame:
    """Return ``listener``, ``home``: the part with the most plays; of equals the one with the smallest keyed hash."""
    plays = located.filter(pl.col("part").is_not_null()).group_by("listener", home="part").agg(pl.col("plays").sum())
    most = plays.filter(pl.col("plays") == pl.col("plays").max().over("listener"))
    return _first(most, 1, by=("listener", "home"), key=key).select("listener", "home")


def _played(located: pl.DataFrame) -> pl.DataFrame:
    """Sum up by listener and track: plays, and what they may be used for."""
    at_home = pl.col("for_charts") & (pl.col("part") == pl.col("home")).fill_null(value=False)
    at_partner_home = pl.col("partner_cell_part") == pl.col("partner_home")
    told = located.select(  # before rows are grouped: sums of columns are fast, those of expressions are not
        *("listener", "track_id", "home", "plays", "for_models", "for_charts"),
        countable=at_home,
        training=pl.col("plays") * pl.col("for_models"),
        charting=pl.col("plays") * pl.col("for_charts"),
        partner_part=pl.when(at_partner_home).then("partner_cell_part"),
    )
    summed = told.group_by("listener", "track_id").agg(
        pl.col("home").first(),
        pl.col("plays", "training", "charting").sum(),
        pl.col("countable", "for_models", "for_charts").any(),
        pl.col("partner_part").max(),  # all are the same, but for nulls
    )
    # A play that may not train must not raise the confidence of one that may.
    plays = pl.when("for_models").then("training").when("for_charts").then("charting").otherwise("plays")
    return summed.select(
        *("listener", "track_id", "home", "countable", "partner_part"),
        plays=plays.cast(pl.UInt32),
        trained="for_models",
    )


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
