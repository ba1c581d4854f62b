"""The private store: by night and bucket, private, whole or not at all, erasable and expiring."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from support.arriving import NIGHT, coarse
from support.sealing import content_of, rows_of

from recsys.cells import store as module
from recsys.cells.contributions import Bounded
from recsys.cells.earnings import BALANCES
from recsys.cells.store import Store
from recsys.errors import InputError, SettingsError
from recsys.schemas import Contributions
from recsys.settings import StoreSettings
from recsys.weights import FULL

DAY = timedelta(days=1)
SCHEMA = {name: column.dtype for name, column in Contributions.columns().items()}
LISTENERS = [f"{i:08x}" + "0" * 24 for i in range(64)]  # listener i is in bucket i modulo the number of buckets


@pytest.fixture
def private(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir()
    return tmp_path / "private"


@pytest.fixture
def store(private: Path) -> Store:
    return Store(private, StoreSettings(nights=35, buckets=8))


def contributions(*listeners: str, night: date = NIGHT) -> pl.DataFrame:
    rows = [(who, night, "P1", track, 1, FULL, True, None) for who in listeners for track in ("t2", "t1")]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def balances(*listeners: str, night: date = NIGHT) -> pl.DataFrame:
    """Balances that tell listeners and nights apart."""
    rows = [(who, night, LISTENERS.index(who), night.toordinal() % 1000) for who in listeners]
    return pl.DataFrame(rows, schema=dict(BALANCES), orient="row")


def bounded(*listeners: str, night: date = NIGHT) -> Bounded:
    return Bounded(contributions(*listeners, night=night), balances(*listeners, night=night))


def write(store: Store, *listeners: str, night: date = NIGHT) -> None:
    """Write a night in which some listeners played, and their buckets came; all else in those is forgotten."""
    came = tuple({LISTENERS.index(who) % 8 for who in listeners})
    after = max((other for other in store.nights() if other < night), default=None)
    store.write_night(night, [(came, bounded(*listeners, night=night))] if listeners else [], after=after)


def files(private: Path) -> list[str]:
    root = private / "contributions"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def kept(private: Path) -> dict[date, list[tuple[str, date]]]:
    """Whose balances are on disk, and of which night each is, by the night's folder."""
    return {
        date.fromisoformat(folder.parent.name.removeprefix("date=")): [
            row[:2] for path in sorted(folder.iterdir()) for row in rows_of(path).rows()
        ]
        for folder in sorted((private / "contributions").glob("date=*/balances"))
    }


def test_what_is_written_is_read_again_by_night(store: Store, private: Path) -> None:
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
    assert Store(private, StoreSettings(nights=35, buckets=8)).nights() == store.nights()


def test_only_buckets_with_contributions_have_a_file(store: Store, private: Path) -> None:
    write(store, LISTENERS[1], LISTENERS[9], LISTENERS[6])
    names = ("balances/bucket=01", "balances/bucket=06", "bucket=01", "bucket=06")
    assert files(private) == [*(f"date={NIGHT}/{name}.parquet" for name in names), "store.json"]


def test_a_night_without_contributions_is_a_night_all_the_same(store: Store) -> None:
    write(store)
    assert store.nights() == (NIGHT,)
    assert store.scan().collect().schema == SCHEMA


def test_bytes_depend_on_rows_and_not_on_their_order(store: Store, private: Path) -> None:
    found = []
    night = bounded(*LISTENERS)
    for some in (night, Bounded(night.contributions.reverse(), night.balances.reverse())):
        store.write_night(NIGHT, [(tuple(range(8)), some)])
        found.append([content_of(private / "contributions" / name) for name in files(private)])
    assert found[0] == found[1]


def test_everything_is_for_its_owner_alone(store: Store, private: Path) -> None:
    write(store, *LISTENERS)
    with store.bucketed(coarse([(who, "t1", 1) for who in LISTENERS]).lazy()):
        modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in private.rglob("date=*/**/*")}
        folders = {path.stat().st_mode & 0o777 for path in (private / "contributions").iterdir() if path.is_dir()}
    assert modes == {(False, 0o600), (True, 0o700)}  # the files of either kind, and the folder of balances
    assert folders == {0o700}
    assert (private / "contributions").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("batch_bytes", [1, 1 << 30])
