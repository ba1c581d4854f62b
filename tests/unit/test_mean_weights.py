"""Mean weights: read from noisy totals of a place, in the light of the larger one."""

import math

import numpy as np
import pytest
from support.releasing import small_atlas

from recsys.releases.counts.mean_weights import IN_FULL, PlaceTotals, mean_weights

ATLAS = small_atlas()
COUNTRY = ("AA-rest", "aa1", "aa2", "aa3")


def found(totals: dict[str, tuple[float, float]], *, variance: float | dict[str, float] = 1.0) -> PlaceTotals:
    """Totals with noise of a variance in either, by place where it is not the same everywhere."""
    noise = {place: variance.get(place, 1.0) if isinstance(variance, dict) else variance for place in totals}
    return PlaceTotals(
        {place: np.array(some, dtype=float) for place, some in totals.items()},
        {place: np.full(2, noise[place]) for place in totals},
    )


def parts(tracks: float, ratio: float) -> dict[str, tuple[float, float]]:
    return dict.fromkeys(ATLAS.parts, (tracks, tracks * ratio))


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5, 0.8])
def test_where_noise_is_small_it_is_the_ratio_of_the_totals(ratio: float) -> None:
    for place, weight in mean_weights(found(parts(1e6, ratio)), atlas=ATLAS).items():
        assert weight.mean == pytest.approx(ratio, rel=0.01), place
        assert weight.relative_variance < 1e-4


def test_places_have_their_own_where_they_tell_it() -> None:
    """One region of heavy listeners; its country and the world have the mean over all tracks, not over places."""
    totals = {**parts(1e6, 0.6), "aa1": (3e6, 3e6 * 0.3)}
    weights = mean_weights(found(totals), atlas=ATLAS)
    assert weights["aa1"].mean == pytest.approx(0.3, rel=0.02)
    assert weights["aa2"].mean == pytest.approx(0.6, rel=0.02)
    assert weights["AA"].mean == pytest.approx((3 * 0.6 + 3 * 0.3) / 6, rel=0.02)
    assert weights["world"].mean == pytest.approx((7 * 0.6 + 3 * 0.3) / 10, rel=0.02)


def test_without_totals_everybody_counted_in_full() -> None:
    weights = mean_weights(PlaceTotals({}, {}), atlas=ATLAS)
    assert weights == dict.fromkeys(ATLAS.members, IN_FULL)
    assert (IN_FULL.mean, IN_FULL.relative_variance) == (1.0, 0.0)


def test_of_which_nothing_is_known_much_is_possible() -> None:
    """Around 0.4, half or one and a half times as much being no surprise, in the world as in any place of it."""
    weights = mean_weights(found(parts(0.0, 0.5), variance=1e12), atlas=ATLAS)
    assert 0.3 < weights["world"].mean < 0.55
    assert 0.3 < math.sqrt(weights["world"].relative_variance) < 0.6
    assert math.sqrt(weights["aa1"].relative_variance) > 0.3


def test_a_place_that_tells_nothing_is_like_the_larger_one_within_a_tenth() -> None:
    totals = {**parts(1e6, 0.7), "aa1": (0.0, 0.0)}
    weights = mean_weights(found(totals, variance={"aa1": 1e11}), atlas=ATLAS)
    assert weights["aa1"].mean == pytest.approx(weights["AA"].mean, rel=0.05)
    assert math.sqrt(weights["aa1"].relative_variance) == pytest.approx(0.1, abs=0.05)


def test_noise_that_makes_totals_negative_or_weights_exceed_tracks_is_no_answer() -> None:
    for totals in ((-500.0, 40.0), (40.0, -500.0), (10.0, 4_000.0)):
        weights = mean_weights(found({**parts(0.0, 0.0), "bb1": totals}, variance=1e4), atlas=ATLAS)
        for weight in weights.values():
            assert 1 / 16 <= weight.mean <= 1
            assert math.isfinite(weight.relative_variance)


def test_own_totals_of_a_larger_place_and_the_sum_of_its_parts_are_pooled() -> None:
    """Parts say 0.2 in all, with noise that drowns it; the country, counted by itself, says 0.6."""
    totals = {**parts(1e4, 0.2), "AA": (4e4, 4e4 * 0.6)}
    noise = {**dict.fromkeys(ATLAS.parts, 1e10), "AA": 1.0}
    assert mean_weights(found(totals, variance=noise), atlas=ATLAS)["AA"].mean == pytest.approx(0.6, rel=0.02)
    alike = {**dict.fromkeys(ATLAS.parts, 1.0), "AA": 4.0}  # four parts of variance 1, and one of 4: halfway
    assert mean_weights(found(totals, variance=alike), atlas=ATLAS)["AA"].mean == pytest.approx(0.4, rel=0.02)


def test_a_country_of_which_a_part_is_missing_is_not_summed() -> None:
    """As of a night under a smaller service area: what is missing would count as nothing."""
    totals = {part: some for part, some in parts(1e6, 0.9).items() if part in COUNTRY[:3]}
    weights = mean_weights(found(totals), atlas=ATLAS)
    assert weights["AA"].relative_variance > 0.05
    assert weights["aa1"].mean == pytest.approx(0.9, rel=0.02)
