"""The copy of a consent log: all of it, verified, into an empty database or an earlier copy, and never mixed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.commands import Run

from recsys.consents import log_copy
from recsys.consents.contacts import Book, Bounds
from recsys.consents.database import Database
from recsys.consents.feedback import Told
from recsys.consents.log import Channel, ConsentLog, Entry, Purpose, State
from recsys.errors import InputError, NotReadyError

ANA, BO, CLEO = "a" * 32, "b" * 32, "c" * 32
T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def log(tmp_path: Path) -> ConsentLog:
    log = ConsentLog(tmp_path / "of-now.db")
    log.append([given(hours, who) for who in (ANA, BO) for hours in range(9)], digest="one")
    log.decide(Entry(ANA, Purpose.LOCAL_TRENDS, State.WITHDRAWN, T0 + 9 * HOUR, "2é", Channel.PAGE))
    log.erasures.finish(log.erasures.ask(CLEO, at=T0))
    bringing = (Purpose.FEEDBACK, Purpose.IMAGES, Purpose.CONTACTS)
    log.append([replace(given(0), purpose=purpose) for purpose in bringing])
    with log.allowing(ANA, Purpose.CONTACTS, at=T0) as connection:
        book = Book(["a"], added=["x"], blocked=["y"])
        log.contacts.keep(connection, ANA, book, key="k", day=T0.date(), most=9)
        log.contacts.use(connection, ANA, "told", 2, bounds=Bounds(9, 1), at=T0)
    told = Told(T0.date(), played={"é": "challenger", "b": "champion"}, hidden=["c"], rivals="r")
    log.tell(ANA, told, at=T0, most_hidden=9, most_played=9)
    log.show(ANA, "profile", b"\xff\0picture", at=T0)
    log.erasures.ask(BO, at=T0 + HOUR)
    return log


_BELONGINGS = {"hidden": 1, "played": 2, "pictures": 1, "identifiers": 1, "contacts": 2, "allowances": 1}


def given(hours: int, who: str = ANA) -> Entry:
    return Entry(who, Purpose.LOCAL_TRENDS, State.GIVEN, T0 + hours * HOUR, "1")


def test_a_copy_says_the_same_and_a_second_one_changes_nothing(log: ConsentLog, place: Path | str) -> None:
    other = ConsentLog(place)
    first, second = log.copy_to(other), log.copy_to(other)
    assert other.pictures.every(ANA) == [("profile", b"\xff\0picture")]
    assert first.rows == {"entries": 13, "erasures": 2, "imported": 1, **_BELONGINGS}
    assert (first.new, second.new, first.digest) == (24, 0, second.digest)
    assert list(other.feedback.told(ANA)) == list(log.feedback.told(ANA))
    assert other.told_of_contacts(ANA) == log.told_of_contacts(ANA)
    assert other.entries(ANA) == log.entries(ANA)
    assert other.erasures.pending() == log.erasures.pending()
    assert other.append([given(70)], digest="one") == 0
    assert ConsentLog(place).copy_to(log).digest == first.digest  # and back again


def test_pictures_are_copied_in_smaller_pieces(
    log: ConsentLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred at a time, with the one that is there already: more than that take one more transaction."""
    real, transactions = Database.writing, list[str]()

    def counted(self: Database) -> Any:
        transactions.append(self.name)
        return real(self)

    def copied(more: range) -> int:
        with log.allowing(ANA, Purpose.IMAGES, at=T0) as connection:
            for number in more:
                log.pictures.keep(connection, f"{number:032x}", "profile", b"picture")
        other = ConsentLog(tmp_path / f"other-{more.stop}.db")
        transactions.clear()
        log.copy_to(other)
        return len(transactions)

    monkeypatch.setattr(Database, "writing", counted)
    few, full = copied(range(1)), copied(range(1, 99))
    assert (full, copied(range(99, 100))) == (few, few + 1)


def test_what_happens_after_a_copy_is_in_the_next(log: ConsentLog, place: Path | str) -> None:
    other = ConsentLog(place)
    log.copy_to(other)
    ((receipt, _),) = log.erasures.pending()
    log.erasures.finish(receipt)
    log.decide(given(11))
    assert log.copy_to(other).new == 1
    assert other.erasures.is_done(receipt)


def test_what_is_told_anew_after_a_copy_is_in_the_next(log: ConsentLog, place: Path | str) -> None:
    """What was hidden is hidden on a later night once it was shown again; a play is credited in another comparison."""
    other, night = ConsentLog(place), T0.date()
    log.copy_to(other)
    for told in (Told(night, shown=["c"]), Told(night + timedelta(days=1), hidden=["c"])):
        log.tell(ANA, told, at=T0, most_hidden=9, most_played=9)
    log.feedback.expire(night + timedelta(days=1))
    log.tell(
        ANA, Told(night, played={"é": "champion", "b": "champion"}, rivals="s"), at=T0, most_hidden=9, most_played=9
    )
    assert log.copy_to(other).new == 0
    assert other.told(ANA) == log.told(ANA)
    assert len(other.feedback.of_rivals("s")) == 2


def test_a_copy_from_before_feedback_was_deleted_is_refused_in_words_that_help(
    log: ConsentLog, place: Path | str
) -> None:
    other = ConsentLog(place)
    log.copy_to(other)
    log.tell(ANA, Told(T0.date(), shown=["c"]), at=T0, most_hidden=9, most_played=9)
    with pytest.raises(InputError, match="hidden that this log does not") as refused:
        log.copy_to(other)
    assert "shown again" in refused.value.hint


def test_a_copy_that_breaks_off_is_finished_by_the_next(
    log: ConsentLog, place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_copy, "_PIECE", 3)
    other, writing, pieces = ConsentLog(place), Database.writing, iter(range(3))

    def breaking(self: Database) -> Any:
        if next(pieces, None) is None:
            raise KeyboardInterrupt
        return writing(self)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "writing", breaking)
        with pytest.raises(KeyboardInterrupt):
            log.copy_to(other)
    assert 0 < len(other.entries(ANA)) < 10
    assert log.copy_to(other).new == 24 - 9


def test_two_logs_are_not_mixed(log: ConsentLog, place: Path | str) -> None:
    other = ConsentLog(place)
    other.append([given(5, CLEO)])
    with pytest.raises(InputError, match="entries that this log does not"):
        log.copy_to(other)
    assert other.entries(ANA) == []


def test_a_log_that_is_written_to_meanwhile_is_not_said_to_be_copied(
    log: ConsentLog, place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = log_copy._copy

    def copy_and_write(*values: Any) -> None:
        copy(*values)
        log.decide(given(12))

    other = ConsentLog(place)
    monkeypatch.setattr(log_copy, "_copy", copy_and_write)
    with pytest.raises(NotReadyError, match="written to"):
        log.copy_to(other)
    assert log.copy_to(other).rows["entries"] == 14


def test_the_command_copies_the_log_of_a_workspace(hearabouts: Run, tmp_path: Path, place: Path | str) -> None:
    (tmp_path / "consents.csv").write_text(
        "user_id,purpose,state,at,notice_version\nana,local_trends,given,2026-03-01T00:00:00Z,1\n"
    )
    assert hearabouts("consents", "import", "consents.csv").code == 0
    for new in (2, 0):
        done = hearabouts("consents", "copy", "--to", place)
        assert (done.code, done.summary["new"], done.summary["rows"]["entries"]) == (0, new, 1)
    bad = hearabouts("consents", "copy", "--to", "mysql://me:canary@host/db")
    assert bad.code == 78
    assert "canary" not in bad.out + bad.err
