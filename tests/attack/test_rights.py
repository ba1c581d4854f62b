"""Nobody can learn from the listener's own resources who exists or who decided what, and nothing of them is written."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from support.edge import LISBON, NOW, Client, bearer, decide, publish, unnamed

from recsys.consents.log import ConsentLog, Purpose, State
from recsys.serving.state.export import Record
from recsys.settings import load_settings
from recsys.workspace import Workspace, listener_of

GIVE, WITHDRAW = ({"state": state, "notice_version": "2026-09"} for state in ("given", "withdrawn"))
UNKNOWN = ("canary-unknown", "canary-withdrew", "canary-other", "canary-lapsed", "canary-erased")


@pytest.fixture
def client(workspace: Workspace) -> Client:
    """An endpoint with listeners who have all reasons to be treated as somebody who was never seen."""
    publish(workspace)
    decide(workspace, "canary-withdrew", State.GIVEN, at=NOW - timedelta(days=2))
    decide(workspace, "canary-withdrew", State.WITHDRAWN)
    decide(workspace, "canary-other", State.GIVEN, purpose=Purpose.CONTRIBUTE_TRENDS)
    decide(workspace, "canary-lapsed", State.GIVEN, notice="2020-01")
    decide(workspace, "canary-erased", State.GIVEN)
    ConsentLog(workspace.consents).erasures.ask(
        listener_of("canary-erased", key=workspace.listener_key()), at=NOW - timedelta(hours=1)
    )

    def records(_: str) -> Iterator[Record]:
        yield from ()

    strict = load_settings(overrides={"consents": {"earlier_notices": {}}})
    return Client(workspace, settings=strict, records=records)


def ask(client: Client, method: str, url: str, who: str, workspace: Workspace, **options: object) -> httpx.Response:
    settings = client.app.state.endpoint.settings
    headers = bearer(who, workspace=workspace, settings=settings) | options.pop("headers", {})  # type: ignore[operator]
    return client.request(method, url, headers=headers, **options)


def outside(answer: httpx.Response) -> tuple[object, ...]:
    """What somebody on the line could see: the status, the headers and how long they are."""
    return answer.status_code, tuple((name, len(value)) for name, value in answer.headers.items())


def test_who_is_unknown_withdrew_lapsed_or_was_erased_gets_the_same_list(client: Client, workspace: Workspace) -> None:
    answers = [ask(client, "GET", f"/v1/me/trending?cell={LISBON}", who, workspace) for who in UNKNOWN]
    assert len({(outside(answer), unnamed(answer.content)) for answer in answers}) == 1


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("DELETE", "/v1/me/data", None),
        ("PUT", "/v1/me/consents/personalisation", GIVE),
        ("PUT", "/v1/me/consents/personalisation", WITHDRAW),
        ("PUT", "/v1/me/consents/personalisation", GIVE | {"notice_version": "1"}),
        ("PUT", "/v1/me/consents/canary", GIVE),
        ("GET", "/v1/me/data/erasures/canary", None),
    ],
)
def test_every_request_looks_the_same_from_outside_whoever_sends_it(
    client: Client, workspace: Workspace, method: str, url: str, body: dict[str, str] | None
) -> None:
    options = {"json": body} if body else {}
    answers = [ask(client, method, url, who, workspace, **options) for who in UNKNOWN]
    assert len({outside(answer) for answer in answers}) == 1
    assert len({tuple(answer.json()) for answer in answers}) == 1


def test_an_erasure_tells_nothing_about_whom(client: Client, workspace: Workspace) -> None:
    """Receipts are as random for the same listener as for another, and what stays in the log names nobody."""
    log, receipts = ConsentLog(workspace.consents), []
    for _ in range(3):
        for who in ("canary-withdrew", "canary-unknown"):
            receipts.append(ask(client, "DELETE", "/v1/me/data", who, workspace).json()["receipt"])
            log.erasures.finish(receipts[-1])
    assert len(set(receipts)) == len(receipts)
    for who in ("canary-withdrew", "canary-unknown"):
        listener = listener_of(who, key=workspace.listener_key())
        assert all(listener.encode() not in path.read_bytes() for path in workspace.root.glob("consents.db*"))
        assert all(listener[:8] not in receipt for receipt in receipts)


def test_switches_and_exports_have_one_shape(client: Client, workspace: Workspace) -> None:
    for url in ("/v1/me/consents", "/v1/me/consents/receipts", "/v1/me/data"):
        answers = [ask(client, "GET", url, who, workspace) for who in UNKNOWN]
        assert {answer.status_code for answer in answers} == {200}
        assert len({tuple(answer.headers) for answer in answers}) == 1
    switches = [ask(client, "GET", "/v1/me/consents", who, workspace).json() for who in UNKNOWN]
    assert len({str([list(switch) for switch in each["consents"]]) for each in switches}) == 1


def test_no_listener_can_see_or_turn_the_switches_of_another(client: Client, workspace: Workspace) -> None:
    decide(workspace, "ana", State.GIVEN)
    before = ask(client, "GET", "/v1/me/consents", "ana", workspace).content
    for other in ("Ana", "ana ", "ana\0", "an", "ana/../ana"):
        client.now += timedelta(seconds=1)
        assert ask(client, "PUT", "/v1/me/consents/local_trends", other, workspace, json=WITHDRAW).status_code == 200
        assert ask(client, "DELETE", "/v1/me/data", other, workspace).status_code == 202
        kinds = [
            json.loads(line)["kind"] for line in ask(client, "GET", "/v1/me/data", other, workspace).text.splitlines()
        ]
        assert kinds == ["export", "end"]
    assert ask(client, "GET", "/v1/me/consents", "ana", workspace).content == before


def test_nobody_can_decide_for_the_past_or_the_future(client: Client, workspace: Workspace) -> None:
    for extra in (
        {"at": "2020-01-01T00:00:00Z"},
        {"since": "2030-01-01"},
        {"channel": "import"},
        {"listener": "a" * 32},
    ):
        answer = ask(client, "PUT", "/v1/me/consents/local_trends", "mallory", workspace, json=GIVE | extra)
        assert answer.status_code == 400
    assert ConsentLog(workspace.consents).entries(listener_of("mallory", key=workspace.listener_key())) == []


def test_nothing_of_who_asked_what_is_in_a_log_or_a_file(
    client: Client, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for who in UNKNOWN:
        for method, url, body in [
            ("GET", "/v1/me/consents", None),
            ("PUT", "/v1/me/consents/local_trends", GIVE),
            ("GET", "/v1/me/consents/receipts", None),
            ("GET", "/v1/me/data", None),
            ("DELETE", "/v1/me/data", None),
        ]:
            options = {"json": body} if body else {}
            answer = ask(client, method, url, who, workspace, headers={"Sec-GPC": "1"}, **options)
            assert answer.status_code in {200, 202}
            texts.append(answer.text)
    receipt = json.loads(texts[-1])["receipt"]
    client.get(f"/v1/me/data/erasures/{receipt}")
    log = "".join(capsys.readouterr())
    listeners = [listener_of(who, key=workspace.listener_key()) for who in UNKNOWN]
    for secret in ("canary", receipt, *listeners):
        assert secret not in log
    assert not any(listener in text for listener in listeners for text in texts)
    routes = {json.loads(line).get("route") for line in log.splitlines()}
    assert "/v1/me/data/erasures/{receipt}" in routes
    assert all(b"canary" not in path.read_bytes() for path in files(workspace))


@pytest.mark.parametrize("method", ["decide", "standings", "entries"])
def test_a_failure_behind_a_switch_leaks_nothing(
    client: Client,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
) -> None:
    def broken(*values: object, **named: object) -> None:
        raise ZeroDivisionError(f"canary {values} {named}")

    monkeypatch.setattr(ConsentLog, method, broken)
    requests = [("PUT", "/v1/me/consents/local_trends", {"json": GIVE}), ("GET", "/v1/me/data", {})]
    answers = [ask(client, *request[:2], "canary-ana", workspace, **request[2]) for request in requests]  # type: ignore[arg-type]
    log = "".join(capsys.readouterr())
    listener = listener_of("canary-ana", key=workspace.listener_key())
    failed = [answer for answer in answers if answer.status_code == 500]
    assert failed
    assert {answer.json()["type"] for answer in failed} == {"/problems/internal"}
    assert "ZeroDivisionError" in log
    for secret in ("canary", listener):
        assert secret not in log + "".join(answer.text for answer in answers)


def files(workspace: Workspace) -> list[Path]:
    return [path for path in workspace.root.rglob("*") if path.is_file()]
