"""Local music by country: the share of a country's own artists in what was played there, and in what is listed."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy import sparse

from recsys.models.evaluation.disclosure import may_be_told
from recsys.models.local_music import LocalMusic
from recsys.models.metrics import Lists
from recsys.models.place_tree import NOWHERE

SCHEMA: Mapping[str, type[pl.DataType]] = {
    "country": pl.String,
    "local_share_played": pl.Float64,
    "local_share_listed": pl.Float64,
    "points": pl.Float64,
}


def by_country(lists: Lists, heard: sparse.csr_array, *, local: LocalMusic | None, at_least: int) -> pl.DataFrame:
    """Return a row for each country with enough listeners: shares of local tracks, means over its test listeners.

    Where the countries without a row had too few listeners together, the smallest with enough have none either. No
    number of listeners is told: less those of a country's regions, it would be the number of those not told of.

    Parameters
    ----------
    lists : Lists
        Without what was heard.
    heard : scipy.sparse.csr_array
        (n, m) non-zero where a listener played a track before.
    local : LocalMusic, optional
        None where artists are not known, and then there is no row.
    at_least : int
        Listeners behind each figure, known and asked.

    Returns
    -------
    polars.DataFrame
        ``country, local_share_played, local_share_listed`` (0 to 1) and ``points``, by how many percentage points
        more is listed than was played.
    """
    if local is None:
        return pl.DataFrame(schema=SCHEMA)
    lists = lists.of(local.country[lists.listeners] != NOWHERE)
    country, number = local.country[lists.listeners], len(local.countries)
    asked = np.bincount(country, minlength=number)
    known = np.bincount(local.country[local.country != NOWHERE], minlength=number)
    counts = np.column_stack([known, asked])
    shares = (local.shares_played(heard, lists.listeners), local.shares_listed(lists.tracks, lists.listeners))
    sums = (np.bincount(country, weights=share, minlength=number) for share in shares)
    played, listed = (total / np.maximum(asked, 1) for total in sums)
    columns = (local.countries, played, listed, 100 * (listed - played))
    told = may_be_told(counts, counts.sum(axis=0), at_least=at_least)
    return pl.DataFrame(dict(zip(SCHEMA, columns, strict=True)), schema=SCHEMA).filter(pl.Series(told)).sort("country")
