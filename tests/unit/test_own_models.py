"""One's own models in MLflow: what a run holds, and what is refused."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.frames import dataset_of
from support.listening import world

from pipelines.experiments.own_models import log
from pipelines.mlflow import tracking
from pipelines.mlflow.model_registry import Registry
from recsys.errors import InputError, UnknownRunError, UsageError
from recsys.library import ALS, Results, evaluate

SMALL = {"min_listeners_per_track": 1, "factors": 8, "iterations": 2}


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return world(12, listeners=120, tracks=40, parts=2, nights=14, plays=20)


def measured(rows: pl.DataFrame, name: str = "mine", **keys: Any) -> Results:
    models = {name: ALS(**SMALL)}
    return evaluate(dataset_of(rows), models, beside=["popular_world"], settings={**SMALL, **keys})


def test_a_run_has_every_figure_its_interval_and_how_models_were_made(rows: pl.DataFrame, mlruns: Path) -> None:
    results = measured(rows)
    run = tracking.client(mlruns).get_run(log(results, name="first try", store=mlruns))
    assert run.info.run_name == "first try"
    assert run.info.status == "FINISHED"
    for model, metric, value, low, high, *gain in results.figures.iter_rows():
        keys = [f"{model}.{metric}{end}" for end in ("", "_low", "_high")]
        assert [run.data.metrics[key] for key in keys] == pytest.approx([value, low, high])
        if model == "mine":
            keys = [f"mine_minus.popular_world.{metric}{end}" for end in ("", "_low", "_high")]
            assert [run.data.metrics[key] for key in keys] == pytest.approx(gain)
    assert run.data.params["model.mine"] == "ALS(min_listeners_per_track=1, factors=8, iterations=2)"
    assert run.data.params["models.test_nights"] == "5"
    assert run.data.params["baseline"] == "popular_world"


def test_a_run_holds_no_user_and_no_item(rows: pl.DataFrame, mlruns: Path) -> None:
    run = log(measured(rows), store=mlruns)
    store = tracking.client(mlruns)
    files = [Path(store.download_artifacts(run, file.path)) for file in store.list_artifacts(run)]
    texts = [str(store.get_run(run).to_dictionary()), *(file.read_text(encoding="utf-8") for file in files)]
    assert {file.name for file in files} == {"models.json", "models.txt"}
    for some_id in (*rows["listener"].unique(), *rows["track_id"].unique()):
        assert not any(some_id in text for text in texts)


def test_the_same_data_has_the_same_digest_and_other_data_another(rows: pl.DataFrame, mlruns: Path) -> None:
    store = tracking.client(mlruns)
    some = rows.filter(pl.col("listener") != rows["listener"].min())
    runs = [log(measured(each), store=mlruns) for each in (rows, rows.sample(fraction=1, shuffle=True, seed=1), some)]
    one, same, other = [store.get_run(run).data.tags["dataset.digest"] for run in runs]
    assert one == same != other


def test_the_command_line_takes_it_for_no_run_of_the_workspace(rows: pl.DataFrame, mlruns: Path) -> None:
    log(measured(rows), store=mlruns)
    with pytest.raises(UnknownRunError):
        Registry(mlruns).find("latest")


def test_nothing_is_logged_of_few_and_no_metric_under_a_name_that_mlflow_has_not(
    rows: pl.DataFrame, mlruns: Path
) -> None:
    with pytest.raises(InputError, match="users were asked, and no figure of fewer than 1000 is logged"):
        log(measured(rows, min_listeners_in_table=1000), store=mlruns)
    with pytest.raises(UsageError, match="MLflow has no metric called after 'mine!'"):
        log(measured(rows, "mine!"), store=mlruns)
