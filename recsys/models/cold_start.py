"""Cold start: what a model gives listeners of whom nothing is known but where they are."""

from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from scipy import sparse

from recsys.models.interactions import Interactions, gather, heard_later
from recsys.models.metrics import Lists, Model, rank
from recsys.settings import ModelsSettings


@runtime_checkable
class Folding(Model, Protocol):
    """A model that has a list for listeners it was not fitted with."""

    def fold_in(self, interactions: Interactions) -> Model:
        """Return the same fitted model, asked for the listeners of other interactions over the same tracks."""
        ...


def strangers(test: pl.DataFrame, *, known: Interactions, settings: ModelsSettings) -> Interactions:
    """Return the listeners of the test nights who played nothing of the vocabulary before: their homes, and no plays.

    Where they are is known when they ask, and is taken from the test nights; what they play there is not.
    """
    new = test.filter(
        ~pl.col("listener").is_in(known.listeners.implode()) & pl.col("track_id").is_in(known.tracks.implode())
    )
    parents = dict(zip(known.parts, known.parents, strict=True))
    found = gather(new, settings=settings.model_copy(update={"min_listeners_per_track": 1}), parents=parents)
    nothing = sparse.csr_array((found.shape[0], known.shape[1]), dtype="float32")
    return replace(
        found,
        tracks=known.tracks,
        confidence=nothing,
        recent=nothing,
        query=nothing,
        sessions=nothing[:0],
        session_of=found.session_of[:0],
        age=known.age,
        origins=known.origins,
    )


def rank_cold(model: Model, test: pl.DataFrame, *, cold: Interactions) -> Lists | None:
    """Rank the vocabulary for strangers; None where the model has no order for them, or there are none."""
    if not isinstance(model, Folding) or not cold.shape[0]:
        return None
    folded = model.fold_in(cold)
    has_order = np.ptp(folded.scores(np.array([0]))) > 0
    return rank(folded, later=heard_later(test, known=cold)) if has_order else None
