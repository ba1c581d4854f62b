"""Accounting: two accountants, their agreement, and the worst listener of a ledger."""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from support.releasing import NIGHT, NOW

from recsys.releases.budget import accounting
from recsys.releases.budget.accounting import MONTH, YEAR, Exposure, best_guess, epsilon, guarantee, together, worst
from recsys.releases.budget.ledger import Entry, Spend
from recsys.settings import load_settings

SETTINGS = load_settings()
PRIVACY, PARTNER = SETTINGS.privacy, SETTINGS.partner
DELTA = 1e-6
DAY = timedelta(days=1)
SPEND = Spend(
    night=NIGHT,
    purpose="charts",
    rho=0.015,
    sensitivity_squared=10.0,
    tiers={"part": {"rho": 0.012, "sigma_squared": 10 / 0.024}, "world": {"rho": 0.003, "sigma_squared": 10 / 0.006}},
    rows="p",
    parameters={},
)


def probabilities(sigma_squared: float, *, reach: int = 60) -> dict[int, float]:
    """The discrete Gaussian, from its definition."""
    weights = {x: math.exp(-(x**2) / (2 * sigma_squared)) for x in range(-reach, reach + 1)}
    return {x: weight / math.fsum(weights.values()) for x, weight in weights.items()}


def divergence(one: dict[int, float], other: dict[int, float], factor: float) -> float:
    """How much likelier one distribution makes the likeliest set of outputs than factor times the other."""
    return math.fsum(max(0.0, p - factor * other.get(x, 0.0)) for x, p in one.items())


@pytest.mark.parametrize("rho", [0.001, 0.015, 0.18, 1.0])
def test_opendp_has_the_published_conversion(rho: float) -> None:
    """Canonne, Kamath, Steinke 2020, corollary 13: delta = min over a > 1 of exp((a-1)(a rho-eps))/(a-1) (1-1/a)^a."""
    found = guarantee(rho, delta=DELTA)
    a = 1 + np.exp(np.linspace(np.log(1e-3), np.log(1e4), 200_000))
    log_delta = ((a - 1) * (a * rho - found) - np.log(a - 1) + a * np.log1p(-1 / a)).min()
    assert log_delta == pytest.approx(math.log(DELTA), abs=1e-3)
    assert found < rho + 2 * math.sqrt(rho * math.log(1e6))  # the looser bound of Bun and Steinke


@pytest.mark.parametrize("times", [1, 12, 100])
def test_dp_accounting_is_near_the_exact_curve_of_the_gaussian_and_above_it(times: int) -> None:
    """Balle and Wang 2018, theorem 8, with mu = sqrt(2 rho); noise as wide as a night's is all but Gaussian."""
    exposure = accounting.allowed(PRIVACY, nights=1).times(times)
    mu = math.sqrt(2 * exposure.rho)

    def excess(eps: float) -> float:
        return float(norm.cdf(mu / 2 - eps / mu) - math.exp(eps) * norm.cdf(-mu / 2 - eps / mu)) - DELTA

    exact = brentq(excess, 0.0, 50.0)
    assert exact <= epsilon(exposure, delta=DELTA).dp_accounting <= 1.02 * exact


def test_a_single_count_under_little_noise_is_accounted_exactly() -> None:
    """One count, 0 or 1, under noise of variance 1: the delta that belongs to an epsilon can be summed by hand."""
    noise = probabilities(1.0)
    shifted = {x + 1: p for x, p in noise.items()}
    found = epsilon(Exposure(((1.0, 1),)), delta=1e-3)
    exact = brentq(lambda eps: divergence(shifted, noise, math.exp(eps)) - 1e-3, 0.0, 20.0)
    assert exact - 1e-9 <= found.dp_accounting <= exact + 2e-3
    assert found.opendp >= exact
    total_variation = divergence(shifted, noise, 1.0)
    assert best_guess(Exposure(((1.0, 1),))) == pytest.approx((1 + total_variation) / 2, abs=1e-3)


@pytest.mark.parametrize("rho", [1e-4, 1e-3, 0.015, 0.18, 1.5, 3.0, 10.0])
def test_the_accountants_agree_within_a_tenth_and_the_larger_is_stated(rho: float) -> None:
    found = epsilon(Exposure(((10 / (2 * rho), 10),)), delta=DELTA)
    assert found.agree
    assert found.stated == max(found.opendp, found.dp_accounting)
    assert abs(found.opendp - found.dp_accounting) <= 0.1 * found.stated


