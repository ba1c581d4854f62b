"""The one noisy release of a night: how many contributing listeners each part of the world had for each track."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.atlas import Atlas
from recsys.errors import InputError, NotReadyError, PrivacyBudgetError
from recsys.releases.ledger import Entry, Ledger, Spend
from recsys.releases.noise import discrete_gaussian
from recsys.schemas import Contributions, RegionCounts, at_border
from recsys.settings import PrivacySettings
from recsys.workspace import MANIFEST, digest, read_manifest, staged, sweep, write_manifest

PURPOSE = "charts"
COUNTS = "counts.parquet"

_BLOCK = 1 << 21  # cells at a time: memory of a release does not grow with its number of parts


@dataclass(frozen=True)
class Tier:
    """Rows of a release that share a part of its budget: disjoint places, of which a listener is in one.

    Parameters
    ----------
    name : {"part", "country", "world"}
    rows : tuple of str
        Parts of the atlas, or places that are the sum of several of them.
    rho : float
        zCDP budget: its share of the night's.
    sigma_squared : float
        Of the noise in its counts.
    """

    name: str
    rows: tuple[str, ...]
    rho: float
    sigma_squared: float


@dataclass(frozen=True)
class Released:
    """The sum of several nights' releases.

    Parameters
    ----------
    nights : tuple of date
        The nights in it, in order.
    atlas : str
        Version of the atlas that all of them were released under.
    rows, tracks : tuple of str
        What the rows and columns of ``sums`` mean, sorted: parts of the atlas, and larger places counted by themselves.
    tiers : mapping of str to str
        The tier of each row.
    sums : numpy.ndarray of int32, shape (rows, tracks)
        Noisy contributing listeners, summed over the nights.
    exposures : numpy.ndarray of float64, shape (tracks,)
        In how many of the nights a track was a candidate.
    variances : mapping of tier to numpy.ndarray of float64, shape (tracks,)
        Noise variance of each value of ``sums`` in that tier and column.
    ledger_numbers : tuple of int
        The entries that paid for them.
    """

    nights: tuple[date, ...]
    atlas: str
    rows: tuple[str, ...]
    tracks: tuple[str, ...]
    tiers: Mapping[str, str]
    sums: NDArray[np.int32]
    exposures: NDArray[np.float64]
    variances: Mapping[str, NDArray[np.float64]]
    ledger_numbers: tuple[int, ...]


def release(
    contributions: pl.LazyFrame,
    *,
    night: date,
    candidates: Sequence[str],
    atlas: Atlas,
    settings: PrivacySettings,
    ledger: Ledger,
    releases: Path,
    now: datetime,
) -> Path:
    """Release a night: distinct listeners by place and candidate track plus discrete Gaussian noise, ledger first.

    The release covers every part of the atlas and every candidate, whoever listened. Countries and the world are also
    counted by themselves, each tier from its share of the budget, because a sum of many noisy parts is noisier. A night
    that was released is returned as it is and costs nothing. The noise of a tier has σ² = max_tracks / (2ρ), which
    gives ρ-zCDP, because one listener changes at most ``max_tracks`` of its cells by 1 each; tiers add up.

    Parameters
    ----------
    contributions : polars.LazyFrame
        Contributions of the night, bounded; rows that are not counted, of other nights, of tracks that are no
        candidates or of parts outside the release are ignored.
    night : date
    candidates : sequence of str
        Tracks to count, from public knowledge and past releases only.
    atlas : Atlas
    settings : PrivacySettings
    ledger : Ledger
    releases : Path
        The folder of all releases.
    now : datetime
        For the ledger.

    Returns
    -------
    Path
        ``releases/DATE`` with ``counts.parquet`` (RegionCounts sorted by part and track) and ``manifest.json``.

    Raises
    ------
    InputError
        If the contributions have other columns, there is no candidate, or an existing release is damaged.
    PrivacyBudgetError
        If new noise would be drawn over a night that was released or begun with other parameters, or a listener adds
        more than the settings allow.

    References
    ----------
    C. Canonne, G. Kamath, T. Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020), theorem 14.
    """
    folder = releases / night.isoformat()
    if folder.exists():
        return _released_before(folder, night=night, ledger=ledger, now=now)
    tracks = tuple(sorted(set(candidates)))
    if not tracks:
        raise InputError("a release needs at least one candidate track, found none", hint="Give a catalogue of tracks.")
    counted = at_border(contributions, Contributions).filter(pl.col("counted"), pl.col("night") == night)
    true = _distinct_listeners(counted, parts=atlas.parts, tracks=tracks, settings=settings)
    budget = tiers(atlas, settings=settings)
    sweep(releases)  # no noise that a crash left half-written outlives it
    entry = ledger.commit(_spend(night, tracks=tracks, tiers=budget, atlas=atlas, settings=settings), at=now)
    with staged(folder) as stage:
        _write_noisy(
            _in_larger_places(true, atlas=atlas, tiers=budget), tiers=budget, tracks=tracks, file=stage / COUNTS
        )
        write_manifest(stage, _facts(entry, tiers=budget))
    ledger.complete(entry.number, release=digest(folder / MANIFEST), at=now)
    return folder


def confirm(releases: Path, *, ledger: Ledger, now: datetime) -> None:
    """Record in the ledger the releases that a crash left unrecorded, so that none of them can be drawn again.

    Parameters
    ----------
    releases : Path
        The folder of all releases.
    ledger : Ledger
    now : datetime

    Raises
    ------
    InputError
        If such a release is damaged.
    """
    for entry in ledger.entries():
        folder = releases / entry.spend.night.isoformat()
        if entry.release is None and entry.spend.purpose == PURPOSE and folder.exists():
            _released_before(folder, night=entry.spend.night, ledger=ledger, now=now)


def released_nights(releases: Path) -> list[date]:
    """Return the nights that were released, in order."""
    return sorted(date.fromisoformat(path.parent.name) for path in releases.glob(f"[0-9]*/{MANIFEST}"))


def read(releases: Path, nights: Iterable[date]) -> Released:
    """Read and sum released nights; of nights under different atlases only those like the last one count.

    Raises
    ------
    NotReadyError
        If there is no night.
    InputError
        If a release is damaged.
    """
    found = [_open(releases / night.isoformat()) for night in sorted(set(nights))]
    if not found:
        raise NotReadyError("no night was released yet", hint="Run `hearabouts nightly` first.")
    alike = [table for table in found if table.facts["atlas"] == found[-1].facts["atlas"]]
    tier_of = {row: tier.name for table in alike for tier in table.tiers for row in tier.rows}
    rows = tuple(sorted(tier_of))
    tracks = tuple(sorted(set().union(*(table.tracks for table in alike))))
    sums = np.zeros((len(rows), len(tracks)), dtype=np.int32)
    exposures, variances = np.zeros(len(tracks)), {name: np.zeros(len(tracks)) for name in tier_of.values()}
    for table in alike:
        columns = np.searchsorted(tracks, table.tracks)
        exposures[columns] += 1
        for tier in table.tiers:
            variances[tier.name][columns] += tier.sigma_squared
        _add(sums, table, rows=np.searchsorted(rows, table.rows), columns=columns)
    return Released(
        nights=tuple(date.fromisoformat(table.facts["night"]) for table in alike),
        atlas=found[-1].facts["atlas"],
        rows=rows,
        tracks=tracks,
        tiers=tier_of,
        sums=sums,
        exposures=exposures,
        variances=variances,
        ledger_numbers=tuple(table.facts["ledger"] for table in alike),
    )


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


def _tier(name: str, rows: tuple[str, ...], rho: float, *, settings: PrivacySettings) -> Tier:
    # Never less noise than promised, by not even a rounding.
    return Tier(name, rows, rho, math.nextafter(settings.max_tracks / (2 * rho), math.inf))


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
    night: date, *, tracks: Sequence[str], tiers: Sequence[Tier], atlas: Atlas, settings: PrivacySettings
) -> Spend:
    return Spend(
        night=night,
        purpose=PURPOSE,
        rho=settings.rho_per_night,
        sensitivity_squared=float(settings.max_tracks),
        tiers={tier.name: {"rho": tier.rho, "sigma_squared": tier.sigma_squared} for tier in tiers},
        rows=_digest_of([row for tier in tiers for row in tier.rows]),
        parameters={
            "atlas": atlas.version,
            "max_tracks": settings.max_tracks,
            "candidates": len(tracks),
            "candidates_digest": _digest_of(tracks),
        },
    )


def _facts(entry: Entry, *, tiers: Sequence[Tier]) -> dict[str, Any]:
    spend = entry.spend
    return {
        "night": spend.night.isoformat(),
        "ledger": entry.number,
        "rho": spend.rho,
        "tiers": [{**vars(tier), "rows": len(tier.rows)} for tier in tiers],
        "rows_digest": spend.rows,
        **spend.parameters,
    }


def _digest_of(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _distinct_listeners(
    counted: pl.LazyFrame, *, parts: Sequence[str], tracks: Sequence[str], settings: PrivacySettings
) -> pl.DataFrame:
    """Count distinct listeners by ``part`` and ``track`` (positions in the given sequences), where there are any."""
    triples = (
        counted.join(_positions(parts, "part"), left_on="part", right_on="name")
        .join(_positions(tracks, "track"), left_on="track_id", right_on="name")
        .select("listener", part="part_right", track="track")
        .unique()
        .collect(engine="streaming")
    )
    _check_bounds(triples, settings=settings)
    return triples.group_by("part", "track").agg(listeners=pl.len().cast(pl.Int32)).sort("part", "track")


def _positions(names: Sequence[str], column: str) -> pl.LazyFrame:
    return pl.LazyFrame({"name": list(names)}, schema={"name": pl.String}).with_row_index(column)


def _check_bounds(triples: pl.DataFrame, *, settings: PrivacySettings) -> None:
    """Refuse to promise what the contributions do not keep: the noise hides one part and ``max_tracks`` tracks."""
    added = triples.group_by("listener").agg(tracks=pl.len(), parts=pl.col("part").n_unique())
    beyond = added.filter((pl.col("tracks") > settings.max_tracks) | (pl.col("parts") > 1)).height
    if beyond:
        raise PrivacyBudgetError(
            f"{beyond} listeners add more than {settings.max_tracks} tracks in one part: the noise would not hide them",
            hint="Contributions must be bounded with the same privacy settings before they are released.",
        )


def _in_larger_places(true: pl.DataFrame, *, atlas: Atlas, tiers: Sequence[Tier]) -> pl.DataFrame:
    """Put under the counts of parts those of the places that they make up: a listener is in one part, so counts add.

    Returns
    -------
    polars.DataFrame
        ``row`` (position in the rows of all tiers together), ``track`` and ``listeners``, sorted.
    """
    rows = [row for tier in tiers for row in tier.rows]
    number = {part: i for i, part in enumerate(atlas.parts)}
    pairs = [(number[part], row) for row, place in enumerate(rows) for part in atlas.members.get(place, (place,))]
    within = pl.DataFrame(pairs, schema={"part": pl.UInt32, "row": pl.UInt32}, orient="row")
    return true.join(within, on="part").group_by("row", "track").agg(pl.col("listeners").sum()).sort("row", "track")


def _write_noisy(true: pl.DataFrame, *, tiers: Sequence[Tier], tracks: Sequence[str], file: Path) -> None:
    """Write counts plus noise for all rows and tracks, a block of rows at a time."""
    row, track, listeners = (true[name].to_numpy() for name in ("row", "track", "listeners"))
    cells, start = row.astype(np.int64) * len(tracks) + track, 0
    with pq.ParquetWriter(file, _ARROW, compression="zstd", use_dictionary=_REPEATED, store_schema=False) as writer:
        for tier, names in _blocks(tiers, length=max(1, _BLOCK // len(tracks))):
            size = len(names) * len(tracks)
            noisy = discrete_gaussian(size, sigma_squared=tier.sigma_squared)
            here = slice(*np.searchsorted(cells, [start, start + size]))
            noisy[cells[here] - start] += listeners[here]
            writer.write_table(_as_table(noisy, rows=names, tracks=tracks))
            start += size


def _blocks(tiers: Sequence[Tier], *, length: int) -> Iterator[tuple[Tier, tuple[str, ...]]]:
    return ((tier, tier.rows[i : i + length]) for tier in tiers for i in range(0, len(tier.rows), length))


def _as_table(noisy: NDArray[np.int32], *, rows: Sequence[str], tracks: Sequence[str]) -> pa.Table:
    """Lay out a block as RegionCounts, with texts as codes into dictionaries: no text is copied a million times."""
    part = np.repeat(np.arange(len(rows), dtype=np.int32), len(tracks))
    track = np.tile(np.arange(len(tracks), dtype=np.int32), len(rows))
    columns = [
        pa.DictionaryArray.from_arrays(part, pa.array(rows, pa.string())),
        pa.DictionaryArray.from_arrays(track, pa.array(tracks, pa.string())),
        pa.array(noisy),
    ]
    return pa.Table.from_arrays(columns, schema=_ARROW)


@dataclass(frozen=True)
class _Table:
    """A release on disk: the facts of its manifest, and what its rows are, tier by tier and track by track."""

    facts: dict[str, Any]
    file: pq.ParquetFile
    tiers: tuple[Tier, ...]
    tracks: list[str]

    @property
    def rows(self) -> list[str]:
        return [row for tier in self.tiers for row in tier.rows]


def _open(folder: Path) -> _Table:
    """Open a release and check that its rows are the places and tracks that its manifest names."""
    facts = read_manifest(folder)
    at_border(pl.scan_parquet(folder / COUNTS), RegionCounts)
    file = pq.ParquetFile(folder / COUNTS, read_dictionary=["part"])
    first = next(file.iter_batches(batch_size=facts["candidates"], columns=["track_id"]))
    groups = (file.read_row_group(i, columns=["part"])["part"] for i in range(file.num_row_groups))
    names = iter(
        dict.fromkeys(row for group in groups for chunk in group.chunks for row in chunk.dictionary.to_pylist())
    )
    found = tuple(Tier(**{**tier, "rows": tuple(islice(names, tier["rows"]))}) for tier in facts["tiers"])
    table = _Table(facts, file, found, first["track_id"].to_pylist())
    digests = (_digest_of(table.rows), _digest_of(table.tracks))
    if digests != (facts["rows_digest"], facts["candidates_digest"]):
        raise InputError(f"{folder} does not hold the places and tracks it names", hint="Restore it from a backup.")
    return table


def _add(sums: NDArray[np.int32], table: _Table, *, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> None:
    """Add a release to the sums, some rows at a time."""
    width, start = len(columns), 0
    for batch in table.file.iter_batches(batch_size=max(1, _BLOCK // width) * width, columns=["listeners"]):
        block = batch["listeners"].to_numpy().reshape(-1, width)
        sums[np.ix_(rows[start : start + len(block)], columns)] += block
        start += len(block)


# Written with dictionaries; track_id is not: as plain text its period is whole bytes, so that zstd finds it (a third).
_REPEATED = ["part", "listeners"]

_CODES = pa.dictionary(pa.int32(), pa.string())
_ARROW = pa.schema([("part", _CODES), ("track_id", _CODES), ("listeners", pa.int32())])
