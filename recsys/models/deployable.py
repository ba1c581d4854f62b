"""The deployable model: the blend, measured on the validation nights, and fitted on all nights to answer a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recsys.errors import InputError
from recsys.models.cold_start import Folding
from recsys.models.collaborative import parameters_of, train
from recsys.models.fit_blend import learn
from recsys.models.interactions import IntArray, Interactions, gather, heard_later
from recsys.models.metrics import NOTHING, Lists, Model, ndcg, rank, top
from recsys.models.regional import fit
from recsys.models.splitting import Split, nights_needed, split_rows
from recsys.settings import ModelsSettings

_AT_ONCE = 64  # listeners whose scores of all tracks are in memory together


@dataclass(frozen=True)
class Served:
    """A fitted model that answers requests.

    Parameters
    ----------
    model : Folding
    tracks : polars.Series
        (m,) the vocabulary.
    settings : ModelsSettings
    parents : mapping of str to str
        The country of every part.
    """

    model: Folding = field(repr=False)
    tracks: pl.Series = field(repr=False)
    settings: ModelsSettings
    parents: Mapping[str, str] = field(repr=False)

    def answer(self, listens: pl.DataFrame, *, limit: int) -> list[tuple[str, float]]:
        """Return the best tracks that a listener did not play, with their scores, best first; see :meth:`answers`."""
        return list(self.answers(listens, limit=limit).select("track_id", "score").iter_rows())

    def answers(self, listens: pl.DataFrame, *, limit: int) -> pl.DataFrame:
        """Return the best tracks that each of some listeners did not play, best first; nobody's depend on the others.

        Parameters
        ----------
        listens : polars.DataFrame
            Rows of :class:`~recsys.schemas.Contributions`, of one listener or more; tracks outside the vocabulary say
            nothing, and where there is no other, the answer is that of the place.
        limit : int
            Tracks at most for each, 1 or more.

        Returns
        -------
        polars.DataFrame
            ``listener, rank, track_id, score``, by listener and rank.

        Raises
        ------
        InputError
            If the limit is below 1.
        """
        if limit < 1:
            raise InputError("limit is 1 or more; less was found", hint="Leave it out for the default.")
        limit = min(limit, len(self.tracks))  # whose places are in memory
        asked = gather(listens, settings=self.settings, parents=self.parents, tracks=self.tracks)
        model, there = self.model.fold_in(asked), np.arange(asked.shape[0])
        parts = [there[first : first + _AT_ONCE] for first in range(0, len(there), _AT_ONCE)]
        with threadpool_limits(1, "blas"):  # as in training: threads are slower, and change bits
            found = [_best(model, asked, some, limit=limit) for some in parts]
        rows, columns, scores = (np.concatenate(side) for side in zip(*found, strict=True))
        lists = pl.DataFrame({"row": rows, "track_id": self.tracks.gather(columns), "score": scores})
        return lists.select(
            asked.listeners.gather(rows).alias("listener"),
            pl.int_range(1, pl.len() + 1).over("row").alias("rank"),
            "track_id",
            "score",
        )


def _best(
    model: Model, asked: Interactions, rows: IntArray, *, limit: int
) -> tuple[IntArray, IntArray, NDArray[np.float64]]:
    """Return the rows, columns and scores of the best unheard tracks of some listeners, row by row, best first."""
    scores = model.scores(rows)
    unheard = np.where(asked.confidence[rows].toarray() != 0, np.float32(-np.inf), scores)
    columns = top(unheard, limit)
    listed = columns != NOTHING
    at = np.nonzero(listed)[0]
    return rows[at], columns[listed], scores[at, columns[listed]].astype(np.float64)


def fit_served(
    rows: pl.DataFrame,
    *,
    settings: ModelsSettings,
    parents: Mapping[str, str],
    origins: Mapping[str, str] | None = None,
) -> Served:
    """Learn how to blend on the validation nights, then train on everything, as a night does; the same every time.

    What is returned is to be kept in memory alone. It holds no id of a listener, and the interactions of those whom it
    was fitted on are left out; but factors and weights are learned from them, and where EASE is used
    (``engine`` or ``both_engines``), a model of fewer listeners and sessions than tracks holds what these played, in
    rows without a name (:class:`~recsys.models.ease.ExampleWeights`).

    Parameters
    ----------
    rows : polars.DataFrame
        Contributions that may be trained on.
    settings : ModelsSettings
    parents : mapping of str to str
        The country of every part.
    origins : mapping of str to str, optional
        The country that the artist of a track comes from.

    Raises
    ------
    InputError
        If no track was played by enough listeners.
    """
    known = gather(rows, settings=settings, parents=parents, origins=origins)
    if 0 in known.shape:
        raise InputError(
            f"no track was played by {settings.min_listeners_per_track} listeners who allow it",
            hint="Run more nights first, or check --workspace.",
        )
    with threadpool_limits(1, "blas"):  # bits of a product depend on the number of BLAS threads
        split = split_rows(rows, settings=settings) or Split(rows, rows.clear(), rows.clear())
        parameters = parameters_of(split.train, split.validation, settings=settings, parents=parents)
        model = cast(Folding, train(known, parameters=parameters, settings=settings)["blend"])
    nobody = gather(rows.clear(), settings=settings, parents=parents, tracks=known.tracks)
    return Served(cast(Folding, model.fold_in(nobody)), known.tracks, settings, parents)


def validated(
    rows: pl.DataFrame,
    *,
    settings: ModelsSettings,
    parents: Mapping[str, str],
    origins: Mapping[str, str] | None = None,
) -> float:
    """Return the macro NDCG at 10 (unheard tracks) of the served model on the validation nights.

    The test nights are taken away first; then the blend is learned on the nights before the validation nights, with
    models of the nights before those: as an evaluation does, so many nights earlier. See :func:`fit_served`.

    Raises
    ------
    InputError
        If there are too few nights, or nobody to ask, or fewer than ``min_listeners_in_table``.
    """
    cut = _cut_before_test(rows, settings=settings)
    with threadpool_limits(1, "blas"):
        before = gather(cut.train, settings=settings, parents=parents)
        known = gather(cut.past, settings=settings, parents=parents, origins=origins)
        later = heard_later(cut.test, known=known)
        if 0 in before.shape or not later.nnz:
            raise InputError(
                "no known listener played a known track on the validation nights",
                hint="Run more nights first, or search with share = 1.",
            )
        models = fit(before, settings=settings.with_tracks(known.shape[1]))
        parameters = learn(models, later=heard_later(cut.validation, known=before), settings=settings)
        lists = rank(
            train(known, parameters=parameters, settings=settings)["blend"], later=later, heard=known.confidence
        )
    if len(lists.listeners) < settings.min_listeners_in_table:  # whose own figure it would be; it is logged
        raise InputError(
            f"fewer than {settings.min_listeners_in_table} known listeners played a known track for the first time on "
            "the validation nights",
            hint="Run more nights first, or search with share = 1.",
        )
    return macro(lists, known=known)


def macro(lists: Lists, *, known: Interactions) -> float:
    """Return the mean over parts of the mean NDCG at 10; over all listeners where nobody has a home."""
    values, homes = ndcg(lists, at=10), known.homes[lists.listeners]
    parts = [values[homes == part].mean() for part in np.unique(homes[homes >= 0])]
    return float(np.mean(parts or values)) if len(values) else 0.0


def _cut_before_test(rows: pl.DataFrame, *, settings: ModelsSettings) -> Split:
    """Return a split whose test nights are the validation nights of the whole."""
    whole = split_rows(rows, settings=settings)
    earlier = settings.model_copy(update={"test_nights": settings.validation_nights})
    cut = split_rows(whole.past, settings=earlier) if whole else None
    if cut is None:
        found = rows["night"].n_unique()
        needed = nights_needed(earlier) + settings.gap_nights + settings.test_nights
        raise InputError(
            f"there are {found} nights, and a search needs {needed}: one to learn from, twice "
            "models.validation_nights, models.test_nights, and models.gap_nights before each",
            hint="Run more nights first, or set fewer of these.",
        )
    return cut
