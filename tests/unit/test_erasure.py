"""Erasures: nothing of before counts from the moment one was asked for, and what stays names nobody."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.databases import psycopg

from recsys.consents.consent_tables import microseconds
from recsys.consents.log import Channel, ConsentLog, Entry, Purpose, State
from recsys.consents.marks import NEVER, Marks, about
from recsys.errors import NotReadyError

ANA, BO = "a" * 32, "b" * 32
T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOCAL = Purpose.LOCAL_TRENDS


@pytest.fixture
def log(place: Path | str) -> ConsentLog:
    log = ConsentLog(place)
    log.append(Entry(who, LOCAL, State.GIVEN, T0 + hours * HOUR, "1") for who in (ANA, BO) for hours in range(50))
    return log


def test_from_the_moment_it_is_asked_for_nothing_is_known(log: ConsentLog) -> None:
    log.erasures.ask(ANA, at=T0 + 60 * HOUR)
    later = T0 + 61 * HOUR
    assert not log.allows(ANA, LOCAL, at=later)
    assert log.entries(ANA) == []
    assert {who for who, _, _ in log.history(LOCAL, until=later)} == {BO}
    assert log.standings(ANA, at=later) == log.standings("c" * 32, at=later)
    assert log.allows(BO, LOCAL, at=later)


def test_what_is_imported_of_before_does_not_count_and_what_is_decided_afterwards_does(log: ConsentLog) -> None:
    asked = T0 + 60 * HOUR
    receipt = log.erasures.ask(ANA, at=asked)
    old, new = (Entry(ANA, LOCAL, State.GIVEN, at, "1") for at in (asked, asked + HOUR))
    assert log.append([old]) == 1
    assert not log.allows(ANA, LOCAL, at=asked + 9 * HOUR)
    assert log.entries(ANA) == []
    assert {who for who, _, _ in log.history(LOCAL, until=asked + 9 * HOUR)} == {BO}
    assert log.decide(new)
    assert log.allows(ANA, LOCAL, at=asked + 9 * HOUR)
    log.erasures.finish(receipt)
    assert log.entries(ANA) == [new]


def test_it_is_pending_until_it_is_done(log: ConsentLog) -> None:
    receipt = log.erasures.ask(ANA, at=T0)
    assert log.erasures.pending() == [(receipt, ANA)]
    assert (log.erasures.is_done(receipt), log.erasures.concerns(ANA)) == (False, True)
    log.erasures.finish(receipt)
    assert log.erasures.pending() == []
    assert (log.erasures.is_done(receipt), log.erasures.concerns(ANA)) == (True, False)
    log.erasures.finish(receipt)  # again changes nothing
    assert log.erasures.is_done("another") is None
    assert log.erasures.ask(ANA, at=T0 + HOUR) != receipt


def test_who_was_never_seen_is_forgotten_in_the_same_way(log: ConsentLog) -> None:
    receipt = log.erasures.ask("c" * 32, at=T0)
    assert log.erasures.is_done(receipt) is False
    log.erasures.finish(receipt)
    assert log.erasures.is_done(receipt) is True


def test_asking_again_is_the_same_erasure_up_to_the_later_instant(log: ConsentLog) -> None:
    receipts = {log.erasures.ask(ANA, at=T0 + hours * HOUR) for hours in (60, 70, 65)}
    assert len(receipts) == 1
    log.append([Entry(ANA, LOCAL, State.GIVEN, T0 + hours * HOUR, "1") for hours in (70, 71)])
    log.erasures.finish(*receipts)
    assert [entry.at for entry in log.entries(ANA)] == [T0 + 71 * HOUR]


def test_receipts_are_drawn_and_tell_nothing(log: ConsentLog) -> None:
    receipts = [log.erasures.ask(f"{number:032x}", at=T0) for number in range(20)]
    for receipt in receipts:
        log.erasures.finish(receipt)
    again = [log.erasures.ask(f"{number:032x}", at=T0) for number in range(20)]
    assert len({*receipts, *again}) == 40
    assert {len(receipt) for receipt in receipts} == {32}


def test_a_listener_is_gone_from_every_byte(tmp_path: Path) -> None:
    log = ConsentLog(tmp_path / "consents.db")
    log.append(Entry(who, LOCAL, State.GIVEN, T0 + hours * HOUR, "1") for who in (ANA, BO) for hours in range(50))
    receipt = log.erasures.ask(ANA, at=T0)
    assert any(ANA.encode() in path.read_bytes() for path in tmp_path.iterdir())  # the list of what is to be done
    log.erasures.finish(receipt)
    assert all(ANA.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert log.allows(BO, LOCAL, at=T0)


def test_it_is_not_done_while_somebody_reads_what_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.consents.database._PATIENCE", 0)
    log = ConsentLog(tmp_path / "consents.db")
    log.append(Entry(ANA, LOCAL, State.GIVEN, T0 + hours * HOUR, "1") for hours in range(50))
    reading = log.history(LOCAL, until=T0 + 99 * HOUR)
    next(reading)
    receipt = log.erasures.ask(ANA, at=T0 + 99 * HOUR)
    with pytest.raises(NotReadyError, match="being read"):
        log.erasures.finish(receipt)
    assert log.erasures.is_done(receipt) is False
    assert log.erasures.pending() == [(receipt, None)]  # only the disk still knows whom it was about
    reading.close()
    log.erasures.finish(receipt)
    assert log.erasures.is_done(receipt) is True
    assert all(ANA.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_in_postgresql_no_table_holds_the_listener(postgresql: Any) -> None:
    url = postgresql.new_database()
    log = ConsentLog(url)
    log.append([Entry(ANA, LOCAL, State.GIVEN, T0, "1")])
    log.erasures.finish(log.erasures.ask(ANA, at=T0))
    with psycopg.connect(url) as connection:
        rows = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("entries", "erasures")]
    assert ANA not in str(rows)
    assert len(rows[1]) == 1


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path / "marks.db", key=bytes(32))


def given_at(*hours: float, who: str = ANA, channel: Channel = Channel.IMPORT) -> list[Entry]:
    return [Entry(who, LOCAL, State.GIVEN, T0 + each * HOUR, "1", channel) for each in hours]


def test_nothing_of_before_is_taken_in_again_once_it_is_done(place: Path | str, marks: Marks) -> None:
    log = ConsentLog(place, marks=marks)
    log.append([*given_at(1), *given_at(1, who=BO)])
    log.erasures.finish(log.erasures.ask(ANA, at=T0 + 2 * HOUR))
    assert log.append([*given_at(1, 2, channel=Channel.IMPORT), *given_at(1, 3, who=BO)]) == 1
    assert log.append(given_at(0.5, channel=Channel.API)) == 0  # whichever way it is said to have come
    assert (log.entries(ANA), log.allows(BO, LOCAL, at=T0 + 9 * HOUR)) == ([], True)
    assert log.append(given_at(2.5)) == 1  # who comes back is welcome


def test_a_log_of_before_brings_nobody_back(tmp_path: Path, place: Path | str, marks: Marks) -> None:
    """The log is restored, or another one is used: what it holds of before the erasure does not count."""
    ConsentLog(tmp_path / "of-now.db", marks=marks).erasures.ask(ANA, at=T0 + 2 * HOUR)
    ConsentLog(place).append([*given_at(1, 2), *given_at(1, who=BO)])
    log = ConsentLog(place, marks=marks)
    later = T0 + 9 * HOUR
    assert not log.allows(ANA, LOCAL, at=later)
    assert not log.choices(ANA, at=later).place
    assert log.entries(ANA) == []
    assert {who for who, _, _ in log.history(LOCAL, until=later)} == {BO}
    assert log.decide(given_at(4, channel=Channel.API)[0])
    assert [entry.at for entry in log.entries(ANA)] == [T0 + 4 * HOUR]


def test_what_a_restored_log_holds_is_erased_again(tmp_path: Path, place: Path | str, marks: Marks) -> None:
    ConsentLog(tmp_path / "of-now.db", marks=marks).erasures.ask(ANA, at=T0 + 2 * HOUR)
    ConsentLog(place).append([*given_at(1, 4), *given_at(1, who=BO)])
    log = ConsentLog(place, marks=marks)
    assert log.erasures.again() == 1
    ((receipt, listener),) = log.erasures.pending()
    assert listener == ANA
    log.erasures.finish(receipt)
    assert [entry.at for entry in ConsentLog(place).entries(ANA)] == [T0 + 4 * HOUR]  # given anew: it stays
    assert log.erasures.again() == 0


def test_an_erasure_that_another_server_was_asked_for_leaves_its_mark_here(place: Path | str, marks: Marks) -> None:
    ConsentLog(place).erasures.ask(ANA, at=T0 + 2 * HOUR)
    ConsentLog(place, marks=marks).erasures.again()
    assert marks.of(ANA) == microseconds(T0 + 2 * HOUR)


def test_a_mark_names_nobody_and_expires(tmp_path: Path, marks: Marks) -> None:
    assert marks.of(ANA) == NEVER
    for hours in (2, 1):
        marks.record(ANA, at=T0 + hours * HOUR)
    assert marks.of(ANA) == marks.known()(ANA) == microseconds(T0 + 2 * HOUR)
    assert Marks(tmp_path / "marks.db", key=b"1" * 32).of(ANA) == NEVER
    assert marks.of(BO) == marks.known()(BO) == NEVER
    assert all(ANA.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    marks.expire(before=T0 + 2 * HOUR)
    assert marks.of(ANA) != NEVER
    marks.expire(before=T0 + 3 * HOUR)
    marks.scrub()
    assert marks.of(ANA) == NEVER
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


@pytest.mark.parametrize("told_at_once", [True, False])
def test_the_witness_brings_the_marks_of_a_restored_workspace_back(
    tmp_path: Path, place: Path | str, *, told_at_once: bool
) -> None:
    """The witness is a file, or PostgreSQL where the log is; ``place`` is one of both."""
    marks = Marks(tmp_path / "marks.db", key=bytes(32), witness=place if told_at_once else None)
    marks.record(ANA, at=T0 + 2 * HOUR)
    marks.record(about(BO, LOCAL), at=T0 + HOUR)
    Marks(tmp_path / "marks.db", key=bytes(32), witness=place).share()
    restored = Marks(tmp_path / "restored.db", key=bytes(32), witness=place)
    restored.record(about(BO, LOCAL), at=T0)
    assert restored.of(ANA) == NEVER
    restored.share()
    assert restored.of(ANA) == microseconds(T0 + 2 * HOUR)
    assert restored.of(about(BO, LOCAL)) == microseconds(T0 + HOUR)
    restored.expire(before=T0 + 9 * HOUR)
    emptied = Marks(tmp_path / "emptied.db", key=bytes(32), witness=place)
    emptied.share()
    assert emptied.of(ANA) == NEVER


def test_a_witness_that_is_not_at_hand_keeps_no_withdrawal_from_counting(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "marks.db", key=bytes(32), witness=tmp_path / "gone" / "witness.db")
    marks.record(ANA, at=T0 + HOUR)
    assert marks.of(ANA) == microseconds(T0 + HOUR)
    with pytest.raises(NotReadyError):
        marks.share()


def test_a_log_of_before_brings_nothing_back_that_was_withdrawn(
    tmp_path: Path, place: Path | str, marks: Marks
) -> None:
    now, later = ConsentLog(tmp_path / "of-now.db", marks=marks), T0 + 9 * HOUR
    now.append(given_at(1))
    now.decide(Entry(ANA, LOCAL, State.WITHDRAWN, T0 + 3 * HOUR, "1", Channel.API))
    ConsentLog(place).append([*given_at(1), Entry(ANA, Purpose.PERSONALISATION, State.GIVEN, T0, "1")])
    log = ConsentLog(place, marks=marks)
    assert log.append(given_at(2, 3)) == 0  # nor does a file
    assert not log.allows(ANA, LOCAL, at=later)
    assert log.choices(ANA, at=later)[:2] == (False, True)  # the other purpose stands
    assert log.standings(ANA, at=later)[LOCAL].state == State.WITHDRAWN
    assert [given for _, _, given in log.history(LOCAL, until=later)] == [True, False]
    assert log.decide(given_at(4, channel=Channel.API)[0])  # who gives again is believed
    assert log.allows(ANA, LOCAL, at=later)
    assert log.standings(ANA, at=later)[LOCAL].state == State.GIVEN
    assert [given for _, _, given in log.history(LOCAL, until=later)] == [True, False, True]


def test_an_erasure_takes_the_marks_of_withdrawals_away(tmp_path: Path, place: Path | str, marks: Marks) -> None:
    log = ConsentLog(place, marks=marks)
    log.decide(Entry(ANA, LOCAL, State.WITHDRAWN, T0 + 3 * HOUR, "1", Channel.API))
    assert marks.of(about(ANA, LOCAL)) != NEVER
    log.erasures.ask(ANA, at=T0 + 4 * HOUR)
    assert marks.of(about(ANA, LOCAL)) == NEVER
    assert marks.of(ANA) == microseconds(T0 + 4 * HOUR)
