"""Moving up a chart: what is forecast, learned from and judged by, in one place."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FIRST, AHEAD, CLIMB = 50, 7, 5
"""A track enters by being among so many; within so many nights; and climbs by gaining so many places."""


def moved_up(now: ArrayLike, best: ArrayLike) -> NDArray[np.bool_]:
    """Tell which tracks moved up, from their ranks on a night and their best ranks within the nights after it.

    One that is not among the first does by entering them, and one that is by climbing.
    """
    before: NDArray[Any] = np.asarray(now)
    found: NDArray[np.bool_] = np.where(before > FIRST, np.asarray(best) <= FIRST, best <= before - CLIMB)
    return found
