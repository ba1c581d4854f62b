"""Pictures beside the consent log: kept while allowed, one of a kind, and gone with the switch and the listener."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.consents.database import Database
from recsys.consents.log import Channel, ConsentLog, Entry, Purpose, State
from recsys.consents.marks import Marks, about
from recsys.errors import ConsentError

ANA, BO = "a" * 32, "b" * 32
T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, LATER = timedelta(hours=1), T0 + timedelta(days=9)
GIVEN, WITHDRAWN = State.GIVEN, State.WITHDRAWN
_UNSAID = (  # of which version it is, as logs did not say then
    "CREATE OR REPLACE FUNCTION entries_kept() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
)
ONE, TWO = b"\xff\xd8one\0", b"\xff\xd8two"


def entry(hours: int, state: State = GIVEN, *, who: str = ANA, notice: str = "1") -> Entry:
    return Entry(who, Purpose.IMAGES, state, T0 + hours * HOUR, notice, Channel.API)


@pytest.fixture
def log(place: Path | str) -> ConsentLog:
    found = ConsentLog(place)
    found.append([entry(0), entry(0, who=BO)])
    for who in (ANA, BO):
        found.show(who, "profile", ONE, at=LATER)
    return found


def seen(log: ConsentLog, who: str = ANA, kind: str = "profile") -> bytes | None:
    return log.picture(who, kind, at=LATER)


def test_a_newer_picture_takes_the_place_of_its_kind_alone(log: ConsentLog) -> None:
    log.show(ANA, "covers/twin", ONE, at=LATER)
    before = log.pictures.editions(ANA)
    log.show(ANA, "profile", TWO, at=LATER)
    assert log.chosen(ANA) == [("covers/twin", ONE), ("profile", TWO)]
    after = log.pictures.editions(ANA)
    assert (before["profile"] == after["profile"], before["covers/twin"] == after["covers/twin"]) == (False, True)
    assert log.chosen(BO) == [("profile", ONE)]


def test_the_same_picture_chosen_again_is_another_edition(log: ConsentLog) -> None:
    before = log.pictures.editions(ANA)["profile"]
    after = log.show(ANA, "profile", ONE, at=LATER)
    assert log.pictures.editions(ANA) == {"profile": after}
    assert [log.picture(ANA, "profile", at=LATER, edition=each) for each in (before, after)] == [None, ONE]


def test_a_picture_is_removed_alone_and_as_often_as_asked(log: ConsentLog) -> None:
    log.show(ANA, "covers/twin", TWO, at=LATER)
    for _ in range(2):
        log.pictures.remove(ANA, "profile")
    assert (log.chosen(ANA), log.chosen(BO)) == ([("covers/twin", TWO)], [("profile", ONE)])


def test_without_the_switch_nothing_is_kept_or_seen(place: Path | str) -> None:
    log = ConsentLog(place)
    log.append([Entry(ANA, purpose, GIVEN, T0, "1") for purpose in set(Purpose) - {Purpose.IMAGES}])
    with pytest.raises(ConsentError, match="images is not allowed"):
        log.show(ANA, "profile", ONE, at=LATER)
    assert (log.pictures.every(ANA), seen(log)) == ([], None)


@pytest.mark.parametrize("way", ["decided", "imported", "erased"])
def test_a_withdrawal_takes_pictures_along_whichever_way_it_comes(log: ConsentLog, way: str) -> None:
    if way == "decided":
        log.decide(entry(1, WITHDRAWN))
    elif way == "imported":
        log.append([entry(1, WITHDRAWN)], digest="a file")
    else:
        log.erasures.ask(ANA, at=T0 + HOUR)
    assert (log.pictures.every(ANA), log.pictures.every(BO)) == ([], [("profile", ONE)])
    log.decide(entry(2))
    assert seen(log) is None


def test_under_a_notice_that_is_not_in_force_a_picture_waits_unseen(log: ConsentLog, place: Path | str) -> None:
    newer = ConsentLog(place, notices=["2"])
    assert seen(newer) is None
    with pytest.raises(ConsentError):
        newer.show(ANA, "profile", TWO, at=LATER)
    newer.decide(entry(1, notice="2"))
    assert seen(newer) == ONE


def test_a_restored_log_shows_no_picture_of_who_withdrew_since(tmp_path: Path, place: Path | str) -> None:
    marks = Marks(tmp_path / "marks.db", key=bytes(32))
    log = ConsentLog(place, marks=marks)
    log.append([entry(0), entry(0, who=BO)])
    for who in (ANA, BO):
        log.show(who, "profile", ONE, at=LATER)
    marks.record(about(ANA, Purpose.IMAGES), at=T0 + HOUR)  # by the log that was lost
    assert (seen(log), log.chosen(ANA), seen(log, BO)) == (None, [], ONE)
    assert log.forget_where_off() == 1
    assert (log.pictures.every(ANA), log.pictures.every(BO)) == ([], [("profile", ONE)])


def test_what_was_deleted_is_off_the_disk_once_it_is_scrubbed(tmp_path: Path) -> None:
    """Also where a picture is so large that it lies in pieces."""
    log = ConsentLog(tmp_path / "consents.db")
    log.append([entry(0)])
    large = bytes(range(1, 256)) * 400
    log.show(ANA, "profile", large, at=LATER)
    pieces = [large[at : at + 64] for at in range(0, len(large), 5_000)]
    log.decide(entry(1, WITHDRAWN))
    log.scrub()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(piece in held for piece in pieces)


@pytest.mark.parametrize("version", [4, 5])
def test_a_log_from_before_there_were_pictures_gets_their_table(tmp_path: Path, version: int) -> None:
    ConsentLog(tmp_path / "consents.db").append([entry(0)])
    with closing(sqlite3.connect(tmp_path / "consents.db")) as before, before:
        before.executescript(f"DROP TABLE pictures; PRAGMA user_version = {version}")
    log = ConsentLog(tmp_path / "consents.db")
    log.show(ANA, "profile", ONE, at=LATER)
    assert seen(log) == ONE


def test_a_postgresql_log_from_before_there_were_pictures_gets_their_table(request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue("postgresql").new_database()
    ConsentLog(place).append([entry(0)])
    with Database(place).writing() as connection:
        connection.exec_driver_sql("DROP TABLE pictures")
        connection.exec_driver_sql(_UNSAID)
    ConsentLog(place).show(ANA, "profile", ONE, at=LATER)
    assert seen(ConsentLog(place)) == ONE
