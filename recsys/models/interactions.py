"""Interactions: listener x track matrices of everyone who allowed it, and the ids behind their rows and columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from recsys.schemas import Contributions, at_border
from recsys.settings import ModelsSettings

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class TrainingMatrices:
    """What a model of n listeners learns from, and no more: it may go to another machine.

    Parameters
    ----------
    confidence : scipy.sparse.csr_array
        (n, m), as in :class:`Interactions`.
    sessions : scipy.sparse.csr_array
        (s, m) theirs.
    """

    confidence: sparse.csr_array
    sessions: sparse.csr_array


@dataclass(frozen=True)
class Interactions:
    """What n listeners played of the m tracks of the vocabulary. Rows and columns are in the order of their ids.

    Parameters
    ----------
    listeners : polars.Series
        (n,) sorted ids; a listener without any track of the vocabulary is not there.
    tracks : polars.Series
        (m,) sorted ids.
    parts : tuple of str
        (p,) sorted parts that are some listener's home.
    homes : numpy.ndarray
        (n,) position of each listener's home in ``parts``; -1 where unknown.
    confidence : scipy.sparse.csr_array
        (n, m) float32, ``1 + alpha * log(1 + plays)`` where there were plays.
    recent : scipy.sparse.csr_array
        (n, m) float32, nights on which the listener played the track, each halved every half-life up to the last night.
    query : scipy.sparse.csr_array
        (n, m) float32, what EASE is asked with: ``log2(1 + sum of plays / (1 + age) ** recency_power)``, where the
        age of plays is the nights up to the listener's last one.
    sessions : scipy.sparse.csr_array
        (s, m) float32 ones, a row for every night on which a listener played two tracks or more; none where
        ``sitting_weight`` is 0 or there are too many tracks for EASE, as nobody asks for them then.
    session_of : numpy.ndarray
        (s,) the listener's row of every session.
    age : numpy.ndarray
        (m,) float32 nights from the first play of every track by anybody to the last night.
    parents : tuple of str
        (p,) the country of every part; empty where it is not known, and then the world is the parent.
    origins : tuple of str
        (m,) the country that each track's artist comes from; empty where it is not known.

    References
    ----------
    Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), equation 6 for
    the logarithmic confidence.
    """

    listeners: pl.Series = field(repr=False)
    tracks: pl.Series = field(repr=False)
    parts: tuple[str, ...] = field(repr=False)
    homes: IntArray = field(repr=False)
    confidence: sparse.csr_array
    recent: sparse.csr_array
    query: sparse.csr_array
    sessions: sparse.csr_array
    session_of: IntArray = field(repr=False)
    age: FloatArray = field(repr=False)
    parents: tuple[str, ...] = field(repr=False)
    origins: tuple[str, ...] = field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (listeners, tracks)."""
        return len(self.listeners), len(self.tracks)

    def of(self, rows: IntArray) -> "Interactions":
        """Return the interactions of some listeners, by their sorted rows, over the same tracks and parts."""
        if len(rows) == len(self.listeners):
            return self
        sessions = np.flatnonzero(np.isin(self.session_of, rows))
        return replace(
            self,
            listeners=self.listeners.gather(rows),
            homes=self.homes[rows],
            confidence=self.confidence[rows],
            recent=self.recent[rows],
            query=self.query[rows],
            sessions=self.sessions[sessions],
            session_of=np.searchsorted(rows, self.session_of[sessions]),
        )

    def rows_of(self, part: int | np.integer) -> IntArray:
        """Return the sorted rows of the listeners whose home is the part at this position."""
        return np.flatnonzero(self.homes == part)

    def sessions_of(self, rows: IntArray) -> sparse.csr_array:
        """Return the sessions of some listeners, in the order of the listeners."""
        first, last = np.searchsorted(self.session_of, rows), np.searchsorted(self.session_of, rows, side="right")
        return self.sessions[np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)] or [rows])]

    def matrices(self, rows: IntArray) -> TrainingMatrices:
        """Return what a model of some listeners, by their sorted rows, learns from."""
        return TrainingMatrices(self.confidence[rows], self.sessions_of(rows))

    def residents(self) -> IntArray:
        """Return (p,) the number of listeners at home in each part."""
        return np.bincount(self.homes[self.homes >= 0], minlength=len(self.parts))


