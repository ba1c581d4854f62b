"""What the night makes of the chart history alone: the forecasts of next week, and the open data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from pipelines.night.forecasts import forecast_next_week
from recsys.geography.atlas import Atlas
from recsys.processes import mapping
from recsys.releases.snapshot.open_data import write_open_data
from recsys.settings import Settings
from recsys.workspace import Workspace


@contextmanager
def history_outputs(
    workspace: Workspace, *, atlas: Atlas, settings: Settings, workers: int
) -> Iterator[Callable[[], object]]:
    """Write them in another process while the block goes on, and yield what waits until they are written.

    Nothing that models learn goes into them, and nothing of them into models.

    Parameters
    ----------
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
    with mapping(partial(_write, atlas=atlas.without_cities, settings=settings), workers=workers) as mapped:
        yield partial(list, mapped([workspace]))


def _write(workspace: Workspace, *, atlas: Atlas, settings: Settings) -> None:
    forecast_next_week(workspace, atlas=atlas, charts=settings.charts, settings=settings.forecasts)
    write_open_data(workspace, atlas=atlas)