def test_listens_come_back_in_whole_buckets(store: Store, batch_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_BYTES", batch_bytes)
    rows = [(who, f"t{track}", 1) for who in LISTENERS[:30] for track in range(5)]
    with store.bucketed(coarse(rows).lazy()) as batches:
        found = [(buckets, rows.collect()) for buckets, rows in batches]
    assert [buckets for buckets, _ in found] == ([(i,) for i in range(8)] if batch_bytes == 1 else [tuple(range(8))])
    for buckets, frame in found:
        assert {LISTENERS.index(who) % 8 for who in frame["listener"]} == set(buckets)
    assert sorted(pl.concat([frame for _, frame in found]).select("listener", "track_id", "cell").rows()) == sorted(
        rows
    )


@pytest.mark.parametrize(("batch_bytes", "batches"), [(1, 8), (1 << 30, 1)])
def test_a_night_is_read_some_buckets_at_a_time(
    store: Store, batch_bytes: int, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH_BYTES", batch_bytes)
    write(store, *LISTENERS)
    found = [frame.collect() for frame in store.batches(NIGHT)]
    assert len(found) == batches
    assert sum(frame["listener"].n_unique() for frame in found) == len(set(LISTENERS))  # nobody is in two
    assert (
        pl.concat(found).sort("listener", "track_id").equals(store.scan([NIGHT]).sort("listener", "track_id").collect())
    )


def test_a_night_without_listens_has_no_buckets(store: Store) -> None:
    with store.bucketed(coarse([]).lazy()) as batches:
        assert list(batches) == []


def test_the_stage_is_gone_however_the_block_ends(store: Store, private: Path) -> None:
    staged = coarse([(LISTENERS[0], "t1", 1)]).lazy()
    with store.bucketed(staged) as batches:
        write(store, *LISTENERS)  # writing a night meanwhile leaves the stage alone
        assert len(list(batches)) == 1
    with pytest.raises(KeyboardInterrupt), store.bucketed(staged):
        raise KeyboardInterrupt
    assert {path.name for path in (private / "contributions").iterdir()} == {f"date={NIGHT}", "store.json"}


def test_the_stage_of_a_crash_is_swept_before_the_next_night(store: Store, private: Path) -> None:
    (private / "contributions" / ".coarse.00.staged").mkdir(parents=True)
    with store.bucketed(coarse([]).lazy()):
        assert not (private / "contributions" / ".coarse.00.staged").exists()


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


def test_a_failure_leaves_the_night_as_it_was(store: Store, private: Path) -> None:
    write(store, LISTENERS[0])
    before = files(private)

    def failing():
        yield tuple(range(8)), bounded(*LISTENERS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_night(NIGHT, failing())
    assert files(private) == before
    assert store.scan().collect()["listener"].unique().to_list() == [LISTENERS[0]]


def test_a_bucket_that_comes_twice_is_never_overwritten(store: Store) -> None:
    twice = [((0,), bounded(LISTENERS[0])), ((0,), bounded(LISTENERS[8]))]
    with pytest.raises(FileExistsError):
        store.write_night(NIGHT, twice)
    assert store.nights() == ()


def test_balances_are_those_after_the_night_of_the_buckets_that_are_asked_for(store: Store) -> None:
    write(store, LISTENERS[1], LISTENERS[2], night=NIGHT - 3 * DAY)
    write(store, LISTENERS[1], LISTENERS[2], LISTENERS[9], night=NIGHT)
    for night in (NIGHT, NIGHT - 3 * DAY):
        assert store.balances((2, 7), after=night).equals(balances(LISTENERS[2], night=night))
    assert store.balances((1,), after=NIGHT).sort("listener").equals(balances(LISTENERS[1], LISTENERS[9]))
    assert store.balances((5,), after=NIGHT).schema == BALANCES


def test_where_the_balances_after_the_last_release_are_gone_nobody_is_known(store: Store) -> None:
    """An older night's would have forgotten what was paid since, and kept what was saved before."""
    write(store, LISTENERS[1], night=NIGHT - 3 * DAY)
    assert store.balances((1,), after=NIGHT).is_empty()
    assert store.balances((1,), after=None).is_empty()


def test_a_night_that_was_begun_and_left_out_changes_no_balance(store: Store, private: Path) -> None:
    """The night before it came late: it begins from what was released, and the one after it from that."""
    write(store, LISTENERS[1], LISTENERS[2], night=NIGHT - DAY)
    store.write_night(NIGHT + DAY, [((1,), bounded(LISTENERS[1], night=NIGHT + DAY))], after=NIGHT - DAY)  # left out
    store.write_night(NIGHT, [((1,), bounded(LISTENERS[1]))], after=NIGHT - DAY)
    store.write_night(NIGHT + 2 * DAY, [], after=NIGHT)
    assert kept(private)[NIGHT + 2 * DAY] == [(LISTENERS[1], NIGHT), (LISTENERS[2], NIGHT - DAY)]


def test_debts_are_kept_until_they_are_paid(store: Store, private: Path) -> None:
    owing = balances(LISTENERS[1], night=NIGHT - 90 * DAY).with_columns(of_365=pl.lit(-1, pl.Int32))
    store.write_night(NIGHT, [((1,), Bounded(contributions(), owing))])
    assert kept(private)[NIGHT] == [(LISTENERS[1], NIGHT - 90 * DAY)]


def test_buckets_that_do_not_come_keep_their_balances(store: Store, private: Path) -> None:
    write(store, *LISTENERS[:3], night=NIGHT - DAY)
    write(store, LISTENERS[1])
    write(store, night=NIGHT + DAY)  # nobody played at all
    expected = [(LISTENERS[0], NIGHT - DAY), (LISTENERS[1], NIGHT), (LISTENERS[2], NIGHT - DAY)]
    assert kept(private)[NIGHT] == kept(private)[NIGHT + DAY] == expected


def test_a_bucket_that_comes_is_what_came(store: Store, private: Path) -> None:
    """Of all who are in it, whether they played tonight or not: bound() passes their balances on."""
    write(store, LISTENERS[1], LISTENERS[9], night=NIGHT - DAY)
    old = store.balances((1,), after=NIGHT - DAY).filter(pl.col("listener") == LISTENERS[9])
    came = Bounded(contributions(LISTENERS[1]), pl.concat([balances(LISTENERS[1]), old]))
    store.write_night(NIGHT, [((1,), came)])
    assert kept(private)[NIGHT] == [(LISTENERS[1], NIGHT), (LISTENERS[9], NIGHT - DAY)]
    store.write_night(NIGHT, [((1,), bounded(LISTENERS[1]))])
    assert kept(private)[NIGHT] == [(LISTENERS[1], NIGHT)]


def test_balances_of_who_was_not_there_for_as_long_as_nights_are_kept_are_gone(store: Store, private: Path) -> None:
    write(store, LISTENERS[1], night=NIGHT - 35 * DAY)
    write(store, LISTENERS[2], night=NIGHT - 34 * DAY)
    assert [who for who, _ in kept(private)[NIGHT - 34 * DAY]] == LISTENERS[1:3]
    write(store, LISTENERS[3])
    assert kept(private)[NIGHT] == [(LISTENERS[2], NIGHT - 34 * DAY), (LISTENERS[3], NIGHT)]
    stale = pl.concat([balances(LISTENERS[4]), balances(LISTENERS[12], night=NIGHT - 34 * DAY)])
    store.write_night(NIGHT + DAY, [((4,), Bounded(contributions(night=NIGHT + DAY), stale))], after=NIGHT)
    assert kept(private)[NIGHT + DAY] == [(LISTENERS[3], NIGHT), (LISTENERS[4], NIGHT)]


def test_only_balances_after_the_last_two_nights_are_kept(store: Store, private: Path) -> None:
    for days in (9, 4, 3, 0):
        write(store, LISTENERS[1], night=NIGHT - days * DAY)
        store.expire(NIGHT - days * DAY)
        nights = [night for night in store.nights() if (private / f"contributions/date={night}/balances").exists()]
        assert nights == list(store.nights()[-2:])
    assert len(store.nights()) == 4
    assert store.balances((1,), after=NIGHT - 3 * DAY).equals(balances(LISTENERS[1], night=NIGHT - 3 * DAY))


def test_a_night_that_is_run_again_begins_from_the_balances_of_the_night_before(store: Store) -> None:
    write(store, LISTENERS[1], night=NIGHT - DAY)
    before = store.balances((1,), after=NIGHT - DAY)
    write(store, LISTENERS[1])
    store.expire(NIGHT)
    assert store.balances((1,), after=NIGHT - DAY).equals(before)
    write(store, LISTENERS[1], LISTENERS[9])
    assert store.balances((1,), after=NIGHT - DAY).equals(before)
    assert store.balances((1,), after=NIGHT).height == 2


def test_a_crash_before_a_night_is_renamed_leaves_neither_contributions_nor_balances_of_it(
    store: Store, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the last file of the stage and its renaming: the stage is swept, and the night run again."""
    write(store, *LISTENERS[:4], night=NIGHT - DAY)
    before = {name: (private / "contributions" / name).read_bytes() for name in files(private)}

    @contextmanager
    def dying(folder: Path) -> Iterator[Path]:
        stage = folder.with_name(f".{folder.name}.0000.staged")
        stage.mkdir()
        yield stage
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(module, "staged", dying)
        with pytest.raises(KeyboardInterrupt):
            write(store, *LISTENERS[:4])
    assert len(files(private)) == len(before) + 8  # all of the night is there, in the stage
    assert store.nights() == (NIGHT - DAY,)
    assert store.balances(tuple(range(8)), after=NIGHT).is_empty()
    with store.bucketed(coarse([]).lazy()):
        assert {name: (private / "contributions" / name).read_bytes() for name in files(private)} == before


def test_nights_expire(store: Store, private: Path) -> None:
    for days in (36, 35, 34, 0):
        write(store, LISTENERS[0], night=NIGHT - days * DAY)
    assert store.expire(NIGHT) == 2
    assert store.nights() == (NIGHT - 34 * DAY, NIGHT)
    assert store.expire(NIGHT) == 0
    assert {path.name for path in (private / "contributions").iterdir() if path.is_dir()} == {
        f"date={n}" for n in store.nights()
    }


def test_erasure_removes_a_listener_from_every_byte_and_nobody_else(store: Store, private: Path) -> None:
    gone, neighbour, other = LISTENERS[1], LISTENERS[9], LISTENERS[2]
    for days in range(3):
        write(store, gone, neighbour, other, night=NIGHT - days * DAY)
    write(store, gone, night=NIGHT - 3 * DAY)
    (private / "contributions" / f"date={NIGHT}" / ".bucket=01.parquet.0000.staged").write_text(gone)
    untouched = (private / "contributions" / f"date={NIGHT}" / "bucket=02.parquet").stat().st_mtime_ns
    balance = private / "contributions" / f"date={NIGHT}" / "balances"
    (balance / ".bucket=01.parquet.0000.staged").write_text(gone)
    assert store.erase(gone) == 8 + 4  # two tracks a night, and a balance
    assert store.erase(gone) == 0
    assert set(store.scan().collect()["listener"]) == {neighbour, other}
    assert store.scan().collect().height == 12
    assert all(gone.encode() not in content_of(path) for path in private.rglob("*") if path.is_file())
    assert (private / "contributions" / f"date={NIGHT}" / "bucket=02.parquet").stat().st_mtime_ns == untouched
    assert {path.stat().st_mode & 0o777 for path in private.rglob("*.parquet")} == {0o600}
    assert store.balances((1,), after=NIGHT).equals(balances(neighbour))
    assert {who for rows in kept(private).values() for who, _ in rows} == {neighbour, other}
    assert NIGHT - 3 * DAY in store.nights()  # a night whose only listener left was run all the same


def test_another_number_of_buckets_is_refused_until_the_store_is_empty(store: Store, private: Path) -> None:
    write(store, LISTENERS[0])
    with pytest.raises(SettingsError, match=r"has 8 buckets, the settings say store.buckets = 16"):
        Store(private, StoreSettings(nights=35, buckets=16))
    store.expire(NIGHT + 99 * DAY)
    assert files(private) == ["store.json"]  # and of nobody a balance
    Store(private, StoreSettings(nights=35, buckets=16)).write_night(NIGHT, [(tuple(range(16)), bounded(*LISTENERS))])
    assert len(files(private)) == 16 + 16 + 1


def test_frames_of_other_columns_do_not_cross_the_border(store: Store) -> None:
    frame = contributions(LISTENERS[0]).with_columns(latitude=1.0)
    with pytest.raises(InputError, match="latitude"):
        store.write_night(NIGHT, [((0,), Bounded(frame, balances(LISTENERS[0])))])
    extra = coarse([(LISTENERS[0], "t1", 1)]).lazy().with_columns(latitude=1.0)
    with pytest.raises(InputError, match="latitude"), store.bucketed(extra):
        pass