def gather(
    contributions: pl.LazyFrame | pl.DataFrame,
    *,
    settings: ModelsSettings,
    parents: Mapping[str, str] | None = None,
    tracks: pl.Series | None = None,
    origins: Mapping[str, str] | None = None,
) -> Interactions:
    """Return the matrices of all contributions that may be trained on; the same for any order of the rows.

    Parameters
    ----------
    contributions : polars.LazyFrame or polars.DataFrame
        Rows of :class:`~recsys.schemas.Contributions`, of which only ``trained`` ones count.
    settings : ModelsSettings
        ``min_listeners_per_track`` decides the vocabulary, ``alpha`` the confidence, ``half_life_nights`` and
        ``recency_power`` how fast plays age.
    parents : mapping of str to str, optional
        The country of every part; a part that is not there has the world as its parent.
    tracks : polars.Series, optional
        The sorted vocabulary of a fitted model, to ask it for other listeners; then every listener of the rows is
        there, also one without a track of it.
    origins : mapping of str to str, optional
        The country that the artist of a track comes from, as far as it is known.
    """
    rows = trained(contributions)
    asked = tracks is not None
    tracks = vocabulary(rows, at_least=settings.min_listeners_per_track) if tracks is None else tracks
    known = rows.filter(pl.col("track_id").is_in(tracks.implode()))
    listeners = (rows if asked else known)["listener"].unique().sort()
    parts, homes = homes_of(rows, listeners)
    coded = _coded(known, listeners=listeners, tracks=tracks)
    shape = (len(listeners), len(tracks))
    confidence = _matrix(coded, coded["plays"].to_numpy(), shape=shape)
    confidence.data = 1 + np.float32(settings.alpha) * np.log1p(confidence.data)
    recency = _recency(coded["night"], half_life=settings.half_life_nights)
    apart = coded if settings.sitting_weight and settings.has_ease(len(tracks)) else coded.clear()
    session_of, sessions = _sessions(apart, tracks=len(tracks))
    return Interactions(
        listeners=listeners,
        tracks=tracks,
        parts=parts,
        homes=homes,
        confidence=confidence,
        recent=_matrix(coded, recency, shape=shape),
        query=_query(coded, power=settings.recency_power, shape=shape),
        sessions=sessions,
        session_of=session_of,
        age=_age(coded, tracks=len(tracks)),
        parents=tuple((parents or {}).get(part, "") for part in parts),
        origins=tuple((origins or {}).get(track, "") for track in tracks),
    )


def heard_later(contributions: pl.LazyFrame | pl.DataFrame, *, known: Interactions) -> sparse.csr_array:
    """Return (n, m) ones where a known listener played a known track in (later) contributions; others are left out."""
    coded = _coded(trained(contributions), listeners=known.listeners, tracks=known.tracks)
    later = _matrix(coded, np.ones(len(coded)), shape=known.shape)
    later.data[:] = 1
    return later


