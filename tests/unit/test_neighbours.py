import numpy as np
import pytest

from recsys.geography.places import Place
from recsys.releases.counts.noisy_counts import Noisy
from recsys.releases.counts.window import UNKNOWN
from recsys.releases.inference import neighbours


def place(latitude: float, longitude: float) -> Place:
    return Place("id", "name", None, "region", "AA", latitude, longitude, 0)


def counted(counts: list[float], variance: float | list[float]) -> Noisy:
    row = np.array([counts], dtype=np.float64)
    return Noisy(row, np.broadcast_to(variance, row.shape).astype(np.float64))


def test_the_nearest_come_first_across_the_date_line() -> None:
    found, closeness = neighbours.nearest([place(0, 179), place(0, 170), place(0, -178), place(60, 0)])
    assert found[0] == [2, 1, 3]
    assert closeness[0] == 1
    assert (np.diff(closeness) < 0).all()


def test_a_place_alone_has_no_neighbours() -> None:
    found, closeness = neighbours.nearest([place(0, 0)])
    assert found == [[]]
    assert len(closeness) == 0


def test_without_noise_every_neighbour_has_a_voice_whatever_its_size() -> None:
    both = [counted([900, 100], 1e-9), counted([0, 10], 1e-9)]
    share = np.array([0.5, 0.5])
    found = neighbours.pooled(both, sizes=np.array([1000.0, 10]), closeness=np.ones(2), share=share, spread=0.7)
    assert found.counts[0] / found.counts.sum() == pytest.approx([(0.9 + 0) / 2, (0.1 + 1) / 2])


def test_closeness_weighs_voices() -> None:
    both = [counted([100, 0], 1e-9), counted([0, 100], 1e-9)]
    share, sizes = np.array([0.5, 0.5]), np.array([100.0, 100])
    found = neighbours.pooled(both, sizes=sizes, closeness=np.array([1, 0.25]), share=share, spread=0.7)
    assert found.counts[0, 0] == pytest.approx(4 * found.counts[0, 1])


def test_under_noise_the_large_lead() -> None:
    """Weights are then as the square of sizes: shares 0.9 and 0 of sizes 1,000 and 100 make 0.9 x 100 / 101."""
    both = [counted([900, 100], 1e12), counted([0, 100], 1e12)]
    share, sizes = np.array([0.5, 0.5]), np.array([1000.0, 100])
    found = neighbours.pooled(both, sizes=sizes, closeness=np.ones(2), share=share, spread=0.7)
    assert found.counts[0, 0] / found.counts.sum() == pytest.approx(0.9 * 100 / 101, rel=1e-3)


def test_one_neighbour_is_the_neighbourhood() -> None:
    found = neighbours.pooled(
        [counted([900, 100], [400, 300])],
        sizes=np.array([1000.0]),
        closeness=np.ones(1),
        share=np.array([0.5, 0.5]),
        spread=0.7,
    )
    assert found.counts[0] == pytest.approx([900, 100])
    assert found.variance[0] == pytest.approx([400, 300])


def test_who_did_not_count_a_track_has_no_voice_in_it() -> None:
    both = [counted([60, 0, 40], [1, UNKNOWN, 1]), counted([30, 0, 0], [1, UNKNOWN, UNKNOWN])]
    share, sizes = np.full(3, 1 / 3), np.array([100.0, 100])
    found = neighbours.pooled(both, sizes=sizes, closeness=np.ones(2), share=share, spread=0.7)
    assert found.variance[0, 1] == UNKNOWN
    total = found.counts[0, 2] / 0.4  # of the only one who counted it
    assert found.counts[0, 0] / total == pytest.approx((0.6 + 0.3) / 2, rel=0.02)
