"""The models that a notebook compares: ours, and any object that can ``fit`` and ``recommend`` as they do."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from recsys.errors import FrameError, InputError, UsageError
from recsys.library.dataset import Dataset
from recsys.library.frames import codes
from recsys.models import als, ease, metrics
from recsys.models.collaborative import parameters_of, train
from recsys.models.evaluation import baselines
from recsys.models.interactions import FloatArray, IntArray, Interactions, gather, nights
from recsys.models.metrics import NOTHING, top
from recsys.models.regional import Global
from recsys.models.splitting import split_by_night
from recsys.settings import ModelsSettings, load_settings

_SCORES_AT_ONCE = 4_000_000  # float32: bounds the memory of a list of many users


@runtime_checkable
class Model(Protocol):
    """What :func:`~recsys.library.evaluate` asks of a model, and ours can."""

    def fit(self, dataset: Dataset) -> Any:
        """Learn from ``dataset.frame``; what is returned is not looked at."""
        ...

    def recommend(self, users: Sequence[Any], k: int) -> Any:
        """Return a frame with the data set's columns of users and items: k new items of every user, best first."""
        ...


class _Scored(ABC):
    """A model of ours, with the settings of ``[models]`` but for those that are given.

    Parameters
    ----------
    **settings
        Keys of ``[models]`` in ``recsys/hearabouts.toml``, as ``ALS(factors=32)``.

    Raises
    ------
    SettingsError
        If there is no such key, or its value is out of range.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self._models = models_settings(settings)
        self._fitted: tuple[Dataset, Interactions, metrics.Model] | None = None

    def fit(self, dataset: Dataset) -> Self:
        """Learn from a data set.

        Raises
        ------
        FrameError
            If no item has enough users, or there are too few days.
        """
        known = gather(dataset.rows, settings=self._models)
        check_vocabulary(known.shape[1], settings=self._models)
        with threadpool_limits(1, "blas"):  # bits of a product depend on the number of BLAS threads
            self._fitted = (dataset, known, self._learn(dataset.rows, known))
        return self

    def recommend(self, users: Iterable[Any], k: int = 10) -> Any:
        """Return the best new items of users whom the model was fitted with.

        Parameters
        ----------
        users : iterable
            Ids, of which each is answered once.
        k : int
            Items of each at most; fewer where a user had nearly all of them.

        Returns
        -------
        frame
            In the library of the data set: its columns of users and items, and ``rank`` and ``score``.

        Raises
        ------
        UsageError
            If the model was not fitted, k is below 1, or users are one text.
        InputError
            If it does not know a user.
        """
        if self._fitted is None:
            raise UsageError(f"{self!r} was not fitted", hint="model.fit(dataset).recommend(users)")
        if isinstance(users, str):
            raise UsageError("found one text where several users are expected", hint="recommend([user])")
        if k < 1:
            raise UsageError(f"k is 1 or more, and found is {k}", hint="Leave it out for 10.")
        dataset, known, model = self._fitted
        asked = codes(users)
        columns, scores = _best(model, known, _rows(asked, known=known), length=k)
        row, place = np.nonzero(columns != NOTHING)
        return dataset.lists(
            asked.gather(row),
            known.tracks.gather(columns[row, place]),
            rank=pl.Series(place + 1),
            score=pl.Series(scores[row, place]),
        )

    def get_params(self) -> dict[str, Any]:
        """Return what it was made with, as scikit-learn's models do: what is remembered of a model in MLflow."""
        return dict(self.settings)

    @abstractmethod
    def _learn(self, rows: pl.DataFrame, known: Interactions) -> metrics.Model:
        """Return what scores every item for the users that are known."""

    def __repr__(self) -> str:
        """Return how it was made."""
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.settings.items())})"


class Popular(_Scored):
    """Everybody gets the items with most users."""

    def _learn(self, rows: pl.DataFrame, known: Interactions) -> metrics.Model:  # noqa: ARG002
        return baselines.PopularWorld.fit(known)


class PopularInRegion(_Scored):
    """Everybody gets the items with most users at home in the same region."""

    def _learn(self, rows: pl.DataFrame, known: Interactions) -> metrics.Model:  # noqa: ARG002
        return baselines.PopularRegion.fit(known)


