"""What is made of the chart history while models learn: in another process or in this one, the same."""

import shutil
from datetime import timedelta
from multiprocessing import active_children
from pathlib import Path

import pytest
from support.edge import items
from support.releasing import NIGHT, contributed, released, small_atlas

from pipelines.night.history_outputs import history_outputs
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


def write(workspace: Workspace, settings: Settings, *, workers: int) -> dict[str, bytes]:
    with history_outputs(workspace, atlas=small_atlas(), settings=settings, workers=workers) as wait:
        wait()
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
        history_outputs(workspace, atlas=small_atlas(), settings=settings, workers=workers) as wait,
    ):
        wait()
    assert not files(workspace)


def test_when_models_fail_nobody_goes_on_writing_and_the_next_run_does(
    workspace: Workspace, settings: Settings
) -> None:
    others = set(active_children())
    with pytest.raises(KeyError), history_outputs(workspace, atlas=small_atlas(), settings=settings, workers=2):
        raise KeyError
    assert set(active_children()) <= others
    with workspace.locked():
        assert write(workspace, settings, workers=1).keys() >= {f"{night}/README.md" for night in NIGHTS}
