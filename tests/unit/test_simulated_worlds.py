"""The worlds that benchmarks measure charts in: they drift as real charts do, and listeners pay as in the product."""

from datetime import timedelta

import numpy as np
import pytest
from support.simulated_worlds import EVERY_NIGHT, FIRST, MANY_KINDS, MEASURED, Nights, World, likeness, simulate

from recsys.releases.counts.mean_weights import mean_weights
from recsys.settings import load_settings


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(np.random.default_rng(3), nights=36, sizes=(60, 60, 60), countries=3)


@pytest.mark.parametrize("name", MEASURED)
def test_worlds_drift_as_real_charts_do(world: World, name: str) -> None:
    least, most = MEASURED[name]
    assert least - 0.06 <= likeness(world)[name] <= most + 0.06


def test_a_night_of_rates_adds_up_and_nobody_plays_what_is_not_there(world: World) -> None:
    assert world.rates.sum(axis=2) == pytest.approx(1, abs=1e-4)
    assert not world.listeners.sum(axis=1)[~world.alive].any()
    assert (world.weights <= world.listeners).all()


def test_every_listener_counts_every_night_as_far_as_the_year_lets(world: World) -> None:
    """A night earns 980 / 365; of thirteen tracks that pays for a weight of about 0.45 each."""
    assert world.listeners[-7:].sum() / (7 * world.sizes.sum()) == pytest.approx(13, abs=1.2)
    assert world.weights[-7:].sum() / world.listeners[-7:].sum() == pytest.approx(0.45, abs=0.03)


def test_nobody_pays_more_than_is_earned() -> None:
    """A single listener: squared weights of any 28 nights are within the bound."""
    lone = simulate(np.random.default_rng(1), nights=60, sizes=(1,), countries=1)
    squared = (lone.weights.astype(float) ** 2).sum(axis=(1, 2))
    assert max(squared[i : i + 28].sum() for i in range(33)) <= load_settings().privacy.most_per_28_nights
    assert squared.mean() == pytest.approx(980 / 365, rel=0.02)


def test_kinds_have_the_daily_listeners_that_were_asked_for() -> None:
    random = np.random.default_rng(2)
    one, many = (
        simulate(random, nights=8, sizes=(900,), countries=1, kinds=kinds) for kinds in (EVERY_NIGHT, MANY_KINDS)
    )
    assert many.listeners.sum() == pytest.approx(1.6 * one.listeners.sum(), rel=0.2)  # 5, 15 and 60 plays


def test_what_is_released_is_in_listeners_and_has_the_noise_it_states(world: World) -> None:
    nights = world.nights[-7:]
    released = Nights(world).read(nights)
    there = np.flatnonzero(world.alive[-7:].any(axis=0))
    true = world.listeners[-7:][:, :, there].sum(axis=0)
    rows = [released.entries(part) for part in world.atlas.parts]
    errors = np.array([released.sums[row] / released.weight - true[i] for i, row in enumerate(rows)])
    stated = np.array([released.variances[row] for row in rows]) / released.weight**2
    assert (errors / np.sqrt(stated)).std() == pytest.approx(1, abs=0.05)
    assert stated[0, 0] == pytest.approx(7 * 10 / (0.03 * 0.85) / 0.45**2, rel=0.15)
    assert nights[0] == FIRST + timedelta(days=29)


def test_totals_tell_the_mean_weight(world: World) -> None:
    totals = Nights(world).totals(world.nights[-28:])
    found = mean_weights(totals, atlas=world.atlas)["world"]
    true = world.weights[-28:].sum() / world.listeners[-28:].sum()
    assert abs(found.mean - true) < 3 * np.sqrt(found.relative_variance) * found.mean
    assert totals.over(world.nights[-7:], weight=found.mean) == pytest.approx(found.mean)  # no night counted in full


def test_over_a_week_each_track_of_a_listener_counts_once_on_the_last_night() -> None:
    nightly, weekly = (
        simulate(np.random.default_rng(4), nights=14, sizes=(200,), countries=1, every=every) for every in (1, 7)
    )
    assert (weekly.rates == nightly.rates).all()
    assert np.flatnonzero(weekly.listeners.any(axis=(1, 2))).tolist() == [6, 13]
    assert (weekly.listeners <= 200).all()
    played = (weekly.listeners[13] > 0).sum() / (nightly.listeners[7:] > 0).any(axis=0).sum()
    assert played == pytest.approx(1, abs=0.1)  # as many tracks were played by somebody
