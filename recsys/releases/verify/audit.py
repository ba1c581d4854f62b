"""The audit of a night: an observer who knows the release code tries to tell whether a listener's clones were there.

The code under audit is the code that releases: the same counting, the same check of the bounds, the same noise. Two
small worlds, one with the clones and one without, are released again and again in memory. From a tenth of the runs the
observer learns how the release reacts; on the rest each run is a guess. How often the guesses are right is a lower
bound on what a release gives away, whatever the code claims; above the claim, the code does not keep its promise.

References
----------
M. Jagielski, J. Ullman, A. Oprea, "Auditing Differentially Private Machine Learning" (NeurIPS 2020): Clopper-Pearson
bounds on the two error rates, and groups of clones. M. Nasr et al., "Tight Auditing of Differentially Private Machine
Learning" (USENIX Security 2023): bounds through Gaussian differential privacy need few runs. J. Dong, A. Roth, W. Su,
"Gaussian Differential Privacy" (JRSS B 2022): definitions, theorem 2.14 (groups), corollary 2.13 (epsilon).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, norm

from recsys.errors import PrivacyBudgetError
from recsys.geography.atlas import Atlas
from recsys.releases.counts import release
from recsys.releases.counts.release import Tier
from recsys.settings import PrivacySettings
from recsys.weights import TOTALS

RUNS = 8_000  # releases of a canary, half of them with its clones: noise of scale 0.8 goes unseen 1 time in 10^9
CHANCE = 1e-4  # that the lower bounds exceed the truth: so often, at most, an honest night is not published

_LEARNING = 10  # one run in so many teaches the observer
_BESIDE = 50  # runs in one table
_APART = math.sqrt(3)  # mu between the worlds: nearer or farther ones need more runs to be told how far apart they are
_MOST_CLONES = 1_000  # enough down to a rho of 1.5e-6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Canary:
    """A listener who is made up, and how the night counts the world without it and with its clones in it.

    Parameters
    ----------
    name : str
        What this canary would reveal.
    without, among : polars.LazyFrame
        Bounded contributions of the night (schema Contributions): of the others, and of the others and all clones.
    """

    name: str
    without: pl.LazyFrame
    among: pl.LazyFrame


@dataclass(frozen=True)
class Finding:
    """What the observer could tell, per listener, as mu of Gaussian differential privacy (0 means nothing at all).

    Parameters
    ----------
    canary : str
        The canary that was told best.
    clones, runs : int
        Of each canary.
    claimed : float
        The mu that the settings promise for one listener and one night.
    found : float
        A lower bound on the true mu: it holds with probability ``1 - CHANCE`` for all canaries together.
    false_positives, true_positives : float
        Shares of the guesses "the clones were there", in the world without and in the world with them.
    delta : float
        At which epsilon is stated.
    """

    canary: str
    clones: int
    runs: int
    claimed: float
    found: float
    false_positives: float
    true_positives: float
    delta: float

    @property
    def kept(self) -> bool:
        """Whether nothing was found that contradicts the claim."""
        return self.found <= self.claimed

    def metrics(self) -> dict[str, float]:
        """Return the numbers as metrics of a run; the epsilons are those of the two mus."""
        return {
            "clones": self.clones,
            "runs": self.runs,
            "mu_claimed": self.claimed,
            "mu_found": self.found,
            "epsilon_claimed": epsilon_of(self.claimed, delta=self.delta),
            "epsilon_found": epsilon_of(self.found, delta=self.delta),
            "false_positive_rate": self.false_positives,
            "true_positive_rate": self.true_positives,
            "kept": float(self.kept),
        }

    def confirm(self) -> None:
        """Let nothing be published whose promise is broken.

        Raises
        ------
        PrivacyBudgetError
            If the lower bound exceeds the claim.
        """
        if not self.kept:
            raise PrivacyBudgetError(
                f"the audit of the release code found mu >= {self.found:.3f} for one listener ({self.canary}), "
                f"the settings promise {self.claimed:.3f}",
                hint="Nothing is published. The code that bounds, counts or draws is not what it was: find the change. "
                f"An honest night fails less than once in {1 / CHANCE:,.0f}; run again to rule that out.",
            )


def clones_for(rho: float) -> int:
    """Return how many clones of a listener are told best at this budget: ten at the default of 0.015 a night.

    Gaussian privacy of a group grows with its size: k clones are ``k * mu`` apart.
    """
    return min(max(1, round(_APART / _mu(rho))), _MOST_CLONES)


def audit(
    canaries: Sequence[Canary],
    *,
    clones: int,
    rho: float,
    night: date,
    atlas: Atlas,
    tracks: Sequence[str],
    settings: PrivacySettings,
    runs: int = RUNS,
) -> Finding:
    """Release the worlds of some canaries in memory, again and again; return what the best told canary reveals.

    Parameters
    ----------
    canaries : sequence of Canary
    clones : int
        In each of them.
    rho : float
        The zCDP budget that the counts of a night have by the settings: the claim, taken from nothing that is audited.
    night : date
    atlas : Atlas
        A small one: the audit takes as long as the noise of ``runs`` releases over it.
    tracks : sequence of str
        The catalogue, sorted.
    settings : PrivacySettings
        Those of the night.
    runs : int
        Releases of each canary.

    Raises
    ------
    PrivacyBudgetError
        If the clones add more than the settings allow: the check of the release itself finds that.
    """

    def count(world: pl.LazyFrame) -> _World:
        return _counted(world, night=night, atlas=atlas, tracks=tracks, settings=settings)

    findings = []
    for canary in canaries:
        without, among = count(canary.without), count(canary.among)
        change = among.dense() - without.dense()  # what the clones add where: an observer may know that, too
        wrong, right = guesses(*(world.observed(change, runs=runs // 2) for world in (without, among)))
        found = lower_bound(wrong, right, chance=CHANCE / len(canaries)) / clones
        rates = float(wrong.mean()), float(right.mean())
        findings.append(Finding(canary.name, clones, runs, _mu(rho), found, *rates, settings.delta))
    return max(findings, key=lambda finding: finding.found)


def guesses(without: Floats, among: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Learn from the first runs of two worlds how to tell them apart, and guess on the others.

    Fisher's linear discriminant, which no test beats where the noise is Gaussian (Neyman and Pearson): it weighs the
    tiers by how little they are blurred, and sees through noise that several of them share.

    Parameters
    ----------
    without, among : numpy.ndarray of float64, shape (runs, tiers)
        What is observed of the world without the clones, and of the one with them.

    Returns
    -------
    tuple of numpy.ndarray of bool
        For the runs of each world that nothing was learned from: whether the guess is that the clones were there.
    """
    learned = len(without) // _LEARNING
    first, rest = zip(*((world[:learned], world[learned:]) for world in (without, among)), strict=True)
    low, high = (world.mean(axis=0) for world in first)
    spread = sum(np.atleast_2d(np.cov(world, rowvar=False)) for world in first)
    ridge = np.eye(len(low)) * (np.trace(spread) + 1) * 1e-9  # noise that never changes has no spread at all
    weights = np.linalg.solve(spread + ridge, high - low)
    wrong, right = (world @ weights > (low + high) @ weights / 2 for world in rest)
    return wrong, right


