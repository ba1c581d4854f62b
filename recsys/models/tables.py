"""The numbers of ranked lists: overall, by region and by history, under keys that are the same in every run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recsys.models import portrait
from recsys.models.bootstrap import Difference, paired
from recsys.models.interactions import IntArray, Interactions
from recsys.models.metrics import CUTS, Lists, Values, average_precision, ndcg, recall, reciprocal_rank
from recsys.models.portrait import THIRDS, Background

MODELS = (
    "popular_world",
    "popular_region",
    "recent_region",
    "neighbours",
    "ease",
    "global",
    "local",
    "regional",
    "blend",
)
SERVED = "blend"
METRICS = (*(f"ndcg_at_{at}" for at in CUTS), *(f"recall_at_{at}" for at in CUTS), "map", "mrr")
PORTRAIT = (
    "novelty",
    "coverage",
    "gini",
    *(f"popularity_lift_{third}" for third in THIRDS),
    "overlap",
    "local_share",
    "stability",
)
SHORT = ("ndcg_at_10", "recall_at_20")  # in tables, of the worst regions, and with heard tracks
HISTORIES = ("0", "1-5", "6-20", "more")
_FIRST_OF_HISTORY = (1, 6, 21)  # past listens from which on a listener is in the next bucket


@dataclass(frozen=True)
class Ranked:
    """The lists of one model.

    Parameters
    ----------
    unheard : Lists
        Without what a listener heard before, in list and truth.
    everything : Lists
        With it.
    cold : Lists, optional
        Of listeners without a history; None where the model has none for them.
    """

    unheard: Lists
    everything: Lists
    cold: Lists | None


@dataclass(frozen=True)
class Tested:
    """The n listeners whose lists are measured.

    Parameters
    ----------
    row : numpy.ndarray
        (n,) their positions among all listeners of the evaluated contributions, whatever the settings.
    home : numpy.ndarray
        (n,) positions in ``known.parts``; -1 where unknown.
    history : numpy.ndarray
        (n,) positions in ``HISTORIES``.
    known : Interactions
    background : Background
    at_least : int
        Test listeners of a part that is shown by itself.
    """

    row: IntArray = field(repr=False)
    home: IntArray = field(repr=False)
    history: IntArray = field(repr=False)
    known: Interactions = field(repr=False)
    background: Background = field(repr=False)
    at_least: int

    @property
    def in_part(self) -> IntArray:
        """Test listeners of each part."""
        return np.bincount(self.home[self.home >= 0], minlength=len(self.known.parts))


def metric_keys() -> tuple[str, ...]:
    """Return the keys of every run's metrics, in order: ``MODEL.METRIC``, and ``blend_minus.MODEL.METRIC``."""
    names = (
        *(kind + metric for kind in ("", "macro_") for metric in METRICS),
        *(kind + metric for kind in ("worst_", "with_heard_") for metric in SHORT),
        *PORTRAIT,
    )
    ends = ("", "_low", "_high", "_relative")
    differences = [f"{kind}ndcg_at_10{end}" for kind in ("", "macro_") for end in ends]
    return (
        *(f"{model}.{name}" for model in MODELS for name in names),
        *(f"{SERVED}_minus.{model}.{name}" for model in MODELS if model != SERVED for name in differences),
        "history.local_share",
    )


def history_of(listens: IntArray) -> IntArray:
    """Return the position in ``HISTORIES`` of each number of past listens."""
    return np.searchsorted(_FIRST_OF_HISTORY, listens, side="right")


def measured(ranked: Mapping[str, Ranked], tested: Tested) -> dict[str, float]:
    """Return all metrics by key; what cannot be measured is NaN, so that every run has the same keys."""
    found = dict.fromkeys(metric_keys(), float("nan"))
    for model, lists in ranked.items():
        found |= {f"{model}.{name}": value for name, value in _metrics(lists, tested).items()}
    of_all = next(iter(ranked.values())).unheard.listeners
    return found | {"history.local_share": portrait.local_share_played(of_all, tested.background)}


