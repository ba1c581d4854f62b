"""A listener's own list, made as the endpoint makes it, from evidence that a test writes down."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts.scoring import Ranking


def put_in_order(
    evidence: NDArray[np.float32],
    weights: Sequence[float],
    *,
    standings: NDArray[np.int32] | None = None,
    limit: int | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (k,) the best of n candidates, and (k,) the reason of each; by default nothing is sure of them."""
    sure = np.zeros(len(evidence), dtype=np.int32) if standings is None else standings
    ranking = Ranking(evidence, weights)
    order = ranking.served(standings=sure)[:limit]
    return order, ranking.reasons(order, standings=sure)