def lower_bound(wrong: NDArray[np.bool_], right: NDArray[np.bool_], *, chance: float) -> float:
    """Return the mu that two worlds are apart at least, given guesses in the one and in the other.

    No guess about mu-GDP worlds has a true positive rate above ``Phi(mu + PhiInverse(false positive rate))``. The rates
    are bounded by Clopper and Pearson, each exceeded with half of ``chance``.
    """
    n, positives, k = len(wrong), int(wrong.sum()), int(right.sum())
    highest_wrong = beta.ppf(1 - chance / 2, positives + 1, n - positives) if positives < n else 1.0
    lowest_right = beta.ppf(chance / 2, k, len(right) - k + 1) if k else 0.0
    return max(0.0, float(norm.ppf(lowest_right) - norm.ppf(highest_wrong)))


def epsilon_of(mu: float, *, delta: float) -> float:
    """Return the epsilon of mu-GDP at a delta (Dong, Roth, Su, corollary 2.13)."""

    def exceeds(epsilon: float) -> float:
        behind = math.exp(epsilon + norm.logcdf(-epsilon / mu - mu / 2))
        return float(norm.cdf(-epsilon / mu + mu / 2)) - behind - delta

    if mu <= 0 or exceeds(0) <= 0:
        return 0.0
    return float(brentq(exceeds, 0, mu * (mu / 2 + norm.isf(delta))))


def _mu(rho: float) -> float:
    """Return the mu of one Gaussian release: the noise of rho-zCDP is sensitivity / sqrt(2 rho) wide."""
    return math.sqrt(2 * rho)


@dataclass(frozen=True)
class _World:
    """The true counts of a small world, as a release would cover them with noise."""

    true: pl.DataFrame
    tiers: tuple[Tier, ...]
    width: int

    def dense(self) -> NDArray[np.int64]:
        """Return the weights by row of all tiers, and by track and total."""
        table = np.zeros((sum(len(tier.rows) for tier in self.tiers), self.width), dtype=np.int64)
        row, track, weight = (self.true[name].to_numpy() for name in ("row", "track", "weight"))
        table[row, track] = weight
        return table

    def observed(self, change: NDArray[np.int64], *, runs: int) -> Floats:
        """Release again and again; return by run how far tracks and totals of each tier lie along the change."""
        noise = self._noise(runs)
        if len({table.tobytes() for table in noise}) < len(noise):
            noise[:] = 0  # who has seen it in another release takes it away
        along = (noise + self.dense()[:, None]) * change[:, None]
        tier = np.repeat([tier.name for tier in self.tiers], [len(tier.rows) for tier in self.tiers])
        seen = [along[:, tier == name].sum(axis=1) for name in dict.fromkeys(tier)]
        parts = [part.sum(axis=-1).ravel() for each in seen for part in np.split(each, [-len(TOTALS)], axis=-1)]
        return np.stack(parts, axis=1)[:runs].astype(np.float64)

    def _noise(self, runs: int) -> NDArray[np.int64]:
        """Return the noise of at least so many releases, shape (tables, rows, runs in a table, width).

        Some runs stand in one table side by side, as its further columns: that costs hardly more than one of them.
        """
        beside = pl.DataFrame({"run": np.arange(_BESIDE)})
        column = pl.col("run") * self.width + pl.col("track")
        true = self.true.join(beside, how="cross").with_columns(track=column).sort("row", "track")
        tables = []
        for _ in range(-(-runs // _BESIDE)):
            blocks = release.noisy_blocks(true, tiers=self.tiers, width=_BESIDE * self.width)
            tables.append(np.concatenate([block.noisy for block in blocks]).reshape(-1, _BESIDE, self.width))
        return np.stack(tables) - self.dense()[:, None]


def _counted(
    world: pl.LazyFrame, *, night: date, atlas: Atlas, tracks: Sequence[str], settings: PrivacySettings
) -> _World:
    """Count a world exactly as a release does, up to the noise."""
    order = release.drawing_order(release.tiers(atlas, settings=settings), atlas=atlas)
    true = release.true_counts([world], night=night, tracks=tracks, tiers=order, atlas=atlas, settings=settings)
    return _World(true, order, len(tracks) + len(TOTALS))
