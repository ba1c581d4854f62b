"""Twin worlds: the same nights with and without the contributions of one listener, the noise recorded and replayed.

In the world without, the mechanism is run as well, with the same draws, but answers what it answered in the world with:
whatever differs from there on was not made of released counts alone. Everything that a night leaves is compared byte by
byte, what it prints and hands to MLflow too; of the private store, all but the listener's own. That the counts are as
far apart as what the listener added, and no farther than is declared, is compared where the noise is drawn.

After an idea of "Record and replay" for testing mechanisms, arXiv:2602.17454.
"""

import hashlib
import io
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from structlog.testing import capture_logs
from support.night import LISBON, NOW, PORTO, night_of, noon, row, write_catalogue, write_listens
from support.sealing import content_of, rows_of

from pipelines.base.job_context import JobContext, Sources
from pipelines.mlflow import handover, run_record
from pipelines.night import nightly
from pipelines.night.completeness import Acceptance
from pipelines.privacy import nightly_audit
from recsys.consents import witness
from recsys.consents.log import Entry, Purpose, State
from recsys.models.evaluation import evaluation
from recsys.releases.counts import noise, release
from recsys.settings import Settings, load_settings
from recsys.weights import SQUARE, TOTALS
from recsys.workspace import Workspace, listener_of

ONE = "the one"
CATALOGUE = tuple(f"track-{number:02}" for number in range(90))
KEY = bytes(range(32))
OWN = ("consents.db", "marks.db")  # files that hold the listener's own decisions
KEYS = ("store.key", "private/keys.json")  # drawn at random, and what is sealed by them is compared open
PRIVATE = ("private/contributions/", "private/nights/")  # compared by row, or true numbers that stay

Plays = Sequence[tuple[str, tuple[float, float]]]


@dataclass(frozen=True)
class Pair:
    """Two worlds that differ in one listener.

    Parameters
    ----------
    others : int
        Further listeners, who play what everybody plays.
    plays : sequence of sequence of (str, (float, float))
        The listener's, by night: which track, where.
    allows : tuple of Purpose
        What the listener allows in both worlds; ``contribute_trends`` in one of them alone.
    seed : int
        Of the others' plays, and of the noise.
    gap : int
        Nights without listens between two nights, in which listeners save what they may add.
    """

    others: int
    plays: Sequence[Plays]
    allows: tuple[Purpose, ...] = ()
    seed: int = 0
    gap: int = 0

    def night(self, number: int) -> date:
        """Return one of the nights."""
        return night_of(number * (self.gap + 1))

    def accepted(self) -> list[Acceptance]:
        """Let nights in between be missing, and one listener be most of a night, as in so small a world one can be."""
        return [Acceptance(self.night(0), self.night(len(self.plays) - 1), "a small world")]


def drawn_pair(seed: int, *, nights: int = 2) -> Pair:
    """Draw a pair: a listener who plays a few tracks, or very many, at home or in two places."""
    random = np.random.default_rng(seed)
    # Who allows only personalisation has no place in a world, and one in the other: models learn of places.
    purposes = ([], [Purpose.LOCAL_TRENDS], [Purpose.LOCAL_TRENDS, Purpose.PERSONALISATION])[random.integers(3)]
    away = random.random() * 0.6

    def of_a_night() -> Plays:
        tracks = random.integers(0, len(CATALOGUE), int(random.choice([0, 1, 4, 10, 30, 90])))
        return [(CATALOGUE[track], PORTO if random.random() < away else LISBON) for track in tracks]

    others, plays = int(random.integers(6, 20)), [of_a_night() for _ in range(nights)]
    return Pair(others, plays, tuple(purposes), seed, gap=int(random.choice([0, 9])))


@dataclass
class Mechanism:
    """What a release adds noise to, and what it answers: its own, or that of another world.

    Attributes
    ----------
    true : list of polars.DataFrame
        As :func:`recsys.releases.counts.release.true_counts` returns them, one a night.
    shapes : list
        Of each answer: tiers, and the width.
    drawn : list of list of Block
        What it would have answered by itself.
    """

    seed: int
    replayed: "Mechanism | None" = None
    true: list[pl.DataFrame] = field(default_factory=list)
    shapes: list[tuple[tuple[Any, ...], int]] = field(default_factory=list)
    drawn: list[list[Any]] = field(default_factory=list)

    def __call__(self, true: pl.DataFrame, *, tiers: Sequence[Any], width: int) -> Iterator[Any]:
        number = len(self.true)
        with frozen_noise(f"{self.seed} {number}"):
            self.drawn.append(list(_REAL(true, tiers=tiers, width=width)))
        self.true.append(true)
        self.shapes.append((tuple(tiers), width))
        yield from (self.replayed or self).drawn[number]


_REAL = release.noisy_blocks


@contextmanager
def frozen_noise(name: str) -> Iterator[None]:
    """Draw the same noise under the same name."""
    key = hashlib.sha256(name.encode()).digest()
    stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(noise, "_key_stream", lambda: stream)
        yield


