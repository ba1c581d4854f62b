"""Which code this is: a digest of the program's own files."""

import hashlib
from functools import cache
from pathlib import Path

_DIGITS = 16  # enough to tell any two apart, short enough to compare by eye
_CODE = (".py", ".toml", ".j2")


@cache
def code_digest() -> str:
    """Return a digest of the program's own files, so that a run tells which code made it, committed or not."""
    told = hashlib.sha256()
    top = Path(__file__).parents[2]
    for file in sorted(path for folder in ("pipelines", "recsys") for path in (top / folder).rglob("*")):
        if file.suffix in _CODE:
            told.update(f"{file.relative_to(top)}\0".encode() + file.read_bytes())
    return told.hexdigest()[:_DIGITS]
