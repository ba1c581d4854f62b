"""Feedback is by choice and about lists of one's own: nobody learns by it who exists, or who hid what."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from typing import Any

import httpx
import pytest
from support import edge
from support.edge import (
    LISBON,
    NOW,
    PORTO,
    RIVALS,
    Client,
    bearer,
    decide,
    items,
    keep_nights,
    publish,
    remember,
    told,
)
from support.sealing import sealed_in

from recsys.artifacts import affinities
from recsys.consents.log import ConsentLog, Purpose, State
from recsys.serving.lists import list_ids
from recsys.serving.lists.list_ids import public_list
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of

URL = "/v1/me/feedback"
FEEDBACK = Purpose.FEEDBACK
GIVE, WITHDRAW = ({"state": state, "notice_version": "2026-09"} for state in ("given", "withdrawn"))


class Listener:
    """Somebody with the application, signed in."""

    def __init__(self, who: str, client: Client, workspace: Workspace, settings: Settings) -> None:
        self.who, self._client, self._workspace = who, client, workspace
        self._settings = settings

    def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        headers = bearer(self.who, workspace=self._workspace, settings=self._settings, now=self._client.now)
        return self._client.request(method, url, headers=headers | options.pop("headers", {}), **options)

    def near(self, query: str = "limit=5") -> dict[str, Any]:
        answer = self.ask("GET", f"/v1/me/trending?{query}")
        assert answer.status_code == 200
        return dict(answer.json())

    def tracks(self, query: str = "limit=5") -> list[str]:
        return [item["track_id"] for item in self.near(query)["items"]]

    def tell(self, **body: Any) -> httpx.Response:
        return self.ask("POST", URL, json=body)

    def kept(self) -> list[tuple[str, str]]:
        log = ConsentLog(self._workspace.consents)
        listener = listener_of(self.who, key=self._workspace.listener_key())
        return [(kind, track) for kind, _, track, _ in log.feedback.told(listener)]


def outside(answer: httpx.Response) -> tuple[object, ...]:
    """What somebody on the line could see: the status, the headers and how long they are."""
    return answer.status_code, tuple((name, len(value)) for name, value in answer.headers.items())


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    for who in ("ana", "ben"):
        decide(workspace, who, State.GIVEN, purpose=FEEDBACK)
    return Client(workspace, settings=settings)


@pytest.fixture
def ana(client: Client, workspace: Workspace, settings: Settings) -> Listener:
    return Listener("ana", client, workspace, settings)


@pytest.fixture
def ben(client: Client, workspace: Workspace, settings: Settings) -> Listener:
    return Listener("ben", client, workspace, settings)


def test_what_is_hidden_is_gone_from_the_next_request_and_from_nobody_elses_list(ana: Listener, ben: Listener) -> None:
    first = ana.near()
    answer = ana.tell(list=first["list"], hidden=["track-2"], played=["track-1"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert ana.tracks() == ["track-1", "track-3", "track-4", "track-5", "track-6"]  # as long as before
    assert ben.tracks() == ["track-1", "track-2", "track-3", "track-4", "track-5"]
    chart = ana.ask("GET", "/v1/regions/world/charts/popular?limit=2").json()["items"]
    assert [item["track_id"] for item in chart] == ["track-1", "track-2"]  # public charts are everybody's
    assert ana.tell(list=ana.near()["list"], shown=["track-2"]).status_code == 204  # which is not on it
    assert ana.tracks() == ["track-1", "track-2", "track-3", "track-4", "track-5"]


def test_what_is_hidden_stays_hidden_on_the_next_night_and_near_a_place(
    ana: Listener, client: Client, workspace: Workspace
) -> None:
    decide(workspace, "ana", State.GIVEN)
    ana.tell(list=ana.near()["list"], hidden=["track-1"])
    publish(workspace, as_of="2026-11-01")
    client.now += timedelta(days=1)
    assert ana.near()["as_of"] == "2026-11-01"
    assert "track-1" not in ana.tracks("limit=100") + ana.tracks(f"limit=100&cell={LISBON}")


def test_the_default_is_no(client: Client, workspace: Workspace, settings: Settings) -> None:
    """And another purpose does not help; whatever is sent, the answer is the same."""
    cho = Listener("cho", client, workspace, settings)
    for purpose in set(Purpose) - {FEEDBACK}:
        decide(workspace, "cho", State.GIVEN, purpose=purpose)
    own, public = cho.near()["list"], client.get("/v1/regions/PT/charts/popular").json()["list"]
    bodies = [{"list": id_, "hidden": [track]} for id_ in (own, public, "nonsense") for track in ("track-1", "nothing")]
    answers = [cho.tell(**body) for body in bodies]
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {(403, "/problems/consent")}
    assert len({told(answer) for answer in answers}) == 1
    assert cho.kept() == []


def test_a_withdrawal_between_list_and_feedback_counts_and_takes_what_was_told_along(ana: Listener) -> None:
    id_ = ana.near()["list"]
    ana.tell(list=id_, hidden=["track-1"], played=["track-2"])
    assert ana.ask("PUT", f"/v1/me/consents/{FEEDBACK}", json=WITHDRAW).status_code == 200
    assert ana.tell(list=id_, hidden=["track-3"]).status_code == 403
    assert ana.kept() == []
    assert ana.tracks() == ["track-1", "track-2", "track-3", "track-4", "track-5"]


def test_a_withdrawal_while_feedback_is_on_its_way_counts(
    ana: Listener, client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the first look at the switch, and before anything is written."""
    id_, real = ana.near()["list"], list_ids.ListIds.listed

    def slow(*given: Any, **more: Any) -> Any:
        decide(workspace, "ana", State.WITHDRAWN, purpose=FEEDBACK, at=client.now)
        return real(*given, **more)

    monkeypatch.setattr(list_ids.ListIds, "listed", slow)
    assert ana.tell(list=id_, hidden=["track-1"]).status_code == 403
    assert ana.kept() == []


