"""The page on experiments does what it says: its commands in order, and its Python, on a smaller sample world."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.commands import Run
from support.small_sample import write_small_sample

from pipelines import __main__ as command_line
from pipelines.mlflow.metric_keys import logged_keys
from pipelines.mlflow.model_registry import Registry
from recsys.geography.atlas import Atlas
from recsys.models.evaluation.report_tables import MODELS
from recsys.workspace import listener_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
COMMANDS = [line[2:] for block in re.findall(r"```console\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
PYTHON = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.S))
PROGRAM = ".venv/bin/hearabouts "
CONTESTS = {"promote ease", "promote search"}  # who wins on this world is not the page's to promise
OF_A_KIND = {"night", "privacy", "search", "loss"}  # of nights, of experiments, and of one engine alone
SMALL = {  # so that a few nights of few listeners are enough
    "MIN_LISTENERS_PER_TRACK": 3,
    "MIN_LISTENERS_PER_REGION": 15,
    "VALIDATION_NIGHTS": 2,
    "TEST_NIGHTS": 2,
    "ITERATIONS": 3,  # no command promises how good the models are
    "RANKER": "none",  # its trees take most of the time, and grow in other tests
}


@pytest.fixture
def world(hearabouts: Run, world_atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sample world of 7 nights, with the examples beside it."""
    sample = tmp_path / "data" / "sample"
    write_small_sample(sample, atlas=world_atlas, nights=7, tracks=100)
    monkeypatch.setattr(command_line, "SAMPLE", sample)
    for key, value in SMALL.items():
        monkeypatch.setenv(f"HEARABOUTS__MODELS__{key}", str(value))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    search = tmp_path / "examples/search.toml"
    smaller = {"trials = 6": "trials = 2", "[64, 128]": "[4, 8]", '["logistic", "trees"]': '["none", "logistic"]'}
    text = search.read_text()
    for usual, small in smaller.items():
        assert usual in text
        text = text.replace(usual, small)
    search.write_text(text)
    return tmp_path


@pytest.mark.slow
def test_the_commands_of_the_page_run_in_order(hearabouts: Run, world: Path) -> None:
    """From a night to a promoted champion, and back."""
    ran = [command.removeprefix(PROGRAM) for command in COMMANDS if command.startswith(PROGRAM)]
    assert {command.split()[0] for command in ran} == {"nightly", "evaluate", "compare", "promote"}
    assert set(ran) >= {*CONTESTS, "promote latest", "promote --back"}
    assert ran[-1] == "promote --version 1"
    for command in ran:
        done = hearabouts(*shlex.split(command))
        refused = command in CONTESTS and done.summary.get("problem") == "not-better"
        assert done.code == 0 or refused, (command, done.err)
        if command.startswith("evaluate"):
            assert set(done.summary["models"]) == set(MODELS), done.summary
    registry = Registry(world / "mlruns")
    champion = registry.champion()
    assert champion is not None
    assert (champion.version, champion.run.name) == (1, "evaluate")  # where the last command goes back to
    runs = list(registry.runs())
    assert all(Path(run.tags["catalogue"]).is_file() for run in runs)
    assert {run.tags["data.digest"] for run in runs} == {champion.run.data}  # one workspace, one consent log
    assert len({frozenset(run.params) for run in runs}) == 1
    measured = [{key for key in run.metrics if key.split(".")[0] not in OF_A_KIND} for run in runs]
    assert all(keys == measured[0] for keys in measured)
    assert {*logged_keys(), "size.test_outside", "seconds.total"} < measured[0]
    assert all("." in key for run in runs for key in run.metrics)
    stability = {run.name.split()[0]: run.metrics["blend.stability"] for run in runs}
    assert np.isnan(stability["nightly"])  # it would take a night nearly twice as long
    assert 0 < stability["evaluate"] <= 1
    answers_in_python(world)
    holds_no_listener(world)


def answers_in_python(world: Path) -> None:
    """Run the page's Python, as somebody would in a notebook."""
    found: dict[str, object] = {}
    exec(PYTHON, found)
    answer = found["answer"]
    assert list(answer.columns) == ["rank", "track_id", "score"]  # type: ignore[attr-defined]
    assert len(answer) == 5  # type: ignore[arg-type]
    assert np.all(np.diff(answer["score"]) <= 0)  # type: ignore[index]


def holds_no_listener(world: Path) -> None:
    """Search every byte of MLflow's folder for the ids of the world's listeners, plain and hashed."""
    key = (world / "workspace/listener.key").read_bytes()
    users = pl.read_parquet(world / "data/sample/consents.parquet")["user_id"].drop_nulls().unique().to_list()
    ids = {user.encode() for user in users} | {listener_of(user, key=key).encode() for user in users}
    assert len(ids) > 100
    pattern = re.compile(rb"(?=(u\d{6}|[0-9a-f]{32}))")  # ids of runs are as long: look at every place
    for file in (world / "mlruns").rglob("*"):
        if file.is_file():
            assert not ids & set(pattern.findall(file.read_bytes())), file
