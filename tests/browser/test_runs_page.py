"""What a data scientist sees first: `hearabouts ui` opens MLflow's page on the runs; trials and nights are drawn."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page
from support.runs import log_run, workspace_of

from pipelines.mlflow.handover import run_of
from pipelines.mlflow.metric_keys import COMPARED, HEADLINE
from pipelines.mlflow.run_record import Trial
from pipelines.mlflow.views import TRIAL

SHOWN = [HEADLINE, COMPARED, "blend.ndcg_at_10", "blend.recall_at_20", "blend.coverage"]
HEADERS = ".ag-header-cell [data-testid^=sort-header], .ag-header-cell-text"
GAINS = {"middle": 0.2, "best": 0.3, "worst": 0.1}


@pytest.fixture
def address(mlruns: Path, tmp_path: Path) -> Iterator[str]:
    """The address that the command tells, of a page that it serves."""
    for name, value in GAINS.items():
        metrics = dict.fromkeys(SHOWN, value)
        log_run(tmp_path, name, gains=[value] * 4, models={"factors": 16}, metrics=metrics, store=mlruns)
    log_run(tmp_path, "too few nights", gains=[], measured=False, store=mlruns)
    spool = workspace_of(tmp_path).unlogged
    with run_of(spool, mlruns, experiment="evaluate", name="search", params={}, tags={}) as run:
        run.trial(Trial("trial 1", "FINISHED", {"models.factors": "8"}, {TRIAL: 0.2}))
        run.trial(Trial("trial 2", "FINISHED", {"models.factors": "4"}, {TRIAL: 0.1}))
        for night in range(3):
            run.series(date(2026, 10, 2 + night), {"nights.rows": 10 + night})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipelines", "ui", "--port", str(port)]
    where = ["--workspace", str(workspace_of(tmp_path).root)]
    with subprocess.Popen([*command, *where], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        told = running.stdout.readline()
        yield told.removeprefix("The runs: ").strip()
        running.send_signal(signal.SIGTERM)
        last = running.stdout.read()
    assert '"status": "stopped"' in last
    with socket.socket() as gone:
        assert gone.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
def test_the_page_opens_on_the_runs_the_best_first_and_draws_trials_and_nights(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1800, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(address)
    page.get_by_text("3 matching runs").wait_for()
    assert rows(page) == ["best", "middle", "worst"]
    assert page.get_by_text("Model training").is_visible()
    assert page.get_by_text("Evaluation runs").count() == 0  # of the view for language models
    wanted = [*(key.replace(".", "/") for key in SHOWN), "models.engine", "models.factors"]
    for _ in range(100):  # the page puts its columns in order a moment after it shows them
        if columns(page) == wanted:
            break
        page.wait_for_timeout(100)
    assert columns(page) == wanted
    with page.expect_popup() as opened:
        page.get_by_role("link", name="All nights").click()
    nights = opened.value
    nights.locator(".points .point").first.wait_for(timeout=60_000)
    assert nights.locator(".points .point").count() == 3
    search = address.replace("=leaderboard", f"=trials-{run_called('search', address)[:8]}")
    page.goto(f"{search}&compareRunsMode=CHART")
    axes = page.locator(".parcoords svg text")
    axes.first.wait_for()
    told = " ".join(axes.all_text_contents())
    assert "factors" in told
    assert "engine" not in told


def run_called(name: str, address: str) -> str:
    """The id of a run, asked of the server as the page does."""
    server, _, rest = address.partition("/#/experiments/")
    asked = {"experiment_ids": [rest.split("/")[0]], "filter": f"attributes.run_name = '{name}'"}
    [run] = httpx.post(f"{server}/api/2.0/mlflow/runs/search", json=asked).json()["runs"]
    return str(run["info"]["run_id"])


def columns(page: Page) -> list[str]:
    """The names of the columns of metrics and settings from left to right."""
    found = {(cell.bounding_box() or {"x": 0})["x"]: cell.inner_text() for cell in page.locator(HEADERS).all()}
    names = [name.strip() for _, name in sorted(found.items())]
    return [name for name in names if "/" in name or name.startswith("models.")]


def rows(page: Page) -> list[str]:
    """The names of the runs from top to bottom."""
    links = page.locator(".ag-row a[href*='/runs/']")
    links.first.wait_for()
    places = [(link.bounding_box() or {"y": 0})["y"] for link in links.all()]
    return [name for _, name in sorted(zip(places, links.all_inner_texts(), strict=True))]
