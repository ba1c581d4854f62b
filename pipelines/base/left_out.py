"""Nights that are left out for good: no later run tries them again, and nobody misses them."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from recsys.workspace import Workspace, make_folder, replace_file

_LEFT_OUT = ".skipped"


def leave_out(workspace: Workspace, nights: Iterable[date]) -> None:
    """Write down which nights are left out for good: no later run tries them again."""
    for night in nights:
        file = _mark(workspace, night)
        make_folder(file.parent, mode=0o700)
        replace_file(file, b"", mode=0o600)


def left_out(workspace: Workspace) -> set[date]:
    """Return the nights that are left out for good."""
    return {date.fromisoformat(file.stem) for file in (workspace.private / "nights").glob(f"*{_LEFT_OUT}")}


def _mark(workspace: Workspace, night: date) -> Path:
    return workspace.private / "nights" / f"{night}{_LEFT_OUT}"
