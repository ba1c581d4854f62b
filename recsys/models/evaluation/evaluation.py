"""The evaluation: models learn from the nights before, and are asked for the nights after."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import numpy as np
import polars as pl
from scipy import sparse
from threadpoolctl import threadpool_limits

from recsys.models.blending import TREE_FEATURES, Blend
from recsys.models.cold_start import rank_cold, strangers
from recsys.models.collaborative import CURVE_SCHEMA, FEATURES, STEPS, Trained, learn_and_train
from recsys.models.evaluation import draws, report_tables
from recsys.models.evaluation.baselines import fit_baselines
from recsys.models.evaluation.beyond_accuracy import Background
from recsys.models.evaluation.by_country import SCHEMA as COUNTRY_SCHEMA
from recsys.models.evaluation.by_country import by_country
from recsys.models.evaluation.by_popularity import SCHEMA, by_popularity
from recsys.models.evaluation.report_tables import MODELS, SERVED, Ranked, Tested
from recsys.models.fit_blend import pool_of
from recsys.models.interactions import heard_later, nights, trained, vocabulary
from recsys.models.metrics import Model, rank_both, without
from recsys.models.splitting import RANDOM, Kind, Split, nights_needed, split_rows
from recsys.processes import mapping
from recsys.settings import ModelsSettings

SIZES = (
    "listeners",
    "learners",
    "tracks",
    "parts",
    "own_models",
    "open_gates",
    "test_listeners",
    "cold_test_listeners",
    "test_rows",
    "test_outside",
)
_JUDGES = 500  # listeners at most, by whom the features of the learned order are judged
SECONDS = ("train", "baselines", "rank", "measure", "other_draws")
_OVER = dict(zip((*STEPS, "baselines", "rank", "measure"), (0.0, 0.11, 0.51, 0.78, 0.79, 0.95), strict=True))
"""Of a draw, when each part of it begins (on the sample world, 2026-11-30)."""

_NEARLY = 0.95

Told = Callable[[str, float], None]
"""Is told which part of the work begins, and which share of the whole is over."""


def _nobody(_: str, __: float) -> None:
    """Be told, and tell nobody."""


@dataclass(frozen=True)
class Evaluation:
    """What the models are worth on the test nights. But for ``listeners``, no number is of few, and none has an id.

    Parameters
    ----------
    metrics : mapping of str to float
        By the keys of :func:`~.report_tables.metric_keys`: ``MODEL.METRIC`` over all test listeners,
        ``MODEL.macro_METRIC``, the mean over regions, ``MODEL.worst_METRIC``, that over the worst tenth of regions,
        with tracks that a listener heard before taken out of lists and truth; ``MODEL.with_heard_...``, all the same
        with them left in. ``blend_minus.MODEL.METRIC`` and its ``_low``, ``_high`` and ``_relative`` compare, and
        ``regions.`` counts regions that are served worse; see :func:`~.report_tables.below`. NaN for what
        could not be measured; empty when nothing could.
    by_part : polars.DataFrame
        One row per part with enough listeners: ``part``, the facts of its models, and ``MODEL.METRIC``.
    by_history : polars.DataFrame
        One row per model and number of past listens. Those of 0 are no part of any other number: they are ranked by
        what they would get on their first day, and most models have nothing for them.
    comparisons : polars.DataFrame
        See :func:`~recsys.models.evaluation.report_tables.compare`.
    listeners : polars.DataFrame
        Schema :class:`~recsys.schemas.Figures`, one row a test listener, by which two runs on the same data are
        compared in pairs: for the private store, and for nothing that is logged.
    facts : polars.DataFrame
        One row per part, however small; see :class:`~recsys.models.collaborative.Trained`.
    curve : polars.DataFrame
        ``model, step, loss`` of the training.
    weights : mapping of str to float
        What the blend learned, by feature.
    sizes : mapping of str to float
        By ``SIZES``: listeners, those of them that models learned from, tracks, parts, own models, open gates, test
        listeners, those without a history (NaN where these are too few); rows of the test nights, and those of them
        whose track is outside the vocabulary: no model can list it, so it is no part of the truth.
    seconds : mapping of str to float
        Wall time by ``SECONDS``: of training, ranking and measuring the first draw, and how long the others took after
        it, where they were drawn beside it.
    note : str
        Why nothing could be measured, or what to know about the numbers; mostly empty.
    trained : Trained, optional
        The models behind the numbers, for whoever goes on with them; never logged.
    importances : mapping of str to float
        How much NDCG at 10 the learned order loses without each of
        :data:`~recsys.models.blending.TREE_FEATURES`, by test listeners; empty where there is none.
    by_popularity : polars.DataFrame
        One row per model and fifth of what was played; see :func:`~.by_popularity.by_popularity`.
    by_country : polars.DataFrame
        The share of a country's own artists in what was played and in what is served; see
        :func:`~.by_country.by_country`.
    """

    metrics: Mapping[str, float] = field(repr=False)
    by_part: pl.DataFrame = field(repr=False)
    by_history: pl.DataFrame = field(repr=False)
    comparisons: pl.DataFrame = field(repr=False)
    listeners: pl.DataFrame = field(repr=False)
    facts: pl.DataFrame = field(repr=False)
    curve: pl.DataFrame = field(repr=False)
    weights: Mapping[str, float]
    sizes: Mapping[str, float]
    seconds: Mapping[str, float]
    note: str = ""
    trained: Trained | None = field(default=None, repr=False)
    importances: Mapping[str, float] = field(default_factory=dict)
    by_popularity: pl.DataFrame = field(default_factory=partial(pl.DataFrame, schema=SCHEMA), repr=False)
    by_country: pl.DataFrame = field(default_factory=partial(pl.DataFrame, schema=COUNTRY_SCHEMA), repr=False)

    @property
    def overlap(self) -> Mapping[str, float]:
        """How alike regions' lists are, by model."""
        return {model: self.metrics[f"{model}.overlap"] for model in MODELS if self.metrics}


