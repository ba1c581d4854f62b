"""What the last night wrote down about the privacy that was spent, read by the endpoint, which knows no ledger."""

import json
import os
from pathlib import Path
from typing import cast

from typing_extensions import TypedDict

ACCOUNT = "account.json"  # in the workspace; written by pipelines.privacy.privacy_account


class Spent(TypedDict):
    """What one listener can have been a part of, or can be at most (``releases`` is null then)."""

    purpose: str
    nights: str
    releases: int | None
    rho: float
    epsilon: float


class Accounted(TypedDict):
    """What was spent: epsilon by the larger of two accountants, and what that means in words."""

    at: str
    delta: float
    spent: list[Spent]
    meaning: str


class Account:
    """Follows the file: a new one is read by the first request that finds it.

    Parameters
    ----------
    file : Path
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[tuple[int, int] | None, Accounted | None] = (None, None)

    def get(self) -> Accounted | None:
        """Return what is written there; None where nothing is, or nothing that can be read."""
        try:
            found = os.stat(self._file)  # noqa: PTH116 - as the pointer of the snapshot
        except OSError:
            return None
        signature = (found.st_ino, found.st_mtime_ns)
        if self._seen[0] != signature:
            self._seen = (signature, self._read())
        return self._seen[1]

    def _read(self) -> Accounted | None:
        try:
            return cast("Accounted", json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
