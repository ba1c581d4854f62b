"""The job that copies a consent log to another database, whole and verified: how a deployment moves to PostgreSQL."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from recsys.consents.log import ConsentLog, consent_log
from recsys.settings import Settings
from recsys.workspace import Workspace


def copy_consents(to: str, *, workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """Copy the log of a workspace to a PostgreSQL database, or to a SQLite file.

    The log that is copied stays as it is, and stays the one that is used until ``consents.url`` names the other. The
    marks of erasures and withdrawals are the workspace's, and hold wherever its log is.

    Returns
    -------
    dict
        ``rows`` by table, how many were ``new``, and the ``digest`` of both.

    Raises
    ------
    InputError
        If the other log holds what this one does not.
    NotReadyError
        If another job runs, a database cannot be used now, or the log was written to meanwhile.
    SettingsError
        If the address does not fit.
    """
    place = to if "://" in to else Path(to)
    with workspace.locked():
        copied = consent_log(workspace, settings=settings).copy_to(ConsentLog(place))
    return {"status": "done", **asdict(copied)}
