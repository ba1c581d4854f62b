import numpy as np
import pytest

from recsys.releases.counts.noisy_counts import Noisy
from recsys.releases.inference import posterior
from recsys.releases.inference.coarse_grid import Prior
from recsys.releases.inference.posterior import SPREADS, Belief, Size

ONE = np.array([1.0])
SEED = 20161


def counted(counts: list[float] | np.ndarray, variance: float) -> Noisy:
    row = np.array([counts], dtype=np.float64)
    return Noisy(row, np.full_like(row, variance))


def believed(shares: list[float] | np.ndarray, relative_variance: float = 0.0) -> Belief:
    row = np.array([shares], dtype=np.float64)
    return Belief(row, np.full_like(row, relative_variance))


def size(mean: float, deviation: float) -> Size:
    return Size(np.array([mean]), np.array([deviation]))


def test_two_measurements_weigh_by_inverse_variance() -> None:
    both = counted([10], 1) & counted([20], 3)
    assert both.counts[0, 0] == pytest.approx((10 * 3 + 20 * 1) / 4)
    assert both.variance[0, 0] == pytest.approx(1 / (1 / 1 + 1 / 3))


def test_a_size_without_noise_is_the_sum_whatever_was_expected() -> None:
    found = posterior.measured_size(counted([10, 0, 990], 1e-6), rest=believed([8, 1, 1]), spread=ONE, typical=ONE * 50)
    assert found.mean[0] == pytest.approx(1000, rel=1e-3)
    assert found.deviation[0] < 2


def test_a_size_under_much_noise_is_least_squares_on_the_shares() -> None:
    share = 0.99 * np.array([0.5, 0.3, 0.2]) + 0.01 / 3  # one count in a hundred may be of any track
    noisy = counted([700, 100, 200], 1e12)
    found = posterior.measured_size(noisy, rest=believed([5, 3, 2]), spread=ONE, typical=ONE * 50)
    assert found.mean[0] == pytest.approx(share @ [700, 100, 200] / (share @ share), rel=1e-4)
    assert found.deviation[0] == pytest.approx(1e6 / np.sqrt(share @ share), rel=1e-4)


def test_a_size_is_what_was_measured_where_noise_is_small() -> None:
    found = posterior.likely_size(size(5000, 10), ONE * 400)
    assert found.mean[0] == pytest.approx(5000, rel=0.01)
    assert found.deviation[0] == pytest.approx(10, rel=0.05)


def test_a_size_that_cannot_be_measured_is_typical_give_or_take_a_factor() -> None:
    """Its logarithm is normal around that of 400 with deviation 1.5."""
    found = posterior.likely_size(size(0, 1e9), ONE * 400)
    assert found.mean[0] == pytest.approx(400 * np.exp(1.5**2 / 2), rel=0.02)


def test_a_size_is_positive_even_where_less_than_nothing_was_measured() -> None:
    found = posterior.likely_size(size(-900, 300), ONE * 400)
    assert 0 < found.mean[0] < 200


def test_log_factors_are_what_was_counted_over_what_was_expected() -> None:
    """Without noise the count tells, whatever was thought before; under endless noise nothing but that does."""
    for variance, mean, left in ((1e-4, np.log(3), 0), (1e14, -0.1, 0.25)):
        noisy, expected = counted([3000], variance), np.array([[1000.0]])
        found = posterior.log_factors(noisy, expected=expected, centre=np.array([[-0.1]]), variance=np.array([[0.25]]))
        assert found[0][0, 0] == pytest.approx(mean, abs=0.03)
        assert found[1][0, 0] == pytest.approx(left, abs=0.01)


def test_tracks_that_everybody_plays_do_not_tell_the_spread() -> None:
    """The first ten have no room to depart; the others do, by 0.6."""
    print("seed", SEED)
    random, share = np.random.default_rng(SEED), np.concatenate([np.full(10, 0.03), np.full(100, 0.007)])
    departed = np.where(np.arange(110) < 10, 0, 0.6 * random.normal(size=110) - 0.18)
    true = 1e6 * share * np.exp(departed)
    evidence = posterior.evidence_for_spreads(counted(true, 100), rest=believed(share), size=size(1e6, 1))
    assert SPREADS[evidence[0].argmax()] == pytest.approx(0.6, abs=0.16)


