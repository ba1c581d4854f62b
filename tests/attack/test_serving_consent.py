"""The default is no, a withdrawal counts from the next request, and nobody can tell who decided what."""

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from support.edge import LISBON, NOW, PORTO, Client, bearer, decide, listed, publish, told

from recsys.consents.log import Purpose, State
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    return Client(workspace, settings=settings)


def near(client: Client, user_id: str, workspace: Workspace, settings: Settings, cell: str = LISBON) -> httpx.Response:
    return client.get(
        "/v1/me/trending", params={"cell": cell}, headers=bearer(user_id, workspace=workspace, settings=settings)
    )


def test_the_default_is_no(client: Client, workspace: Workspace, settings: Settings) -> None:
    answer = near(client, "never asked", workspace, settings)
    assert answer.status_code == 200
    assert answer.json()["location_used"] is False
    assert answer.json()["scope"] == "world"
    assert answer.json()["items"] == listed("world", size=settings.serving.list_size)


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose != Purpose.LOCAL_TRENDS])
def test_another_purpose_does_not_help(
    client: Client, workspace: Workspace, settings: Settings, purpose: Purpose
) -> None:
    decide(workspace, "ana", State.GIVEN, purpose=purpose)
    assert near(client, "ana", workspace, settings).json()["location_used"] is False


def test_somebody_elses_consent_does_not_help(client: Client, workspace: Workspace, settings: Settings) -> None:
    decide(workspace, "ana", State.GIVEN)
    for other in ("Ana", "ana ", "ana\0", "an"):
        assert near(client, other, workspace, settings).json()["location_used"] is False


def test_every_decision_counts_from_the_next_request(client: Client, workspace: Workspace, settings: Settings) -> None:
    seen = []
    for day, state in enumerate([State.GIVEN, State.WITHDRAWN, State.GIVEN, State.WITHDRAWN]):
        decide(workspace, "ana", state, at=NOW - timedelta(days=9 - day))
        seen.append(near(client, "ana", workspace, settings).json()["location_used"])
    assert seen == [True, False, True, False]


def test_a_decision_of_the_same_instant_counts_and_in_doubt_it_is_no(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    decide(workspace, "ana", State.GIVEN, at=NOW)
    assert near(client, "ana", workspace, settings).json()["location_used"] is True
    decide(workspace, "ana", State.WITHDRAWN, at=NOW)
    assert near(client, "ana", workspace, settings).json()["location_used"] is False


def test_consent_from_tomorrow_on_is_not_consent_today(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    decide(workspace, "ana", State.GIVEN, at=NOW + timedelta(minutes=5))
    assert near(client, "ana", workspace, settings).json()["location_used"] is False
    client.now = NOW + timedelta(minutes=5)
    assert near(client, "ana", workspace, settings).json()["location_used"] is True


def test_who_never_decided_withdrew_or_sends_no_cell_cannot_be_told_apart(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    """Status, headers and every byte agree, whatever the listener decided and wherever the listener is."""
    decide(workspace, "withdrew", State.GIVEN, at=NOW - timedelta(days=2))
    decide(workspace, "withdrew", State.WITHDRAWN)
    decide(workspace, "other purposes", State.GIVEN, purpose=Purpose.CONTRIBUTE_TRENDS)
    answers = [near(client, who, workspace, settings) for who in ("unknown", "withdrew", "other purposes")]
    answers += [near(client, "withdrew", workspace, settings, cell=PORTO)]
    answers += [client.get("/v1/me/trending", headers=bearer("x", workspace=workspace, settings=settings))]
    assert len(set(map(told, answers))) == 1


def test_who_allows_it_gets_the_same_shape_and_headers(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    decide(workspace, "ana", State.GIVEN)
    yes, no = near(client, "ana", workspace, settings), near(client, "ben", workspace, settings)
    assert yes.status_code == no.status_code == 200
    assert yes.headers.keys() == no.headers.keys()
    assert yes.json().keys() == no.json().keys()
    assert [item.keys() for item in yes.json()["items"]] == [item.keys() for item in no.json()["items"]]


def test_neither_cell_nor_listener_nor_token_is_written_anywhere(
    client: Client, workspace: Workspace, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without consent the cell is in no log, no file and no answer; the listener's names are in none either way."""
    quiet = PORTO
    decide(workspace, "canary-ana", State.GIVEN)
    answers = [near(client, who, workspace, settings, cell=quiet) for who in ("canary-ana", "canary-ben")]
    log = "".join(capsys.readouterr())
    token = bearer("canary-ana", workspace=workspace, settings=settings)["Authorization"].split()[1]
    listeners = [listener_of(who, key=workspace.listener_key()) for who in ("canary-ana", "canary-ben")]
    assert log.count('"event": "request"') == 2
    for secret in ("canary", *listeners, *token.split(".")[1:]):
        assert secret not in log + "".join(answer.text for answer in answers)
    assert quiet not in log + answers[1].text
    written = b"".join(path.read_bytes() for path in _files(workspace) if path.name.startswith(("consents", "current")))
    assert quiet.encode() not in written
    assert listeners[1].encode() not in written  # asking leaves no trace


def _files(workspace: Workspace) -> list[Path]:
    return [path for path in workspace.root.rglob("*") if path.is_file()]
