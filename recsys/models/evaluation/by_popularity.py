"""Recall by popularity: how much of what listeners play next lists hold, from the hits to the tail."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy import sparse

from recsys.models.evaluation.report_tables import MODELS, Ranked
from recsys.models.interactions import IntArray, Interactions
from recsys.models.metrics import NOTHING, Lists

FIFTHS = 5
AT = 20

SCHEMA: Mapping[str, type[pl.DataType]] = {
    "model": pl.String,
    "fifth": pl.Int64,
    "tracks": pl.Int64,
    f"recall_at_{AT}": pl.Float64,
}


def by_popularity(
    ranked: Mapping[str, Ranked], *, new: sparse.csr_array, known: Interactions, at_least: int
) -> pl.DataFrame:
    """Return a row per model and fifth of all that was played before, the most popular tracks first.

    Each fifth has as many pairs of a listener and a track that was played: the first few tracks, the last very many.
    Recall is of all relevant tracks of the fifth together, whoever they are of.

    Parameters
    ----------
    ranked : mapping of str to Ranked
        By model; the lists without what was heard.
    new : scipy.sparse.csr_array
        (n, m) ones where a listener played a track for the first time on the test nights.
    known : Interactions
    at_least : int
        Listeners behind each figure; NaN where they are fewer, or where nothing was relevant.

    Returns
    -------
    polars.DataFrame
        ``model, fifth, tracks, recall_at_20``.
    """
    fifth = fifths(np.diff(known.confidence.tocsc().indptr))
    relevant = np.bincount(fifth[new.indices], minlength=FIFTHS)
    told = np.array([_listeners(new, fifth == number) >= at_least for number in range(FIFTHS)])
    shown = np.where(told, relevant, 0)
    rows = [
        {
            "model": model,
            "fifth": number + 1,
            "tracks": int((fifth == number).sum()),
            f"recall_at_{AT}": float(hits[number] / shown[number]) if shown[number] else float("nan"),
        }
        for model in MODELS
        if model in ranked
        for hits in [_hits(ranked[model].unheard, fifth)]
        for number in range(FIFTHS)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def fifths(popularity: IntArray) -> IntArray:
    """Return (m,) the fifth of all plays, from 0, in whose range the middle of each track's plays lies."""
    order = np.argsort(-popularity, kind="stable")
    ordered = popularity[order]
    middle = np.cumsum(ordered) - ordered / 2
    found = np.empty(len(popularity), dtype=np.int64)
    found[order] = np.minimum(FIFTHS * middle / max(ordered.sum(), 1), FIFTHS - 1).astype(np.int64)
    return found


def _listeners(new: sparse.csr_array, chosen: IntArray) -> int:
    """Return how many listeners have a relevant track among the chosen ones."""
    return int(np.count_nonzero(new @ chosen.astype(np.float64)))


def _hits(lists: Lists, fifth: IntArray) -> IntArray:
    listed = lists.tracks[:, :AT]
    return np.bincount(fifth[listed[lists.hits[:, :AT] & (listed != NOTHING)]], minlength=FIFTHS)
