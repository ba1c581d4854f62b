"""One's own models in MLflow: what a run holds, and what is refused."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import polars as pl
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.tracking import MlflowClient
from support.frames import dataset_of, frame_of
from support.listening import world

from pipelines.experiments.own_models import champion, log, promote
from pipelines.mlflow import tracking
from pipelines.mlflow.model_registry import Registry
from pipelines.mlflow.own_model import recipe_of
from recsys.errors import InputError, NotBetterError, NotReadyError, UnknownRunError, UsageError
from recsys.library import ALS, EASE, Dataset, Popular, Results, evaluate

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
        keys = [f"{model}/{metric}{end}" for end in ("", "_low", "_high")]
        assert [run.data.metrics[key] for key in keys] == pytest.approx([value, low, high])
        if model == "mine":
            keys = [f"mine_minus/popular_world/{metric}{end}" for end in ("", "_low", "_high")]
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
    with pytest.raises(UsageError, match="MLflow has no model or metric called after 'mine!'"):
        log(measured(rows, "mine!"), store=mlruns)


def contest(rows: pl.DataFrame, models: dict[str, Any], baseline: str) -> Results:
    dataset = Dataset.from_frame(frame_of(rows), repeats="count")  # no regions: small ones leave much to chance
    return evaluate(dataset, models, beside=["popular_world"], baseline=baseline, settings=SMALL)


def local(**settings: Any) -> Popular:
    """Return a model whose class is in no module, as that of a notebook's cell is not."""

    class Local(Popular):
        pass

    return Local(**settings)


@dataclass(frozen=True)
class Unknown:
    """What it is made with is no number and no text."""

    made_with: object

    def fit(self, dataset: Dataset) -> None: ...

    def recommend(self, users: Any, k: int) -> Any: ...


def test_what_surely_wins_becomes_the_champion_of_its_name_and_learns_anew_where_it_is_loaded(
    rows: pl.DataFrame, mlruns: Path, tmp_path: Path
) -> None:
    results = contest(rows, {"mine": EASE(**SMALL)}, "popular_world")
    assert champion("mine", store=mlruns) is None
    assert promote(results, "mine", run=log(results, store=mlruns), store=mlruns) == 1
    frame_of(rows).write_parquet(tmp_path / "plays.parquet")
    plays = {"plays": str(tmp_path / "plays.parquet")}
    loaded = mlflow.pyfunc.load_model("models:/mine@champion", model_config=plays)
    users = sorted(rows["listener"].unique())[:2]
    answer = loaded.predict(pd.DataFrame({"user": users}), params={"limit": 3})
    expected = EASE(**SMALL).fit(dataset_of(rows)).recommend(users, k=3)
    assert answer["item"].to_list() == expected["item"].to_list()
    assert answer["rank"].to_list() == [1, 2, 3] * 2


def test_the_artifact_says_how_it_is_made_and_holds_nothing_that_was_learned(rows: pl.DataFrame, mlruns: Path) -> None:
    results = contest(rows, {"mine": EASE(**SMALL)}, "popular_world")
    run = log(results, store=mlruns)
    promote(results, "mine", run=run, store=mlruns)
    folder = Path(tracking.client(mlruns).download_artifacts(run, "mine"))
    files = [file for file in folder.rglob("*") if file.is_file()]
    told = json.loads(next(file for file in files if file.name == "recipe.json").read_text())
    assert told == {"class": "recsys.library.models:EASE", "parameters": SMALL}
    for some_id in (*rows["listener"].unique(), *rows["track_id"].unique()):
        assert not any(some_id.encode() in file.read_bytes() for file in files)


def test_the_next_champion_has_to_beat_the_present_one(rows: pl.DataFrame, mlruns: Path) -> None:
    first = contest(rows, {"mine": EASE(**SMALL, ease_ridge=1e6)}, "popular_world")
    promote(first, "mine", run=log(first, store=mlruns), store=mlruns)
    other = contest(rows, {"mine": EASE(**SMALL)}, "popular_world")
    with pytest.raises(UsageError, match="which is not the baseline"):
        promote(other, "mine", run=log(other, store=mlruns), store=mlruns)
    again = contest(rows, {"mine": EASE(**SMALL), "now": champion("mine", store=mlruns)}, "now")
    with pytest.raises(NotBetterError, match="'mine' does not beat 'now': the 95 % interval"):
        promote(replace(again, lists={**again.lists, "mine": again.lists["now"]}), "mine", run="any", store=mlruns)
    won = replace(again, lists={**again.lists, "now": again.lists["popular_world"]})  # whatever these two are worth
    assert promote(won, "mine", run=log(won, store=mlruns), store=mlruns) == 2
    assert repr(champion("mine", store=mlruns)) == repr(EASE(**SMALL))


