"""The one place where text from outside is made printable: no value of a row, no control character and no markup."""

import re
from collections.abc import Collection

# Control characters, lone surrogates, line separators, and what turns the direction of text or cannot be seen; the
# joiners of Persian words and of emoji (U+200C, U+200D) stay.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
    "|[\U000e0000-\U000e007f]"
)
_SPACES = "\t\n\r\x0b\x0c\x85\u2028\u2029"
_DECIMAL = re.compile(r"\d+[.,]\d{3,}")


def printable(text: str) -> str:
    """Return a text as it may be shown to a person: a space for every break, U+FFFD for other control characters."""
    return _CONTROL.sub(lambda found: " " if found[0] in _SPACES else "\ufffd", text)


def escaped(json: str) -> str:
    r"""Return a JSON text that means the same, with control characters written as ``\u009b``."""
    return _CONTROL.sub(lambda found: _as_json(found[0]), json)


def names(found: Collection[str], *, known: Collection[str]) -> str:
    """Return names of columns as far as they are known; others are counted, because a name may be a value of a row."""
    others = len(set(found) - set(known))
    counted = [f"{others} column{'s' * (others > 1)} that {'are' if others > 1 else 'is'} not known"] if others else []
    return ", ".join([*sorted(set(found) & set(known)), *counted])


def given(path: object) -> str:
    """Return a path or address that a person typed, with its decimals hidden: they may be a position."""
    return _DECIMAL.sub("…", printable(str(path)))


def _as_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