def test_of_a_list_that_may_not_be_used_everybody_is_told_the_same(
    ana: Listener, ben: Listener, client: Client, workspace: Workspace
) -> None:
    id_ = ana.near()["list"]
    flipped = bytearray(urlsafe_b64decode(id_ + "=" * (-len(id_) % 4)))
    flipped[20] ^= 1
    changed = urlsafe_b64encode(flipped).rstrip(b"=").decode()
    of_before = public_list("2026-10-30-0123abcd", "world", "popular")  # another snapshot's
    wrong = [ben.near()["list"], changed, id_[:-1], id_ + "A", id_ + "=", f" {id_}", "", "ñ", of_before, "A" * 9_000]
    answers = [ana.tell(list=each, hidden=["track-1"]) for each in wrong]
    publish(workspace, as_of="2026-11-01")
    answers.append(ana.tell(list=id_, hidden=["track-1"]))  # of another snapshot
    today = ana.near()["list"]
    client.now += timedelta(hours=24)
    answers.append(ana.tell(list=today, hidden=["track-1"]))  # too old
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {(404, "/problems/unknown-list")}
    assert len({told(answer) for answer in answers}) == 1
    assert ana.kept() == []


def test_a_track_that_is_unknown_and_one_that_is_not_on_the_list_are_told_apart_by_nobody(ana: Listener) -> None:
    id_ = ana.near("limit=3")["list"]
    answers = [ana.tell(list=id_, **{kind: ["track-1", each]}) for kind in ("played", "hidden", "shown") for each in
               ("track-4", "no such track", "", "x" * 900)]  # fmt: skip
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {(404, "/problems/unknown-song")}
    assert len({told(answer) for answer in answers}) == 1
    assert ana.kept() == []  # nor the track that is on it


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe{\x00}\x00",
        b'{"hidden": ["track-1"]}',
        b'{"list": 3}',
        b'{"list": "a", "hidden": "track-1"}',
        b'{"list": "a", "hidden": [1]}',
        b'{"list": "a", "liked": ["track-1"]}',
        b"[" * 9_000,
        b'{"list": "' + b"a" * 17_000 + b'"}',
    ],
)
def test_a_body_that_does_not_fit_is_refused_in_our_words(ana: Listener, body: bytes) -> None:
    answer = ana.ask("POST", URL, content=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-input")
    assert "track" not in answer.json()["detail"]


def test_a_track_cannot_be_hidden_and_shown_at_once(ana: Listener) -> None:
    both = ana.tell(list=ana.near()["list"], hidden=["track-1"], shown=["track-1"])
    assert (both.status_code, ana.kept()) == (400, [])


def test_a_position_is_refused_in_a_body_too(ana: Listener) -> None:
    for body in ({"list": "38.7223, -9.1393"}, {"list": "a", "latitude": 38.7}, {"list": "a", "hidden": ["lat: 38.7"]}):
        answer = ana.ask("POST", URL, json=body)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/position")
    assert ana.ask("POST", f"{URL}?lat=38.72", json={"list": "a"}).json()["type"] == "/problems/position"


def test_ids_of_tracks_may_read_like_positions(
    client: Client, ana: Listener, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are public; next to one, a position is refused as ever."""
    ids = ["lat:3", "spotify:geo:abc", "38.7223, -9.1393"]
    monkeypatch.setattr(edge, "items", lambda place, *, size: renamed(items(place, size=size), ids))
    publish(workspace, as_of="2026-11-01")
    listed = ana.near()
    assert [item["track_id"] for item in listed["items"]][:3] == ids
    assert ana.tell(list=listed["list"], hidden=ids).status_code == 204
    assert ana.tell(list=listed["list"], hidden=["lat:3", "lat:38"]).json()["type"] == "/problems/position"
    assert ana.tell(list="lat:38", hidden=ids).json()["type"] == "/problems/position"
    assert not set(ids) & set(ana.tracks())


def renamed(lines: list[dict[str, Any]], ids: list[str]) -> list[dict[str, Any]]:
    return [line | {"track_id": id_} for line, id_ in zip(lines, ids, strict=False)] + lines[len(ids) :]


def test_a_chart_of_another_night_has_no_id_as_nothing_is_told_of_it(client: Client, workspace: Workspace) -> None:
    """And so it is the same on the next night, as it is kept for ever."""
    keep_nights(workspace)
    asked = [f"/v1/regions/PT/charts/popular?{what}" for what in ("night=2026-10-20", "week=2026-W42")]
    before = [client.get(url) for url in asked]
    assert [(answer.status_code, "list" in answer.json()) for answer in before] == [(200, False)] * 2
    publish(workspace, as_of="2026-11-01")
    client.now += timedelta(days=1)
    assert [client.get(url).json() for url in asked] == [answer.json() for answer in before]


def test_the_same_feedback_again_changes_nothing(rivals: Listener, client: Client) -> None:
    body = {"list": rivals.near("limit=10")["list"], "played": ["track-20", "track-20"], "hidden": ["track-21"]}
    for _ in range(3):
        assert rivals.tell(**body).status_code == 204
        client.now += timedelta(minutes=5)
    assert rivals.kept() == [("hidden", "track-21"), ("played", "track-20")]


def test_a_public_list_has_an_id_that_anybody_may_tell_of(ana: Listener, client: Client) -> None:
    charts = [client.get(f"/v1/regions/{place}/charts/popular").json() for place in ("PT", "world", PORTO, "PT")]
    assert len({chart["list"] for chart in charts}) == 3
    assert charts[0]["list"] == charts[3]["list"]  # it is in files that are the same for everybody
    assert ana.tell(list=charts[0]["list"], hidden=["track-9"]).status_code == 204
    assert "track-9" not in ana.tracks("limit=50")
    assert ana.tell(list=charts[0]["list"], hidden=["nothing"]).status_code == 404


def test_an_id_is_as_long_for_everybody_and_says_nothing(ana: Listener, client: Client, workspace: Workspace) -> None:
    """Neither where a list is of, nor whose, nor which tracks; and the same list is called otherwise each time."""
    decide(workspace, "ana", State.GIVEN)
    plain = [ana.near(f"limit={limit}&cell={cell}")["list"] for limit in (3, 5) for cell in (LISBON, PORTO, LISBON)]
    assert len(set(plain)) == 6
    assert [len(id_) for id_ in plain] == [list_ids.length_of(3)] * 3 + [list_ids.length_of(5)] * 3
    content = b"".join(urlsafe_b64decode(id_ + "=" * (-len(id_) % 4)) for id_ in plain)
    for secret in (
        bytes.fromhex(LISBON[:14]),
        b"track-",
        bytes.fromhex(listener_of("ana", key=workspace.listener_key())),
    ):
        assert secret not in content


def test_how_much_somebody_hid_shows_in_no_length(ana: Listener, client: Client, workspace: Workspace) -> None:
    remember(workspace, {"ana": {"track-9": 2.0}})
    lengths, everything = [], [f"track-{rank}" for rank in range(1, 101)]
    for hidden in ([], everything[:3], everything):
        if hidden:
            public = client.get("/v1/regions/world/charts/popular?limit=100").json()["list"]
            assert ana.tell(list=public, hidden=hidden).status_code == 204
        answer = ana.ask("GET", "/v1/me/trending?limit=20")
        lengths.append(outside(answer))
    assert len(set(lengths)) == 1
    assert answer.json()["items"] == []


def test_everybody_is_looked_up_whatever_they_allow(ana: Listener, ben: Listener, workspace: Workspace) -> None:
    """A list takes the same questions to the consent log of who hid something as of who may not."""
    decide(workspace, "ben", State.WITHDRAWN, purpose=FEEDBACK, at=NOW)
    ana.tell(list=ana.near()["list"], hidden=["track-1"])
    asked: list[str] = []
    database = ana._client.app.state.endpoint.consents._database
    read = database._read
    database._read = lambda *questions: (asked.extend(query for query, _ in questions), read(*questions))[1]
    steps = []
    for who in (ana, ben):
        asked.clear()
        who.near()
        steps.append(tuple(asked))
    assert (len(set(steps)), len(steps[0])) == (1, 2)


def test_nothing_of_it_is_logged_or_told_to_anybody_else(
    ana: Listener, ben: Listener, client: Client, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    id_ = ana.near()["list"]
    ana.tell(list=id_, hidden=["track-77"])
    ana.tell(list=id_, hidden=["track-3"])
    ana.tell(list="canary", played=["canary"])
    texts = [json.dumps(ben.near()), client.get("/metrics").text, *capsys.readouterr()]
    for secret in (id_, "canary", "track-77", listener_of("ana", key=workspace.listener_key())):
        assert secret not in "".join(texts)


def test_an_erasure_forgets_it_at_once(ana: Listener, client: Client) -> None:
    ana.tell(list=ana.near()["list"], hidden=["track-1"], played=["track-2"])
    assert ana.ask("DELETE", "/v1/me/data").status_code == 202
    assert ana.kept() == []
    client.now += timedelta(seconds=1)
    assert ana.ask("PUT", f"/v1/me/consents/{FEEDBACK}", json=GIVE).status_code == 200
    assert "track-1" in ana.tracks()


CLOSE = {"ana": {f"track-{rank}": 5.0 - rank / 10 for rank in range(20, 40)}}
THEIRS = {"ana": {f"track-{rank}": 5.0 - rank / 50 for rank in range(60, 80)}}


@pytest.fixture
def rivals(ana: Listener, workspace: Workspace) -> Listener:
    """Ana, whose list two rankers share that agree about nothing; Ben is known to the champion's alone."""
    decide(workspace, "ana", State.GIVEN, purpose=Purpose.PERSONALISATION)
    decide(workspace, "ben", State.GIVEN, purpose=Purpose.PERSONALISATION)
    remember(workspace, CLOSE | {"ben": CLOSE["ana"]}, challenger=THEIRS)
    return ana


def numbers(tracks: list[str]) -> list[int]:
    return [int(track.removeprefix("track-")) for track in tracks]


def test_two_rankers_share_the_list_of_who_allows_feedback_and_of_nobody_else(
    rivals: Listener, ben: Listener, workspace: Workspace
) -> None:
    shared = numbers(rivals.tracks("limit=10"))
    assert shared == numbers(rivals.tracks("limit=10"))  # the coin falls the same way each time
    assert sorted(shared) == [*range(20, 25), *range(60, 65)]
    assert numbers(ben.tracks("limit=10")) == [*range(20, 30)]
    rivals.ask("PUT", f"/v1/me/consents/{FEEDBACK}", json=WITHDRAW)
    assert numbers(rivals.tracks("limit=10")) == [*range(20, 30)]


def test_without_personalisation_neither_ranker_is_asked(rivals: Listener) -> None:
    rivals.ask("PUT", f"/v1/me/consents/{Purpose.PERSONALISATION}", json=WITHDRAW)
    assert numbers(rivals.tracks("limit=10")) == [*range(1, 11)]


def test_what_is_played_is_credited_to_who_put_it_there(rivals: Listener, ben: Listener, workspace: Workspace) -> None:
    assert rivals.tell(list=rivals.near("limit=10")["list"], played=["track-20", "track-60"]).status_code == 204
    assert ben.tell(list=ben.near("limit=10")["list"], played=["track-20"]).status_code == 204
    log = ConsentLog(workspace.consents)
    credited = {(each.track, each.team) for each in log.feedback.of_rivals(RIVALS)}
    assert credited == {("track-20", "champion"), ("track-60", "challenger")}
    assert log.feedback.of_rivals("0" * 16) == []


def test_what_no_two_rankers_put_there_is_not_kept_and_takes_no_credit(
    rivals: Listener, ben: Listener, client: Client, workspace: Workspace
) -> None:
    """Of a public list, or of one's own that is shared with nobody: nothing is learned from it."""
    public = client.get("/v1/regions/world/charts/popular?limit=100").json()["list"]
    for who, id_ in ((ben, ben.near("limit=10")["list"]), (ben, public), (rivals, public)):
        assert who.tell(list=id_, played=["track-20"]).status_code == 204
    assert (rivals.kept(), ben.kept()) == ([], [])
    rivals.tell(list=rivals.near("limit=10")["list"], played=["track-20"])
    assert [each.team for each in ConsentLog(workspace.consents).feedback.of_rivals(RIVALS)] == ["champion"]


def test_a_shared_list_looks_like_any_other(rivals: Listener, ben: Listener) -> None:
    """In its length, its id and its words; a hidden track of either is gone."""
    one, other = (listener.ask("GET", "/v1/me/trending?limit=10") for listener in (rivals, ben))
    assert outside(one) == outside(other)
    assert one.json().keys() == other.json().keys()
    assert {item["because"] for item in one.json()["items"]} == {"close_to_what_you_play"}
    assert len(one.json()["list"]) == len(other.json()["list"])
    for hidden in (["track-20", "track-21", "track-22"], ["track-60"]):  # more of one than of the other
        rivals.tell(list=rivals.near("limit=10")["list"], hidden=hidden)
    assert sorted(numbers(rivals.tracks("limit=10"))) == [*range(23, 28), *range(61, 66)]


def test_who_is_erased_is_erased_from_both(rivals: Listener, workspace: Workspace) -> None:
    listener = listener_of("ana", key=workspace.listener_key())
    affinities.erase(sealed_in(workspace.private), [listener])
    found = affinities.open_affinities(sealed_in(workspace.private))
    assert found.challenger is not None
    assert (found.row(listener).known, found.challenger.row(listener).known, found.rivals) == (False, False, RIVALS)
