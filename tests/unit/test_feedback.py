"""Feedback beside the consent log: kept while it is allowed, gone with the switch and with the listener."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys.consents.database import Database
from recsys.consents.feedback import Told
from recsys.consents.log import Channel, Choices, ConsentLog, Entry, Purpose, State
from recsys.consents.marks import Marks
from recsys.errors import ConsentError, InputError

ANA, BO = "a" * 32, "b" * 32
T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
NIGHT, HOUR, LATER = date(2026, 2, 28), timedelta(hours=1), T0 + timedelta(days=9)
GIVEN, WITHDRAWN = State.GIVEN, State.WITHDRAWN


def entry(hours: int, state: State = GIVEN, *, who: str = ANA, notice: str = "1", **more: Any) -> Entry:
    return Entry(who, Purpose.FEEDBACK, state, T0 + hours * HOUR, notice, more.get("channel", Channel.API))


@pytest.fixture
def log(place: Path | str) -> ConsentLog:
    found = ConsentLog(place)
    found.append([entry(0), entry(0, who=BO)])
    return found


def tell(log: ConsentLog, who: str = ANA, *, night: date = NIGHT, rivals: str = "", **told: Any) -> None:
    log.tell(who, Told(night, rivals=rivals, **told), at=LATER, most_hidden=3, most_played=3)


def kept(log: ConsentLog, who: str = ANA) -> list[tuple[str, str]]:
    return sorted((kind, track) for kind, _, track, _ in log.feedback.told(who))


def test_what_is_told_is_kept_once(log: ConsentLog) -> None:
    for _ in range(2):
        tell(log, played={"p": None, "q": "challenger"}, hidden=["h"], rivals="r")
    assert list(log.feedback.told(ANA)) == [
        ("hidden", NIGHT, "h", None),
        ("played", NIGHT, "p", None),
        ("played", NIGHT, "q", "challenger"),
    ]
    assert list(log.feedback.told(BO)) == []
    assert [(each.track, each.team) for each in log.feedback.of_rivals("r")] == [("q", "challenger")]


def test_what_is_hidden_is_the_listeners_own_until_shown_again(log: ConsentLog) -> None:
    tell(log, hidden=["x", "y"])
    assert log.choices(ANA, at=LATER) == Choices(place=False, plays=False, feedback=True, hidden=frozenset({"x", "y"}))
    assert log.choices(BO, at=LATER).hidden == frozenset()
    tell(log, shown=["x", "never hidden"])
    assert log.choices(ANA, at=LATER).hidden == {"y"}


def test_nothing_is_kept_of_who_never_allowed_it_or_not_any_more(log: ConsentLog) -> None:
    with pytest.raises(ConsentError):
        tell(log, "c" * 32, hidden=["x"])
    log.decide(entry(1, WITHDRAWN))
    with pytest.raises(ConsentError):
        tell(log, hidden=["x"])
    assert log.feedback.listeners() == []


def test_a_withdrawal_takes_all_of_it_along_and_nobody_elses(log: ConsentLog) -> None:
    for who in (ANA, BO):
        tell(log, who, played={"p": None}, hidden=["h"])
    log.decide(Entry(ANA, Purpose.PERSONALISATION, WITHDRAWN, T0 + HOUR, "1"))  # another switch changes nothing
    assert kept(log) == [("hidden", "h"), ("played", "p")]
    log.decide(entry(2, WITHDRAWN))
    assert (kept(log), kept(log, BO)) == ([], [("hidden", "h"), ("played", "p")])
    log.decide(entry(3))
    assert log.choices(ANA, at=LATER).hidden == frozenset()  # who comes back begins with nothing


def test_a_withdrawal_by_a_file_counts_at_once_and_is_carried_out_by_the_night(log: ConsentLog) -> None:
    for who in (ANA, BO):
        tell(log, who, hidden=["h"])
    log.append([entry(1, WITHDRAWN, channel=Channel.IMPORT)])
    assert log.choices(ANA, at=LATER) == Choices(place=False, plays=False)
    assert log.forget_feedback(at=LATER) == 1
    assert (kept(log), kept(log, BO)) == ([], [("hidden", "h")])
    log.append([entry(2, WITHDRAWN, who=BO, channel=Channel.IMPORT)])
    log.decide(entry(3, who=BO))  # back before the night came
    assert log.choices(BO, at=LATER) == Choices(place=False, plays=False, feedback=True)


def test_under_a_notice_that_is_not_in_force_it_waits_unused(log: ConsentLog, place: Path | str) -> None:
    tell(log, hidden=["h"])
    newer = ConsentLog(place, notices=["2"])
    assert newer.choices(ANA, at=LATER) == Choices(place=False, plays=False)
    with pytest.raises(ConsentError):
        tell(newer, hidden=["x"])
    assert newer.forget_feedback(at=LATER) == 0
    newer.decide(entry(1, notice="2"))
    assert newer.choices(ANA, at=LATER).hidden == {"h"}


def test_too_much_is_refused_or_forgotten_and_never_half_kept(log: ConsentLog) -> None:
    tell(log, hidden=["a", "b", "c"])
    with pytest.raises(InputError, match="more than 3 tracks"):
        tell(log, hidden=["d"], played={"p": None})
    assert kept(log) == [("hidden", "a"), ("hidden", "b"), ("hidden", "c")]
    tell(log, hidden=["d"], shown=["a"])
    for day in range(4):
        tell(log, night=NIGHT + timedelta(days=day), played={"p": None})
    assert [night.day for kind, night, *_ in log.feedback.told(ANA) if kind == "played"] == [1, 2, 3]


def test_what_was_played_expires_and_what_is_hidden_stays(log: ConsentLog) -> None:
    tell(log, played={"p": None}, hidden=["h"])
    tell(log, night=NIGHT + timedelta(days=1), played={"q": None})
    assert log.feedback.expire(NIGHT + timedelta(days=1)) == 1
    assert kept(log) == [("hidden", "h"), ("played", "q")]


def test_an_erasure_takes_it_off_the_disk(log: ConsentLog, place: Path | str) -> None:
    tell(log, played={"canary-one": None}, hidden=["canary-two"])
    receipt = log.erasures.ask(ANA, at=LATER)
    assert log.feedback.listeners() == []
    log.decide(entry(300))  # who comes back before the erasure is done tells anew, and keeps it
    log.tell(ANA, Told(NIGHT, hidden=["h"]), at=T0 + 301 * HOUR, most_hidden=3, most_played=3)
    log.erasures.finish(receipt)
    assert kept(log) == [("hidden", "h")]
    if isinstance(place, Path):
        assert not any(b"canary" in file.read_bytes() for file in place.parent.glob("consents.db*"))


def test_a_restored_log_brings_no_feedback_back_of_who_was_erased(tmp_path: Path, place: Path | str) -> None:
    marks = Marks(tmp_path / "marks.db", key=bytes(32))
    log = ConsentLog(place, marks=marks)
    log.append([entry(0), entry(0, who=BO)])
    tell(log, hidden=["h"])
    marks.record(ANA, at=LATER)  # by the log that was lost
    assert log.choices(ANA, at=LATER) == Choices(place=False, plays=False)
    assert log.erasures.again() == 1
    assert log.feedback.listeners() == []


@pytest.mark.parametrize("version", [3, 4])
def test_a_log_from_before_there_was_feedback_gets_its_tables(tmp_path: Path, version: int) -> None:
    ConsentLog(tmp_path / "consents.db").append([entry(0)])
    with closing(sqlite3.connect(tmp_path / "consents.db")) as before, before:
        before.executescript(f"DROP TABLE hidden; DROP TABLE played; PRAGMA user_version = {version}")
    log = ConsentLog(tmp_path / "consents.db")
    tell(log, hidden=["h"])
    assert log.choices(ANA, at=LATER).hidden == {"h"}


def test_a_postgresql_log_from_before_there_was_feedback_gets_its_tables(request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue("postgresql").new_database()
    ConsentLog(place).append([entry(0)])
    with Database(place).writing() as connection:
        connection.exec_driver_sql("DROP TABLE hidden, played")
    tell(ConsentLog(place), hidden=["h"])
    assert kept(ConsentLog(place)) == [("hidden", "h")]
