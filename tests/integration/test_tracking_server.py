"""Runs, champion and artifacts on a real MLflow server, with a database and a store of artifacts of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import polars as pl
import pytest
from support.runs import NOW, figures_of, log_run, workspace_of

from pipelines.experiments.champion import settings_of
from pipelines.experiments.compare import compare
from pipelines.experiments.promote import promote
from pipelines.mlflow import tracking
from pipelines.mlflow.handover import hand_over, run_of
from pipelines.mlflow.model_registry import MODEL, Registry
from pipelines.mlflow.page import ENVIRONMENT, show
from pipelines.mlflow.run_record import waiting

LOWEST, LOW, HIGH = [0.0, 0.1, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.5, 0.6]


class TrackingServer:
    """``mlflow server`` on a free port: its database in a folder, and artifacts that go through it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        where = [f"sqlite:///{self.folder / 'mlflow.db'}", "--artifacts-destination", str(self.folder / "kept")]
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--backend-store-uri", *where],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **ENVIRONMENT},
            )
        for _ in range(1_200):
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
            except OSError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.1)
            else:
                return
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path, mlruns_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrackingServer]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.chdir(tmp_path)
    server = TrackingServer(Path(shutil.copytree(mlruns_template, tmp_path / "server")))
    yield server
    server.stop()


@pytest.mark.slow
def test_runs_and_the_champion_are_on_the_server_and_the_night_goes_on_without_it(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace = workspace_of(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    log_run(tmp_path, "defaults", gains=LOWEST, store=server.url)
    champion = log_run(tmp_path, "first", gains=LOW, models={"factors": 16}, store=server.url)
    better = log_run(tmp_path, "better", gains=HIGH, models={"factors": 8}, store=server.url)
    # What is logged is read back through the server, and lies where the server keeps artifacts.
    told = show(server.url, experiments=("none", "evaluate"), host="127.0.0.1", port=5000)
    assert told["page"].startswith(f"{server.url}/#/experiments/{mlflow.get_run(better.id).info.experiment_id}/runs?")
    registry = Registry(server.url)
    assert registry.table(better, "regions").height == 2
    assert len(list((server.folder / "kept").rglob("regions.json"))) == 3
    found = compare(registry, registry.find("first"), better, figures=figures_of(tmp_path))
    assert found.as_json()["difference"] == 0.2
    assert promote(server.url, champion.id, workspace=workspace.root, now=NOW)["champion"] == 1
    assert promote(server.url, better.id, workspace=workspace.root, now=NOW)["champion"] == 2
    assert tracking.client(server.url).get_model_version_by_alias(MODEL, "champion").run_id == better.id
    mlflow.artifacts.download_artifacts(f"models:/{MODEL}@champion", dst_path=str(tmp_path / "model"))
    [told] = (tmp_path / "model").rglob("models.json")
    assert json.loads(told.read_text())["factors"] == "8"
    settings, version = settings_of(None, workspace=workspace)
    assert (settings.tracking.store, settings.models.factors, version) == (server.url, 8, "2")

    server.stop()
    spool = workspace.unlogged
    with run_of(spool, server.url, experiment="nights", name="alone", params={}, tags={}) as run:
        run.metrics({"x": 1.5})
    assert run.logged is None
    again, version = settings_of(None, workspace=workspace)
    assert (again.models.factors, version) == (8, "2")
    out, err = capfd.readouterr()
    assert f"the MLflow server at {server.url} cannot be used now" in out + err
    assert "Traceback" not in out + err
    assert "View run" not in out  # which MLflow prints, where a command's summary is

    server.start()
    assert len(hand_over(spool, server.url)) == 1
    assert waiting(spool) == []
    assert [each.name for each in Registry(server.url).runs()] == [
        "better",
        "first",
        "defaults",
    ]  # which measured models
    assert not (tmp_path / "mlruns").exists()
    assert not list(tmp_path.glob("http*"))


def test_a_run_with_a_table_is_the_same_in_a_folder_and_on_a_server(server: TrackingServer, mlruns: Path) -> None:
    frame = pl.DataFrame({"name": ["é", None], "listeners": [1.5, None]})
    found = []
    for store in (mlruns, server.url):
        with run_of(workspace_of(mlruns).unlogged, store, experiment="e", name="n", params={"a": 1}, tags={}) as run:
            run.table(frame, "regions")
            run.dataset("listens", "0" * 64)
            run.text("page", "report.html")
        kept = tracking.client(store).get_run(str(run.logged))
        where = Path(mlflow.artifacts.download_artifacts(run_id=str(run.logged)))
        files = {file.name: file.read_bytes() for file in where.rglob("*") if file.is_file()}
        found.append((kept.data.params, kept.inputs.dataset_inputs[0].dataset.digest, files))
    assert found[0] == found[1]
    assert set(found[0][2]) == {"regions.json", "report.html"}
