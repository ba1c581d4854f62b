import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom

from recsys.releases.inference import significance
from recsys.releases.inference.significance import Counted, Expected, Interval, above_one, read_any


def counted(mean: np.ndarray, *, sigma: float, nights: float = 1.0) -> Counted:
    return Counted(mean, np.full(mean.shape, sigma**2), np.full(mean.shape, nights))


def known(mean: np.ndarray) -> Expected:
    return Expected(mean, np.zeros(mean.shape))


@pytest.fixture
def random() -> np.random.Generator:
    seed = int(np.random.SeedSequence().entropy) % 2**32  # type: ignore[arg-type]
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def test_discoveries_by_hand() -> None:
    """Five tests at 0.1: the sorted p values are held against 0.1 / 5 times 1, 2, 3, 4, 5."""
    p = np.array([0.6, 0.039, 0.001, 0.059, 0.008])
    assert significance.discoveries(p, rate=0.1).tolist() == [2, 4, 1, 3]
    assert significance.discoveries(np.array([0.021, 0.5, 0.5, 0.5, 0.5]), rate=0.1).tolist() == []
    assert significance.discoveries(np.array([0.001, 0.041, 0.5, 0.5, 0.5]), rate=0.1).tolist() == [0]
    assert significance.discoveries(np.array([0.5, 0.03, 0.03, 0.5, 0.03]), rate=0.1).tolist() == [1, 2, 4]  # steps up
    assert significance.discoveries(np.zeros(0), rate=0.1).tolist() == []


def test_the_smallest_p_values_are_enough() -> None:
    p = np.array([1e-6, 0.0004, 0.0006])
    assert significance.discoveries(p, rate=0.1, tested=200).tolist() == [0, 1, 2]
    assert significance.discoveries(p, rate=0.1, tested=800).tolist() == [0]


def test_where_hardly_any_place_has_something_it_must_be_clearer() -> None:
    """Ten places of 100 tracks: the only discovery must be below 0.1 / 1000, the tenth of ten below ten times that."""
    nothing = [np.zeros(0)] * 9
    tested = [100] * 10
    assert [len(some) for some in significance.confirmed([np.array([5e-5]), *nothing], tested, rate=0.1)] == [1] + [
        0
    ] * 9
    assert sum(len(some) for some in significance.confirmed([np.array([2e-4]), *nothing], tested, rate=0.1)) == 0
    everywhere = significance.confirmed([np.array([2e-4])] * 10, tested, rate=0.1)
    assert [len(some) for some in everywhere] == [1] * 10
    assert significance.confirmed([], [], rate=0.1) == []


def test_p_values_are_uniform_where_nothing_is_special(random: np.random.Generator) -> None:
    """A hundred thousand tracks, at most one in a hundred below 0.01 even of the smallest of three windows."""
    expected = random.gamma(1.0, 20.0, 100_000)
    noisy = random.poisson(expected) + random.normal(0, 20, (3, 100_000))
    exceeding = significance.excess(counted(noisy, sigma=20.0), known(np.broadcast_to(expected, noisy.shape)))
    below = (significance.p_values(exceeding[:1]) < 0.01).mean()
    assert below == pytest.approx(0.01, abs=6 * (0.01 / 1e5) ** 0.5)
    assert (significance.p_values(exceeding) < 0.01).mean() < 0.01 + 6 * (0.01 / 1e5) ** 0.5


@pytest.mark.parametrize("places_with_one", [0, 20, 200])
def test_no_more_than_the_rate_is_there_by_chance(random: np.random.Generator, places_with_one: int) -> None:
    """Two hundred places of 500 tracks, some with one that truly rises by five standard deviations, a hundred times.

    The false discovery rate is the mean over worlds of the false share of all that is named; five standard errors are
    exceeded by chance less than once in a million.
    """
    shares, true = [], 0
    for _ in range(100):
        z = random.normal(size=(200, 500))
        z[:places_with_one, 0] += 5.0
        p = [significance.p_values(some[None]) for some in z]
        named = significance.confirmed(p, [500] * 200, rate=0.1)
        right, every = sum(0 in some for some in named[:places_with_one]), sum(map(len, named))
        shares.append((every - right) / max(every, 1))
        true += right
    if places_with_one:
        assert np.mean(shares) <= 0.1 + 5 * np.std(shares) / 100**0.5
        assert true > 0.3 * 100 * places_with_one
    else:
        assert sum(share > 0 for share in shares) <= binom.ppf(1 - 1e-6, 100, 0.1)


def test_a_scale_is_the_ratio_of_totals() -> None:
    base = 1000 / np.arange(1, 101)
    some = counted(base * 1.3, sigma=5.0)
    factor, variance = significance.scale(some, known(base), shape=base, spread=0.1)
    assert factor == pytest.approx(1.3, abs=1e-9)
    assert 0 < variance < 0.05**2


