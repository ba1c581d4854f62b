"""Whole nights by the command line: what they leave, and what running them again does."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.commands import Done, Run
from support.night import (
    AREA_IN_TOML,
    FIRST,
    TRACKS,
    copy_lived,
    deployed,
    night_of,
    noon,
    plays,
    row,
    small_settings,
    write_consents,
    write_listens,
    write_world,
)
from support.sealing import rows_of

from pipelines.night.nightly import run_nightly
from recsys import workspace as workspace_
from recsys.errors import NotReadyError
from recsys.releases.charts import charts
from recsys.workspace import digest

USERS = [f"user-{number}" for number in range(60)]


@pytest.fixture
def nightly(hearabouts: Run, tmp_path: Path) -> Run:
    """`hearabouts nightly` on a world of three nights in Portugal."""
    write_world(tmp_path, nights=3, users=USERS)
    (tmp_path / "settings.toml").write_text(
        f"{AREA_IN_TOML}[privacy]\nrho_per_night = 2.0\n"
        "[models]\nfactors = 4\nmin_listeners_per_track = 2\nmin_listeners_per_region = 4\n"
        "validation_nights = 1\ntest_nights = 1\n"
    )

    def run(*arguments: object) -> Done:
        files = ("--listens", "listens", "--catalogue", "catalogue.csv", "--consents", "consents.csv")
        return hearabouts("nightly", *files, "--settings", "settings.toml", *arguments)

    return run


@pytest.fixture(scope="module")
def kept() -> dict[int, tuple[Path, Done]]:
    """Worlds after their first nights, by how many."""
    return {}


@pytest.fixture
def lived(
    nightly: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, kept: dict[int, tuple[Path, Done]]
) -> Callable[[int], Done]:
    """What runs some nights, or begins after them: the first test that asks for them runs them for all."""

    def live(nights: int) -> Done:
        if nights not in kept:
            done = nightly("--through", night_of(nights - 1))
            kept[nights] = tmp_path_factory.mktemp("kept"), done
            copy_lived(tmp_path, kept[nights][0])
        else:
            copy_lived(kept[nights][0], tmp_path)
        return kept[nights][1]

    return live


def published(folder: Path) -> dict[str, str]:
    """Everything that left the building, by digest; and the pointer."""
    files = [
        *folder.glob("workspace/releases/**/*"),
        *folder.glob("workspace/snapshots/**/*"),
        folder / "workspace/current",
    ]
    return {str(file.relative_to(folder)): digest(file) for file in files if file.is_file()}


def spent(folder: Path) -> float:
    with closing(sqlite3.connect(folder / "workspace/ledger.db")) as connection:
        return float(connection.execute("SELECT total(rho) FROM entries").fetchone()[0])


def test_three_nights_end_with_charts_a_snapshot_and_a_run(
    lived: Callable[[int], Done], hearabouts: Run, tmp_path: Path
) -> None:
    done = lived(3)
    assert done.code == 0, done.err
    # 60 listeners play 3 tracks on 3 nights
    assert (done.summary["nights"], done.summary["rows"], done.summary["bad_rows"]) == (3, 540, {})
    assert done.summary["through"] == night_of(2).isoformat()
    assert (tmp_path / "workspace/current").read_text() == done.summary["snapshot"]
    # half of the listeners are in Lisbon: with a budget of 2 a night the noise is far below them
    chart = json.loads(hearabouts("chart", "Lisbon", "--json", "--settings", "settings.toml").out)
    assert {item["track_id"] for item in chart["items"][:3]} == set(TRACKS[:3])
    assert chart["scope"] == "region"
    lisbon = sum(sum(user.encode()) % 2 for user in USERS)
    # A night earns (1000 - 20) / 365 = 2.68, of which three tracks that weigh 15 of 16 take 2.64, and 16 would take 3:
    # on three nights it is 15, and what is released is that. So few do not tell their mean weight from noisy totals:
    # what is said of listeners is as wide as that, and holds the truth.
    released = [pl.read_parquet(tmp_path / f"workspace/releases/{night_of(n)}/counts.parquet") for n in range(3)]
    here = pl.concat(released).filter(part=chart["region"]["id"]).filter(pl.col("track_id").is_in(TRACKS[:3]))
    assert here["listeners"].mean() == pytest.approx(lisbon * 15 / 16, abs=3)  # of nine counts with noise of 1.7 each
    said = chart["items"][0]["listeners"]
    # All of these few weigh in full, which their totals hardly tell: the interval is wide, and they are at its edge.
    assert 0.7 * said["low"] <= lisbon <= said["high"]


def test_a_second_run_changes_no_byte_and_spends_nothing(
    lived: Callable[[int], Done], nightly: Run, tmp_path: Path
) -> None:
    lived(3)
    before, rho = published(tmp_path), spent(tmp_path)
    assert rho == pytest.approx(3 * 2.0)
    public = tmp_path / "workspace/public"
    told = json.loads((public / "v1/transparency.json").read_text())
    account = json.loads((tmp_path / "workspace/account.json").read_text())
    assert told["privacy"]["account"] == account  # the files tell what the same run has spent
    assert (public / "index.html").is_file()
    public.unlink()  # a crash may have come before the link
    again = nightly()
    assert (public / "index.html").is_file()
    assert (again.code, again.summary["status"], again.summary["nights"]) == (0, "nothing new", 0)
    assert (published(tmp_path), spent(tmp_path)) == (before, rho)


def inputs(folder: Path) -> list[set[str]]:
    """The names of the inputs that each run logged, in the order of the runs."""
    query = (
        "SELECT runs.run_uuid, datasets.name FROM runs JOIN inputs ON destination_id = runs.run_uuid "
        "JOIN datasets ON dataset_uuid = source_id ORDER BY start_time"
    )
    found: dict[str, set[str]] = {}
    with sqlite3.connect(folder / "mlruns/mlflow.db") as connection:
        for run, name in connection.execute(query):
            found.setdefault(run, set()).add(name)
    return list(found.values())


@pytest.mark.parametrize("changed", ["[charts]\nsize = 10\n", "[serving]\nlist_size = 3\n"])
def test_without_a_night_no_listens_are_read_and_none_are_logged(
    lived: Callable[[int], Done], nightly: Run, tmp_path: Path, changed: str
) -> None:
    """Other settings publish another snapshot of the nights that were released."""
    first = lived(3)
    with (tmp_path / "settings.toml").open("a") as settings:
        settings.write(changed)
    again = nightly()
    assert (again.code, again.summary["nights"]) == (0, 0), again.err
    assert again.summary["snapshot"] != first.summary["snapshot"]
    later = {"catalogue", "consents", "contributions"}
    assert inputs(tmp_path) == [{"listens", *later}, later]


def test_a_run_hashes_each_release_once_and_draws_the_charts_of_each_night_once(
    lived: Callable[[int], Done], nightly: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed, drawn, draw = Counter[str](), [], charts.draw

    def hashing(path: Path) -> str:
        hashed.update([path.parent.name] if path.match("releases/*/counts.parquet") else [])
        return digest(path)

    def drawing(read: Any, nights: Any, **given: Any) -> charts.Charts:
        drawn.append(nights[-1])
        return draw(read, nights, **given)

    lived(2)
    monkeypatch.setattr(workspace_, "digest", hashing)
    monkeypatch.setattr(charts, "draw", drawing)
    assert nightly().summary["nights"] == 1
    assert [hashed[str(night_of(number))] for number in range(3)] == [1, 1, 2]  # and as it becomes open data
    assert drawn == [night_of(2)]  # the lists learn from the charts of the night before, which were drawn then


def test_a_damaged_release_stops_the_run_before_anything_is_published(
    lived: Callable[[int], Done], nightly: Run, tmp_path: Path
) -> None:
    lived(2)
    file = tmp_path / f"workspace/releases/{FIRST}/counts.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    before, rho = published(tmp_path), spent(tmp_path)
    done = nightly()
    assert done.code == 65
    assert "is not the file that was published" in done.summary["message"]
    assert (published(tmp_path), spent(tmp_path)) == (before, rho)


CHECKED = {  # before anything is read
    *("workspace/.lock", "workspace/deployment.id", "workspace/ledger.db", "workspace/listener.key"),
    *("workspace/marks.db", "workspace/marks.key"),
    "mlruns/witness.db",
}


def left(folder: Path) -> set[str]:
    """The files of a workspace and its runs, but for the consent log, which is asked for erasures in any case.

    Nor what SQLite keeps beside a database while it is open.
    """
    files = {file for name in ("workspace", "mlruns") for file in (folder / name).rglob("*") if file.is_file()}
    return {
        str(file.relative_to(folder))
        for file in files
        if not file.name.startswith("consents.db") and "-" not in file.suffix
    }


def test_before_the_first_night_is_over_nothing_is_opened(tmp_path: Path) -> None:
    sources = write_world(tmp_path, nights=1, users=USERS)
    job = deployed(tmp_path, sources, small_settings(tmp_path / "mlruns"), now=noon(FIRST, 30))
    with pytest.raises(NotReadyError, match="no night is over yet") as refused:
        run_nightly(job)
    assert refused.value.exit_code == 75
    assert left(tmp_path) == CHECKED


def test_when_the_only_night_is_left_out_nothing_is_opened(hearabouts: Run, tmp_path: Path) -> None:
    write_world(tmp_path, nights=1, users=USERS)
    files = ("--listens", "listens", "--catalogue", "catalogue.csv", "--consents", "consents.csv")
    before = left(tmp_path)
    done = hearabouts("nightly", *files, "--skip", FIRST)
    assert (done.code, done.summary["problem"]) == (75, "not-ready")
    assert "no night is over yet" in done.summary["message"]
    assert left(tmp_path) - before == CHECKED


def test_nights_one_by_one_end_where_all_at_once_do(nightly: Run, tmp_path: Path) -> None:
    for number in range(3):
        assert nightly("--through", night_of(number)).summary["nights"] == 1
    assert sorted(path.name for path in (tmp_path / "workspace/releases").iterdir()) == [
        night_of(number).isoformat() for number in range(3)
    ]


def test_late_listens_are_counted_and_not_released(lived: Callable[[int], Done], nightly: Run, tmp_path: Path) -> None:
    lived(2)
    before = digest(tmp_path / f"workspace/releases/{FIRST}/counts.parquet")
    late = plays(FIRST, users=USERS) + [row("user-1", TRACKS[7], noon(FIRST))] * 5
    write_listens(tmp_path / "listens", FIRST, late)
    done = nightly()
    assert (done.summary["nights"], done.summary["late_rows"]) == (1, 5)
    assert "late rows" in done.err
    assert digest(tmp_path / f"workspace/releases/{FIRST}/counts.parquet") == before


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(nightly: Run, tmp_path: Path) -> None:
    done = nightly("--dry-run")
    assert (done.code, done.summary["nights"], done.summary["rho"]) == (0, 3, 6.0)
    assert not (tmp_path / "workspace").exists()


def test_listeners_without_consent_are_in_no_private_file(nightly: Run, tmp_path: Path) -> None:
    write_consents(tmp_path / "consents.csv", USERS[:10])
    nightly()
    files = tmp_path.glob("workspace/private/contributions/**/*.parquet")
    kept = {who for file in files for who in rows_of(file)["listener"]}
    assert len(kept) == 10


def test_private_parts_are_private(lived: Callable[[int], Done], tmp_path: Path) -> None:
    lived(3)
    workspace = tmp_path / "workspace"
    modes = {name: (workspace / name).stat().st_mode & 0o777 for name in ("private", "listener.key", "consents.db")}
    assert modes == {"private": 0o700, "listener.key": 0o600, "consents.db": 0o600}


def test_no_user_id_is_anywhere_in_the_workspace_or_the_runs(lived: Callable[[int], Done], tmp_path: Path) -> None:
    done = lived(3)
    files = [*tmp_path.glob("workspace/**/*"), *tmp_path.glob("mlruns/**/*")]
    assert [file for file in files if file.is_file() and b"user-1" in file.read_bytes()] == []
    assert "user-1" not in done.out + done.err
