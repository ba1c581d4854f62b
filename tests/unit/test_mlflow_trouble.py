"""MLflow is never in the way: what cannot be logged now is kept and logged later, and a half-made store is remade."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.tracking import MlflowClient
from support.runs import NOW, log_run, workspace_of

from pipelines.experiments.champion import settings_of
from pipelines.experiments.promote import go_back, promote
from pipelines.mlflow import run_record, tracking
from pipelines.mlflow.handover import clean_up, hand_over, run_of
from pipelines.mlflow.model_registry import Registry
from pipelines.mlflow.run_record import recorded, waiting
from recsys.errors import NotReadyError
from recsys.workspace import Workspace

Break = Callable[[Path], None]


def junk(folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(b"no database" * 1000)


def folder_in_its_place(folder: Path) -> None:
    (folder / "mlflow.db").unlink()
    (folder / "mlflow.db").mkdir()


def file_for_a_folder(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("")


def other_version(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'of the future'")


def log_one(folder: Path, name: str) -> str | None:
    spool = workspace_of(folder.parent).unlogged
    with run_of(
        spool, folder, experiment="nights", name=name, params={"a": 1}, tags={"hearabouts.version": "1"}
    ) as run:
        run.metrics({"x": 1.5})
        run.table(pl.DataFrame({"name": ["é"]}), "regions")
        run.text("page", "report.html")
        run.dataset("listens", "0" * 64)
    return run.logged


def states(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        query = "SELECT name, status FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time"
        return dict(database.execute(query).fetchall())


@pytest.mark.parametrize("broken", [junk, folder_in_its_place, file_for_a_folder, other_version])
def test_what_cannot_be_logged_now_is_logged_later(
    mlruns: Path, tmp_path: Path, broken: Break, capfd: pytest.CaptureFixture[str]
) -> None:
    log_one(mlruns, "before")
    shutil.copytree(mlruns, tmp_path / "whole")
    broken(mlruns)
    assert log_one(mlruns, "meanwhile") is None
    told = capfd.readouterr()
    assert "MLflow cannot be used now" in told.out + told.err
    assert "Traceback" not in told.out + told.err
    mlruns.unlink() if mlruns.is_file() else shutil.rmtree(mlruns)
    whole = tmp_path / "whole"  # under another name: in this process MLflow has the old one open
    assert log_one(whole, "after") is not None
    assert states(whole) == {"before": "FINISHED", "meanwhile": "FINISHED", "after": "FINISHED"}
    assert waiting(workspace_of(tmp_path).unlogged) == []


def test_a_locked_store_is_not_waited_for_again_and_again(
    mlruns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.mlflow.tracking_database._PATIENCE", 0.01)
    with closing(sqlite3.connect(mlruns / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert log_one(mlruns, "night") is None
    told = capfd.readouterr()
    assert "another job is using it" in told.out + told.err
    assert len(hand_over(workspace_of(tmp_path).unlogged, mlruns)) == 1


@pytest.mark.parametrize("statements", ["", "CREATE TABLE experiments (x); CREATE TABLE runs (run_uuid)"])
def test_a_half_made_store_without_a_run_is_made_anew(tmp_path: Path, statements: str) -> None:
    """A kill while MLflow made its database left one that nothing could go on with."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executescript(statements)
    (folder / ".mlflow.db.00ff.staged").touch()
    (folder / ".mlflow.db.00ff.staged-journal").touch()
    assert log_one(folder, "first") is not None
    assert states(folder) == {"first": "FINISHED"}
    assert [path.name for path in folder.glob(".mlflow.db.*")] == []