@dataclass(frozen=True)
class Lived:
    """What a world left: files by path, what was printed and returned, the private rows, and the mechanism."""

    files: dict[str, bytes]
    told: str
    ledger: list[Any]
    private: dict[str, pl.DataFrame]
    mechanism: Mechanism
    pair: Pair


def settings_of(folder: Path) -> Settings:
    small = {"factors": 4, "iterations": 2, "min_listeners_per_track": 2, "min_listeners_per_region": 4}
    return load_settings(
        overrides={
            "store": {"buckets": 2},
            "candidates": {"core": 12, "own": 4, "released": 4},
            "tracking": {"folder": folder / "mlruns"},
            "models": {**small, "validation_nights": 1, "test_nights": 1},
        }
    )


def lived(pair: Pair, folder: Path, *, contributes: bool, replayed: Mechanism | None = None) -> Lived:
    """Run all nights of a world, and return what they left."""
    sources, settings = _write(pair, folder), settings_of(folder)
    job = JobContext(Workspace(folder / "workspace"), settings, sources, NOW)
    vars(job)["atlas"] = nightly_audit._atlas(settings)
    mechanism, printed = Mechanism(pair.seed, replayed), io.StringIO()
    _decide(pair, job, contributes=contributes)
    with _frozen(mechanism), capture_logs() as logged, redirect_stdout(printed), redirect_stderr(printed):
        done = nightly.run_nightly(job, accept=pair.accepted())
    told = json.dumps([logged, done, printed.getvalue()], default=str, sort_keys=True)
    files = {str(path.relative_to(job.workspace.root)): path for path in job.workspace.root.rglob("*")}
    return Lived(
        {name: content_of(path) for name, path in files.items() if path.is_file() and not _is_own(name)},
        told,
        _lines(job.workspace.ledger),
        {name: rows_of(path) for name, path in files.items() if name.startswith(PRIVATE[0]) and _rows(path)},
        mechanism,
        pair,
    )


def twins(pair: Pair, folder: Path) -> tuple[Lived, Lived]:
    """Live both worlds: the one with the listener's contributions, and the one without, which replays its answers."""
    here = folder / "here"  # of one name, as a witness knows where its workspace is
    one = lived(pair, here, contributes=True)
    here.rename(folder / "with")
    other = lived(pair, here, contributes=False, replayed=one.mechanism)
    here.rename(folder / "without")
    return one, other


def differences(one: Lived, other: Lived) -> list[str]:
    """Say what differs between two worlds that must not."""
    names = sorted(one.files.keys() | other.files.keys())
    found = [name for name in names if one.files.get(name) != other.files.get(name)]
    found += ["what is told"] if one.told != other.told else []
    found += ["the ledger"] if one.ledger != other.ledger else []
    return [*found, *_of_others(one, other), *_of_counts(one, other)]


def squared_sensitivity(one: Lived, other: Lived) -> list[float]:
    """Return by night how far apart the true counts are, squared, in the tier where that is most; in whole tracks."""
    found = []
    for number, (tiers, width) in enumerate(one.mechanism.shapes):
        added = _added(one, other, number=number, width=width)
        squared = [_squared(_of_tier(added, tiers, tier)) for tier in {tier.name for tier in tiers}]
        found.append(max(squared) / SQUARE)
    return found


def _of_others(one: Lived, other: Lived) -> Iterator[str]:
    """Say which private rows differ beside the listener's own."""
    for name in sorted(one.private.keys() | other.private.keys()):
        left, right = (_without_the_one(world.private.get(name)) for world in (one, other))
        if left != right:
            yield f"rows of others in {name}"


def _without_the_one(rows: pl.DataFrame | None) -> list[Any]:
    return [] if rows is None else rows.filter(pl.col("listener") != listener_of(ONE, key=KEY)).rows()


def _of_counts(one: Lived, other: Lived) -> Iterator[str]:
    """Say where counts differ otherwise than by what the listener added, or farther than declared."""
    if one.mechanism.shapes != other.mechanism.shapes:
        yield "what noise is drawn for"
        return
    most = load_settings().privacy.most_per_night
    for number, (tiers, width) in enumerate(one.mechanism.shapes):
        night = f"night {number}"
        added, own = _added(one, other, number=number, width=width), _own(one, number=number)
        for tier in {tier.name for tier in tiers}:
            of = _of_tier(added, tiers, tier)
            if _squared(of) > most * SQUARE:
                yield f"{night}: the listener adds more than declared to {tier}"
            tracks = sorted(of.filter(pl.col("track") < width - len(TOTALS))["added"].to_list())
            if tracks != own:
                yield f"{night}: {tier} differs otherwise than by what the listener added"
        apart = _apart(one.mechanism.drawn[number], other.mechanism.drawn[number])
        if apart != {(row, track): weight for row, track, weight in added.iter_rows()}:
            yield f"{night}: noise depends on the counts"


def _squared(added: pl.DataFrame) -> int:
    return int((added["added"].cast(pl.Int64) ** 2).sum())


