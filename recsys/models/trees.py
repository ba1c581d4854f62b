"""Boosted trees, grown by scikit-learn and asked by one compiled loop over rows."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from recsys.compiled import compiled
from recsys.models.interactions import FloatArray, IntArray
from recsys.models.metrics import Values

_LEAF = -1


class _Nodes(NamedTuple):
    """The nodes of all trees: a value of at most the threshold leads left. The feature of a leaf is -1."""

    feature: IntArray
    threshold: Values
    left: IntArray
    right: IntArray
    value: Values


@dataclass(frozen=True)
class Trees:
    """Trees whose leaves are summed.

    scikit-learn asks one tree after the other about all rows, which come from memory anew for each: here a row stays
    in the processor until all trees are asked. The sum is the same to the last bit, for a third of the time.

    Parameters
    ----------
    baseline : float
        What the values of leaves are added to.
    roots : numpy.ndarray
        (trees,) positions among the nodes.
    nodes : tuple of numpy.ndarray
    """

    baseline: float
    roots: IntArray = field(repr=False)
    nodes: _Nodes = field(repr=False)

    @classmethod
    def of(cls, grown: HistGradientBoostingClassifier) -> Self:
        """Return the trees of a classifier of two classes that met no missing value and no category."""
        trees = [predictor.nodes for (predictor,) in grown._predictors]
        sizes, every = [len(tree) for tree in trees], np.concatenate(trees)
        roots = np.append(0, np.cumsum(sizes)[:-1])
        return cls(float(grown._baseline_prediction.item()), roots, _nodes(every, before=np.repeat(roots, sizes)))

    def decision_function(self, features: FloatArray) -> Values:
        """Return (n,) sums of (n, f) finite features: the higher, the likelier the second class."""
        found = np.full(len(features), self.baseline)
        _add(features, self.roots, self.nodes, found)
        return found


def _nodes(every: NDArray[Any], *, before: IntArray) -> _Nodes:
    """Lay out scikit-learn's nodes, which are numbered within their tree, after those of the trees before."""
    return _Nodes(
        feature=np.where(every["is_leaf"], _LEAF, every["feature_idx"]),
        threshold=every["num_threshold"].copy(),
        left=before + every["left"],
        right=before + every["right"],
        value=every["value"].copy(),
    )


@compiled
def _add(features: FloatArray, roots: IntArray, nodes: _Nodes, found: Values) -> None:
    """Add to each row's number the values of the leaves that it comes to."""
    for row in range(len(features)):
        for root in roots:
            node = root
            while nodes.feature[node] != _LEAF:
                left = features[row, nodes.feature[node]] <= nodes.threshold[node]
                node = nodes.left[node] if left else nodes.right[node]
            found[row] += nodes.value[node]
