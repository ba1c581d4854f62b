"""The tables of an evaluation: overall, by region and by history, under keys that are the same in every run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recsys.models.collaborative import HOME_SCHEMA, LEARNED_SCHEMA
from recsys.models.evaluation import beyond_accuracy
from recsys.models.evaluation.beyond_accuracy import THIRDS, Background
from recsys.models.evaluation.disclosure import may_be_told
from recsys.models.evaluation.intervals import Difference, by_stratum, paired, sure
from recsys.models.interactions import IntArray, Interactions
from recsys.models.metrics import CUTS, BoolArray, Lists, Values, average_precision, ndcg, recall, reciprocal_rank
from recsys.schemas import Figures

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
BEYOND_ACCURACY = (
    "novelty",
    "coverage",
    "gini",
    *(f"popularity_lift_{third}" for third in THIRDS),
    "overlap",
    "local_share",
    "stability",
)
SHORT = ("ndcg_at_10", "recall_at_20")  # in tables, in comparisons, and of the worst regions
KINDS = ("", "with_heard_")  # of lists: what a listener heard before is taken out of list and truth, or stays in both
METRICS_OF_MODELS = tuple(
    f"{kind}{name}"
    for kind in KINDS
    for name in (
        *METRICS,
        *(f"macro_{name}" for name in METRICS),
        *(f"worst_{name}" for name in SHORT),
        *BEYOND_ACCURACY,
        *(f"worst_{name}_by_chance" for name in SHORT),
    )
)
RIVALS = ("global", "local")  # what a region would be served without what we add: the world's model, or its own alone
HISTORIES = ("0", "1-5", "6-20", "21-60", "61-150", "more")  # five classes of those who are known, and strangers
_FIRST_OF_HISTORY = (1, 6, 21, 61, 151)  # past listens from which on a listener is in the next bucket


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

    @property
    def kinds(self) -> Mapping[str, Lists]:
        """The lists of listeners with a history by ``KINDS``."""
        return dict(zip(KINDS, (self.unheard, self.everything), strict=True))


@dataclass(frozen=True)
class Tested:
    """The n known listeners, some of whom are asked for.

    Parameters
    ----------
    home : numpy.ndarray
        (n,) positions in ``known.parts``; -1 where unknown.
    history : numpy.ndarray
        (n,) positions in ``HISTORIES``.
    known : Interactions
    background : Background
    at_least : int
        Listeners behind everything that is told of a part, a history or all: no figure is of fewer.
    """

    home: IntArray = field(repr=False)
    history: IntArray = field(repr=False)
    known: Interactions = field(repr=False)
    background: Background = field(repr=False)
    at_least: int

    def in_part(self, lists: Lists) -> IntArray:
        """Return (p,) how many of the listed are at home in each part."""
        home = self.home[lists.listeners]
        return np.bincount(home[home >= 0], minlength=len(self.known.parts))

    def tells_parts(self, ranked: Mapping[str, Ranked]) -> BoolArray:
        """Return (p,) which parts have a line of their own, by listeners who are known, and asked in either way."""
        served = ranked[SERVED].kinds.values()
        counts = np.column_stack([self.known.residents(), *(self.in_part(lists) for lists in served)])
        totals = np.array([self.known.shape[0], *(len(lists.listeners) for lists in served)])
        return may_be_told(counts, totals, at_least=self.at_least)

    def tells_histories(self, ranked: Mapping[str, Ranked]) -> BoolArray:
        """Return for each of ``HISTORIES`` whether it has a line of its own; strangers are no part of any total."""
        served, buckets = ranked[SERVED].kinds.values(), len(HISTORIES)
        counts = [np.bincount(self.history[lists.listeners], minlength=buckets)[1:] for lists in served]
        totals = np.array([len(lists.listeners) for lists in served])
        strangers = max(len(lists.cold.listeners) if lists.cold else 0 for lists in ranked.values())
        warm = may_be_told(np.column_stack(counts), totals, at_least=self.at_least)
        return np.concatenate([[strangers >= self.at_least], warm])

    def by_part(self, values: Values, lists: Lists) -> Values:
        """Return (p,) the mean of the listed who are at home in each part; NaN where there is nobody."""
        return _means(values, self.home[lists.listeners], len(self.known.parts))


def metric_keys() -> tuple[str, ...]:
    """Return the keys of every run's metrics, in order: those of models, of comparisons, and of regions."""
    ends = ("", "_low", "_high", "_relative")
    compared = [
        f"{kind}{over}{name}{end}" for kind in KINDS for over in _OVER.values() for name in SHORT for end in ends
    ]
    return (
        *(f"{model}.{name}" for model in MODELS for name in METRICS_OF_MODELS),
        *(f"{_minus(model)}.{name}" for model in MODELS if model != SERVED for name in compared),
        "history.local_share",
        "regions.compared",
        *(f"regions.{how}_below_{model}" for model in (*RIVALS, "either") for how in ("surely", "one_percent")),
    )


