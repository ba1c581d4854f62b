"""COARSE: the takeover of a store from before weights were earned, when a listener counted in full or not at all.

``counted/bucket=NN.parquet`` held the nights of a year on which each listener counted. Here they are paid for after the
fact, so that whoever counted often begins with a debt: the nights before and after the takeover together keep the same
bound as all others.
"""

import io
import math
import shutil
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.cells.earnings import BALANCES, Bucket, buckets
from recsys.schemas import Contributions
from recsys.sealed_files import SealedFiles
from recsys.settings import PrivacySettings
from recsys.weights import FULL, SQUARE
from recsys.workspace import replace_file

COUNTED = "counted"

_DAY = timedelta(days=1)
_NOBODY = np.zeros(0, dtype=np.uint32)


def take_over(files: SealedFiles, *, released: date | None, settings: PrivacySettings, spent: float) -> bool:
    """Turn a store of before into one of now; return whether there was one. After a crash it is done again.

    Parameters
    ----------
    files : SealedFiles
        Of the private store.
    released : date or None
        The last night that was released: what was counted later was not, and is run again.
    settings : PrivacySettings
    spent : float
        The largest squared length that a listener added to any of its nights, by the ledger.
    """
    private, before = files.private, files.private / COUNTED
    if not before.exists():
        return False
    nights = sorted((private / "contributions").glob("date=*"))
    for path in (file for night in nights for file in night.glob("bucket=*.parquet")):
        rows = pl.read_parquet(files.read(path), hive_partitioning=False)
        if COUNTED in rows.columns:
            _rewrite(path, _weighed(rows), files=files)
    for path in sorted(before.glob("bucket=*.parquet")):
        if released is None:
            break
        counted = pl.read_parquet(path).filter(pl.col("night") <= released)
        folder = private / "contributions" / f"date={released}" / "balances"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _rewrite(folder / path.name, owed(counted, last=released, settings=settings, spent=spent), files=files)
    gone = before.rename(private / f".{COUNTED}.staged")
    shutil.rmtree(gone)
    return True


def owed(counted: pl.DataFrame, *, last: date, settings: PrivacySettings, spent: float) -> pl.DataFrame:
    """Return the balances after nights on which listeners counted in full, from full buckets on; below zero for a debt.

    Parameters
    ----------
    counted : polars.DataFrame
        ``listener``, ``night``: one row for each.
    last : date
        The night that the balances stand for.
    settings : PrivacySettings
    spent : float
        On each of them.
    """
    listeners = counted["listener"].unique().sort()
    known = pl.DataFrame({"listener": listeners}).with_row_index("at")
    by_night = {night: rows["at"].to_numpy() for (night,), rows in counted.join(known, on="listener").group_by("night")}
    paid = math.ceil(spent * SQUARE)
    found = {
        name: _replayed(by_night, bucket, size=len(listeners), last=last, paid=paid)
        for name, bucket in buckets(settings).items()
    }
    return pl.DataFrame({"listener": listeners, "night": [last] * len(listeners), **found}, schema=dict(BALANCES))


def _replayed(
    by_night: Mapping[date, NDArray[np.uint32]], bucket: Bucket, *, size: int, last: date, paid: int
) -> NDArray[np.int32]:
    """Return the balances of some listeners, who are numbered, after all nights."""
    balance = np.full(size, bucket.size, dtype=np.int64)
    for night in _days(min(by_night, default=last), last):
        balance = np.minimum(balance + bucket.earning, bucket.size)
        balance[by_night.get(night, _NOBODY)] -= paid
    return balance.astype(np.int32)


def _days(first: date, last: date) -> Iterator[date]:
    return (first + day * _DAY for day in range((last - first).days + 1))


def _weighed(rows: pl.DataFrame) -> pl.DataFrame:
    weight = pl.col(COUNTED).cast(pl.UInt8) * FULL
    return rows.with_columns(weight=weight).select(Contributions.column_names())


def _rewrite(path: Path, rows: pl.DataFrame, *, files: SealedFiles) -> None:
    content = io.BytesIO()
    rows.write_parquet(content)
    replace_file(path, files.sealed(content.getvalue(), path), mode=0o600)
