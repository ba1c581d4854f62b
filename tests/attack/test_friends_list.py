"""What friends play is told of several together: never of whom or of fewer, and of nobody who does not allow it now.

Times are not compared: an answer leaves on a beat (:mod:`recsys.serving.requests.one_time`), which a test holds it to.
"""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.contacts import NUMBERS, Device, befriend
from support.edge import LISBON, NOW, OCEAN, SUVA, Client, decide, publish, remember_plays, told
from support.sealing import sealed_in

from recsys.artifacts.affinities import erase
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.serving.routes import friends
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of

URL = "/v1/me/contacts/trending"
FRIENDS = ("ben", "cho", "dov", "eve", "fay")
SONG, OTHER = "track-1", "track-2"
PLAYED = {who: ("PT", [SONG] if who in FRIENDS[:3] else [OTHER]) for who in FRIENDS}
_WITHDRAW, _GIVE = ({"state": state, "notice_version": "2026-09"} for state in ("withdrawn", "given"))

New = Callable[[str], Device]


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    for who in NUMBERS:
        for purpose in (Purpose.CONTACTS, Purpose.CONTRIBUTE_TRENDS):
            decide(workspace, who, State.GIVEN, purpose=purpose)
    remember_plays(workspace, PLAYED)
    return Client(workspace, settings=settings, records=lambda _: iter(()))


@pytest.fixture
def new(client: Client, workspace: Workspace, settings: Settings) -> New:
    return lambda who: Device(who, client, workspace=workspace, settings=settings)


@pytest.fixture
def ana(new: New, workspace: Workspace) -> Device:
    """Who has five friends, three of whom played the same song."""
    befriend(workspace, "ana", *FRIENDS)
    return new("ana")


def songs(device: Device, query: str = "") -> list[str]:
    answer = device.ask("GET", f"{URL}{query}")
    assert answer.status_code == 200, answer.text
    return [item["track_id"] for item in answer.json()["items"]]


def test_nobody_is_named(ana: Device, workspace: Workspace) -> None:
    answer = ana.ask("GET", URL)
    assert answer.json()["items"] == [
        {
            "rank": 1,
            "track_id": SONG,
            "title": f"Title of {SONG}",
            "artist": "The Ünits",
            "artist_id": "ünits",
            "page": answer.json()["items"][0]["page"],
            "artist_page": answer.json()["items"][0]["artist_page"],
            "friends": [],
        }
    ]
    tokens = ana.told()["friends"]
    names = [
        *(each["token"] for each in tokens),
        *(listener_of(who, key=workspace.listener_key()) for who in FRIENDS),
        *(NUMBERS[who] for who in FRIENDS),
    ]
    assert [name for name in names if name in answer.text] == []


_ENDINGS: dict[str, Callable[[Device, Device], object]] = {
    "unfriends": lambda friend, _: friend.tell(removed=friend.tokens(NUMBERS["ana"])),
    "blocks": lambda friend, _: friend.tell(blocked=friend.tokens(NUMBERS["ana"])),
    "is unfriended": lambda friend, ana: ana.tell(removed=ana.tokens(NUMBERS[friend.who])),
    "turns contacts off": lambda friend, _: friend.ask("PUT", "/v1/me/consents/contacts", json=_WITHDRAW),
    "lets plays not count": lambda friend, _: friend.ask("PUT", "/v1/me/consents/contribute_trends", json=_WITHDRAW),
    "is erased": lambda friend, _: friend.ask("DELETE", "/v1/me/data"),
}


@pytest.mark.parametrize("who", [FRIENDS[0], FRIENDS[4]], ids=["played it", "did not"])
@pytest.mark.parametrize("ending", _ENDINGS)
def test_what_a_friend_ends_counts_from_the_next_request(ana: Device, new: New, ending: str, who: str) -> None:
    """Of the song two are left, or of the friends four: in either case nothing is."""
    assert songs(ana) == [SONG]
    assert _ENDINGS[ending](new(who), ana).status_code in (200, 202, 204)  # type: ignore[attr-defined]
    assert songs(ana) == []


