"""Sharing under one's own name is a choice for each friend: nobody else sees name or picture, and none for longer.

Whoever has an address of a picture sees it while it is good, as of all pictures: so it is given to that friend alone.
"""

from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pytest
from PIL import Image
from support.contacts import NUMBERS, URL, Device, befriend
from support.edge import Client, decide, publish, remember_plays, told

from recsys.consents.log import Purpose, State
from recsys.settings import Settings
from recsys.workspace import Workspace

FRIENDS = ("ben", "cho", "dov", "eve", "fay")
SONG, OTHER = "track-1", "track-2"
_WITHDRAW = {"state": "withdrawn", "notice_version": "2026-09"}
_LISTED = f"{URL}/trending"

New = Callable[[str], Device]


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    for who in NUMBERS:
        for purpose in (Purpose.CONTACTS, Purpose.CONTRIBUTE_TRENDS, Purpose.IMAGES):
            decide(workspace, who, State.GIVEN, purpose=purpose)
    befriend(workspace, "ana", *FRIENDS)
    befriend(workspace, "gus", "ben")
    return Client(workspace, settings=settings, records=lambda _: iter(()))


@pytest.fixture
def new(client: Client, workspace: Workspace, settings: Settings) -> New:
    return lambda who: Device(who, client, workspace=workspace, settings=settings)


def share(device: Device, *others: str, which: str = "shared") -> None:
    assert device.tell(**{which: device.tokens(*(NUMBERS[other] for other in others))}).status_code == 204


def show(device: Device) -> None:
    picture = BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")
    sent = device.ask("PUT", "/v1/me/images/profile", content=picture.getvalue(), headers={"Content-Type": "image/png"})
    assert sent.status_code == 200, sent.text


def picture_of(other: str, device: Device) -> str | None:
    (token,) = device.tokens(NUMBERS[other])
    (found,) = (friend for friend in device.told()["friends"] if friend["token"] == token)
    return found.get("picture")  # type: ignore[no-any-return]


def test_who_shares_shows_a_picture_to_that_friend_alone(new: New, client: Client) -> None:
    ana, ben, gus = new("ana"), new("ben"), new("gus")
    show(ben)
    assert (picture_of("ben", ana), picture_of("ben", gus)) == (None, None)
    share(ben, "ana")
    address = picture_of("ben", ana)
    assert address is not None
    assert picture_of("ben", gus) is None
    assert client.get(address).content == ben.ask("GET", "/v1/me/images/profile").content
    of_ana, of_ben = (device.told()["friends"] for device in (ana, ben))
    assert sorted(sorted(friend) for friend in of_ana) == [*[["picture", "shares", "token"]], *[["token"]] * 4]
    assert sorted(sorted(friend) for friend in of_ben) == [["shared", "token"], ["token"]]


_ENDINGS: dict[str, Callable[[Device, Device], object]] = {
    "unshares": lambda ben, _: share(ben, "ana", which="unshared"),
    "unfriends": lambda ben, _: ben.tell(removed=ben.tokens(NUMBERS["ana"])),
    "blocks": lambda ben, _: ben.tell(blocked=ben.tokens(NUMBERS["ana"])),
    "is unfriended": lambda _, ana: ana.tell(removed=ana.tokens(NUMBERS["ben"])),
    "turns images off": lambda ben, _: ben.ask("PUT", "/v1/me/consents/images", json=_WITHDRAW),
    "turns contacts off": lambda ben, _: ben.ask("PUT", "/v1/me/consents/contacts", json=_WITHDRAW),
    "the friend turns contacts off": lambda _, ana: ana.ask("PUT", "/v1/me/consents/contacts", json=_WITHDRAW),
    "removes it": lambda ben, _: ben.ask("DELETE", "/v1/me/images/profile"),
    "is erased": lambda ben, _: ben.ask("DELETE", "/v1/me/data"),
    "the friend is erased": lambda _, ana: ana.ask("DELETE", "/v1/me/data"),
}


@pytest.mark.parametrize("ending", _ENDINGS)
def test_an_address_that_a_friend_has_shows_nothing_once_it_ends(new: New, client: Client, ending: str) -> None:
    ana, ben = new("ana"), new("ben")
    show(ben)
    share(ben, "ana")
    address = picture_of("ben", ana)
    assert address is not None
    never = told(client.get("/v1/images/abcdefgh"))
    assert client.get(address).status_code == 200
    _ENDINGS[ending](ben, ana)
    assert told(client.get(address)) == never


