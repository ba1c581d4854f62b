"""A listener's own list is made within what the listener allows at this request, and tells nobody else anything."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from support.edge import LISBON, NOW, PORTO, SUVA, Client, bearer, decide, listed, publish, remember, told
from support.sealing import content_of, sealed_in

from recsys.artifacts import affinities
from recsys.artifacts.affinities import open_affinities, pointer_of
from recsys.artifacts.chart_database import ChartDatabase
from recsys.consents.log import ConsentLog, Purpose, State
from recsys.serving.lists import trending
from recsys.serving.snapshot import snapshot_reader
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of

HERS = {"track-9": 3.0, "track-5": 2.0, "track-2": 1.0}
MINE = Purpose.PERSONALISATION


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    """An endpoint with affinities of people who have decided differently, and of one who allows nothing."""
    publish(workspace)
    remember(workspace, dict.fromkeys(("ana", "withdrew", "near only", "lapsed", "erased"), HERS), played=["track-2"])
    decide(workspace, "ana", State.GIVEN, purpose=MINE, at=NOW - timedelta(days=3))
    decide(workspace, "no row", State.GIVEN, purpose=MINE, at=NOW - timedelta(days=3))
    decide(workspace, "withdrew", State.GIVEN, purpose=MINE, at=NOW - timedelta(days=3))
    decide(workspace, "withdrew", State.WITHDRAWN, purpose=MINE, at=NOW - timedelta(days=2))
    return Client(workspace, settings=settings)


def ask(client: Client, who: str, workspace: Workspace, settings: Settings, query: str = "limit=5") -> httpx.Response:
    return client.get(f"/v1/me/trending?{query}", headers=bearer(who, workspace=workspace, settings=settings))


def tracks(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200
    return [item["track_id"] for item in answer.json()["items"]]


def test_who_allows_it_gets_what_is_close_first_and_why(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    answer = ask(client, "ana", workspace, settings)
    assert tracks(answer)[:2] == ["track-9", "track-5"]
    first = answer.json()["items"][0]
    assert (first["rank"], first["because"]) == (1, "close_to_what_you_play")
    assert first["reason"] == "Close to what you play. made by hand"
    assert first["listeners"] == listed("world", size=9)[8]["listeners"]
    assert answer.json()["history_used"] is True
    assert answer.json()["chart"] == "trending"


def test_the_default_is_no_and_another_purpose_does_not_help(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    for purpose in set(Purpose) - {MINE}:
        decide(workspace, "near only", State.GIVEN, purpose=purpose)
    decide(workspace, "lapsed", State.GIVEN, purpose=MINE, at=NOW + timedelta(minutes=1))  # of tomorrow
    for who in ("near only", "lapsed", "withdrew", "never seen"):
        answer = ask(client, who, workspace, settings)
        assert answer.json()["items"] == listed("world", size=5)
        assert answer.json()["history_used"] is False


def test_place_and_plays_are_switches_of_their_own(client: Client, workspace: Workspace, settings: Settings) -> None:
    query = f"cell={LISBON}&limit=5"
    only_plays = ask(client, "ana", workspace, settings, query).json()
    assert (only_plays["location_used"], only_plays["history_used"], only_plays["scope"]) == (False, True, "world")
    decide(workspace, "near only", State.GIVEN)
    only_place = ask(client, "near only", workspace, settings, query).json()
    assert (only_place["location_used"], only_place["history_used"]) == (True, False)
    assert only_place["nights"] == only_plays["nights"] == 7  # of the charts, whatever the lines are of
    assert only_place["items"] == listed(LISBON, size=5)
    decide(workspace, "ana", State.GIVEN)
    both = ask(client, "ana", workspace, settings, query).json()
    assert (both["location_used"], both["history_used"], both["scope"]) == (True, True, "region")
    assert [item["source"]["place"] for item in both["items"]] == [LISBON] * 5


def test_every_decision_counts_from_the_next_request(client: Client, workspace: Workspace, settings: Settings) -> None:
    headers = bearer("ana", workspace=workspace, settings=settings)
    used = []
    for state in ("withdrawn", "given", "withdrawn"):
        client.now += timedelta(seconds=1)
        body = {"state": state, "notice_version": "2026-09"}
        client.request("PUT", f"/v1/me/consents/{MINE}", headers=headers, json=body)
        used.append(ask(client, "ana", workspace, settings).json()["history_used"])
    assert used == [False, True, False]


def test_an_erasure_counts_at_once_also_for_who_comes_back_before_it_is_done(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    headers = bearer("ana", workspace=workspace, settings=settings)
    receipt = client.request("DELETE", "/v1/me/data", headers=headers).json()["receipt"]
    assert ask(client, "ana", workspace, settings).json()["items"] == listed("world", size=5)
    client.now += timedelta(seconds=1)
    body = {"state": "given", "notice_version": "2026-09"}
    assert client.request("PUT", f"/v1/me/consents/{MINE}", headers=headers, json=body).json()["state"] == "given"
    assert ask(client, "ana", workspace, settings).json()["history_used"] is False
    listener = listener_of("ana", key=workspace.listener_key())
    affinities.erase(sealed_in(workspace.private), [listener])
    ConsentLog(workspace.consents).erasures.finish(receipt)
    client.request("PUT", f"/v1/me/consents/{MINE}", headers=headers, json=body)
    assert ask(client, "ana", workspace, settings).json()["history_used"] is False  # there is no row any more
    assert not open_affinities(sealed_in(workspace.private)).row(listener).known


def test_who_is_unknown_withdrew_lapsed_or_has_no_plays_cannot_be_told_apart(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    """Byte for byte; and of who allows it, status, headers but the length, and the keys of all that is said."""
    decide(workspace, "erased", State.GIVEN, purpose=MINE)
    log = ConsentLog(workspace.consents)
    log.erasures.ask(listener_of("erased", key=workspace.listener_key()), at=NOW - timedelta(hours=1))
    quiet = [ask(client, who, workspace, settings) for who in ("unknown", "withdrew", "lapsed", "erased", "near only")]
    assert len({told(each) for each in quiet}) == 1
    loud = [ask(client, who, workspace, settings) for who in ("ana", "no row")]
    for answer in loud:
        assert tuple(answer.headers) == tuple(quiet[0].headers)
        assert answer.json().keys() == quiet[0].json().keys()
        assert [item.keys() for item in answer.json()["items"]] == [item.keys() for item in quiet[0].json()["items"]]


def test_everybody_is_looked_up_whatever_they_allow(
    client: Client, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consent log and the private file are asked once for each, so that times tell nothing."""
    asked: list[str] = []

    def counting(kind: type, method: str) -> None:
        real = getattr(kind, method)
        monkeypatch.setattr(kind, method, lambda *a, **k: (asked.append(method), real(*a, **k))[1])

    counting(affinities.Affinities, "row")
    counting(ConsentLog, "choices")
    steps = []
    for who in ("ana", "unknown", "withdrew", "no row"):
        asked.clear()
        ask(client, who, workspace, settings, f"cell={PORTO}")
        steps.append(tuple(asked))
    assert set(steps) == {("choices", "row")}


