"""Contacts beside the consent log: friends are who told of each other, as long as both allow it."""

import re
import sqlite3
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.databases import psycopg

from recsys.consents.contacts import Book, Bounds
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.consents.marks import Marks
from recsys.errors import ConsentError, InputError

ANA, BO, CHO = "a" * 32, "b" * 32, "c" * 32
T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = T0 + DAY
KEY = "k"
BOUNDS = Bounds(most=100, a_day=10)
CONTACTS = Purpose.CONTACTS


def say(
    log: ConsentLog,
    who: str,
    state: State = State.GIVEN,
    *,
    at: datetime = T0,
    notice: str = "1",
    purpose: Purpose = CONTACTS,
) -> None:
    log.decide(Entry(who, purpose, state, at, notice))


@pytest.fixture
def log(place: Path | str) -> ConsentLog:
    found = ConsentLog(place)
    for who in (ANA, BO, CHO):
        say(found, who)
    return found


def tell(
    log: ConsentLog, who: str, *added: str, own: Collection[str] = (), at: datetime = NOW, key: str = KEY, **more: Any
) -> int:
    book = Book(own or {f"of {who[0]}"}, added, **more)
    with log.allowing(who, CONTACTS, at=at) as connection:
        return log.contacts.keep(connection, who, book, key=key, day=at.date(), most=5)


def friends(log: ConsentLog, who: str, *, at: datetime = NOW, key: str = KEY) -> list[str]:
    return [friend.token for friend in log.friends(who, key=key, at=at)]


def befriend(log: ConsentLog) -> None:
    tell(log, ANA, "of b")
    tell(log, BO, "of a")
    assert (friends(log, ANA), friends(log, BO)) == (["of b"], ["of a"])


def test_friends_are_who_told_of_each_other_in_whichever_order(log: ConsentLog) -> None:
    assert tell(log, ANA, "of b", "of c", "of nobody") == 3
    assert (friends(log, ANA), friends(log, BO)) == ([], [])
    tell(log, BO, "of c")  # who is here, and has somebody else in the book
    assert (friends(log, ANA), friends(log, BO)) == ([], [])
    tell(log, BO, "of a")
    assert (friends(log, ANA), friends(log, BO), friends(log, CHO)) == (["of b"], ["of a"], [])
    assert [friend.listener for friend in log.friends(ANA, key=KEY, at=NOW)] == [BO]


def test_nobody_is_a_friend_of_oneself(log: ConsentLog) -> None:
    tell(log, ANA, "of a")
    assert friends(log, ANA) == []


def test_one_of_several_numbers_is_enough_and_each_entry_is_by_itself(log: ConsentLog) -> None:
    tell(log, ANA, "b1", "b2", own=["a1", "a2"])
    tell(log, BO, "a2", own=["b1", "b2", "b3"])
    assert (friends(log, ANA), friends(log, BO)) == (["b1", "b2"], ["a2"])


def test_whoever_is_blocked_by_one_number_is_by_all_of_them(log: ConsentLog) -> None:
    tell(log, ANA, "b1", "b2", own=["a1", "a2"])
    tell(log, BO, "a1", "a2", own=["b1"])
    tell(log, ANA, own=["a1", "a2"], blocked=["b1"])
    assert (friends(log, ANA), friends(log, BO)) == ([], [])
    tell(log, BO, own=["b1", "b2"])  # which the app verified later
    assert (friends(log, ANA), friends(log, BO)) == ([], [])
    tell(log, ANA, own=["a1", "a2"], removed=["b1"])
    assert (friends(log, ANA), friends(log, BO)) == (["b2"], ["a1", "a2"])


def test_whoever_has_more_numbers_pays_for_each_entry_as_often(log: ConsentLog) -> None:
    assert tell(log, ANA, "x", "y", own=["a1", "a2"]) == 4
    assert tell(log, ANA, "x", "y", "z", own=["a1", "a2"]) == 2
    assert tell(log, ANA, own=["a1", "a3"]) == 3  # three entries, looked for under another number
    assert tell(log, ANA, own=["a1"]) == 0


@pytest.mark.parametrize("which", ["removed", "blocked"])
@pytest.mark.parametrize(("who", "of"), [(ANA, "of b"), (BO, "of a")])
def test_what_is_removed_or_blocked_ends_it_for_both(log: ConsentLog, which: str, who: str, of: str) -> None:
    befriend(log)
    tell(log, who, **{which: [of]})
    assert (friends(log, ANA), friends(log, BO)) == ([], [])


