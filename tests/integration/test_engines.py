"""What counts a night changes nothing of it: the tables before noise are equal row for row, on every engine."""

import random
import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from support.commands import Run
from support.engines import end_it_all, end_once, need, on, sail, spark
from support.listening import world
from support.night import (
    FARO,
    FIRST,
    LISBON,
    NOW,
    PORTO,
    TRACKS,
    deployed,
    night_of,
    noon,
    row,
    small_settings,
    write_catalogue,
    write_world,
)

from pipelines.base.job_context import JobContext, Sources
from pipelines.night import nightly
from pipelines.night.engines.engine import Engine
from pipelines.privacy import nightly_audit
from pipelines.privacy.import_consents import import_consents
from recsys.arrivals.coarsening import coarsen
from recsys.arrivals.listens import read_night
from recsys.arrivals.permission import keep_allowed, still_allowed
from recsys.cells.contributions import bound
from recsys.cells.earnings import BALANCES
from recsys.consents.log import Entry, Purpose, State
from recsys.errors import NotReadyError, PrivacyBudgetError, SettingsError
from recsys.models.interactions import gather
from recsys.models.regional import fit
from recsys.releases.counts import release
from recsys.settings import Settings, load_settings
from recsys.workspace import listener_of

USERS = [f"user-{number:03}" for number in range(60)]
NIGHTS = 3


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sail(tmp_path_factory.mktemp("sail")) as (address, _):
        yield address


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with spark(tmp_path_factory.mktemp("spark")) as address:
        yield address