def test_a_kill_while_the_store_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mlruns"
    monkeypatch.setattr("pipelines.mlflow.tracking_database.fsync", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    child = os.fork()
    if child == 0:
        tracking.client(folder)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert not (folder / "mlflow.db").exists()


def test_a_store_of_an_earlier_version_is_migrated_as_a_copy(mlruns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_one(mlruns, "before")
    first = (mlruns / "mlflow.db").stat().st_ino
    with closing(sqlite3.connect(mlruns / "mlflow.db")) as database, database:
        [(head,)] = database.execute("SELECT version_num FROM alembic_version").fetchall()
    monkeypatch.setattr("pipelines.mlflow.tracking_database._wanted", lambda: "another")
    tracking.client(mlruns)
    assert (mlruns / "mlflow.db").stat().st_ino != first
    assert states(mlruns) == {"before": "FINISHED"}
    assert head


def test_a_run_that_was_killed_is_logged_as_killed(mlruns: Path, tmp_path: Path) -> None:
    spool = Workspace(tmp_path / "workspace").prepare().unlogged
    child = os.fork()
    if child == 0:
        with recorded(spool, experiment="nights", name="night", params={}, tags={}) as run:
            run.metrics({"privacy.rho_spent": 0.015})
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    [journal] = spool.glob("*/journal.ndjson")
    with journal.open("a") as file:
        file.write('{"kind": "met')  # a line that the kill cut off
    clean_up(spool, mlruns)
    assert states(mlruns) == {"night": "KILLED"}


def test_a_run_whose_logging_was_cut_off_is_logged_once(
    mlruns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(tracking, "_log_table", lambda *_, **__: 1 / 0)
        assert log_one(mlruns, "night") is None
    assert states(mlruns) == {"night": "RUNNING"}
    hand_over(workspace_of(tmp_path).unlogged, mlruns)
    hand_over(workspace_of(tmp_path).unlogged, mlruns)
    assert states(mlruns) == {"night": "FINISHED"}


def test_a_run_that_was_logged_before_the_record_was_removed_is_not_logged_again(
    mlruns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.mlflow.handover.remove", lambda _: None)
        first = log_one(mlruns, "night")
    assert list(hand_over(workspace_of(tmp_path).unlogged, mlruns).values()) == [first]


def test_a_run_that_is_still_recorded_waits_for_its_end(mlruns: Path, tmp_path: Path) -> None:
    spool = Workspace(tmp_path / "workspace").prepare().unlogged
    with recorded(spool, experiment="nights", name="night", params={}, tags={}):
        assert hand_over(spool, mlruns) == {}
    assert len(hand_over(spool, mlruns)) == 1


def test_runs_that_an_earlier_release_left_running_are_ended(mlruns: Path, tmp_path: Path) -> None:
    store = tracking.client(mlruns)
    for name, tags in (("ours", {"hearabouts.version": "1"}), ("another's", {})):
        store.create_run("0", tags=tags, run_name=name)
    clean_up(tmp_path / "unlogged", mlruns)
    assert states(mlruns) == {"ours": "KILLED", "another's": "RUNNING"}


def test_only_so_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("pipelines.mlflow.handover.drop_oldest", lambda spool: run_record.drop_oldest(spool, most=2))
    folder = tmp_path / "mlruns"
    folder.write_text("")
    for name in ("first", "second", "third"):
        log_one(folder, name)
    assert [record.name for record in waiting(workspace_of(tmp_path).unlogged)] == ["second", "third"]
    told = capfd.readouterr()
    assert "too many wait" in told.out + told.err


@pytest.fixture
def crowned(mlruns: Path) -> Workspace:
    """A workspace whose nights use a champion with 8 factors."""
    log_run(mlruns, "defaults", gains=[0.1] * 4)
    run = log_run(mlruns, "better", gains=[0.5] * 4, models={"factors": 8})
    workspace = workspace_of(mlruns)
    promote(mlruns, run.id, workspace=workspace.root, now=NOW)
    return workspace


class TestTheChampion:
    """What nights train with where the registry cannot be asked."""

    def settings_file(self, mlruns: Path, tmp_path: Path) -> Path:
        file = tmp_path / "settings.toml"
        file.write_text(f'[tracking]\nfolder = "{mlruns}"\n')
        return file

    @pytest.mark.parametrize("broken", [junk, shutil.rmtree])
    def test_of_the_last_time_stays_in_force(
        self, crowned: Workspace, mlruns: Path, tmp_path: Path, broken: Break
    ) -> None:
        file = self.settings_file(mlruns, tmp_path)
        crowned = Workspace(shutil.move(crowned.root, tmp_path / "workspace"))
        asked = settings_of(file, workspace=crowned)
        assert (asked[0].models.factors, asked[1]) == (8, "1")
        broken(mlruns)
        assert settings_of(file, workspace=crowned) == asked
        if not mlruns.exists():
            tracking.client(mlruns)  # a new store knows of none
            assert settings_of(file, workspace=crowned) == asked

    def test_who_steps_down_is_not_kept(self, crowned: Workspace, mlruns: Path, tmp_path: Path) -> None:
        file = self.settings_file(mlruns, tmp_path)
        settings_of(file, workspace=crowned)
        go_back(mlruns)
        assert settings_of(file, workspace=crowned)[1] == "none"
        assert not (crowned.private / "champion.json").exists()

    def test_without_one_that_was_kept_the_defaults_are_used(
        self, workspace: Workspace, mlruns: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        junk(mlruns)
        assert settings_of(self.settings_file(mlruns, tmp_path), workspace=workspace)[1] == "none"
        told = capfd.readouterr()
        assert "or else the defaults" in told.out + told.err


def test_who_needs_the_store_is_told_why_it_cannot_be_used(mlruns: Path) -> None:
    junk(mlruns)
    with pytest.raises(NotReadyError, match="is damaged, or none"):
        Registry(mlruns).find("latest")


def test_who_may_only_read_is_shown_the_plain_runs(mlruns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Showing an address needs no right to write."""

    def denied(*_: object) -> None:
        raise MlflowException("no", error_code=PERMISSION_DENIED)

    store = tracking.client(mlruns)
    shown = store.create_experiment("evaluate")
    store.create_run(shown)
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_experiment_tag", denied)
        plain = tracking.page_to_show(mlruns, ["none", "evaluate"])
    assert plain == f"#/experiments/{shown}/runs?workflowType=machine_learning"
    assert store.get_experiment(shown).tags == {}
    saved = f"#/experiments/{shown}/runs?viewStateShareKey=leaderboard&workflowType=machine_learning"
    assert tracking.page_to_show(mlruns, ["none", "evaluate"]) == saved
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_experiment_tag", denied)
        assert tracking.page_to_show(mlruns, ["evaluate"]) == saved  # which is there already


@pytest.mark.parametrize("name", ["runs.db", "mlflow.db"])
def test_a_database_in_a_folder_of_others_leaves_that_as_it_is(tmp_path: Path, mlruns: Path, name: str) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    shutil.copy(mlruns / "mlflow.db", shared / name)
    tracking.client(f"sqlite:///{shared}/{name}")
    assert shared.stat().st_mode & 0o777 == 0o755
    assert (shared / name).stat().st_mode & 0o777 == 0o600
