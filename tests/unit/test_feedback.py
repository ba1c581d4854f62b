"""Feedback beside the consent log: kept while it is allowed, gone with the switch and with the listener."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from recsys.consents.belongings import BELONGINGS, Belongings
from recsys.consents.consent_tables import ENTRIES, PLAYED, microseconds
from recsys.consents.database import Database
from recsys.consents.feedback import Told
from recsys.consents.log import Channel, Choices, ConsentLog, Entry, Purpose, State
from recsys.consents.marks import Marks, about
from recsys.errors import ConsentError, InputError, NotReadyError

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
        tell(log, played={"p": "champion", "q": "challenger"}, hidden=["h"], rivals="r")
    assert log.told(ANA) == [
        ("hidden", NIGHT, "h", None),
        ("played", NIGHT, "p", "champion"),
        ("played", NIGHT, "q", "challenger"),
    ]
    assert log.told(BO) == []
    assert {(each.track, each.team) for each in log.feedback.of_rivals("r")} == {("p", "champion"), ("q", "challenger")}
    assert log.feedback.of_rivals("") == []


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
    assert log.belongings.owners("feedback") == []


def test_a_withdrawal_takes_all_of_it_along_and_nobody_elses(log: ConsentLog) -> None:
    for who in (ANA, BO):
        tell(log, who, played={"p": "champion"}, hidden=["h"])
    log.decide(Entry(ANA, Purpose.PERSONALISATION, WITHDRAWN, T0 + HOUR, "1"))  # another switch changes nothing
    assert kept(log) == [("hidden", "h"), ("played", "p")]
    log.decide(entry(2, WITHDRAWN))
    assert (kept(log), kept(log, BO)) == ([], [("hidden", "h"), ("played", "p")])
    log.decide(entry(3))
    assert log.choices(ANA, at=LATER).hidden == frozenset()  # who comes back begins with nothing


def by_file(log: ConsentLog, *entries: Entry) -> None:
    log.append([replace(each, channel=Channel.IMPORT) for each in entries])


def test_a_withdrawal_by_a_file_takes_all_of_it_along_and_nobody_elses(log: ConsentLog) -> None:
    for who in (ANA, BO):
        tell(log, who, played={"p": "champion"}, hidden=["h"])
    by_file(log, Entry(ANA, Purpose.PERSONALISATION, WITHDRAWN, T0 + HOUR, "1"))  # another switch changes nothing
    assert kept(log) == [("hidden", "h"), ("played", "p")]
    by_file(log, entry(1, WITHDRAWN))
    assert log.choices(ANA, at=LATER) == Choices(place=False, plays=False)
    assert (kept(log), kept(log, BO)) == ([], [("hidden", "h"), ("played", "p")])


@pytest.mark.parametrize(
    "entries",
    [
        [entry(1, WITHDRAWN), entry(2)],
        [entry(2), entry(1, WITHDRAWN)],
        [entry(2), entry(2, WITHDRAWN), entry(3)],
        [entry(1, WITHDRAWN), entry(400)],  # of the future, in which nobody knows what will be allowed
    ],
    ids=["in order", "the other way round", "at one instant", "given for later"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_who_withdraws_and_comes_back_by_a_file_begins_with_nothing(
    log: ConsentLog, entries: list[Entry], at_once: bool
) -> None:
    tell(log, hidden=["h"])
    if at_once:
        by_file(log, *entries)
    else:
        for each in entries:
            by_file(log, each)
    assert kept(log) == []


def test_a_file_that_is_read_again_or_tells_of_before_forgets_nothing(log: ConsentLog) -> None:
    tell(log, hidden=["h"])
    for _ in range(2):
        by_file(log, entry(-9), entry(-8, WITHDRAWN), entry(-7), entry(0), entry(5, notice="2"))
    assert kept(log) == [("hidden", "h")]
    assert log.forget_where_off() == 0


def test_a_withdrawal_that_the_log_has_already_leaves_nothing_either(log: ConsentLog) -> None:
    """As by a file of before there was anything to forget at once."""
    tell(log, hidden=["h"])
    row = {"listener": ANA, "purpose": "feedback", "state": "withdrawn", "notice_version": "1", "channel": "import"}
    with log._database.writing() as connection:
        connection.execute(sa.insert(ENTRIES).values(at=microseconds(T0 + HOUR), **row))
    assert kept(log) == [("hidden", "h")]
    assert not log.decide(entry(2, WITHDRAWN))
    assert kept(log) == []


def test_a_consent_by_a_clock_that_runs_behind_forgets_nothing(log: ConsentLog) -> None:
    """Two servers, the second of which is an hour late: the same request to both."""
    tell(log, hidden=["h"])
    assert log.decide(entry(-1))
    assert kept(log) == [("hidden", "h")]
    log.decide(entry(-2, WITHDRAWN))
    log.decide(entry(4))
    tell(log, hidden=["x"])
    log.decide(entry(3))  # after the withdrawal, before the consent
    assert kept(log) == [("hidden", "x")]


def test_a_night_keeps_what_was_told_by_who_gave_it_meanwhile(log: ConsentLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the night began, or between its look at everybody and its look at the one."""
    cleo, real = "c" * 32, Belongings._forget
    log.decide(entry(9_000, who=cleo))  # as if the night had begun long before
    log.tell(cleo, Told(NIGHT, hidden=["h"]), at=T0 + 9_001 * HOUR, most_hidden=3, most_played=3)
    assert log.forget_where_off() == 0
    tell(log, hidden=["h"])
    log._database.read = lambda *given, read=log._database.read: [*read(*given), ("d" * 32,)]  # who tells in a moment

    def just_after(kept: Belongings, who: str, *of: Any, **by: Any) -> bool:
        gives(log, who)
        return real(kept, who, *of, **by)

    monkeypatch.setattr(Belongings, "_forget", just_after)
    assert log.forget_where_off() == 0
    assert (kept(log, cleo), kept(log, "d" * 32)) == ([("hidden", "h")], [("hidden", "late")])


