"""Interleaved lists: how much more of what listeners play from lists that two rankers shared was the challenger's."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recsys.models.evaluation.disclosure import may_be_told
from recsys.models.evaluation.intervals import Difference, by_stratum, paired
from recsys.models.interactions import homes_of

PART_SCHEMA = {
    "part": pl.String,
    "listeners": pl.Int64,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
}
NOTHING = Difference(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Preference:
    """Which of two rankers listeners prefer, as they played from lists that both shared.

    Parameters
    ----------
    listeners : int or None
        Who played anything that one of both had put there; None where they are too few to be told.
    difference : Difference
        Their mean share of plays that were the challenger's minus that of the champion's, -1 to 1; NaN where too few.
    by_part : polars.DataFrame
        The same for each part of the atlas with enough listeners (``PART_SCHEMA``).
    """

    listeners: int | None
    difference: Difference
    by_part: pl.DataFrame = field(repr=False)


def preference(credits: pl.DataFrame, rows: pl.DataFrame, *, challenger: str, at_least: int) -> Preference:
    """Return which ranker listeners prefer, each listener counting once, however much was played.

    A listener's difference is (c - a) / (c + a), where c plays are credited to the challenger and a to the champion:
    zero on average where both are alike, as a coin shares out who picks first. Intervals are of how much
    listeners differ, whom nothing but their own lists and plays makes do so.

    Parameters
    ----------
    credits : polars.DataFrame
        A row a play: ``listener`` and ``team``.
    rows : polars.DataFrame
        Contributions, by which listeners are at home: ``listener``, ``part``, ``night``, ``plays``.
    challenger : str
        The challenger's team.
    at_least : int
        Listeners that a figure needs. Of parts, those too few are left out, and so many more that what they are
        together does not follow from the others.

    References
    ----------
    F. Radlinski, M. Kurup and T. Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?" (CIKM 2008);
    O. Chapelle et al., "Large-Scale Validation and Analysis of Interleaved Search Evaluation" (TOIS 2012).
    """
    sign = pl.when(pl.col("team") == challenger).then(1.0).otherwise(-1.0).alias("difference")
    each = credits.select("listener", sign).group_by("listener").agg(pl.col("difference").mean()).sort("listener")
    if len(each) < at_least:
        return Preference(None, NOTHING, pl.DataFrame(schema=PART_SCHEMA))
    values = each["difference"].to_numpy()
    parts, homes = homes_of(rows, each["listener"])
    counts = np.bincount(homes[homes >= 0], minlength=len(parts))
    told = may_be_told(counts[:, None], np.array([len(each)]), at_least=at_least)
    there = np.flatnonzero(told)
    asked = np.isin(homes, there)
    found = zip(there, by_stratum(values[asked], homes[asked]), strict=True)
    lines = [(parts[part], int(counts[part]), one.mean, one.low, one.high) for part, one in found]
    (of_all,) = paired(values[:, None])
    return Preference(len(each), of_all, pl.DataFrame(lines, schema=PART_SCHEMA, orient="row"))
