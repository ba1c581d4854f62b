"""Listeners with address books, as their devices see the endpoint."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import httpx
from support.edge import Client
from voprf import ristretto

from recsys.consents.blinding import Blinding, token_of
from recsys.consents.contacts import Book
from recsys.consents.log import ConsentLog, Purpose
from recsys.serving.auth.tokens import mint
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of

URL, BLINDED = "/v1/me/contacts", "/v1/me/contacts/blinded"
NUMBERS = {name: f"+35191000{n:04}" for n, name in enumerate(("ana", "ben", "cho", "dov", "eve", "fay", "gus", "hal"))}


def befriend(workspace: Workspace, one: str, *others: str, day: date = date(2026, 10, 31)) -> None:
    """Let one of ``NUMBERS`` and each of some others have each other in the book, as if both had told of it."""
    blinding, log = Blinding(workspace.contacts_key()), ConsentLog(workspace.consents)
    token = {who: blinding.token(NUMBERS[who]) for who in (one, *others)}
    for who, book in ((one, others), *((other, (one,)) for other in others)):
        told = Book({token[who]}, {token[each] for each in book})
        listener = listener_of(who, key=workspace.listener_key())
        at = datetime.combine(day, time(12), UTC)
        with log.allowing(listener, Purpose.CONTACTS, at=at) as connection:
            log.contacts.keep(connection, listener, told, key=blinding.id, day=day, most=100)


class Device:
    """Somebody with the app; by default the app has verified the number of ``NUMBERS``."""

    def __init__(
        self,
        who: str,
        client: Client,
        *,
        workspace: Workspace,
        settings: Settings,
        identifiers: Sequence[str] | None = None,
    ) -> None:
        self.who, self._client, self._workspace, self._settings = who, client, workspace, settings
        self.identifiers = [NUMBERS[who]] if identifiers is None else list(identifiers)

    def headers(self, *, now: datetime | None = None) -> dict[str, str]:
        token = mint(
            self.who,
            workspace=self._workspace,
            settings=self._settings,
            now=now or self._client.now,
            identifiers=self.identifiers,
        )
        return {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self._client.request(method, url, headers=self.headers() | options.pop("headers", {}), **options)

    def evaluate(self, content: bytes) -> httpx.Response:
        return self.ask("POST", BLINDED, content=content, headers={"Content-Type": "application/octet-stream"})

    def tokens(self, *book: str) -> list[str]:
        """What the device makes of its book, with the server's help."""
        blinds, blinded = zip(*(ristretto.Client.blind(each.encode()) for each in book), strict=True)
        answer = self.evaluate(b"".join(each.serialize() for each in blinded))
        assert answer.status_code == 200, answer.text
        key = ristretto.PublicKey.deserialize(bytes.fromhex(self.told()["key"]["public"]))
        evaluated = ristretto.VerifiableBatchOutput.deserialize(answer.content)
        return [token_of(each) for each in ristretto.Client.finalize_batch(blinds, evaluated, key)]

    def tell(self, **told: Sequence[str]) -> httpx.Response:
        return self.ask("POST", URL, json=told)

    def add(self, *others: str) -> list[str]:
        """Have some others of ``NUMBERS`` in the book, and tell of them."""
        tokens = self.tokens(*(NUMBERS[other] for other in others))
        assert self.tell(added=tokens).status_code == 204
        return tokens

    def told(self) -> dict[str, Any]:
        answer = self.ask("GET", URL)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def friends(self) -> list[str]:
        """Who of ``NUMBERS`` is a friend, as whoever has the server's key can tell."""
        key = Blinding(self._workspace.contacts_key())
        names = {key.token(number): name for name, number in NUMBERS.items()}
        return sorted(names[each["token"]] for each in self.told()["friends"])
