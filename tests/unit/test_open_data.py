"""Open data of nights: folders that are written once, from releases as they are or once were."""

import json
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from support.edge import items
from support.releasing import NIGHT, contributed, released, small_atlas

import recsys.workspace as shared
from recsys.artifacts.chart_history import Night, append
from recsys.releases.snapshot import open_data
from recsys.releases.snapshot.open_data import write_open_data
from recsys.workspace import MANIFEST, Workspace, read_manifest


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path).prepare()


def release(workspace: Workspace, nights: Iterable[date] = (NIGHT,)) -> None:
    for night in nights:
        released(contributed([("a", "aa1", "t00")], night=night), workspace.root, night=night)


def keep(workspace: Workspace, nights: Iterable[date]) -> None:
    """Keep charts of some nights in the history."""
    for night in nights:
        past = {"first_rank": 1, "peak_rank": 1, "nights": 1, "first_night": str(night), "peak_night": str(night)}
        told = [item | {"artist_id": "a", "history": past} for item in items("world", size=3)]
        append(workspace.history, Night(night, night, 7, "v"), [("world", "popular", told)], kept=3, artists={})


def before_weights_were_earned(folder: Path) -> None:
    """Make of a release what releases were before ``most_per_night``: other bounds, and no totals."""
    facts = json.loads((folder / MANIFEST).read_text())
    for bound in ("most_per_night", "most_per_28_nights", "most_per_365_nights"):
        del facts[bound]
    (folder / "totals.parquet").unlink()
    del facts["files"]["totals.parquet"]
    (folder / MANIFEST).write_text(json.dumps(facts | {"max_tracks": 12, "max_nights": 3, "max_nights_per_year": 90}))


def test_a_readme_says_what_bounded_its_night(workspace: Workspace) -> None:
    release(workspace)
    write_open_data(workspace, atlas=small_atlas())
    text = (workspace.data / str(NIGHT) / "README.md").read_text()
    assert "squares of all weights add up to\n10 at most" in text
    assert "`totals.parquet`" in text
    assert "mean weight" in text


def test_a_night_from_before_weights_were_earned_says_what_bounded_it_and_has_no_totals(workspace: Workspace) -> None:
    """Such a release has ``max_tracks`` where later ones have ``most_per_night``."""
    release(workspace)
    before_weights_were_earned(workspace.releases / str(NIGHT))
    write_open_data(workspace, atlas=small_atlas())
    folder = workspace.data / str(NIGHT)
    text = (folder / "README.md").read_text()
    assert "at most 12 tracks" in text
    assert "totals" not in text
    assert "mean weight" not in text
    assert set(read_manifest(folder)["files"]) == {
        *("counts.parquet", "counts.csv.gz", "release.json", "README.md", "SHA256SUMS")
    }


def test_after_a_loss_of_the_history_a_month_keeps_the_nights_that_were_published(workspace: Workspace) -> None:
    """The run after the loss draws the last nights again, not all; what lies in the folders of nights is there."""
    nights = [NIGHT + timedelta(days=day) for day in range(5)]
    release(workspace, nights[:4])
    keep(workspace, nights[:4])
    write_open_data(workspace, atlas=small_atlas())
    workspace.history.unlink()
    release(workspace, nights[4:])
    keep(workspace, nights[3:])
    write_open_data(workspace, atlas=small_atlas())
    table = pl.read_parquet(workspace.data / "2026-10" / "charts.parquet")
    assert table["night"].unique().sort().to_list() == nights


def test_what_is_there_is_not_read_again_night_by_night(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    release(workspace)
    keep(workspace, [NIGHT])
    write_open_data(workspace, atlas=small_atlas())

    def digesting(path: Path) -> str:
        raise AssertionError(path.name)

    monkeypatch.setattr(shared, "digest", digesting)
    monkeypatch.setattr(open_data, "digest", digesting)
    write_open_data(workspace, atlas=small_atlas())


@pytest.mark.parametrize("name", ["counts.csv.gz", "charts.parquet", "README.md", MANIFEST])
@pytest.mark.parametrize("content", [None, b"cut"])
def test_a_folder_that_is_not_whole_is_written_anew(workspace: Workspace, name: str, content: bytes | None) -> None:
    release(workspace)
    keep(workspace, [NIGHT])
    write_open_data(workspace, atlas=small_atlas())
    folder = workspace.data / str(NIGHT)
    before = read_manifest(folder)
    (folder / name).unlink()
    if content:
        (folder / name).write_bytes(content)
    write_open_data(workspace, atlas=small_atlas())
    assert read_manifest(folder) == before


@pytest.mark.parametrize(
    "manifest", ["[]", "{}", '{"files": {}}', '{"files": []}', '{"files": {"README.md": 1}}', "no JSON"]
)
def test_what_is_no_manifest_makes_no_folder_whole(workspace: Workspace, manifest: str) -> None:
    release(workspace)
    folder = workspace.data / str(NIGHT)
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(manifest)
    write_open_data(workspace, atlas=small_atlas())
    assert "counts.parquet" in read_manifest(folder)["files"]
