"""Collaborative filtering: learn how to blend on the validation nights, then fit the models that are served."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from recsys.models.blending import FEATURES, UNLEARNED, Blend, BlendParameters, blend, regional_only
from recsys.models.fit_blend import learn
from recsys.models.interactions import Interactions, gather, heard_later, vocabulary
from recsys.models.local_music import keeping_shares
from recsys.models.metrics import Model
from recsys.models.regional import Fitted, Global, Spread, fit, fit_alone
from recsys.settings import ModelsSettings

__all__ = [
    "CURVE_SCHEMA",
    "FEATURES",
    "HOME_SCHEMA",
    "LEARNED_SCHEMA",
    "STEPS",
    "UNLEARNED",
    "Blend",
    "BlendParameters",
    "Trained",
    "learn_and_train",
    "parameters_of",
    "train",
]

HOME_SCHEMA: Mapping[str, type[pl.DataType]] = {"part": pl.String, "parent": pl.String, "listeners": pl.Int64}
LEARNED_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "train_rows": pl.Int64,
    "own_model": pl.Boolean,
    "gate_open": pl.Boolean,
    "own_weight": pl.Float64,
    "gate_gain": pl.Float64,
    "learned_order": pl.Boolean,
}
CURVE_SCHEMA: Mapping[str, type[pl.DataType]] = {"model": pl.String, "step": pl.Int64, "loss": pl.Float64}
STEPS = ("earlier_models", "order", "models")

Began = Callable[[str], None]


def _unheard(_: str) -> None:
    """Hear that a step began, and tell nobody."""


@dataclass(frozen=True)
class Trained:
    """Everything that was learned from the nights before the test nights.

    Parameters
    ----------
    known : Interactions
        Of the training and the validation nights.
    learned : Interactions
        Of those of these listeners whom the models were fitted on: all, or a draw (``max_training_listeners``).
    models : mapping of str to Model
        ``global``, ``local`` (every region alone), ``regional`` (global and own mixed, whatever the gates say) and
        ``blend`` (what is served). They score all ``known`` listeners.
    parameters : BlendParameters
        What was learned on the validation nights.
    facts : polars.DataFrame
        One row per part: ``part, parent, listeners, train_rows`` (of ``learned``), ``own_model, gate_open,
        own_weight, gate_gain`` (NDCG at 10 of the validation listeners with the own model minus with the parent's; null
        where nobody could judge) and ``learned_order`` (whether trees order its lists).
    curve : polars.DataFrame
        ``model, step, loss`` of the training; empty for a closed form.
    """

    known: Interactions = field(repr=False)
    learned: Interactions = field(repr=False)
    models: Mapping[str, Model] = field(repr=False)
    parameters: BlendParameters
    facts: pl.DataFrame = field(repr=False)
    curve: pl.DataFrame = field(repr=False)


def learn_and_train(
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    settings: ModelsSettings,
    parents: Mapping[str, str] | None = None,
    origins: Mapping[str, str] | None = None,
    began: Began = _unheard,
) -> Trained:
    """Learn on the validation nights how to blend, then fit all models on both.

    Parameters
    ----------
    train, validation : polars.DataFrame
        Rows of :class:`~recsys.schemas.Contributions`, of which only ``trained`` ones count.
    settings : ModelsSettings
    parents : mapping of str to str, optional
        The country of every part.
    origins : mapping of str to str, optional
        The country that the artist of a track comes from.
    began : callable, optional
        Is called as each of :data:`STEPS` begins.
    """
    parameters = parameters_of(train, validation, settings=settings, parents=parents, began=began)
    began("models")
    known = gather(pl.concat([train, validation]), settings=settings, parents=parents, origins=origins)
    curve: list[tuple[str, int, float]] = []
    needed = parameters.engines(settings)
    watched = fit(known, settings=needed, watch=lambda step, loss: curve.append(("global", step, loss)))
    fitted = watched.asked_again()
    served = _served(fitted, parameters=parameters, settings=settings)
    local = fit_alone(fitted, settings=settings)
    return Trained(
        known=known,
        learned=fitted.learned,
        models={**_models(fitted, served, settings=settings), "local": local},
        parameters=parameters,
        facts=_facts(fitted, served=served, parameters=parameters),
        curve=pl.DataFrame(curve, CURVE_SCHEMA, orient="row"),
    )


def parameters_of(
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    settings: ModelsSettings,
    parents: Mapping[str, str] | None = None,
    began: Began = _unheard,
) -> BlendParameters:
    """Learn on the validation nights how to blend, with models of the nights before."""
    began("earlier_models")
    before = gather(train, settings=settings, parents=parents)
    if 0 in before.shape:
        return UNLEARNED
    every = vocabulary(pl.concat([train, validation]), at_least=settings.min_listeners_per_track)
    settings = settings.with_tracks(len(every))
    later = heard_later(validation, known=before)
    fitted = fit(before, settings=settings).asked_again()
    began("order")
    return learn(fitted, later=later, settings=settings)


def train(
    interactions: Interactions,
    *,
    parameters: BlendParameters,
    settings: ModelsSettings,
    threads: int = 0,
    again: bool = False,
    spread: Spread | None = None,
) -> Mapping[str, Model]:
    """Fit the models of a night on all data, and mix them as the parameters of earlier nights say.

    Parameters
    ----------
    interactions : Interactions
    parameters : BlendParameters
    settings : ModelsSettings
    threads : int
        0 means all cores; their number does not change a bit of the result.
    again : bool
        Whether all listeners are going to be asked for, whom the models then remember: they are never to be written.
    spread : callable, optional
        Fits the places elsewhere (:data:`recsys.models.regional.Spread`).

    Returns
    -------
    mapping of str to Model
        ``global``, ``regional`` and ``blend``; what every region would be alone is of no use to a night.
    """
    fitted = fit(interactions, settings=parameters.engines(settings), threads=threads, spread=spread)
    fitted = fitted.asked_again() if again else fitted
    return _models(fitted, _served(fitted, parameters=parameters, settings=settings), settings=settings)


def _served(fitted: Fitted, *, parameters: BlendParameters, settings: ModelsSettings) -> Blend:
    """Mix fitted models as parameters say, and let each country's lists keep the share of its own artists."""
    mixed = blend(fitted, parameters=parameters, settings=settings)
    return replace(mixed, offsets=keeping_shares(mixed, fitted.interactions, settings=settings))


def _models(fitted: Fitted, served: Blend, *, settings: ModelsSettings) -> dict[str, Model]:
    regional = regional_only(fitted, like=served, settings=settings)
    return {"global": Global(fitted.interactions, fitted.world), "regional": regional, "blend": served}


def _facts(fitted: Fitted, *, served: Blend, parameters: BlendParameters) -> pl.DataFrame:
    places, known, learned = fitted.places, fitted.interactions, fitted.learned
    parts = range(places.parts)
    gains = [parameters.gains.get(part, np.nan) for part in known.parts]
    return pl.DataFrame(
        {
            "part": known.parts,
            "parent": [parent or "world" for parent in known.parents],
            "listeners": known.residents(),
            "train_rows": [learned.confidence[learned.rows_of(part)].nnz for part in parts],
            "own_model": [part in fitted.sides for part in parts],
            "gate_open": [bool(served.own.serving[part] == part) for part in parts],
            "own_weight": served.weights[: places.parts, FEATURES.index("own")].astype(np.float64),
            "gate_gain": pl.Series(gains, dtype=pl.Float64).fill_nan(None),
            "learned_order": ~served.summed[: places.parts] & (served.trees is not None),
        },
        schema={**HOME_SCHEMA, **LEARNED_SCHEMA},
    )
