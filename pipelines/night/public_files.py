"""The step of the night that writes a snapshot's public answers as files, which any web server can serve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.write_openapi import contract
from recsys.artifacts.privacy_account import Accounted, read_privacy_account
from recsys.errors import NotReadyError
from recsys.serving.public.writer import write_files
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
    published = open_staged(stage, facts)
    files = public_files(published, settings=settings, account=_account(workspace), openapi=contract())
    write_files(stage / PUBLIC, files)


def _account(workspace: Workspace) -> Accounted | None:
    try:
        return read_privacy_account(workspace)
    except NotReadyError:
        return None
