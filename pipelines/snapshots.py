"""The job that lists the published snapshots, and goes back to one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from recsys.errors import InputError, NotReadyError
from recsys.releases.snapshot import publishing
from recsys.serving.snapshot.snapshot_reader import open_snapshot
from recsys.workspace import Workspace, age_of


@dataclass(frozen=True)
class Listed:
    """One snapshot.

    Parameters
    ----------
    id : str
    is_current : bool
        Whether it is the one that is served.
    fault : str
        What is wrong with it; empty where it is whole.
    """

    id: str
    is_current: bool
    fault: str


def listed(workspace: Workspace) -> list[Listed]:
    """Return the snapshots that are kept, the newest first, each verified as the endpoint does."""
    folders = [path for path in workspace.snapshots.glob("[!.]*") if path.is_dir()]
    current = publishing.pointer(workspace)
    return [
        Listed(folder.name, folder.name == current, _fault(workspace, folder.name))
        for folder in sorted(folders, key=age_of, reverse=True)
    ]


def use(workspace: Workspace, name: str) -> str:
    """Point to another snapshot, and its public files; return the id of the one before. The next night publishes anew.

    Raises
    ------
    InputError
        If there is no such snapshot, or it is not whole.
    """
    with workspace.locked():
        before = publishing.pointer(workspace) or ""
        if name not in {each.id for each in listed(workspace)}:
            raise InputError("there is no such snapshot", hint="`hearabouts snapshots list` names those that are kept.")
        fault = _fault(workspace, name)
        if fault:
            raise InputError(f"the snapshot {name} is not whole", hint=fault)
        publishing.point_to(workspace, name)
    return before


def snapshots_table(found: Sequence[Listed]) -> Table:
    """Return the snapshots as a table."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("snapshot", "", "state"):
        table.add_column(name, overflow="fold")
    for each in found:
        table.add_row(each.id, "current" if each.is_current else "", each.fault or "whole")
    return table


def _fault(workspace: Workspace, name: str) -> str:
    try:
        open_snapshot(workspace.snapshots / name)
    except NotReadyError as error:
        return error.message
    return ""
