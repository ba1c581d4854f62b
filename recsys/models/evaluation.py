"""The evaluator: models learn from the nights before, and are asked for the nights after."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from recsys.models.baselines import ItemNeighbours, PopularRegion, PopularWorld, RecentRegion
from recsys.models.collaborative import FEATURES, UNLEARNED, Blend, Recipe, fit_global, fit_regional, learn, train
from recsys.models.interactions import Interactions, gather, heard_later, nights, trained
from recsys.models.metrics import Lists, Model, coverage, ndcg_at_10, rank, recall_at_20, without
from recsys.settings import ModelsSettings

MODELS = ("popular_world", "popular_region", "recent_region", "neighbours", "global", "regional", "blend")
METRICS = ("ndcg_at_10", "recall_at_20", "coverage")


@dataclass(frozen=True)
class Split:
    """Contributions by night: train, then validation, then test; nobody's future is in anybody's past."""

    train: pl.DataFrame = field(repr=False)
    validation: pl.DataFrame = field(repr=False)
    test: pl.DataFrame = field(repr=False)


@dataclass(frozen=True)
class Evaluation:
    """What the models are worth on the test nights. Holds numbers by model and part, and no ids of listeners.

    Parameters
    ----------
    metrics : mapping of str to float
        ``MODEL.METRIC`` over all test listeners and ``MODEL.macro_METRIC``, the mean over parts, with tracks that a
        listener heard before taken out of lists and truth; ``MODEL.with_heard_METRIC`` leaves them in. Empty when
        nothing could be measured.
    by_part : polars.DataFrame
        One row per part with enough test listeners: ``part``, ``listeners``, ``test_listeners``, ``train_rows`` (of
        known tracks), ``own_model``, ``gate_open``, ``own_weight``, and a column ``MODEL.METRIC`` for each of both.
    weights : mapping of str to float
        What the blend learned, by feature.
    sizes : mapping of str to int
        Listeners, tracks, parts, own models, open gates, test listeners.
    seconds : mapping of str to float
        Wall time of learning the blend, training the models, and ranking.
    note : str
        Why nothing could be measured; empty if it could.
    """

    metrics: Mapping[str, float]
    by_part: pl.DataFrame
    weights: Mapping[str, float]
    sizes: Mapping[str, int]
    seconds: Mapping[str, float]
    note: str = ""


def evaluate(contributions: pl.LazyFrame | pl.DataFrame, *, settings: ModelsSettings) -> Evaluation:
    """Compare all models on the last nights.

    The blend is learned on the validation nights with models of the nights before; then all models are trained on
    everything before the test nights, and rank the whole vocabulary for every known listener who played a known track
    on the test nights.

    Parameters
    ----------
    contributions : polars.LazyFrame or polars.DataFrame
        Rows of :class:`~recsys.schemas.Contributions`, of which only ``trained`` ones count.
    settings : ModelsSettings
    """
    rows = trained(contributions)
    found = nights(rows)
    needed = 1 + settings.validation_nights + settings.test_nights
    if len(found) < needed:
        return _nothing(f"There are {len(found)} nights to learn from and to test on, and {needed} are needed.")
    validation, test = found[-settings.validation_nights - settings.test_nights], found[-settings.test_nights]
    split = split_by_night(rows, validation_from=validation, test_from=test)
    with threadpool_limits(1, "blas"):  # bits of a product depend on the number of BLAS threads
        return _compare(split, settings=settings)


def split_by_night(contributions: pl.DataFrame, *, validation_from: date, test_from: date) -> Split:
    """Cut contributions at two nights, for everybody the same."""
    night = pl.col("night")
    return Split(
        contributions.filter(night < validation_from),
        contributions.filter((night >= validation_from) & (night < test_from)),
        contributions.filter(night >= test_from),
    )


def summary(lists: Lists, *, tracks: int) -> dict[str, float]:
    """Return the metrics of ranked lists by name: means over listeners, and the coverage of all lists together."""
    values = (ndcg_at_10(lists).mean(), recall_at_20(lists).mean(), coverage(lists, tracks=tracks))
    return dict(zip(METRICS, map(float, values), strict=True))


def _compare(split: Split, *, settings: ModelsSettings) -> Evaluation:
    seconds: dict[str, float] = {}
    known = gather(pl.concat([split.train, split.validation]), settings=settings)
    if 0 in known.shape:
        return _nothing(f"No track was played by {settings.min_listeners_per_track} listeners before the test nights.")
    later = heard_later(split.test, known=known)
    if not without(later, known.confidence).nnz:
        return _nothing("No known listener played a known track for the first time on the test nights.")
    with _timed("learn", seconds):
        recipe = _learned(split, settings=settings)
    with _timed("train", seconds):
        served = train(known, recipe=recipe, settings=settings)
        models = _contenders(known, served=served)
    with _timed("rank", seconds):
        unheard = {name: rank(model, later=later, heard=known.confidence) for name, model in models.items()}
        everything = {name: rank(model, later=later) for name, model in models.items()}
    return Evaluation(
        metrics=_metrics(unheard, everything, known=known),
        by_part=_by_part(unheard, known=known, served=served, at_least=settings.min_listeners_in_table),
        weights=dict(zip(FEATURES, recipe.weights.tolist(), strict=True)),
        sizes=_sizes(known, served=served, tested=len(unheard["blend"].listeners)),
        seconds=seconds,
    )


def _learned(split: Split, *, settings: ModelsSettings) -> Recipe:
    """Learn the blend from models that never saw the validation nights."""
    known = gather(split.train, settings=settings)
    if 0 in known.shape:
        return UNLEARNED
    regional = fit_regional(known, shared=fit_global(known, settings=settings), settings=settings)
    return learn(known, regional=regional, later=heard_later(split.validation, known=known), settings=settings)


def _contenders(known: Interactions, *, served: Blend) -> dict[str, Model]:
    return {
        "popular_world": PopularWorld.fit(known),
        "popular_region": PopularRegion.fit(known),
        "recent_region": RecentRegion.fit(known),
        "neighbours": ItemNeighbours.fit(known),
        "global": served.regional.shared,
        "regional": served.regional,
        "blend": served,
    }


def _metrics(unheard: Mapping[str, Lists], everything: Mapping[str, Lists], *, known: Interactions) -> dict[str, float]:
    tracks = known.shape[1]
    metrics: dict[str, float] = {}
    for model, lists in unheard.items():
        metrics |= {f"{model}.{name}": value for name, value in summary(lists, tracks=tracks).items()}
        metrics |= {f"{model}.macro_{name}": value for name, value in _macro(lists, known=known).items()}
        with_heard = summary(everything[model], tracks=tracks)
        metrics |= {f"{model}.with_heard_{name}": value for name, value in with_heard.items()}
    return metrics


def _macro(lists: Lists, *, known: Interactions) -> dict[str, float]:
    """Return the means over parts; nothing where no test listener has a home."""
    homes = known.homes[lists.listeners]
    parts = [summary(lists.of(homes == part), tracks=known.shape[1]) for part in np.unique(homes[homes >= 0])]
    return {name: float(np.mean([part[name] for part in parts])) for name in METRICS if parts}


def _by_part(unheard: Mapping[str, Lists], *, known: Interactions, served: Blend, at_least: int) -> pl.DataFrame:
    homes = known.homes[unheard["blend"].listeners]
    tested = np.bincount(homes[homes >= 0], minlength=len(known.parts))
    rows = [
        _facts(part, known=known, served=served)
        | {"test_listeners": int(tested[part])}
        | {
            f"{model}.{name}": value
            for model, lists in unheard.items()
            for name, value in summary(lists.of(homes == part), tracks=known.shape[1]).items()
        }
        for part in np.flatnonzero(tested >= at_least).tolist()
    ]
    return pl.DataFrame(rows, schema=_BY_PART)


def _facts(part: int, *, known: Interactions, served: Blend) -> dict[str, str | int | float | bool]:
    rows = known.rows_of(part)
    own_weight = float(served.weights[part, FEATURES.index("own")])
    return {
        "part": known.parts[part],
        "listeners": len(rows),
        "train_rows": int(known.confidence[rows].nnz),
        "own_model": part in served.regional.tracks,
        "gate_open": own_weight != 0,
        "own_weight": own_weight,
    }


def _sizes(known: Interactions, *, served: Blend, tested: int) -> dict[str, int]:
    return {
        "listeners": known.shape[0],
        "tracks": known.shape[1],
        "parts": len(known.parts),
        "own_models": len(served.regional.tracks),
        "open_gates": int((served.weights[:, FEATURES.index("own")] != 0).sum()),
        "test_listeners": tested,
    }


def _nothing(note: str) -> Evaluation:
    return Evaluation({}, pl.DataFrame(schema=_BY_PART), {}, {}, {}, note)


@contextmanager
def _timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


_BY_PART = {
    "part": pl.String,
    "listeners": pl.Int64,
    "test_listeners": pl.Int64,
    "train_rows": pl.Int64,
    "own_model": pl.Boolean,
    "gate_open": pl.Boolean,
    "own_weight": pl.Float64,
    **{f"{model}.{metric}": pl.Float64 for model in MODELS for metric in METRICS},
}
