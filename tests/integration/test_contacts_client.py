"""The client of ``examples/``, against a real server: two address books, and who in them is a friend."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from support.contacts import NUMBERS
from support.edge import decide, publish
from support.serving import Server
from voprf import ristretto

from recsys.consents.log import Purpose, State
from recsys.serving.auth.tokens import mint
from recsys.settings import Settings
from recsys.workspace import Workspace

CLIENT = Path(__file__).parents[2] / "examples" / "contacts.py"


def looked_for(server: Server, who: str, *book: str, settings: Settings) -> list[str]:
    now, written = datetime.now(UTC), server.workspace.root.parent / f"{who}.txt"
    token = mint(who, workspace=server.workspace, settings=settings, now=now, identifiers=[NUMBERS[who]])
    written.write_text("\n".join(book))
    command = [sys.executable, "-W", "error", CLIENT, server.url, token, written]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    *friends, why = ran.stdout.splitlines()
    assert why.startswith("Not enough friends yet")
    return friends


def test_two_address_books_make_two_friends(workspace: Workspace, settings: Settings) -> None:
    publish(workspace)
    for who in ("ana", "ben", "cho"):
        decide(workspace, who, State.GIVEN, purpose=Purpose.CONTACTS)
    others = [f"+35192{number:07}" for number in range(300)]  # more than go into one request
    server = Server(workspace)
    try:
        assert looked_for(server, "ana", NUMBERS["ben"], NUMBERS["cho"], *others, settings=settings) == []
        assert looked_for(server, "ben", NUMBERS["ana"], "nobody@example.org", settings=settings) == [NUMBERS["ana"]]
        assert looked_for(server, "ana", NUMBERS["ben"], NUMBERS["cho"], settings=settings) == [NUMBERS["ben"]]
        assert looked_for(server, "cho", NUMBERS["ben"], settings=settings) == []
    finally:
        server.stop()


def _export(client: httpx.Client) -> list[dict[str, object]]:
    return [json.loads(line) for line in client.get("/v1/me/data").text.splitlines()]


def test_a_client_does_not_believe_a_server_with_another_key(
    workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is of the key that the client was told, and the client checks it."""
    monkeypatch.syspath_prepend(CLIENT.parent)
    from contacts import Contacts  # type: ignore[import-not-found]  # noqa: PLC0415

    class Pinned(Contacts):  # type: ignore[misc]
        def told(self) -> dict[str, object]:
            key = ristretto.Evaluator(b"o" * 32).public_key.serialize().hex()
            return {**super().told(), "key": {"id": "", "public": key}}

    publish(workspace)
    decide(workspace, "ana", State.GIVEN, purpose=Purpose.CONTACTS)
    now = datetime.now(UTC)
    token = mint("ana", workspace=workspace, settings=settings, now=now, identifiers=[NUMBERS["ana"]])
    server = Server(workspace)
    try:
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}) as client:
            contacts = Contacts(client)
            tokens = contacts.tokens([NUMBERS["ben"]])
            assert len(tokens) == 1
            contacts.tell(added=list(tokens.values()))
            contacts.share(*tokens.values())
            assert [each["shared"] for each in _export(client) if each["kind"] == "contact"] == [True]
            with pytest.raises(ValueError, match="not of the key"):
                Pinned(client).tokens([NUMBERS["ben"]])
    finally:
        server.stop()
