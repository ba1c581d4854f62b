"""The release writer: of a noisy histogram, candidates' counts, those of other tracks that stand out, and totals."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.geography.atlas import Atlas
from recsys.releases.counts.candidates import Candidates
from recsys.releases.counts.mean_weights import IN_UNITS
from recsys.releases.counts.release_reader import COUNTS, PLACES
from recsys.schemas import Totals, at_border
from recsys.weights import FULL, TOTALS

_GROUP = 1 << 20  # counts of a row group at least
_ENDLESS = 1e9  # sixteenths: no count is as large, and it fits in 32 bits


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


class Block(NamedTuple):
    """Noisy sixteenths of listeners in some places of one tier: all tracks and totals of the first place, and so on."""

    tier: Tier
    places: tuple[str, ...]
    noisy: NDArray[np.int32]

    @property
    def tracks(self) -> NDArray[np.int32]:
        """Those of the tracks, shape (places, tracks)."""
        return self.noisy.reshape(len(self.places), -1)[:, : -len(TOTALS)]

    @property
    def totals(self) -> NDArray[np.int32]:
        """Those of the totals, shape (places, 2)."""
        return self.noisy.reshape(len(self.places), -1)[:, -len(TOTALS) :]


@dataclass(frozen=True)
class Written:
    """What a written table holds.

    Parameters
    ----------
    tracks : frozenset of str
        All tracks in it.
    newcomers : mapping of str to int
        By tier, how many counts of tracks that are no candidates.
    """

    tracks: frozenset[str]
    newcomers: Mapping[str, int]


def write_counts(blocks: Iterable[Block], *, candidates: Candidates, atlas: Atlas, folder: Path) -> Written:
    """Write what is to be written of a noisy histogram: RegionCounts by place and track, and Totals by place.

    Both a candidate's count, whatever it is, and the choice of other tracks by their noisy counts are post-processing
    of the whole noisy histogram, which is what the budget pays for.

    Parameters
    ----------
    blocks : iterable of Block
        Larger places before the places in them.
    candidates : Candidates
    atlas : Atlas
    folder : Path
    """
    written, newcomers = np.zeros(len(candidates.tracks), dtype=bool), Counter[str]()
    names = np.array(candidates.tracks, dtype=object)
    totals: list[_Totals] = []
    blocks = _keeping(blocks, totals)
    with pq.ParquetWriter(folder / COUNTS, _ARROW, compression="zstd", **_ENCODING) as writer:
        for group in _groups(_standing_out(blocks, candidates=candidates, atlas=atlas)):
            here = np.unique(np.concatenate([some.tracks for some in group]))
            written[here] = True
            for some in group:
                newcomers[some.tier] += int((~some.candidate).sum())
            table = _as_table(group, tracks=here, names=names[here])
            writer.write_table(table, row_group_size=len(table))  # a place is in one row group
    _write_totals(totals, file=folder / PLACES)
    return Written(frozenset(names[written]), newcomers)


_Totals = tuple[tuple[str, ...], NDArray[np.int32]]  # of some places


def _keeping(blocks: Iterable[Block], totals: list[_Totals]) -> Iterator[Block]:
    """Pass blocks on, and keep their totals: a release is drawn only once."""
    for block in blocks:
        totals.append((block.places, block.totals.copy()))
        yield block


def _write_totals(totals: Sequence[_Totals], *, file: Path) -> None:
    """Write the totals in tracks and in full weights."""
    tracks, weights = (np.concatenate([some for _, some in totals]) * IN_UNITS).T
    places = [place for some, _ in totals for place in some]
    at_border(pl.DataFrame({"part": places, "tracks": tracks, "weights": weights}), Totals).write_parquet(file)


@dataclass(frozen=True)
class _Chosen:
    """The counts of a block that are written: how many each place has, and each one's track, count and kind."""

    tier: str
    places: tuple[str, ...]
    lengths: NDArray[np.int64]
    tracks: NDArray[np.int64]
    listeners: NDArray[np.int32]
    candidate: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Around:
    """What larger places say of the tracks that are no candidates there: sums of count/σ² and of 1/σ², by track."""

    counts: NDArray[np.float64]
    precision: NDArray[np.float64]


_NOTHING = _Around(np.zeros(1), np.zeros(1))


