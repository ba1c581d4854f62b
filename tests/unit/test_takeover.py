"""The takeover of a store from before weights were earned: nothing is lost, and what was added is owed."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from support.arriving import NIGHT
from support.sealing import content_of

from recsys.cells import takeover
from recsys.cells.earnings import BALANCES, pay
from recsys.cells.store import Store
from recsys.cells.takeover import owed, take_over
from recsys.schemas import Contributions
from recsys.settings import StoreSettings, load_settings
from recsys.weights import FULL

DAY = timedelta(days=1)
PRIVACY = load_settings().privacy
ANA, BO, CY = (f"{i:08x}" + "0" * 24 for i in (1, 2, 9))  # of 8 buckets in the first, the second, and the first
LAST_NIGHTS = [NIGHT - 2 * DAY, NIGHT - DAY, NIGHT]
# By hand, of 20 * 256 = 5,120 with 914 and 687 a night: three nights in full, of 10 * 256 = 2,560 each.
ANAS = (5_120 - 3 * 2_560 + 2 * 914, 5_120 - 3 * 2_560 + 2 * 687)
BOS = (5_120 - 2_560 + 2 * 914, 5_120 - 2_560 + 2 * 687)  # the first of the three alone
CYS = (5_120, 5_120 - 2_560 + 3 * 687)  # a night before: 2,560 + 3 * 914 is more than a bucket holds


def counted_before() -> dict[str, list[tuple[str, date]]]:
    return {
        "bucket=01.parquet": [*((ANA, night) for night in LAST_NIGHTS), (CY, NIGHT - 3 * DAY)],
        "bucket=02.parquet": [(BO, NIGHT - 2 * DAY)],
    }


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A private store as it was: two tracks a night of Ana, one of which counted, and the record of a year."""
    folder = tmp_path / "private"
    (folder / "counted").mkdir(parents=True)
    for name, rows in counted_before().items():
        frame = pl.DataFrame(rows, schema={"listener": pl.String, "night": pl.Date}, orient="row")
        frame.write_parquet(folder / "counted" / name)
    for night in LAST_NIGHTS:
        of_night = folder / "contributions" / f"date={night}"
        of_night.mkdir(parents=True)
        rows = [(ANA, night, "P1", track, 1, track == "t1", True, None) for track in ("t1", "t2")]
        columns = {name: column.dtype for name, column in Contributions.columns().items()}
        schema = {{"weight": "counted"}.get(name, name): kind for name, kind in columns.items()}
        pl.DataFrame(rows, schema={**schema, "counted": pl.Boolean}, orient="row").write_parquet(
            of_night / "bucket=01.parquet"
        )
    (folder / "contributions" / "store.json").write_text('{"buckets": 8}')
    return folder


def store(private: Path) -> Store:
    return Store(private, StoreSettings(nights=35, buckets=8))


def everything(private: Path) -> dict[str, object]:
    """What the files hold, but for the keys that they are sealed with."""
    files = [path for path in private.rglob("*") if path.is_file() and path != store(private).sealed.keys_file]
    return {str(path.relative_to(private)): content_of(path) for path in files}


def test_what_counted_weighs_in_full_and_everything_else_nothing(private: Path) -> None:
    assert take_over(store(private).sealed, released=NIGHT, settings=PRIVACY, spent=10.0)
    rows = store(private).scan().collect()
    assert Contributions.is_valid(rows)
    assert rows.select("night", "track_id", "weight").sort("night", "track_id").rows() == [
        (night, track, weight) for night in LAST_NIGHTS for track, weight in (("t1", FULL), ("t2", 0))
    ]


def test_the_nights_on_which_listeners_counted_are_paid_for_after_the_fact(private: Path) -> None:
    take_over(store(private).sealed, released=NIGHT, settings=PRIVACY, spent=10.0)
    after = store(private).balances(tuple(range(8)), after=NIGHT)
    assert after.schema == BALANCES
    assert after.sort("listener").rows() == [(ANA, NIGHT, *ANAS), (BO, NIGHT, *BOS), (CY, NIGHT, *CYS)]
    assert min(ANAS) < 0  # a debt
    assert not (private / "counted").exists()