def test_a_block_holds_until_it_is_removed(log: ConsentLog) -> None:
    befriend(log)
    tell(log, ANA, blocked=["of b"])
    assert tell(log, ANA, "of b") == 0
    assert friends(log, BO) == []
    tell(log, ANA, removed=["of b"])
    assert tell(log, ANA, "of b") == 1
    assert friends(log, BO) == ["of a"]
    assert tell(log, CHO, blocked=["of a"]) == 1  # somebody who was never told of


def test_what_is_told_again_is_not_new(log: ConsentLog) -> None:
    assert [tell(log, ANA, "x", "y"), tell(log, ANA, "x", "z"), tell(log, ANA)] == [2, 1, 0]


def test_more_than_may_be_kept_are_not_kept(log: ConsentLog) -> None:
    tell(log, ANA, "1", "2", "3")
    with pytest.raises(InputError, match="more than 5"):
        tell(log, ANA, "4", "5", "6")
    assert [each["token"] for each in log.told_of_contacts(ANA) if each["kind"] == "contact"] == ["1", "2", "3"]


def test_a_number_is_whose_it_was_said_to_be_last(log: ConsentLog) -> None:
    befriend(log)
    tell(log, CHO, own=["of b"])
    assert (friends(log, ANA), friends(log, BO)) == ([], [])  # nor is the next one, who has nobody in the book
    tell(log, CHO, "of a", own=["of b"])
    assert (friends(log, ANA), friends(log, CHO)) == (["of b"], ["of a"])
    tell(log, CHO)  # another number now
    assert friends(log, ANA) == []


def test_a_withdrawal_ends_it_for_both_and_forgets_all(log: ConsentLog) -> None:
    befriend(log)
    say(log, BO, State.WITHDRAWN, at=NOW)
    assert (friends(log, ANA, at=NOW + DAY), log.told_of_contacts(BO)) == ([], [])
    with pytest.raises(ConsentError):
        tell(log, BO, "of a", at=NOW + DAY)
    say(log, BO, at=NOW + DAY)
    assert friends(log, ANA, at=NOW + 2 * DAY) == []  # who comes back begins with nothing
    tell(log, BO, "of a", at=NOW + 2 * DAY)
    assert friends(log, ANA, at=NOW + 2 * DAY) == ["of b"]


def test_a_lapsed_notice_ends_it_until_it_is_given_again(place: Path | str) -> None:
    before, log = ConsentLog(place), ConsentLog(place, notices=["2"])
    for who in (ANA, BO):
        say(before, who)
    befriend(before)
    say(log, ANA, at=NOW, notice="2")
    assert friends(log, ANA, at=NOW + DAY) == []
    say(log, BO, at=NOW, notice="2")
    assert friends(log, ANA, at=NOW + DAY) == ["of b"]


def contributing(log: ConsentLog, *, at: datetime = NOW) -> list[str]:
    return [friend.token for friend in log.friends(ANA, key=KEY, at=at) if friend.contributes]


def test_what_friends_play_counts_while_they_let_it(log: ConsentLog) -> None:
    befriend(log)
    tell(log, ANA, "of c")
    tell(log, CHO, "of a")
    plays = Purpose.CONTRIBUTE_TRENDS
    assert contributing(log) == []  # the default is no
    say(log, BO, purpose=plays)
    say(log, CHO, purpose=plays, at=NOW + DAY)
    assert contributing(log) == ["of b"]
    assert contributing(log, at=NOW + DAY) == ["of b", "of c"]
    say(log, BO, State.WITHDRAWN, purpose=plays, at=NOW + 9 * DAY)  # by a clock that runs ahead
    assert contributing(log, at=NOW + DAY) == ["of c"]
    say(log, BO, purpose=plays, at=NOW + 10 * DAY)
    assert contributing(log, at=NOW + 10 * DAY) == ["of b", "of c"]
    assert friends(log, ANA, at=NOW + DAY) == ["of b", "of c"]


