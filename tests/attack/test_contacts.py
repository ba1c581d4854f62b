"""Friends are by the choice of both: from nothing that is answered or kept can it be told who is here or in whose book.

Times are not compared: an answer leaves on a beat (:mod:`recsys.serving.requests.one_time`), which a test of its own
holds to it.
"""

import json
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from support.contacts import BLINDED, NUMBERS, URL, Device
from support.edge import LISBON, Client, decide, publish, remember_plays, told
from support.serving import Server
from voprf import ristretto

from recsys.consents.blinding import Blinding, token_of
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.errors import ConsentError
from recsys.serving.auth.tokens import mint
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace, listener_of

CONTACTS = Purpose.CONTACTS
New = Callable[..., Device]


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    for who in NUMBERS:
        decide(workspace, who, State.GIVEN, purpose=CONTACTS)
    return Client(workspace, settings=settings, records=lambda _: iter(()))


@pytest.fixture
def new(client: Client, workspace: Workspace, settings: Settings) -> New:
    def made(who: str, **more: object) -> Device:
        return Device(who, client, workspace=workspace, settings=settings, **more)  # type: ignore[arg-type]

    return made


def befriend(*devices: Device) -> None:
    for device in devices:
        device.add(*(other.who for other in devices if other is not device))


def test_friends_are_who_have_each_other_in_the_book(new: New) -> None:
    ana, ben, cho = map(new, ("ana", "ben", "cho"))
    ana.add("ben", "cho")
    ben.add("cho")
    assert (ana.friends(), ben.friends(), cho.friends()) == ([], [], [])
    cho.add("ana")
    assert (ana.friends(), ben.friends(), cho.friends()) == (["cho"], [], ["ana"])
    assert ana.told()["left"] == {"evaluated": 4_998, "told": 4_998}


def test_who_is_here_or_in_whose_book_shows_in_no_byte(new: New, workspace: Workspace) -> None:
    """The same telling of somebody who is here, who blocked the asker, who withdrew, or who never was here.

    All answers of each kind are of one status, with the same headers, as long as each other, and but for the token that
    was sent the same.
    """
    ana, ben, cho, dov, eve = map(new, ("ana", "ben", "cho", "dov", "eve"))
    befriend(ana, dov)
    cho.add("ana")
    (of_ana,) = eve.add("ana")
    eve.tell(blocked=[of_ana])
    gus = new("gus")
    gus.add("ana")
    decide(workspace, "gus", State.WITHDRAWN, purpose=CONTACTS, at=datetime(2026, 10, 31, 23, tzinfo=UTC))
    ben.tell()  # who is here, and has nobody in the book
    assert ana.friends() == ["dov"]
    before = ana.ask("GET", URL)
    answers = []
    for other in ("ben", "eve", "gus", "hal"):  # here, blocks, withdrew, never here
        (token,) = ana.tokens(NUMBERS[other])
        kept = ana.tell(added=[token])
        answers.append((told(kept), told(ana.ask("GET", URL))))
        assert ana.tell(removed=[token]).status_code == 204
        left = {"evaluated": 4_999 - len(answers), "told": 4_999 - len(answers)}
        assert json.loads(answers[-1][1][2])["left"] == left  # type: ignore[arg-type]
    assert len({kept for kept, _ in answers}) == 1
    assert len({listed[:2] for _, listed in answers}) == 1
    friends = [json.loads(listed[2]) | {"left": None} for _, listed in answers]  # type: ignore[arg-type]
    assert friends == [friends[0]] * 4
    assert {len(listed[2]) for _, listed in answers} == {len(before.content)}  # type: ignore[arg-type]
    ana.add("cho")
    assert ana.friends() == ["cho", "dov"]
    assert len(ana.ask("GET", URL).content) == len(before.content)  # nor does the length tell how many there are


def test_being_unfriended_blocked_withdrawn_from_or_erased_look_alike(new: New, workspace: Workspace) -> None:
    ana = new("ana")
    endings = {
        "ben": lambda ben: ben.tell(removed=ben.tokens(NUMBERS["ana"])),
        "cho": lambda cho: cho.tell(blocked=cho.tokens(NUMBERS["ana"])),
        "dov": lambda dov: dov.ask("PUT", "/v1/me/consents/contacts", json=_WITHDRAW),
        "eve": lambda eve: eve.ask("DELETE", "/v1/me/data"),
    }
    seen, of_all = set(), ana.add(*endings)
    for who, end in endings.items():
        other = new(who)
        other.add("ana")
        assert ana.friends() == [who]
        assert end(other).status_code in (200, 202, 204)
        answer = ana.ask("GET", URL)
        assert answer.json()["friends"] == []
        held = [line for line in _export(ana) if line["kind"] == "contact"]
        assert {line["token"] for line in held} == set(of_all)
        seen.add((told(answer), json.dumps(held)))
    assert len(seen) == 1


