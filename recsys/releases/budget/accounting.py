"""Privacy accounting: epsilon by two independent accountants, for a night, 28 days and a year.

Everything public is a table of counts, of which one listener changes some a little, under discrete Gaussian noise. So
the cost of any set of releases is known from one thing: the squared Euclidean length of what a listener adds to counts
with how much noise. It is stated in listeners, of whom one track in full is 1, and rounded up to whole ones.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from opendp.combinators import make_zCDP_to_approxDP
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian
from opendp.metrics import l2_distance
from opendp.mod import enable_features

from recsys.releases.budget.ledger import CHARTS, Entry, Spend
from recsys.settings import PartnerSettings, PrivacySettings

NIGHT, MONTH, YEAR = 1, 28, 365  # nights: of privacy.most_per_night, most_per_28_nights and most_per_365_nights
AGREEMENT = 0.1  # by how much of the larger one the two accountants may differ

_DAY = timedelta(days=1)
_GRID = 1e-4  # of privacy losses in dp-accounting, rounded up: a finer one gives at most 2 % less, and takes longer
_COARSER = 3.0  # rho from which on the grid grows with it: losses are larger, too

enable_features("contrib")


@dataclass(frozen=True)
class Exposure:
    """How much one listener can change noisy counts, under how much noise.

    Parameters
    ----------
    counts : tuple of (float, int)
        σ² of the discrete Gaussian noise, and the squared length of what a listener adds to counts with such noise: as
        if as many counts were changed by one each. Changes by parts of one listener, on the finer grid that noise is
        drawn on, cost no more by zCDP, and by the distribution of losses the same up to how the grids differ from a
        Gaussian.
    failure : float
        Probability that a hard threshold shows a count that only this listener lifted over the smallest number of
        real listeners (:func:`recsys.releases.partner.threshold`); 0 where there is no such threshold.
    """

    counts: tuple[tuple[float, int], ...]
    failure: float = 0.0

    @property
    def rho(self) -> float:
        """The zCDP budget: a change of squared length 1 under noise σ² costs 1 / (2σ²)."""
        return math.fsum(count / (2 * sigma_squared) for sigma_squared, count in self.counts)

    def times(self, releases: int) -> "Exposure":
        """Return the exposure to several releases like this one."""
        return together([self] * releases)


@dataclass(frozen=True)
class Epsilon:
    """One guarantee by both accountants; each holds, and the larger one is stated.

    Parameters
    ----------
    opendp : float
        From the zCDP budget, by opendp's conversion.
    dp_accounting : float
        From the distribution of the privacy loss itself, by Google's dp-accounting.
    """

    opendp: float
    dp_accounting: float

    @property
    def stated(self) -> float:
        """The larger of both."""
        return max(self.opendp, self.dp_accounting)

    @property
    def agree(self) -> bool:
        """Whether they differ by at most ``AGREEMENT`` of the larger one."""
        return abs(self.opendp - self.dp_accounting) <= AGREEMENT * self.stated


def guarantee(rho: float, *, delta: float) -> float:
    """Return the epsilon of the (epsilon, delta) guarantee that a zCDP budget implies, by opendp's accountant.

    The distance of the drawn noise from an exact discrete Gaussian (:mod:`recsys.releases.counts.noise`) adds less
    than 2^-90 to delta, which is below the resolution of the result.

    Parameters
    ----------
    rho : float
        zCDP budget; budgets of several releases add up.
    delta : float
        The probability at which epsilon is stated.

    References
    ----------
    M. Bun, T. Steinke, "Concentrated Differential Privacy" (TCC 2016); the tighter conversion is that of C. Canonne,
    G. Kamath, T. Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020).
    """
    space = vector_domain(atom_domain(T="i64")), l2_distance(T=float)
    gaussian = make_gaussian(*space, scale=1.0)  # of unit scale: a distance d costs rho = d²/2
    return float(make_zCDP_to_approxDP(gaussian).map(math.sqrt(2 * rho)).epsilon(delta))  # type: ignore[no-untyped-call]


@lru_cache(maxsize=256)
def epsilon(exposure: Exposure, *, delta: float) -> Epsilon:
    """Return what an exposure guarantees at a delta, by both accountants.

    A threshold that fails with probability a takes a of the delta, and -ln(1-a) is added to the epsilon (derived at
    :func:`recsys.releases.partner.threshold`).

    Parameters
    ----------
    exposure : Exposure
        Nothing at all guarantees an epsilon of 0.
    delta : float
        Infinite epsilons come back where ``exposure.failure`` is as much.

    References
    ----------
    A. Koskela, J. Jälkö, A. Honkela, "Computing Tight Differential Privacy Guarantees Using FFT" (AISTATS 2020); V.
    Doroshenko et al., "Connect the Dots: Tighter Discrete Approximations of Privacy Loss Distributions" (PoPETs 2022).
    """
    if not exposure.counts:
        return Epsilon(0.0, 0.0)
    left, added = delta - exposure.failure, -math.log1p(-min(exposure.failure, 0.5))
    if left <= 0:
        return Epsilon(math.inf, math.inf)
    losses = float(_losses(exposure.counts).get_epsilon_for_delta(left))
    return Epsilon(guarantee(exposure.rho, delta=left) + added, losses + added)


def best_guess(exposure: Exposure) -> float:
    """Return how often the best guess of whether a listener took part is right, of two equally likely answers.

    Nobody who sees what was published does better, whatever else they know: the probability is (1 + TV) / 2, where TV,
    the largest total variation distance that the listener makes, is the delta at an epsilon of 0.
    """
    if not exposure.counts:
        return 0.5
    return (1 + min(1.0, float(_losses(exposure.counts).get_delta_for_epsilon(0.0)) + exposure.failure)) / 2


def together(exposures: Iterable[Exposure]) -> Exposure:
    """Return the exposure to several releases: counts and failures add up."""
    counts: Counter[float] = Counter()
    failure = 0.0
    for exposure in exposures:
        failure += exposure.failure
        for sigma_squared, count in exposure.counts:
            counts[sigma_squared] += count
    return Exposure(tuple(sorted(counts.items())), failure)


def spent(spend: Spend) -> Exposure:
    """Return the exposure to a release by its line in the ledger: from sensitivity and noise, not from what it says."""
    return _adding(spend, math.ceil(spend.sensitivity_squared))


def allowed(privacy: PrivacySettings, *, nights: int) -> Exposure:
    """Return the largest exposure to the charts in any such number of nights that the settings allow.

    Parameters
    ----------
    privacy : PrivacySettings
    nights : {1, 28, 365}
    """
    return _of(privacy, rho=privacy.rho_per_night, one=privacy.most_per_night, most=_now(privacy)[nights])


def allowed_to_partners(privacy: PrivacySettings, partner: PartnerSettings, *, nights: int) -> Exposure:
    """Return the largest exposure to the partner files that reach into any such number of nights.

    Files have no night in common and at least ``min_nights`` each: a window of W nights cuts one at either end, and
    holds (W - 2) / min_nights whole ones in between.
    """
    files = 1 if nights == NIGHT else 2 + (nights - 2) // partner.min_nights
    one = _of(privacy, rho=partner.rho, one=partner.most_per_file, most=partner.most_per_file)
    failure = partner.threshold_delta * partner.max_tracks * len(one.counts)
    return Exposure(one.counts, failure).times(files)


def worst(entries: Sequence[Entry], *, privacy: PrivacySettings, nights: int) -> Exposure:
    """Return the largest exposure that one listener can have to what the ledger lists, in any such number of nights.

    A window of nights loses nothing when it is moved on until its first night is the last night of a release: only
    such windows are looked at. What a listener has earned is taken to be spent on the nights that cost most.
    """
    windows = [between(entries, entry.spend.night, entry.spend.night + (nights - 1) * _DAY) for entry in entries]
    found = [capped(window, privacy=privacy, nights=nights) for window in windows]
    return max(found, key=lambda exposure: exposure.rho, default=Exposure(()))


def between(entries: Iterable[Entry], first: date, last: date) -> list[Entry]:
    """Return the entries whose releases have a night from the first to the last one."""
    return [entry for entry in entries if entry.spend.first <= last and entry.spend.night >= first]


def capped(window: Sequence[Entry], *, privacy: PrivacySettings, nights: int) -> Exposure:
    """Return the largest exposure of one listener to the entries of a window: all files, and the bounds of the nights.

    Each bound is the largest that any of the nights was released under. A window of fewer nights than a year is bounded
    by the months in it, too.
    """
    nightly = [entry.spend for entry in window if _is_nightly(entry)]
    others = [spent(entry.spend) for entry in window if not _is_nightly(entry)]
    bounds = {over: _bound([_saved(spend, privacy, over) for spend in nightly]) for over in NAMES}
    months = -(-_span(window) // MONTH)
    left, exposures = {**bounds, YEAR: min(bounds[YEAR], months * bounds[MONTH])}[nights], []
    for spend in sorted(nightly, key=lambda spend: -spent(spend).rho / spend.sensitivity_squared):
        added = min(left, math.ceil(spend.sensitivity_squared))
        exposures.append(_adding(spend, added))
        left -= added
    return together([*others, *exposures])


def summary(privacy: PrivacySettings) -> dict[str, float]:
    """Return what a listener's data can cost the charts at most, in a night, any 28 and any 365, as metrics of a run.

    Keys are ``rho_night``, ``epsilon_night`` (the larger one), ``epsilon_night_opendp``,
    ``epsilon_night_dp_accounting``, the same with ``28_nights`` and ``365_nights``, and ``delta``.
    """
    found: dict[str, float] = {}
    for nights, name in NAMES.items():
        exposure = allowed(privacy, nights=nights)
        found |= {f"rho_{name}": exposure.rho, **_named(epsilon(exposure, delta=privacy.delta), name)}
    return found | {"delta": privacy.delta}


NAMES: Mapping[int, str] = {NIGHT: "night", MONTH: "28_nights", YEAR: "365_nights"}


def _named(found: Epsilon, name: str) -> dict[str, float]:
    return {
        f"epsilon_{name}": found.stated,
        f"epsilon_{name}_opendp": found.opendp,
        f"epsilon_{name}_dp_accounting": found.dp_accounting,
    }


def _of(privacy: PrivacySettings, *, rho: float, one: int, most: int) -> Exposure:
    """Return the exposure to releases of ``rho`` a squared length of ``one``, over all tiers that there can be."""
    shares = (1 - privacy.country_share - privacy.world_share, privacy.country_share, privacy.world_share)
    return together(Exposure(((one / (2 * rho * share), most),)) for share in shares if share > 0)


def _adding(spend: Spend, most: int) -> Exposure:
    """Return the exposure to a release of a listener who adds a squared length of ``most`` to it."""
    counts = [Exposure(((tier["sigma_squared"], most),)) for tier in spend.tiers.values() if most > 0]
    return together([*counts, Exposure((), float(spend.parameters.get("threshold_failure", 0.0)))])


def _now(privacy: PrivacySettings) -> dict[int, int]:
    """Return the largest squared length in any such number of nights, by the settings."""
    return {NIGHT: privacy.most_per_night, MONTH: privacy.most_per_28_nights, YEAR: privacy.most_per_365_nights}


def _is_nightly(entry: Entry) -> bool:
    return entry.spend.purpose == CHARTS


def _saved(spend: Spend, privacy: PrivacySettings, over: int) -> tuple[int, int]:
    """Return the largest balance and the most in so many nights, as a night was released under.

    Before weights were earned, a listener added a night's most on so many nights of any 28 and 365, and saved nothing.
    """
    known, one = spend.parameters, math.ceil(spend.sensitivity_squared)
    if over == NIGHT:
        return 0, one
    if "max_nights" in known:
        return 0, one * known["max_nights" if over == MONTH else "max_nights_per_year"]
    name = "most_per_28_nights" if over == MONTH else "most_per_365_nights"
    return known.get("largest_balance", privacy.largest_balance), known.get(name, _now(privacy)[over])


def _bound(saved: Sequence[tuple[int, int]]) -> int:
    """Return the most in a window whose nights may have been released under several settings.

    What was saved under one may be spent under another, which lets earn more.
    """
    earned = [(size, most - size) for size, most in saved if size]
    together = sum(max(column) for column in zip(*earned, strict=True)) if earned else 0
    return max([together, *(most for _, most in saved)], default=0)


def _span(window: Sequence[Entry]) -> int:
    """Return how many nights lie from the first nightly release to the last."""
    nights = [entry.spend.night for entry in window if _is_nightly(entry)]
    return (max(nights) - min(nights)).days + 1 if nights else 0


@lru_cache(maxsize=64)
def _losses(counts: tuple[tuple[float, int], ...]) -> Any:
    """Return dp-accounting's distribution of the privacy loss; imported here because that takes a second or two."""
    from dp_accounting.pld import privacy_loss_distribution as pld  # noqa: PLC0415

    grid = _GRID * max(1.0, Exposure(counts).rho / _COARSER)

    def loss(sigma_squared: float, count: int) -> Any:
        one: Callable[..., Any] = pld.from_discrete_gaussian_mechanism
        return one(math.sqrt(sigma_squared), value_discretization_interval=grid).self_compose(count)

    first, *rest = (loss(sigma_squared, count) for sigma_squared, count in counts)
    for other in rest:
        first = first.compose(other)
    return first