def by_part(ranked: Mapping[str, Ranked], tested: Tested, *, facts: pl.DataFrame) -> pl.DataFrame:
    """Return a row of facts and metrics for each part with enough test listeners; NaN where there is no such model."""
    columns: dict[str, object] = {
        "part": pl.Series(tested.known.parts, dtype=pl.String),
        "test_listeners": tested.in_part,
    }
    for model in MODELS:
        for metric, values in _short(ranked.get(model)).items():
            columns[f"{model}.{metric}"] = _means(values, tested.home, len(tested.known.parts))
    table = pl.DataFrame(columns).join(facts, on="part", how="left", maintain_order="left")
    return table.filter(pl.col("test_listeners") >= tested.at_least).select(
        pl.col(name).cast(kind) for name, kind in PART_SCHEMA.items()
    )


def by_history(ranked: Mapping[str, Ranked], tested: Tested) -> pl.DataFrame:
    """Return a row per model and number of past listens; NaN where a model has no list, or nobody listened so much."""
    rows = []
    for model in MODELS:
        lists = ranked.get(model)
        warm = {name: _means(values, tested.history, len(HISTORIES)) for name, values in _short(lists).items()}
        cold = {name: _mean(values) for name, values in _short_of(lists.cold if lists else None).items()}
        numbers = np.bincount(tested.history, minlength=len(HISTORIES))
        numbers[0] = 0 if lists is None or lists.cold is None else len(lists.cold.listeners)
        for position, history in enumerate(HISTORIES):
            means = {name: float(warm[name][position]) if position else cold[name] for name in SHORT}
            rows.append({"model": model, "history": history, "test_listeners": int(numbers[position]), **means})
    return pl.DataFrame(rows, schema=HISTORY_SCHEMA)


def by_listener(ranked: Mapping[str, Ranked], tested: Tested) -> pl.DataFrame:
    """Return a row per test listener, without an id: place in the order of all, region, history, NDCG of each model."""
    parts, histories = (*tested.known.parts, None), HISTORIES
    columns = {
        "row": tested.row,
        "part": [parts[home] for home in tested.home],
        "history": [histories[position] for position in tested.history],
    }
    gains = {model: _short(ranked.get(model))["ndcg_at_10"] for model in MODELS}
    none = np.full(len(tested.row), np.nan)
    return pl.DataFrame({**columns, **{m: g if len(g) else none for m, g in gains.items()}}, schema=LISTENER_SCHEMA)


def compare(listeners: pl.DataFrame) -> pl.DataFrame:
    """Return how much better the served model is than each other, over listeners and over regions, with intervals.

    Parameters
    ----------
    listeners : polars.DataFrame
        Of :func:`by_listener`.

    Returns
    -------
    polars.DataFrame
        ``against, over ("listeners" or "regions"), difference, low, high, relative`` of NDCG at 10.
    """
    others = [model for model in MODELS if model != SERVED and not listeners[model].is_nan().all()]
    at_home = listeners.drop_nulls("part")
    rows = []
    for over, frame in (("listeners", listeners), ("regions", at_home)):
        gains = frame.select(others).to_numpy()
        strata = frame["part"].rank("dense").cast(pl.Int64).to_numpy() - 1 if over == "regions" else None
        found = paired(frame[SERVED].to_numpy()[:, None] - gains, strata)
        means = [_over(column, strata) for column in gains.T]
        rows += [_row(*row, over=over) for row in zip(others, found, means, strict=True)]
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA)


def flat(comparisons: pl.DataFrame) -> dict[str, float]:
    """Return the comparisons as metrics by key."""
    found: dict[str, float] = {}
    for row in comparisons.iter_rows(named=True):
        key = f"{SERVED}_minus.{row['against']}.{'macro_' if row['over'] == 'regions' else ''}ndcg_at_10"
        found |= {key: row["difference"], **{f"{key}_{end}": row[end] for end in ("low", "high", "relative")}}
    return found


