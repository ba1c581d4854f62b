"""The library for notebooks: a frame becomes a data set, and one's own models are compared with ours on it.

>>> dataset = Dataset.from_frame(frame, user="user", item="item", time="time", region="city")
>>> evaluate(dataset, models={"mine": MyModel()})
"""

from recsys.library.dataset import Dataset
from recsys.library.evaluation import Results, evaluate
from recsys.library.models import ALS, EASE, OURS, Blend, Model, Neighbours, Popular, PopularInRegion

__all__ = [
    "ALS",
    "EASE",
    "OURS",
    "Blend",
    "Dataset",
    "Model",
    "Neighbours",
    "Popular",
    "PopularInRegion",
    "Results",
    "evaluate",
]