def test_what_was_played_before_an_erasure_that_is_not_done_yet_does_not_count(log: ConsentLog) -> None:
    receipt = log.erasures.ask(BO, at=T0 + timedelta(minutes=1))
    for purpose in (CONTACTS, Purpose.CONTRIBUTE_TRENDS):
        say(log, BO, purpose=purpose, at=T0 + timedelta(hours=1))
    befriend(log)
    assert contributing(log) == []
    log.erasures.finish(receipt)
    assert contributing(log) == ["of b"]


def shared(log: ConsentLog) -> list[tuple[bool, bool]]:
    """Of Ana and of Bo, whether they share with the other one, and the other with them."""
    found = (log.friends(who, key=KEY, at=NOW)[0] for who in (ANA, BO))
    return [(friend.shared, friend.shares) for friend in found]


def test_sharing_is_a_choice_of_each_that_both_see_and_that_ends_with_the_entry(log: ConsentLog) -> None:
    befriend(log)
    assert shared(log) == [(False, False), (False, False)]
    tell(log, ANA, "of c", shared=["of b", "of nobody"])
    assert shared(log) == [(True, False), (False, True)]
    assert log.shares(ANA, with_=BO, key=KEY, at=NOW)
    assert not log.shares(BO, with_=ANA, key=KEY, at=NOW)
    assert not log.shares(ANA, with_=CHO, key=KEY, at=NOW)
    tell(log, ANA, "of b")  # told again, it stays
    assert [line["shared"] for line in log.told_of_contacts(ANA) if line["kind"] == "contact"] == [True, False]
    assert shared(log) == [(True, False), (False, True)]
    tell(log, ANA, unshared=["of b"])
    assert shared(log) == [(False, False), (False, False)]
    for ending in ("removed", "blocked"):
        tell(log, ANA, shared=["of b"])
        tell(log, ANA, **{ending: ["of b"]})
        assert not log.shares(ANA, with_=BO, key=KEY, at=NOW)
        tell(log, ANA, removed=["of b"])
        tell(log, ANA, "of b")
        assert shared(log) == [(False, False), (False, False)]


@pytest.mark.parametrize("who", [ANA, BO])
def test_nothing_is_shared_with_or_by_who_turned_contacts_off(log: ConsentLog, who: str) -> None:
    befriend(log)
    tell(log, ANA, shared=["of b"])
    say(log, who, State.WITHDRAWN, at=NOW)
    assert not log.shares(ANA, with_=BO, key=KEY, at=NOW)


def test_a_log_of_before_there_was_sharing_is_brought_up(place: Path | str) -> None:
    log = ConsentLog(place)
    for who in (ANA, BO):
        say(log, who)
    befriend(log)
    _make_version_6(place)
    log = ConsentLog(place)
    assert shared(log) == [(False, False), (False, False)]
    tell(log, ANA, shared=["of b"])
    assert shared(log) == [(True, False), (False, True)]


def _make_version_6(place: Path | str) -> None:
    if isinstance(place, Path):
        with sqlite3.connect(place) as database:
            database.executescript("ALTER TABLE contacts DROP COLUMN shared; PRAGMA user_version = 6")
        return
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute("ALTER TABLE contacts DROP COLUMN shared")
        ((kept,),) = connection.execute("SELECT prosrc FROM pg_proc WHERE proname = 'entries_kept'").fetchall()
        before = re.sub("version [0-9]+", "version 6", kept)
        connection.execute(
            f"CREATE OR REPLACE FUNCTION entries_kept() RETURNS trigger LANGUAGE plpgsql AS $${before}$$"
        )


def test_an_erasure_leaves_nothing_of_the_listener(log: ConsentLog) -> None:
    befriend(log)
    with log.allowing(BO, CONTACTS, at=NOW) as connection:
        log.contacts.use(connection, BO, "told", 3, bounds=BOUNDS, at=NOW)
    log.erasures.ask(BO, at=NOW)
    assert (friends(log, ANA), log.told_of_contacts(BO)) == ([], [])
    held = [line["token"] for line in log.told_of_contacts(ANA)]
    assert held == ["of a", "of b"]  # what Ana told of her own book stays: that it went would tell of Bo


def test_another_key_forgets_what_was_told_under_the_one_before(log: ConsentLog) -> None:
    befriend(log)
    assert friends(log, ANA, key="other") == []
    tell(log, CHO, "new", key="other")
    assert log.contacts.expire(before=date(2026, 1, 1), key="other", at=NOW) == 4
    assert log.told_of_contacts(ANA) == log.told_of_contacts(BO) == []
    assert len(log.told_of_contacts(CHO)) == 2


