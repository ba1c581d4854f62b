"""Which place listens like somebody is told to that listener alone, within what is allowed at this request."""

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import TypeAdapter
from support.edge import LISBON, NOW, Client, bearer, decide, publish, remember, told

from recsys.consents.log import Purpose, State
from recsys.serving.lists.twin import Twin
from recsys.settings import Settings
from recsys.workspace import Workspace

HERS = {"track-9": 3.0, "track-5": 2.0, "track-2": 1.0}
MINE = Purpose.PERSONALISATION


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    remember(workspace, dict.fromkeys(("ana", "withdrew", "near only"), HERS), played=["track-2", "track-9"])
    decide(workspace, "ana", State.GIVEN, purpose=MINE, at=NOW - timedelta(days=3))
    decide(workspace, "no row", State.GIVEN, purpose=MINE, at=NOW - timedelta(days=3))
    decide(workspace, "withdrew", State.GIVEN, purpose=MINE, at=NOW - timedelta(days=3))
    decide(workspace, "withdrew", State.WITHDRAWN, purpose=MINE, at=NOW - timedelta(days=2))
    decide(workspace, "near only", State.GIVEN, at=NOW - timedelta(days=3))
    return Client(workspace, settings=settings)


def ask(client: Client, who: str, workspace: Workspace, settings: Settings) -> httpx.Response:
    return client.get("/v1/me/twin", headers=bearer(who, workspace=workspace, settings=settings))


def test_who_allows_it_is_told_by_the_charts_alone(client: Client, workspace: Workspace, settings: Settings) -> None:
    answer = ask(client, "ana", workspace, settings)
    assert answer.status_code == 200
    found = TypeAdapter(Twin).validate_python(answer.json(), strict=True)
    assert found["history_used"] is True
    assert [each["region"]["id"] for each in found["places"]] == [LISBON]  # the only region with charts
    assert found["surely"] == "nowhere"  # it has the shares of the world
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("who", ["withdrew", "near only", "unknown"])
def test_without_permission_there_is_the_same_shape_and_nothing_of_the_listener(
    who: str, client: Client, workspace: Workspace, settings: Settings
) -> None:
    answer, nobodys = ask(client, who, workspace, settings), ask(client, "somebody", workspace, settings)
    assert told(answer) == told(nobodys)
    assert answer.json()["history_used"] is False
    assert answer.json()["why"].startswith("Your plays were not used")
    assert [each["weight"] for each in answer.json()["places"]] == [0]
    hers = ask(client, "ana", workspace, settings)
    assert answer.json().keys() == hers.json().keys()
    assert len(answer.content) == len(hers.content) == len(ask(client, "no row", workspace, settings).content)


def test_nothing_is_stored_and_nobody_is_told_without_a_token(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    def files() -> dict[Path, bytes]:
        found = (file for file in workspace.root.rglob("*") if file.is_file() and not file.name.endswith("-shm"))
        return {file: file.read_bytes() for file in found}

    ask(client, "unknown", workspace, settings)  # what is opened is open
    before = files()
    first = ask(client, "ana", workspace, settings)
    assert files() == before
    assert first.content == ask(client, "ana", workspace, settings).content
    assert client.get("/v1/me/twin").status_code == 401
    assert (
        client.get("/v1/me/twin?cell=x", headers=bearer("ana", workspace=workspace, settings=settings)).status_code
        == 400
    )


def test_a_withdrawal_counts_from_the_next_request(client: Client, workspace: Workspace, settings: Settings) -> None:
    assert ask(client, "ana", workspace, settings).json()["history_used"] is True
    decide(workspace, "ana", State.WITHDRAWN, purpose=MINE, at=NOW)
    assert ask(client, "ana", workspace, settings).json()["history_used"] is False
