import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.releasing import NIGHT, catalogue, small_atlas

from recsys.errors import InputError, NotReadyError
from recsys.releases.charts.charts import Charts
from recsys.releases.snapshot import publishing
from recsys.schemas import OVER_ALL_NIGHTS, Chart
from recsys.serving.snapshot.snapshot_reader import open_published, open_staged
from recsys.workspace import Workspace, digest, write_manifest

Line = tuple[str, str, int, str, float, float, float, float]  # the lift's interval is 20 % around it
LINES: list[Line] = [
    ("world", "popular", 1, "t00", 12_345.67, 12_300.0, 12_400.0, 1.0),
    ("world", "popular", 2, "t01", 0.04567, 0.0, 1.5, 1.0),
    ("AA", "popular", 1, "t01", 118.44, 90.0, 150.0, 2.1),
    ("AA", "popular", 2, "t02", 3.3, 1.0, 9.0, 1.2),
    ("aa1", "popular", 1, "t00", 1.2, 0.9, 1.4, 0.43),
]


def charts(lines: Sequence[Line] = LINES, *, kinds: tuple[str, ...] = ("popular", "rising")) -> Charts:
    names = ("place", "chart", "rank", "track_id", "estimate", "low", "high", "lift")
    schema = {name: column.dtype for name, column in Chart.columns().items()}
    frame = pl.DataFrame(lines, schema=names, orient="row").with_columns(
        previous_rank=None,
        nights_on_chart=3,
        lift_low=pl.col("lift") * 0.8,
        lift_high=pl.col("lift") * 1.2,
        kind=pl.when(pl.col("chart") == "rising").then(pl.lit("mover")),
        grade=pl.when(pl.col("chart") == "rising").then(pl.lit("surely")),
        nights=pl.when(pl.col("chart") == "rising").then(2).otherwise(7),
        **dict.fromkeys(OVER_ALL_NIGHTS),
    )
    return Charts(frame.select(*schema).cast(schema), kinds)


Write = Callable[[Path, Mapping[str, Any]], None]


def publish(
    workspace: Workspace,
    lines: Sequence[Line] = LINES,
    *,
    day: int = 0,
    tracks: int = 20,
    write_public: Write | None = None,
) -> str:
    return publishing.publish(
        workspace,
        charts=charts(lines),
        catalogue=catalogue([f"t{i:02d}" for i in range(tracks)]),
        atlas=small_atlas(),
        nights=[NIGHT + timedelta(days=day), NIGHT],
        settings_digest="settings",
        ledger_numbers=[2, 1],
        write_public=write_public,
    )


def public(stage: Path, facts: Mapping[str, Any]) -> None:
    """Write a public file that says which snapshot it is of, from what the folder holds by then."""
    with open_staged(stage, facts) as staged:
        assert staged.places["AA"].served
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        staged.items("AA", chart="popular")
    (stage / "public" / "v1").mkdir(parents=True)
    (stage / "public" / "v1" / "regions.json").write_text(facts["id"])
    write_manifest(stage / "public", {})


