"""The one noisy release of a night: with what weight each part of the world listened to each track."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.errors import InputError, PrivacyBudgetError
from recsys.geography.atlas import Atlas
from recsys.releases.budget.ledger import CHARTS, Entry, Ledger, Spend
from recsys.releases.counts.candidates import Candidates
from recsys.releases.counts.noise import discrete_gaussian
from recsys.releases.counts.release_reader import Released, digest_of, released_nights
from recsys.releases.counts.release_writer import Block, Tier, Written, write_counts
from recsys.schemas import Contributions, at_border
from recsys.settings import PrivacySettings
from recsys.weights import FULL, SQUARE, TOTALS, cost, totals
from recsys.workspace import MANIFEST, digest, read_manifest, sweep, write_manifest

__all__ = [
    "Released",
    "Tier",
    "confirm",
    "drawing_order",
    "noisy_blocks",
    "release",
    "released_nights",
    "tiers",
    "true_counts",
]

Mapped = Callable[[Callable[[pl.DataFrame], pl.DataFrame], Iterable[pl.DataFrame]], Iterable[pl.DataFrame]]

PURPOSE = CHARTS

_NONE = pl.DataFrame(schema={"at": pl.UInt64, "weight": pl.Int32, "listeners": pl.Int32})
_WAITING = 1 << 20  # rows that wait to be added up, however few there are yet
_TRACKS = 1 << 32  # more tracks than a catalogue has
_BLOCK = 1 << 21  # counts at a time: memory of a release does not grow with its number of parts


def release(
    contributions: Iterable[pl.LazyFrame],
    *,
    night: date,
    candidates: Candidates,
    atlas: Atlas,
    settings: PrivacySettings,
    ledger: Ledger,
    releases: Path,
    now: datetime,
    mapped: Mapped = map,
) -> Path:
    """Release a night: the weights of listeners by place and track plus discrete Gaussian noise, ledger first.

    Noise is drawn for every part of the atlas and every track of the catalogue, whoever listened, and for two totals of
    every place. Countries and the world are also counted by themselves, each tier from its share of the budget, because
    a sum of many noisy parts is noisier. Of this noisy histogram the candidates' counts are written, and of other
    tracks those that stand out of the noise: that choice costs nothing, being made of what is noisy already. A night
    that was released is returned as it is and costs nothing.

    The noise of a tier has σ² = Δ² / (2ρ), which gives ρ-zCDP, where Δ is the largest Euclidean length of what one
    listener adds to it: Δ² = ``most_per_night``; tiers add up. All that is counted is in sixteenths of a listener, and
    the noise is drawn on that grid. Over several nights the budgets add up to Σ Δ²(night) / (2σ²) for what a listener
    added to each of them, which is bounded for every listener in every data set (:mod:`recsys.cells.earnings`): by
    ``most_per_28_nights`` and ``most_per_365_nights`` in place of Δ².

    Parameters
    ----------
    contributions : iterable of polars.LazyFrame
        Contributions of the night, bounded, no listener in two of the frames; rows that are not counted, of other
        nights, of tracks outside the catalogue or of parts outside the release are ignored.
    night : date
    candidates : Candidates
        The tracks, and which of them to count where; from public knowledge and past releases only.
    atlas : Atlas
    settings : PrivacySettings
    ledger : Ledger
    releases : Path
        The folder of all releases.
    now : datetime
        For the ledger.
    mapped : callable
        What counts: see :func:`true_counts`.

    Returns
    -------
    Path
        ``releases/DATE`` with ``counts.parquet`` (RegionCounts, larger places first), ``totals.parquet`` (Totals) and
        ``manifest.json``.

    Raises
    ------
    InputError
        If the contributions have other columns, there is no candidate, or an existing release is damaged.
    PrivacyBudgetError
        If new noise would be drawn over a night that was released or begun with other parameters, or a listener adds
        more than the settings allow.

    References
    ----------
    C. Canonne, G. Kamath, T. Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020), theorem 14; V.
    Feldman, T. Zrnic, "Individual Privacy Accounting via a Rényi Filter" (NeurIPS 2021), on adding up what one adds.
    """
    folder = releases / night.isoformat()
    if folder.exists():
        return _released_before(folder, night=night, ledger=ledger, now=now)
    if not candidates.everywhere.size:
        raise InputError("a release needs at least one candidate track, found none", hint="Give a catalogue of tracks.")
    budget = tiers(atlas, settings=settings)
    order = drawing_order(budget, atlas=atlas)
    true = true_counts(
        contributions, night=night, tracks=candidates.tracks, tiers=order, atlas=atlas, settings=settings, mapped=mapped
    )
    sweep(releases)  # no noise that a crash left half-written outlives it
    entry = ledger.commit(
        _spend(night, candidates=candidates, tiers=budget, order=order, atlas=atlas, settings=settings), at=now
    )
    with ledger.drawing(entry, into=folder, seal=MANIFEST, at=now) as stage:
        blocks = noisy_blocks(true, tiers=order, width=len(candidates.tracks) + len(TOTALS))
        written = write_counts(blocks, candidates=candidates, atlas=atlas, folder=stage)
        write_manifest(stage, _facts(entry, tiers=budget, threshold=candidates.threshold, written=written))
    return folder


def confirm(releases: Path, *, ledger: Ledger, now: datetime, without: Collection[date] = ()) -> None:
    """Finish and record in the ledger the releases that a crash left undone, so that none of them can be drawn again.

    Parameters
    ----------
    releases : Path
        The folder of all releases.
    ledger : Ledger
    now : datetime
    without : collection of date
        Nights that are left out for good.

    Raises
    ------
    InputError
        If such a release is damaged.
    PrivacyBudgetError
        If a release is not in the ledger, which was lost or is older than the releases; or if one that the ledger paid
        for is gone.
    """
    ledger.finish_drawing(releases, seal=MANIFEST)
    check_accounted(releases, ledger=ledger, without=without)
    for entry in ledger.entries():
        folder = releases / entry.spend.night.isoformat()
        if entry.release is None and entry.spend.purpose == PURPOSE and folder.exists():
            _released_before(folder, night=entry.spend.night, ledger=ledger, now=now)


def check_accounted(releases: Path, *, ledger: Ledger, without: Collection[date] = ()) -> None:
    """Refuse to go on with a ledger that does not know every release, or knows of one that is gone.

    What else such a ledger forgot would be drawn again; and charts without a night that was paid for would be others.

    Raises
    ------
    PrivacyBudgetError
        If a released night is not in the ledger, or one that was paid for is not among the releases.
    """
    entries = [entry for entry in ledger.entries() if entry.spend.purpose == PURPOSE]
    known = {entry.spend.night for entry in entries}
    lost = lost_nights(releases, entries=entries, without=without)
    if lost:
        raise PrivacyBudgetError(
            f"{len(lost)} nights that the ledger says were released, the first of them {lost[0]}, have no folder under "
            f"{releases} any more",
            hint=f"Restore the folder from a backup, or leave the night out for good: `hearabouts nightly --skip "
            f"{lost[0]}`.",
        )
    unknown = [night for night in released_nights(releases) if night not in known]
    if unknown:
        raise PrivacyBudgetError(
            f"{len(unknown)} released nights, the first of them {unknown[0]}, are not in the ledger: what they spent "
            "is unaccounted",
            hint="Restore the ledger that belongs to these releases.",
        )


def lost_nights(releases: Path, *, entries: Iterable[Entry], without: Collection[date] = ()) -> list[date]:
    """Return the nights whose release was paid for and published, and is gone, in order."""
    there = {*released_nights(releases), *without}
    published = (entry for entry in entries if entry.release is not None and entry.spend.purpose == PURPOSE)
    return sorted(entry.spend.night for entry in published if entry.spend.night not in there)


def tiers(atlas: Atlas, *, settings: PrivacySettings) -> tuple[Tier, ...]:
    """Divide a night's budget: the parts have what countries and the world do not take for their own counts.

    A country or world of a single part is that part and is not counted again; a tier without rows takes nothing.
    """
    sums = sorted(place for place, parts in atlas.members.items() if len(parts) > 1)
    shares = {"country": settings.country_share, "world": settings.world_share}
    larger = {name: tuple(place for place in sums if atlas.places[place].level == name) for name in shares}
    shares = {name: share for name, share in shares.items() if larger[name] and share > 0}
    named = [("part", atlas.parts, 1 - sum(shares.values())), *((name, larger[name], shares[name]) for name in shares)]
    return tuple(_tier(name, rows, share * settings.rho_per_night, settings=settings) for name, rows, share in named)


def drawing_order(tiers: Sequence[Tier], *, atlas: Atlas) -> tuple[Tier, ...]:
    """Divide tiers into runs of rows, so that every larger place comes right before the places in it."""
    tier_of = {row: tier for tier in tiers for row in tier.rows}
    path = {row: tuple(reversed(atlas.chain(atlas.place_of(row)))) for row in tier_of}
    runs: dict[tuple[str, ...], list[str]] = {}
    for row in sorted(tier_of, key=lambda row: (path[row][:2], tier_of[row].name == "part", row)):
        runs.setdefault((tier_of[row].name, *path[row][:2]), []).append(row)
    return tuple(replace(tier_of[rows[0]], rows=tuple(rows)) for rows in runs.values())


def true_counts(
    contributions: Iterable[pl.LazyFrame],
    *,
    night: date,
    tracks: Sequence[str],
    tiers: Sequence[Tier],
    atlas: Atlas,
    settings: PrivacySettings,
    mapped: Mapped = map,
) -> pl.DataFrame:
    """Add up the weights of a night by row and track: what noise is added to.

    Parameters
    ----------
    contributions : iterable of polars.LazyFrame
        No listener is in two of the frames, which are read one after the other: a night is never in memory as a whole.
    mapped : callable
        Applies a function, which can be pickled, to each of some frames, in whatever order and wherever.

    Returns
    -------
    polars.DataFrame
        ``row`` (position in the rows of all tiers together), ``track`` (position in ``tracks``, and behind them in
        ``TOTALS``), ``weight`` (int32, in sixteenths) and ``listeners`` (int32), sorted; pairs without a listener are
        not there.

    Raises
    ------
    InputError
        If the contributions have other columns.
    PrivacyBudgetError
        If a listener adds more than the settings allow.
    """
    weights = partial(_weights, night=night, parts=atlas.parts, tracks=tracks, settings=settings)
    found = mapped(weights, (_counted(some, night=night) for some in contributions))
    return _in_larger_places(_summed(found), atlas=atlas, tiers=tiers)


def noisy_blocks(true: pl.DataFrame, *, tiers: Sequence[Tier], width: int) -> Iterator[Block]:
    """Add fresh noise to every count of all rows, some rows at a time: the one place where a release is drawn.

    Parameters
    ----------
    true : polars.DataFrame
        As :func:`true_counts` returns it for the same tiers.
    tiers : sequence of Tier
    width : int
        Number of tracks, and of totals behind them.

    Yields
    ------
    Block
        In the order of the rows.
    """
    row, track, weight = (true[name].to_numpy() for name in ("row", "track", "weight"))
    at, start = row.astype(np.int64) * width + track, 0
    for tier, places in _blocks(tiers, length=max(1, _BLOCK // width)):
        size = len(places) * width
        noisy = discrete_gaussian(size, sigma_squared=tier.sigma_squared * SQUARE)
        here = slice(*np.searchsorted(at, [start, start + size]))
        noisy[at[here] - start] += weight[here]
        yield Block(tier, places, noisy)
        start += size


def _blocks(tiers: Sequence[Tier], *, length: int) -> Iterator[tuple[Tier, tuple[str, ...]]]:
    return ((tier, tier.rows[i : i + length]) for tier in tiers for i in range(0, len(tier.rows), length))


def _tier(name: str, rows: tuple[str, ...], rho: float, *, settings: PrivacySettings) -> Tier:
    # Never less noise than promised, by not even a rounding.
    return Tier(name, rows, rho, math.nextafter(settings.most_per_night / (2 * rho), math.inf))


def _released_before(folder: Path, *, night: date, ledger: Ledger, now: datetime) -> Path:
    """Return a release that is there, once it and the ledger confirm each other."""
    read_manifest(folder)
    entry = ledger.find(night, purpose=PURPOSE)
    if entry is None:
        raise PrivacyBudgetError(
            f"the release of {night} is not in the ledger: what it spent is unaccounted",
            hint="Restore the ledger that belongs to these releases.",
        )
    ledger.complete(entry.number, release=digest(folder / MANIFEST), at=now)  # a crash may have come before this line
    return folder


def _spend(
    night: date,
    *,
    candidates: Candidates,
    tiers: Sequence[Tier],
    order: Sequence[Tier],
    atlas: Atlas,
    settings: PrivacySettings,
) -> Spend:
    return Spend(
        night=night,
        purpose=PURPOSE,
        rho=settings.rho_per_night,
        sensitivity_squared=float(settings.most_per_night),
        tiers={tier.name: {"rho": tier.rho, "sigma_squared": tier.sigma_squared} for tier in tiers},
        rows=digest_of([row for tier in order for row in tier.rows]),
        parameters={
            "atlas": atlas.version,
            "most_per_night": settings.most_per_night,
            # the bounds of then: what a listener can have added, whatever comes
            "most_per_28_nights": settings.most_per_28_nights,
            "most_per_365_nights": settings.most_per_365_nights,
            "largest_balance": settings.largest_balance,
            **candidates.facts(),
        },
    )


def _facts(entry: Entry, *, tiers: Sequence[Tier], threshold: float, written: Written) -> dict[str, Any]:
    spend = entry.spend
    return {
        "night": spend.night.isoformat(),
        "ledger": entry.number,
        "rho": spend.rho,
        "tiers": [_described(tier, newcomers=written.newcomers.get(tier.name, 0)) for tier in tiers],
        "rows_digest": spend.rows,
        "threshold": threshold if math.isfinite(threshold) else None,
        "written_digest": digest_of(sorted(written.tracks)),
        **spend.parameters,
    }


def _described(tier: Tier, *, newcomers: int) -> dict[str, Any]:
    """Describe a tier for the manifest; parts are those of the atlas, larger places have to be named."""
    places = [] if tier.name == "part" else list(tier.rows)
    return {**vars(tier), "rows": len(tier.rows), "places": places, "newcomers_written": newcomers}


def _counted(contributions: pl.LazyFrame, *, night: date) -> pl.DataFrame:
    counted = at_border(contributions, Contributions).filter(pl.col("weight") > 0, pl.col("night") == night)
    return counted.select("listener", "part", "track_id", "weight").collect(engine="streaming")


def _weights(
    counted: pl.DataFrame, *, night: date, parts: Sequence[str], tracks: Sequence[str], settings: PrivacySettings
) -> pl.DataFrame:
    """Add up weights by part and track (:func:`_at` of positions in the given sequences, then in the totals)."""
    weight, at = pl.col("weight"), pl.col("at")
    numbered = counted.select(
        pl.col("listener").cast(pl.Enum(counted["listener"].unique())),
        _at(_position("part", parts), _position("track_id", tracks)),
        weight.cast(pl.Int32),
    ).drop_nulls()
    added = numbered.group_by("listener", "at").agg(weight.max(), least=weight.min())
    own = added.group_by("listener").agg(
        part=at.min() // _TRACKS,
        last=at.max() // _TRACKS,
        tracks=pl.len(),
        weight=weight.max(),
        least=pl.col("least").min(),
    )
    own = own.with_columns(pl.col("listener").cast(pl.String))
    _check_bounds(own, night=night, settings=settings)
    in_totals = totals(pl.col("tracks"), weight, night=night)
    of_all = pl.concat(
        own.select(_at(pl.col("part"), pl.lit(len(tracks) + i)), weight=total.cast(pl.Int32))
        for i, total in enumerate(in_totals)
    )
    every = pl.concat([added.select("at", "weight"), of_all])
    return every.group_by("at").agg(weight.sum(), listeners=pl.len().cast(pl.Int32))


def _summed(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Add up sums of some listeners each, as they come.

    What came since is added up once it is as much as the sum so far: memory has a few times the sum, and not all of the
    frames, and each row is added up a few times.
    """
    total, since = _NONE, list[pl.DataFrame]()
    for frame in frames:
        since.append(frame)
        if sum(map(len, since)) > max(len(total), _WAITING):
            total, since = _added_up([total, *since]), []
    return _added_up([total, *since])


