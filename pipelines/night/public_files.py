"""The step of the night that writes a snapshot's public answers as files, which any web server can serve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.artifacts.privacy_account import Accounted, read_privacy_account
from recsys.artifacts.public_files import write_files
from recsys.errors import NotReadyError
from recsys.serving.rendering import public_files
from recsys.serving.snapshot.snapshot_reader import open_staged
from recsys.settings import Settings
from recsys.workspace import PUBLIC, Workspace


def write_public(stage: Path, facts: Mapping[str, Any], *, workspace: Workspace, settings: Settings) -> None:
    """Write ``public/`` into a staged snapshot, from its charts and the account as they are.

    Parameters
    ----------
    stage : Path
        Has ``charts.db``.
    facts : mapping
        What the manifest will say: ``id``, ``as_of`` and ``nights`` among it.
    workspace : Workspace
    settings : Settings
    """
    with open_staged(stage, facts) as published:
        write_files(stage / PUBLIC, public_files(published, settings=settings, account=_account(workspace)))


def _account(workspace: Workspace) -> Accounted | None:
    try:
        return read_privacy_account(workspace)
    except NotReadyError:
        return None
