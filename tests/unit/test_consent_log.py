"""The consent log, in both databases: the latest entry counts, entries are kept, and the same twice changes nothing."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.databases import psycopg

from recsys.consents import database
from recsys.consents.log import Channel, ConsentLog, Entry, Purpose, State, consent_log
from recsys.consents.marks import Marks
from recsys.errors import InputError, NotReadyError, SettingsError
from recsys.settings import load_settings
from recsys.workspace import Workspace

ANA, BO = "a" * 32, "b" * 32
T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOCAL = Purpose.LOCAL_TRENDS
GIVEN, WITHDRAWN = State.GIVEN, State.WITHDRAWN


@pytest.fixture
def log(place: Path | str) -> ConsentLog:
    return ConsentLog(place)


def entry(
    hours: float,
    state: State,
    listener: str = ANA,
    purpose: Purpose = LOCAL,
    notice: str = "1",
    channel: Channel = Channel.API,
) -> Entry:
    return Entry(listener, purpose, state, T0 + hours * HOUR, notice, channel)


def at_once(count: int, action: Callable[[int], object]) -> None:
    """Do something in many threads that start together; what fails in one of them fails here."""
    start = threading.Barrier(count)

    def wait_and_act(number: int) -> None:
        start.wait()
        action(number)

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(wait_and_act, range(count)))


@contextmanager
def opened(place: Path | str) -> Iterator[Any]:
    """A connection that knows nothing of us."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as connection:
            yield connection
    else:
        with psycopg.connect(place) as connection:
            yield connection


def test_the_latest_entry_no_later_than_the_instant_is_the_state(log: ConsentLog) -> None:
    log.append([entry(2, WITHDRAWN), entry(1, GIVEN), entry(3, GIVEN)])
    asked = {hours: log.allows(ANA, LOCAL, at=T0 + hours * HOUR) for hours in (0, 2, 2.5, 3, 9)}
    assert asked == {0: False, 2: False, 2.5: False, 3: True, 9: True}


def test_no_clock_that_is_behind_makes_a_withdrawal_wait(log: ConsentLog) -> None:
    log.append([entry(1, GIVEN), entry(24, WITHDRAWN), entry(25, GIVEN)])
    for hours in (0, 1, 2, 24):
        assert not log.allows(ANA, LOCAL, at=T0 + hours * HOUR)
        assert not log.choices(ANA, at=T0 + hours * HOUR).place
        assert log.standings(ANA, at=T0 + hours * HOUR)[LOCAL].state == WITHDRAWN
        assert not [given for _, _, given in log.history(LOCAL, until=T0 + hours * HOUR)][-1]
    assert log.allows(ANA, LOCAL, at=T0 + 25 * HOUR)
    assert not log.allows(BO, LOCAL, at=T0)


def test_every_purpose_and_every_listener_is_a_switch_of_its_own(log: ConsentLog) -> None:
    log.append([entry(0, GIVEN)])
    assert [log.allows(ANA, purpose, at=T0) for purpose in Purpose] == [purpose is LOCAL for purpose in Purpose]
    assert {purpose: standing.state for purpose, standing in log.standings(ANA, at=T0).items()} == {
        purpose: GIVEN if purpose is LOCAL else WITHDRAWN for purpose in Purpose
    }
    assert not log.allows(BO, LOCAL, at=T0)


@pytest.mark.parametrize("order", [(GIVEN, WITHDRAWN), (WITHDRAWN, GIVEN)])
def test_of_two_entries_of_one_instant_the_withdrawal_counts(log: ConsentLog, order: tuple[State, State]) -> None:
    log.append([entry(1, state, notice=str(i)) for i, state in enumerate(order)])
    assert not log.allows(ANA, LOCAL, at=T0 + HOUR)
    assert log.standings(ANA, at=T0 + HOUR)[LOCAL].state == WITHDRAWN
    assert list(log.history(LOCAL, until=T0 + HOUR)) == [(ANA, 1_772_323_200_000_000 + 3_600_000_000, False)]