def _added_up(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames).group_by("at").agg(pl.col("weight", "listeners").sum())


def _at(row: pl.Expr, track: pl.Expr) -> pl.Expr:
    """Return a row and a track, both as positions, as one number: it is grouped and sorted far faster than two."""
    return (row.cast(pl.UInt64) * _TRACKS + track).cast(pl.UInt64).alias("at")


def _position(column: str, names: Sequence[str]) -> pl.Expr:
    """Return the position of each name in a sequence; null where it is not there."""
    return pl.col(column).cast(pl.Enum(names), strict=False).to_physical().cast(pl.UInt32)


def _check_bounds(own: pl.DataFrame, *, night: date, settings: PrivacySettings) -> None:
    """Refuse to promise what the contributions do not keep: what noise hides is one part and ``most_per_night``."""
    spent = cost(pl.col("tracks"), pl.col("weight"), night=night)
    moves, uneven = pl.col("part") != pl.col("last"), pl.col("weight") != pl.col("least")
    beyond = (spent > settings.most_per_night * SQUARE) | moves | (pl.col("weight") > FULL) | uneven
    found = own.filter(beyond).height
    if found:
        raise PrivacyBudgetError(
            f"{found} listeners add more than a squared length of {settings.most_per_night} in one part, or unevenly: "
            "the noise would not hide them",
            hint="Contributions must be bounded with the same privacy settings before they are released.",
        )


