"""Released counts beside the variance of the noise in them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Noisy:
    """Released counts and the variance of the noise in them, both of shape (places, tracks)."""

    counts: Array
    variance: Array

    def __and__(self, other: "Noisy") -> "Noisy":
        """Return what two independent measurements of the same counts say together: their mean by inverse variance."""
        share = other.variance / (self.variance + other.variance)
        return Noisy(share * self.counts + (1 - share) * other.counts, share * self.variance)

    def __getitem__(self, index: slice) -> "Noisy":
        """Return some places."""
        return Noisy(self.counts[index], self.variance[index])