def _added(one: Lived, other: Lived, *, number: int, width: int) -> pl.DataFrame:
    """Return ``row``, ``track`` and ``added`` where the true counts differ."""
    with_, without = (world.mechanism.true[number].select("row", "track", "weight") for world in (one, other))
    both = with_.join(without, on=["row", "track"], how="full", coalesce=True).fill_null(0)
    changed = both.select("row", "track", added=pl.col("weight") - pl.col("weight_right"))
    return changed.filter(pl.col("added") != 0)


def _own(world: Lived, *, number: int) -> list[int]:
    """Return the weights that the listener's stored contributions of a night add to counts, sorted."""
    of_night = [rows for rows in world.private.values() if {"weight", "track_id"} <= set(rows.columns)]
    rows = pl.concat(of_night).filter(listener=listener_of(ONE, key=KEY), night=world.pair.night(number))
    return sorted(rows.filter(pl.col("weight") > 0).unique(["part", "track_id"])["weight"].cast(pl.Int64).to_list())


def _of_tier(added: pl.DataFrame, tiers: Iterable[Any], name: str) -> pl.DataFrame:
    rows = [tier.name for tier in tiers for _ in tier.rows]
    return added.filter(pl.col("row").is_in([number for number, tier in enumerate(rows) if tier == name]))


def _apart(one: Sequence[Any], other: Sequence[Any]) -> dict[tuple[int, int], int]:
    """Return by row and track how far two answers are apart that were drawn with the same noise."""
    found, first = {}, 0
    for left, right in zip(one, other, strict=True):
        rows = len(left.places)
        apart = (np.asarray(left.noisy, np.int64) - np.asarray(right.noisy, np.int64)).reshape(rows, -1)
        found |= {(first + int(i), int(j)): int(apart[i, j]) for i, j in np.argwhere(apart)}
        first += rows
    return found


def _write(pair: Pair, folder: Path) -> Sources:
    random = np.random.default_rng(pair.seed)
    for number, plays in enumerate(pair.plays):
        night = pair.night(number)
        rows = [
            row(f"user-{user}", CATALOGUE[track], _at(night, random), LISBON if user % 2 else PORTO)
            for user in range(pair.others)
            for track in random.choice(10, random.integers(2, 6), replace=False)
        ]
        rows += [row(ONE, track, noon(night) + timedelta(seconds=i), place) for i, (track, place) in enumerate(plays)]
        write_listens(folder / "listens", night, rows)
    return Sources(folder / "listens", write_catalogue(folder / "catalogue.csv", CATALOGUE))


def _at(night: Any, random: np.random.Generator) -> Any:
    return noon(night) + timedelta(seconds=int(random.integers(-40_000, 40_000)))


def _decide(pair: Pair, job: JobContext, *, contributes: bool) -> None:
    """Let everybody decide; the listener says yes or no to contributing, and the same to all else."""
    job.workspace.prepare()
    for name in ("listener.key", "marks.key", "contacts.key"):
        (job.workspace.root / name).write_bytes(KEY)
        (job.workspace.root / name).chmod(0o600)
    at, entries = noon(night_of(-1)), []
    for user in range(pair.others):
        who = listener_of(f"user-{user}", key=KEY)
        entries += [Entry(who, purpose, State.GIVEN, at, "1") for purpose in Purpose]
    gone = listener_of(ONE, key=KEY)
    for purpose in Purpose:
        allowed = purpose in pair.allows or (purpose == Purpose.CONTRIBUTE_TRENDS and contributes)
        entries.append(Entry(gone, purpose, State.GIVEN if allowed else State.WITHDRAWN, at, "1"))
    job.consents.append(entries)


@contextmanager
def _frozen(mechanism: Mechanism) -> Iterator[None]:
    """Stop clocks and everything random, keep MLflow away, whose records stay in the workspace, and skip the audit."""
    runs = itertools.count(1)
    still = SimpleNamespace(monotonic=lambda: 0.0, perf_counter=lambda: 0.0)
    passed = SimpleNamespace(metrics=dict, confirm=lambda: None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(release, "noisy_blocks", mechanism)
        patched.setattr(nightly, "audit_release", lambda _: passed)
        patched.setattr(nightly, "time", still)
        patched.setattr(evaluation, "time", still)
        patched.setattr(run_record, "_now", lambda: 0)
        patched.setattr(run_record, "uuid", SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{next(runs):032x}")))
        patched.setattr(witness, "secrets", SimpleNamespace(token_hex=lambda size: "0" * 2 * size))
        patched.setattr(handover, "hand_over", lambda *_: {})
        yield


def _is_own(name: str) -> bool:
    return name.startswith((*PRIVATE, *OWN, *KEYS, "ledger.db", ".lock"))


def _rows(path: Path) -> bool:
    return path.suffix == ".parquet"


def _lines(ledger: Path) -> list[Any]:
    with closing(sqlite3.connect(ledger)) as connection:
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("entries", "releases")]