_PARTINGS: dict[str, Callable[[Device, Device], object]] = {
    "is unfriended": lambda _, ana: ana.tell(removed=ana.tokens(NUMBERS["ben"])),
    "is blocked": lambda _, ana: [
        ana.tell(blocked=ana.tokens(NUMBERS["ben"])),
        ana.tell(removed=ana.tokens(NUMBERS["ben"])),
    ],
    "the friend turns contacts off": lambda _, ana: ana.ask("PUT", "/v1/me/consents/contacts", json=_WITHDRAW),
}


@pytest.mark.parametrize("parting", _PARTINGS)
def test_who_becomes_a_friend_again_is_shared_with_anew_or_not_at_all(
    new: New, client: Client, workspace: Workspace, parting: str
) -> None:
    ana, ben = new("ana"), new("ben")
    show(ben)
    share(ben, "ana")
    assert picture_of("ben", ana) is not None
    client.now += timedelta(minutes=1)
    _PARTINGS[parting](ben, ana)
    client.now += timedelta(days=200)  # until there are allowances again
    ana.ask("PUT", "/v1/me/consents/contacts", json=_WITHDRAW | {"state": "given"})
    ana.add("ben")
    ben.add("ana")
    assert picture_of("ben", ana) is None
    share(ben, "ana")
    assert picture_of("ben", ana) is not None


def test_an_address_is_good_for_an_hour(new: New, client: Client) -> None:
    ana, ben = new("ana"), new("ben")
    show(ben)
    share(ben, "ana")
    address = picture_of("ben", ana)
    client.now += timedelta(hours=1)
    assert client.get(str(address)).status_code == 404


def test_who_shares_or_has_a_picture_does_not_show_in_the_length(new: New) -> None:
    ana, ben = new("ana"), new("ben")
    before = ana.ask("GET", URL)
    show(ben)
    share(ben, "ana")
    after = ana.ask("GET", URL)
    assert told(before)[:2] == told(after)[:2]
    assert len(before.content) == len(after.content)


def named(device: Device) -> dict[str, list[str]]:
    """Who is named beside which tracks, as the device reads its book."""
    book = {device.tokens(NUMBERS[who])[0]: who for who in FRIENDS}
    items = device.ask("GET", _LISTED).json()["items"]
    return {item["track_id"]: [book[token] for token in item["friends"]] for item in items}


def test_only_who_shares_is_named_and_the_others_are_counted_by_themselves(new: New, workspace: Workspace) -> None:
    """Of five who played it two share: it would be told who the other three are, and so nothing is."""
    remember_plays(workspace, {who: ("PT", [SONG]) for who in FRIENDS})
    ana = new("ana")
    assert named(ana) == {SONG: []}
    for who in FRIENDS[:2]:
        share(new(who), "ana")
    assert named(ana) == {}
    share(new(FRIENDS[2]), "ana")
    assert {track: sorted(who) for track, who in named(ana).items()} == {SONG: sorted(FRIENDS[:3])}
    remember_plays(workspace, {who: ("PT", [SONG if who in FRIENDS[1:] else OTHER]) for who in FRIENDS})
    assert named(ana) == {}  # of two who share and two who do not


def test_a_list_that_names_somebody_is_as_long_as_any(new: New, workspace: Workspace) -> None:
    remember_plays(workspace, {who: ("PT", [SONG]) for who in FRIENDS})
    ana = new("ana")
    before = ana.ask("GET", _LISTED)
    for who in FRIENDS:
        share(new(who), "ana")
    after = ana.ask("GET", _LISTED)
    assert len(after.json()["items"][0]["friends"]) == 5
    assert told(after)[:2] == told(before)[:2]
    assert len(after.content) == len(before.content) == len(new("hal").ask("GET", _LISTED).content)


def test_sharing_with_a_stranger_tells_nobody_anything(new: New) -> None:
    """Who marks the entry of somebody who is no friend is answered as for a friend, and shown to nobody."""
    eve, hal = new("eve"), new("hal")
    show(eve)
    (token,) = eve.tokens(NUMBERS["hal"])
    answers = [told(eve.tell(added=[token], shared=[each])) for each in (token, *eve.tokens(NUMBERS["ana"]))]
    assert answers[0] == answers[1]
    assert hal.told()["friends"] == []
    assert ["shares" in friend for friend in new("ana").told()["friends"]].count(True) == 1