def history_of(listens: IntArray) -> IntArray:
    """Return the position in ``HISTORIES`` of each number of past listens."""
    return np.searchsorted(_FIRST_OF_HISTORY, listens, side="right")


def measured(ranked: Mapping[str, Ranked], tested: Tested) -> dict[str, float]:
    """Return all metrics by key; what cannot be measured is NaN, so that every run has the same keys."""
    found, told = dict.fromkeys(metric_keys(), float("nan")), tested.tells_parts(ranked)
    for model, lists in ranked.items():
        for kind, some in lists.kinds.items():
            found |= {f"{model}.{kind}{name}": value for name, value in _metrics(some, tested, told).items()}
    of_all = next(iter(ranked.values())).unheard.listeners
    return found | {"history.local_share": beyond_accuracy.local_share_played(of_all, tested.background)}


def by_part(ranked: Mapping[str, Ranked], tested: Tested, *, facts: pl.DataFrame) -> pl.DataFrame:
    """Return a row of facts and metrics for each part with enough listeners; NaN where there is no such model.

    Where the parts without a row had too few listeners together, the smallest with enough have none either.
    ``blend_minus.MODEL.ndcg_at_10`` with its ``_low`` and ``_high`` is what the part's listeners gain over each rival.
    """
    parts = tested.known.parts
    columns: dict[str, object] = {
        "part": pl.Series(parts, dtype=pl.String),
        "test_listeners": tested.in_part(ranked[SERVED].unheard),
        **{f"{model}.{name}": np.full(len(parts), np.nan) for model in MODELS for name in _SHORT_OF_KINDS},
    }
    for model, lists in ranked.items():
        for kind, some in lists.kinds.items():
            columns |= {f"{model}.{kind}{name}": tested.by_part(v, some) for name, v in _short(some).items()}
    table = pl.DataFrame({**columns, **_gains(ranked, tested)}).join(
        facts, on="part", how="left", maintain_order="left"
    )
    return table.filter(pl.Series(tested.tells_parts(ranked))).select(
        pl.col(name).cast(kind) for name, kind in PART_SCHEMA.items()
    )


def below(by_part: pl.DataFrame) -> dict[str, float]:
    """Return how many regions are served worse than by a rival: surely, and by more than 1 % as measured.

    Surely: so far below that of all regions called so, one in twenty is by chance (:func:`~.intervals.sure`).

    Parameters
    ----------
    by_part : polars.DataFrame
        Of :func:`by_part`.
    """
    served = pl.col(f"{SERVED}.ndcg_at_10")
    told = {
        "surely": [_surely_below(by_part, f"{_minus(model)}.ndcg_at_10") for model in RIVALS],
        "one_percent": [served - 0.99 * pl.col(f"{model}.ndcg_at_10") < 0 for model in RIVALS],
    }
    found = {"regions.compared": float(by_part.height)}
    for how, against in told.items():
        for name, holds in zip((*RIVALS, "either"), (*against, pl.any_horizontal(against)), strict=True):
            found[f"regions.{how}_below_{name}"] = float(by_part.filter(holds).height)
    return found


