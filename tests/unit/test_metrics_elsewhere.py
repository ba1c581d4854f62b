"""Our metrics are those of RecTools and LensKit on the same lists, as far as these mean the same.

RecTools needs another NumPy than we do, and LensKit brings PyTorch: neither is in requirements.lock. Each is asked in a
Python that has it: this one, or the one that ``RECTOOLS_PYTHON`` or ``LENSKIT_PYTHON`` names.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from recsys.models.metrics import LENGTH, Lists, Values, average_precision, ndcg, recall, reciprocal_rank

SEED, USERS, ITEMS = 20_261_129, 300, 150

RECTOOLS = """
import json, sys
import pandas as pd
from rectools.metrics import MAP, MRR, NDCG, Recall
lists, relevant = json.load(sys.stdin)
reco = [(u, i, rank) for u, row in enumerate(lists) for rank, i in enumerate(row, start=1)]
reco = pd.DataFrame(reco, columns=["user_id", "item_id", "rank"])
truth = pd.DataFrame([(u, i) for u, row in enumerate(relevant) for i in row], columns=["user_id", "item_id"])
metrics = {
    "ndcg_at_10": NDCG(k=10, divide_by_achievable=True),
    "recall_at_20": Recall(k=20),
    "map": MAP(k=100),
    "mrr": MRR(k=100),
}
print(json.dumps({k: m.calc_per_user(reco, truth).sort_index().tolist() for k, m in metrics.items()}))
"""

LENSKIT = """
import json, sys
from lenskit.data import ItemList
from lenskit.metrics import NDCG, LogRankWeight, Recall, RecipRank
lists, relevant = json.load(sys.stdin)
metrics = {
    "ndcg_at_10": NDCG(10, weight=LogRankWeight(offset=1)),
    "recall_at_20": Recall(20),
    "mrr": RecipRank(100),
}
pairs = [(ItemList(item_ids=row, ordered=True), ItemList(item_ids=r)) for row, r in zip(lists, relevant)]
print(json.dumps({k: [float(m.measure_list(*pair)) for pair in pairs] for k, m in metrics.items()}))
"""


@pytest.fixture(scope="module")
def lists() -> tuple[Lists, list[list[int]], list[list[int]]]:
    """Random lists of 100 of 150 items; from 1 to 40 relevant ones, which are sometimes more than are listed."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    listed = np.array([rng.permutation(ITEMS)[:LENGTH] for _ in range(USERS)])
    relevant = [rng.permutation(ITEMS)[: rng.integers(1, 41)] for _ in range(USERS)]
    hits = np.array([np.isin(row, some) for row, some in zip(listed, relevant, strict=True)])
    numbers = np.array([len(some) for some in relevant])
    ours = Lists(np.arange(USERS), listed, hits, numbers)
    return ours, listed.tolist(), [some.tolist() for some in relevant]


def asked(library: str, program: str, *lists: Any) -> dict[str, list[float]]:
    python = os.environ.get(f"{library.upper()}_PYTHON") or (sys.executable if find_spec(library) else None)
    if python is None:
        pytest.skip(f"{library} is not installed, and {library.upper()}_PYTHON names no Python that has it")
    ran = subprocess.run([python, "-c", program], input=json.dumps(lists), capture_output=True, text=True, check=True)
    return dict(json.loads(ran.stdout))


def ours(lists: Lists) -> dict[str, Values]:
    return {
        "ndcg_at_10": ndcg(lists, at=10),
        "recall_at_20": recall(lists, at=20),
        "map": average_precision(lists),
        "mrr": reciprocal_rank(lists),
    }


def test_the_metrics_are_those_of_rectools(lists: Any) -> None:
    """With an ideal list as long as it can be for the user: RecTools' default takes k relevant items of everybody."""
    found = asked("rectools", RECTOOLS, *lists[1:])
    for metric, values in found.items():
        np.testing.assert_allclose(values, ours(lists[0])[metric], atol=1e-12, err_msg=metric)


def test_the_metrics_are_those_of_lenskit(lists: Any) -> None:
    """With the discount of one place further on, and its recall, which divides by the length where more is relevant."""
    found = asked("lenskit", LENSKIT, *lists[1:])
    expected = ours(lists[0])
    expected["recall_at_20"] *= lists[0].relevant / np.minimum(lists[0].relevant, 20)
    for metric, values in found.items():
        np.testing.assert_allclose(values, expected[metric], atol=1e-12, err_msg=metric)