def files(folder: Path) -> dict[str, tuple[str, int]]:
    return {str(path): (digest(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_snapshot_holds_what_serving_needs(workspace: Workspace) -> None:
    name = publish(workspace, day=1)
    assert name.startswith("2026-10-02-")
    found = publishing.current(workspace)
    assert found.id == name == workspace.current.read_text()
    facts = {key: found.manifest[key] for key in ("id", "as_of", "charts", "atlas", "nights", "settings", "ledger")}
    assert facts == {
        "id": name,
        "as_of": "2026-10-02",
        "charts": ["popular", "rising"],
        "atlas": "small",
        "nights": ["2026-10-01", "2026-10-02"],
        "settings": "settings",
        "ledger": [1, 2],
    }
    assert set(found.manifest["files"]) == {"charts.db"}


def test_the_items_are_those_of_the_contract(workspace: Workspace) -> None:
    publish(workspace)
    assert publishing.current(workspace).items("AA", chart="popular")[0] == {
        "rank": 1,
        "previous_rank": "new",
        "nights_on_chart": 3,
        "track_id": "t01",
        "title": "Song t01",
        "artist": "Band t01",
        "artist_id": "a-t01",
        "listeners": {"estimate": 118.4, "low": 90.0, "high": 150.0},
        "lift": 2.1,
        "lift_interval": {"low": 1.68, "high": 2.52},
        "nights": 7,
        "reason": "About 120 contributing listeners a night; its share is 2.1 times (1.7 to 2.5) the world's.",
    }
    assert publishing.current(workspace).items("AA", chart="rising") == []
    assert publishing.current(workspace).items("BB", chart="popular") == []


def test_the_reasons_claim_no_more_than_the_intervals(workspace: Workspace) -> None:
    publish(workspace)
    found = publishing.current(workspace)
    reasons = [item["reason"] for place in ("world", "AA", "aa1") for item in found.items(place, chart="popular")]
    assert reasons == [
        "About 12,000 contributing listeners a night worldwide, between 12,000 and 12,000 with 95 % certainty.",
        "Fewer than one contributing listener a night worldwide, between 0 and 2 with 95 % certainty.",
        "About 120 contributing listeners a night; its share is 2.1 times (1.7 to 2.5) the world's.",
        "About 3 contributing listeners a night; no clear difference from its share in the world.",
        "About 1 contributing listener a night; its share is 0.43 times (0.34 to 0.52) the world's.",
    ]
    assert found.items("world", chart="popular")[1]["listeners"] == {"estimate": 0.0457, "low": 0.0, "high": 1.5}


def test_the_tables_are_public_geography(workspace: Workspace) -> None:
    folder = workspace.snapshots / publish(workspace)
    database = sqlite3.connect(folder / "charts.db")
    places = database.execute("SELECT id, name, search, served FROM places ORDER BY id").fetchall()
    assert ("AA", "Náme AA", "name aa aa", 1) in places
    assert ("BB", "Náme BB", "name bb bb", 0) in places
    assert len(places) == len(small_atlas().places)
    assert database.execute("SELECT * FROM cells").fetchall() == [("84390cbffffffff", "AA")]
    database.close()


def test_serving_can_open_it(workspace: Workspace) -> None:
    publish(workspace)
    published = open_published(workspace)
    assert published.charts == ("popular", "rising")
    assert (published.items("AA", chart="rising"), published.items("BB", chart="rising")) == ([], None)
    assert published.items("AA", chart="popular") == publishing.current(workspace).items("AA", chart="popular")
    assert published.country_of("84390cbffffffff") == "AA"


def test_the_same_content_changes_nothing(workspace: Workspace) -> None:
    first = publish(workspace)
    before = files(workspace.root)
    assert publish(workspace) == first
    assert files(workspace.root) == before


@pytest.mark.parametrize("change", ["charts", "night", "titles"])
def test_other_content_is_another_snapshot(workspace: Workspace, change: str) -> None:
    first = publish(workspace)
    second = {
        "charts": lambda: publish(workspace, LINES[:-1]),
        "night": lambda: publish(workspace, day=1),
        "titles": lambda: publish(workspace, tracks=2),
    }[change]()
    assert second != first
    assert publishing.current(workspace).id == second
    assert (workspace.snapshots / first).exists()


def test_the_bytes_follow_from_the_content(tmp_path: Path) -> None:
    folders = [Workspace(tmp_path / name).prepare() for name in ("one", "two")]
    databases = [workspace.snapshots / publish(workspace) / "charts.db" for workspace in folders]
    assert databases[0].read_bytes() == databases[1].read_bytes()


def test_tracks_that_left_the_catalogue_leave_no_gap(workspace: Workspace) -> None:
    publish(workspace, [("AA", "popular", i + 1, f"t{i:02d}", 9.0 - i, 0.0, 10.0, 1.0) for i in (0, 1, 3, 2)], tracks=3)
    items = publishing.current(workspace).items("AA", chart="popular")
    assert [(item["rank"], item["track_id"]) for item in items] == [(1, "t00"), (2, "t01"), (3, "t02")]


def test_the_last_seven_are_kept_and_the_current_one_always(workspace: Workspace) -> None:
    for day in range(10):
        newest = publish(workspace, day=day)
    assert len(list(workspace.snapshots.iterdir())) == 7
    again = publish(workspace)  # an older night, published again: it is the current one, and stays
    names = sorted(path.name for path in workspace.snapshots.iterdir())
    assert len(names) == 7
    assert {again, newest} <= set(names)
    assert publishing.current(workspace).id == again


def test_a_damaged_snapshot_is_written_again(workspace: Workspace) -> None:
    folder = workspace.snapshots / publish(workspace)
    whole = (folder / "charts.db").read_bytes()
    (folder / "charts.db").write_bytes(whole[:100])
    with pytest.raises(InputError):
        publishing.current(workspace)
    publish(workspace)
    assert (folder / "charts.db").read_bytes() == whole


def test_nothing_published_is_not_ready(workspace: Workspace) -> None:
    with pytest.raises(NotReadyError) as error:
        publishing.current(workspace)
    assert error.value.exit_code == 75


def test_input_that_does_not_fit_leaves_the_pointer(workspace: Workspace) -> None:
    first = publish(workspace)
    for wrong in (
        {"charts": Charts(charts().lines.with_columns(cell=pl.lit(1)), ("popular",))},
        {"nights": []},
        {"catalogue": charts().lines},
    ):
        fitting = {
            "charts": charts(),
            "catalogue": catalogue(),
            "atlas": small_atlas(),
            "nights": [NIGHT],
            "settings_digest": "s",
            "ledger_numbers": [1],
        }
        with pytest.raises(InputError):
            publishing.publish(workspace, **{**fitting, **wrong})  # type: ignore[arg-type]
    assert publishing.current(workspace).id == first


def test_public_files_are_of_the_current_snapshot_and_reached_by_a_link(workspace: Workspace) -> None:
    for day in range(3):
        name = publish(workspace, day=day, write_public=public)
        assert (workspace.public / "v1" / "regions.json").read_text() == name
        assert workspace.public.readlink() == Path("snapshots", name, "public")  # the whole can be moved
    assert publishing.current(workspace).manifest["files"].keys() == {"charts.db", "public/manifest.json"}


def test_the_same_content_changes_no_public_file_and_not_the_link(workspace: Workspace) -> None:
    publish(workspace, write_public=public)
    before, link = files(workspace.root), workspace.public.lstat()
    publish(workspace, write_public=public)
    assert (files(workspace.root), workspace.public.lstat()) == (before, link)


def test_a_damaged_public_file_is_written_again(workspace: Workspace) -> None:
    name = publish(workspace, write_public=public)
    (workspace.public / "v1" / "regions.json").write_text("damaged")
    publish(workspace, write_public=public)
    assert (workspace.public / "v1" / "regions.json").read_text() == name


@pytest.mark.parametrize("state", ["missing", "of the snapshot before", "leading nowhere", "a copied folder"])
def test_the_link_is_mended_after_a_crash_or_a_copy(workspace: Workspace, state: str) -> None:
    before = publish(workspace, write_public=public)
    name = publish(workspace, day=1, write_public=public)
    workspace.public.unlink()
    {
        "missing": lambda: None,
        "of the snapshot before": lambda: workspace.public.symlink_to(f"snapshots/{before}/public"),
        "leading nowhere": lambda: workspace.public.symlink_to("snapshots/gone/public"),
        "a copied folder": lambda: shutil.copytree(workspace.snapshots / before / "public", workspace.public),
    }[state]()
    publishing.link_public(workspace)
    assert (workspace.public / "v1" / "regions.json").read_text() == name
    assert {path.name for path in workspace.root.iterdir()} >= {"public", "current", "snapshots"}
    assert not list(workspace.root.glob(".public*"))


def test_without_public_files_there_is_no_link(workspace: Workspace) -> None:
    publish(workspace, write_public=public)
    publish(workspace, day=1)
    assert not workspace.public.is_symlink()
    publishing.link_public(workspace)


def test_public_files_that_do_not_verify_are_not_published(workspace: Workspace) -> None:
    def damaged(stage: Path, facts: Mapping[str, Any]) -> None:
        public(stage, facts)
        (stage / "public" / "v1" / "regions.json").write_text("damaged")

    first = publish(workspace, write_public=public)
    with pytest.raises(InputError):
        publish(workspace, day=1, write_public=damaged)
    assert publishing.current(workspace).id == first
    assert [path.name for path in workspace.snapshots.iterdir()] == [first]


def test_a_snapshot_that_is_removed_is_there_as_a_whole_or_not(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is removed has no name any more by which it could be served, and pointer and link lead elsewhere."""
    seen = []

    def watched(folder: Path, **_: object) -> None:
        names = {path.name for path in workspace.snapshots.iterdir() if not path.name.startswith(".")}
        current = workspace.current.read_text() if workspace.current.exists() else ""
        linked = workspace.public.resolve().parent.name
        seen.append((folder.name in names, current in names, linked == current))

    monkeypatch.setattr("recsys.workspace.shutil.rmtree", watched)
    for day in range(9):
        publish(workspace, day=day, write_public=public)
    assert seen[-1] == (False, True, True)
    assert {is_named for is_named, _, _ in seen} == {False}
