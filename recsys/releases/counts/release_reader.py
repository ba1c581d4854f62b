"""The release reader: nights read back and added up, from which every chart and next choice of candidates starts."""

import hashlib
import os
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.errors import InputError, NotReadyError
from recsys.releases.counts.mean_weights import NOISE_OF_TOTALS, PlaceTotals
from recsys.releases.counts.noisy_counts import Array
from recsys.schemas import RegionCounts, Totals, at_border
from recsys.workspace import MANIFEST, read_manifest

COUNTS, PLACES = "counts.parquet", "totals.parquet"

_ROOM = 1 << 28  # bytes of decoded nights that a reader keeps: a small world's last five weeks, not a large one's night
_NAME = 72  # bytes of a name in memory
_BLOCK = 1 << 22  # counts at a time, laid out densely to add up; memory goes with what was counted, not with the tracks
_MOST_NIGHTS = 255  # nights of a count are held in a byte

Facts = Mapping[str, Any]  # of a manifest


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
        Noisy weights of contributing listeners, summed over the nights on which the track was counted there.
    exposures : numpy.ndarray of uint8, shape (entries,)
        How many nights those are.
    variances : numpy.ndarray of float32, shape (entries,)
        Noise variance of ``sums``.
    ledger_numbers : tuple of int
        The ledger entries that paid for the nights.
    weight : float
        The mean weight of the world, which makes listeners of weights; 1 leaves them as they are.
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
    weight: float = 1.0

    def entries(self, row: str) -> slice:
        """Return where the entries of a row are; a row that was not released has none."""
        i = bisect_left(self.rows, row)
        found = i < len(self.rows) and self.rows[i] == row
        return slice(int(self.starts[i]), int(self.starts[i + 1])) if found else slice(0, 0)


def released_nights(releases: Path) -> list[date]:
    """Return the nights that were released, in order."""
    return sorted(date.fromisoformat(path.parent.name) for path in releases.glob(f"[0-9]*/{MANIFEST}"))


class ReleaseReader:
    """Reads released nights for one run: checks each file once, and decodes it once as long as there is room.

    A release never changes, so what was checked once is not checked again; one that is made meanwhile is found.

    Parameters
    ----------
    folder : Path
        The folder of all releases.
    room : int
        Bytes of decoded nights to keep at most: those that were asked for last.
    """

    def __init__(self, folder: Path, *, room: int = _ROOM) -> None:
        self._folder = folder
        self._room = room
        self._facts = cache(self._checked)
        self._kept: dict[date, _Halves] = {}  # the one asked for last comes last

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it as one that has read nothing; copies, of which each core may have one, have room for two together."""
        room = min(self._room, 2 * self._room // (os.cpu_count() or 1))
        return partial(ReleaseReader, room=room), (self._folder,)

    def nights(self) -> list[date]:
        """Return the nights that were released by now, in order."""
        return released_nights(self._folder)

    def read(self, nights: Iterable[date], *, newcomers: bool = False) -> Released:
        """Read and sum released nights; of nights under different atlases only those like the last one count.

        Parameters
        ----------
        nights : iterable of date
        newcomers : bool
            Sum the newcomers' counts instead of the candidates'. They were written because they are large, so they are
            too large: they tell which tracks stood out, and estimate nothing.

        Raises
        ------
        NotReadyError
            If there is no night.
        InputError
            If a release is damaged, or there are more than 255 nights.
        """
        asked = sorted(set(nights))
        if not asked:
            raise NotReadyError("no night was released yet", hint="Run `hearabouts nightly` first.")
        if len(asked) > _MOST_NIGHTS:
            raise InputError(f"{len(asked)} nights are too many for one window", hint=f"At most {_MOST_NIGHTS} add up.")
        atlas = self._facts(asked[-1])["atlas"]
        first, *others = (night for night in asked if self._facts(night)["atlas"] == atlas)

        def counts(night: date) -> Released:
            return self._counts(night, newcomers=newcomers)

        return reduce(lambda total, night: _added(total, counts(night)), others, counts(first))  # one night at a time

    def totals(self, nights: Iterable[date]) -> PlaceTotals:
        """Read and sum the totals of places; of nights as :meth:`read` takes them, and of before there were any, none.

        Raises
        ------
        InputError
            If a release is damaged.
        """
        asked = sorted(set(nights))
        alike = [night for night in asked if self._facts(night)["atlas"] == self._facts(asked[-1])["atlas"]]
        totals: dict[str, Array] = {}
        variances: dict[str, Array] = {}
        earned = [night for night in alike if (self._folder_of(night) / PLACES).exists()]
        for night in earned:
            rows = at_border(pl.read_parquet(self._folder_of(night) / PLACES), Totals)
            noise = _variances(
                self._facts(night), tiers=_tiers(self._facts(night), rows=rows["part"].to_list()).values()
            )
            for (row, tracks, weights), variance in zip(rows.iter_rows(), noise, strict=True):
                totals[row] = totals.get(row, 0) + np.array([tracks, weights], dtype=np.float64)
                variances[row] = variances.get(row, 0) + float(variance) * NOISE_OF_TOTALS
        return PlaceTotals(totals, variances, frozenset(earned))

    def _checked(self, night: date) -> Facts:
        return read_manifest(self._folder_of(night))

    def _counts(self, night: date, *, newcomers: bool) -> Released:
        """Return a night as it was kept, or decoded; of those kept, the ones asked for longest ago make room."""
        found = self._kept.pop(night, {})
        if newcomers not in found:
            found = _decoded(self._folder_of(night), self._facts(night), newcomers=newcomers, room=self._room)
        self._kept[night] = found
        while sum(map(_size, self._kept.values())) > self._room:
            del self._kept[next(iter(self._kept))]
        return found[newcomers]

    def _folder_of(self, night: date) -> Path:
        return self._folder / night.isoformat()


def digest_of(names: Sequence[str]) -> str:
    """Return a digest (16 hex digits) of names in their order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