class Neighbours(_Scored):
    """Items like those that a user had: cosine of TF-IDF weights."""

    def _learn(self, rows: pl.DataFrame, known: Interactions) -> metrics.Model:  # noqa: ARG002
        return baselines.ItemNeighbours.fit(known)


class EASE(_Scored):
    """Weights from item to item in closed form; time grows with the cube of the number of items."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._models = self._models.model_copy(update={"engine": "ease"})

    def _learn(self, rows: pl.DataFrame, known: Interactions) -> metrics.Model:  # noqa: ARG002
        return Global(known, ease.fit_world(known, settings=self._models))


class ALS(_Scored):
    """Alternating least squares."""

    def _learn(self, rows: pl.DataFrame, known: Interactions) -> metrics.Model:  # noqa: ARG002
        return Global(known, als.fit_world(known, settings=self._models))


class Blend(_Scored):
    """What Hearabouts serves: one model of all, the regions' own, and what is played recently, in a learned order.

    How to blend is learned on the last ``validation_nights`` days of what it is fitted with. A frame knows no
    countries: regions depart from the world.
    """

    def _learn(self, rows: pl.DataFrame, known: Interactions) -> metrics.Model:
        past = split_by_night(rows, validation_from=self._first_of_validation(rows), test_from=date.max)
        parameters = parameters_of(past.train, past.validation, settings=self._models)
        return train(known, parameters=parameters, settings=self._models)["blend"]

    def _first_of_validation(self, rows: pl.DataFrame) -> date:
        found, needed = nights(rows), self._models.validation_nights
        if len(found) <= needed:
            raise FrameError(
                f"there are {len(found)} days, and the blend is learned on the last {needed} from those before",
                hint="Take more days, or Blend(validation_nights=1).",
            )
        return found[-needed]


OURS: Mapping[str, type[_Scored]] = {
    "popular_world": Popular,
    "popular_region": PopularInRegion,
    "neighbours": Neighbours,
    "ease": EASE,
    "als": ALS,
    "blend": Blend,
}
"""By the names that runs give them (docs/experiments.md), where ``global`` is the engine's."""


def models_settings(settings: Mapping[str, Any]) -> ModelsSettings:
    """Return the settings of the models as shipped, but for some."""
    return load_settings(overrides={"models": settings}).models


def check_vocabulary(items: int, *, settings: ModelsSettings) -> None:
    """Refuse to learn where no item has enough users."""
    if items < 2:
        needed = settings.min_listeners_per_track
        raise FrameError(
            f"{items} items have {needed} users or more, and 2 are needed at least",
            hint="Take more rows, or set min_listeners_per_track lower: evaluate(..., settings={...}), ALS(...).",
        )


def _rows(asked: pl.Series, *, known: Interactions) -> IntArray:
    """Return the rows of users, all of whom have to be known."""
    rows = pl.DataFrame({"listener": known.listeners, "row": np.arange(known.shape[0])})
    found = asked.to_frame("listener").join(rows, on="listener", how="left", maintain_order="left")["row"]
    if missing := found.null_count():
        raise InputError(
            f"{missing:,} of {len(asked):,} users are unknown to the model",
            hint="It knows those of the data set that it was fitted with, as far as they had an item that "
            "min_listeners_per_track users had.",
        )
    return found.to_numpy()


def _best(model: metrics.Model, known: Interactions, rows: IntArray, *, length: int) -> tuple[IntArray, FloatArray]:
    """Return (n, length) columns of the best items that each user did not have, and their scores; 0 where none is."""
    columns = np.full((len(rows), length), NOTHING)
    values = np.zeros((len(rows), length), dtype=np.float32)
    step = max(1, _SCORES_AT_ONCE // known.shape[1])
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        heard = known.confidence[rows[block]].toarray() != 0
        scores = np.where(heard, np.float32(-np.inf), model.scores(rows[block]))
        columns[block] = top(scores, length)
        values[block] = np.take_along_axis(scores, columns[block], axis=1)
    return columns, values
