"""One's own models in MLflow: an evaluation of the library as a run, and what surely wins there as a registered model.

What a night serves is the product's own blend: a model that is promoted here is found by its name, and serves nobody.
"""

import re
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.base.code_digest import code_digest
from pipelines.mlflow import tracking
from pipelines.mlflow.run_record import recorded, waiting
from pipelines.mlflow.run_tags import CODE_DIGEST, data_digest
from pipelines.mlflow.tracking import Store
from recsys.errors import InputError, UsageError
from recsys.library import Model, Results
from recsys.settings import load_settings

EXPERIMENT = "library"
DATASET_DIGEST = "dataset.digest"  # not that of runs on a workspace, which `hearabouts compare` and `promote` look for

_LONGEST = 500  # of what MLflow's page shows of a parameter
_NAME = re.compile(r"[\w.\- ]+")  # of a metric, as MLflow takes it


def log(results: Results, *, name: str = "evaluate", store: Path | str | None = None) -> str:
    """Log an evaluation as a run, and return MLflow's id of it.

    Parameters
    ----------
    results : Results
    name : str
        Of the run.
    store : Path or str, optional
        MLflow's: a folder, or an address; by default that of the settings, or of ``MLFLOW_TRACKING_URI``.

    Raises
    ------
    InputError
        If a figure would be of fewer users than ``models.min_listeners_in_table``: runs are shared.
    UsageError
        If MLflow cannot name a metric after a model.
    SettingsError
        If there is no such store.
    NotReadyError
        If MLflow cannot be used now.
    """
    _check(results)
    with TemporaryDirectory() as folder:
        spool, params, tags = Path(folder), _params(results), _tags(results)
        with recorded(spool, experiment=EXPERIMENT, name=name, params=params, tags=tags) as run:
            run.metrics(_metrics(results))
            run.table(results.figures, "models")
            run.text(repr(results), "models.txt")
        [record] = waiting(spool)
        return tracking.log(_store(store), record)


def _store(named: Path | str | None) -> Store:
    """Return the store of a name, as settings would have it: a folder, or an address."""
    return load_settings(overrides={"tracking": {"uri": str(named)}} if named else None).tracking.store


def _check(results: Results) -> None:
    asked, needed = len(results.question.asked), results.settings.min_listeners_in_table
    if asked < needed:
        raise InputError(
            f"{asked} users were asked, and no figure of fewer than {needed} is logged", hint="Take more users or days."
        )
    if strange := [model for model in results.models if not _NAME.fullmatch(model)]:
        raise UsageError(
            f"MLflow has no metric called after {', '.join(map(repr, strange))}",
            hint="Letters, digits, spaces, and the signs _ - . make names.",
        )


def _params(results: Results) -> dict[str, Any]:
    """Return the settings of the question, and how each model was made."""
    settings = {f"models.{key}": value for key, value in results.settings.model_dump(mode="json").items()}
    made = {f"model.{name}": _made(model) for name, model in results.models.items()}
    return {**settings, "baseline": results.baseline, **made}


def _made(model: Model) -> str:
    """Return a model's class and plain parameters; not its repr, which may hold what it learned from."""
    found = model.get_params() if hasattr(model, "get_params") else {}
    plain = ", ".join(f"{key}={value!r}" for key, value in found.items() if isinstance(value, int | float | str))
    return f"{type(model).__qualname__}({plain})"[:_LONGEST]


def _tags(results: Results) -> dict[str, str]:
    train = results.question.train
    return {
        "hearabouts.version": version("hearabouts"),
        CODE_DIGEST: code_digest(),
        DATASET_DIGEST: data_digest(train.rows),
        "mlflow.note.content": f"{train!r}: {len(results.question.asked):,} users asked. Look at `models.txt`.",
    }


def _metrics(results: Results) -> dict[str, float]:
    """Return every figure and its interval, ``mine.ndcg_at_10`` and ``mine.ndcg_at_10_low``, as runs of nights do."""
    found: dict[str, float] = {}
    for model, metric, *numbers in results.figures.iter_rows():
        keys = [f"{of}.{metric}{end}" for of in (model, f"{model}_minus.{results.baseline}") for end in _ENDS]
        found |= {key: number for key, number in zip(keys, numbers, strict=True) if number is not None}
    return found


_ENDS = ("", "_low", "_high")
