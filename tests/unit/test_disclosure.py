"""Which groups may be told, against cases decided by hand; and for any groups, nothing small is told or follows."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from recsys.models.evaluation.disclosure import may_be_told


@pytest.mark.parametrize(
    ("counts", "total", "told"),
    [
        ([30, 20, 10], 60, [True, True, True]),
        ([30, 20, 9], 59, [True, False, False]),  # 9 would follow: so 20 is not told, and 29 are left
        ([30, 20, 9, 8], 67, [True, True, False, False]),  # 17 are left
        ([30, 20, 11], 65, [True, True, False]),  # 4 belong to no group: 15 are left
        ([30, 20, 0], 50, [True, True, False]),  # nobody is left
        ([30], 33, [False]),
        ([12, 11], 24, [True, False]),
        ([], 5, []),
    ],
)
def test_what_is_left_over_is_nobody_or_many(counts: list[int], total: int, told: list[bool]) -> None:
    found = may_be_told(np.array(counts, dtype=np.int64).reshape(-1, 1), np.array([total]), at_least=10)
    assert found.tolist() == told


def test_a_group_has_to_be_large_whichever_way_it_is_counted() -> None:
    counts = np.array([[30, 30], [30, 9], [30, 20]])
    assert may_be_told(counts, np.array([90, 59]), at_least=10).tolist() == [True, False, False]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12), st.integers(0, 12), st.integers(1, 15))
def test_nothing_small_is_told_or_follows(groups: list[tuple[int, int]], homeless: int, at_least: int) -> None:
    counts = np.array(groups, dtype=np.int64).reshape(-1, 2)
    totals = counts.sum(axis=0) + homeless
    told = may_be_told(counts, totals, at_least=at_least)
    assert (counts[told] >= at_least).all()
    left = totals - counts[told].sum(axis=0)
    assert not told.any() or ((left == 0) | (left >= at_least)).all()
