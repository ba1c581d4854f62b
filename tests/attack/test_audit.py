"""The nightly audit finds nothing in the code as it is, and finds every fault that lets a release give away more."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import beta, binom, norm

from pipelines.privacy import nightly_audit as job
from pipelines.privacy.nightly_audit import audit_release
from recsys.cells import contributions
from recsys.errors import PrivacyBudgetError
from recsys.releases.counts import noise, release
from recsys.releases.verify import audit
from recsys.releases.verify.audit import CHANCE, RUNS, epsilon_of, guesses, lower_bound
from recsys.settings import PrivacySettings, Settings, load_settings
from recsys.weights import FULL

MU = math.sqrt(2 * 0.015)  # of the default budget of a night
draw = noise.discrete_gaussian


def with_privacy(**privacy: object) -> Settings:
    return load_settings(overrides={"privacy": privacy})


def test_the_code_as_it_is_keeps_its_promise_and_the_audit_comes_close_to_it(settings: Settings) -> None:
    """An honest night fails less than once in 10^8; it finds less than 0.7 of the truth less often than that."""
    finding = audit_release(settings)
    finding.confirm()
    assert (finding.clones, finding.claimed, finding.kept) == (10, pytest.approx(MU), True)
    assert 0.7 * MU < finding.found < MU
    assert finding.canary in {"steady", "greedy"}  # both spend all but all of a night, and agree in every count
    metrics = finding.metrics()
    assert 0 < metrics["epsilon_found"] < metrics["epsilon_claimed"]
    assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(
    "privacy",
    [
        {"rho_per_night": 2.0},
        {"rho_per_night": 1e-4},
        {"most_per_night": 1},
        {
            "most_per_night": 1,
            "rho_per_night": 0.25,
            "country_share": 0,
            "world_share": 0,
        },  # the narrowest noise there is
        {"country_share": 0, "world_share": 0},
        {"country_share": 0.4, "world_share": 0.4},
    ],
    ids=str,
)
def test_other_settings_are_claims_of_their_own(privacy: dict[str, Any]) -> None:
    finding = audit_release(with_privacy(**privacy))
    finding.confirm()
    assert finding.claimed == pytest.approx(math.sqrt(2 * privacy.get("rho_per_night", 0.015)))
    assert finding.found > 0.5 * finding.claimed


def chances(scale: float) -> float:
    """Return how often an audit fails where the noise is ``scale`` times as wide, by adding up two binomials.

    The observer is right about a run with Phi(mu / 2) in either world. Learning the threshold from 800 runs moves it
    by a twentieth of a standard deviation, which this leaves out.
    """
    n, apart, bounds = RUNS // 2 - RUNS // 20, 10 * MU, 2 * len(["steady", "greedy"])
    wrong = binom.pmf(np.arange(n + 1), n, norm.cdf(-apart / scale / 2))
    highest = np.append(beta.ppf(1 - CHANCE / bounds, np.arange(n) + 1, n - np.arange(n)), 1.0)
    apart_at_least = -(norm.ppf(highest)[:, None] + norm.ppf(highest)[None, :])
    return float((wrong[:, None] * wrong[None, :])[apart_at_least > apart].sum())


def test_an_honest_night_hardly_ever_fails_and_a_fifth_less_noise_hardly_ever_passes() -> None:
    assert chances(1.0) < 1e-8
    assert chances(0.8) > 1 - 1e-9
    assert chances(0.85) > 0.99


class Faults:
    """Ways in which a release may give away more than it says; each returns what replaces a function."""

    @staticmethod
    def narrower(scale: float) -> Callable[..., Any]:
        return lambda size, *, sigma_squared: draw(size, sigma_squared=sigma_squared * scale**2)

    @staticmethod
    def halved(size: int, *, sigma_squared: float) -> Any:
        return draw(size, sigma_squared=sigma_squared) // 2

    @staticmethod
    def seeded(size: int, *, sigma_squared: float) -> Any:
        return np.random.default_rng(1).normal(0, math.sqrt(sigma_squared), size).round().astype(np.int32)

    @staticmethod
    def shared() -> Callable[..., Any]:
        """The same draws for the first rows of every tier of a release."""
        stream: dict[str, Any] = {"left": 0}

        def again(size: int, *, sigma_squared: float) -> Any:
            if stream["left"] == 0:
                stream.update(left=3, standard=np.random.default_rng().normal(0, 1, 10_000))
            stream["left"] -= 1
            return (stream["standard"][:size] * math.sqrt(sigma_squared)).round().astype(np.int32)

        return again


@pytest.mark.parametrize(
    "fault",
    [Faults.narrower(0.8), Faults.narrower(0.5), Faults.halved, Faults.seeded, Faults.shared()],
    ids=["scale 0.8", "scale 0.5", "halved", "seeded", "shared by tiers"],
)
def test_noise_that_hides_less_is_found(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., Any]
) -> None:
    monkeypatch.setattr(release, "discrete_gaussian", fault)
    finding = audit_release(settings)
    assert finding.found > MU
    with pytest.raises(PrivacyBudgetError, match=r"the settings promise 0\.173") as refused:
        finding.confirm()
    assert refused.value.exit_code == 77
    assert refused.value.hint


def test_a_listener_who_is_counted_twice_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    once = release._weights

    def twice(*arguments: Any, **options: Any) -> pl.DataFrame:
        return once(*arguments, **options).with_columns(pl.col("weight") * 2)

    monkeypatch.setattr(release, "_weights", twice)
    assert audit_release(settings).found > 1.5 * MU


def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a listener's tracks count in full, whatever was earned."""
    pay = contributions.pay

    def in_full(*arguments: Any, **options: Any) -> pl.DataFrame:
        return pay(*arguments, **options).with_columns(weight=pl.lit(FULL, pl.UInt8))

    monkeypatch.setattr(contributions, "pay", in_full)