def _in_larger_places(true: pl.DataFrame, *, atlas: Atlas, tiers: Sequence[Tier]) -> pl.DataFrame:
    """Count every row from its parts: a listener is in one part, so counts add."""
    rows = [row for tier in tiers for row in tier.rows]
    number = {part: i for i, part in enumerate(atlas.parts)}
    pairs = [(number[part], row) for row, place in enumerate(rows) for part in atlas.members.get(place, (place,))]
    within = pl.DataFrame(pairs, schema={"part": pl.UInt32, "row": pl.UInt32}, orient="row")
    placed = true.with_columns(part=(pl.col("at") // _TRACKS).cast(pl.UInt32), track=pl.col("at") % _TRACKS)
    of_one = pl.len().over("row") == 1  # a part itself, as most rows are, has nothing to add up
    alone, together = (
        placed.join(within.filter(which), on="part").select(_at(pl.col("row"), pl.col("track")), "weight", "listeners")
        for which in (of_one, ~of_one)
    )
    summed = _added_up([together])
    row, track = (pl.col("at") // _TRACKS).cast(pl.UInt32), (pl.col("at") % _TRACKS).cast(pl.UInt32)
    return pl.concat([alone, summed]).sort("at").select(row.alias("row"), track.alias("track"), "weight", "listeners")