_Halves = Mapping[bool, Released]  # of a night: the candidates' counts (False), the newcomers' (True)


def _size(halves: _Halves) -> int:
    """Return about how many bytes a night takes."""
    counts = sum(half.positions.nbytes + half.sums.nbytes + half.variances.nbytes for half in halves.values())
    return counts + _NAME * sum(len(half.rows) + len(half.tracks) for half in halves.values())


def _decoded(folder: Path, facts: Facts, *, newcomers: bool, room: int) -> _Halves:
    """Read a release, and check that its rows are what its manifest names; of what cannot be kept, only one half."""
    at_border(pl.scan_parquet(folder / COUNTS), RegionCounts)
    with pq.ParquetFile(folder / COUNTS, read_dictionary=["part", "track_id"]) as file:
        table = file.read().unify_dictionaries().combine_chunks()
    rows, tracks = (table[name].chunk(0).dictionary.to_pylist() for name in ("part", "track_id"))
    if (digest_of(rows), digest_of(sorted(tracks))) != (facts["rows_digest"], facts["written_digest"]):
        raise InputError(f"{folder} does not hold the places and tracks it names", hint="Restore it from a backup.")
    places, names = tuple(sorted(rows)), tuple(sorted(tracks))
    halves = (False, True) if table.nbytes <= room else (newcomers,)
    return {half: _counts(table, facts, rows=places, tracks=names, newcomers=half) for half in halves}


def _counts(
    table: pa.Table, facts: Facts, *, rows: tuple[str, ...], tracks: tuple[str, ...], newcomers: bool
) -> Released:
    """Return a night's counts of candidates, or of newcomers, with its rows in order."""
    part, track = table["part"].chunk(0), table["track_id"].chunk(0)
    wanted = table["candidate"].to_numpy() != newcomers
    lengths = np.bincount(part.indices.to_numpy()[wanted], minlength=len(rows))
    by = np.argsort(_positions(part.dictionary, among=rows))
    order, starts, tiers = _order(lengths, by), _starts(lengths[by]), _tiers(facts, rows=rows)
    return Released(
        nights=(date.fromisoformat(facts["night"]),),
        atlas=facts["atlas"],
        rows=rows,
        tracks=tracks,
        tiers=tiers,
        starts=starts,
        positions=_positions(track.dictionary, among=tracks)[track.indices.to_numpy()[wanted]][order],
        sums=table["listeners"].to_numpy()[wanted][order],
        exposures=np.broadcast_to(np.uint8(1), order.shape),
        variances=np.repeat(_variances(facts, tiers=tiers.values()), np.diff(starts)),
        ledger_numbers=(facts["ledger"],),
    )