def test_a_last_night_that_was_never_released_is_not_paid_for_and_is_run_again(private: Path) -> None:
    """Who counted on it alone owes nothing, and who has a debt keeps it when the night is run again."""
    last = LAST_NIGHTS[-2]
    take_over(store(private).sealed, released=last, settings=PRIVACY, spent=10.0)
    before = store(private).balances(tuple(range(8)), after=last)
    assert before["night"].unique().to_list() == [last]
    rows = [row for some in counted_before().values() for row in some if row[1] <= last]
    counted = pl.DataFrame(rows, schema={"listener": pl.String, "night": pl.Date}, orient="row")
    assert before.sort("listener").equals(owed(counted, last=last, settings=PRIVACY, spent=10.0).sort("listener"))
    played = pl.DataFrame({"listener": [ANA], "tracks": [5]})
    again = pay(played, before.filter(pl.col("listener") == ANA), night=last, settings=PRIVACY)
    kept = before.filter(pl.col("listener") == ANA).select("of_28", "of_365").row(0)
    assert again.select("weight", "of_28", "of_365").row(0) == (0, *(min(balance, 0) for balance in kept))


def test_everything_is_for_its_owner_alone(private: Path) -> None:
    take_over(store(private).sealed, released=NIGHT, settings=PRIVACY, spent=10.0)
    folder = private / "contributions" / f"date={NIGHT}"
    files = [*folder.glob("*.parquet"), *(folder / "balances").iterdir()]
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (folder / "balances").stat().st_mode & 0o777 == 0o700


def test_a_store_of_now_and_an_empty_one_are_left_alone(private: Path, tmp_path: Path) -> None:
    take_over(store(private).sealed, released=NIGHT, settings=PRIVACY, spent=10.0)
    before = everything(private)
    assert not take_over(store(private).sealed, released=NIGHT, settings=PRIVACY, spent=10.0)
    assert everything(private) == before
    assert not take_over(store(tmp_path / "empty").sealed, released=NIGHT, settings=PRIVACY, spent=10.0)


def test_a_record_of_a_year_without_any_night_is_dropped(tmp_path: Path) -> None:
    private = tmp_path / "private"
    (private / "counted").mkdir(parents=True)
    assert take_over(store(private).sealed, released=None, settings=PRIVACY, spent=10.0)
    assert list(private.iterdir()) == []


@pytest.mark.parametrize("write", range(5))
def test_after_a_crash_in_the_middle_it_is_done_again_as_if_nothing_had_been(
    private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Three nights of one file each, and two buckets of balances: five files are written."""
    written: list[Path] = []
    real = takeover.replace_file

    def dies(path: Path, content: bytes, *, mode: int) -> None:
        if len(written) == write:
            raise KeyboardInterrupt
        real(path, content, mode=mode)
        written.append(path)

    with monkeypatch.context() as crashing:
        crashing.setattr(takeover, "replace_file", dies)
        with pytest.raises(KeyboardInterrupt):
            take_over(store(private).sealed, released=NIGHT, settings=PRIVACY, spent=10.0)
    assert (private / "counted").exists()
    assert take_over(store(private).sealed, released=NIGHT, settings=PRIVACY, spent=10.0)
    after = store(private).balances(tuple(range(8)), after=NIGHT)
    assert after.sort("listener").rows() == [(ANA, NIGHT, *ANAS), (BO, NIGHT, *BOS), (CY, NIGHT, *CYS)]
    assert store(private).scan().collect().filter(pl.col("weight") == FULL).height == 3
    assert len(everything(private)) == 5 + 1


def test_an_erasure_before_the_takeover_leaves_nothing_to_take_over(private: Path) -> None:
    """An erasure need not wait for a night, and a night whose takeover failed carries erasures out all the same."""
    store(private).erase(ANA)
    assert all(ANA.encode() not in content for content in everything(private).values())
    take_over(store(private).sealed, released=NIGHT, settings=PRIVACY, spent=10.0)
    assert all(ANA.encode() not in content for content in everything(private).values())
    assert store(private).balances((1, 2), after=NIGHT)["listener"].sort().to_list() == [BO, CY]


@pytest.mark.parametrize(("spent", "expected"), [(10.0, 2_560), (3.0, 768), (2.001, 513)])
def test_a_night_is_owed_as_the_ledger_has_it_and_never_less(spent: float, expected: int) -> None:
    one = pl.DataFrame({"listener": [ANA], "night": [NIGHT]})
    found = owed(one, last=NIGHT, settings=PRIVACY, spent=spent)
    assert found.rows() == [(ANA, NIGHT, 5_120 - expected, 5_120 - expected)]


def test_the_debt_of_a_year_of_full_nights_keeps_a_listener_out_for_a_while() -> None:
    """Twelve of the last 28 nights: 12 * 2,560 less what 28 nights earned, from a full bucket on."""
    nights = [NIGHT - days * DAY for days in range(12)]
    found = owed(
        pl.DataFrame({"listener": [ANA] * 12, "night": nights}),
        last=NIGHT,
        settings=PRIVACY,
        spent=10.0,
    )
    assert found.select("of_28", "of_365").row(0) == (
        5_120 + 11 * 914 - 12 * 2_560,
        5_120 + 11 * 687 - 12 * 2_560,
    )