def test_what_waits_too_long_goes_and_friends_and_blocks_stay(log: ConsentLog) -> None:
    befriend(log)
    tell(log, ANA, "of c", blocked=["of d"])
    assert log.contacts.expire(before=NOW.date(), key=KEY, at=NOW) == 0
    assert log.contacts.expire(before=NOW.date() + DAY, key=KEY, at=NOW) == 1
    assert [each["token"] for each in log.contacts.told(ANA) if each["kind"] == "contact"] == ["of b", "of d"]
    tell(log, BO, removed=["of a"])  # from here on Ana's entry waits again, as long as if nobody had been there
    assert log.contacts.expire(before=NOW.date() + DAY, key=KEY, at=NOW) == 1
    tell(log, ANA, "of e")
    tell(log, ANA, "of e", at=NOW + 9 * DAY)  # told again, it waits as long again
    assert log.contacts.expire(before=NOW.date() + DAY, key=KEY, at=NOW) == 0


def use(log: ConsentLog, entries: int, *, at: datetime = NOW, who: str = ANA) -> float:
    with log.allowing(who, CONTACTS, at=at) as connection:
        return log.contacts.use(connection, who, "told", entries, bounds=BOUNDS, at=at)


def test_an_allowance_is_used_up_and_comes_back_day_by_day(log: ConsentLog) -> None:
    assert log.contacts.left(ANA, bounds=BOUNDS, at=NOW) == {"evaluated": 100, "told": 100}
    assert [use(log, 60), use(log, 40)] == [0, 0]
    assert use(log, 1) == pytest.approx(86_400 / 10)
    assert log.contacts.left(ANA, bounds=BOUNDS, at=NOW) == {"evaluated": 100, "told": 0}
    assert log.contacts.left(BO, bounds=BOUNDS, at=NOW)["told"] == 100
    assert [use(log, 11, at=NOW + DAY) > 0, use(log, 10, at=NOW + DAY)] == [True, 0]
    assert log.contacts.left(ANA, bounds=BOUNDS, at=NOW + 50 * DAY)["told"] == 100  # never more


def test_an_allowance_outlives_the_switch_and_goes_once_it_is_back(log: ConsentLog) -> None:
    use(log, 100)
    say(log, ANA, State.WITHDRAWN, at=NOW)
    assert [line["kind"] for line in log.told_of_contacts(ANA)] == ["allowance"]
    say(log, ANA, at=NOW + timedelta(hours=1))
    assert use(log, 20, at=NOW + timedelta(hours=2)) > 0
    assert log.contacts.expire(before=date(2026, 1, 1), key=KEY, at=NOW + 9 * DAY) == 0
    assert log.contacts.expire(before=date(2026, 1, 1), key=KEY, at=NOW + 10 * DAY) == 1
    assert log.told_of_contacts(ANA) == []


def test_an_erasure_wins_nothing(tmp_path: Path) -> None:
    log = ConsentLog(tmp_path / "consents.db", marks=Marks(tmp_path / "marks.db", key=b"k" * 32))
    say(log, ANA)
    use(log, 100)
    log.erasures.ask(ANA, at=NOW)
    assert log.told_of_contacts(ANA) == []
    say(log, ANA, at=NOW + DAY)
    assert [use(log, 11, at=NOW + DAY) > 0, use(log, 10, at=NOW + DAY)] == [True, 0]


def test_a_log_that_was_restored_tells_nothing_of_who_turned_it_off(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "marks.db", key=b"k" * 32)
    log = ConsentLog(tmp_path / "consents.db", marks=marks)
    for who in (ANA, BO):
        say(log, who)
    befriend(log)
    backup = (tmp_path / "restored.db", tmp_path / "consents.db")
    log.scrub()
    backup[0].write_bytes(backup[1].read_bytes())
    say(log, BO, State.WITHDRAWN, at=NOW)
    restored = ConsentLog(backup[0], marks=marks)
    assert (friends(restored, ANA), restored.told_of_contacts(BO)) == ([], [])
    assert restored.forget_where_off() == 1
    assert BO not in restored.belongings.owners("contacts")