def beyond_a_night(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that was saved may be spent in a single night."""
    pay = contributions.pay

    def greedy(*arguments: Any, settings: PrivacySettings, **options: Any) -> pl.DataFrame:
        more = settings.model_copy(update={"most_per_night": settings.largest_balance})
        return pay(*arguments, settings=more, **options)

    monkeypatch.setattr(contributions, "pay", greedy)


def two_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener counts in every region of the night."""

    def anywhere(coarse: pl.LazyFrame, **options: Any) -> contributions.Bounded:
        cells = coarse.collect().group_by("cell", maintain_order=True)
        here = [contributions.bound(some.lazy(), **options) for _, some in cells]
        return contributions.Bounded(pl.concat([some.contributions for some in here]), here[0].balances)

    monkeypatch.setattr(job, "bound", anywhere)


@pytest.mark.parametrize("fault", [unbounded, beyond_a_night, two_regions])
def test_bounds_that_do_not_hold_are_refused_by_the_release_and_else_found(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    fault(monkeypatch)
    with pytest.raises(PrivacyBudgetError, match="the noise would not hide them"):
        audit_release(settings)
    monkeypatch.setattr(release, "_check_bounds", lambda *_, **__: None)
    assert audit_release(settings).found > MU


def test_the_lower_bound_is_that_of_clopper_and_pearson() -> None:
    """Of 1,000 guesses in each world none is wrong: with 1 - chance / 2 a rate is below 1 - (chance / 2)^(1/1000)."""
    never, always = np.zeros(1000, dtype=bool), np.ones(1000, dtype=bool)
    rate = 1 - 0.025 ** (1 / 1000)
    assert lower_bound(never, always, chance=0.05) == pytest.approx(-2 * norm.ppf(rate))
    for wrong, right in ((never, never), (always, always), (always, never)):
        assert lower_bound(wrong, right, chance=0.05) == 0


def test_the_observer_weighs_tiers_by_their_noise_and_sees_through_shared_noise() -> None:
    seed = 20261101
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    blurred = random.normal(0, [1.0, 100.0], size=(4000, 2)), random.normal([2.0, 2.0], [1.0, 100.0], size=(4000, 2))
    wrong, right = guesses(*blurred)
    assert len(wrong) == len(right) == 3600  # a tenth was learned from
    assert wrong.mean() == pytest.approx(norm.cdf(-1), abs=0.03)  # as if there were only the first tier, 2 sigma apart
    assert right.mean() == pytest.approx(norm.cdf(1), abs=0.03)
    shared = random.normal(0, 50.0, size=(2, 400, 1))
    without, among = (world + own for world, own in zip(shared, ([[0.0, 0.0]], [[1.0, 0.0]]), strict=True))
    wrong, right = guesses(without, among)
    assert not wrong.any()
    assert right.all()


def test_epsilon_is_that_of_gaussian_privacy() -> None:
    """mu = 1, epsilon = 1: delta = Phi(-1/2) - e Phi(-3/2) = 0.30854 - 2.71828 * 0.06681 = 0.12693."""
    assert epsilon_of(1.0, delta=0.12693) == pytest.approx(1.0, abs=1e-4)
    assert epsilon_of(0.0, delta=1e-6) == 0
    assert epsilon_of(0.1, delta=0.5) == 0
    assert epsilon_of(0.5, delta=1e-6) < epsilon_of(1.0, delta=1e-6) < epsilon_of(2.0, delta=1e-6)


def test_clones_are_as_many_as_can_be_told_best() -> None:
    assert [audit.clones_for(rho) for rho in (0.015, 2.0, 10.0, 0.0015, 1e-12)] == [10, 1, 1, 32, 1000]


def test_a_budget_that_is_divided_wrongly_does_not_enlarge_the_claim(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were every tier given the whole budget, mu would be sqrt(3) times what the settings promise."""
    divided = release.tiers

    def whole(*arguments: Any, **options: Any) -> tuple[Any, ...]:
        found = divided(*arguments, **options)
        rho = sum(tier.rho for tier in found)
        return tuple(replace(tier, rho=rho, sigma_squared=10 / (2 * rho)) for tier in found)

    monkeypatch.setattr(release, "tiers", whole)
    finding = audit_release(settings)
    assert finding.claimed == pytest.approx(MU)
    assert finding.found > 1.4 * MU