def _surely_below(by_part: pl.DataFrame, gain: str) -> pl.Expr:
    return pl.lit(pl.Series(sure(by_part[f"{gain}_chance"].to_list()))) & (pl.col(gain) < 0)


def by_history(ranked: Mapping[str, Ranked], tested: Tested) -> pl.DataFrame:
    """Return a row per model and number of past listens; NaN and no number where there is no list, or too few are."""
    rows, told = [], tested.tells_histories(ranked)
    for model in MODELS:
        lists = ranked.get(model)
        for position, history in enumerate(HISTORIES):
            some = _with_history(lists, tested, position) if lists and told[position] else {}
            means = {f"{kind}{name}": _mean(v) for kind, one in some.items() for name, v in _short(one).items()}
            number = len(some[""].listeners) if some else None
            rows.append(
                {"model": model, "history": history, "test_listeners": number}
                | {name: means.get(name, float("nan")) for name in _SHORT_OF_KINDS}
            )
    return pl.DataFrame(rows, schema=HISTORY_SCHEMA)


def by_listener(ranked: Mapping[str, Ranked], tested: Tested) -> pl.DataFrame:
    """Return a row per test listener, for the private store alone: schema :class:`recsys.schemas.Figures`."""
    asked = ranked[SERVED].unheard.listeners
    parts = (*tested.known.parts, None)
    columns = {
        "listener": tested.known.listeners.gather(asked),
        "part": [parts[home] for home in tested.home[asked]],
        "history": [HISTORIES[position] for position in tested.history[asked]],
    }
    none = np.full(len(asked), np.nan)
    gains = {model: ndcg(ranked[model].unheard, at=10) if model in ranked else none for model in MODELS}
    draws = gains[SERVED][:, None].tolist()
    return pl.DataFrame({**columns, **gains, "draws": draws}, schema=LISTENER_SCHEMA)


def compare(ranked: Mapping[str, Ranked], tested: Tested) -> pl.DataFrame:
    """Return how much better the served model is than each other, with intervals.

    Returns
    -------
    polars.DataFrame
        ``against, heard ("removed", "kept"), metric, over, difference, low, high, relative``. Over is ``listeners``,
        ``regions`` (the mean over regions of the means over their listeners), or ``history.BUCKET``, the listeners of
        so many past listens, where they are enough; those of none are the same whether what was heard is kept or not.
    """
    rows = [
        {"heard": heard, **row}
        for heard, kind in zip(_HEARD, KINDS, strict=True)
        for over, lists in _compared(ranked, tested, kind).items()
        for row in _differences(lists, tested, over=over)
    ]
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA)


def flat(comparisons: pl.DataFrame) -> dict[str, float]:
    """Return the comparisons over listeners and over regions as metrics by key."""
    found: dict[str, float] = {}
    kinds = dict(zip(_HEARD, KINDS, strict=True))
    for row in comparisons.filter(pl.col("over").is_in(list(_OVER))).iter_rows(named=True):
        key = f"{_minus(row['against'])}.{kinds[row['heard']]}{_OVER[row['over']]}{row['metric']}"
        found |= {key: row["difference"], **{f"{key}_{end}": row[end] for end in ("low", "high", "relative")}}
    return found


def worst_by_chance(values: Values, home: IntArray, *, told: BoolArray) -> float:
    """Return what the worst tenth of regions would have if only chance made them differ.

    The mean over some deals of the same listeners, of the regions that are told of, among regions as large as now.

    Parameters
    ----------
    values : numpy.ndarray
        (n,) of each listener.
    home : numpy.ndarray
        (n,) numbers of regions; -1 where unknown.
    told : numpy.ndarray
        (p,) bool, of each region.
    """
    there = np.flatnonzero(np.isin(home, np.flatnonzero(told)))
    rng = np.random.default_rng(_SEED)
    deals = (_means(values[there], rng.permutation(home[there]), len(told))[told] for _ in range(_DEALS))
    return _mean(np.array([_worst_tenth(means) for means in deals]))


