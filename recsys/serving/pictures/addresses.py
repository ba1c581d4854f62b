"""Addresses of pictures: sealed, good for a while, and for this picture alone; nothing is kept for them.

An address is a token (AES-256-GCM) under a key for this alone: whose picture it is, of which kind and edition, who
asked for it, and until when. Nobody can read or make one, and two of the same picture have nothing in common. It is
written in letters without digits, so that it cannot read like a place.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recsys.serving.pictures.kinds import KINDS
from recsys.serving.requests.expiring import opened, sealed

_WHO = 32  # hex digits of a listener, and as many of a picture's edition
_PATH = "/v1/images/"
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_DIGITS = str.maketrans("abcdefghijklmnop", "0123456789abcdef")


@dataclass(frozen=True)
class Shown:
    """What an address shows.

    Parameters
    ----------
    owner : str
        Whose picture it is, as a listener.
    kind : str
        One of :data:`recsys.serving.pictures.kinds.KINDS`.
    edition : str
        Of the picture; of a newer one, also of the same once more, there is another address.
    viewer : str
        Who asked for the address.
    """

    owner: str = field(repr=False)
    kind: str
    edition: str = field(repr=False)
    viewer: str = field(repr=False)


class PictureAddresses:
    """The addresses of one endpoint, or of several with one listener key.

    Parameters
    ----------
    key : bytes
        The listener key; another one is derived from it for this alone.
    minutes : int
        For how long an address is good.
    """

    def __init__(self, key: bytes, *, minutes: int) -> None:
        self._cipher = AESGCM(hashlib.blake2b(key=key, person=b"pictures", digest_size=32).digest())
        self._good_for = timedelta(minutes=minutes)

    def address_of(self, shown: Shown, *, now: datetime) -> tuple[str, datetime]:
        """Return the address of a picture, and until when it shows it."""
        until = (now + self._good_for).astimezone(UTC).replace(second=0, microsecond=0)
        names = bytes.fromhex(shown.owner + shown.viewer + shown.edition)
        token = sealed(bytes([KINDS.index(shown.kind)]) + names, cipher=self._cipher, until=until)
        return _PATH + token.hex().translate(_LETTERS), until

    def shown(self, name: str, *, now: datetime) -> Shown | None:
        """Return what the last part of an address shows; None where it is none of ours, or not any more."""
        content = opened(_bytes(name), cipher=self._cipher, now=now)
        if content is None:
            return None
        names = content[1:].hex()
        return Shown(names[:_WHO], KINDS[content[0]], names[2 * _WHO :], names[_WHO : 2 * _WHO])


def _bytes(name: str) -> bytes:
    """Return what letters stand for, and nothing of a name that is not written as ours are."""
    is_ours = len(name) % 2 == 0 and all("a" <= letter <= "p" for letter in name)
    return bytes.fromhex(name.translate(_DIGITS)) if is_ours else b""
