"""What holds of the library whatever the plays and whatever a model lists."""

from collections.abc import Sequence
from datetime import date, timedelta
from math import log2
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.frames import LIBRARIES

from recsys.errors import FrameError
from recsys.library import Dataset, Results, evaluate

FIRST = date(2026, 1, 5)
PLAYS = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 30), st.integers(0, 9)), min_size=40, max_size=120)
SMALL = {"min_listeners_per_track": 1, "test_nights": 3, "validation_nights": 1}


def frame_of(plays: Sequence[tuple[int, int, int]]) -> pl.DataFrame:
    rows = [(user, item, FIRST + timedelta(days=day), f"r{user % 2}") for user, item, day in plays]
    return pl.DataFrame(rows, schema=["user", "item", "time", "region"], orient="row")


class Dealt:
    """Lists what a user did not have in an order of its own."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def fit(self, dataset: Dataset) -> None:
        self.items = dataset.items.to_list()
        self.had = {user: set(items) for user, items in dataset.frame.group_by("user").agg("item").iter_rows()}

    def recommend(self, users: Sequence[Any], k: int) -> pl.DataFrame:
        orders = [self.rng.permutation(self.items).tolist() for _ in users]
        self.lists = {
            user: [item for item in order if item not in self.had[user]][:k]
            for user, order in zip(users, orders, strict=True)
        }
        rows = [(user, item) for user, items in self.lists.items() for item in items]
        return pl.DataFrame(rows, schema=["user", "item"], orient="row")


def evaluated(frame: pl.DataFrame, model: Dealt) -> Results | None:
    try:
        return evaluate(Dataset.from_frame(frame), {"dealt": model}, beside=["popular_world"], settings=SMALL)
    except FrameError:
        return None


@given(PLAYS, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_library_and_the_order_of_rows_change_nothing(plays: set[tuple[int, int, int]], random: Any) -> None:
    ordered = sorted(plays)
    shuffled = random.sample(ordered, len(ordered))
    rows = Dataset.from_frame(frame_of(ordered), region="region").rows
    for convert in LIBRARIES.values():
        assert Dataset.from_frame(convert(frame_of(shuffled)), region="region").rows.equals(rows)


@given(PLAYS, st.integers(0, 1000))
@settings(max_examples=40)
def test_figures_are_what_one_counts_by_hand(plays: set[tuple[int, int, int]], seed: int) -> None:
    model = Dealt(seed)
    results = evaluated(frame_of(sorted(plays)), model)
    assume(results is not None)
    assert results is not None
    days = sorted({day for _, _, day in plays})
    test = [(user, item) for user, item, day in plays if day in days[-3:]]
    right = {
        user: {item for who, item in test if who == user} & {*model.items} - model.had[user] for user in model.lists
    }
    gains = {user: [item in right[user] for item in items] for user, items in model.lists.items()}
    ideal = {user: sum(1 / log2(2 + place) for place in range(min(len(items), 10))) for user, items in right.items()}
    ndcg = [sum(1 / log2(2 + p) for p, hit in enumerate(row[:10]) if hit) / ideal[u] for u, row in gains.items()]
    recall = [sum(row[:20]) / len(right[user]) for user, row in gains.items()]
    found = dict(results.figures.filter(model="dealt").select("metric", "value").iter_rows())
    assert found == pytest.approx({"ndcg_at_10": np.mean(ndcg), "recall_at_20": np.mean(recall)})
