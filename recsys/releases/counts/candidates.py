"""The candidates of a release: which tracks it counts where, from public knowledge and past releases only."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD
from recsys.releases.counts.release_reader import Released, ReleaseReader, digest_of
from recsys.releases.counts.window import Window
from recsys.settings import CandidatesSettings

Positions = NDArray[np.int32]  # in the catalogue's tracks, ascending

_PROVEN = 2.0  # standard deviations above zero at which a place keeps a track as its own


@dataclass(frozen=True)
class Candidates:
    """The tracks of a release and which of them are candidates where.

    Parameters
    ----------
    tracks : tuple of str
        The catalogue, sorted.
    everywhere : numpy.ndarray of int32
        Candidates of every row, as positions in ``tracks``, ascending.
    extra : mapping of str to numpy.ndarray of int32
        By row the further candidates, none of them everywhere.
    newcomers : float
        How many tracks that are no candidates shall stand out by chance, in a row, on average.
    """

    tracks: tuple[str, ...]
    everywhere: Positions
    extra: Mapping[str, Positions]
    newcomers: float

    @property
    def threshold(self) -> float:
        """Return how many standard deviations of noise a track must exceed to stand out; infinity where none can.

        The normal quantile: a discrete Gaussian as wide as a release's has its tail to a percent.
        """
        others = len(self.tracks) - len(self.everywhere)
        return float(-ndtri(min(0.5, self.newcomers / others))) if others else float("inf")

    def facts(self) -> dict[str, str | float]:
        """Return what decides a release, for its ledger entry."""
        return {
            "tracks": len(self.tracks),
            "tracks_digest": digest_of(self.tracks),
            "candidates": len(self.everywhere),
            "candidates_digest": self._digest(),
            "newcomers": self.newcomers,
        }

    def _digest(self) -> str:
        """Return a digest of all candidates by their positions in the tracks, which have a digest of their own."""
        found = hashlib.sha256(self.everywhere.astype("<i4").tobytes())
        for row in sorted(self.extra):
            found.update(f"\n{row} {len(self.extra[row])}\n".encode() + self.extra[row].astype("<i4").tobytes())
        return found.hexdigest()[:16]


def candidates_for(
    night: date, *, catalogue: pl.DataFrame, releases: ReleaseReader, atlas: Atlas, settings: CandidatesSettings
) -> Candidates:
    """Choose a night's candidates from the releases of the last nights before it; the same again after a crash.

    Parameters
    ----------
    night : date
    catalogue : polars.DataFrame
        Schema Catalogue.
    releases : ReleaseReader
    atlas : Atlas
    settings : CandidatesSettings
    """
    nights = [before for before in releases.nights() if before < night][-settings.past_nights :]
    return choose(
        catalogue,
        night=night,
        past=releases.read(nights) if nights else None,
        newcomers=releases.read(nights[-settings.newcomer_nights :], newcomers=True) if nights else None,
        atlas=atlas,
        settings=settings,
    )


def choose(
    catalogue: pl.DataFrame,
    *,
    night: date,
    past: Released | None,
    newcomers: Released | None,
    atlas: Atlas,
    settings: CandidatesSettings,
) -> Candidates:
    """Choose candidates: the core, new tracks, each place's own, and newcomers that have to prove themselves.

    The core (the world's, by how far past counts stand above their noise) and what each country has shown beyond it
    are handed down to everything in them. What a place counts beyond that (its own, and its newcomers) every larger
    place counts, too, so that a track is observed around a place wherever it is observed in it. A newcomer is a
    candidate of its place for ``newcomer_nights`` unless its first counts are below zero, and stays while they are
    above noise. A catalogue no larger than the core is counted everywhere; so is, on the first night of a larger one,
    what was released last.

    Parameters
    ----------
    catalogue : polars.DataFrame
        Schema Catalogue.
    night : date
        The night to be released.
    past, newcomers : Released or None
        Candidates' counts of the last nights, and newcomers' of the last few; None before the first night.
    atlas : Atlas
    settings : CandidatesSettings

    Returns
    -------
    Candidates
    """
    tracks = catalogue.sort("track_id")
    record = _Record(past, newcomers, atlas=atlas, tracks=tracks["track_id"])
    everywhere = np.union1d(
        _core(record, _newest_first(tracks, night=night), size=settings.core),
        _new(tracks, night=night, settings=settings),
    ).astype(np.int32)
    more = len(everywhere) < len(tracks)
    nothing = dict.fromkeys({*atlas.members, *atlas.parts}, _NONE)
    extra = _extra(record, everywhere=everywhere, atlas=atlas, size=settings.own) if more else nothing
    return Candidates(tuple(tracks["track_id"]), everywhere, extra, settings.newcomers)


class _Record:
    """What past releases say about the tracks of the catalogue, place by place."""

    def __init__(self, past: Released | None, newcomers: Released | None, *, atlas: Atlas, tracks: pl.Series) -> None:
        rows = set(past.rows) if past else set()
        members = {place: tuple(part for part in parts if part in rows) for place, parts in atlas.members.items()}
        members |= {part: (part,) for part in atlas.parts}
        self._members = {place: parts for place, parts in members.items() if parts}
        self._window = None if past is None else Window(past, self._members)
        self._newcomers = newcomers
        self._at_past, self._at_new = (_positions(some, tracks) for some in (past, newcomers))

    def counted(self, place: str) -> "_Counted":
        """Return the tracks that were counted in a place, and how many standard deviations they are above zero."""
        if self._window is None or place not in self._members:
            return _NONE, np.zeros(0)
        known = self._window.known(place)
        noisy = self._window.noisy(place, known)
        at, height = self._at_past[known], (noisy.counts / np.sqrt(noisy.variance))[0]
        return at[at >= 0], height[at >= 0]

    def newcomers(self, row: str) -> Positions:
        """Return the tracks that stood out of a row's noise in the last nights."""
        if self._newcomers is None:
            return _NONE
        at = self._at_new[self._newcomers.positions[self._newcomers.entries(row)]]
        return at[at >= 0]


_NONE = np.zeros(0, dtype=np.int32)


def _positions(released: Released | None, tracks: pl.Series) -> Positions:
    """Return the position in the catalogue of each track of a window, or -1."""
    if released is None:
        return _NONE
    places = pl.DataFrame({"track_id": tracks}).with_row_index("at")
    found = pl.DataFrame({"track_id": released.tracks}, schema={"track_id": pl.String})
    joined = found.join(places, on="track_id", how="left", maintain_order="left")
    return joined["at"].cast(pl.Int32).fill_null(-1).to_numpy()


def _core(record: _Record, newest_first: Positions, *, size: int) -> Positions:
    """Return the tracks that are farthest above the noise in the world, filled up with the newest."""
    tracks, height = record.counted(WORLD)
    largest = tracks[np.lexsort((tracks, -height))]
    order = np.concatenate([largest, newest_first[~np.isin(newest_first, largest)]])
    return order[:size]


def _newest_first(tracks: pl.DataFrame, *, night: date) -> Positions:
    """Return all tracks, the newest first, by id where the date is the same; last what is not out or has no date."""
    out = pl.when(pl.col("released") <= night).then("released")
    order = tracks.with_row_index("at").sort(out, "at", descending=[True, False], nulls_last=True)
    return order["at"].cast(pl.Int32).to_numpy()


def _new(tracks: pl.DataFrame, *, night: date, settings: CandidatesSettings) -> Positions:
    """Return the tracks that came out in the last nights; of too many the newest."""
    first = night - timedelta(days=settings.released_nights)
    out = int(tracks["released"].is_between(first, night).sum())
    return _newest_first(tracks, night=night)[: min(out, settings.released)]


def _extra(record: _Record, *, everywhere: Positions, atlas: Atlas, size: int) -> dict[str, Positions]:
    """Return each row's candidates beyond those everywhere: handed down, its own and on trial, and from below."""
    handed = {
        place: _own(record.counted(place), beyond=everywhere, size=size)
        for place in atlas.members
        if atlas.places[place].level == "country"
    }
    found = {place: [_on_trial(record.newcomers(place), record.counted(place))] for place in atlas.members}
    for part in atlas.parts:
        above = atlas.chain(atlas.place_of(part))
        here = [handed[place] for place in above if place in handed]
        counted = record.counted(part)
        own = _own(counted, beyond=np.concatenate([everywhere, *here]), size=size)
        found[part] = [_united([*here, own, _on_trial(record.newcomers(part), counted)], without=everywhere)]
        for place in {*above} - {part}:
            found[place] += found[part]
    for country in handed:
        found[WORLD] += found[country][:1]
    return {row: _united(some, without=everywhere) for row, some in found.items()}


_Counted = tuple[Positions, NDArray[np.float64]]  # tracks, and by how many standard deviations they are above zero


def _own(counted: _Counted, *, beyond: Positions, size: int) -> Positions:
    """Return the tracks that a place has shown to be heard there, at most so many, those farthest above the noise."""
    proven = counted[1] >= _PROVEN
    tracks, height = counted[0][proven], counted[1][proven]
    further = ~np.isin(tracks, beyond, kind="table")
    tracks, height = tracks[further], height[further]
    return tracks[np.lexsort((tracks, -height))[:size]]


def _on_trial(newcomers: Positions, counted: _Counted) -> Positions:
    """Return the newcomers whose counts since they stood out are not below zero."""
    tracks, height = counted
    return newcomers[~np.isin(newcomers, tracks[height < 0], kind="table")]


def _united(some: Sequence[Positions], *, without: Positions) -> Positions:
    """Return all of some tracks once, in order, without certain ones."""
    together = np.unique(np.concatenate(some))
    return together[~np.isin(together, without, kind="table")]