def test_four_friends_are_answered_as_none(ana: Device, new: New) -> None:
    """Five answers of one status, with the same headers and bytes: of four friends, of three, and so on to none."""
    full = ana.ask("GET", URL)
    answers = []
    for who in FRIENDS:
        new(who).tell(removed=new(who).tokens(NUMBERS["ana"]))
        answers.append(told(ana.ask("GET", URL)))
    stranger = told(new("hal").ask("GET", URL))
    assert {*answers} == {stranger}
    assert stranger[:2] == told(full)[:2]
    assert len(stranger[2]) == len(full.content)  # type: ignore[arg-type]
    assert json.loads(stranger[2])["items"] == []  # type: ignore[arg-type]
    assert json.loads(stranger[2])["why"].startswith("Not enough friends yet")  # type: ignore[arg-type]


def test_the_answer_leaves_on_a_beat(ana: Device, new: New, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[str] = []

    async def counted(answer: Callable[[], object]) -> object:
        beats.append("one")
        return answer()

    monkeypatch.setattr(friends, "on_the_beat", counted)
    answered = [songs(device) for device in (ana, new("hal"))]
    assert (answered, beats) == ([[SONG], []], ["one", "one"])


def test_five_friends_of_whom_two_played_the_same_are_answered_as_none(
    ana: Device, new: New, workspace: Workspace
) -> None:
    assert songs(ana) == [SONG]
    remember_plays(workspace, PLAYED | {FRIENDS[0]: ("PT", [SONG]), FRIENDS[1]: ("PT", ["track-3"])})
    assert told(ana.ask("GET", URL)) == told(new("hal").ask("GET", URL))


def test_one_person_under_several_numbers_is_one_friend(new: New, workspace: Workspace) -> None:
    befriend(workspace, "ana", *FRIENDS[:4])
    ana, twice = new("ana"), new("ben")
    twice.identifiers.append(NUMBERS["fay"])
    twice.add("ana")
    ana.add("fay")
    assert len(ana.told()["friends"]) == 5
    assert songs(ana) == []


def test_only_a_country_that_the_listener_lets_choose_counts(ana: Device, workspace: Workspace) -> None:
    assert songs(ana, f"?cell={SUVA}") == [SONG]  # without consent the cell says nothing
    decide(workspace, "ana", State.GIVEN)
    answer = ana.ask("GET", f"{URL}?cell={LISBON}").json()
    assert (answer["region"]["id"], answer["scope"], answer["location_used"]) == ("PT", "country", True)
    assert songs(ana, f"?cell={LISBON}") == [SONG]
    assert songs(ana, f"?cell={SUVA}") == []
    assert songs(ana, f"?cell={OCEAN}") == [SONG]  # which is in no country
    lengths = {len(ana.ask("GET", f"{URL}{query}").content) for query in ("", f"?cell={LISBON}", f"?cell={SUVA}")}
    assert len(lengths) == 1


def test_what_the_listener_has_hidden_is_left_out(ana: Device, workspace: Workspace) -> None:
    log, listener = ConsentLog(workspace.consents), listener_of("ana", key=workspace.listener_key())
    decide(workspace, "ana", State.GIVEN, purpose=Purpose.FEEDBACK)
    with log.allowing(listener, Purpose.FEEDBACK, at=datetime(2026, 11, 1, tzinfo=UTC)) as connection:
        connection.exec_driver_sql(
            "INSERT INTO hidden VALUES (:listener, :track, '2026-10-31')", {"listener": listener, "track": SONG}
        )
    assert songs(ana) == []


def test_plays_of_before_an_erasure_do_not_count_before_it_is_done(
    ana: Device, new: New, client: Client, workspace: Workspace
) -> None:
    ben = new("ben")
    ben.ask("DELETE", "/v1/me/data")
    client.now += timedelta(minutes=1)
    for purpose in ("contacts", "contribute_trends"):
        assert ben.ask("PUT", f"/v1/me/consents/{purpose}", json=_GIVE).status_code == 200
    client.now += timedelta(days=200)  # until there are allowances again
    ben.add("ana")
    assert len(ana.told()["friends"]) == 5
    assert songs(ana) == []
    erase(sealed_in(workspace.private), [listener_of("ben", key=workspace.listener_key())])
    assert songs(ana) == []


@pytest.mark.parametrize("purpose", [Purpose.CONTACTS, Purpose.CONTRIBUTE_TRENDS])
def test_no_request_after_a_withdrawal_counts_the_friend(ana: Device, workspace: Workspace, purpose: Purpose) -> None:
    """While one asks again and again, another withdraws by another connection: no answer that begins later has it."""
    log, listener = ConsentLog(workspace.consents), listener_of(FRIENDS[0], key=workspace.listener_key())
    withdrawn = threading.Event()

    def withdraw() -> None:
        log.decide(Entry(listener, purpose, State.WITHDRAWN, NOW, "2026-09"))
        withdrawn.set()

    said = []
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(withdraw)
        while not said or not said[-1][0]:
            before = withdrawn.is_set()
            said.append((before, songs(ana)))
        ending.result()
    assert [found for after, found in said if after] == [[]]


@pytest.mark.parametrize("query", ["", f"?cell={LISBON}", "?cell=nonsense", "?limit=3", "?friend=ben"])
def test_with_the_switch_off_friends_change_no_byte(ana: Device, new: New, workspace: Workspace, query: str) -> None:
    answers = []
    for who in (ana, new("hal")):  # who has friends, and who has none
        off = {"at": datetime(2026, 10, 31, 23, tzinfo=UTC), "purpose": Purpose.CONTACTS}
        decide(workspace, who.who, State.WITHDRAWN, **off)  # type: ignore[arg-type]
        answers.append(who.ask("GET", f"{URL}{query}"))
    assert answers[0].status_code == (403 if query in ("", f"?cell={LISBON}") else 400)
    assert told(answers[0]) == told(answers[1])


def test_how_many_played_a_track_is_told_by_nothing(ana: Device, new: New, workspace: Workspace) -> None:
    """Three of five who played one and five the other, or five and three, or all both: the same bytes each time."""
    few, all_of_them = FRIENDS[:3], FRIENDS
    answers = []
    for of_song, of_other in ((few, all_of_them), (all_of_them, few), (all_of_them, all_of_them)):
        tracks = {who: [*[SONG] * (who in of_song), *[OTHER] * (who in of_other)] for who in FRIENDS}
        remember_plays(workspace, {who: ("PT", some) for who, some in tracks.items()})
        answers.append(told(ana.ask("GET", URL)))
    assert len({*answers}) == 1
    assert len(json.loads(answers[0][2])["items"]) == 2  # type: ignore[arg-type]


def test_without_a_night_of_it_there_is_nothing(ana: Device, workspace: Workspace) -> None:
    remember_plays(workspace, {})
    assert songs(ana) == []
    (workspace.private / "tastes/current").unlink()
    assert songs(ana) == []


def test_an_erasure_leaves_no_byte_of_what_was_played(workspace: Workspace) -> None:
    remember_plays(workspace, {"ana": ("PT", ["canary-track"]), "ben": ("PT", [SONG])})
    listener = listener_of("ana", key=workspace.listener_key())
    files = sealed_in(workspace.private)
    opened = lambda: [files.read(path) for path in _files(workspace)]  # noqa: E731
    assert any(bytes.fromhex(listener) in content for content in opened())
    erase(files, [listener])
    assert not any(bytes.fromhex(listener) in content for content in opened())


def _files(workspace: Workspace) -> list[Path]:
    return [path for path in (workspace.private / "tastes").rglob("recent-*") if path.is_file()]
