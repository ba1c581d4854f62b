"""A world of very many listeners, generated and gathered in pieces, as all its rows would not fit into memory."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import repeat
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse
from support.listening import FIRST_NIGHT

from recsys.models.interactions import FloatArray, IntArray, Interactions, gather, heard_later
from recsys.models.splitting import split_rows
from recsys.schemas import Contributions
from recsys.settings import ModelsSettings
from recsys.weights import FULL

PIECE = 4_000  # listeners
NIGHTS = 28
_LATE = 19  # nights before a track surges
_MATRICES = ("confidence", "recent", "query", "sessions", "later")


@dataclass(frozen=True)
class World:
    """Listeners with tastes, in parts of countries with tastes of their own; as in :func:`support.listening.world`.

    How much a listener likes a track is the sum of its fame (Zipf), its fame in the country and in the part, and the
    agreement of their genres, some of which a country hears otherwise. In each part 1 track in 100 surges in the last
    third of the nights. Part sizes fall geometrically, the last is a ``smallest``-th of the first.

    Parameters
    ----------
    seed : int
    listeners, tracks, parts, countries, genres : int
    plays : float
        Of a listener, on average.
    smallest : float
    """

    seed: int
    listeners: int
    tracks: int = 2_000
    parts: int = 100
    countries: int = 10
    genres: int = 12
    plays: float = 30.0
    smallest: float = 100.0

    def sizes(self) -> IntArray:
        """Return (parts,) listeners."""
        share = np.geomspace(self.smallest, 1, self.parts)
        return np.asarray(np.maximum((share / share.sum() * self.listeners).round(), 2), dtype=np.int64)

    def parents(self) -> dict[str, str]:
        """Return the country of every part."""
        return {_part(part): f"country-{part % self.countries}" for part in range(self.parts)}

    def rows(self, part: int, first: int, number: int) -> pl.DataFrame:
        """Return the contributions of some listeners of a part, counted from the first."""
        early, genre = self._tastes(part)
        rng = np.random.default_rng([self.seed, 3, part, first])
        liking = early + rng.normal(size=(number, self.genres)) @ genre.T
        rate = rng.gamma(2, self.plays / NIGHTS / 2, number)
        surge = np.where(np.random.default_rng([self.seed, 4, part]).random(self.tracks) < 0.01, 2.5, 0)
        halves = [
            _played(rng, liking, rate, range(_LATE)),
            _played(rng, liking + surge, rate, range(_LATE, NIGHTS)),
        ]
        who, night, track = (np.concatenate(column) for column in zip(*halves, strict=True))
        plays = pl.DataFrame({"who": who, "night": night, "track": track}).group_by(pl.all()).agg(plays=pl.len())
        types = {name: column.dtype for name, column in Contributions.columns().items()}
        return plays.select(
            listener=pl.format("{}-{}", pl.lit(f"{part:03d}"), (first + pl.col("who")).cast(pl.String).str.zfill(7)),
            night=pl.lit(FIRST_NIGHT) + pl.col("night") * timedelta(days=1),
            part=pl.lit(_part(part)),
            track_id=pl.format("t{}", pl.col("track").cast(pl.String).str.zfill(5)),
            plays="plays",
            weight=pl.lit(FULL),
            trained=pl.lit(value=True),
            partner_part=None,
        ).select(pl.col(name).cast(kind) for name, kind in types.items())

    def _tastes(self, part: int) -> tuple[FloatArray, FloatArray]:
        """Return (tracks,) the fame of every track in a part, and (tracks, genres) what it is heard as."""
        world, country = (np.random.default_rng([self.seed, *key]) for key in ((1,), (2, part % self.countries)))
        fame = -np.log(np.arange(1, self.tracks + 1)) + world.normal(0, 0.3, self.tracks)
        genre = world.normal(size=(self.tracks, self.genres)) * world.dirichlet(np.full(self.genres, 0.1), self.tracks)
        here = np.random.default_rng([self.seed, 5, part])
        fame = fame + country.normal(0, 0.7, self.tracks) + here.normal(0, 0.3, self.tracks)
        for hears, share in ((country, 0.2), (here, 0.1)):
            genre = np.where(hears.random(self.tracks)[:, None] < share, hears.permutation(genre), genre)
        return fame, 3 * genre


@dataclass(frozen=True)
class Gathered:
    """What is known of all listeners, and what they played on the nights after."""

    known: Interactions
    later: sparse.csr_array = field(repr=False)


def write_pieces(world: World, folder: Path, *, settings: ModelsSettings) -> None:
    """Gather a world in pieces as a training does: ``before`` the validation nights, and ``known`` before the test."""
    pieces = [
        (part, first, min(PIECE, size - first))
        for part, size in enumerate(world.sizes().tolist())
        for first in range(0, size, PIECE)
    ]
    with ProcessPoolExecutor(cpu_count(), mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_write, repeat(world), repeat(folder), repeat(settings), range(len(pieces)), pieces):
            pass


def read_pieces(folder: Path, kind: str, *, world: World) -> Gathered:
    """Return all listeners of the pieces of a kind: ``before`` or ``known``."""
    pieces = [np.load(file) for file in sorted(folder.glob(f"{kind}-*.npz"))]
    matrix = {
        name: sparse.csr_array(sparse.vstack([_unpacked(piece, name) for piece in pieces], format="csr"))
        for name in _MATRICES
    }
    numbers = [len(piece["homes"]) for piece in pieces]
    offsets = np.cumsum([0, *numbers[:-1]])
    parts, parents = zip(*world.parents().items(), strict=True)
    tracks = _vocabulary(world)
    known = Interactions(
        listeners=pl.concat([pl.Series("listener", piece["listeners"].astype(str)) for piece in pieces]),
        tracks=tracks,
        parts=parts,
        homes=np.concatenate([piece["homes"] for piece in pieces]),
        confidence=matrix["confidence"],
        recent=matrix["recent"],
        query=matrix["query"],
        sessions=matrix["sessions"],
        session_of=np.concatenate([piece["session_of"] + at for piece, at in zip(pieces, offsets, strict=True)]),
        age=np.max([piece["age"] for piece in pieces], axis=0),
        parents=parents,
        origins=("",) * len(tracks),
    )
    return Gathered(known, matrix["later"])


def _part(part: int) -> str:
    return f"part-{part:03d}"


def _vocabulary(world: World) -> pl.Series:
    return pl.Series("track_id", [f"t{track:05d}" for track in range(world.tracks)])


def _played(
    rng: np.random.Generator, liking: FloatArray, rate: FloatArray, nights: range
) -> tuple[IntArray, IntArray, IntArray]:
    """Return the listener, the night and the track of every play."""
    size, tracks = liking.shape
    who = np.repeat(np.arange(size), rng.poisson(rate * len(nights)))
    cumulative = np.cumsum(np.exp(liking - liking.max(axis=1, keepdims=True)), axis=1)
    cumulative = cumulative / cumulative[:, -1:] + np.arange(size)[:, None]
    at = np.searchsorted(cumulative.ravel(), who + rng.random(len(who)))
    return who, rng.integers(nights.start, nights.stop, len(who)), np.minimum(at - who * tracks, tracks - 1)


def _write(world: World, folder: Path, settings: ModelsSettings, number: int, piece: tuple[int, int, int]) -> None:
    part, *_ = piece
    split = split_rows(world.rows(*piece), settings=settings)
    if split is None:
        raise ValueError(piece)
    for kind, past, after in (("before", split.train, split.validation), ("known", split.past, split.test)):
        found = gather(past, settings=settings, tracks=_vocabulary(world))
        found = replace(found, homes=np.full(found.shape[0], part))
        packed = dict(_packed(found, heard_later(after, known=found)))
        listeners = np.array(found.listeners.to_list(), dtype="S")
        rest = {name: getattr(found, name) for name in ("homes", "session_of", "age")}
        np.savez(folder / f"{kind}-{number:05d}.npz", listeners=listeners, **rest, **packed)


def _packed(found: Interactions, later: sparse.csr_array) -> Iterator[tuple[str, np.ndarray]]:
    for name in _MATRICES:
        matrix = later if name == "later" else getattr(found, name)
        yield f"{name}.shape", np.array(matrix.shape)
        for side in ("data", "indices", "indptr"):
            yield f"{name}.{side}", getattr(matrix, side)


def _unpacked(piece: dict[str, np.ndarray], name: str) -> sparse.csr_array:
    data, indices, indptr = (piece[f"{name}.{side}"] for side in ("data", "indices", "indptr"))
    return sparse.csr_array((data, indices, indptr), shape=tuple(piece[f"{name}.shape"]))
