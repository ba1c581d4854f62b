"""The release reader: nights read back and added up, from which every chart and next choice of candidates starts."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.errors import InputError, NotReadyError
from recsys.schemas import RegionCounts, at_border
from recsys.workspace import MANIFEST, read_manifest

COUNTS = "counts.parquet"

_BLOCK = 1 << 22  # cells at a time, laid out densely to add up; memory goes with what was counted, not with the tracks
_MOST_NIGHTS = 255  # nights of a cell are held in a byte


@dataclass(frozen=True)
class Released:
    """The sum of several nights' releases, row by row, of the tracks that were counted there and of no others.

    Parameters
    ----------
    nights : tuple of date
        The nights in it, in order.
    atlas : str
        Version of the atlas that all of them were released under.
    rows, tracks : tuple of str
        Sorted: parts of the atlas and larger places counted by themselves; tracks counted anywhere.
    tiers : mapping of str to str
        The tier of each row.
    starts : numpy.ndarray of int64, shape (rows + 1,)
        The entries of row i are those from ``starts[i]`` to ``starts[i + 1]``; see :meth:`entries`.
    positions : numpy.ndarray of int32, shape (entries,)
        Which of ``tracks`` an entry is about, ascending within a row.
    sums : numpy.ndarray of int32, shape (entries,)
        Noisy contributing listeners, summed over the nights on which the track was counted there.
    exposures : numpy.ndarray of uint8, shape (entries,)
        How many nights those are.
    variances : numpy.ndarray of float32, shape (entries,)
        Noise variance of ``sums``.
    ledger_numbers : tuple of int
        The ledger entries that paid for the nights.
    """

    nights: tuple[date, ...]
    atlas: str
    rows: tuple[str, ...]
    tracks: tuple[str, ...]
    tiers: Mapping[str, str]
    starts: NDArray[np.int64]
    positions: NDArray[np.int32]
    sums: NDArray[np.int32]
    exposures: NDArray[np.uint8]
    variances: NDArray[np.float32]
    ledger_numbers: tuple[int, ...]

    def entries(self, row: str) -> slice:
        """Return where the entries of a row are; a row that was not released has none."""
        i = bisect_left(self.rows, row)
        found = i < len(self.rows) and self.rows[i] == row
        return slice(int(self.starts[i]), int(self.starts[i + 1])) if found else slice(0, 0)


def released_nights(releases: Path) -> list[date]:
    """Return the nights that were released, in order."""
    return sorted(date.fromisoformat(path.parent.name) for path in releases.glob(f"[0-9]*/{MANIFEST}"))


def read(releases: Path, nights: Iterable[date], *, newcomers: bool = False) -> Released:
    """Read and sum released nights; of nights under different atlases only those like the last one count.

    Parameters
    ----------
    releases : Path
        The folder of all releases.
    nights : iterable of date
    newcomers : bool
        Sum the newcomers' counts instead of the candidates'. They were written because they are large, so they are too
        large: they tell which tracks stood out, and estimate nothing.

    Raises
    ------
    NotReadyError
        If there is no night.
    InputError
        If a release is damaged, or there are more than 255 nights.
    """
    found = [_open(releases / night.isoformat()) for night in sorted(set(nights))]
    if not found:
        raise NotReadyError("no night was released yet", hint="Run `hearabouts nightly` first.")
    if len(found) > _MOST_NIGHTS:
        raise InputError(f"{len(found)} nights are too many for one window", hint=f"At most {_MOST_NIGHTS} add up.")
    alike = [table for table in found if table.facts["atlas"] == found[-1].facts["atlas"]]
    tier_of = {row: tier for table in alike for row, tier in table.tiers().items()}
    rows = tuple(sorted(tier_of))
    tracks = pa.array(sorted(set().union(*(table.tracks for table in alike))), pa.string())
    total = _nothing(rows)
    for table in alike:
        total = _added(total, _cells(table, rows=rows, tracks=tracks, newcomers=newcomers), width=len(tracks))
    return Released(
        nights=tuple(date.fromisoformat(table.facts["night"]) for table in alike),
        atlas=found[-1].facts["atlas"],
        rows=rows,
        tracks=tuple(tracks.to_pylist()),
        tiers=tier_of,
        starts=total.starts,
        positions=total.positions,
        sums=total.sums,
        exposures=total.exposures,
        variances=total.variances,
        ledger_numbers=tuple(table.facts["ledger"] for table in alike),
    )


def digest_of(names: Sequence[str]) -> str:
    """Return a digest (16 hex digits) of names in their order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Table:
    """A release on disk: the facts of its manifest, its rows in order, and its tracks in no order."""

    facts: dict[str, Any]
    file: pq.ParquetFile
    rows: tuple[str, ...]
    tracks: frozenset[str]

    def tiers(self) -> dict[str, str]:
        """Return the tier of each row."""
        larger = {place: tier["name"] for tier in self.facts["tiers"] for place in tier["places"]}
        return {row: larger.get(row, "part") for row in self.rows}

    def variances(self) -> list[float]:
        """Return the noise variance of each row's counts."""
        of_tier = {tier["name"]: tier["sigma_squared"] for tier in self.facts["tiers"]}
        return [of_tier[tier] for tier in self.tiers().values()]


