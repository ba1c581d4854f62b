import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.releasing import NIGHT, NOW

from recsys.errors import InputError, NotReadyError, PrivacyBudgetError
from recsys.releases.budget.ledger import Ledger, Spend

SPEND = Spend(
    night=NIGHT,
    purpose="charts",
    rho=0.015,
    sensitivity_squared=10.0,
    tiers={"part": {"rho": 0.015, "sigma_squared": 10 / 0.03}},
    rows="p",
    parameters={"atlas": "a", "candidates": 20},
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


def test_a_ledger_of_before_versions_is_taken_over_and_one_of_a_later_release_is_not(tmp_path: Path) -> None:
    file = tmp_path / "versions.db"
    Ledger(file)
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        database.execute("PRAGMA user_version = 0")
    Ledger(file)
    for change, said in (("PRAGMA user_version = 2", "of version 2"), ("ALTER TABLE releases ADD x", "1 unknown")):
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("PRAGMA user_version = 1")
            database.execute(change)
        with pytest.raises(InputError, match=said):
            Ledger(file)


def test_an_entry_is_on_disk_when_commit_returns(tmp_path: Path, ledger: Ledger) -> None:
    entry = ledger.commit(SPEND, at=NOW)
    assert (entry.number, entry.spend, entry.at, entry.release) == (1, SPEND, NOW, None)
    other = sqlite3.connect(tmp_path / "ledger.db")
    assert other.execute("SELECT number, night, rho FROM entries").fetchall() == [(1, "2026-10-01", 0.015)]
    other.close()
    assert Ledger(tmp_path / "ledger.db").entries() == [entry]


def test_only_the_owner_may_read_it(tmp_path: Path, ledger: Ledger) -> None:
    ledger.commit(SPEND, at=NOW)
    for file in tmp_path.glob("ledger.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_same_spend_again_is_the_same_entry(ledger: Ledger) -> None:
    first = ledger.commit(SPEND, at=NOW)
    assert ledger.commit(SPEND, at=NOW + timedelta(days=1)) == first
    assert len(ledger.entries()) == 1


def test_nights_and_purposes_are_entries_of_their_own(ledger: Ledger) -> None:
    ledger.commit(SPEND, at=NOW)
    ledger.commit(replace(SPEND, night=NIGHT + timedelta(days=1)), at=NOW)
    ledger.commit(replace(SPEND, purpose="partner"), at=NOW)
    assert [entry.number for entry in ledger.entries()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"rho": 0.02}, "rho"),
        ({"sensitivity_squared": 9.0}, "sensitivity_squared"),
        ({"tiers": {"part": {"rho": 0.015, "sigma_squared": 1.0}}}, "tiers"),
        ({"rows": "q"}, "rows"),
        ({"parameters": {"atlas": "b", "candidates": 20}}, "atlas"),
        ({"parameters": {"atlas": "a"}}, "candidates"),
    ],
)
def test_another_spend_for_the_same_night_is_refused(ledger: Ledger, changed: dict[str, object], named: str) -> None:
    ledger.commit(SPEND, at=NOW)
    with pytest.raises(PrivacyBudgetError, match=f"another {named};") as refused:
        ledger.commit(replace(SPEND, **changed), at=NOW)  # type: ignore[arg-type]
    assert refused.value.exit_code == 77
    assert refused.value.hint
    assert [entry.spend for entry in ledger.entries()] == [SPEND]


def test_a_night_that_was_released_is_not_paid_for_again(ledger: Ledger) -> None:
    entry = ledger.commit(SPEND, at=NOW)
    ledger.complete(entry.number, release="abc", at=NOW)
    ledger.complete(entry.number, release="abc", at=NOW)
    assert ledger.find(NIGHT, purpose="charts") == replace(entry, release="abc")
    with pytest.raises(PrivacyBudgetError, match="released already") as refused:
        ledger.commit(SPEND, at=NOW)
    assert "Restore" in refused.value.hint
    with pytest.raises(PrivacyBudgetError, match="another release"):
        ledger.complete(entry.number, release="other", at=NOW)


def period(first: int, last: int) -> Spend:
    start = str(NIGHT + timedelta(days=first))
    return replace(SPEND, purpose="partner", night=NIGHT + timedelta(days=last), parameters={"from": start})


@pytest.mark.parametrize(("first", "last"), [(0, 9), (5, 6), (9, 20), (-5, 0), (-5, 20), (1, 9), (0, 8), (9, 9)])
def test_a_night_is_in_one_period_at_most(ledger: Ledger, first: int, last: int) -> None:
    ledger.commit(period(0, 9), at=NOW)
    ledger.commit(SPEND, at=NOW)  # another purpose does not matter
    if (first, last) == (0, 9):
        assert ledger.commit(period(0, 9), at=NOW).number == 1
        return
    with pytest.raises(PrivacyBudgetError, match="has nights in common with the period 2026-10-01 to 2026-10-10") as no:
        ledger.commit(period(first, last), at=NOW)
    assert no.value.hint == "Begin after 2026-10-10, or end before 2026-10-01."
    assert len(ledger.entries()) == 2


def test_periods_beside_each_other_are_entries_of_their_own(ledger: Ledger) -> None:
    for first, last in ((10, 19), (0, 9), (20, 20)):
        ledger.commit(period(first, last), at=NOW)
    assert [str(entry.spend.first) for entry in ledger.entries()] == ["2026-10-11", "2026-10-01", "2026-10-21"]
    assert SPEND.first == SPEND.night


def test_a_night_that_nothing_can_finish_can_be_left_out(ledger: Ledger) -> None:
    ledger.commit(SPEND, at=NOW)
    ledger.commit(period(0, 9), at=NOW)
    with pytest.raises(PrivacyBudgetError) as night:
        ledger.commit(replace(SPEND, rho=1.0), at=NOW)
    assert "`hearabouts nightly --skip 2026-10-01`" in night.value.hint
    with pytest.raises(PrivacyBudgetError) as whole:
        ledger.commit(replace(period(0, 9), rho=1.0), at=NOW)
    assert "--skip" not in whole.value.hint


COLUMNS = "night, purpose, 0.001, 1, tiers, rows, parameters, at"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET rho = 0.001",
        "DELETE FROM entries",
        f"INSERT OR REPLACE INTO entries SELECT number, {COLUMNS} FROM entries",
        f"INSERT OR REPLACE INTO entries SELECT 9, {COLUMNS} FROM entries",
        "UPDATE releases SET digest = 'x'",
        "DELETE FROM releases",
        "INSERT OR REPLACE INTO releases VALUES (1, 'x', 'y')",
    ],
)
def test_what_was_written_stays(tmp_path: Path, ledger: Ledger, statement: str) -> None:
    ledger.complete(ledger.commit(SPEND, at=NOW).number, release="abc", at=NOW)
    before = ledger.entries()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    with pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute(statement)
    connection.close()
    assert ledger.entries() == before


def test_without_a_readable_ledger_nothing_is_spent(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database " * 1000)
    with pytest.raises(PrivacyBudgetError, match="cannot be read"):
        Ledger(tmp_path / "ledger.db")


def test_a_ledger_in_use_is_tried_again_later(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout: connect(path, timeout=0))
    with pytest.raises(NotReadyError):
        ledger.commit(SPEND, at=NOW)
    other.close()
