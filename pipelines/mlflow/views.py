"""What MLflow's page opens on: saved views of an experiment, which are tags of it, and the addresses that show them."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.mlflow.metric_keys import COMPARED, HEADLINE, grouped
from recsys.models.evaluation.report_tables import SERVED

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LEADERBOARD = "leaderboard"

_METRICS = (HEADLINE, COMPARED, f"{SERVED}.ndcg_at_10", f"{SERVED}.recall_at_20", f"{SERVED}.coverage")
_PARAMS = ("models.engine", "models.factors")
_VIEW, _KEY = "mlflow.sharedViewState.", "viewStateShareKey"  # of MLflow 3.17: a tag, and what names it in an address
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # model training, and not the apps of a language model
_WIDTH = 125  # of a column, in pixels
_TRAINING = "workflowType=machine_learning"  # else the page shows what it has for language models around the runs
_MADE = 1_790_000_000_000  # the page wants an instant, in milliseconds; the same always, so that a tag is written once


def prepare(store: "MlflowClient", experiment: str) -> None:
    """Let an experiment open as runs of model training, with the leaderboard among its saved views."""
    have = store.get_experiment(experiment).tags
    for key, value in {**_KIND, **_saved(LEADERBOARD, "Leaderboard", leaderboard())}.items():
        if have.get(key) != value:
            store.set_experiment_tag(experiment, key, value)


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


def page(server: str, experiment: str, *, view: str = LEADERBOARD) -> str:
    """Return the address of a saved view on MLflow's page."""
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs?{_KEY}={view}&{_TRAINING}"


def _saved(key: str, name: str, state: Mapping[str, Any]) -> dict[str, str]:
    told = {"name": name, "createdAt": _MADE, "updatedAt": _MADE, "state": json.dumps(state)}
    return {f"{_VIEW}{key}": json.dumps(told)}


def _metric(key: str) -> str:
    return f"metrics.`{grouped(key)}`"


def _param(key: str) -> str:
    return f"params.`{key}`"
