"""The consent log: the latest entry counts, entries are kept, importing twice changes nothing, erasure is exact."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.consent import ConsentLog, Entry, Purpose, State
from recsys.errors import NotReadyError

ANA, BO = "a" * 32, "b" * 32
T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOCAL = Purpose.LOCAL_TRENDS


@pytest.fixture
def log(tmp_path: Path) -> ConsentLog:
    return ConsentLog(tmp_path / "consents.db")


def entry(hours: float, state: State, listener: str = ANA, purpose: Purpose = LOCAL, notice: str = "1") -> Entry:
    return Entry(listener, purpose, state, T0 + hours * HOUR, notice)


def test_the_latest_entry_no_later_than_the_instant_is_the_state(log: ConsentLog) -> None:
    log.append([entry(2, State.WITHDRAWN), entry(1, State.GIVEN), entry(3, State.GIVEN)])
    asked = {hours: log.allows(ANA, LOCAL, at=T0 + hours * HOUR) for hours in (0, 1, 1.5, 2, 2.5, 3, 9)}
    assert asked == {0: False, 1: True, 1.5: True, 2: False, 2.5: False, 3: True, 9: True}


def test_every_purpose_and_every_listener_is_a_switch_of_its_own(log: ConsentLog) -> None:
    log.append([entry(0, State.GIVEN)])
    assert [log.allows(ANA, purpose, at=T0) for purpose in Purpose] == [purpose is LOCAL for purpose in Purpose]
    assert not log.allows(BO, LOCAL, at=T0)


@pytest.mark.parametrize("order", [(State.GIVEN, State.WITHDRAWN), (State.WITHDRAWN, State.GIVEN)])
def test_of_two_entries_of_one_instant_the_withdrawal_counts(log: ConsentLog, order: tuple[State, State]) -> None:
    log.append([entry(1, state, notice=str(i)) for i, state in enumerate(order)])
    assert not log.allows(ANA, LOCAL, at=T0 + HOUR)
    assert list(log.history(LOCAL, until=T0 + HOUR)) == [(ANA, 1_772_323_200_000_000 + 3_600_000_000, False)]


def test_appending_the_same_entries_again_changes_nothing(log: ConsentLog) -> None:
    entries = [entry(1, State.GIVEN), entry(2, State.WITHDRAWN), entry(1, State.GIVEN, BO)]
    assert log.append(entries) == 3
    assert log.append(entries) == 0
    assert log.append([*entries, entry(5, State.GIVEN)]) == 1
    assert len(list(log.history(LOCAL, until=T0 + 9 * HOUR))) == 4


def test_history_ends_with_the_instant_and_comes_in_order(log: ConsentLog) -> None:
    log.append([entry(2, State.GIVEN, BO), entry(3, State.GIVEN), entry(1, State.WITHDRAWN)])
    assert [(who, given) for who, _, given in log.history(LOCAL, until=T0 + 2 * HOUR)] == [(ANA, False), (BO, True)]


@pytest.mark.parametrize("statement", ["UPDATE entries SET state = 'given'", "DELETE FROM entries"])
def test_entries_are_kept(log: ConsentLog, tmp_path: Path, statement: str) -> None:
    log.append([entry(1, State.WITHDRAWN)])
    with (
        closing(sqlite3.connect(tmp_path / "consents.db")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append only"),
    ):
        connection.execute(statement)


def test_forgetting_removes_one_listener_from_every_byte(log: ConsentLog, tmp_path: Path) -> None:
    log.append([entry(hours, State.GIVEN, who) for who in (ANA, BO) for hours in range(50)])
    assert log.forget(ANA) == 50
    assert log.forget(ANA) == 0
    assert not log.allows(ANA, LOCAL, at=T0 + 99 * HOUR)
    assert log.allows(BO, LOCAL, at=T0)
    assert all(ANA.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    test_entries_are_kept(log, tmp_path, "DELETE FROM entries")


def test_a_log_that_is_being_written_by_another_is_not_ready(
    log: ConsentLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    with closing(connect(tmp_path / "consents.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("recsys.consent.sqlite3.connect", lambda path, timeout: connect(path, timeout=0))
        with pytest.raises(NotReadyError, match="locked"):
            log.append([entry(1, State.GIVEN)])


def test_the_log_is_for_its_owner_alone(log: ConsentLog, tmp_path: Path) -> None:
    log.append([entry(1, State.GIVEN)])
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