def test_accountants_far_apart_do_not_agree() -> None:
    assert not accounting.Epsilon(1.0, 0.89).agree
    assert accounting.Epsilon(1.0, 0.91).agree


def test_the_default_bounds_keep_the_bars_and_one_percent_more_a_year_would_not() -> None:
    month, year = (epsilon(accounting.allowed(PRIVACY, nights=nights), delta=DELTA) for nights in (MONTH, YEAR))
    assert month.stated <= 3.3
    assert year.stated <= 9.9
    more = PRIVACY.model_copy(update={"most_per_365_nights": PRIVACY.most_per_365_nights + 10})
    assert epsilon(accounting.allowed(more, nights=YEAR), delta=DELTA).stated > 9.9
    for nights, bar in ((MONTH, 3.3), (YEAR, 9.9)):
        files = accounting.allowed_to_partners(PRIVACY, PARTNER, nights=nights)
        assert epsilon(files, delta=DELTA).stated <= bar


def test_the_files_that_a_window_can_touch() -> None:
    """28 nights cut two files of 28; 365 cut two and hold 12 whole ones, 12 * 28 + 2 = 338 nights."""
    rho = {nights: accounting.allowed_to_partners(PRIVACY, PARTNER, nights=nights).rho for nights in (1, 28, 365)}
    assert rho == pytest.approx({1: 0.1, 28: 0.2, 365: 1.4})


def test_rho_comes_from_the_noise_and_not_from_what_is_said() -> None:
    lying = replace(SPEND, rho=0.001, tiers={"part": {"rho": 0.001, "sigma_squared": 10.0}})
    assert accounting.spent(lying).rho == pytest.approx(0.5)
    assert accounting.spent(SPEND).rho == pytest.approx(0.015)


def test_exposures_add_up() -> None:
    one, other = Exposure(((2.0, 3),), 1e-9), Exposure(((2.0, 1), (4.0, 8)), 2e-9)
    assert together([one, other]) == Exposure(((2.0, 4), (4.0, 8)), 1e-9 + 2e-9)
    assert one.times(3).counts == ((2.0, 9),)
    assert together([one, other]).rho == pytest.approx(4 / 4 + 8 / 8)
    assert epsilon(Exposure(()), delta=DELTA).stated == 0
    assert best_guess(Exposure(())) == 0.5


def test_a_threshold_that_may_fail_costs_delta_and_a_little_epsilon() -> None:
    counts = ((100.0, 10),)
    sound, failing = epsilon(Exposure(counts), delta=9e-7), epsilon(Exposure(counts, 1e-7), delta=DELTA)
    assert failing.opendp == pytest.approx(sound.opendp + 1e-7, abs=1e-8)
    assert epsilon(Exposure(counts, 2e-6), delta=DELTA).stated == math.inf


def entries(days: Iterable[int], *, start: int = 1, **changes: object) -> list[Entry]:
    spends = [replace(SPEND, night=NIGHT + day * DAY, **changes) for day in days]  # type: ignore[arg-type]
    return [Entry(start + i, spend, NOW, None) for i, spend in enumerate(spends)]


def file(first: int, last: int) -> list[Entry]:
    parameters = {"from": str(NIGHT + first * DAY), "threshold_failure": 1e-9}
    tiers = {"part": {"rho": 0.1, "sigma_squared": 150.0}}
    return entries(
        [last], purpose="partner", rho=0.1, sensitivity_squared=30.0, tiers=tiers, parameters=parameters, start=900
    )


def rho(some: list[Entry], *, nights: int) -> float:
    return worst(some, privacy=PRIVACY, nights=nights).rho / 0.015


def test_the_worst_listener_spends_as_much_as_the_bounds_allow_on_full_nights() -> None:
    """120 of any 28 nights and 1,000 of any 365, of 10 a night."""
    assert rho(entries(range(5)), nights=MONTH) == pytest.approx(5)
    assert rho(entries(range(40)), nights=MONTH) == pytest.approx(12)
    assert rho(entries(range(40)), nights=YEAR) == pytest.approx(2 * 12)  # two windows of 28 hold 40 nights
    assert rho(entries(range(500)), nights=YEAR) == pytest.approx(100)
    assert rho([], nights=YEAR) == 0


