"""A row of the partner file needs both: enough real listeners, whatever the noise, and a noisy count of some size."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.partnering import made

from recsys.releases.counts import release
from recsys.weights import FULL


def published(folder: Path, monkeypatch: pytest.MonkeyPatch, *, noise: int) -> set[tuple[str, str]]:
    """Return the rows of a file with 19 listeners of one track and 40 of another, with the same noise in every cell."""
    rows = [(f"{i:032x}", "aa1", track) for track, heard in (("t00", 19), ("t01", 40)) for i in range(heard)]
    monkeypatch.setattr(
        release, "discrete_gaussian", lambda size, sigma_squared: np.full(size, noise * FULL, dtype=np.int32)
    )
    return set(pl.read_parquet(made(folder, rows) / "trends.parquet").select("place", "track_id").rows())


def test_no_noise_lifts_a_row_that_too_few_listeners_stand_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert published(tmp_path, monkeypatch, noise=500) == {("aa1", "t01"), ("AA", "t01"), ("world", "t01")}


def test_enough_listeners_alone_are_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert published(tmp_path, monkeypatch, noise=-20) == set()  # 40 listeners, of whom 20 show: the least are 30
