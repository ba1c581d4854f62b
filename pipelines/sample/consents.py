"""What the listeners of a sample world allow: who is asked and says nothing, who gives, who withdraws midway."""

from collections.abc import Mapping
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.sample.geography import Ints
from recsys.consents.log import Purpose, State

SILENT = 0.2  # share of listeners who allow nothing, and are not in the log
GIVES: Mapping[Purpose, float] = {  # of the others, who allows what
    Purpose.CONTRIBUTE_TRENDS: 0.92,
    Purpose.PERSONALISATION: 0.88,
    Purpose.LOCAL_TRENDS: 0.8,
    Purpose.PARTNER_STATISTICS: 0.25,
}
MIDWAY = 0.08  # of the others: asked for the first time during the nights
CONFIRMS = 0.1  # gives everything again when the notice changes
WITHDRAWS = 0.05  # of the others: takes back one purpose or all of them during the nights
RETURNS = 0.2  # of these: gives it again some days later
NEW_NOTICE_DAYS = 60  # before the first night
NOTICES = ("2025-11", "2026-07")
DAY = 24 * 60 * 60


def consent_log(user_ids: pl.Series, *, first: date, nights: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return the log of section 3.1, in the order of time."""
    giving = np.flatnonzero(rng.random(len(user_ids)) >= SILENT)
    purposes = _purposes(len(giving), rng)
    asked = np.where(
        rng.random(len(giving)) < MIDWAY, rng.random(len(giving)) * nights, -400 * rng.random(len(giving)) - 1
    )
    confirmed = np.where((asked < -NEW_NOTICE_DAYS) & (rng.random(len(giving)) < CONFIRMS), 0.0, np.nan)
    confirmed -= NEW_NOTICE_DAYS * rng.random(len(giving)) * 0.9 + 1
    withdrawn, taken_back = _withdrawals(purposes, asked, nights, rng)
    returned = np.where(rng.random(len(giving)) < RETURNS, withdrawn + 2 + 5 * rng.random(len(giving)), np.nan)
    returned[returned >= nights] = np.nan
    entries = pl.concat(
        [
            _entries(giving, purposes, asked, State.GIVEN),
            _entries(giving, purposes, confirmed, State.GIVEN),
            _entries(giving, taken_back, withdrawn, State.WITHDRAWN),
            _entries(giving, taken_back, returned, State.GIVEN),
        ]
    )
    return _written(entries, user_ids, first=first)


def _purposes(count: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return who allows what: shape (listeners, purposes), at least one each."""
    allowed = rng.random((count, len(GIVES))) < np.array(list(GIVES.values()))
    allowed[~allowed.any(axis=1), 0] = True
    return allowed


def _withdrawals(
    purposes: npt.NDArray[np.bool_], asked: npt.NDArray[np.float64], nights: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return when listeners withdraw (days after the first midnight, NaN: never) and what: one purpose, or all."""
    count = len(purposes)
    since = np.maximum(asked, 0)
    withdrawn = np.where(rng.random(count) < WITHDRAWS, since + (nights - since) * rng.random(count), np.nan)
    one = np.argmax(purposes * rng.random(purposes.shape), axis=1)
    only = np.arange(len(GIVES)) == one[:, None]
    return withdrawn, purposes & (only | (rng.random(count) < 0.5)[:, None])


def _entries(
    listener: Ints, purposes: npt.NDArray[np.bool_], at: npt.NDArray[np.float64], state: State
) -> pl.DataFrame:
    """Return one entry for each purpose of each listener who has a time."""
    row, purpose = np.nonzero(purposes & ~np.isnan(at)[:, None])
    return pl.DataFrame(
        {"listener": listener[row], "purpose": purpose, "at": np.floor(at[row] * DAY).astype(np.int64)},
        schema_overrides={"purpose": pl.Int64},
    ).with_columns(state=pl.lit(state.value))


def _written(entries: pl.DataFrame, user_ids: pl.Series, *, first: date) -> pl.DataFrame:
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
    new = pl.col("at") >= -NEW_NOTICE_DAYS * DAY
    ordered = entries.sort("at", "listener", "purpose")
    return ordered.select(
        user_ids.gather(ordered["listener"]),
        pl.col("purpose").replace_strict(dict(enumerate(GIVES)), return_dtype=pl.String),
        "state",
        (pl.lit(midnight) + pl.duration(seconds="at")).alias("at"),
        pl.when(new).then(pl.lit(NOTICES[1])).otherwise(pl.lit(NOTICES[0])).alias("notice_version"),
    )