def test_appending_the_same_entries_again_changes_nothing(log: ConsentLog) -> None:
    entries = [entry(1, GIVEN), entry(2, WITHDRAWN), entry(1, GIVEN, BO)]
    assert log.append(entries) == 3
    assert log.append(entries) == 0
    assert log.append([*entries, entry(5, GIVEN)]) == 1
    assert len(list(log.history(LOCAL, until=T0 + 9 * HOUR))) == 4


def test_an_entry_keeps_who_what_when_which_notice_and_which_way(log: ConsentLog) -> None:
    entries = [entry(1, GIVEN, notice="2026-09", channel=Channel.PAGE), entry(2, WITHDRAWN, channel=Channel.GPC)]
    log.append(reversed(entries))
    assert log.entries(ANA) == entries
    log.append([entry(1, GIVEN, notice="2026-09", channel=Channel.IMPORT)])  # said already: the first way stays
    assert log.entries(ANA) == entries


def test_history_ends_with_the_instant_and_comes_in_order(log: ConsentLog) -> None:
    log.append([entry(2, GIVEN, BO), entry(3, GIVEN), entry(1, WITHDRAWN)])
    assert [(who, given) for who, _, given in log.history(LOCAL, until=T0 + 2 * HOUR)] == [(ANA, False), (BO, True)]


