"""Find friends in an address book that stays where it is: a client of `/v1/me/contacts`.

    python examples/contacts.py http://127.0.0.1:8000 "$TOKEN" book.txt

`book.txt` has a number (E.164: +351211234567) or an address (in small letters) a line; `$TOKEN` is the listener's, with
the claim `identifiers`: for trying, `hearabouts token ana --identifier +351911111111` prints one. The listener has
turned `contacts` on (`PUT /v1/me/consents/contacts`). It needs `httpx` and `voprf`.

A real app keeps the tokens that it has, so that of a book only what is new is evaluated and told: allowances are small.
It pins the public key, too: a server that gave each listener a key of its own could tell by it whose tokens are whose.
"""

import argparse
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from voprf import ristretto

_TOKEN_BYTES = 16  # of the 64 that come out


class Contacts:
    """The contacts of one listener.

    Parameters
    ----------
    client : httpx.Client
        With the address of the endpoint and the header `Authorization`.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._terms: dict[str, Any] = {}

    def told(self) -> dict[str, Any]:
        """Return the friends by their tokens, the key, and what is left of the allowances."""
        found: dict[str, Any] = self._client.get("/v1/me/contacts").raise_for_status().json()
        return found

    def tokens(self, book: Iterable[str]) -> dict[str, str]:
        """Return the tokens of numbers and addresses, by these; the server sees neither."""
        terms = self._agreed()
        key = ristretto.PublicKey.deserialize(bytes.fromhex(terms["key"]["public"]))
        pieces = _pieces(sorted(set(book)), size=terms["at_once"])
        return {entry: token for piece in pieces for entry, token in self._evaluated(piece, key)}

    def tell(self, **changes: Sequence[str]) -> None:
        """Tell which tokens are `added`, `removed`, `blocked`, `shared` or `unshared`."""
        at_once = self._agreed()["at_once"]
        for which, tokens in changes.items():
            for piece in _pieces(tokens, size=at_once):
                self._client.post("/v1/me/contacts", json={which: piece}).raise_for_status()

    def share(self, *tokens: str) -> None:
        """Share under the own name with some friends: they see the picture, and what of their list was played."""
        self.tell(shared=tokens)

    def trending(self, *, cell: str | None = None) -> dict[str, Any]:
        """Return the tracks that several friends played, in the country of a coarse cell or anywhere, and why."""
        asked = {"cell": cell} if cell else {}
        found: dict[str, Any] = self._client.get("/v1/me/contacts/trending", params=asked).raise_for_status().json()
        return found

    def friends(self, tokens: dict[str, str]) -> list[str]:
        """Return who of the book is a friend."""
        found = {friend["token"] for friend in self.told()["friends"]}
        return [entry for entry, token in tokens.items() if token in found]

    def _agreed(self) -> dict[str, Any]:
        """Return the key and how many entries go into one request, asked for once."""
        self._terms = self._terms or self.told()
        return self._terms

    def _evaluated(self, book: list[str], key: ristretto.PublicKey) -> Iterator[tuple[str, str]]:
        blinds, blinded = zip(*(ristretto.Client.blind(entry.encode()) for entry in book), strict=True)
        body = b"".join(each.serialize() for each in blinded)
        answer = self._client.post(
            "/v1/me/contacts/blinded", content=body, headers={"Content-Type": "application/octet-stream"}
        ).raise_for_status()
        evaluated = ristretto.VerifiableBatchOutput.deserialize(answer.content)
        yield from zip(book, map(_token, _finalized(blinds, evaluated, key)), strict=True)


def _finalized(
    blinds: Sequence[ristretto.Client], evaluated: ristretto.VerifiableBatchOutput, key: ristretto.PublicKey
) -> list[bytes]:
    """Take the blinding off, if the proof says that it was evaluated under the key; `voprf` 0.2 panics else."""
    try:
        return ristretto.Client.finalize_batch(blinds, evaluated, key)
    except BaseException as panic:
        if type(panic).__name__ != "PanicException":
            raise
        raise ValueError("the answer is not of the key that the server names") from None


def _token(output: bytes) -> str:
    return urlsafe_b64encode(output[:_TOKEN_BYTES]).decode().rstrip("=")


def _pieces(entries: Sequence[str], *, size: int) -> Iterator[list[str]]:
    left = iter(entries)
    while piece := list(islice(left, size)):
        yield piece


def main(arguments: Sequence[str]) -> None:
    """Tell of a book, and print who in it is a friend and what several friends played."""
    parser = argparse.ArgumentParser(description="Find friends in an address book that stays where it is.")
    parser.add_argument("endpoint")
    parser.add_argument("token")
    parser.add_argument("book", type=Path)
    given = parser.parse_args(arguments)
    headers = {"Authorization": f"Bearer {given.token}"}
    with httpx.Client(base_url=given.endpoint, headers=headers, timeout=30) as client:
        contacts = Contacts(client)
        tokens = contacts.tokens(given.book.read_text(encoding="utf-8").split())
        contacts.tell(added=list(tokens.values()))
        for entry in contacts.friends(tokens):
            print(entry)
        played = contacts.trending()
        print(played["why"])
        for item in played["items"]:
            print(f"{item['rank']}. {item['title']}, {item['artist']}")


if __name__ == "__main__":
    main(sys.argv[1:])