@pytest.fixture(params=["polars", "sail", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    address = {"sail": "remote", "spark": "cluster"}.get(request.param)
    return on(request.getfixturevalue(address) if address else "")


def test_a_night_is_what_it_is_in_one_piece(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    expected = in_one_piece(tmp_path / "expected", seed=seed)
    assert [bool(night["true"]) for night in expected] == [True] * NIGHTS
    assert counted(engine, tmp_path / "found", monkeypatch, seed=seed) == expected


def test_counts_are_those_of_the_world_by_construction(engine: Engine, tmp_path: Path) -> None:
    """Twenty listeners play the same three tracks, each in Lisbon or in Porto."""
    job = deployed(tmp_path, write_world(tmp_path, nights=1, users=USERS[:20]), small_settings(tmp_path))
    vars(job)["atlas"] = nightly_audit._atlas(job.settings)
    job.workspace.prepare()
    import_consents(job.sources.consents, workspace=job.workspace, settings=job.settings)
    nightly.run_night(job, FIRST, engine=engine)
    stored = job.store.scan([FIRST]).collect()
    in_lisbon = sum(sum(user.encode()) % 2 for user in USERS[:20])
    counts = stored.group_by("part", "track_id").len().sort("len")
    assert sorted(stored["track_id"].unique()) == [*TRACKS[:3]]
    assert counts["len"].to_list() == sorted([in_lisbon] * 3 + [20 - in_lisbon] * 3)
    assert stored["weight"].unique().to_list() == [15]  # a first night earns 687: 3 · 15² = 675, and the totals


def test_a_refusal_on_a_worker_is_the_night_s(engine: Engine) -> None:
    """Its exit code with it: a budget that is broken is nothing to try again."""
    with pytest.raises(PrivacyBudgetError, match="too much"):
        list(engine.map(refuse, [pl.DataFrame({"listener": ["a"]})]))


def test_an_engine_counts_any_number_of_frames(engine: Engine) -> None:
    frames = [pl.DataFrame({"number": [number]}) for number in range(21)]
    assert sorted(frame.item() for frame in engine.map(doubled, iter(frames))) == list(range(0, 42, 2))


@pytest.mark.parametrize("kind", ["als", "ease"])
def test_models_of_places_are_those_of_one_process_bit_for_bit(engine: Engine, kind: str) -> None:
    rows = world(11, listeners=300, tracks=60, parts=4, nights=10, plays=30)
    keys = {"engine": kind, "min_listeners_per_region": 10, "min_listeners_per_track": 3}
    settings = load_settings(overrides={"models": keys}).models
    known = gather(rows, settings=settings, parents=dict.fromkeys(rows["part"].unique(), "PT"))
    here, there = (fit(known, settings=settings, spread=spread) for spread in (None, engine.map))
    assert sorted(there.sides) == sorted(here.sides) != []
    everybody = np.arange(known.shape[0])
    for place, side in here.sides.items():
        assert type(there.sides[place]) is type(side)
        np.testing.assert_array_equal(there.sides[place].scores(known, everybody), side.scores(known, everybody))


def test_many_things_are_sent_as_they_fit_into_messages(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.night.engines.spark._MESSAGE", 5_000)
    things = [secrets.token_bytes(number * 1_000) for number in range(12)]
    assert sorted(on(remote).map(len, iter(things))) == [number * 1_000 for number in range(12)]


def test_each_piece_of_work_has_a_session_that_is_released(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it ends; none is open, and could be forgotten, while the night is checked."""
    engine, frame = on(remote), pl.DataFrame({"number": [1]})
    client = pytest.importorskip("pyspark.sql.connect.client.core").SparkConnectClient
    released: list[str] = []
    release_session = client.release_session

    def watched(of: Any) -> None:
        release_session(of)
        released.append(of._session_id)

    monkeypatch.setattr(client, "release_session", watched)
    list(engine.map(doubled, [frame]))
    with pytest.raises(PrivacyBudgetError):
        list(engine.map(refuse, [frame]))
    assert len(set(released)) == len(released) == 2


@pytest.mark.parametrize("behind", ["x", ";a", ";token=geheim;a=b=c", ";session_id=1", f";session_id={UUID(int=1)}"])
def test_an_address_that_the_client_does_not_take_is_refused_before_it_is_tried(behind: str) -> None:
    need("pyspark")
    with pytest.raises(SettingsError, match=r"spark\.remote is not an address as Spark Connect takes it") as refused:
        on(f"sc://localhost:1/{behind}")
    assert "geheim" not in f"{refused.value.message}{refused.value.hint}"


def refuse(_: pl.DataFrame) -> pl.DataFrame:
    raise PrivacyBudgetError("too much")


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame * 2


def test_a_server_that_dies_in_the_middle_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies in the first stage; the same night is then run on one machine, as if nothing had been."""
    need("pysail", "pyspark")
    job = job_in(tmp_path, seed=1)
    monkeypatch.setattr("pipelines.night.engines.spark._RETRIES", 1)
    with sail(tmp_path) as (address, server):
        engine = on(address)
        with monkeypatch.context() as dying:
            dying.setattr(nightly, "_coarse", lambda *_: end_it_all)
            with pytest.raises(NotReadyError, match=r"the engine at 127.0.0.1:\d+ failed in the middle of the work"):
                nightly.run_night(job, FIRST, engine=engine)
        assert server.wait(10) != 0
    assert job.ledger.entries() == []
    assert job.store.nights() == ()
    assert [path.name for path in (job.workspace.private / "contributions").rglob("*")] == ["store.json"]
    nightly.run_night(job, FIRST)
    assert [entry.spend.night for entry in job.ledger.entries()] == [FIRST]


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = in_one_piece(tmp_path / "expected", seed=4)
    coarse, mark = nightly._coarse, tmp_path / "killed"
    with monkeypatch.context() as dying:
        dying.setattr(nightly, "_coarse", lambda *night: partial(end_once, mark=mark, coarse=coarse(*night)))
        assert counted(on(cluster), tmp_path / "found", monkeypatch, seed=4) == expected
    assert mark.exists()


@pytest.mark.parametrize(
    ("where", "changed", "said"),
    [
        (
            "spark_tasks.code_digest",
            lambda: "another",
            r"has workers of other versions \(code \w{16}, here another",
        ),
        ("spark._KNOWN", "9.", r"speaks Spark Connect 4\.\d+\.\d+, expected 9\.x"),
    ],
)
def test_a_server_of_another_version_is_refused(
    remote: str, monkeypatch: pytest.MonkeyPatch, where: str, changed: object, said: str
) -> None:
    monkeypatch.setattr(f"pipelines.night.engines.{where}", changed)
    with pytest.raises(NotReadyError, match=said) as refused:
        on(remote)
    assert refused.value.exit_code == 75


def test_without_a_server_a_night_ends_before_it_begins(
    hearabouts: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("pyspark")
    write_world(tmp_path, nights=1, users=USERS[:20])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HEARABOUTS__SPARK__REMOTE", f"sc://127.0.0.1:{port}/;token=geheim")
    command = ("nightly", "--engine", "spark", "--listens", "listens", "--catalogue", "catalogue.csv")
    done = hearabouts(*command)
    assert done.code == 75
    assert f"the engine at 127.0.0.1:{port} cannot be reached" in done.err
    assert "geheim" not in done.out + done.err
    monkeypatch.setenv("HEARABOUTS__SPARK__REMOTE", "")
    assert hearabouts(*command).code == 78
    assert not (tmp_path / "workspace" / "ledger.db").exists()


def test_no_position_reaches_the_folder_or_the_log_of_a_server(tmp_path: Path) -> None:
    """Nor one that stands in a row for which a worker stops."""
    canary = (38.7171237, -9.1398765)
    texts = [f"{abs(degrees):.7f}"[:length].encode() for degrees in canary for length in (8, 9, 10)]
    traces = texts + [struct.pack(form, degrees) for degrees in canary for form in ("<d", ">d")]
    there, job = tmp_path / "there", job_in(tmp_path / "here", seed=2)
    there.mkdir()
    rows = [row(user, TRACKS[0], noon(FIRST), canary) for user in USERS]
    write(job.sources.listens / f"date={FIRST}" / "canary.parquet", rows)
    with sail(there) as (address, _):
        engine = on(address)
        nightly.run_night(job, FIRST, engine=engine)
        with pytest.raises(NotReadyError) as refused:
            list(engine.map(quote, [pl.DataFrame(rows)]))
    assert "ValueError" in refused.value.message
    written = b"".join(path.read_bytes() for path in there.rglob("*") if path.is_file())
    assert b"Spark Connect server" in written  # its log is there
    said = refused.value.message.encode()
    assert [trace for trace in traces if trace in written + said] == []
    assert texts[2] in str(rows).encode()  # what is looked for would be found


def quote(frame: pl.DataFrame) -> pl.DataFrame:
    raise ValueError(str(frame.rows()))


def counted(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, *, seed: int) -> list[dict[str, Any]]:
    """Run the nights of a world, and return for each what is stored and what noise is added to, as rows."""
    job = job_in(folder, seed=seed)
    found: list[dict[str, Any]] = []
    true_counts: Callable[..., pl.DataFrame] = release.true_counts

    def watched(*values: Any, **named: Any) -> pl.DataFrame:
        true = true_counts(*values, **named)
        night = named["night"]
        balances = job.store.balances(tuple(range(job.store.buckets)), after=night)
        found.append(tables(job.store.scan([night]).collect(), balances, true))
        return true

    with monkeypatch.context() as watching:
        watching.setattr(release, "true_counts", watched)
        for number in range(NIGHTS):
            nightly.run_night(job, night_of(number), engine=engine)
    return found


def in_one_piece(folder: Path, *, seed: int) -> list[dict[str, Any]]:
    """Return what the nights of the same world are by the domain alone, without files, buckets and a store."""
    job, found = job_in(folder, seed=seed), []
    of, permissions, key = job.settings.privacy, job.permissions, job.listener_key
    balances = pl.DataFrame(schema=BALANCES)
    tiers = release.drawing_order(release.tiers(job.atlas, settings=of), atlas=job.atlas)
    for night in map(night_of, range(NIGHTS)):
        listens = read_night(job.sources.listens, night, catalogue=job.catalogue, now=job.now).listens
        coarse = coarsen(keep_allowed(listens, permissions=permissions, key=key), night=night, resolution=5)
        made = bound(coarse, night=night, atlas=job.atlas, balances=balances, settings=of, key=key)
        allowed, balances = still_allowed(made.contributions.lazy(), permissions=permissions), made.balances
        true = release.true_counts([allowed], night=night, tracks=TRACKS, tiers=tiers, atlas=job.atlas, settings=of)
        found.append(tables(made.contributions, balances, true))
    return found


def tables(stored: pl.DataFrame, saved: pl.DataFrame, true: pl.DataFrame) -> dict[str, Any]:
    """Return tables as rows; those of the store come by bucket."""
    return {
        "stored": stored.sort("listener", "track_id").rows(),
        "saved": saved.sort("listener").rows(),
        "true": true.rows(),
    }


def job_in(folder: Path, *, seed: int) -> JobContext:
    folder.mkdir(exist_ok=True)
    settings: Settings = small_settings(folder)
    job = deployed(folder, write_random_world(folder, random.Random(seed)), settings)
    vars(job)["atlas"] = nightly_audit._atlas(settings)  # Lisbon and Porto, at no cost
    job.workspace.prepare()
    (job.workspace.root / "listener.key").write_bytes(random.Random(seed).randbytes(32))
    job.consents.append(decisions(random.Random(seed), key=job.listener_key))
    return job


def write_random_world(folder: Path, chance: random.Random) -> Sources:
    """Write nights in several files and formats, of listeners who move about, with rows that do not fit."""
    for number in range(NIGHTS):
        partition = folder / "listens" / f"date={night_of(number)}"
        partition.mkdir(parents=True)
        for kind in ("parquet", "parquet", "csv", "ndjson"):
            rows = [a_play(number, chance) for _ in range(200)]
            write(partition / f"{len(list(partition.iterdir()))}.{kind}", rows)
    return Sources(folder / "listens", write_catalogue(folder / "catalogue.csv"))


def a_play(number: int, chance: random.Random) -> dict[str, object]:
    track = chance.choice([*TRACKS, "unknown"]) if chance.random() < 0.1 else chance.choice(TRACKS)
    where = chance.choice([LISBON, LISBON, PORTO, FARO, None])
    return row(chance.choice(USERS), track, noon(night_of(number), chance.randrange(-700, 700)), where)


def write(file: Path, rows: list[dict[str, object]]) -> None:
    schema = {"user_id": pl.String, "track_id": pl.String, "played_at": pl.Datetime("us", "UTC")}
    frame = pl.DataFrame(rows, schema={**schema, "latitude": pl.Float64, "longitude": pl.Float64})
    text = frame.with_columns(pl.col("played_at").dt.to_string("%Y-%m-%dT%H:%M:%SZ"))
    {".parquet": frame.write_parquet, ".csv": text.write_csv, ".ndjson": text.write_ndjson}[file.suffix](file)


def decisions(chance: random.Random, *, key: bytes) -> Iterator[Entry]:
    """Let most listeners allow most, and some take it back on one of the nights."""
    for user in USERS:
        for purpose in Purpose:
            who = listener_of(user, key=key)
            if chance.random() < 0.8:
                yield Entry(who, purpose, State.GIVEN, NOW - timedelta(days=60), "2026-09")
            if chance.random() < 0.1:
                yield Entry(who, purpose, State.WITHDRAWN, noon(FIRST, chance.randrange(4_000)), "2026-09")
