"""Expiring tokens: content that nobody else can read or make, good until a minute; nothing is kept for them.

A token is a nonce and what AES-256-GCM makes of the minute and the content: two of the same have nothing in common.
"""

import secrets
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE, _EXPIRES, _TAG = 12, 4, 16  # bytes; the minute counts since 1970

OVERHEAD = _NONCE + _EXPIRES + _TAG
"""How many bytes a token is longer than its content."""


def sealed(content: bytes, *, cipher: AESGCM, until: datetime) -> bytes:
    """Return a token, good until the minute of an instant begins."""
    nonce, minute = secrets.token_bytes(_NONCE), int(until.timestamp()) // 60
    return nonce + cipher.encrypt(nonce, minute.to_bytes(_EXPIRES, "big") + content, None)


def opened(token: bytes, *, cipher: AESGCM, now: datetime) -> bytes | None:
    """Return the content of a token; None where it is none under this cipher, or not any more."""
    try:
        plain = cipher.decrypt(token[:_NONCE], token[_NONCE:], None)
    except (InvalidTag, ValueError):
        return None
    if int.from_bytes(plain[:_EXPIRES], "big") * 60 <= now.timestamp():
        return None
    return plain[_EXPIRES:]
