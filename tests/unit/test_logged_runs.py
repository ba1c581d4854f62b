"""What of a record becomes of it in MLflow: stepped numbers, one series over nights, datasets with columns, trials."""

import json
from datetime import date
from pathlib import Path

import pytest
from support.runs import workspace_of

from pipelines.mlflow import tracking, views
from pipelines.mlflow.handover import hand_over, run_of
from pipelines.mlflow.model_registry import Registry
from pipelines.mlflow.run_record import Run, Trial, recorded

FIRST, SECOND = date(2026, 10, 3), date(2026, 10, 4)


def log(mlruns: Path, *said: object) -> str:
    """Log a run; each of what is said is called with it."""
    spool = workspace_of(mlruns.parent).unlogged
    with run_of(spool, mlruns, experiment="nights", name="n", params={}, tags={"hearabouts.version": "1"}) as run:
        for say in said:
            say(run)  # type: ignore[operator]
    assert run.logged is not None
    return run.logged


def history(mlruns: Path, run: str, key: str) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in tracking.client(mlruns).get_metric_history(run, key)]


def test_a_curve_has_a_step_for_each_value(mlruns: Path) -> None:
    run = log(mlruns, lambda run: run.curve("loss.global", [3.0, 2.5, 2.25]))
    assert history(mlruns, run, "loss/global") == [(1, 3.0), (2, 2.5), (3, 2.25)]


def test_nights_are_one_series_in_a_run_of_their_own_whoever_logged_them(mlruns: Path) -> None:
    log(mlruns, lambda run: run.series(FIRST, {"nights.rows": 10}))
    log(mlruns, lambda run: run.series(SECOND, {"nights.rows": 12, "nights.coverage": 0.5}))
    again = log(mlruns, lambda run: run.series(SECOND, {"nights.rows": 12}))  # as after a crash
    store = tracking.client(mlruns)
    experiment = store.get_run(again).info.experiment_id
    [series] = store.search_runs([experiment], filter_string=views.nights()["searchFilter"])
    told = history(mlruns, series.info.run_id, "nights/rows")
    assert told == [(FIRST.toordinal(), 10.0), (SECOND.toordinal(), 12.0)]
    [last] = store.get_metric_history(series.info.run_id, "nights/coverage")
    assert last.timestamp == 1_791_072_000_000  # 2026-10-04, midnight UTC
    assert series.info.status == "FINISHED"
    assert tracking.end_lost(mlruns) == 0
    assert list(Registry(mlruns).runs()) == []  # nothing to compare or promote


def test_a_dataset_has_columns_and_a_source_in_words_and_no_place(mlruns: Path, tmp_path: Path) -> None:
    columns = {"night": "datetime", "plays": "long"}
    run = log(mlruns, lambda run: run.dataset("contributions", "0" * 64, source="the store", columns=columns))
    [used] = tracking.client(mlruns).get_run(run).inputs.dataset_inputs
    told = json.loads(used.dataset.schema)["mlflow_colspec"]
    assert {column["name"]: column["type"] for column in told} == columns
    assert json.loads(used.dataset.source)["tags"] == {"name": "contributions", "source": "the store"}
    assert str(tmp_path) not in used.dataset.to_proto().SerializeToString().decode("latin-1")


def test_a_record_of_an_earlier_release_is_logged(mlruns: Path) -> None:
    """It knows no columns and no steps."""
    run = log(
        mlruns,
        lambda run: run.note("datasets", {"listens": "1" * 64}),
        lambda run: run.note("metrics", {"blend.ndcg_at_10": 0.5}),
    )
    found = tracking.client(mlruns).get_run(run)
    assert found.inputs.dataset_inputs[0].dataset.digest == "1" * 36
    assert found.data.metrics == {"blend/ndcg_at_10": 0.5}


TRIALS = (
    Trial("trial 1", "FINISHED", {"models.factors": "8", "models.ranker": "trees"}, {"search.macro_ndcg_at_10": 0.2}),
    Trial("trial 2", "KILLED", {"models.factors": "4", "models.ranker": "trees"}, {"search.first_look": 0.1}),
    Trial("trial 3", "FAILED", {"models.factors": "2", "models.ranker": "trees"}, {}),
)


def search(run: Run) -> None:
    for trial in TRIALS:
        run.trial(trial)


def test_trials_are_runs_below_their_search_with_what_it_varied_and_a_view_that_compares_them(mlruns: Path) -> None:
    run, store = log(mlruns, search), tracking.client(mlruns)
    experiment = store.get_run(run).info.experiment_id
    view = views.trials(run, ["models.factors", "models.ranker"])
    found = store.search_runs([experiment], filter_string=view["searchFilter"])
    told = {(each.info.run_name, each.info.status, tuple(sorted(each.data.params.items()))) for each in found}
    assert told == {(trial.name, trial.status, tuple(sorted(trial.params.items()))) for trial in TRIALS}
    best = next(each for each in found if each.info.run_name == "trial 1")
    assert best.data.metrics == {"search/macro_ndcg_at_10": 0.2}
    chart = view["compareRunCharts"][0]
    assert (chart["selectedParams"], chart["selectedMetrics"]) == (
        ["models.factors", "models.ranker"],
        ["search/macro_ndcg_at_10"],
    )
    tags = store.get_experiment(experiment).tags
    assert json.loads(json.loads(tags[f"mlflow.sharedViewState.trials-{run[:8]}"])["state"]) == view
    assert f"viewStateShareKey=trials-{run[:8]}" in store.get_run(run).data.tags["mlflow.note.content"]


def test_a_search_whose_logging_was_cut_off_is_logged_once(mlruns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = workspace_of(mlruns.parent).unlogged
    with recorded(spool, experiment="nights", name="n", params={}, tags={}) as run:
        search(run)
    with monkeypatch.context() as broken:
        broken.setattr(tracking.views, "prepare_trials", lambda *_, **__: 1 / 0)
        assert hand_over(spool, mlruns) == {}
    [logged] = hand_over(spool, mlruns).values()
    store = tracking.client(mlruns)
    experiment = store.get_run(logged).info.experiment_id
    assert sorted(each.info.run_name for each in store.search_runs([experiment])) == [
        "n",
        "trial 1",
        "trial 2",
        "trial 3",
    ]
