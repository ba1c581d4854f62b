"""What the night makes of its charts alone: the forecasts of next week, the open data, and the snapshot."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from pipelines.night.forecasts import forecast_next_week
from recsys.geography.atlas import Atlas
from recsys.processes import mapping
from recsys.releases.snapshot.open_data import write_open_data
from recsys.settings import Settings
from recsys.workspace import Workspace

WriteSnapshot = Callable[[], str]
"""Returns the id of what it wrote."""


@contextmanager
def public_outputs(
    write_snapshot: WriteSnapshot, *, workspace: Workspace, atlas: Atlas, settings: Settings, workers: int
) -> Iterator[Callable[[], str]]:
    """Write them in another process while the block goes on, and yield what waits for them and returns the snapshot.

    Nothing that models learn goes into them, and nothing of them into models.

    Parameters
    ----------
    write_snapshot : callable
        Is called after all others, which are told of in a snapshot's files.
    workspace : Workspace
        Whose chart history has its last night.
    atlas : Atlas
    settings : Settings
    workers : int
        With 1 there is no other process, and whoever waits writes them.

    Raises
    ------
    NotReadyError
        If the other process is killed.
    """
    write = partial(_write, workspace=workspace, atlas=atlas, settings=settings)
    with mapping(write, workers=workers) as mapped:
        yield partial(next, mapped([write_snapshot]))


def _write(write_snapshot: WriteSnapshot, *, workspace: Workspace, atlas: Atlas, settings: Settings) -> str:
    forecast_next_week(workspace, atlas=atlas, charts=settings.charts, settings=settings.forecasts)
    write_open_data(workspace, atlas=atlas)
    return write_snapshot()