def test_of_nights_that_cost_differently_the_dearest_count_and_only_within_one_window() -> None:
    dear = {"tiers": {"part": {"rho": 0.03, "sigma_squared": 10 / 0.06}}}
    some = [*entries(range(20)), *entries([20, 21, 22], **dear), *entries([49], start=50, **dear)]
    assert rho(some, nights=MONTH) == pytest.approx(3 * 2 + 9)


def test_a_bound_that_is_no_multiple_of_a_night_is_spent_to_its_end() -> None:
    some = PRIVACY.model_copy(update={"most_per_28_nights": 127})
    found = worst(entries(range(28)), privacy=some, nights=MONTH)
    assert found.rho / 0.015 == pytest.approx(12.7)
    assert sum(count for _, count in found.counts) == 2 * 127  # of either tier


def test_the_bounds_of_then_hold_for_the_nights_of_then() -> None:
    """Lowering a bound does not take back what a listener added before."""
    then = {"most_per_night": 10, "most_per_28_nights": 200, "most_per_365_nights": 2_000}
    assert rho(entries(range(28), parameters=then), nights=MONTH) == pytest.approx(20)
    assert rho(entries(range(400), parameters=then), nights=YEAR) == pytest.approx(200)
    both = [*entries(range(14), parameters=then), *entries(range(14, 28), start=20)]
    assert rho(both, nights=MONTH) == pytest.approx(20)  # the largest that any of the nights was released under


def test_nights_from_before_weights_were_earned_are_accounted_as_nights_in_full() -> None:
    """At most 12 of any 28 nights, and 100 of a year, whatever the settings say now."""
    before = {"max_nights": 12, "max_nights_per_year": 100}
    tight = PRIVACY.model_copy(update={"most_per_28_nights": 30, "most_per_365_nights": 60})
    for nights, days, expected in ((MONTH, 28, 12), (YEAR, 400, 100)):
        found = worst(entries(range(days), parameters=before), privacy=tight, nights=nights)
        assert found.rho / 0.015 == pytest.approx(expected)
    both = [*entries(range(14), parameters=before), *entries(range(14, 28), start=20)]
    assert worst(both, privacy=tight, nights=MONTH).rho / 0.015 == pytest.approx(12)


def test_the_caps_of_then_hold_for_the_nights_of_then() -> None:
    """Lowering a cap does not take back what a listener was counted in before."""
    before = entries(range(28), parameters={"max_nights": 20, "max_nights_per_year": 200})
    assert rho(before, nights=MONTH) == pytest.approx(20)
    assert rho(entries(range(28), parameters={"max_nights": 3, "max_nights_per_year": 9}), nights=YEAR) == 3


def test_a_file_counts_in_every_window_that_it_has_a_night_in() -> None:
    some = [*entries(range(10)), *file(-27, 0), *file(9, 36)]
    month = worst(some, privacy=PRIVACY, nights=MONTH)
    assert month.rho == pytest.approx(10 * 0.015 + 2 * 0.1)
    assert month.failure == pytest.approx(2e-9)
    apart = [*file(0, 27), *file(55, 82)]
    assert worst(apart, privacy=PRIVACY, nights=MONTH).rho == pytest.approx(0.1)  # 27 nights lie between them
    assert worst([*file(0, 27), *file(54, 82)], privacy=PRIVACY, nights=MONTH).rho == pytest.approx(0.2)


def test_files_of_one_night_are_no_nights_of_the_caps() -> None:
    """Thirty files of a night each, in none of which a cap of nights leaves a listener out: 28 of them in a window."""
    files = [entry for day in range(30) for entry in file(day, day)]
    assert rho(files, nights=MONTH) == pytest.approx(28 * 0.1 / 0.015)


def test_the_summary_of_a_run_keeps_its_keys() -> None:
    found = accounting.summary(PRIVACY)
    names = ("night", "28_nights", "365_nights")
    assert set(found) == {"delta"} | {
        f"{figure}_{name}{accountant}"
        for name in names
        for figure, accountant in (
            ("rho", ""), ("epsilon", ""), ("epsilon", "_opendp"), ("epsilon", "_dp_accounting")
        )
    }  # fmt: skip
    assert [found[f"rho_{name}"] for name in names] == pytest.approx([0.015, 12 * 0.015, 100 * 0.015])
    for name in names:
        assert found[f"epsilon_{name}"] == max(found[f"epsilon_{name}_opendp"], found[f"epsilon_{name}_dp_accounting"])
