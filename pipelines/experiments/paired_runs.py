"""Paired runs: how much better one is than the other, listener by listener, and whether that could be chance."""

from dataclasses import dataclass

import polars as pl

from pipelines.mlflow.model_registry import LoggedRun, Registry
from recsys.errors import InputError
from recsys.models.bootstrap import paired
from recsys.models.report_tables import SERVED

LISTENERS = "listeners"

_ROUNDING = 1e-9  # of sums: an interval that touches zero does not leave it out
_KEYS = ("row", "part", "history")
_QUESTION = ("models.test_nights", "models.gap_nights", "models.min_listeners_per_track")  # who is asked for what


@dataclass(frozen=True)
class Gain:
    """What the right run's model adds to the left one's, by NDCG at 10 on unheard tracks.

    Parameters
    ----------
    left, right, difference : float
        Macro means: over parts, of the means over their listeners.
    low, high : float
        Of the difference, 95 %: a paired bootstrap over listeners within parts.
    listeners : int
        How many were asked.
    """

    left: float
    right: float
    difference: float
    low: float
    high: float
    listeners: int

    @property
    def is_better(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > _ROUNDING

    def __str__(self) -> str:
        """Return the difference with its interval."""
        return f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def why_not(left: LoggedRun, right: LoggedRun) -> str:
    """Return why two runs cannot be paired; empty where they can."""
    if left.data != right.data:
        return f"their data differ: {left.data} (to {left.night}) and {right.data} (to {right.night})"
    if left.atlas != right.atlas:
        return f"their regions differ: atlas {left.atlas} and {right.atlas}"
    asked = [key for key in _QUESTION if left.params.get(key) != right.params.get(key)]
    if asked:
        found = "; ".join(f"{key} is {left.params.get(key)} and {right.params.get(key)}" for key in asked)
        return f"they were not asked the same: {found}"
    return ""


def other_code_in(left: LoggedRun, right: LoggedRun) -> str:
    """Return that two runs were made by different code, which may be what makes them differ; empty where not."""
    return f"their code differs: {left.code} and {right.code}" if left.code != right.code else ""


def both(registry: Registry, left: LoggedRun, right: LoggedRun) -> pl.DataFrame:
    """Return ``part, left, right``: the served model's NDCG at 10 of every listener under both runs, row by row.

    Raises
    ------
    InputError
        If they did not ask the same listeners, at home in the same regions.
    """
    tables = [
        registry.table(run, LISTENERS).select(*_KEYS, pl.col(SERVED).cast(pl.Float64).alias(side))
        for run, side in ((left, "left"), (right, "right"))
    ]
    joined = tables[0].join(tables[1], on=list(_KEYS), validate="1:1", nulls_equal=True)
    if not joined.height == tables[0].height == tables[1].height:
        raise InputError(
            f"{left.label} asked {tables[0].height:,} listeners and {right.label} {tables[1].height:,}, of whom "
            f"{joined.height:,} are the same, at home in the same region",
            hint="Evaluate both again, on the data and with the code of today.",
        )
    return joined.sort("row").select("part", "left", "right")


def gain(listeners: pl.DataFrame) -> Gain:
    """Return what the right run adds over regions; over all listeners where none has a home.

    Parameters
    ----------
    listeners : polars.DataFrame
        ``part, left, right``.
    """
    at_home = listeners.drop_nulls("part")
    asked = listeners if at_home.is_empty() else at_home
    strata = None if at_home.is_empty() else asked["part"].rank("dense").cast(pl.Int64).to_numpy()
    [found] = paired((asked["right"] - asked["left"]).to_numpy()[:, None], strata)
    means = asked.group_by("part").agg(pl.col("left", "right").mean()).select(pl.col("left", "right").mean())
    left, right = means.row(0) if len(asked) else (float("nan"),) * 2
    return Gain(left, right, found.mean, found.low, found.high, len(asked))


def gains_by_part(listeners: pl.DataFrame) -> pl.DataFrame:
    """Return ``part, test_listeners, left, right, difference, low, high`` of every region that was asked."""
    rows = []
    for (part,), some in listeners.drop_nulls("part").partition_by("part", as_dict=True).items():
        found = gain(some)
        rows.append((part, found.listeners, found.left, found.right, found.difference, found.low, found.high))
    return pl.DataFrame(rows, schema=_BY_PART, orient="row")


_BY_PART = {
    "part": pl.String,
    "test_listeners": pl.Int64,
    **dict.fromkeys(("left", "right", "difference", "low", "high"), pl.Float64),
}