_WITHDRAW, _GIVE = ({"state": state, "notice_version": "2026-09"} for state in ("withdrawn", "given"))


def _export(device: Device) -> list[dict[str, object]]:
    return [json.loads(line) for line in device.ask("GET", "/v1/me/data").text.splitlines()]


def test_where_it_is_off_every_byte_is_as_in_a_world_without_friends(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two worlds, in one of which everybody else has the asker in the book, and is whose friend they can be."""
    worlds = []
    for number, befriended in enumerate((True, False)):
        workspace = Workspace(tmp_path / str(number)).prepare()
        for name in ("listener", "token", "marks", "contacts"):
            (workspace.root / f"{name}.key").write_bytes(name.encode().ljust(32))
        publish(workspace)
        remember_plays(workspace, {"ana": ("PT", ["track-1"]), "ben": ("PT", ["track-1"])})
        client = Client(workspace, settings=settings, records=lambda _: iter(()))
        ben, cho = (Device(who, client, workspace=workspace, settings=settings) for who in ("ben", "cho"))
        if befriended:
            for who in ("ben", "cho"):
                decide(workspace, who, State.GIVEN, purpose=CONTACTS)
            befriend(ben, cho)
            ben.add("ana")
        worlds.append(_everything(Device("ana", client, workspace=workspace, settings=settings), monkeypatch))
    assert worlds[0] == worlds[1]


def _everything(ana: Device, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    monkeypatch.setattr("secrets.token_hex", lambda size=16: "0" * 2 * size)  # the receipt of an erasure
    asked: list[tuple[str, str, dict[str, object]]] = [
        *(
            ("GET", url, {})
            for url in (URL, f"{URL}/trending", "/v1/me/trending", f"/v1/me/trending?cell={LISBON}", "/v1/me/consents")
        ),
        *(("GET", url, {}) for url in ("/v1/me/data", "/v1/me/consents/receipts", "/v1/transparency", "/transparency")),
        ("POST", URL, {"json": {"added": ["A" * 22]}}),
        ("POST", URL, {"json": {"added": ["nonsense"]}}),
        ("POST", BLINDED, {"content": bytes(32)}),
        ("DELETE", "/v1/me/data", {}),
    ]
    answers = [ana.ask(method, url, **options) for method, url, options in asked]
    assert [answer.status_code for answer in answers if URL in str(answer.url)] == [403, 403, 403, 400, 403]
    return [told(answer) for answer in answers]


def test_a_token_of_another_listener_makes_nobody_a_friend_and_costs_as_much(new: New) -> None:
    """Accounts may put together what they had evaluated; what is told counts, whoever had it evaluated."""
    ana, ben, eve = map(new, ("ana", "ben", "eve"))
    befriend(ana, ben)
    (of_ben,) = ana.tokens(NUMBERS["ben"])
    assert eve.tell(added=[of_ben]).status_code == 204
    assert (eve.friends(), eve.told()["left"]) == ([], {"evaluated": 5_000, "told": 4_999})


def test_own_numbers_come_from_the_signed_token_alone(new: New, workspace: Workspace) -> None:
    ana, eve = new("ana"), new("eve")
    ana.add("ben")
    assert eve.tell(added=eve.tokens(NUMBERS["ana"])).status_code == 204
    for key in ("own", "identifiers", "identifier"):
        assert eve.ask("POST", URL, json={key: [NUMBERS["ben"]]}).status_code == 400
    forged = eve.headers()["Authorization"].replace("Bearer ", "").split(".")
    other = new("ben").headers()["Authorization"].split(".")
    mixed = {"Authorization": f"Bearer {forged[0]}.{other[1]}.{forged[2]}"}
    assert eve.ask("POST", URL, json={}, headers=mixed).status_code == 401
    assert (ana.friends(), eve.friends()) == ([], [])


@pytest.mark.parametrize(
    "claim",
    [
        *([], [351910000001], ["351910000001"], ["+351 910 000 001"], ["Ana@Example.org"], ["ana"], [""], [None]),
    ],
)
def test_who_has_no_verified_number_tells_nothing(
    new: New, client: Client, workspace: Workspace, settings: Settings, claim: object
) -> None:
    ana = new("ana", identifiers=claim)
    for answer in (ana.tell(added=["A" * 22]), ana.evaluate(_blinded(1))):
        assert (answer.status_code, answer.json()["type"]) in (
            (400, "/problems/bad-input"),
            (401, "/problems/identity"),
        )


def _blinded(count: int) -> bytes:
    return b"".join(ristretto.Client.blind(str(n).encode())[1].serialize() for n in range(count))


@pytest.mark.parametrize(
    "body",
    {
        "nothing": b"",
        "identity": bytes(32),
        "not canonical": b"\xff" * 32,
        "short": bytes(31),
        "cut": _blinded(1)[:31],
        "more": _blinded(1) + b"\0",
        "identity behind": _blinded(1) + bytes(32),
        "position": _blinded(1) + b"38.7223,-9.1393 " * 2,
        "too many": _blinded(251),
        "far too many": _blinded(251) * 3,
        "5,001": (_blinded(3) * 1_667),
    }.items(),
    ids=lambda each: each[0],
)
def test_what_is_no_sequence_of_elements_is_refused_and_costs_nothing(new: New, body: tuple[str, bytes]) -> None:
    ana = new("ana")
    answer = ana.evaluate(body[1])
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert ana.told()["left"] == {"evaluated": 5_000, "told": 5_000}


@pytest.mark.parametrize(
    "body",
    [
        {"added": ["A" * 21]},
        {"added": ["A" * 23]},
        {"added": ["A" * 21 + "="]},
        {"added": [1]},
        {"added": "A" * 22},
        {"added": ["A" * 22] * 251},
        {"added": ["A" * 22], "removed": ["A" * 22]},
        {"blocked": ["A" * 22], "removed": ["A" * 22]},
        {"friend": ["A" * 22]},
        {"added": ["38.7223,-9.1393 xxxxxx"]},
        [],
    ],
)
def test_what_is_no_telling_is_refused_and_costs_nothing(new: New, body: object) -> None:
    ana = new("ana")
    assert ana.ask("POST", URL, json=body).status_code == 400
    assert ana.told()["left"] == {"evaluated": 5_000, "told": 5_000}


def test_the_same_entry_twice_is_one(new: New) -> None:
    ana = new("ana")
    (token,) = ana.tokens(NUMBERS["ben"])
    assert ana.tell(added=[token, token]).status_code == 204
    assert ana.tell(added=[token]).status_code == 204
    assert ana.told()["left"] == {"evaluated": 4_999, "told": 4_999}


def test_no_more_is_evaluated_or_told_than_the_allowances_let(client: Client, workspace: Workspace) -> None:
    few = load_settings(overrides={"contacts": {"most": 10, "a_day": 2, "at_once": 10}})
    limited = Client(workspace, settings=few)
    ana = Device("ana", limited, workspace=workspace, settings=few)
    assert ana.evaluate(_blinded(9)).status_code == 200
    refused = ana.evaluate(_blinded(2))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "43200")
    assert ana.evaluate(_blinded(1)).status_code == 200
    assert ana.tell(added=[f"{n:022}" for n in range(10)]).status_code == 204
    assert ana.tell(removed=[f"{n:022}" for n in range(9)], added=["A" * 22]).status_code == 429
    assert len(ConsentLog(workspace.consents).contacts.told(_listener("ana", workspace))) == 11  # nothing was removed
    ana.ask("PUT", "/v1/me/consents/contacts", json=_WITHDRAW)
    limited.now += timedelta(minutes=1)
    ana.ask("PUT", "/v1/me/consents/contacts", json=_GIVE)
    assert ana.evaluate(_blinded(1)).status_code == 429  # turning it off and on again wins nothing
    ana.ask("DELETE", "/v1/me/data")
    limited.now += timedelta(minutes=1)
    ana.ask("PUT", "/v1/me/consents/contacts", json=_GIVE)
    assert ana.evaluate(_blinded(1)).status_code == 429  # nor does an erasure
    limited.now += timedelta(days=1)
    assert [ana.evaluate(_blinded(3)).status_code, ana.evaluate(_blinded(2)).status_code] == [429, 200]


def _listener(who: str, workspace: Workspace) -> str:
    return listener_of(who, key=workspace.listener_key())


def test_another_key_makes_other_tokens_and_ends_what_was_told(
    new: New, client: Client, workspace: Workspace, settings: Settings
) -> None:
    ana, ben = new("ana"), new("ben")
    befriend(ana, ben)
    (before,) = ana.tokens(NUMBERS["ben"])
    (workspace.root / "contacts.key").write_bytes(b"k" * 32)
    later = Client(workspace, settings=settings)
    ana, ben = (Device(who, later, workspace=workspace, settings=settings) for who in ("ana", "ben"))
    assert (ana.friends(), ben.friends()) == ([], [])
    assert ana.tokens(NUMBERS["ben"]) != [before]
    befriend(ana, ben)
    assert (ana.friends(), ben.friends()) == (["ben"], ["ana"])


def test_a_withdrawal_between_question_and_writing_wins(workspace: Workspace, client: Client, new: New) -> None:
    """Whoever tells while the switch is turned off ends with nothing kept, however the two fall together."""
    log, listener = ConsentLog(workspace.consents), _listener("ana", workspace)
    ana, at = new("ana"), client.now
    tokens = ana.tokens(*(f"+35192{n:07}" for n in range(40)))
    app, headers = client.app, ana.headers()
    start = threading.Barrier(2)

    def tell() -> set[int]:
        start.wait()
        requests = [("POST", URL, {"headers": headers, "json": {"added": [token]}}) for token in tokens]
        return {answer.status_code for answer in client.all(requests)}

    def withdraw() -> None:
        start.wait()
        log.decide(Entry(listener, CONTACTS, State.WITHDRAWN, at, "2026-09"))

    assert app
    with ThreadPoolExecutor(2) as pool:
        telling, ended = pool.submit(tell), pool.submit(withdraw)
        ended.result()
        assert telling.result() <= {204, 403}
    assert log.contacts.told(listener) == []
    with pytest.raises(ConsentError), log.allowing(listener, CONTACTS, at=at):
        pass


def test_an_erasure_leaves_no_byte_of_tokens(new: New, workspace: Workspace) -> None:
    ana, ben = new("ana"), new("ben")
    befriend(ana, ben)
    (of_ben,), of_ana = ana.tokens(NUMBERS["ben"]), Blinding(workspace.contacts_key()).token(NUMBERS["ana"])
    answer = ana.ask("DELETE", "/v1/me/data")
    log, listener = ConsentLog(workspace.consents), _listener("ana", workspace)
    log.erasures.finish(answer.json()["receipt"])
    ben.tell(removed=[of_ana])  # else it stays for as long as Ben's entry waits: that it went would tell of Ana
    ben.ask("PUT", "/v1/me/consents/contacts", json=_WITHDRAW)
    log.scrub()
    content = b"".join(path.read_bytes() for path in workspace.root.glob("consents.db*"))
    assert [each for each in (listener, of_ana, of_ben) if each.encode() in content] == []


def test_no_number_is_written_anywhere(workspace: Workspace, settings: Settings) -> None:
    """A real server: its output, its metrics, and every file; with what it refuses, and where it fails."""
    publish(workspace)
    server = Server(workspace)
    numbers = {"ana": "+351919191919", "ben": "ben.canary@example.org"}
    try:
        for who, number in numbers.items():
            signed = mint(who, workspace=workspace, settings=settings, now=datetime.now(UTC), identifiers=[number])
            with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {signed}"}) as client:
                client.put("/v1/me/consents/contacts", json=_GIVE | {"notice_version": _notice(settings)})
                key = ristretto.PublicKey.deserialize(bytes.fromhex(client.get(URL).json()["key"]["public"]))
                (other,) = (each for each in numbers.values() if each != number)
                blind, blinded = ristretto.Client.blind(other.encode())
                answer = client.post(BLINDED, content=blinded.serialize())
                assert answer.status_code == 200
                evaluated = ristretto.VerifiableBatchOutput.deserialize(answer.content)
                (token,) = map(token_of, ristretto.Client.finalize_batch([blind], evaluated, key))
                client.post(URL, json={"added": [other]})
                client.post(URL, content=other.encode())
                client.post(BLINDED, content=other.encode())
                client.get(f"{URL}?number={other}")
                assert client.post(URL, json={"added": [token]}).status_code == 204
        written = server.stop()
    finally:
        server.stop(signal.SIGKILL)
    canaries = [part for number in numbers.values() for part in (number, number.strip("+"))]
    files = [path.read_bytes() for path in workspace.root.parent.rglob("*") if path.is_file()]
    assert [canary for canary in canaries if canary in written or any(canary.encode() in each for each in files)] == []


def _notice(settings: Settings) -> str:
    return settings.consents.notice_version