def test_what_does_not_surely_win_or_cannot_be_made_again_is_not_promoted(rows: pl.DataFrame, mlruns: Path) -> None:
    results = contest(rows, {"mine": local(**SMALL), "same": Popular(**SMALL)}, "popular_world")
    with pytest.raises(NotBetterError, match="'same' does not beat 'popular_world'"):
        promote(results, "same", run="any", store=mlruns)
    with pytest.raises(NotBetterError):
        promote(results, "popular_world", run="any", store=mlruns)
    for model in ("hearabouts", "nobody"):
        with pytest.raises(UsageError, match=f"no model of your own is called '{model}'"):
            promote(results, model, run="any", store=mlruns)
    for model in (results.models["mine"], Unknown(object())):
        with pytest.raises(UsageError, match="cannot be made again elsewhere"):
            recipe_of(model)


def of_somebody_else(store: MlflowClient, run: str) -> str:
    """Register a version as others do, and return its number."""
    if not store.search_registered_models("name = 'mine'"):
        store.create_registered_model("mine", description="theirs")
    return str(store.create_model_version("mine", source=f"runs:/{run}/theirs", run_id=run).version)


@pytest.mark.parametrize("alias", [True, False])
def test_a_registered_model_of_somebody_else_is_left_as_it_is(rows: pl.DataFrame, mlruns: Path, alias: bool) -> None:
    results, store = contest(rows, {"mine": EASE(**SMALL)}, "popular_world"), tracking.client(mlruns)
    run = log(results, store=mlruns)
    number = of_somebody_else(store, run)
    if alias:
        store.set_registered_model_alias("mine", "champion", number)
    before = dict(store.get_registered_model("mine"))
    for asked in (lambda: champion("mine", store=mlruns), lambda: promote(results, "mine", run=run, store=mlruns)):
        with pytest.raises(UsageError, match="the name 'mine' is taken"):
            asked()
    after = dict(store.get_registered_model("mine"))
    assert [after[key] for key in ("description", "aliases", "last_updated_timestamp")] == [
        before[key] for key in ("description", "aliases", "last_updated_timestamp")
    ]
    assert len(store.search_model_versions("name = 'mine'")) == 1


def test_a_name_of_ours_keeps_the_description_that_it_was_given_and_no_champion_of_others(
    rows: pl.DataFrame, mlruns: Path
) -> None:
    results, store = contest(rows, {"mine": EASE(**SMALL)}, "popular_world"), tracking.client(mlruns)
    run = log(results, store=mlruns)
    promote(results, "mine", run=run, store=mlruns)
    assert "won an evaluation" in store.get_registered_model("mine").description
    store.update_registered_model("mine", "mine, and described by me")
    store.delete_registered_model_alias("mine", "champion")
    assert champion("mine", store=mlruns) is None
    assert promote(results, "mine", run=run, store=mlruns) == 2
    assert store.get_registered_model("mine").description == "mine, and described by me"
    store.set_registered_model_alias("mine", "champion", of_somebody_else(store, run))
    with pytest.raises(UsageError, match="the name 'mine' is taken"):
        champion("mine", store=mlruns)


def test_what_is_no_name_has_no_champion(mlruns: Path) -> None:
    for strange in ("it's mine", "", "a/b"):
        with pytest.raises(UsageError, match="MLflow has no model or metric called after"):
            champion(strange, store=mlruns)


def test_a_store_that_only_lets_us_read_is_not_ready(
    rows: pl.DataFrame, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise MlflowException("no", error_code=PERMISSION_DENIED)

    results = contest(rows, {"mine": EASE(**SMALL)}, "popular_world")
    run = log(results, store=mlruns)
    calls = {
        "create_run": lambda: log(results, store=mlruns),
        "create_registered_model": lambda: promote(results, "mine", run=run, store=mlruns),
        "set_registered_model_alias": lambda: promote(results, "mine", run=run, store=mlruns),
        "search_registered_models": lambda: champion("mine", store=mlruns),
    }
    for refused, asked in calls.items():
        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, refused, denied)
            with pytest.raises(NotReadyError, match=r"does not do this now \(PERMISSION_DENIED\)") as told:
                asked()
        assert "log runs and register models" in told.value.hint


def test_a_run_of_other_data_is_not_promoted(rows: pl.DataFrame, mlruns: Path) -> None:
    some = rows.filter(pl.col("listener") != rows["listener"].min())
    results, others = (contest(each, {"mine": EASE(**SMALL)}, "popular_world") for each in (rows, some))
    for run in ("nobody's", log(others, store=mlruns)):
        with pytest.raises(UsageError, match="no run of this data is called"):
            promote(results, "mine", run=run, store=mlruns)


def test_a_model_is_loaded_with_plays_alone(rows: pl.DataFrame, mlruns: Path) -> None:
    results = contest(rows, {"mine": EASE(**SMALL)}, "popular_world")
    promote(results, "mine", run=log(results, store=mlruns), store=mlruns)
    with pytest.raises(InputError, match="there are no plays"):
        mlflow.pyfunc.load_model("models:/mine@champion")