def values_of(lists: Lists) -> dict[str, Values]:
    """Return (n,) values of every metric for each listener."""
    kinds = (("ndcg", ndcg), ("recall", recall))
    cuts = {f"{name}_at_{at}": metric(lists, at=at) for name, metric in kinds for at in CUTS}
    return {**cuts, "map": average_precision(lists), "mrr": reciprocal_rank(lists)}


def _metrics(lists: Ranked, tested: Tested) -> dict[str, float]:
    values, parts = values_of(lists.unheard), len(tested.known.parts)
    found = {name: _mean(value) for name, value in values.items()}
    by_home = {name: _means(value, tested.home, parts) for name, value in values.items()}
    found |= {f"macro_{name}": _mean(means[tested.in_part > 0]) for name, means in by_home.items()}
    shown = tested.in_part >= tested.at_least
    found |= {f"worst_{name}": _worst_tenth(by_home[name][shown]) for name in SHORT}
    found |= {f"with_heard_{name}": _mean(value) for name, value in _short_of(lists.everything).items()}
    return found | _portrait(lists.unheard, tested)


def _portrait(lists: Lists, tested: Tested) -> dict[str, float]:
    tracks, background = tested.known.shape[1], tested.background
    lift = portrait.popularity_lift(lists, background)
    return {
        "novelty": _mean(portrait.novelty(lists, background)),
        "coverage": portrait.coverage(lists, tracks=tracks),
        "gini": portrait.gini(lists, tracks=tracks),
        **{f"popularity_lift_{third}": value for third, value in lift.items()},
        "overlap": portrait.overlap(lists, tested.home, tracks=tracks, at_least=tested.at_least),
        "local_share": portrait.local_share_listed(lists, background),
    }


def _short(lists: Ranked | None) -> dict[str, Values]:
    return _short_of(lists.unheard if lists else None)


def _short_of(lists: Lists | None) -> dict[str, Values]:
    if lists is None:
        return dict.fromkeys(SHORT, np.array([]))
    return {"ndcg_at_10": ndcg(lists, at=10), "recall_at_20": recall(lists, at=20)}


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _means(values: Values, group: IntArray, groups: int) -> Values:
    """Return (groups,) means; NaN where there is nobody, or no value at all."""
    there = group[: len(values)] >= 0
    sums = np.bincount(group[: len(values)][there], weights=values[there], minlength=groups)
    numbers = np.bincount(group[: len(values)][there], minlength=groups)
    return np.asarray(np.divide(sums, numbers, out=np.full(groups, np.nan), where=numbers > 0))


def _worst_tenth(values: Values) -> float:
    return _mean(np.sort(values)[: -(-len(values) // 10)])


def _over(gains: Values, strata: IntArray | None) -> float:
    """Return the mean over listeners, or that of the regions' means."""
    means = gains if strata is None else _means(gains, strata, int(strata.max(initial=-1)) + 1)
    return _mean(means)


def _row(model: str, found: Difference, mean: float, *, over: str) -> dict[str, object]:
    relative = found.mean / mean if mean else float("nan")
    return {
        "against": model,
        "over": over,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "relative": relative,
    }


PART_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "part": pl.String,
    "parent": pl.String,
    "listeners": pl.Int64,
    "test_listeners": pl.Int64,
    "train_rows": pl.Int64,
    "own_model": pl.Boolean,
    "gate_open": pl.Boolean,
    "own_weight": pl.Float64,
    "gate_gain": pl.Float64,
    **{f"{model}.{metric}": pl.Float64 for model in MODELS for metric in SHORT},
}
HISTORY_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "model": pl.String,
    "history": pl.String,
    "test_listeners": pl.Int64,
    **dict.fromkeys(SHORT, pl.Float64),
}
LISTENER_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "row": pl.Int64,
    "part": pl.String,
    "history": pl.String,
    **dict.fromkeys(MODELS, pl.Float64),
}
COMPARISON_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "against": pl.String,
    "over": pl.String,
    **dict.fromkeys(("difference", "low", "high", "relative"), pl.Float64),
}
CURVE_SCHEMA: Mapping[str, type[pl.DataType]] = {"model": pl.String, "step": pl.Int64, "loss": pl.Float64}