@pytest.mark.parametrize(("cell", "place"), [(LISBON, LISBON), (PORTO, "PT"), (SUVA, "world")])
def test_who_asks_near_a_place_leaves_nothing_that_the_next_one_would_be_faster_by(
    client: Client, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch, cell: str, place: str
) -> None:
    """The nearest lists are read for everybody, also right after somebody else has asked for them."""
    decide(workspace, "cho", State.GIVEN)
    ask(client, "cho", workspace, settings, f"cell={cell}")  # what is larger is kept from here on
    read: list[str] = []
    lists = ChartDatabase.lists
    monkeypatch.setattr(ChartDatabase, "lists", lambda file, at: (read.append(at), lists(file, at))[1])
    for who in ("ana", "ben", "ana"):
        decide(workspace, who, State.GIVEN)
        read.clear()
        assert ask(client, who, workspace, settings, f"cell={cell}").json()["location_used"] is True
        assert read == [place], who


def test_new_tastes_are_picked_up_and_damaged_ones_are_not_used(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    assert tracks(ask(client, "ana", workspace, settings))[0] == "track-9"
    remember(workspace, {"ana": {"track-30": 4.0}})
    assert tracks(ask(client, "ana", workspace, settings))[0] == "track-30"
    publish(workspace, as_of="2026-11-01")  # the snapshot is another one, the affinities are the same
    answer = ask(client, "ana", workspace, settings)
    assert (tracks(answer)[0], answer.json()["as_of"]) == ("track-30", "2026-11-01")
    pointer_of(sealed_in(workspace.private)).write_text("nowhere")
    assert ask(client, "ana", workspace, settings).json()["history_used"] is False
    remember(workspace, {"ana": HERS})
    assert tracks(ask(client, "ana", workspace, settings))[0] == "track-9"


def test_new_affinities_are_opened_and_matched_while_others_are_answered(
    client: Client, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both take the longer the more listeners there are, and so neither is for the thread of all requests."""
    threads: list[str] = []

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: (threads.append(threading.current_thread().name), real(*given))[1]

    monkeypatch.setattr(trending, "open_affinities", noting(open_affinities))
    monkeypatch.setattr(affinities.Affinities, "columns_of", noting(affinities.Affinities.columns_of))
    for what in (HERS, {"track-30": 4.0}):
        remember(workspace, {"ana": what})
        assert tracks(ask(client, "ana", workspace, settings))[0] == next(iter(what))
        assert tracks(ask(client, "ana", workspace, settings))[0] == next(iter(what))
    assert len(threads) == 4  # once for each
    assert threading.main_thread().name not in threads


@pytest.mark.parametrize("module", [snapshot_reader, trending])
def test_a_withdrawal_while_new_files_are_opened_counts(
    client: Client, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    name = "open_published" if module is snapshot_reader else "open_affinities"
    real = getattr(module, name)

    def slow(at: Workspace) -> object:
        client.now += timedelta(seconds=9)
        decide(workspace, "ana", State.WITHDRAWN, purpose=MINE, at=client.now)
        return real(at)

    monkeypatch.setattr(module, name, slow)
    assert ask(client, "ana", workspace, settings).json()["history_used"] is False


def test_no_row_is_in_a_log_a_snapshot_or_another_answer(
    client: Client, workspace: Workspace, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(workspace, {"ana": {"canary-track": 3.0}})
    texts = [ask(client, who, workspace, settings).text for who in ("ana", "ben")]
    texts += [client.get("/v1/regions/world/charts/popular").text, client.get("/openapi.json").text]
    listener = listener_of("ana", key=workspace.listener_key())
    written = {path: content_of(path) for path in workspace.root.rglob("*") if path.is_file()}
    holding = {path for path, content in written.items() if bytes.fromhex(listener) in content}
    assert {path.relative_to(workspace.private).parts[0] for path in holding} == {"tastes"}
    assert not any(bytes.fromhex(listener) in path.read_bytes() for path in written)  # there it is sealed
    for secret in ("canary", listener):
        assert secret not in "".join(texts) + "".join(capsys.readouterr())
