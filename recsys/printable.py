"""The one place where text from outside is made printable: no value of a row, no control character and no markup."""

import re
from collections.abc import Collection
from pathlib import Path

# Control characters, lone surrogates, line separators, and what turns the direction of text or cannot be seen; the
# joiners of Persian words and of emoji (U+200C, U+200D) stay.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
    "|[\U000e0000-\U000e007f]"
)
_SPACES = "\t\n\r\x0b\x0c\x85\u2028\u2029"
_DECIMAL = re.compile(r"\d+[.,]\d{3,}")
# Names that writers of tables give by themselves, and those of the contract: none can be a value of a row.
_ORDINARY_NAME = re.compile(
    r"date=\d{4}-\d{2}-\d{2}"
    r"|((listens|consents|catalogue)([-_]\d{4}-\d{2}-\d{2})?|part-\d{1,6}(-[0-9a-f-]{36}(-c\d{3})?)?)"
    r"(\.snappy)?\.(parquet|csv|csv\.gz|ndjson)",
    re.IGNORECASE,
)


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


def place(path: Path, *, source: Path) -> str:
    """Return where a file of an input lies, for a message.

    What a person named on the command line is shown as it was typed. What was found in there is shown by its name only
    where it has an ordinary one, because a name may be a value too: else it is counted, in the order of the names.
    """
    shown, at = given(source), source
    for part in path.relative_to(source).parts:
        ordinary = _ORDINARY_NAME.fullmatch(part)
        shown += f"/{part}" if ordinary else _counted(at / part)
        at /= part
    return shown


def given(path: Path) -> str:
    """Return a path that a person typed, with its decimals hidden: they may be a position."""
    return _DECIMAL.sub("…", printable(str(path)))


def _counted(path: Path) -> str:
    """Tell which of its folder a file is, or was until it was taken away."""
    try:
        beside = {path.name, *(other.name for other in path.parent.iterdir())}
    except OSError:
        return " (which is gone)"
    return f" (number {1 + sum(name < path.name for name in beside)} of {len(beside)} by name)"


def _as_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
