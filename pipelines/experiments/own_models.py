"""One's own models in MLflow: an evaluation of the library as a run, and what surely wins there as a registered model.

What a night serves is the product's own blend: a model that is promoted here is found by its name, and serves nobody.
"""

import json
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.base.code_digest import code_digest
from pipelines.mlflow import tracking
from pipelines.mlflow.model_registry import CHAMPION, MODEL
from pipelines.mlflow.own_model import RECIPE_FILE, Recipe, made, parameters_of, recipe_of
from pipelines.mlflow.run_record import recorded, waiting
from pipelines.mlflow.run_tags import CODE_DIGEST, data_digest
from pipelines.mlflow.tracking import Store
from recsys.errors import InputError, NotBetterError, UsageError
from recsys.library import Model, Results
from recsys.settings import load_settings

EXPERIMENT = "library"
DATASET_DIGEST = "dataset.digest"  # not that of runs on a workspace, which `hearabouts compare` and `promote` look for

_LOADER = "pipelines.mlflow.own_model"
_DESCRIPTION = (
    "A model of one's own, that won an evaluation of recsys.library; nights do not use it. See docs/library.md."
)
_RECIPE = "recipe"  # the tag of a version that says how it is made
_GAIN = ["difference", "difference_low", "difference_high"]
_LONGEST = 500  # of what MLflow's page shows of a parameter
_NAME = re.compile(r"[\w.\- ]+")  # of a metric, as MLflow takes it; and so nothing that ends a text in a filter


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
        If MLflow cannot be used now, or does not let us log runs.
    """
    _check(results)
    with TemporaryDirectory() as folder:
        spool, params, tags = Path(folder), _params(results), _tags(results)
        with recorded(spool, experiment=EXPERIMENT, name=name, params=params, tags=tags) as run:
            run.metrics(_metrics(results))
            run.table(results.figures, "models")
            run.text(repr(results), "models.txt")
        [record] = waiting(spool)
        place = _store(store)
        with tracking.refusals_told(place):
            return tracking.log(place, record)


def promote(results: Results, model: str, *, run: str, store: Path | str | None = None) -> int:
    """Register how a model is made, under its own name, make it the champion of that name, and return the version.

    It has to beat the baseline of the evaluation: the 95 % interval of the difference lies above zero, by the mean over
    regions where there are several. Once there is a champion of this name, that has to be the baseline.

    Parameters
    ----------
    results : Results
    model : str
        A name among ``results.models``, and then that of the registered model.
    run : str
        Where they were logged (:func:`log`).
    store : Path or str, optional

    Raises
    ------
    NotBetterError
        If the model does not surely win.
    UsageError
        If there is no such model, it cannot be made again elsewhere, the run is of other data, the baseline is not
        the champion, or a registered model of somebody else has the name.
    NotReadyError
        If MLflow cannot be used now, or does not let us register models.
    """
    if model not in results.models or model == MODEL:
        raise UsageError(f"no model of your own is called {model!r}", hint=f"There are: {', '.join(results.models)}.")
    _check(results)
    recipe, won = recipe_of(results.models[model]), _won(results, model)
    place = _store(store)
    with tracking.refusals_told(place):
        _check_champion(results, model, place)
        _check_run(run, results, place)
        number = _registered(results, model, run=run, place=place, recipe=json.dumps(recipe), won=won)
        tracking.client(place).set_registered_model_alias(model, CHAMPION, str(number))
    return number


def champion(model: str, *, store: Path | str | None = None) -> Model | None:
    """Return the champion of a name, not yet fitted, to be evaluated beside others; None where there is none.

    Raises
    ------
    UsageError
        If it is no name, or a registered model of somebody else has it.
    NotReadyError
        If MLflow cannot be used now.
    """
    _check_names([model])
    place = _store(store)
    with tracking.refusals_told(place):
        recipe = _champion(model, place)
    return made(recipe) if recipe else None


def _registered(results: Results, model: str, *, run: str, place: Store, recipe: str, won: str) -> int:
    """Register how a model is made, and return the version: tagged from its first moment, it is known for ours."""
    train = results.question.train
    tags = {DATASET_DIGEST: data_digest(train.rows), _RECIPE: recipe, "won.by": won}
    return tracking.register(
        place,
        run_id=run,
        model=model,
        loader=_LOADER,
        content={RECIPE_FILE: recipe},
        config={"plays": "", **{key: name or "" for key, name in train.columns._asdict().items()}},
        about=tracking.About(_DESCRIPTION, f"{results!r}\n", tags),
    )


def _won(results: Results, model: str) -> str:
    """Return by how much a model surely wins, or refuse it."""
    [(gain, low, high)] = results.figures.filter(model=model, metric=results.headline)[_GAIN].iter_rows()
    told = "nothing" if gain is None else f"{gain:+.4f} ({low:+.4f} to {high:+.4f})"
    if gain is None or low <= 0:
        raise NotBetterError(
            f"{model!r} does not beat {results.baseline!r}: the 95 % interval of what it adds to {results.headline}, "
            f"{told}, has to lie above zero",
            hint="More users make intervals narrower. Of many tries some pass by luck: do not promote by trying often.",
        )
    return told


def _check_champion(results: Results, model: str, place: Store) -> None:
    before = _champion(model, place)
    if before is not None and before != recipe_of(results.models[results.baseline]):
        raise UsageError(
            f"{model!r} has a champion, {before['class']}, which is not the baseline of this evaluation",
            hint=f"evaluate(dataset, {{{model!r}: ..., 'champion': champion({model!r})}}, baseline='champion')",
        )


def _check_run(run: str, results: Results, place: Store) -> None:
    client = tracking.client(place)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    of_this_data = f"tags.`{DATASET_DIGEST}` = '{data_digest(results.question.train.rows)}'"
    runs = client.search_runs([experiment.experiment_id], of_this_data) if experiment else []
    if run not in {found.info.run_id for found in runs}:
        raise UsageError(f"no run of this data is called {run}", hint="Name the run that log(results) returned.")


def _champion(model: str, place: Store) -> Recipe | None:
    """Return how the champion of a name is made; None where there is none, and the name is free or ours."""
    if not tracking.is_there(place):
        return None
    client = tracking.client(place)
    of_the_name = f"name = '{model}'"
    named = client.search_registered_models(of_the_name)
    if not named:
        return None
    number = named[0].aliases.get(CHAMPION)
    versions = [client.get_model_version(model, number)] if number else client.search_model_versions(of_the_name)
    recipes = [version.tags[_RECIPE] for version in versions if _RECIPE in version.tags]
    if not recipes:
        raise UsageError(
            f"the name {model!r} is taken by a registered model of somebody else", hint="Call yours otherwise."
        )
    return dict(json.loads(recipes[0])) if number else None


def _store(named: Path | str | None) -> Store:
    """Return the store of a name, as settings would have it: a folder, or an address."""
    return load_settings(overrides={"tracking": {"uri": str(named)}} if named else None).tracking.store


def _check(results: Results) -> None:
    asked, needed = len(results.question.asked), results.settings.min_listeners_in_table
    if asked < needed:
        raise InputError(
            f"{asked} users were asked, and no figure of fewer than {needed} is logged", hint="Take more users or days."
        )
    _check_names(results.models)


def _check_names(models: Iterable[str]) -> None:
    if strange := [model for model in models if not _NAME.fullmatch(model)]:
        raise UsageError(
            f"MLflow has no model or metric called after {', '.join(map(repr, strange))}",
            hint="Letters, digits, spaces, and the signs _ - . make names.",
        )


def _params(results: Results) -> dict[str, Any]:
    """Return the settings of the question, and how each model was made."""
    settings = {f"models.{key}": value for key, value in results.settings.model_dump(mode="json").items()}
    made = {f"model.{name}": _made(model) for name, model in results.models.items()}
    return {**settings, "baseline": results.baseline, **made}


def _made(model: Model) -> str:
    """Return a model's class and plain parameters; not its repr, which may hold what it learned from."""
    plain = {key: value for key, value in parameters_of(model).items() if isinstance(value, int | float | str)}
    told = ", ".join(f"{key}={value!r}" for key, value in plain.items())
    return f"{type(model).__qualname__}({told})"[:_LONGEST]


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
