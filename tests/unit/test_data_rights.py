"""The rights: everything held about me, and the end of it, in the same shape for someone who was never seen."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter
from support.edge import NOW, Client, bearer, decide

from recsys.consents.feedback import Told
from recsys.consents.log import ConsentLog, Purpose, State
from recsys.errors import NotReadyError
from recsys.serving.openapi.examples_me import ERASURE, EXPORT
from recsys.serving.routes.data_rights import Erasure
from recsys.serving.state.export import Record
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of

NIGHT = date(2026, 10, 30)
CHARTS, MODELS = Purpose.CONTRIBUTE_TRENDS, Purpose.PERSONALISATION


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    """An endpoint whose private store holds three rows of Ana's."""
    ana = listener_of("ana", key=workspace.listener_key())

    def records(listener: str) -> Iterator[Record]:
        if listener == ana:
            yield Record("contribution", NIGHT, "PT", "t1", 3, (CHARTS, MODELS))
            earned = {28: 2.57031, 365: -0.5}
            yield Record("balance", NIGHT, None, None, None, (CHARTS,), earned=earned)
            yield Record("evaluation", NIGHT, "PT", None, None, (MODELS,), history="6-20", ndcg={"blend": 0.42})

    return Client(workspace, settings=settings, records=records)


def lines_of(client: Client, who: str, workspace: Workspace, settings: Settings) -> list[dict[str, Any]]:
    answer = client.get("/v1/me/data", headers=bearer(who, workspace=workspace, settings=settings))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "private, no-store"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_everything_held_comes_with_what_it_may_be_used_for(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    decide(workspace, "ana", State.GIVEN, purpose=CHARTS)
    head, decision, contribution, balance, evaluation, end = lines_of(client, "ana", workspace, settings)
    assert head == {"kind": "export", "schema": "hearabouts-export-1", "as_of": NOW.isoformat()}
    assert (decision["purpose"], decision["state"], decision["channel"]) == ("contribute_trends", "given", "import")
    row = {"kind": "contribution", "night": "2026-10-30", "region": "PT", "track_id": "t1", "plays": 3}
    assert contribution == row | {"used_for": ["contribute_trends"]}  # stored for two, allowed for one of them now
    earned = {"earned_of_28_nights": 2.5703, "earned_of_365_nights": -0.5}
    assert balance == {"kind": "balance", "night": "2026-10-30", "used_for": ["contribute_trends"], **earned}
    figures = {"region": "PT", "history": "6-20", "ndcg_at_10": {"blend": 0.42}}
    assert evaluation == {"kind": "evaluation", "night": "2026-10-30", "used_for": [], **figures}
    assert end == {"kind": "end", "lines": 5}


def test_what_was_told_of_lists_is_in_it(client: Client, workspace: Workspace, settings: Settings) -> None:
    decide(workspace, "ana", State.GIVEN, purpose=Purpose.FEEDBACK)
    told = Told(NIGHT, played={"t1": "challenger", "t2": "champion"}, hidden=["t3"], rivals="0" * 16)
    ana = listener_of("ana", key=workspace.listener_key())
    ConsentLog(workspace.consents).tell(ana, told, at=NOW, most_hidden=9, most_played=9)
    line = {"night": "2026-10-30", "used_for": ["feedback"]}
    found = lines_of(client, "ana", workspace, settings)
    assert [each for each in found if each["kind"] in ("hidden", "played")] == [
        {"kind": "hidden", **line, "track_id": "t3"},
        {"kind": "played", **line, "track_id": "t1", "put_there_by": "challenger"},
        {"kind": "played", **line, "track_id": "t2", "put_there_by": "champion"},
    ]
    assert found[-1] == {"kind": "end", "lines": len(found) - 1}


def test_someone_never_seen_gets_the_same_frame(client: Client, workspace: Workspace, settings: Settings) -> None:
    head, end = lines_of(client, "nobody", workspace, settings)
    assert (head["kind"], end) == ("export", {"kind": "end", "lines": 1})
    assert not ConsentLog(workspace.consents).entries(listener_of("nobody", key=workspace.listener_key()))


def test_erased_is_as_if_never_seen_from_the_next_request(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    decide(workspace, "ana", State.GIVEN, purpose=CHARTS)
    token = bearer("ana", workspace=workspace, settings=settings)
    answer = client.request("DELETE", "/v1/me/data", headers=token)
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    erasure = TypeAdapter(Erasure).validate_json(answer.content, strict=True)
    url = answer.headers["location"]
    assert url == f"/v1/me/data/erasures/{erasure['receipt']}"
    nobody = bearer("nobody", workspace=workspace, settings=settings)
    for path in ("/v1/me/data", "/v1/me/consents"):
        mine, theirs = (client.get(path, headers=who) for who in (token, nobody))
        assert (mine.status_code, mine.content) == (theirs.status_code, theirs.content)
    assert client.get(url).json() == erasure
    log = ConsentLog(workspace.consents)
    log.erasures.finish(erasure["receipt"])
    done = client.get(url)
    assert (done.status_code, done.json()) == (200, erasure | {"state": "done"})
    assert done.headers["cache-control"] == "private, no-store"


def test_what_was_stored_before_an_erasure_is_not_shown_even_to_who_comes_back_before_it_is_done(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    token = bearer("ana", workspace=workspace, settings=settings)
    client.request("DELETE", "/v1/me/data", headers=token)
    client.now += timedelta(seconds=1)
    body = {"state": "given", "notice_version": "2026-09"}
    assert client.request("PUT", f"/v1/me/consents/{CHARTS}", headers=token, json=body).json()["state"] == "given"
    assert [line["kind"] for line in lines_of(client, "ana", workspace, settings)] == ["export", "consent", "end"]


def test_erasing_twice_is_one_erasure(client: Client, workspace: Workspace, settings: Settings) -> None:
    token = bearer("ana", workspace=workspace, settings=settings)
    assert len({client.request("DELETE", "/v1/me/data", headers=token).content for _ in range(3)}) == 1


@pytest.mark.parametrize("receipt", ["0" * 32, "canary", "%20", "x" * 64])
def test_an_unknown_receipt_is_404_and_not_repeated(client: Client, receipt: str) -> None:
    answer = client.get(f"/v1/me/data/erasures/{receipt}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-receipt")
    assert "canary" not in answer.text


def test_an_endpoint_without_the_store_does_not_say_that_nothing_is_held(
    workspace: Workspace, settings: Settings
) -> None:
    answer = Client(workspace, settings=settings).get(
        "/v1/me/data", headers=bearer("ana", workspace=workspace, settings=settings)
    )
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")


def test_a_store_that_cannot_be_read_is_a_problem_and_not_half_an_export(
    workspace: Workspace, settings: Settings
) -> None:
    def records(_: str) -> Iterator[Record]:
        raise NotReadyError("the disk is away")
        yield

    answer = Client(workspace, settings=settings, records=records).get(
        "/v1/me/data", headers=bearer("ana", workspace=workspace, settings=settings)
    )
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")


def test_the_examples_fit() -> None:
    TypeAdapter(Erasure).validate_python(ERASURE, strict=True)
    *lines, end = [json.loads(line) for line in EXPORT.splitlines()]
    assert end == {"kind": "end", "lines": len(lines)}