def values_of(lists: Lists) -> dict[str, Values]:
    """Return (n,) values of every metric for each listener."""
    kinds = (("ndcg", ndcg), ("recall", recall))
    cuts = {f"{name}_at_{at}": metric(lists, at=at) for name, metric in kinds for at in CUTS}
    return {**cuts, "map": average_precision(lists), "mrr": reciprocal_rank(lists)}


def _minus(model: str) -> str:
    return f"{SERVED}_minus.{model}"


def _metrics(lists: Lists, tested: Tested, told: BoolArray) -> dict[str, float]:
    values, residents = values_of(lists), tested.in_part(lists)
    by_home = {name: tested.by_part(value, lists) for name, value in values.items()}
    asked, home = (residents > 0) & (residents.sum() >= tested.at_least), tested.home[lists.listeners]
    return {
        **{name: _mean(value) for name, value in values.items()},
        **{f"macro_{name}": _mean(means[asked]) for name, means in by_home.items()},
        **{f"worst_{name}": _worst_tenth(by_home[name][told]) for name in SHORT},
        **{f"worst_{name}_by_chance": worst_by_chance(values[name], home, told=told) for name in SHORT},
        **_beyond_accuracy(lists, tested),
    }


def _beyond_accuracy(lists: Lists, tested: Tested) -> dict[str, float]:
    tracks, background = tested.known.shape[1], tested.background
    lift = beyond_accuracy.popularity_lift(lists, background)
    return {
        "novelty": _mean(beyond_accuracy.novelty(lists, background)),
        "coverage": beyond_accuracy.coverage(lists, tracks=tracks),
        "gini": beyond_accuracy.gini(lists, tracks=tracks),
        **{f"popularity_lift_{third}": value for third, value in lift.items()},
        "overlap": beyond_accuracy.overlap(
            lists, tested.home[lists.listeners], tracks=tracks, at_least=tested.at_least
        ),
        "local_share": beyond_accuracy.local_share_listed(lists, background),
    }


def _short(lists: Lists) -> dict[str, Values]:
    return {"ndcg_at_10": ndcg(lists, at=10), "recall_at_20": recall(lists, at=20)}


def _with_history(lists: Ranked, tested: Tested, position: int) -> dict[str, Lists]:
    """Return by kind the lists of listeners in one of ``HISTORIES``; nothing where a model has none for strangers."""
    if position:
        return {kind: some.of(tested.history[some.listeners] == position) for kind, some in lists.kinds.items()}
    return dict.fromkeys(KINDS, lists.cold) if lists.cold else {}


def _compared(ranked: Mapping[str, Ranked], tested: Tested, kind: str) -> dict[str, dict[str, Lists]]:
    """Return the lists to compare by what they are compared over, then by model."""
    everybody = {model: lists.kinds[kind] for model, lists in ranked.items()}
    at_home = {model: some.of(tested.home[some.listeners] >= 0) for model, some in everybody.items()}
    found = {"listeners": everybody}
    if len(at_home[SERVED].listeners) >= tested.at_least:
        found["regions"] = at_home
    for position in np.flatnonzero(tested.tells_histories(ranked)):
        split = {model: _with_history(lists, tested, int(position)) for model, lists in ranked.items()}
        some = {model: lists[kind] for model, lists in split.items() if lists}
        if SERVED in some:
            found[f"history.{HISTORIES[position]}"] = some
    return found