def _tiers(facts: Facts, *, rows: Sequence[str]) -> dict[str, str]:
    """Return the tier of each row."""
    larger = {place: tier["name"] for tier in facts["tiers"] for place in tier["places"]}
    return {row: larger.get(row, "part") for row in rows}


def _variances(facts: Facts, *, tiers: Iterable[str]) -> NDArray[np.float32]:
    """Return the noise variance of the counts of rows of some tiers."""
    of_tier = {tier["name"]: tier["sigma_squared"] for tier in facts["tiers"]}
    return np.array([of_tier[tier] for tier in tiers], dtype=np.float32)


def _order(lengths: NDArray[np.int64], by: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the order of counts in which runs of the given lengths stand in the order ``by``."""
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    starts = _starts(lengths[by])
    return np.repeat(first[by] - starts[:-1], lengths[by]) + np.arange(starts[-1])


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _positions(names: Sequence[str], *, among: Sequence[str]) -> NDArray[np.int32]:
    """Return where names stand among others, which hold them all."""
    found = pc.index_in(pa.array(names, pa.string()), value_set=pa.array(among, pa.string()))
    return np.asarray(found.to_numpy(), dtype=np.int32)


def _added(one: Released, other: Released) -> Released:
    """Add nights up: at once where they have the same entries, as they mostly have in a small catalogue."""
    rows, tracks = _united(one.rows, other.rows), _united(one.tracks, other.tracks)
    one, other = (_among(some, rows=rows, tracks=tracks) for some in (one, other))
    alike = np.array_equal(one.starts, other.starts) and np.array_equal(one.positions, other.positions)
    return replace(
        _summed(one, other) if alike else _merged(one, other),
        nights=one.nights + other.nights,
        tiers={**one.tiers, **other.tiers},
        ledger_numbers=one.ledger_numbers + other.ledger_numbers,
    )


def _united(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return one if one == other else tuple(sorted({*one, *other}))


def _among(some: Released, *, rows: tuple[str, ...], tracks: tuple[str, ...]) -> Released:
    """Return the same entries among more rows and tracks."""
    if (some.rows, some.tracks) == (rows, tracks):
        return some
    lengths = np.zeros(len(rows), dtype=np.int64)
    lengths[_positions(some.rows, among=rows)] = np.diff(some.starts)
    positions = _positions(some.tracks, among=tracks)[some.positions]
    return replace(some, rows=rows, tracks=tracks, starts=_starts(lengths), positions=positions)


def _summed(one: Released, other: Released) -> Released:
    exposures = one.exposures + other.exposures
    return replace(one, sums=one.sums + other.sums, exposures=exposures, variances=one.variances + other.variances)


def _merged(one: Released, other: Released) -> Released:
    """Add different entries, some rows at a time: laid out densely, and what was never counted left out again."""
    rows, width = len(one.rows), len(one.tracks)
    step = max(1, _BLOCK // max(1, width))
    blocks = [_added_densely(one, other, rows=range(i, min(i + step, rows)), width=width) for i in range(0, rows, step)]
    lengths, positions, sums, exposures, variances = (np.concatenate(columns) for columns in zip(*blocks, strict=True))
    starts = _starts(lengths)
    return replace(one, starts=starts, positions=positions, sums=sums, exposures=exposures, variances=variances)


def _added_densely(one: Released, other: Released, *, rows: range, width: int) -> tuple[NDArray[Any], ...]:
    """Return how many entries each of some rows has in the sum, and those."""
    size = len(rows) * width
    sums, exposures = np.zeros(size, dtype=np.int32), np.zeros(size, dtype=np.uint8)
    variances = np.zeros(size, dtype=np.float32)
    for some in (one, other):
        starts = some.starts[rows.start : rows.stop + 1]
        here, lengths = slice(starts[0], starts[-1]), np.diff(starts)
        dense = np.repeat(np.arange(len(rows)) * width, lengths) + some.positions[here]
        sums[dense] += some.sums[here]
        exposures[dense] += some.exposures[here]
        variances[dense] += some.variances[here]
    counted = np.flatnonzero(exposures)
    lengths = np.bincount(counted // width, minlength=len(rows))
    return lengths, (counted % width).astype(np.int32), sums[counted], exposures[counted], variances[counted]
