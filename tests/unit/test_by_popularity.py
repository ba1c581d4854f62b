"""Recall by popularity: fifths of what was played, and what of each the lists hold, counted by hand."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from support.listening import world

from recsys.models.evaluation.by_popularity import by_popularity, fifths
from recsys.models.evaluation.report_tables import Ranked
from recsys.models.interactions import gather
from recsys.models.metrics import Lists
from recsys.settings import load_settings


def test_each_fifth_has_as_much_of_what_was_played() -> None:
    assert fifths(np.array([10, 10, 10, 10, 10])).tolist() == [0, 1, 2, 3, 4]
    assert fifths(np.array([1, 1, 20, 2, 76])).tolist() == [4, 4, 4, 4, 1]  # 76 of 100: its middle is at 38
    assert fifths(np.array([25, 50, 25])).tolist() == [3, 1, 4]  # of equals the first comes first
    assert fifths(np.zeros(3, dtype=np.int64)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("at_least", "first"), [(1, 2 / 3), (3, 2 / 3), (4, np.nan)])
def test_recall_is_hits_over_what_is_relevant_in_each_fifth(at_least: int, first: float) -> None:
    """Four tracks, the first played by all before: 3 listeners find it relevant, and 2 have it in their lists."""
    settings = load_settings().models.model_copy(update={"min_listeners_per_track": 1})
    known = gather(world(1, listeners=6, tracks=4, parts=1, nights=3, plays=4), settings=settings)
    heard = sparse.csr_array(np.array([[1, 1, 0, 0]] * 3 + [[1, 0, 0, 0]] * 3))  # popularity 6, 3, 0, 0
    known = type(known)(**{**vars(known), "confidence": heard})
    new = sparse.csr_array(np.array([[1, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4, [0] * 4]))
    nothing = -np.ones((3, 100), dtype=np.int64)
    tracks, hits = nothing.copy(), np.zeros((3, 100), dtype=bool)
    tracks[:, :2] = [[0, 1], [1, 0], [1, 2]]
    hits[:, :2] = [[True, False], [False, True], [False, False]]
    lists = Lists(np.arange(3), tracks, hits, np.array([2, 1, 1]))
    found = by_popularity({"blend": Ranked(lists, lists, None)}, new=new, known=known, at_least=at_least)
    assert found["tracks"].to_list() == [0, 1, 0, 0, 3]
    assert found["tracks"].sum() == 4
    recall = found.sort("fifth")["recall_at_20"].to_numpy()
    np.testing.assert_allclose(recall[1], first)
    np.testing.assert_allclose(recall[4], 0.0 if at_least == 1 else np.nan)  # one listener's, and in no list
    assert np.isnan(recall[[0, 2, 3]]).all()
    assert isinstance(found, pl.DataFrame)
