"""Pictures are by choice and for whom they are: nobody learns by them who exists, and nothing else is kept."""

import json
import sqlite3
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.edge import NOW, Client, bearer, decide, publish, told
from support.picturing import FORMATS, drawn, file_of, traces, with_canaries

from recsys.consents.database import Database
from recsys.consents.log import ConsentLog, Purpose, State
from recsys.serving.pictures.addresses import PictureAddresses, Shown
from recsys.serving.pictures.kinds import KINDS
from recsys.serving.pictures.making import Maker
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace, listener_of

IMAGES = Purpose.IMAGES
PICTURE = file_of(drawn())
OTHER = file_of(drawn().rotate(180))
GIVE, WITHDRAW = ({"state": state, "notice_version": "2026-09"} for state in ("given", "withdrawn"))


class Listener:
    """Somebody with the application, signed in."""

    def __init__(self, who: str, client: Client, workspace: Workspace, settings: Settings) -> None:
        self.who, self._client, self._workspace, self._settings = who, client, workspace, settings

    def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        headers = bearer(self.who, workspace=self._workspace, settings=self._settings, now=self._client.now)
        return self._client.request(method, url, headers=headers | options.pop("headers", {}), **options)

    def put(self, content: bytes = PICTURE, kind: str = "profile", **options: Any) -> httpx.Response:
        return self.ask("PUT", f"/v1/me/images/{kind}", content=content, **options)

    def get(self, kind: str = "profile") -> httpx.Response:
        return self.ask("GET", f"/v1/me/images/{kind}")

    def addresses(self) -> dict[str, str | None]:
        return {each["image"]: each["address"] for each in self.ask("GET", "/v1/me/images").json()["images"]}

    def turn(self, decision: dict[str, str]) -> None:
        assert self.ask("PUT", f"/v1/me/consents/{IMAGES}", json=decision).status_code == 200

    def kept(self) -> list[str]:
        listener = listener_of(self.who, key=self._workspace.listener_key())
        return sorted(ConsentLog(self._workspace.consents).pictures.editions(listener))


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    for who in ("ana", "ben"):
        decide(workspace, who, State.GIVEN, purpose=IMAGES)
    return Client(workspace, settings=settings, records=lambda listener: iter(()))


@pytest.fixture
def ana(client: Client, workspace: Workspace, settings: Settings) -> Listener:
    return Listener("ana", client, workspace, settings)


@pytest.fixture
def ben(client: Client, workspace: Workspace, settings: Settings) -> Listener:
    return Listener("ben", client, workspace, settings)


def files(workspace: Workspace) -> Iterator[bytes]:
    yield from (path.read_bytes() for path in workspace.root.rglob("*") if path.is_file())


def outside(answer: httpx.Response) -> tuple[object, ...]:
    """What somebody on the line could see: how long the status line, the headers and the body are, taken together."""
    named = {"content-type", "content-length"}
    more = tuple((name, len(value)) for name, value in answer.headers.items() if name not in named)
    together = len(answer.reason_phrase) + len(answer.headers["content-type"]) + len(answer.headers["content-length"])
    return together + len(answer.content), more


def test_a_chosen_picture_is_shown_until_it_is_replaced_or_removed(ana: Listener, client: Client) -> None:
    for kind in KINDS:
        first = ana.put(kind=kind).json()["address"]
        assert client.get(first).content == ana.get(kind).content
        second = ana.put(OTHER, kind=kind).json()["address"]
        assert client.get(first).status_code == 404
        assert client.get(second).content == ana.get(kind).content
        assert ana.ask("DELETE", f"/v1/me/images/{kind}").status_code == 204
        assert {client.get(first).status_code, client.get(second).status_code, ana.get(kind).status_code} == {404}
    assert set(ana.addresses().values()) == {None}