def test_one_track_that_rises_is_not_what_the_place_does() -> None:
    base = 1000 / np.arange(1, 101)
    rising = base * 1.3
    rising[3] *= 10
    factor, _ = significance.scale(counted(rising, sigma=5.0), known(base), shape=base, spread=0.1)
    assert factor == pytest.approx(1.3, abs=0.1)


def test_a_scale_that_noise_hides_is_one_and_hardly_known() -> None:
    base = np.full(50, 0.01)
    assert significance.scale(counted(base, sigma=20.0), counted(base, sigma=20.0), shape=base, spread=0.1) == (
        1.0,
        1.0,
    )


def test_a_ratio_by_hand() -> None:
    """On the logarithmic scale: 8 (4 to 16) over 2 (1 to 4) is 4, and one octave each way makes sqrt(2) octaves."""
    octaves = significance.ratio(
        Interval(*np.array([[8.0], [4.0], [16.0]])), Interval(*np.array([[2.0], [1.0], [4.0]]))
    )
    assert [octaves.estimate[0], octaves.low[0], octaves.high[0]] == pytest.approx([4, 4 / 2**2**0.5, 4 * 2**2**0.5])
    from_zero = significance.ratio(
        Interval(*np.array([[8.0], [0.0], [16.0]])), Interval(*np.array([[2.0], [1.0], [4.0]]))
    )
    assert from_zero.low[0] == 0


def test_intervals_hold_the_truth_although_they_were_chosen(random: np.random.Generator) -> None:
    """Of 400,000 tracks one in a hundred gains, by an amount whose order of magnitude is unknown; BH chooses.

    Without regard to the choice intervals would hold fewer: the test would fail.
    """
    number, sigma = 400_000, 20.0
    expected = random.gamma(1.0, 5.0, number) + 0.5
    gains = np.where(random.random(number) < 0.01, np.exp(random.uniform(np.log(10), np.log(300), number)), 0.0)
    true = random.poisson(expected + gains)
    noisy = counted(true + random.normal(0, sigma, number), sigma=sigma)
    p = significance.p_values(significance.excess(noisy, known(expected))[None])
    found = significance.discoveries(p, rate=0.1)
    listeners, rate = significance.read_chosen(noisy[found], known(expected)[found], share=0.01)
    naive = np.abs(noisy.mean[found] - true[found]) <= 1.96 * sigma
    for interval, truth in ((listeners, true[found]), (rate, (expected + gains)[found])):
        inside = ((interval.low - 1e-9 <= truth) & (truth <= interval.high + 1e-9)).mean()
        assert (interval.low <= interval.estimate).all()
        assert (interval.estimate <= interval.high).all()
        print("chosen", len(found), "inside", inside, "naive", naive.mean())
        assert 0.93 <= inside <= 0.97
    assert naive.mean() < 0.93
    assert len(found) > 1000


def test_of_all_tracks_a_probability_of_exceeding_expectation_comes_true(random: np.random.Generator) -> None:
    """Counts around expectation by chance and wandering, one in twenty with a gain, and noise over all."""
    expected = np.exp(random.normal(2, 1.5, 20_000))
    wander = (0.1 * expected) ** 2
    gain = np.where(random.random(20_000) < 0.05, np.exp(random.uniform(np.log(2), np.log(100), 20_000)), 0)
    true = np.maximum(random.normal(expected + gain, np.sqrt(expected / 4 + wander)), 0)
    counted = Counted(random.normal(true, 8.0), np.full(20_000, 64.0), np.full(20_000, 4.0))
    found, probability, mean = read_any(counted, Expected(expected, wander), wander=wander, share=0.05)
    for low, high in ((0.3, 0.5), (0.5, 0.8), (0.8, 1.0)):
        some = (probability >= low) & (probability < high)
        assert abs((true > expected)[some].mean() - probability[some].mean()) < 0.03
    assert ((found.low <= true) & (true <= found.high)).mean() > 0.93
    assert (found.estimate > expected)[probability > 0.51].all()  # a median is on the likelier side
    assert abs(mean.sum() / true.sum() - 1) < 0.02


def test_a_lift_is_above_one_as_often_as_is_said(random: np.random.Generator) -> None:
    deviation, median = random.uniform(0.05, 1.5, 4_000), np.exp(random.normal(0, 1, 4_000))
    at = Interval(median * np.exp(deviation**2 / 2), *(median * np.exp(sign * 1.96 * deviation) for sign in (-1, 1)))
    true = median * np.exp(deviation * random.normal(size=4_000))
    probability = above_one(at)
    assert np.allclose(probability, ndtr(np.log(median) / deviation), atol=1e-3)
    assert abs((true > 1).mean() - probability.mean()) < 0.02
    nothing = Interval(np.array([0.0, 2.0]), np.array([0.0, 0.0]), np.array([0.0, 3.0]))
    assert np.isfinite(above_one(nothing)).all()
