"""The evaluation: one's own models beside ours on the same users, every figure with its interval."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from html import escape
from typing import Any

import numpy as np
import polars as pl

from recsys.errors import UsageError
from recsys.library.dataset import Dataset
from recsys.library.frames import as_given
from recsys.library.models import OURS, Model, models_settings
from recsys.library.question import LENGTH, Question, answered, ask
from recsys.models.evaluation.intervals import Difference, paired
from recsys.models.metrics import Lists, Values, ndcg, recall
from recsys.settings import ModelsSettings

_METRICS: Mapping[str, Callable[[Lists], Values]] = {
    "ndcg_at_10": partial(ndcg, at=10),
    "recall_at_20": partial(recall, at=20),
}
_MACRO = "macro_ndcg_at_10"
_SCHEMA = {
    "model": pl.String,
    "metric": pl.String,
    **dict.fromkeys(("value", "low", "high", "difference", "difference_low", "difference_high"), pl.Float64),
}


@dataclass(frozen=True, repr=False)
class Results:
    """How good models are on the same question; shown as a table.

    Parameters
    ----------
    question : Question
    models : mapping of str to Model
        As they were fitted, on all days but the last.
    lists : mapping of str to Lists
        What each model listed.
    baseline : str
        The model that the others are compared with.
    settings : ModelsSettings
        By which the question was asked.
    """

    question: Question
    models: Mapping[str, Model] = field(repr=False)
    lists: Mapping[str, Lists] = field(repr=False)
    baseline: str
    settings: ModelsSettings = field(repr=False)

    @property
    def frame(self) -> Any:
        """Return ``model, metric, value, low, high, difference, difference_low, difference_high``, tidy.

        In the library of the data set. Intervals are 95 %, by how much users differ; a difference is that to the
        baseline, user by user. ``macro_`` is the mean over regions of the means over their users.
        """
        return as_given(self.figures, like=self.question.train.frame)

    @cached_property
    def figures(self) -> pl.DataFrame:
        """Return the same in Polars."""
        homes = self.question.homes
        values = {name: _values(lists) for name, lists in self.lists.items()}
        rows = [row for metric in _METRICS for row in _figures(values, metric, baseline=self.baseline)]
        if len(set(homes[homes >= 0])) > 1:
            rows += _figures(values, "ndcg_at_10", baseline=self.baseline, homes=homes)
        return pl.DataFrame(rows, schema=_SCHEMA, orient="row")

    def __repr__(self) -> str:
        """Return the table."""
        with pl.Config(**_SHOWN):
            lines = str(self._table).splitlines()
        return "\n".join([self._title, *(line.rstrip() for line in lines)])

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._title)}</p>{self._table.to_pandas().to_html(index=False)}"  # Polars would show quotes

    @property
    def _title(self) -> str:
        return (
            f"{len(self.question.asked):,} users, {self.question.known.shape[1]:,} items, the last "
            f"{self.settings.test_nights} days; 95 % intervals; minus {self.baseline}: {self.headline}"
        )

    @property
    def headline(self) -> str:
        """Return the metric that models are compared by: the mean over regions where there are several."""
        return _MACRO if _MACRO in self.figures["metric"] else "ndcg_at_10"

    @property
    def _table(self) -> pl.DataFrame:
        """Return a line a model: figures with their intervals, and what it adds to the baseline."""
        lines: dict[str, dict[str, str]] = {name: {"model": name} for name in self.lists}
        gains: dict[str, str] = {}
        for model, metric, value, low, high, *gain in self.figures.iter_rows():
            lines[model][metric] = f"{value:.4f} ({low:.4f} to {high:.4f})"
            if metric == self.headline:
                gains[model] = "" if None in gain else "{:+.4f} ({:+.4f} to {:+.4f})".format(*gain)
        return pl.DataFrame([{**line, f"minus {self.baseline}": gains[model]} for model, line in lines.items()])


def evaluate(
    dataset: Dataset,
    models: Mapping[str, Model] | None = None,
    *,
    beside: Collection[str] | None = None,
    baseline: str = "popular_world",
    settings: Mapping[str, Any] | None = None,
) -> Results:
    """Fit models on all days but the last, ask each for new items of the same users, and compare what they list.

    Parameters
    ----------
    dataset : Dataset
    models : mapping of str to Model, optional
        One's own; each is fitted anew.
    beside : collection of str, optional
        Ours, of :data:`~recsys.library.OURS`: by default all, but for those that the data says nothing about
        (regions) or is too large for (EASE).
    baseline : str
        The model that the others are compared with.
    settings : mapping, optional
        Keys of ``[models]`` in ``recsys/hearabouts.toml`` that differ, for the question and for our models.

    Raises
    ------
    FrameError
        If the data set is too small to ask anything.
    ListsError
        If the lists of a model cannot be measured.
    UsageError, SettingsError
        If what is asked for is not there.
    """
    if not isinstance(dataset, Dataset):
        raise UsageError(
            f"found {type(dataset).__name__} where a Dataset is expected", hint="Dataset.from_frame(frame) makes one."
        )
    asked_by = models_settings(settings or {})
    question = ask(dataset, settings=asked_by)
    names = _fitting(question, asked_by) if beside is None else beside
    contenders = _contenders(names, models or {}, settings=settings or {}, baseline=baseline)
    lists = {name: _answer(model, name=name, question=question) for name, model in contenders.items()}
    return Results(question, contenders, lists, baseline, asked_by)


def _fitting(question: Question, settings: ModelsSettings) -> list[str]:
    """Return the models of ours that have something to say about the data in a bearable time."""
    without = set() if question.train.columns.region else {"popular_region"}
    without |= {"ease"} if question.known.shape[1] > settings.ease_max_tracks else set()
    return [name for name in OURS if name not in without]


def _contenders(
    names: Collection[str], models: Mapping[str, Model], *, settings: Mapping[str, Any], baseline: str
) -> dict[str, Model]:
    """Return the models by name: ours, then the others."""
    if unknown := [name for name in names if name not in OURS]:
        raise UsageError(
            f"no model of ours is called {', '.join(map(repr, unknown))}", hint=f"Ours: {', '.join(OURS)}."
        )
    if taken := [name for name in models if name in names]:
        raise UsageError(f"a model of ours is called {', '.join(map(repr, taken))}", hint="Call yours otherwise.")
    if strange := [name for name, model in models.items() if isinstance(model, type) or not isinstance(model, Model)]:
        raise UsageError(
            f"{', '.join(map(repr, strange))} cannot be evaluated: a model has fit(dataset) and recommend(users, k)",
            hint="Write a class with these two methods, and give an instance of it.",
        )
    found: dict[str, Model] = {**{name: OURS[name](**settings) for name in names}, **models}
    if baseline not in found:
        raise UsageError(f"no model is called {baseline!r}, the baseline", hint=f"There are: {', '.join(found)}.")
    return found


def _answer(model: Model, *, name: str, question: Question) -> Lists:
    model.fit(question.train)
    return answered(model.recommend(question.users, LENGTH), by=name, question=question)


def _values(lists: Lists) -> dict[str, Values]:
    return {metric: of(lists) for metric, of in _METRICS.items()}


def _figures(
    values: Mapping[str, Mapping[str, Values]], metric: str, *, baseline: str, homes: Any = None
) -> list[tuple[object, ...]]:
    """Return a row a model: its mean over users, or over the regions of those who are at home in one."""
    at_home = slice(None) if homes is None else homes >= 0
    by_model = np.column_stack([found[metric] for found in values.values()])[at_home]
    gains = by_model - values[baseline][metric][at_home, None]
    found = paired(np.hstack([by_model, gains]), None if homes is None else homes[at_home])
    name = metric if homes is None else f"macro_{metric}"
    return [
        (model, name, *_numbers(mean), *(_numbers(gain) if model != baseline else (None,) * 3))
        for model, mean, gain in zip(values, found, found[len(values) :], strict=False)
    ]


def _numbers(found: Difference) -> tuple[float, float, float]:
    return found.mean, found.low, found.high


_SHOWN: dict[str, Any] = {
    "tbl_formatting": "NOTHING",
    "tbl_hide_column_data_types": True,
    "tbl_hide_dataframe_shape": True,
    "tbl_rows": -1,
    "tbl_cols": -1,
    "tbl_width_chars": 200,
    "fmt_str_lengths": 100,
}