def evaluate(
    contributions: pl.LazyFrame | pl.DataFrame,
    *,
    settings: ModelsSettings,
    parents: Mapping[str, str] | None = None,
    artists: Mapping[str, str] | None = None,
    origins: Mapping[str, str] | None = None,
    split: Kind = "temporal",
    times: int = 1,
    workers: int = 1,
    told: Told = _nobody,
) -> Evaluation:
    """Compare all models on the last nights.

    The blend is learned on the validation nights with models of the nights before; then all models are trained on
    everything before the test nights, and rank the whole vocabulary for every known listener who played a known track
    on the test nights.

    Parameters
    ----------
    contributions : polars.LazyFrame or polars.DataFrame
        Rows of :class:`~recsys.schemas.Contributions`, of which only ``trained`` ones count.
    settings : ModelsSettings
    parents : mapping of str to str, optional
        The country of every part.
    artists : mapping of str to str, optional
        The artist of every track: where nobody knows where any artist comes from, who is local is learned from
        listeners. Without both, shares of local artists are NaN.
    origins : mapping of str to str, optional
        The country that the artist of a track comes from.
    split : {"temporal", "random"}
        A random split warns and is noted: its numbers are too good.
    times : int
        How often to train and measure, each time by another luck (:mod:`~recsys.models.evaluation.draws`): figures are
        means over these draws, and with two or more there is the ``stability`` of lists.
    workers : int
        Processes for the draws but the first one; with 1 all is done in this one. It changes no figure.
    told : callable, optional
        Is called with a word for each part of the work when that begins, and which share of the whole is over.

    Raises
    ------
    NotReadyError
        If one of these processes is killed.
    """
    if split == "random":
        warnings.warn(RANDOM, UserWarning, stacklevel=2)
    rows = trained(contributions)
    cut = split_rows(rows, settings=settings, kind=split)
    if cut is None:
        found, needed = len(nights(rows)), nights_needed(settings)
        return _nothing(f"There are {found} nights to learn from and to test on, and {needed} are needed.")
    if vocabulary(cut.past, at_least=settings.min_listeners_per_track).is_empty():
        return _nothing(f"No track was played by {settings.min_listeners_per_track} listeners before the test nights.")
    with threadpool_limits(1, "blas"):  # bits of a product depend on the number of BLAS threads
        job = _Job(cut, settings, parents, artists, origins, note=RANDOM if split == "random" else "", told=told)
        return job.run(times=times, workers=workers)


