"""Intervals of paired differences: what is certain by construction, and how wide theory says they are."""

import numpy as np
import pytest

from recsys.models.evaluation.bootstrap import Difference, paired


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_equal_differences_leave_no_doubt() -> None:
    (found,) = paired(column(0.25, 0.25, 0.25, 0.25))
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)
    assert found.is_certain


def test_a_difference_that_changes_sign_is_not_certain() -> None:
    (found,) = paired(column(1, -1, 1, -1))
    assert found.mean == 0
    assert found.low < 0 < found.high
    assert not found.is_certain


def test_the_mean_over_regions_weighs_every_region_the_same() -> None:
    differences, region = column(1, 1, 1, 0), np.array([7, 7, 7, 3])
    (listeners,), (regions,) = paired(differences), paired(differences, region)
    assert listeners.mean == 3 / 4
    assert regions.mean == (1 + 0) / 2
    assert (regions.low, regions.high) == (1 / 2, 1 / 2)  # nothing varies within a region


def test_intervals_over_small_regions_hold_the_truth_as_often_as_they_say() -> None:
    """30 regions of one to five listeners, differences of mean 0: of 400 worlds 95 % +- 2.2 % (two deviations)."""
    rng = np.random.default_rng(4)
    region = np.repeat(np.arange(30), np.tile(np.arange(1, 6), 6))
    found = paired(rng.normal(size=(len(region), 400)), region, resamples=400)
    held = np.mean([each.low <= 0 <= each.high for each in found])
    assert 0.92 < held < 0.985


def test_the_width_is_that_of_the_normal_approximation() -> None:
    """Of 400 differences 0 or 1 the mean 0.5 has the standard error 0.5 / sqrt(400) = 0.025."""
    (found,) = paired(np.tile(column(0, 1), (200, 1)), resamples=4_000)
    assert found.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.005)
    assert found.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.005)


def test_columns_are_measured_on_the_same_draws_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(8).normal(size=(50, 1))
    once = paired(np.hstack([values, values + 1]), resamples=200)
    assert once[1].low == pytest.approx(once[0].low + 1)
    monkeypatch.setattr("recsys.models.evaluation.bootstrap._DRAWS_AT_ONCE", 500)
    again = paired(values, resamples=200)
    assert again[0].high == pytest.approx(once[0].high, abs=0.05)


def test_nobody_gives_no_number() -> None:
    (found,) = paired(np.zeros((0, 1)))
    assert np.isnan([found.mean, found.low, found.high]).all()
    assert not Difference(0.1, -0.1, 0.3).is_certain
