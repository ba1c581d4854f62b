"""Which code this is: a digest of the program's own files, and of the packages that it was installed with."""

import hashlib
from functools import cache
from pathlib import Path

TOP = Path(__file__).parents[2]  # of the checkout, or of the folder of all installed packages
_DIGITS = 16  # enough to tell any two apart, short enough to compare by eye
_CODE = (".py", ".toml", ".j2")


@cache
def code_digest() -> str:
    """Return a digest of the program's own files, so that a run tells which code made it, committed or not."""
    told = hashlib.sha256()
    for file in sorted(path for folder in ("pipelines", "recsys") for path in (TOP / folder).rglob("*")):
        if file.suffix in _CODE:
            told.update(f"{file.relative_to(TOP)}\0".encode() + file.read_bytes())
    return told.hexdigest()[:_DIGITS]


def lock_digest() -> str:
    """Return a digest of the lock of all requirements; empty where the program does not lie in its checkout."""
    lock = TOP / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:_DIGITS] if lock.is_file() else ""