@dataclass(frozen=True)
class _Job:
    """One evaluation, while it runs."""

    split: Split
    settings: ModelsSettings
    parents: Mapping[str, str] | None
    artists: Mapping[str, str] | None
    origins: Mapping[str, str] | None
    note: str
    told: Told = _nobody
    span: tuple[float, float] = (0.0, 1.0)  # which share of the whole is over when this begins, and when it ends
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, *, times: int, workers: int) -> Evaluation:
        """Draw the first one here, and the others side by side with it, or else one after another."""
        processes = min(workers, max(2, times - 1)) if times > 1 else 1  # beside this one, which draws, too
        over = 1 / times if processes == 1 else min(_NEARLY, (processes + 1) / times)
        with mapping(replace(self, told=_nobody).draw, workers=processes) as drawn:
            others = drawn(range(1, times)) if processes > 1 else self._one_by_one(times)
            first, ranked = replace(self, span=(0.0, over)).once()
            if not ranked or times < 2:
                return first
            with self._timed("other_draws"):
                beside = [other.beside(first, ranked) for other in self._waited_for(others, over=over, of=times)]
        return draws.averaged(first, beside)

    def _waited_for(self, others: "Iterable[_Drawn]", *, over: float, of: int) -> "Iterator[_Drawn]":
        """Yield the other draws, and tell how many of all there are."""
        for number, other in enumerate(others, 2):
            self.told("other_draws", max(over, number / of))
            yield other

    def _one_by_one(self, times: int) -> "Iterator[_Drawn]":
        spans = ((number / times, (number + 1) / times) for number in range(1, times))
        return (replace(self, span=span).draw(number) for number, span in enumerate(spans, 1))

    def draw(self, number: int) -> "_Drawn":
        """Return another draw; its models are let go, and of its lists those that do not depend on luck."""
        draw = draws.another(self.split, self.settings, number=number)
        found, lists = replace(self, split=draw.split, settings=draw.settings, seconds={}).once()
        own = replace(found, listeners=draw.under_own_names(found.listeners), trained=None)
        seeded = {model: lists[model] for model in draws.SEEDED if model in lists}
        return _Drawn(own, seeded, known=[draw.names[name] for name in _known(found)])

    def once(self) -> tuple[Evaluation, Mapping[str, Ranked]]:
        """Train, rank and measure; there are no lists where too few could be asked."""
        with self._timed("train"):
            nights = self.split.train, self.split.validation
            learned = learn_and_train(
                *nights, settings=self.settings, parents=self.parents, origins=self.origins, began=self._tell
            )
        if note := self._too_few(learned):
            return replace(_nothing(note), trained=learned), {}
        with self._timed("baselines"):
            models = {**fit_baselines(learned.known, settings=self.settings), **learned.models}
        with self._timed("rank"):
            ranked = self._ranked(learned, {name: models[name] for name in MODELS if name in models})
        with self._timed("measure"):
            return self._measured(learned, ranked), ranked

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        """Keep how long a part of the work takes, and tell that it begins."""
        if name in _OVER:
            self._tell(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def _tell(self, part: str) -> None:
        begin, end = self.span
        self.told(part, begin + _OVER[part] * (end - begin))

    def _too_few(self, learned: Trained) -> str:
        """Return why nothing is measured: nobody can be asked, or so few that every figure would be of them."""
        asked, needed = np.count_nonzero(np.diff(self._new(learned).indptr)), self.settings.min_listeners_in_table
        if asked >= needed:
            return ""
        who = f"Fewer than {needed} known listeners" if asked else "No known listener"
        return f"{who} played a known track for the first time on the test nights."

    def _new(self, learned: Trained) -> sparse.csr_array:
        """Return what known listeners played for the first time on the test nights."""
        return without(heard_later(self.split.test, known=learned.known), learned.known.confidence)

    def _ranked(self, learned: Trained, models: Mapping[str, Model]) -> dict[str, Ranked]:
        known, test = learned.known, self.split.test
        later = heard_later(test, known=known)
        cold = strangers(test, known=known, settings=self.settings)
        return {
            name: Ranked(*rank_both(model, later=later, heard=known.confidence), rank_cold(model, test, cold=cold))
            for name, model in models.items()
        }

    def _measured(self, learned: Trained, ranked: Mapping[str, Ranked]) -> Evaluation:
        tested = self._tested(learned)
        comparisons = report_tables.compare(ranked, tested)
        by_part = report_tables.by_part(ranked, tested, facts=learned.facts)
        return Evaluation(
            metrics=report_tables.measured(ranked, tested)
            | report_tables.flat(comparisons)
            | report_tables.below(by_part),
            by_part=by_part,
            by_history=report_tables.by_history(ranked, tested),
            comparisons=comparisons,
            listeners=report_tables.by_listener(ranked, tested),
            facts=learned.facts,
            curve=learned.curve,
            weights=dict(zip(FEATURES, learned.parameters.weights.tolist(), strict=True)),
            sizes=_sizes(learned, ranked[SERVED], self.split.test, at_least=tested.at_least),
            seconds=self.seconds,
            note=self.note,
            trained=learned,
            importances=self._importances(learned),
            by_popularity=by_popularity(ranked, new=self._new(learned), known=learned.known, at_least=tested.at_least),
            by_country=by_country(
                ranked[SERVED].unheard,
                tested.background.heard,
                local=tested.background.local,
                at_least=tested.at_least,
            ),
        )

    def _importances(self, learned: Trained) -> dict[str, float]:
        served = cast(Blend, learned.models[SERVED])
        if served.trees is None:
            return {}
        pool = pool_of(served, self._new(learned), at_most=_JUDGES)
        found = pool.importances(served.trees, seed=self.settings.seed)
        return dict(zip(TREE_FEATURES, found.tolist(), strict=True))

    def _tested(self, learned: Trained) -> Tested:
        known = learned.known
        return Tested(
            home=known.homes,
            history=report_tables.history_of(_listens(self.split.past, known.listeners)),
            known=known,
            background=Background.of(known, artists=self.artists),
            at_least=self.settings.min_listeners_in_table,
        )


@dataclass(frozen=True)
class _Drawn:
    """Another draw.

    Parameters
    ----------
    found : Evaluation
        With listeners under their own names.
    ranked : mapping of str to Ranked
        The lists that depend on its luck.
    known : list of str
        The own names of the listeners of these lists, by their rows.
    """

    found: Evaluation
    ranked: Mapping[str, Ranked] = field(repr=False)
    known: list[str] = field(repr=False)

    def beside(self, first: Evaluation, ranked: Mapping[str, Ranked]) -> Evaluation:
        """Return it with the stability of its lists beside those of the first."""
        place = {name: position for position, name in enumerate(_known(first))}
        there = np.array([place[name] for name in self.known], dtype=np.int64)
        stable = draws.stabilities(ranked, self.ranked, there=there)
        return replace(self.found, metrics={**self.found.metrics, **stable})


def _known(found: Evaluation) -> pl.Series:
    """Return the listeners that the models behind an evaluation know, by their rows."""
    return found.trained.known.listeners if found.trained else pl.Series(dtype=pl.String)


def _listens(past: pl.DataFrame, listeners: pl.Series) -> np.ndarray:
    """Return (n,) how many plays each listener had."""
    plays = past.group_by("listener").agg(pl.col("plays").cast(pl.Int64).sum())
    return (
        listeners.to_frame("listener").join(plays, on="listener", how="left", maintain_order="left")["plays"].to_numpy()
    )


def _sizes(learned: Trained, served: Ranked, test: pl.DataFrame, *, at_least: int) -> dict[str, float]:
    strangers = len(served.cold.listeners) if served.cold else 0
    return {
        "listeners": learned.known.shape[0],
        "learners": learned.learned.shape[0],
        "tracks": learned.known.shape[1],
        "parts": len(learned.known.parts),
        "own_models": int(learned.facts["own_model"].sum()),
        "open_gates": int(learned.facts["gate_open"].sum()),
        "test_listeners": len(served.unheard.listeners),
        "cold_test_listeners": strangers if strangers >= at_least else float("nan"),
        "test_rows": test.height,
        "test_outside": test.filter(~pl.col("track_id").is_in(learned.known.tracks.implode())).height,
    }


def _nothing(note: str) -> Evaluation:
    schemas = (
        report_tables.PART_SCHEMA,
        report_tables.HISTORY_SCHEMA,
        report_tables.COMPARISON_SCHEMA,
        report_tables.LISTENER_SCHEMA,
    )
    by_part, by_history, comparisons, listeners = (pl.DataFrame(schema=schema) for schema in schemas)
    facts, curve = by_part.select("part"), pl.DataFrame(schema=CURVE_SCHEMA)
    return Evaluation({}, by_part, by_history, comparisons, listeners, facts, curve, {}, {}, {}, note)
