"""The request id in answers and logs: the caller's own where it can be nothing else, or one that is made."""

import random
import re
from collections.abc import Iterable

import h3

from recsys.geography.positions import holds_position
from recsys.serving.requests.headers import first

HEADER = b"x-request-id"


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return what ``X-Request-Id`` says, if it is a UUID or a plain word of letters and digits; else a random one.

    A cell, a number (it could be a coordinate) or a part of a token is not taken over: the name is logged.
    """
    given = first(headers, HEADER)
    text = "" if given is None else given.decode("latin-1")
    return text if text and (_UUID.fullmatch(text) or _is_plain(text)) else f"{random.getrandbits(64):016x}"


def _is_plain(text: str) -> bool:
    plain = _WORD.fullmatch(text) and not text.isdigit() and not text.startswith("eyJ")
    return bool(plain) and not _is_cell(text) and not holds_position(text)


def _is_cell(text: str) -> bool:
    return any(h3.is_valid_cell(part.lower()) for part in _HEX.findall(text))


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WORD = re.compile(r"[A-Za-z0-9]{8,64}")
_HEX = re.compile(r"(?=([0-9a-fA-F]{15}))")
