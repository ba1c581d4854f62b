"""What a data scientist sees first: `hearabouts ui` opens MLflow's page on the runs, the best first."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.runs import log_run, workspace_of

from pipelines.mlflow.metric_keys import COMPARED, HEADLINE

SHOWN = [HEADLINE, COMPARED, "blend.ndcg_at_10", "blend.recall_at_20", "blend.coverage"]
GAINS = {"middle": 0.2, "best": 0.3, "worst": 0.1}


@pytest.fixture
def address(mlruns: Path, tmp_path: Path) -> Iterator[str]:
    """The address that the command tells, of a page that it serves."""
    for name, value in GAINS.items():
        metrics = dict.fromkeys(SHOWN, value)
        log_run(tmp_path, name, gains=[value] * 4, models={"factors": 16}, metrics=metrics, store=mlruns)
    log_run(tmp_path, "too few nights", gains=[], measured=False, store=mlruns)
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
def test_the_page_opens_on_the_runs_the_best_first(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1800, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(address)
    page.get_by_text("3 matching runs").wait_for()
    assert rows(page) == ["best", "middle", "worst"]
    assert page.get_by_text("Model training").is_visible()
    assert page.get_by_text("Evaluation runs").count() == 0  # of the view for language models
    headers = page.locator(".ag-header-cell [data-testid^=sort-header], .ag-header-cell-text").all_inner_texts()
    told = [text for text in (header.strip() for header in headers) if "/" in text or text.startswith("models.")]
    assert told == [*(key.replace(".", "/") for key in SHOWN), "models.engine", "models.factors"]


def rows(page: Page) -> list[str]:
    """The names of the runs from top to bottom."""
    links = page.locator(".ag-row a[href*='/runs/']")
    links.first.wait_for()
    places = [(link.bounding_box() or {"y": 0})["y"] for link in links.all()]
    return [name for _, name in sorted(zip(places, links.all_inner_texts(), strict=True))]