def gives(log: ConsentLog, who: str) -> None:
    del log._database.read
    log.decide(entry(2, who=who))
    tell(log, who, hidden=["late"])


def test_a_night_forgets_of_a_restored_log_what_was_withdrawn(tmp_path: Path, place: Path | str) -> None:
    marks = Marks(tmp_path / "marks.db", key=bytes(32))
    log = ConsentLog(place, marks=marks)
    log.append([entry(0), entry(0, who=BO)])
    for who in (ANA, BO):
        tell(log, who, hidden=["h"])
    marks.record(about(ANA, Purpose.FEEDBACK), at=T0 + HOUR)  # by the log that was lost
    assert (log.told(ANA), len(log.told(BO))) == ([], 1)  # nor does an export show it
    assert log.forget_where_off() == 1
    assert (kept(log), kept(log, BO)) == ([], [("hidden", "h")])


def test_who_comes_back_to_a_restored_log_begins_with_nothing(tmp_path: Path, place: Path | str) -> None:
    marks = Marks(tmp_path / "marks.db", key=bytes(32))
    log = ConsentLog(place, marks=marks)
    log.append([entry(0), entry(0, who=BO)])
    for who in (ANA, BO):
        tell(log, who, hidden=["h"])
        marks.record(about(who, Purpose.FEEDBACK), at=T0 + HOUR)
    by_file(log, entry(2))
    log.decide(entry(2, who=BO))
    assert (kept(log), kept(log, BO)) == ([], [])
    tell(log, hidden=["x"])
    assert log.forget_where_off() == 0
    by_file(log, entry(2), entry(3))
    assert kept(log) == [("hidden", "x")]


def test_the_night_asks_once_for_everybody(log: ConsentLog) -> None:
    many = [f"{number:032x}" for number in range(50)]
    log.append([entry(0, who=who) for who in many])
    for who in many:
        tell(log, who, hidden=["h"])
    asked: list[str] = []
    for name in ("_read", "stream"):
        real = getattr(log._database, name)
        setattr(log._database, name, lambda *given, real=real: (asked.append(given[0]), real(*given))[1])
    assert log.forget_where_off() == 0
    assert len(asked) == 1 + len(BELONGINGS)


def test_under_a_notice_that_is_not_in_force_it_waits_unused(log: ConsentLog, place: Path | str) -> None:
    tell(log, hidden=["h"])
    newer = ConsentLog(place, notices=["2"])
    assert newer.choices(ANA, at=LATER) == Choices(place=False, plays=False)
    with pytest.raises(ConsentError):
        tell(newer, hidden=["x"])
    assert newer.forget_where_off() == 0
    newer.decide(entry(1, notice="2"))
    assert newer.choices(ANA, at=LATER).hidden == {"h"}


def test_too_much_is_refused_or_forgotten_and_never_half_kept(log: ConsentLog) -> None:
    tell(log, hidden=["a", "b", "c"])
    with pytest.raises(InputError, match="more than 3 tracks"):
        tell(log, hidden=["d"], played={"p": "champion"})
    assert kept(log) == [("hidden", "a"), ("hidden", "b"), ("hidden", "c")]
    tell(log, hidden=["d"], shown=["a"])
    for day in range(4):
        tell(log, night=NIGHT + timedelta(days=day), played={"p": "champion"})
    assert [night.day for kind, night, *_ in log.feedback.told(ANA) if kind == "played"] == [1, 2, 3]


def test_what_was_played_expires_and_what_is_hidden_stays(log: ConsentLog) -> None:
    tell(log, played={"p": "champion"}, hidden=["h"])
    tell(log, night=NIGHT + timedelta(days=1), played={"q": "champion"})
    assert log.feedback.expire(NIGHT + timedelta(days=1)) == 1
    assert kept(log) == [("hidden", "h"), ("played", "q")]


def test_plays_of_before_that_are_nobodys_credit_go(log: ConsentLog) -> None:
    """Once they were kept, too: they said nothing about two rankers."""
    row = {"listener": ANA, "night": NIGHT.isoformat(), "track": "p", "team": None, "rivals": ""}
    with log._database.writing() as connection:
        connection.execute(sa.insert(PLAYED).values(row))
    assert log.feedback.expire(NIGHT) == 1
    assert kept(log) == []


def test_what_was_deleted_is_off_the_disk_once_it_is_scrubbed(tmp_path: Path) -> None:
    """Whoever deleted it, and also where nobody's is left to be deleted."""
    log = ConsentLog(tmp_path / "consents.db")
    log.append([entry(0)])
    tell(log, hidden=["canary"])
    log.decide(entry(1, WITHDRAWN))
    with closing(sqlite3.connect(tmp_path / "consents.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM hidden").fetchall()
        with pytest.raises(NotReadyError):
            log.scrub()
    assert log.forget_where_off() == 0
    log.scrub()
    assert not any(b"canary" in file.read_bytes() for file in tmp_path.glob("consents.db*"))


def test_an_erasure_takes_it_off_the_disk(log: ConsentLog, place: Path | str) -> None:
    tell(log, played={"canary-one": "champion"}, hidden=["canary-two"])
    receipt = log.erasures.ask(ANA, at=LATER)
    assert log.belongings.owners("feedback") == []
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
    assert log.belongings.owners("feedback") == []


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
