"""Which groups of listeners may have a line of their own, so that no figure is of a few people.

It is not enough to leave small groups out: where a total stands beside the others, what is missing is the total minus
the rest. So what is left out, taken together, is nobody, or as many as a line needs.
"""

import numpy as np

from recsys.models.interactions import IntArray
from recsys.models.metrics import BoolArray


def may_be_told(counts: IntArray, totals: IntArray, *, at_least: int) -> BoolArray:
    """Return which groups may be told: large ones, without the smallest of them where too few would be left over.

    Parameters
    ----------
    counts : numpy.ndarray
        (g, k) listeners of each group, counted in k ways.
    totals : numpy.ndarray
        (k,) listeners of all groups, and of none.
    at_least : int
        Listeners that a line needs, whichever way they are counted.

    Returns
    -------
    numpy.ndarray
        (g,) bool.

    References
    ----------
    L. Willenborg, T. de Waal, "Elements of Statistical Disclosure Control" (2001), on secondary suppression.
    """
    told: BoolArray = np.all(counts >= at_least, axis=1)
    left = totals - counts[told].sum(axis=0)
    smallest_first = np.argsort(counts.min(axis=1, initial=np.iinfo(np.int64).max), kind="stable")
    for group in smallest_first[told[smallest_first]]:
        if not ((left > 0) & (left < at_least)).any():
            break
        told[group] = False
        left = left + counts[group]
    return told
