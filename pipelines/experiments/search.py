"""A small search for better settings of the models: tried on the validation nights, never on the test nights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import optuna
import polars as pl
from optuna.trial import TrialState

from pipelines.base.experiment_config import Range, Search, Value, is_whole
from pipelines.base.terminal import followed, step, tell
from recsys.errors import InputError
from recsys.models.deployable import validated
from recsys.settings import ModelsSettings

optuna.logging.set_verbosity(optuna.logging.WARNING)

_PROBLEM = "problem"  # of a trial that failed
_FIRST_LOOK = 0  # step of a trial: some listeners, before all
_BEFORE_GIVING_UP = 3  # trials: of fewer, a median says little
_CANNOT_BE_FITTED = (np.linalg.LinAlgError, InputError)  # settings that do not fit the data, as a ridge of zero may not

Measure = Callable[[ModelsSettings], float]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Parameters
    ----------
    models : ModelsSettings
        The best that was tried.
    value : float
        Its macro NDCG at 10 on the validation nights.
    before : float
        That of the settings in force; NaN where they could not be fitted.
    trials : polars.DataFrame
        One row a trial in its order: ``trial, state, first_look, value, seconds, problem`` and a column ``models.KEY``
        for each key that was searched. A state is ``complete``, ``pruned`` or ``fail``.
    """

    models: ModelsSettings
    value: float
    before: float
    trials: pl.DataFrame = field(repr=False)


def search(
    rows: pl.DataFrame,
    *,
    asked: Search,
    settings: ModelsSettings,
    parents: Mapping[str, str],
    origins: Mapping[str, str] | None = None,
    in_force: ModelsSettings | None = None,
) -> Found:
    """Try settings, and return the best by macro NDCG at 10 on the validation nights.

    The first trial is the settings as they are, where they lie within the ranges. Every trial is first measured on a
    share of the listeners; where it is below the median of the trials before it, it is given up. One whose settings
    cannot be fitted has failed, and the search goes on.

    Parameters
    ----------
    rows : polars.DataFrame
        Contributions that may be trained on.
    asked : Search
    settings : ModelsSettings
        Those that are not searched.
    parents : mapping of str to str
        The country of every part.
    origins : mapping of str to str, optional
        The country that the artist of a track comes from.
    in_force : ModelsSettings, optional
        What the next night would use, which the best is compared with; by default the settings as they are.

    Raises
    ------
    InputError
        If every trial failed.

    References
    ----------
    T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework" (KDD 2019).
    """
    looks = _measures(rows, asked=asked, measure=partial(validated, parents=parents, origins=origins))
    study = _study(asked)
    start = {key: getattr(settings, key) for key in asked.models}
    is_tried = all(_within(values, start[key]) for key, values in asked.models.items())
    if is_tried:
        study.enqueue_trial(start)
    for _ in followed(range(asked.trials), "trials"):
        trial = study.ask()
        tried = _with(settings, _suggested(trial, asked))
        _try(study, trial, looks, tried)
    _check_any(study)
    is_known = is_tried and (in_force is None or in_force == settings)
    known = study.trials[0].value if is_known else _value_of(in_force or settings, looks[-1])
    before = math.nan if known is None else known
    return Found(_with(settings, study.best_params), study.best_value, before, _table(study, asked))


def _value_of(settings: ModelsSettings, measure: Measure) -> float | None:
    """Return what settings are worth that were not among the trials."""
    with step("the settings in force"):
        try:
            return measure(settings)
        except _CANNOT_BE_FITTED:
            return None


def _measures(rows: pl.DataFrame, *, asked: Search, measure: Callable[..., float]) -> tuple[Measure, ...]:
    """Return what measures settings: on a share of the listeners unless that is all, then on all."""

    def on(some: pl.DataFrame) -> Measure:
        return lambda settings: measure(some, settings=settings)

    return (on(rows),) if asked.share == 1 else (on(_sampled(rows, share=asked.share, seed=asked.seed)), on(rows))


def _sampled(rows: pl.DataFrame, *, share: float, seed: int) -> pl.DataFrame:
    """Return the rows of a random share of the listeners."""
    listeners = rows["listener"].unique().sort()
    kept = np.random.default_rng(seed).random(len(listeners)) < share
    return rows.filter(pl.col("listener").is_in(listeners.filter(pl.Series(kept)).implode()))


def _study(asked: Search) -> optuna.Study:
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_GIVING_UP)
    return optuna.create_study(direction="maximize", sampler=samplers[asked.sampler](seed=asked.seed), pruner=pruner)


def _within(values: Range | tuple[Value, ...], value: Value) -> bool:
    if isinstance(values, Range):
        return not isinstance(value, str) and values.low <= value <= values.high
    return value in values


def _with(settings: ModelsSettings, values: Mapping[str, Value]) -> ModelsSettings:
    return ModelsSettings.model_validate({**settings.model_dump(), **values})


def _suggested(trial: optuna.Trial, asked: Search) -> dict[str, Value]:
    return {key: _suggest(trial, key, values) for key, values in asked.models.items()}


def _suggest(trial: optuna.Trial, key: str, values: Range | tuple[Value, ...]) -> Value:
    if not isinstance(values, Range):
        return cast(Value, trial.suggest_categorical(key, values))
    if is_whole(key):
        return trial.suggest_int(key, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(key, values.low, values.high, log=values.log)


def _try(study: optuna.Study, trial: optuna.Trial, looks: tuple[Measure, ...], settings: ModelsSettings) -> None:
    try:
        value = _looked(trial, looks, settings)
    except _CANNOT_BE_FITTED as error:
        trial.set_user_attr(_PROBLEM, str(error))
        study.tell(trial, state=TrialState.FAIL)
        tell("trial", number=trial.number + 1, failed=str(error), **trial.params)
        return
    study.tell(trial, value, state=TrialState.PRUNED if value is None else TrialState.COMPLETE)
    seen = "given up" if value is None else f"{value:.4f}"
    tell("trial", number=trial.number + 1, macro_ndcg_at_10=seen, best=f"{study.best_value:.4f}", **trial.params)


def _check_any(study: optuna.Study) -> None:
    if all(trial.state == TrialState.FAIL for trial in study.trials):
        raise InputError(
            f"none of the {len(study.trials)} trials could be measured; the last one: "
            f"{study.trials[-1].user_attrs[_PROBLEM]}",
            hint="Search other ranges, or wait for more nights; the log names the settings of every trial.",
        )


def _looked(trial: optuna.Trial, looks: tuple[Measure, ...], settings: ModelsSettings) -> float | None:
    """Measure settings, from the cheap look to the whole; None where they were given up in between."""
    value = 0.0
    for number, measure in enumerate(looks):
        value = measure(settings)
        trial.report(value, number)
        if number + 1 < len(looks) and trial.should_prune():
            return None
    return value


def _table(study: optuna.Study, asked: Search) -> pl.DataFrame:
    """Return the trials; of one that was given up or failed, the value is missing."""
    first = -1 if asked.share == 1 else _FIRST_LOOK
    rows: list[dict[str, Any]] = [
        {
            "trial": trial.number + 1,
            "state": trial.state.name.lower(),
            "first_look": trial.intermediate_values.get(first),
            "value": trial.value if trial.state == TrialState.COMPLETE else None,
            "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
            "problem": trial.user_attrs.get(_PROBLEM),
        }
        | {f"models.{key}": trial.params[key] for key in asked.models}
        for trial in study.trials
    ]
    return pl.DataFrame(rows, infer_schema_length=None)