def test_an_old_address_stays_dead_when_the_same_picture_is_chosen_again(ana: Listener, client: Client) -> None:
    """Replaced, removed, or gone with the switch: who had the address once is not shown what is chosen later."""
    kind = "covers/twin"
    old = [ana.put(kind=kind).json()["address"]]
    ana.put(OTHER, kind=kind)
    old.append(ana.put(kind=kind).json()["address"])
    ana.ask("DELETE", f"/v1/me/images/{kind}")
    old.append(ana.put(kind=kind).json()["address"])
    for decision in (WITHDRAW, GIVE):
        client.now += timedelta(seconds=1)
        ana.turn(decision)
    now = ana.put(kind=kind).json()["address"]
    assert [client.get(address).status_code for address in (*old, now)] == [404, 404, 404, 200]


def test_the_default_is_no_and_another_purpose_does_not_help(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    cho = Listener("cho", client, workspace, settings)
    for purpose in set(Purpose) - {IMAGES}:
        decide(workspace, "cho", State.GIVEN, purpose=purpose)
    answers = [cho.put(content) for content in (PICTURE, b"", b"hello")]
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {(403, "/problems/consent")}
    assert cho.kept() == []


@pytest.mark.parametrize("format_", FORMATS)
def test_nothing_that_a_file_says_of_itself_is_in_any_answer_file_or_log(
    ana: Listener, workspace: Workspace, format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seven kinds of metadata, and what a client may say of the file in headers."""
    sent, name = with_canaries(format_), "canary-name-4711.jpg"
    said = {"Content-Disposition": f'attachment; filename="{name}"', "Last-Modified": "Sun, 01 Nov 2026 04:47:11 GMT"}
    answers = [ana.put(sent, kind, headers=said) for kind in KINDS]
    assert {answer.status_code for answer in answers} == {200}
    answers += [ana.get(kind) for kind in KINDS]
    export = ana.ask("GET", "/v1/me/data")
    lines = map(json.loads, export.text.splitlines())
    pictures = {line["image"]: b64decode(line["jpeg_base64"]) for line in lines if line["kind"] == "picture"}
    assert sorted(pictures) == sorted(KINDS)
    written = "".join(capsys.readouterr()).encode()
    for content in (
        *(answer.content for answer in answers),
        export.content,
        *pictures.values(),
        *files(workspace),
        written,
    ):
        assert traces(content) == []
        assert not any(text in content for text in (name.encode(), b"04:47:11", sent[-64:]))
    for kind, picture in pictures.items():
        assert picture in _whole(workspace.consents), "what is exported is what is kept"
        assert ana.get(kind).content.rstrip(b"\0") == picture


def _whole(place: Path) -> bytes:
    """All pictures that a consent log holds, one after the other: in the file a large one is in pieces."""
    with closing(sqlite3.connect(place)) as database:
        return b"".join(content for (content,) in database.execute("SELECT content FROM pictures"))


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", 415),
        (b"GIF89a" + PICTURE, 415),
        (PICTURE[:-20], 400),
        (PICTURE + b"PK\3\4canary", 400),
        (file_of(drawn(), "WEBP", save_all=True, append_images=[drawn().rotate(90)]), 400),
        (b"\0" * 8_000_001, 413),
    ],
    ids=["nothing", "svg", "gif", "cut", "two", "moving", "large"],
)
def test_what_is_no_picture_is_refused_and_leaves_what_was_there(ana: Listener, content: bytes, status: int) -> None:
    ana.put()
    before = ana.get().content
    answer = ana.put(content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"canary" not in answer.content
    assert ana.get().content == before


def test_a_body_of_unknown_length_is_refused_unread(ana: Listener) -> None:
    answer = ana.ask("PUT", "/v1/me/images/profile", headers={"Transfer-Encoding": "chunked"}, content=PICTURE)
    assert answer.status_code == 413
    assert ana.kept() == []


def test_who_sends_two_pictures_at_a_time_waits_with_the_second(
    ana: Listener, ben: Listener, client: Client, workspace: Workspace
) -> None:
    """It is for the listener to wait (429), and no failure of the server; others are taken in meanwhile."""
    with client.app.state.endpoint.pictures.taking(listener_of("ana", key=workspace.listener_key())):
        answer = ana.put()
        assert ben.put().status_code == 200
    assert (answer.status_code, answer.json()["type"]) == (429, "/problems/too-many-requests")
    assert int(answer.headers["retry-after"]) > 0
    assert ana.put().status_code == 200


def test_a_withdrawal_while_a_picture_is_on_its_way_counts(
    ana: Listener, client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the first look at the switch, and before anything is written; also where it is given once more."""
    real = Maker.made

    def slow(*given: Any, **more: Any) -> bytes:
        decide(workspace, "ana", State.WITHDRAWN, purpose=IMAGES, at=client.now)
        return real(*given, **more)

    monkeypatch.setattr(Maker, "made", slow)
    assert ana.put().status_code == 403
    assert ana.kept() == []


def test_an_erasure_while_a_picture_is_on_its_way_counts(
    ana: Listener, client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Maker.made

    def slow(*given: Any, **more: Any) -> bytes:
        listener = listener_of("ana", key=workspace.listener_key())
        ConsentLog(workspace.consents).erasures.ask(listener, at=client.now)
        return real(*given, **more)

    monkeypatch.setattr(Maker, "made", slow)
    assert ana.put().status_code == 403
    assert ana.kept() == []


def test_withdrawing_takes_the_pictures_along_at_once(ana: Listener, ben: Listener, client: Client) -> None:
    addresses = [ana.put(kind=kind).json()["address"] for kind in KINDS]
    others = ben.put().json()["address"]
    client.now += timedelta(seconds=1)
    ana.turn(WITHDRAW)
    assert ana.kept() == []
    assert {client.get(address).status_code for address in addresses} == {404}
    client.now += timedelta(seconds=1)
    ana.turn(GIVE)
    assert {client.get(address).status_code for address in addresses} == {404}
    assert set(ana.addresses().values()) == {None}
    assert client.get(others).status_code == 200


def test_under_a_notice_that_is_not_in_force_a_picture_waits_unseen(
    ana: Listener, client: Client, workspace: Workspace
) -> None:
    address = ana.put().json()["address"]
    later = load_settings(overrides={"consents": {"notice_version": "2027-01", "earlier_notices": {}}})
    after = Client(workspace, settings=later)
    assert (client.get(address).status_code, after.get(address).status_code) == (200, 404)
    assert ana.kept() == ["profile"]


def test_an_erasure_leaves_nothing_of_a_picture(ana: Listener, client: Client, workspace: Workspace) -> None:
    address, editions = ana.put(kind="covers/trending").json()["address"], ana.kept()
    kept = _whole(workspace.consents)
    piece = kept[len(kept) // 2 :][:48]
    assert editions
    assert any(piece in content for content in files(workspace))
    receipt = ana.ask("DELETE", "/v1/me/data").json()["receipt"]
    assert client.get(address).status_code == 404
    ConsentLog(workspace.consents).erasures.finish(receipt)
    assert not any(piece in content for content in files(workspace))


def test_who_has_no_picture_is_answered_in_as_many_bytes_and_after_the_same_questions(
    ana: Listener, client: Client, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a picture, with the switch alone, without it, never seen, and erased."""
    ben, cho, dan = (Listener(who, client, workspace, settings) for who in ("ben", "cho", "dan"))
    decide(workspace, "dan", State.GIVEN, purpose=IMAGES)
    dan.put()
    dan.ask("DELETE", "/v1/me/data")
    for kind in KINDS:
        ana.put(kind=kind)
    asked: list[str] = []
    real = Database.read

    def counted(self: Database, query: str, *values: Any) -> Any:
        asked.append(query)
        return real(self, query, *values)

    monkeypatch.setattr(Database, "read", counted)
    for url in ("/v1/me/images", *(f"/v1/me/images/{kind}" for kind in KINDS)):
        seen = set()
        for who in (ana, ben, cho, dan):
            asked.clear()
            seen.add((outside(who.ask("GET", url)), tuple(asked)))
        assert len(seen) == 1, url
        without = {told(who.ask("GET", url)) for who in (ben, cho, dan)}
        assert len(without) == 1, url
    for kind in KINDS:
        assert len({told(who.ask("DELETE", f"/v1/me/images/{kind}")) for who in (ana, ben, cho, dan)}) == 1


def test_an_address_shows_a_picture_or_nothing_in_as_many_bytes(ana: Listener, client: Client) -> None:
    for kind in KINDS:
        address = ana.put(kind=kind).json()["address"]
        before = outside(client.get(address))
        ana.ask("DELETE", f"/v1/me/images/{kind}")
        assert outside(client.get(address)) == before


@pytest.mark.parametrize("side", [200, 201])
def test_a_picture_or_none_takes_as_many_bytes_also_where_its_length_has_more_digits(
    workspace: Workspace, client: Client, ana: Listener, side: int
) -> None:
    """200 pixels a side make 10,000 bytes, and what says that there is none is shorter."""
    other = Client(workspace, settings=load_settings(overrides={"images": {"profile_side": side}}))
    address = ana.put().json()["address"]
    before = outside(other.get(address))
    ana.ask("DELETE", "/v1/me/images/profile")
    assert outside(other.get(address)) == before


def test_an_address_ends_soon_and_is_good_for_nothing_else(
    ana: Listener, ben: Listener, client: Client, settings: Settings
) -> None:
    address = str(ana.put(kind="covers/twin").json()["address"])
    name = address.rsplit("/", 1)[1]
    twice = str(ana.addresses()["covers/twin"])
    assert sum(a == b for a, b in zip(name, twice.rsplit("/", 1)[1], strict=True)) < len(name) / 2, "alike in nothing"
    forged = [name[:at] + ("a" if name[at] != "a" else "b") + name[at + 1 :] for at in range(0, len(name), 7)]
    for each in (*forged, name[:-2], name + "aa", name.upper(), "a", "", name[::-1], "%2e%2e%2fconsents.db", "é"):
        assert client.get(f"/v1/images/{each}").status_code == 404, each
    for each in (
        "/v1/me/images/covers/..%2fprofile",
        "/v1/me/images/..%2f..%2f..%2fconsents.db",
        "/v1/me/images/covers/%00",
    ):
        assert ben.ask("GET", each).status_code in {400, 404}
    client.now += timedelta(minutes=settings.images.address_minutes - 1)
    assert client.get(address).status_code == 200
    client.now += timedelta(minutes=1)
    assert client.get(address).status_code == 404


def test_only_the_listeners_own_address_shows_a_profile_picture(
    ana: Listener, client: Client, workspace: Workspace
) -> None:
    """One that was made for somebody else shows nothing; whoever has the listener's own sees the picture."""
    ana.put()
    me, other = (listener_of(who, key=workspace.listener_key()) for who in ("ana", "ben"))
    edition = ConsentLog(workspace.consents).pictures.editions(me)["profile"]
    addresses: PictureAddresses = client.app.state.endpoint.addresses
    for viewer, status in ((me, 200), (other, 404)):
        address, _ = addresses.address_of(Shown(me, "profile", edition, viewer), now=client.now)
        assert client.get(address).status_code == status


def test_addresses_of_another_key_open_nothing(ana: Listener, client: Client, workspace: Workspace) -> None:
    ana.put()
    me = listener_of("ana", key=workspace.listener_key())
    edition = ConsentLog(workspace.consents).pictures.editions(me)["profile"]
    forged, _ = PictureAddresses(b"k" * 32, minutes=60).address_of(Shown(me, "profile", edition, me), now=client.now)
    assert client.get(forged).status_code == 404


def test_no_cache_keeps_a_picture_and_no_log_an_address(
    ana: Listener, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ana.put().json()["address"]
    for answer in (ana.get(), client.get(address), client.get(address[:-1]), ana.ask("GET", "/v1/me/images")):
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    log = "".join(capsys.readouterr())
    assert address.rsplit("/", 1)[1] not in log
    assert "/v1/images/{name}" in log


def test_no_picture_is_of_the_time_of_the_request(ana: Listener, client: Client, workspace: Workspace) -> None:
    """The same picture sent later is kept as the same bytes: when it came is nowhere."""
    ana.put()
    first = _whole(workspace.consents)
    client.now = NOW + timedelta(minutes=5)
    ana.put()
    assert _whole(workspace.consents) == first
