"""Frames as a data scientist brings them: a row a play, in whatever library."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from recsys.library import Dataset

LIBRARIES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "pandas": pl.DataFrame.to_pandas,
    "polars": lambda frame: frame,
    "pyarrow": pl.DataFrame.to_arrow,
}
KINDS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.Table}


def frame_of(contributions: pl.DataFrame) -> pl.DataFrame:
    """Return contributions as ``user, item, time, region``, a row for every play."""
    repeated = contributions.select(
        pl.col("listener").repeat_by("plays").alias("user"), item="track_id", time="night", region="part"
    )
    return repeated.explode("user")


def dataset_of(contributions: pl.DataFrame, *, library: str = "polars") -> Dataset:
    """Return contributions as a data set."""
    return Dataset.from_frame(LIBRARIES[library](frame_of(contributions)), region="region", repeats="count")
