"""The library's page and its notebook: their code runs, and what they show is so."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.notebooks import code_cells, run, shown

import recsys.library
from pipelines.mlflow import tracking
from recsys.library import Dataset, Results
from recsys.library.models import OURS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
NOTEBOOK = ROOT / "examples" / "own_model.ipynb"
NUMBER = re.compile(r"[+-]?\d+\.\d+")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the notebook's cells leave behind; what each shows is what is stored in it, but for the last digits."""
    found: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(NOTEBOOK), start=1):
        now, stored = shown(run("".join(cell["source"]), found, number=number)), shown(cell["outputs"])
        assert NUMBER.sub("", now).split() == NUMBER.sub("", stored).split(), f"cell {number}"
        numbers = [[float(text) for text in NUMBER.findall(each)] for each in (now, stored)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.02), f"cell {number}"
    return found


def test_the_notebook_runs_and_shows_what_it_says(names: dict[str, Any]) -> None:
    assert isinstance(names["results"], Results)
    assert len(names["run"]) == 32


def test_the_page_s_table_is_the_notebook_s() -> None:
    (table,) = re.findall(r"```text\n(.*?)\n```", PAGE, re.S)
    tables = [shown(cell["outputs"]) for cell in code_cells(NOTEBOOK)]
    assert table in tables


def test_the_page_s_python_runs(names: dict[str, Any], mlruns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mlruns.parent)
    frame: pd.DataFrame = names["frame"]
    frame.drop_duplicates().to_parquet("plays.parquet")
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(block, found)
    assert isinstance(found["dataset"], Dataset)
    assert list(found["results"].lists) == ["popular_world", "strict"]
    store = tracking.client(mlruns)
    experiment = store.get_experiment_by_name("library")
    assert len(store.search_runs([experiment.experiment_id])) == 2
    assert store.get_model_version_by_alias("strict", "champion").version == 1


def test_every_public_name_model_and_argument_is_on_the_page() -> None:
    assert [name for name in recsys.library.__all__ if f"`{name}" not in PAGE and name not in PAGE] == []
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE, re.M)
    assert dict(rows) == {name: model.__name__ for name, model in OURS.items()}


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_notebook_holds_no_path_of_a_machine_and_is_small() -> None:
    assert NOTEBOOK.stat().st_size < 50_000
    assert "Traceback" not in NOTEBOOK.read_text(encoding="utf-8")