def _differences(lists: Mapping[str, Lists], tested: Tested, *, over: str) -> Iterator[dict[str, object]]:
    """Yield a row for each other model and metric, of the same listeners."""
    served = lists[SERVED]
    strata = tested.home[served.listeners] if over == "regions" else None
    pairs = [(model, metric) for metric in SHORT for model in lists if model != SERVED]
    values = {model: _short(some) for model, some in lists.items()}
    gains = [values[SERVED][metric] - values[model][metric] for model, metric in pairs]
    found = paired(np.column_stack(gains) if gains else np.zeros((len(served.listeners), 0)), strata)
    for (model, metric), difference in zip(pairs, found, strict=True):
        mean = _over(values[model][metric], strata)
        told = {"against": model, "metric": metric, "over": over}
        yield told | _row(difference, mean)


def _gains(ranked: Mapping[str, Ranked], tested: Tested) -> dict[str, Values]:
    """Return (p,) what each part with enough listeners gains over each rival, with 95 % intervals and chances."""
    lists = ranked[SERVED].unheard
    home, enough = tested.home[lists.listeners], np.flatnonzero(tested.in_part(lists) >= tested.at_least)
    found = {f"{_minus(model)}.ndcg_at_10{end}": np.full(len(tested.known.parts), np.nan) for model, end in _ENDS}
    asked = np.isin(home, enough)
    for model in (model for model in RIVALS if model in ranked):
        gains = ndcg(lists, at=10) - ndcg(ranked[model].unheard, at=10)
        each = by_stratum(gains[asked], home[asked])
        for end, name in _END_OF.items():
            found[f"{_minus(model)}.ndcg_at_10{end}"][enough] = [getattr(gain, name) for gain in each]
    return found


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _means(values: Values, group: IntArray, groups: int) -> Values:
    """Return (groups,) means; NaN where there is nobody."""
    there = group >= 0
    sums = np.bincount(group[there], weights=values[there], minlength=groups)
    numbers = np.bincount(group[there], minlength=groups)
    return np.asarray(np.divide(sums, numbers, out=np.full(groups, np.nan), where=numbers > 0))


def _worst_tenth(values: Values) -> float:
    return _mean(np.sort(values)[: -(-len(values) // 10)])


def _over(values: Values, strata: IntArray | None) -> float:
    """Return the mean over listeners, or that of the means of the regions that have any."""
    if strata is None:
        return _mean(values)
    means = _means(values, strata, int(strata.max(initial=-1)) + 1)
    return _mean(means[~np.isnan(means)])


def _row(found: Difference, mean: float) -> dict[str, object]:
    relative = found.mean / mean if mean else float("nan")
    return {"difference": found.mean, "low": found.low, "high": found.high, "relative": relative}


_HEARD = ("removed", "kept")  # what the kinds of lists are called in a table
_OVER = {"listeners": "", "regions": "macro_"}  # comparisons that are metrics, too, and what their keys begin with
_END_OF = {"": "mean", "_low": "low", "_high": "high", "_chance": "chance"}
_ENDS = [(model, end) for model in RIVALS for end in _END_OF]
_DEALS, _SEED = 20, 1979  # the same in every run, so that two on the same values say the same
_SHORT_OF_KINDS = tuple(f"{kind}{name}" for kind in KINDS for name in SHORT)

PART_SCHEMA: Mapping[str, type[pl.DataType]] = {
    **HOME_SCHEMA,
    "test_listeners": pl.Int64,
    **LEARNED_SCHEMA,
    **{f"{model}.{name}": pl.Float64 for model in MODELS for name in _SHORT_OF_KINDS},
    **{f"{_minus(model)}.ndcg_at_10{end}": pl.Float64 for model, end in _ENDS},
}
HISTORY_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "model": pl.String,
    "history": pl.String,
    "test_listeners": pl.Int64,
    **dict.fromkeys(_SHORT_OF_KINDS, pl.Float64),
}
LISTENER_SCHEMA: Mapping[str, pl.DataType] = {name: column.dtype for name, column in Figures.columns().items()}
COMPARISON_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "against": pl.String,
    "heard": pl.String,
    "metric": pl.String,
    "over": pl.String,
    **dict.fromkeys(("difference", "low", "high", "relative"), pl.Float64),
}