def test_a_blend_is_the_mean_of_shares() -> None:
    found = posterior.blend(believed([3, 1], 0.04), believed([10, 30], 0.25), share=0.2)
    assert found.mean[0] == pytest.approx([0.8 * 0.75 + 0.2 * 0.25, 0.8 * 0.25 + 0.2 * 0.75])
    deviation = 0.8 * 0.75 * 0.2 + 0.2 * 0.25 * 0.5
    assert found.relative_variance[0, 0] == pytest.approx((deviation / 0.65) ** 2)


def test_a_linear_prediction_lies_between_expectation_and_count() -> None:
    """Expected are 50 +- sqrt(50 + 50²(e-1)), counted 90 with as much noise: halfway, and half the variance is left."""
    variance = 50 + 50**2 * (np.e - 1)
    found = posterior.linear(counted([90, 50], variance), rest=believed([1, 1]), spread=ONE, size=size(100, 0))
    assert found.counts[0] == pytest.approx([70, 50])
    assert found.variance[0] == pytest.approx(variance / 2)


def test_a_prior_expects_size_times_share() -> None:
    prior = posterior.prior_of_size(counted([0, 0], 1e10), rest=believed([3, 1]), spread=ONE * 0.5, size=size(4e4, 1))
    assert np.exp(prior.centre + prior.width**2 / 2)[0] == pytest.approx([3e4, 1e4])
    assert prior.width[0] == pytest.approx(0.5, rel=1e-3)  # chance adds 1/30,000, the size next to nothing


def test_relations_without_evidence_are_the_usual_ones() -> None:
    usual = np.zeros((2, len(SPREADS)))
    usual[0, 2], usual[1, 4] = 0.25, 0.75
    nearness, spread = posterior.relation(np.zeros((2, len(SPREADS))), usual=usual.ravel())
    assert nearness == pytest.approx(0.75)
    assert spread == pytest.approx(np.sqrt(0.25 * SPREADS[2] ** 2 + 0.75 * SPREADS[4] ** 2))


def test_evidence_overrules_what_is_usual() -> None:
    evidence = np.zeros((2, len(SPREADS)))
    evidence[1, 3] = 50
    usual = posterior.usual_relations([evidence] * 40)
    assert posterior.relation(evidence, usual=usual) == pytest.approx((1, SPREADS[3]))
    assert usual.reshape(2, -1)[1].sum() > 0.85


def test_evidence_finds_the_spread() -> None:
    print("seed", SEED)
    random, share = np.random.default_rng(SEED), 1 / np.arange(1, 1001)
    for i in (2, 4, 6):
        true = 5e4 * share / share.sum() * np.exp(SPREADS[i] * random.normal(size=1000) - SPREADS[i] ** 2 / 2)
        noisy = counted(true + 30 * random.normal(size=1000), 900)
        evidence = posterior.evidence_for_spreads(noisy, rest=believed(share), size=size(true.sum(), 1))
        assert abs(int(evidence[0].argmax()) - i) <= 1


def test_the_world_keeps_the_sum_of_what_was_counted() -> None:
    """Most tracks are far below the noise (150), but not their sum, which noise moves by 150 sqrt(2000) = 6,700."""
    print("seed", SEED)
    true = 1e5 / np.arange(1, 2001) / np.sum(1 / np.arange(1, 2001)) * 1.0
    noisy = counted(true + 150 * np.random.default_rng(SEED).normal(size=2000), 150**2)
    found = posterior.belief(noisy, posterior.prior_of_whole(noisy))
    assert found.mean.sum() == pytest.approx(1e5, abs=3 * 6_700)


def test_intervals_hold_what_the_prior_expects() -> None:
    print("seed", SEED)
    random, rest = np.random.default_rng(SEED), believed(np.geomspace(1, 1000, 4000))
    prior = posterior.prior_of_size(counted(np.zeros(4000), 1e4), rest=rest, spread=ONE * 0.7, size=size(1e6, 1))
    true = np.exp(prior.centre + prior.width * random.normal(size=(1, 4000)))
    found = posterior.estimate(Noisy(true + 100 * random.normal(size=true.shape), np.full_like(true, 1e4)), prior)
    held = np.mean((found.low <= true) & (true <= found.high))
    assert 0.935 <= held <= 0.965 + 0.01  # whole numbers round outwards
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()


def test_some_tracks_of_a_prior() -> None:
    row = np.arange(4.0)[None]
    noisy, prior = posterior.take(Noisy(row, row), Prior(row, row, row[0], row[0]), np.array([[2, 0]]))
    assert noisy.counts.tolist() == prior.centre.tolist() == [[2, 0]]
