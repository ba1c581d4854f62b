"""The threshold of a partner file, and what the number of real listeners behind a row costs in differential privacy."""

import math
from functools import lru_cache

import numpy as np

from recsys.settings import PartnerSettings

_WIDE = 40  # standard deviations: what the tail of a discrete Gaussian has beyond them is below 2^-1000


def threshold(sigma_squared: float, *, settings: PartnerSettings) -> int:
    """Return the smallest noisy count that may be published, a multiple of ``rounding``.

    A row is published where its noisy count reaches the threshold T *and* at least m = ``min_listeners`` real listeners
    stand behind it. The second condition looks at the true count, so it is no post-processing; this is what it costs.
    Take two inputs D and D', the latter with one listener more, who adds at most 1 to k pairs of place and track. A
    pair that the listener does not touch has the same true count in both: that it is shown or not by that count is a
    fixed rule for the two inputs, which costs nothing. A touched one with n in D and n + 1 in D' falls under the same
    rule, where n >= m (both may show it) or n + 1 < m (neither may). There remain those with n = m - 1: D never shows
    them, D' shows one if m + noise >= T. Call that event A; it has probability a <= k P(noise >= T - m). Leave these
    pairs out on both sides: what is left, M, is post-processing of the noisy counts, hence (e, d)-DP, and the noise of
    A is not in it. The real outputs are M(D), and M(D') unless A happens. For every set S of outputs

        P[out(D') in S] <= P[M(D') in S] + a <= exp(e) P[out(D) in S] + d + a
        P[out(D)  in S] <= exp(e) P[M(D') in S] + d <= exp(e) P[out(D') in S] / (1 - a) + d

    because out(D') is in S whenever M(D') is and A does not happen, two independent things. So the file is
    (e - ln(1 - a), d + a)-DP, and the a of several files add up. T - m is what decides: m itself would be one too many,
    which is the error of opendp's issue 2922. ``threshold_delta`` bounds P(noise >= T - m).

    Parameters
    ----------
    sigma_squared : float
        Of the discrete Gaussian noise.
    settings : PartnerSettings

    References
    ----------
    The two steps are those of stability-based histograms: A. Korolova, K. Kenthapadi, N. Mishra, A. Ntoulas,
    "Releasing Search Queries and Clicks Privately" (WWW 2009).
    """
    tails = _tails(sigma_squared)
    margin = int(np.searchsorted(-tails, -settings.threshold_delta))
    return -(-(settings.min_listeners + margin) // settings.rounding) * settings.rounding


def failure(sigma_squared: float, *, settings: PartnerSettings) -> float:
    """Return P(noise >= threshold - min_listeners): how likely one listener more lets a row appear."""
    tails = _tails(sigma_squared)
    margin = threshold(sigma_squared, settings=settings) - settings.min_listeners
    return float(tails[margin]) if margin < len(tails) else 0.0


@lru_cache(maxsize=8)
def _tails(sigma_squared: float) -> np.ndarray:
    """Return P(X >= x) of the discrete Gaussian for x = 0, 1, ...; summed from the far end, where terms are small."""
    if not 0.01 <= sigma_squared <= 1e9:
        raise ValueError(f"sigma_squared is {sigma_squared}, expected between 0.01 and 1e9")
    x = np.arange(math.ceil(_WIDE * math.sqrt(sigma_squared)) + 1)
    weights = np.exp(-(x**2) / (2 * sigma_squared))
    upper = np.cumsum(weights[::-1])[::-1]
    return np.asarray(upper / (2 * upper[0] - weights[0]))
