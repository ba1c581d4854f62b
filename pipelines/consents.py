"""The job that brings a consent log in: importing the same file twice changes nothing."""

from pathlib import Path
from typing import Any

from recsys.arrivals import permission
from recsys.consent import ConsentLog
from recsys.settings import Settings
from recsys.workspace import Workspace


def import_consents(file: Path, *, workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """Append the entries of a consents file to the workspace's log.

    Returns
    -------
    dict
        ``rows`` in the file, ``new`` entries, and ``bad_rows`` by reason.

    Raises
    ------
    InputError
        If the file is missing, unreadable, or more than ``arrivals.max_bad_share`` of its rows are bad; the log is
        then unchanged.
    """
    read = read_consents(file, key=workspace.listener_key(), settings=settings)
    new = ConsentLog(workspace.consents).append(read.entries)
    return {"rows": read.rows, "new": new, "bad_rows": read.bad}


def read_consents(file: Path, *, key: bytes, settings: Settings) -> permission.ReadConsents:
    """Read and check a consents file, without changing the log."""
    return permission.read_entries(file, key=key, max_bad_share=settings.arrivals.max_bad_share)
