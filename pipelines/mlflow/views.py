"""What MLflow's page opens on: saved views of an experiment, which are tags of it, and the addresses that show them."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.mlflow.metric_keys import COMPARED, HEADLINE, grouped
from recsys.models.evaluation.report_tables import SERVED

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LEADERBOARD, NIGHTS = "leaderboard", "nights"
SERIES = "series"  # the tag of the run that has the numbers of all nights
TRIAL = "search.macro_ndcg_at_10"  # of a trial, on the validation nights
_DESCRIPTION = "mlflow.note.content"  # of an experiment

_METRICS = (HEADLINE, COMPARED, f"{SERVED}.ndcg_at_10", f"{SERVED}.recall_at_20", f"{SERVED}.coverage")
_PARAMS = ("models.engine", "models.factors")
_VIEW, _KEY = "mlflow.sharedViewState.", "viewStateShareKey"  # of MLflow 3.17: a tag, and what names it in an address
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # model training, and not the apps of a language model
_WIDTH = 125  # of a column, in pixels
_TRAINING = "workflowType=machine_learning"  # else the page shows what it has for language models around the runs
_MADE = 1_790_000_000_000  # the page wants an instant, in milliseconds; the same always, so that a tag is written once


def prepare(store: "MlflowClient", experiment: str) -> None:
    """Let an experiment open as runs of model training, and save the leaderboard with it."""
    _tag(store, experiment, {**_KIND, **_saved(LEADERBOARD, "Leaderboard", leaderboard())})


def prepare_nights(store: "MlflowClient", experiment: str) -> None:
    """Save a view of the numbers of all nights, and link to it, unless somebody described the experiment."""
    links = f"[Leaderboard]({page(experiment)}) · [All nights]({page(experiment, view=NIGHTS, charts=True)})"
    described = _DESCRIPTION in store.get_experiment(experiment).tags
    view = _saved(NIGHTS, "All nights", nights())
    _tag(store, experiment, view if described else {**view, _DESCRIPTION: links})


def prepare_trials(store: "MlflowClient", experiment: str, *, run: str, params: Sequence[str]) -> str:
    """Save a view that compares the trials of a search by what it varies; return its address on the page."""
    view = f"trials-{run[:8]}"
    _tag(store, experiment, _saved(view, f"Trials of {run[:8]}", trials(run, params)))
    return page(experiment, view=view, charts=True)


def leaderboard() -> dict[str, Any]:
    """Return the view of runs that measured what is served, the best first; MLflow keeps NaN as a zero."""
    columns = [*map(_metric, _METRICS), *map(_param, _PARAMS)]
    return {
        "searchFilter": f"{_metric(HEADLINE)} > 0",
        "orderByKey": _metric(HEADLINE),
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": dict.fromkeys(columns, _WIDTH),
    }


def nights() -> dict[str, Any]:
    """Return the view of the one run that has the numbers of all nights, over time."""
    chart = {"xAxisKey": "time", "lineSmoothness": 0, "selectedXAxisMetricKey": ""}
    return {"searchFilter": f"tags.`{SERIES}` = 'nights'", "globalLineChartConfig": chart}


def trials(run: str, params: Sequence[str]) -> dict[str, Any]:
    """Return the view of a search's trials: one line a trial, across what varies to what came of it."""
    section: dict[str, Any] = {"uuid": "trials", "name": "Trials", "display": True, "columns": 1, "isGenerated": False}
    chart = {
        "uuid": "parallel",
        "type": "PARALLEL",
        "runsCountToCompare": 100,
        "metricSectionId": section["uuid"],
        "deleted": False,
        "isGenerated": False,
        "displayName": "What was tried, and macro NDCG@10 on the validation nights",
        "selectedParams": list(params),
        "selectedMetrics": [grouped(TRIAL)],
        "showAllRuns": False,
    }
    return {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{run}'",
        "orderByKey": _metric(TRIAL),
        "orderByAsc": False,
        "selectedColumns": [_metric(TRIAL), *map(_param, params)],
        "compareRunSections": [section],
        "compareRunCharts": [chart],
        "isAccordionReordered": True,  # else the page sorts its own charts before this one
        "runsHiddenMode": "SHOW_ALL",
    }


def page(experiment: str, *, view: str | None = LEADERBOARD, charts: bool = False) -> str:
    """Return the page of a saved view, without its server, as a table or as charts; or that of the plain runs."""
    how = f"{_TRAINING}&compareRunsMode=CHART" if charts else _TRAINING
    saved = f"{_KEY}={view}&" if view else ""
    return f"#/experiments/{experiment}/runs?{saved}{how}"


def _tag(store: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> None:
    """Set the tags of an experiment that are not as they should be."""
    have = store.get_experiment(experiment).tags
    for key, value in tags.items():
        if have.get(key) != value:
            store.set_experiment_tag(experiment, key, value)


def _saved(key: str, name: str, state: Mapping[str, Any]) -> dict[str, str]:
    told = {"name": name, "createdAt": _MADE, "updatedAt": _MADE, "state": json.dumps(state)}
    return {f"{_VIEW}{key}": json.dumps(told)}


def _metric(key: str) -> str:
    return f"metrics.`{grouped(key)}`"


def _param(key: str) -> str:
    return f"params.`{key}`"