def trained(contributions: pl.LazyFrame | pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose listener allowed training.

    Raises
    ------
    InputError
        If the columns are not those of :class:`~recsys.schemas.Contributions`.
    """
    return at_border(contributions.lazy(), Contributions).filter(pl.col("trained")).collect()


def vocabulary(rows: pl.DataFrame, *, at_least: int) -> pl.Series:
    """Return the sorted ids of the tracks that at least so many distinct listeners played."""
    heard = rows.group_by("track_id").agg(pl.col("listener").n_unique())
    return heard.filter(pl.col("listener") >= at_least)["track_id"].sort()


def nights(rows: pl.DataFrame) -> list[date]:
    """Return the distinct nights in order."""
    return rows["night"].unique().sort().to_list()


def homes_of(rows: pl.DataFrame, listeners: pl.Series) -> tuple[tuple[str, ...], IntArray]:
    """Find everyone's home: the part with most nights, of those most plays, of those the first in the alphabet."""
    stays = rows.drop_nulls("part").group_by("listener", "part").agg(pl.col("night").n_unique(), pl.col("plays").sum())
    stays = stays.sort(["night", "plays", "part"], descending=[True, True, False])
    home = stays.group_by("listener", maintain_order=True).agg(pl.col("part").first())
    found = pl.DataFrame({"listener": listeners}).join(home, on="listener", how="left", maintain_order="left")["part"]
    parts = found.drop_nulls().unique().sort()
    position = pl.DataFrame({"part": parts, "position": np.arange(len(parts))})
    placed = found.to_frame().join(position, on="part", how="left", maintain_order="left")["position"]
    return tuple(parts), placed.fill_null(-1).to_numpy().astype(np.int64)


def _coded(rows: pl.DataFrame, *, listeners: pl.Series, tracks: pl.Series) -> pl.DataFrame:
    """Give every contribution its matrix row and column; sorted, so that sums do not depend on the input's order."""
    row = pl.DataFrame({"listener": listeners, "row": np.arange(len(listeners))})
    column = pl.DataFrame({"track_id": tracks, "column": np.arange(len(tracks))})
    coded = rows.join(row, on="listener").join(column, on="track_id")
    return coded.select("row", "column", "night", "plays").sort("row", "column", "night", "plays")


def _recency(nights: pl.Series, *, half_life: float) -> NDArray[np.float64]:
    age = nights.to_frame("night").select((pl.col("night").max() - pl.col("night")).dt.total_days())
    return np.asarray(np.exp2(-age.to_series().to_numpy() / half_life))


def _query(coded: pl.DataFrame, *, power: float, shape: tuple[int, int]) -> sparse.csr_array:
    """Weigh plays by their age on the listener's own last night, and damp their sum."""
    age = (pl.col("night").max().over("row") - pl.col("night")).dt.total_days()
    aged = pl.col("plays") / (1 + age) ** power if power else pl.col("plays")
    query = _matrix(coded, coded.select(aged).to_series().to_numpy(), shape=shape)
    query.data = np.log2(1 + query.data)
    return query


def _sessions(coded: pl.DataFrame, *, tracks: int) -> tuple[IntArray, sparse.csr_array]:
    """Return the listener of every night with two tracks or more, and (sessions, tracks) ones."""
    plays = coded.select("row", "night", "column").unique().sort("row", "night", "column")
    plays = plays.filter(pl.len().over("row", "night") >= 2)
    session = plays.select(pl.struct("row", "night").rank("dense")).to_series().cast(pl.Int32).to_numpy() - 1
    listener = plays.unique(["row", "night"], maintain_order=True)["row"].to_numpy().astype(np.int64)
    places = (session, plays["column"].to_numpy().astype(np.int32))
    return listener, sparse.csr_array((np.ones(len(plays), np.float32), places), shape=(len(listener), tracks))


def _age(coded: pl.DataFrame, *, tracks: int) -> FloatArray:
    """Return the nights from each track's first play to the last night; 0 for one that was not played."""
    last = pl.lit(coded["night"].max(), pl.Date)
    first = coded.group_by("column").agg((last - pl.col("night").min()).dt.total_days().alias("age"))
    age = np.zeros(tracks, dtype=np.float32)
    age[first["column"].to_numpy()] = first["age"].to_numpy()
    return age


def _matrix(coded: pl.DataFrame, values: NDArray[np.generic], *, shape: tuple[int, int]) -> sparse.csr_array:
    """Sum the values into (listeners, tracks) float32; the sum is float64, so that plays are counted exactly."""
    places = (coded["row"].to_numpy().astype(np.int32), coded["column"].to_numpy().astype(np.int32))
    return sparse.csr_array((values.astype(np.float64), places), shape=shape).astype(np.float32)
