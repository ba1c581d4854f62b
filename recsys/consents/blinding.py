"""Blinding: numbers and addresses become tokens under the server's key, which it does not see in a book.

A client blinds what is in its book, the server evaluates it under its key and proves that it did, and the client takes
the blinding off: neither learns what the other holds. What comes out is the token that the server makes itself of the
numbers and addresses that it knows to be a listener's own.

References
----------
RFC 9497, "Oblivious Pseudorandom Functions (OPRFs) Using Prime-Order Groups" (2023): ristretto255-SHA512, in the
verifiable mode, as `voprf` has it.
"""

from base64 import urlsafe_b64encode

from voprf import ristretto

from recsys.errors import InputError
from recsys.workspace import fingerprint

ELEMENT_BYTES = 32
"""Bytes of a blinded number or address, and of what the server makes of it."""

TOKEN_BYTES = 16
"""Bytes that are kept of the 64 that come out: no two of a billion are alike, and none can be guessed."""

TOKEN_LENGTH = -(-TOKEN_BYTES * 4 // 3)
"""Characters of a token as text."""


class Blinding:
    """The server's half, under one key.

    Parameters
    ----------
    key : bytes
        A secret of 32 bytes, from which the key pair is derived (RFC 9497, section 3.2.1).

    Attributes
    ----------
    id : str
        What tells this key from another, and nothing of either.
    public_key : bytes
        What a client verifies answers with.
    """

    def __init__(self, key: bytes) -> None:
        self.id = fingerprint(key)
        self._evaluator = ristretto.Evaluator(key)
        self.public_key = self._evaluator.public_key.serialize()

    def evaluated(self, blinded: bytes) -> bytes:
        """Return one proof of 64 bytes, and behind it n evaluated elements, of n blinded ones of 32 bytes each.

        Raises
        ------
        InputError
            If there is nothing, or something that is no element of the group; or its identity, which is none to blind.
        """
        pieces = [blinded[at : at + ELEMENT_BYTES] for at in range(0, len(blinded), ELEMENT_BYTES)]
        try:
            elements = [ristretto.BlindedInput.deserialize(piece) for piece in pieces]
        except ValueError:
            elements = []
        if not elements:
            raise InputError(
                "the body is not a sequence of blinded elements",
                hint=f"Send {ELEMENT_BYTES} bytes each, as `Blind` of RFC 9497 returns them (ristretto255-SHA512).",
            )
        return self._evaluator.evaluate_batch(elements).serialize()

    def token(self, identifier: str) -> str:
        """Return the token of a number or address that is known."""
        return token_of(self._evaluator.evaluate_known_input(identifier.encode()))


def token_of(output: bytes) -> str:
    """Return the text of an output of the function: the first bytes in base64url (RFC 4648), without padding."""
    return urlsafe_b64encode(output[:TOKEN_BYTES]).decode().rstrip("=")
