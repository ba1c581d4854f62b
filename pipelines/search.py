"""A small search for better settings of the models: tried on the validation nights, never on the test nights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import optuna
import polars as pl

from pipelines.config import Range, Search, Value, is_whole
from pipelines.terminal import followed, tell
from recsys.models.served import validated
from recsys.settings import ModelsSettings

optuna.logging.set_verbosity(optuna.logging.WARNING)

_FIRST_LOOK = 0  # step of a trial: some listeners, before all
_BEFORE_GIVING_UP = 3  # trials: of fewer, a median says little

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
    trials : polars.DataFrame
        One row a trial in its order: ``trial, state`` (``complete`` or ``pruned``)``, first_look, value, seconds`` and
        a column ``models.KEY`` for each key that was searched.
    """

    models: ModelsSettings
    value: float
    trials: pl.DataFrame = field(repr=False)


def search(rows: pl.DataFrame, *, asked: Search, settings: ModelsSettings, parents: Mapping[str, str]) -> Found:
    """Try settings, and return the best by macro NDCG at 10 on the validation nights.

    The first trial is the settings as they are, where they lie within the ranges. Every trial is first measured on a
    share of the listeners; where it is below the median of the trials before it, it is given up.

    Parameters
    ----------
    rows : polars.DataFrame
        Contributions that may be trained on.
    asked : Search
    settings : ModelsSettings
        Those that are not searched.
    parents : mapping of str to str
        The country of every part.

    References
    ----------
    T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework" (KDD 2019).
    """
    looks = _measures(rows, asked=asked, parents=parents)
    study = _study(asked)
    start = {key: getattr(settings, key) for key in asked.models}
    if all(_within(values, start[key]) for key, values in asked.models.items()):
        study.enqueue_trial(start)
    for _ in followed(range(asked.trials), "trials"):
        trial = study.ask()
        tried = _with(settings, _suggested(trial, asked))
        _tell(study, trial, _looked(trial, looks, tried))
    return Found(_with(settings, study.best_params), study.best_value, _table(study, asked))


def _measures(rows: pl.DataFrame, *, asked: Search, parents: Mapping[str, str]) -> tuple[Measure, ...]:
    """Return what measures settings: on a share of the listeners unless that is all, then on all."""

    def on(some: pl.DataFrame) -> Measure:
        return lambda settings: validated(some, settings=settings, parents=parents)

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


def _looked(trial: optuna.Trial, looks: tuple[Measure, ...], settings: ModelsSettings) -> float | None:
    """Measure settings, from the cheap look to the whole; None where they were given up in between."""
    value = 0.0
    for step, measure in enumerate(looks):
        value = measure(settings)
        trial.report(value, step)
        if step + 1 < len(looks) and trial.should_prune():
            return None
    return value


def _tell(study: optuna.Study, trial: optuna.Trial, value: float | None) -> None:
    state = optuna.trial.TrialState.PRUNED if value is None else optuna.trial.TrialState.COMPLETE
    study.tell(trial, value, state=state)
    seen = "given up" if value is None else f"{value:.4f}"
    tell("trial", number=trial.number + 1, macro_ndcg_at_10=seen, best=f"{study.best_value:.4f}", **trial.params)


def _table(study: optuna.Study, asked: Search) -> pl.DataFrame:
    """Return the trials; of one that was given up, the value is missing, and of the others both looks are there."""
    first = -1 if asked.share == 1 else _FIRST_LOOK
    rows: list[dict[str, Any]] = [
        {
            "trial": trial.number + 1,
            "state": trial.state.name.lower(),
            "first_look": trial.intermediate_values.get(first),
            "value": trial.value if trial.state == optuna.trial.TrialState.COMPLETE else None,
            "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
        }
        | {f"models.{key}": trial.params[key] for key in asked.models}
        for trial in study.trials
    ]
    return pl.DataFrame(rows, infer_schema_length=None)
