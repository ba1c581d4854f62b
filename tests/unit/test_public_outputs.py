"""What is made of the charts while models learn: in another process or in this one, the same."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest
from support.edge import items
from support.releasing import NIGHT, contributed, released, small_atlas

from pipelines.night.public_outputs import public_outputs
from recsys.artifacts.chart_history import Night, append
from recsys.errors import RecsysError
from recsys.settings import Settings
from recsys.workspace import Workspace

NIGHTS = [NIGHT + timedelta(days=day) for day in range(3)]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with some released nights, whose charts are kept."""
    workspace = Workspace(tmp_path_factory.mktemp("before")).prepare()
    for night in NIGHTS:
        released(contributed([("a", "aa1", "t00")], night=night), workspace.root, night=night)
        past = {"first_rank": 1, "peak_rank": 1, "nights": 1, "first_night": str(night), "peak_night": str(night)}
        told = [item | {"artist_id": "a", "history": past} for item in items("world", size=3)]
        append(workspace.history, Night(night, night, 7, "v"), [("world", "popular", told)], kept=3, artists={})
    return workspace.root


@pytest.fixture
def workspace(before: Path, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(before, tmp_path / "copy")))


def files(workspace: Workspace) -> dict[str, bytes]:
    every = (path for path in workspace.data.rglob("*") if path.is_file())
    return {str(path.relative_to(workspace.data)): path.read_bytes() for path in every}


def last_night(workspace: Workspace) -> str:
    """Stand in for what writes a snapshot, which tells of the open data."""
    return f"the last night is {max(path.name for path in workspace.data.glob('*-*-*'))}"


def outputs(workspace: Workspace, settings: Settings, *, workers: int) -> AbstractContextManager[Callable[[], str]]:
    write_snapshot, atlas = partial(last_night, workspace), small_atlas()
    return public_outputs(write_snapshot, workspace=workspace, atlas=atlas, settings=settings, workers=workers)


def write(workspace: Workspace, settings: Settings, *, workers: int) -> dict[str, bytes]:
    with outputs(workspace, settings, workers=workers) as wait:
        assert wait() == "the last night is 2026-10-03"
    return files(workspace)


def test_another_process_writes_the_same(workspace: Workspace, tmp_path: Path, settings: Settings) -> None:
    other = Workspace(Path(shutil.copytree(workspace.root, tmp_path / "other")))
    alone = write(workspace, settings, workers=1)
    assert {name.split("/")[0] for name in alone} >= {str(night) for night in NIGHTS}
    assert write(other, settings, workers=2) == alone


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_is_told_to_whoever_waits(workspace: Workspace, settings: Settings, workers: int) -> None:
    workspace.history.write_bytes(b"no database" * 100)
    with (
        pytest.raises(RecsysError, match="history"),
        outputs(workspace, settings, workers=workers) as wait,
    ):
        wait()
    assert not files(workspace)


def test_when_models_fail_nobody_goes_on_writing_and_the_next_run_does(
    workspace: Workspace, settings: Settings
) -> None:
    others = set(active_children())
    with pytest.raises(KeyError), outputs(workspace, settings, workers=2):
        raise KeyError
    assert set(active_children()) <= others
    with workspace.locked():
        assert write(workspace, settings, workers=1).keys() >= {f"{night}/README.md" for night in NIGHTS}