def test_a_long_history_comes_in_pieces_and_none_is_lost(log: ConsentLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.consents.log._PIECE", 7)
    monkeypatch.setattr(database, "_PIECE", 3)
    log.append(entry(number, GIVEN, f"{number:032x}") for number in range(100))
    assert [int(who, 16) for who, _, _ in log.history(LOCAL, until=T0 + 1000 * HOUR)] == list(range(100))


def test_a_history_that_nobody_reads_to_its_end_blocks_nobody(log: ConsentLog) -> None:
    log.append([entry(hours, GIVEN) for hours in range(50)])
    history = log.history(LOCAL, until=T0 + 99 * HOUR)
    next(history)
    assert log.append([entry(60, GIVEN)]) == 1
    history.close()
    log.erasures.finish(log.erasures.ask(ANA, at=T0))


@pytest.mark.parametrize("statement", ["UPDATE entries SET state = 'given'", "DELETE FROM entries"])
def test_entries_are_kept(log: ConsentLog, place: Path | str, statement: str) -> None:
    log.append([entry(1, WITHDRAWN)])
    with opened(place) as connection, pytest.raises(Exception, match="append only"):
        connection.execute(statement)
    assert len(log.entries(ANA)) == 1


def test_postgresql_keeps_them_as_a_whole_too(postgresql: Any) -> None:
    url = postgresql.new_database()
    ConsentLog(url).append([entry(1, WITHDRAWN)])
    with opened(url) as connection, pytest.raises(Exception, match="append only"):
        connection.execute("TRUNCATE entries")


@pytest.mark.parametrize(
    ("held", "decided", "new"),
    [
        ([], (1, GIVEN, "2"), [(1, GIVEN)]),
        ([], (1, WITHDRAWN, "2"), [(1, WITHDRAWN)]),  # saying no for the first time is a decision, too
        ([(0, GIVEN, "2")], (1, GIVEN, "2"), []),
        ([(0, GIVEN, "1")], (1, GIVEN, "2"), [(1, GIVEN)]),  # the same under a new notice is a new decision
        ([(0, WITHDRAWN, "1")], (1, WITHDRAWN, "2"), []),  # a no is a no under every notice
        ([(0, GIVEN, "2"), (0, WITHDRAWN, "2")], (1, WITHDRAWN, "2"), []),
        ([(0, GIVEN, "2"), (0, WITHDRAWN, "2")], (1, GIVEN, "2"), [(1, GIVEN)]),
        ([(0, GIVEN, "1"), (0, GIVEN, "2")], (1, GIVEN, "2"), [(1, GIVEN)]),
        ([(2, GIVEN, "2")], (1, WITHDRAWN, "2"), [(1, WITHDRAWN), (2, WITHDRAWN)]),  # by a clock that runs ahead
        ([(0, WITHDRAWN, "2"), (2, GIVEN, "2")], (1, WITHDRAWN, "2"), [(2, WITHDRAWN)]),
        ([(2, GIVEN, "2"), (2, WITHDRAWN, "2")], (1, WITHDRAWN, "2"), [(1, WITHDRAWN)]),
        ([(2, WITHDRAWN, "2")], (1, GIVEN, "2"), [(1, GIVEN)]),
    ],
)
def test_a_decision_adds_what_the_log_does_not_say_yet(
    log: ConsentLog,
    held: list[tuple[int, State, str]],
    decided: tuple[int, State, str],
    new: list[tuple[int, State]],
) -> None:
    log.append([entry(hours, state, notice=notice) for hours, state, notice in held])
    log.append([entry(0, state, BO) for state in State] + [entry(0, GIVEN, purpose=Purpose.PERSONALISATION)])
    before = log.entries(ANA)
    hours, state, notice = decided
    assert log.decide(entry(hours, state, notice=notice, channel=Channel.PAGE)) is bool(new)
    added = [each for each in log.entries(ANA) if each not in before]
    assert added == [entry(at, state, notice=notice, channel=Channel.PAGE) for at, state in new]
    assert log.allows(ANA, LOCAL, at=T0 + 9 * HOUR) is (state == GIVEN and (2, WITHDRAWN, "2") not in held)


def test_a_decision_from_many_sides_at_once_counts_from_the_first_on(log: ConsentLog) -> None:
    log.append([entry(0, GIVEN)])
    at_once(8, lambda number: log.decide(entry(1 + number, WITHDRAWN, channel=Channel.GPC)))
    assert not any(log.allows(ANA, LOCAL, at=T0 + hours * HOUR) for hours in range(9))


def test_the_same_decision_from_many_sides_is_recorded_once(log: ConsentLog) -> None:
    at_once(8, lambda number: log.decide(entry(1, GIVEN, channel=list(Channel)[number % 4])))
    assert len(log.entries(ANA)) == 1


def test_consent_is_in_force_under_the_notices_that_are_named(place: Path | str) -> None:
    entries = [entry(0, GIVEN, notice="old"), entry(1, GIVEN, notice="new"), entry(2, GIVEN, notice="older")]
    ConsentLog(place).append([*entries, entry(0, GIVEN, BO, notice="old")])
    log = ConsentLog(place, notices=["new", "old"])
    hours = (0, 1, 2, 3)
    assert [log.allows(ANA, LOCAL, at=T0 + at * HOUR) for at in hours] == [True, True, False, False]
    standings = [log.standings(ANA, at=T0 + at * HOUR)[LOCAL] for at in hours]
    assert [standing.asks_again for standing in standings] == [False, False, True, True]
    assert [standing.state for standing in standings] == [GIVEN, GIVEN, WITHDRAWN, WITHDRAWN]
    log.append([entry(3, WITHDRAWN, notice="new")])
    told = [given for who, _, given in log.history(LOCAL, until=T0 + 9 * HOUR) if who == ANA]
    assert told == [True, True, False, False]
    assert not log.standings(ANA, at=T0 + 3 * HOUR)[LOCAL].asks_again
    nobody = ConsentLog(place, notices=[])
    assert not nobody.allows(BO, LOCAL, at=T0)
    assert not any(given for _, _, given in nobody.history(LOCAL, until=T0 + 9 * HOUR))


def test_two_notices_at_one_instant_count_only_if_both_are_in_force(place: Path | str) -> None:
    log = ConsentLog(place, notices=["new"])
    log.append([entry(0, GIVEN, notice=notice) for notice in ("new", "old", "another")])
    assert not log.allows(ANA, LOCAL, at=T0)
    assert [given for _, _, given in log.history(LOCAL, until=T0)] == [False]
    assert log.standings(ANA, at=T0)[LOCAL].asks_again


def test_a_file_that_was_imported_is_not_read_again(log: ConsentLog) -> None:
    assert log.append([entry(1, GIVEN)], digest="one") == 1
    assert log.append(iter(lambda: pytest.fail("was read"), None), digest="one") == 0
    assert log.append([entry(1, GIVEN), entry(2, GIVEN)], digest="two") == 1


def test_an_import_that_breaks_off_can_be_done_again(log: ConsentLog) -> None:
    def broken() -> Iterator[Entry]:
        yield entry(1, GIVEN)
        raise NotReadyError("the disk is gone")

    with pytest.raises(NotReadyError, match="disk"):
        log.append(broken(), digest="one")
    assert log.append([entry(1, GIVEN), entry(2, GIVEN)], digest="one") == 2


def test_of_very_many_decisions_those_in_the_midst_go_once_nobody_asks_for_them(log: ConsentLog) -> None:
    """Of who toggles for ever; of everybody else all decisions stay."""
    toggles = [entry(number, (GIVEN, WITHDRAWN)[number % 2]) for number in range(50)]
    few = [replace(each, listener=BO) for each in toggles[:3]]
    log.append([*toggles, *few])
    assert log.compact(before=T0 + 30 * HOUR, kept=5) == 28
    assert log.compact(before=T0 + 30 * HOUR, kept=5) == 0
    assert log.entries(ANA) == [toggles[0], *toggles[29:]]
    assert log.entries(BO) == few
    assert log.compact(before=T0 + 99 * HOUR, kept=5) == 16
    assert log.entries(ANA) == [toggles[0], *toggles[45:]]


def test_a_log_of_the_version_before_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "consents.db"
    with closing(sqlite3.connect(path)) as before, before:
        before.executescript(_BEFORE)
    log = ConsentLog(path)
    assert log.entries(ANA) == [entry(1, GIVEN, channel=Channel.IMPORT)]
    assert log.append([entry(1, GIVEN), entry(2, WITHDRAWN, channel=Channel.GPC)]) == 1
    assert [each.channel for each in ConsentLog(path).entries(ANA)] == [Channel.IMPORT, Channel.GPC]
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute("DELETE FROM entries")
    log.erasures.ask(ANA, at=T0 + 9 * HOUR)  # which the triggers of before would not have let through
    assert log.entries(ANA) == []


_BEFORE = """
CREATE TABLE IF NOT EXISTS entries (
    listener TEXT NOT NULL, purpose TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('given', 'withdrawn')),
    at INTEGER NOT NULL, notice_version TEXT NOT NULL,
    PRIMARY KEY (listener, purpose, at, state, notice_version)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS unchanged BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS kept BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append only'); END;
INSERT INTO entries VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'local_trends', 'given', 1772326800000000, '1');
"""


def test_many_open_it_for_the_first_time_at_once(place: Path | str) -> None:
    at_once(6, lambda number: ConsentLog(place).append([entry(number, GIVEN)]))
    assert len(ConsentLog(place).entries(ANA)) == 6


def test_a_forked_process_opens_connections_of_its_own(log: ConsentLog) -> None:
    log.append([entry(0, GIVEN)])
    parent, child = log.allows(ANA, LOCAL, at=T0), os.fork()
    if not child:
        right = log.allows(ANA, LOCAL, at=T0) and log.append([entry(1, WITHDRAWN)]) == 1
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert parent
    assert not log.allows(ANA, LOCAL, at=T0 + HOUR)


def test_a_log_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "consents.db", tmp_path / "other.db"
    log = ConsentLog(path)
    log.append([entry(0, GIVEN)])
    assert log.allows(ANA, LOCAL, at=T0)
    ConsentLog(other)
    for file in tmp_path.glob("consents.db-*"):
        file.unlink()
    other.replace(path)
    assert not log.allows(ANA, LOCAL, at=T0)
    path.unlink()
    with pytest.raises(NotReadyError):
        log.allows(ANA, LOCAL, at=T0)
    assert not path.exists()  # an empty log in its place would be everybody's no, and nobody's history


def test_a_log_that_is_being_written_by_another_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_PATIENCE", 0)
    log = ConsentLog(tmp_path / "consents.db")
    with closing(sqlite3.connect(tmp_path / "consents.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotReadyError, match="locked"):
            log.append([entry(1, GIVEN)])
        assert not log.allows(ANA, LOCAL, at=T0)  # reading goes on


def test_the_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    log = ConsentLog(tmp_path / "consents.db")
    log.append([entry(1, GIVEN)])
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_a_database_that_was_restarted_is_asked_again(postgresql: Any) -> None:
    url = postgresql.new_database()
    log = ConsentLog(url)
    log.append([entry(0, GIVEN)])
    with opened(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert log.allows(ANA, LOCAL, at=T0)


@pytest.mark.parametrize(
    "url",
    ["canary", "mysql://me:canary@host/db", "sqlite:///canary.db", "postgresql:canary"],
)
def test_an_address_that_does_not_fit_is_a_setting_and_is_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"consents\.url") as caught:
        ConsentLog(url)
    assert "canary" not in caught.value.message + caught.value.hint


def test_a_log_of_a_later_release_is_left_as_it_is(tmp_path: Path) -> None:
    ConsentLog(tmp_path / "consents.db")
    with closing(sqlite3.connect(tmp_path / "consents.db")) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="is of version 99, this release reads 6 and before"):
        ConsentLog(tmp_path / "consents.db")
    with closing(sqlite3.connect(tmp_path / "consents.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (99,)


def test_a_file_that_is_no_database_is_not_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "consents.db").write_bytes(b"no database " * 1000)
    opened, connect = list[sqlite3.Connection](), sqlite3.connect

    def remembered(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembered)
    with pytest.raises(InputError, match="is damaged, or no database"):
        ConsentLog(tmp_path / "consents.db")
    assert opened
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_the_password_is_in_no_message_and_not_among_the_settings(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    if psycopg is None:
        pytest.skip("psycopg is not installed")
    monkeypatch.setenv("HEARABOUTS__CONSENTS__URL", "postgresql://me:canary@127.0.0.1:1/db")
    settings = load_settings()
    assert "canary" not in f"{settings!r} {settings.flat()} {settings.model_dump_json()}"
    with pytest.raises(NotReadyError) as caught:
        consent_log(workspace, settings=settings)
    assert "canary" not in repr(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None
    assert not workspace.consents.exists()


def test_the_state_is_another_whenever_an_answer_may_be_and_else_the_same(place: Path | str, tmp_path: Path) -> None:
    marks = Marks(tmp_path / "marks.db", key=bytes(32))
    log, other = ConsentLog(place, marks=marks), ConsentLog(place, marks=marks)

    def erase() -> None:
        [(receipt, _)] = other.erasures.pending()
        other.erasures.finish(receipt)

    steps: list[Callable[[], object]] = [
        lambda: other.append([entry(0, GIVEN), entry(0, GIVEN, BO)]),
        lambda: other.decide(entry(1, WITHDRAWN)),  # by another server
        lambda: other.append([entry(2, GIVEN), entry(2, GIVEN, notice="2")]),
        lambda: other.erasures.ask(ANA, at=T0 + 3 * HOUR),
        erase,
        lambda: marks.record(BO, at=T0 + 4 * HOUR),
    ]
    states = [log.state()]
    for step in steps:
        step()
        states.append(log.state())
        assert log.state() == states[-1]  # asking changes nothing
    other.append([entry(0, GIVEN, BO)])  # which is there
    assert log.state() == states[-1]
    assert len(set(states)) == len(states)
