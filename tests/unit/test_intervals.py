"""Intervals of paired differences: what is certain by construction, and how wide theory says they are."""

import numpy as np
import pytest

from recsys.models.evaluation.intervals import Difference, by_stratum, paired, sure


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
    found = paired(rng.normal(size=(len(region), 400)), region)
    held = np.mean([each.low <= 0 <= each.high for each in found])
    assert 0.92 < held < 0.985


@pytest.mark.parametrize("size", [10, 30, 100])
def test_intervals_of_regions_whose_listeners_mostly_differ_by_nothing_hold_the_truth(size: int) -> None:
    """Of 60 regions' listeners two fifths have the same list twice, and few gain much: as NDCG does; seed 11.

    Of 50 worlds of 60 regions 94 to 97 % (a deviation is .4 %); a bootstrap of ten holds it in 88 to 90 %.
    """
    rng, regions = np.random.default_rng(11), np.repeat(np.arange(60), size)
    truth, held = 0.6 * 0.1, []
    for _ in range(50):
        gains = np.where(rng.random(len(regions)) < 0.4, 0.0, rng.exponential(0.1, len(regions)))
        held += [each.low <= truth <= each.high for each in by_stratum(gains, regions)]
    assert 0.94 <= np.mean(held) <= 0.97


def test_a_region_that_varies_otherwise_keeps_its_own_variance_where_it_is_well_known() -> None:
    """Two of forty large regions vary ten times as much: seed 3. Theirs are about ten times as wide as the others'."""
    rng, regions = np.random.default_rng(3), np.repeat(np.arange(40), 200)
    scale = np.where(regions < 2, 1.0, 0.1)
    widths = [each.high - each.low for each in by_stratum(rng.normal(0, scale), regions)]
    assert 7 < np.mean(widths[:2]) / np.mean(widths[2:]) < 13


def test_where_everybody_is_alone_nothing_is_known_of_one_and_something_of_all() -> None:
    values = np.array([0.1, 0.2, 0.3])
    assert all(np.isnan(each.low) for each in by_stratum(values, np.arange(3)))
    (found,) = paired(values[:, None], np.arange(3))
    # one sample of three: a standard error of 0.1 / sqrt(3), and of two degrees of freedom 95 % are 4.303
    assert (found.low, found.high) == pytest.approx((0.2 - 4.303 * 0.1 / 3**0.5, 0.2 + 4.303 * 0.1 / 3**0.5), abs=1e-3)


def test_the_width_is_that_of_the_normal_approximation() -> None:
    """Of 400 differences 0 or 1 the mean 0.5 has the standard error 0.5 / sqrt(400) = 0.025."""
    (found,) = paired(np.tile(column(0, 1), (200, 1)))
    assert found.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.001)
    assert found.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.001)


def test_chances_are_those_of_students_test() -> None:
    """Of 0.1, 0.2 and 0.3 the mean is 3.4641 standard errors from zero: with two degrees of freedom, in 7.42 %."""
    (found,) = paired(column(0.1, 0.2, 0.3))
    assert found.chance == pytest.approx(0.0742, abs=1e-4)


def test_what_is_sure_is_more_than_what_is_sure_alone() -> None:
    """Of ten, the third smallest of .005, .009, .016 is not below 3 x .05 / 10 = .015, but the second is below .01."""
    assert sure([0.016, 0.005, 0.009, *[0.5] * 7]).tolist() == [False, True, True, *[False] * 7]
    assert sure([0.03, 0.5]).tolist() == [False, False]  # .03 alone would be
    assert sure([0.03, np.nan]).tolist() == [True, False]  # as it is here: what is not known is not looked at
    assert sure([]).tolist() == []


def test_nobody_gives_no_number() -> None:
    (found,) = paired(np.zeros((0, 1)))
    assert np.isnan([found.mean, found.low, found.high]).all()
    assert not Difference(0.1, -0.1, 0.3).is_certain
