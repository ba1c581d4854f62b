"""The rows that are wrong on purpose: one in a hundred, in all the ways in which a delivery goes wrong."""

from collections.abc import Mapping

import numpy as np
import polars as pl

SHARE = 0.01  # of all rows

# A bad row is a copy of a good one with the columns of one flaw set. The year 2099 is later than any clock; what is two
# days older than its night came in another night's delivery.
_LATE, _FUTURE = pl.duration(days=-2), pl.datetime(2099, 1, 1, time_zone="UTC")
_NOWHERE = {
    "latitude": pl.lit(None, pl.Float64),
    "longitude": pl.lit(None, pl.Float64),
    "cell": pl.lit(None, pl.String),
}
LISTEN_FLAWS: Mapping[str, Mapping[str, pl.Expr]] = {
    "missing_user": {"user_id": pl.lit(None, pl.String)},
    "missing_track": {"track_id": pl.lit(None, pl.String)},
    "unparsable_time": {"played_at": pl.lit(None, pl.Datetime("us", "UTC"))},
    "future_time": {"played_at": _FUTURE},
    "wrong_day": {"played_at": pl.col("played_at") + _LATE},
    "unknown_track": {"track_id": pl.lit("t-unknown")},
    "position_not_a_number": {**_NOWHERE, "latitude": pl.lit(np.nan), "longitude": pl.lit(np.nan)},
    "latitude_out_of_range": {**_NOWHERE, "latitude": pl.lit(91.5), "longitude": pl.lit(8.25)},
    "longitude_out_of_range": {**_NOWHERE, "latitude": pl.lit(38.5), "longitude": pl.lit(-351.25)},
    "malformed_cell": {**_NOWHERE, "cell": pl.lit("85393360zffffff")},
}
CONSENT_FLAWS: Mapping[str, Mapping[str, pl.Expr]] = {
    "missing_user": {"user_id": pl.lit(None, pl.String)},
    "unknown_purpose": {"purpose": pl.lit("newsletter")},
    "reserved_purpose": {"purpose": pl.lit("contacts")},
    "unknown_state": {"state": pl.lit("perhaps")},
    "unparsable_time": {"at": pl.lit(None, pl.Datetime("us", "UTC"))},
}


def with_flaws(
    rows: pl.DataFrame, flaws: Mapping[str, Mapping[str, pl.Expr]], *, turn: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Put bad rows among good ones, so that they are ``SHARE`` of all.

    Parameters
    ----------
    rows : polars.DataFrame
        Good rows.
    flaws : mapping of name to mapping of column to expression
    turn : int
        With which flaw to begin: they take turns, so that all occur when several nights together have enough rows.
    """
    count = round(rows.height * SHARE / (1 - SHARE))
    names = list(flaws)
    copied = np.sort(rng.choice(rows.height, size=count, replace=False))
    kind = (np.arange(count) + turn) % len(names)
    order = pl.Series("_after", np.arange(rows.height), dtype=pl.Int64)
    parts = [rows.with_columns(order)]
    for number, name in enumerate(names):
        chosen = copied[kind == number]
        parts.append(rows[chosen].with_columns(order.gather(chosen)).with_columns(**flaws[name]))
    return pl.concat(parts).sort("_after", maintain_order=True).drop("_after")
