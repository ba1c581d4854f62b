"""Bad input: a clear message, the right exit code, and the published snapshot as it was."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Done, Run
from support.night import (
    AREA_IN_TOML,
    FIRST,
    TRACKS,
    night_of,
    noon,
    plays,
    row,
    write_catalogue,
    write_listens,
    write_world,
)

USERS = [f"user-{number}" for number in range(20)]
WITNESS = "mlruns/witness.db"
SETTINGS = f"{AREA_IN_TOML}[models]\nmin_listeners_per_track = 2\n"


@pytest.fixture(scope="module")
def after_one_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workspace and its witness are kept that the first test here makes, for the others to begin with."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def nightly(hearabouts: Run, tmp_path: Path, after_one_night: Path) -> Run:
    """`hearabouts nightly` where one night is published already and a second one is due."""
    write_world(tmp_path, nights=2, users=USERS)
    (tmp_path / "settings.toml").write_text(SETTINGS)

    def run(*arguments: object) -> Done:
        files = ("--listens", "listens", "--catalogue", "catalogue.csv", "--consents", "consents.csv")
        return hearabouts("nightly", *files, "--settings", "settings.toml", *arguments)

    if not (after_one_night / WITNESS).exists():
        assert run("--through", FIRST).code == 0
        deploy(tmp_path, after_one_night)
    else:
        deploy(after_one_night, tmp_path)
    return run


def deploy(start: Path, target: Path) -> None:
    """Copy a workspace, and its witness, which knows it wherever it lies."""
    shutil.copytree(start / "workspace", target / "workspace")
    (target / WITNESS).parent.mkdir(exist_ok=True)
    shutil.copy(start / WITNESS, target / WITNESS)


def second_night(folder: Path, *rows: dict[str, object]) -> None:
    write_listens(folder / "listens", night_of(1), rows)


def missing_listens(folder: Path) -> None:
    (folder / "listens").rename(folder / "elsewhere")


def missing_catalogue(folder: Path) -> None:
    (folder / "catalogue.csv").unlink()


def empty_night(folder: Path) -> None:
    second_night(folder)


def only_bad_rows(folder: Path) -> None:
    second_night(folder, *[row(None, TRACKS[0], noon(night_of(1)))] * 3)


def six_in_a_hundred_bad_rows(folder: Path) -> None:
    good = plays(night_of(1), users=USERS)[:47]
    second_night(folder, *good, *[row("user-1", "no-such-track", noon(night_of(1)))] * 3)


def unknown_purposes(folder: Path) -> None:
    lines = (folder / "consents.csv").read_text().splitlines()
    (folder / "consents.csv").write_text(
        "\n".join([*lines, *[lines[1].replace("contribute_trends", "newsletter")] * 9]) + "\n"
    )


def repeated_track(folder: Path) -> None:
    write_catalogue(folder / "catalogue.csv", [*TRACKS, TRACKS[3]])


def truncated_parquet(folder: Path) -> None:
    file = folder / "listens" / f"date={night_of(1)}" / "listens.parquet"
    file.write_bytes(file.read_bytes()[:-40])


def unexpected_column(folder: Path) -> None:
    file = folder / "catalogue.csv"
    file.write_text(file.read_text().replace("artist_id", "singer_id", 1))


CASES = [
    (missing_listens, "listens"),
    (missing_catalogue, "catalogue.csv"),
    (empty_night, night_of(1).isoformat()),
    (only_bad_rows, "missing_user"),
    (six_in_a_hundred_bad_rows, "unknown_track"),
    (unknown_purposes, "unknown_purpose"),
    (repeated_track, "line 5 of"),
    (truncated_parquet, "listens.parquet"),
    (unexpected_column, "1 column that is not known"),
]


@pytest.mark.parametrize(("spoil", "named"), CASES, ids=[spoil.__name__ for spoil, _ in CASES])
def test_bad_data_stops_with_65_and_leaves_the_snapshot(
    nightly: Run, hearabouts: Run, tmp_path: Path, spoil: Callable[[Path], None], named: str
) -> None:
    before = (tmp_path / "workspace/current").read_bytes()
    spoil(tmp_path)
    done = nightly()
    assert done.code == 65, done.err
    assert named in done.summary["message"]
    assert "hint: " in done.err
    assert "Traceback" not in done.err
    assert (tmp_path / "workspace/current").read_bytes() == before
    assert hearabouts("chart", "Lisbon", "--settings", "settings.toml").code == 0


def test_a_night_that_was_mended_runs(nightly: Run, tmp_path: Path) -> None:
    empty_night(tmp_path)
    assert nightly().code == 65
    second_night(tmp_path, *plays(night_of(1), users=USERS))
    assert nightly().summary["nights"] == 1


def test_a_second_night_at_the_same_time_is_asked_to_try_again(nightly: Run, tmp_path: Path) -> None:
    with (tmp_path / "workspace/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = nightly()
    assert (done.code, done.summary["problem"]) == (75, "not-ready")
    assert nightly().code == 0


def test_a_night_before_the_first_is_refused(nightly: Run) -> None:
    done = nightly("--through", "2001-01-01")
    assert done.code == 65
    assert "2001-01-01" in done.summary["message"]


def test_up_to_a_later_date_all_nights_run(nightly: Run) -> None:
    assert nightly("--through", "2031-01-01").summary["nights"] == 1


def test_a_damaged_snapshot_is_published_again(nightly: Run, hearabouts: Run, tmp_path: Path) -> None:
    nightly()
    (database,) = tmp_path.glob(f"workspace/snapshots/{(tmp_path / 'workspace/current').read_text()}/charts.db")
    database.write_bytes(database.read_bytes()[:-1])
    assert hearabouts("chart", "Lisbon", "--settings", "settings.toml").code == 75
    assert nightly().summary["status"] == "done"
    assert hearabouts("chart", "Lisbon", "--settings", "settings.toml").code == 0


def test_changed_chart_settings_are_published_without_a_new_night(nightly: Run, tmp_path: Path) -> None:
    nightly()
    (tmp_path / "settings.toml").write_text(SETTINGS + "[charts]\nsize = 5\n")
    done = nightly()
    assert (done.summary["status"], done.summary["nights"]) == ("done", 0)
    assert nightly().summary["status"] == "nothing new"


def test_no_message_repeats_a_position(nightly: Run, hearabouts: Run) -> None:
    done = hearabouts("chart", "38.7223,-9.1393", "--settings", "settings.toml")
    assert done.code == 2
    assert "38.7" not in done.out + done.err


@pytest.mark.parametrize("spoiled", ["settings.toml", "workspace"])
def test_a_path_of_the_wrong_kind_is_named(hearabouts: Run, tmp_path: Path, spoiled: str) -> None:
    wrong = {"settings.toml": tmp_path, "workspace": tmp_path / "file"}
    (tmp_path / "file").touch()
    option = "--settings" if spoiled == "settings.toml" else "--workspace"
    assert hearabouts("nightly", option, wrong[spoiled]).code == 78


def test_consents_alone_are_a_wrong_usage(hearabouts: Run) -> None:
    assert hearabouts("nightly", "--consents", "x.csv").code == 2


def test_wrong_settings_stop_with_78(nightly: Run, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[privacy]\nrho_per_night = -1\n")
    done = nightly()
    assert done.code == 78
    assert "privacy.rho_per_night" in done.summary["message"]


def test_changed_atlas_settings_do_not_lose_the_snapshot(nightly: Run, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS.replace("PT", "ES"))
    assert nightly().code == 0


@pytest.mark.parametrize(
    "arguments", [["nightly", "--nonsense"], ["chart"], ["token", ""], ["chart", "x", "--limit", "0"], ["dance"]]
)
def test_wrong_usage_stops_with_2(hearabouts: Run, arguments: list[str]) -> None:
    done = hearabouts(*arguments)
    assert (done.code, done.summary["problem"]) == (2, "usage")


def test_an_unknown_place_stops_with_2_and_suggests(nightly: Run, hearabouts: Run) -> None:
    done = hearabouts("chart", "Lisbonn", "--settings", "settings.toml")
    assert done.code == 2
    assert "Lisbon" in done.summary["hint"]


def test_a_chart_before_any_night_is_asked_to_wait(hearabouts: Run) -> None:
    assert hearabouts("chart", "Lisbon").code == 75