def _standing_out(blocks: Iterable[Block], *, candidates: Candidates, atlas: Atlas) -> Iterator[_Chosen]:
    """Choose the counts of each block, with what the larger places around it say."""
    around: dict[str, _Around] = {}
    tier, said, highest = None, _NOTHING, np.zeros(1, dtype=np.int32)
    for block in blocks:
        above = [place for place in atlas.chain(atlas.place_of(block.places[0])) if place not in block.places]
        nearest = next((around[place] for place in above if place in around), _NOTHING)
        if (tier, said) != (block.tier, nearest):  # of many blocks of a country once
            tier, said = block.tier, nearest
            highest = _highest(tier.sigma_squared, said, deviations=candidates.threshold)
        among = _among(block.places, candidates)
        yield _chosen(block, among=among, highest=highest)
        if block.tier.name != "part":  # keep what the places in it will ask for, and no other country's
            own = _with_own(block, said, among=among[0])
            around = {place: around[place] for place in above if place in around} | {block.places[0]: own}


def _among(places: Sequence[str], candidates: Candidates) -> NDArray[np.bool_]:
    """Tell which tracks are candidates of each place, shape (places, tracks)."""
    among = np.zeros((len(places), len(candidates.tracks)), dtype=bool)
    among[:, candidates.everywhere] = True
    for i, place in enumerate(places):
        if place in candidates.extra:
            among[i, candidates.extra[place]] = True
    return among


def _highest(variance: float, said: _Around, *, deviations: float) -> NDArray[np.int32]:
    """Return the count above which a track stands out in a place, by track, in sixteenths.

    Where no larger place counts a track, their noisy counts of it are pooled with the place's own by inverse variance:
    what is heard nowhere but here is as large there, and the pooled noise is smaller.
    """
    pooled = np.minimum(deviations, _ENDLESS) * np.sqrt(1 / variance + said.precision) - said.counts
    return np.asarray(np.clip(np.floor(FULL * variance * pooled), -_ENDLESS, _ENDLESS), dtype=np.int32)


def _with_own(block: Block, said: _Around, *, among: NDArray[np.bool_]) -> _Around:
    """Add what a larger place's own counts say of tracks that nobody counts in it."""
    own = np.where(among, 0.0, 1 / block.tier.sigma_squared)
    return _Around(said.counts + own * block.tracks[0] / FULL, said.precision + own)


def _chosen(block: Block, *, among: NDArray[np.bool_], highest: NDArray[np.int32]) -> _Chosen:
    noisy = block.tracks
    written = among | (noisy > highest)
    row, track = np.divmod(np.flatnonzero(written), written.size // len(block.places))
    lengths = np.bincount(row, minlength=len(noisy))
    listeners = (noisy[written] + FULL // 2) // FULL  # to the whole listener: the noise is many of them wide
    return _Chosen(block.tier.name, block.places, lengths, track, listeners, among[written])


def _groups(blocks: Iterable[_Chosen]) -> Iterator[list[_Chosen]]:
    """Put blocks together until there is enough for a row group."""
    group: list[_Chosen] = []
    for some in blocks:
        group.append(some)
        if sum(len(one.tracks) for one in group) >= _GROUP:
            yield group
            group = []
    if group:
        yield group


def _as_table(group: list[_Chosen], *, tracks: NDArray[np.int64], names: NDArray[np.object_]) -> pa.Table:
    """Lay out counts as RegionCounts, with texts as codes into dictionaries: no text is copied a million times."""
    places = [place for some in group for place in some.places]
    lengths, listeners, candidate = (
        np.concatenate([getattr(some, name) for some in group]) for name in ("lengths", "listeners", "candidate")
    )
    track = np.searchsorted(tracks, np.concatenate([some.tracks for some in group]))
    columns = [
        pa.DictionaryArray.from_arrays(np.repeat(np.arange(len(places), dtype=np.int32), lengths), pa.array(places)),
        pa.DictionaryArray.from_arrays(track.astype(np.int32), pa.array(names, pa.string())),
        pa.array(listeners),
        pa.array(candidate),
    ]
    return pa.Table.from_arrays(columns, schema=_ARROW)


_CODES = pa.dictionary(pa.int32(), pa.string())
_ARROW = pa.schema([("part", _CODES), ("track_id", _CODES), ("listeners", pa.int32()), ("candidate", pa.bool_())])
_ENCODING = {
    "use_dictionary": ["part", "track_id", "listeners"],
    "store_schema": False,
    "dictionary_pagesize_limit": 1 << 26,
}