@dataclass(frozen=True)
class _Cells:
    """Entries as in :class:`Released`."""

    starts: NDArray[np.int64]
    positions: NDArray[np.int32]
    sums: NDArray[np.int32]
    exposures: NDArray[np.uint8]
    variances: NDArray[np.float32]


def _open(folder: Path) -> _Table:
    """Open a release and check that its rows are the places and tracks that its manifest names."""
    facts = read_manifest(folder)
    at_border(pl.scan_parquet(folder / COUNTS), RegionCounts)
    file = pq.ParquetFile(folder / COUNTS, read_dictionary=["part", "track_id"])
    rows: list[str] = []
    tracks: set[str] = set()
    for i in range(file.num_row_groups):
        group = file.read_row_group(i, columns=["part", "track_id"]).unify_dictionaries()
        rows += group["part"].chunk(0).dictionary.to_pylist()
        tracks |= set(group["track_id"].chunk(0).dictionary.to_pylist())
    if (digest_of(rows), digest_of(sorted(tracks))) != (facts["rows_digest"], facts["written_digest"]):
        raise InputError(f"{folder} does not hold the places and tracks it names", hint="Restore it from a backup.")
    return _Table(facts, file, tuple(rows), frozenset(tracks))


def _cells(table: _Table, *, rows: Sequence[str], tracks: pa.Array, newcomers: bool) -> _Cells:
    """Return the candidates' cells of a night, or the newcomers', with its rows in their place among all rows."""
    groups = list(_groups(table.file, tracks=tracks, newcomers=newcomers))
    lengths, positions, sums = (np.concatenate([group[i] for group in groups]) for i in range(3))
    at = np.searchsorted(np.array(rows), np.array(table.rows))
    counts = np.zeros(len(rows), dtype=np.int64)
    counts[at] = lengths
    variances = np.zeros(len(rows), dtype=np.float32)
    variances[at] = table.variances()
    order = _order(lengths, at)
    return _Cells(
        starts=_starts(counts),
        positions=positions[order],
        sums=sums[order],
        exposures=np.ones(len(order), dtype=np.uint8),
        variances=np.repeat(variances, counts),
    )


def _groups(
    file: pq.ParquetFile, *, tracks: pa.Array, newcomers: bool
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]]:
    """Yield of each row group how many cells each row has, and their tracks and counts."""
    for i in range(file.num_row_groups):
        group = file.read_row_group(i).unify_dictionaries().combine_chunks()
        part, track = group["part"].chunk(0), group["track_id"].chunk(0)
        wanted = group["candidate"].to_numpy() != newcomers
        position = pc.index_in(track.dictionary, value_set=tracks).to_numpy()
        lengths = np.bincount(part.indices.to_numpy()[wanted], minlength=len(part.dictionary))
        yield lengths, position[track.indices.to_numpy()[wanted]], group["listeners"].to_numpy()[wanted]


def _order(lengths: NDArray[np.int64], at: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the order of cells in which runs of the given lengths stand by ``at``."""
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    by = np.argsort(at)
    starts = _starts(lengths[by])
    return np.repeat(first[by] - starts[:-1], lengths[by]) + np.arange(starts[-1])


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _nothing(rows: Sequence[str]) -> _Cells:
    kinds = (np.int32, np.int32, np.uint8, np.float32)
    return _Cells(np.zeros(len(rows) + 1, dtype=np.int64), *(np.zeros(0, dtype=kind) for kind in kinds))  # type: ignore[arg-type]


def _added(one: _Cells, other: _Cells, *, width: int) -> _Cells:
    """Add cells up: at once where they are the same, as they mostly are in a small catalogue."""
    if np.array_equal(one.starts, other.starts) and np.array_equal(one.positions, other.positions):
        added = (getattr(one, name) + getattr(other, name) for name in ("sums", "exposures", "variances"))
        return _Cells(one.starts, one.positions, *added)
    return _merged(one, other, width=width)


def _merged(one: _Cells, other: _Cells, *, width: int) -> _Cells:
    """Add different cells, some rows at a time: laid out densely, and what was never counted left out again."""
    rows, step = len(one.starts) - 1, max(1, _BLOCK // max(1, width))
    blocks = [_added_densely(one, other, rows=range(i, min(i + step, rows)), width=width) for i in range(0, rows, step)]
    lengths, *values = (np.concatenate(columns) for columns in zip(*blocks, strict=True))
    return _Cells(_starts(lengths), *values)


def _added_densely(one: _Cells, other: _Cells, *, rows: range, width: int) -> tuple[NDArray[Any], ...]:
    """Return how many cells each of some rows has in the sum, and those."""
    size = len(rows) * width
    sums, exposures = np.zeros(size, dtype=np.int32), np.zeros(size, dtype=np.uint8)
    variances = np.zeros(size, dtype=np.float32)
    for cells in (one, other):
        starts = cells.starts[rows.start : rows.stop + 1]
        here, lengths = slice(starts[0], starts[-1]), np.diff(starts)
        dense = np.repeat(np.arange(len(rows)) * width, lengths) + cells.positions[here]
        sums[dense] += cells.sums[here]
        exposures[dense] += cells.exposures[here]
        variances[dense] += cells.variances[here]
    counted = np.flatnonzero(exposures)
    lengths = np.bincount(counted // width, minlength=len(rows))
    return lengths, (counted % width).astype(np.int32), sums[counted], exposures[counted], variances[counted]
