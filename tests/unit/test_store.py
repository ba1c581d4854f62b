"""The private store: by night and bucket, private, whole or not at all, erasable and expiring."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from support.arriving import NIGHT, coarse

from recsys.cells import store as module
from recsys.cells.store import Store
from recsys.errors import InputError, SettingsError
from recsys.schemas import Contributions
from recsys.settings import StoreSettings

DAY = timedelta(days=1)
SCHEMA = {name: column.dtype for name, column in Contributions.columns().items()}
LISTENERS = [f"{i:08x}" + "0" * 24 for i in range(64)]  # listener i is in bucket i modulo the number of buckets


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, StoreSettings(nights=35, buckets=8))


def contributions(*listeners: str, night: date = NIGHT, counted: bool = True) -> pl.DataFrame:
    rows = [(who, night, "P1", track, 1, counted, True, None) for who in listeners for track in ("t2", "t1")]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def write(store: Store, *listeners: str, night: date = NIGHT, counted: bool = True) -> None:
    store.write_night(night, [((), contributions(*listeners, night=night, counted=counted))] if listeners else [])


def files(tmp_path: Path) -> list[str]:
    root = tmp_path / "contributions"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def record(tmp_path: Path) -> dict[str, list[tuple[str, date]]]:
    """Who is recorded as counted, and when, by file."""
    return {path.name: pl.read_parquet(path).rows() for path in sorted((tmp_path / "counted").iterdir())}


def test_what_is_written_is_read_again_by_night(store: Store, tmp_path: Path) -> None:
    write(store, *LISTENERS[:10])
    write(store, LISTENERS[3], night=NIGHT - DAY)
    assert store.nights() == (NIGHT - DAY, NIGHT)
    assert (
        store.scan([NIGHT])
        .collect()
        .sort("listener", "track_id")
        .equals(contributions(*LISTENERS[:10]).sort("listener", "track_id"))
    )
    assert store.scan().collect().height == 22
    assert Store(tmp_path, StoreSettings(nights=35, buckets=8)).nights() == store.nights()


def test_only_buckets_with_contributions_have_a_file(store: Store, tmp_path: Path) -> None:
    write(store, LISTENERS[1], LISTENERS[9], LISTENERS[6])
    assert files(tmp_path) == [f"date={NIGHT}/bucket=01.parquet", f"date={NIGHT}/bucket=06.parquet", "store.json"]


def test_a_night_without_contributions_is_a_night_all_the_same(store: Store) -> None:
    write(store)
    assert store.nights() == (NIGHT,)
    assert store.scan().collect().schema == SCHEMA


def test_bytes_depend_on_rows_and_not_on_their_order(store: Store, tmp_path: Path) -> None:
    found = []
    for frame in (contributions(*LISTENERS), contributions(*LISTENERS).reverse()):
        store.write_night(NIGHT, [((), frame)])
        found.append([(tmp_path / "contributions" / name).read_bytes() for name in files(tmp_path)])
    assert found[0] == found[1]


def test_everything_is_for_its_owner_alone(store: Store, tmp_path: Path) -> None:
    write(store, *LISTENERS)
    with store.bucketed(coarse([(who, "t1", 1) for who in LISTENERS]).lazy()):
        modes = {
            (path.is_dir(), path.stat().st_mode & 0o777) for path in (tmp_path / "contributions").rglob("date=*/*")
        }
        folders = {path.stat().st_mode & 0o777 for path in (tmp_path / "contributions").iterdir() if path.is_dir()}
    assert modes == {(False, 0o600)}
    assert folders == {0o700}
    for folder in ("contributions", "counted"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "counted").iterdir()} == {0o600}


@pytest.mark.parametrize("batch_bytes", [1, 1 << 30])
def test_listens_come_back_in_whole_buckets(store: Store, batch_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_BYTES", batch_bytes)
    rows = [(who, f"t{track}", 1) for who in LISTENERS[:30] for track in range(5)]
    with store.bucketed(coarse(rows).lazy()) as batches:
        found = list(batches)
    assert [buckets for buckets, _ in found] == ([(i,) for i in range(8)] if batch_bytes == 1 else [tuple(range(8))])
    for buckets, frame in found:
        assert {LISTENERS.index(who) % 8 for who in frame["listener"]} == set(buckets)
    assert sorted(pl.concat([frame for _, frame in found]).select("listener", "track_id", "cell").rows()) == sorted(
        rows
    )


def test_a_night_without_listens_has_no_buckets(store: Store) -> None:
    with store.bucketed(coarse([]).lazy()) as batches:
        assert list(batches) == []


def test_the_stage_is_gone_however_the_block_ends(store: Store, tmp_path: Path) -> None:
    staged = coarse([(LISTENERS[0], "t1", 1)]).lazy()
    with store.bucketed(staged) as batches:
        write(store, *LISTENERS)  # writing a night meanwhile leaves the stage alone
        assert len(list(batches)) == 1
    with pytest.raises(KeyboardInterrupt), store.bucketed(staged):
        raise KeyboardInterrupt
    assert {path.name for path in (tmp_path / "contributions").iterdir()} == {f"date={NIGHT}", "store.json"}


def test_the_stage_of_a_crash_is_swept_before_the_next_night(store: Store, tmp_path: Path) -> None:
    (tmp_path / "contributions" / ".coarse.00.staged").mkdir(parents=True)
    with store.bucketed(coarse([]).lazy()):
        assert not (tmp_path / "contributions" / ".coarse.00.staged").exists()


@pytest.mark.parametrize(
    "unreadable",
    [
        pytest.param(pl.col("track_id").cast(pl.UInt64), id="error"),
        pytest.param(pl.lit(2**62).cast(pl.Datetime("ms")).cast(pl.String), id="panic"),  # an instant past all years
    ],
)
def test_listens_that_cannot_be_read_to_their_end_are_bad_input_without_a_value(
    store: Store, unreadable: pl.Expr
) -> None:
    listens = coarse([(LISTENERS[0], "38.7223", 1)]).lazy()
    broken = listens.with_columns(cell=unreadable)
    with pytest.raises(InputError, match="cannot be read to their end") as raised, store.bucketed(broken):
        pass
    assert "38.7" not in raised.value.message
    assert raised.value.__suppress_context__


def test_a_failure_leaves_the_night_as_it_was(store: Store, tmp_path: Path) -> None:
    write(store, LISTENERS[0])
    before = files(tmp_path)

    def failing():
        yield (0,), contributions(*LISTENERS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_night(NIGHT, failing())
    assert files(tmp_path) == before
    assert store.scan().collect()["listener"].unique().to_list() == [LISTENERS[0]]


def test_a_bucket_that_comes_twice_is_never_overwritten(store: Store) -> None:
    twice = [((0,), contributions(LISTENERS[0])), ((0,), contributions(LISTENERS[8]))]
    with pytest.raises(FileExistsError):
        store.write_night(NIGHT, twice)
    assert store.nights() == ()


def test_counted_nights_are_those_of_the_buckets_within_364_nights(tmp_path: Path) -> None:
    store = Store(tmp_path, StoreSettings(nights=400, buckets=8))
    for days in (-365, -364, -1, 0, 364, 365):
        write(store, LISTENERS[1], LISTENERS[2], night=NIGHT + days * DAY)
    write(store, LISTENERS[1], night=NIGHT - 2 * DAY, counted=False)
    found = store.counted_nights((1,), NIGHT).sort("night")
    assert found.rows() == [(LISTENERS[1], NIGHT + days * DAY) for days in (-364, -1, 364)]
    assert set(store.counted_nights((1, 2), NIGHT)["listener"]) == {LISTENERS[1], LISTENERS[2]}
    assert store.counted_nights((5,), NIGHT).is_empty()


def test_a_night_written_again_replaces_its_own_record(store: Store, tmp_path: Path) -> None:
    write(store, LISTENERS[1], LISTENERS[2], LISTENERS[9])
    write(store, LISTENERS[1], night=NIGHT - DAY)
    assert record(tmp_path) == {
        "bucket=01.parquet": [(LISTENERS[1], NIGHT - DAY), (LISTENERS[1], NIGHT), (LISTENERS[9], NIGHT)],
        "bucket=02.parquet": [(LISTENERS[2], NIGHT)],
    }
    write(store, LISTENERS[9], LISTENERS[3])
    assert record(tmp_path) == {
        "bucket=01.parquet": [(LISTENERS[1], NIGHT - DAY), (LISTENERS[9], NIGHT)],
        "bucket=03.parquet": [(LISTENERS[3], NIGHT)],
    }


def test_a_crash_between_contributions_and_record_is_healed_by_running_the_night_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, *LISTENERS[:4], night=NIGHT - DAY)
    replaced, replace = [], module.replace_file

    def dies_midway(path: Path, content: bytes, *, mode: int) -> None:
        if path.parent.name == "counted" and len(replaced) == 2:
            raise KeyboardInterrupt
        replaced.append(path.name)
        replace(path, content, mode=mode)

    with monkeypatch.context() as crashing:
        crashing.setattr(module, "replace_file", dies_midway)
        with pytest.raises(KeyboardInterrupt):
            write(store, *LISTENERS[:4])
    assert sum(len(rows) for rows in record(tmp_path).values()) == 6  # of 8: two buckets know of tonight
    write(store, *LISTENERS[1:4])
    assert record(tmp_path) == {
        f"bucket={i:02}.parquet": [(LISTENERS[i], NIGHT - DAY), *([(LISTENERS[i], NIGHT)] if i else [])]
        for i in range(4)
    }


def test_who_was_counted_is_known_for_a_year_and_a_week_and_longer_than_the_contributions(
    store: Store, tmp_path: Path
) -> None:
    for days in (400, 371, 364, 36, 0):
        write(store, LISTENERS[1], night=NIGHT - days * DAY)
    store.expire(NIGHT)
    assert store.nights() == (NIGHT,)
    assert record(tmp_path) == {"bucket=01.parquet": [(LISTENERS[1], NIGHT - days * DAY) for days in (371, 364, 36, 0)]}
    with pytest.raises(InputError, match="too long ago"):
        store.counted_nights((1,), NIGHT - 8 * DAY)
    assert store.counted_nights((1,), NIGHT - 7 * DAY).height == 4
    store.expire(NIGHT + 372 * DAY)
    assert list((tmp_path / "counted").iterdir()) == []


def test_nights_expire(store: Store, tmp_path: Path) -> None:
    for days in (36, 35, 34, 0):
        write(store, LISTENERS[0], night=NIGHT - days * DAY)
    assert store.expire(NIGHT) == 2
    assert store.nights() == (NIGHT - 34 * DAY, NIGHT)
    assert store.expire(NIGHT) == 0
    assert {path.name for path in (tmp_path / "contributions").iterdir() if path.is_dir()} == {
        f"date={n}" for n in store.nights()
    }


def test_erasure_removes_a_listener_from_every_byte_and_nobody_else(store: Store, tmp_path: Path) -> None:
    gone, neighbour, other = LISTENERS[1], LISTENERS[9], LISTENERS[2]
    for days in range(3):
        write(store, gone, neighbour, other, night=NIGHT - days * DAY)
    write(store, gone, night=NIGHT - 3 * DAY)
    (tmp_path / "contributions" / f"date={NIGHT}" / ".bucket=01.parquet.0000.staged").write_text(gone)
    untouched = (tmp_path / "contributions" / f"date={NIGHT}" / "bucket=02.parquet").stat().st_mtime_ns
    (tmp_path / "counted" / ".bucket=01.parquet.0000.staged").write_text(gone)
    assert store.erase(gone) == 8 + 4  # two tracks a night, and each night's line in the record
    assert store.erase(gone) == 0
    assert set(store.scan().collect()["listener"]) == {neighbour, other}
    assert store.scan().collect().height == 12
    assert all(gone.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert (tmp_path / "contributions" / f"date={NIGHT}" / "bucket=02.parquet").stat().st_mtime_ns == untouched
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.parquet")} == {0o600}
    assert store.counted_nights((1,), NIGHT + DAY)["listener"].unique().to_list() == [neighbour]
    assert NIGHT - 3 * DAY in store.nights()  # a night whose only listener left was run all the same


def test_another_number_of_buckets_is_refused_until_the_store_is_empty(store: Store, tmp_path: Path) -> None:
    write(store, LISTENERS[0])
    with pytest.raises(SettingsError, match=r"has 8 buckets, the settings say store.buckets = 16"):
        Store(tmp_path, StoreSettings(nights=35, buckets=16))
    store.expire(NIGHT + 99 * DAY)
    with pytest.raises(SettingsError, match="has 8 buckets"):  # the record of the year is there
        Store(tmp_path, StoreSettings(nights=35, buckets=16))
    store.expire(NIGHT + 999 * DAY)
    write(Store(tmp_path, StoreSettings(nights=35, buckets=16)), *LISTENERS)
    assert len(files(tmp_path)) == 17


def test_frames_of_other_columns_do_not_cross_the_border(store: Store) -> None:
    with pytest.raises(InputError, match="latitude"):
        store.write_night(NIGHT, [((0,), contributions(LISTENERS[0]).with_columns(latitude=1.0))])
    extra = coarse([(LISTENERS[0], "t1", 1)]).lazy().with_columns(latitude=1.0)
    with pytest.raises(InputError, match="latitude"), store.bucketed(extra):
        pass
