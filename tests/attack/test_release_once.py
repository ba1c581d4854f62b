"""Promise 6: a re-run never draws new noise, and a spend is on disk before its noise exists."""

import json
import random
import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from releasing import NIGHT, NOW, PRIVACY, TRACKS, contributed, released, small_atlas

from recsys.errors import PrivacyBudgetError
from recsys.releases import counts
from recsys.releases.ledger import Ledger
from recsys.settings import load_settings
from recsys.workspace import digest

ROWS = [(f"listener {i}", "aa1", TRACKS[i % 3]) for i in range(30)]


class Crash(BaseException):
    """What no handler catches."""


def bytes_of(folder: Path) -> dict[str, str]:
    return {path.name: digest(path) for path in folder.iterdir()}


def draws_nothing(size: int, sigma_squared: float) -> Any:
    pytest.fail("noise was drawn again")


def crashes(*_: Any, **__: Any) -> Any:
    raise Crash


def test_a_second_release_is_the_first_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bytes_of(released(contributed(ROWS), tmp_path))
    entries = Ledger(tmp_path / "ledger.db").entries()
    monkeypatch.setattr(counts, "discrete_gaussian", draws_nothing)
    more = contributed([*ROWS, *((f"late {i}", "aa2", "t05") for i in range(50))])
    richer = PRIVACY.model_copy(update={"rho_per_night": 1.0})
    for again in (
        released(contributed(ROWS), tmp_path),
        released(more, tmp_path),
        released(
            contributed([]), tmp_path, settings=richer, candidates=["new"], atlas=small_atlas("BB", version="new")
        ),
    ):
        assert bytes_of(again) == first
    assert Ledger(tmp_path / "ledger.db").entries() == entries
    assert len(entries) == 1


def test_the_spend_is_on_disk_before_noise_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, draw = [], counts.discrete_gaussian

    def look(size: int, sigma_squared: float) -> Any:
        shutil.copytree(tmp_path, copy := tmp_path.parent / "as a crash would leave it")  # no open connection helps
        connection = sqlite3.connect(copy / "ledger.db")
        found.extend(connection.execute("SELECT night, rho, tiers FROM entries").fetchall())
        connection.close()
        return draw(size, sigma_squared=sigma_squared)

    monkeypatch.setattr(counts, "discrete_gaussian", look)
    released(contributed(ROWS), tmp_path)
    ((night, rho, tiers),) = found
    assert (night, rho) == ("2026-10-01", 0.015)
    assert json.loads(tiers)["part"]["sigma_squared"] == pytest.approx(10 / 0.03)


def test_a_ledger_that_cannot_be_written_stops_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "discrete_gaussian", draws_nothing)
    monkeypatch.setattr(Ledger, "commit", crashes)
    with pytest.raises(Crash):
        released(contributed(ROWS), tmp_path)
    assert not (tmp_path / "releases" / str(NIGHT)).exists()


@pytest.mark.parametrize("at", ["discrete_gaussian", "write_manifest"])
def test_a_crash_before_anything_left_spends_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(counts, at, crashes)
        with pytest.raises(Crash):
            released(contributed(ROWS), tmp_path)
    assert list((tmp_path / "releases").glob("*")) == list((tmp_path / "releases").glob(".*")) == []
    released(contributed(ROWS), tmp_path)
    assert [entry.number for entry in Ledger(tmp_path / "ledger.db").entries()] == [1]


def test_a_crash_before_completion_is_completed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(Ledger, "complete", crashes)
        with pytest.raises(Crash):
            released(contributed(ROWS), tmp_path)
    folder = tmp_path / "releases" / str(NIGHT)
    before = bytes_of(folder)
    assert bytes_of(released(contributed([]), tmp_path)) == before
    [entry] = Ledger(tmp_path / "ledger.db").entries()
    assert entry.release == before["manifest.json"]


@pytest.mark.parametrize("change", [{"candidates": TRACKS[:5]}, {"atlas": small_atlas(version="new")}, {"rho": 0.01}])
def test_a_night_that_was_begun_is_not_begun_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(counts, "discrete_gaussian", crashes)
        with pytest.raises(Crash):
            released(contributed(ROWS), tmp_path)
    if "rho" in change:
        change = {"settings": load_settings(overrides={"privacy": {"rho_per_night": change["rho"]}}).privacy}
    monkeypatch.setattr(counts, "discrete_gaussian", draws_nothing)
    with pytest.raises(PrivacyBudgetError, match="has a ledger entry with another") as refused:
        released(contributed(ROWS), tmp_path, **change)
    assert "do without that night" in refused.value.hint


def test_a_deleted_release_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(released(contributed(ROWS), tmp_path))
    monkeypatch.setattr(counts, "discrete_gaussian", draws_nothing)
    with pytest.raises(PrivacyBudgetError, match="would draw new noise") as refused:
        released(contributed(ROWS), tmp_path)
    assert refused.value.exit_code == 77
    assert len(Ledger(tmp_path / "ledger.db").entries()) == 1


def test_an_exchanged_release_is_noticed(tmp_path: Path) -> None:
    """Two draws over the same listeners would average to less noise; the ledger knows which one is the release."""
    folder = released(contributed(ROWS), tmp_path)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    other = released(contributed(ROWS), elsewhere)
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    with pytest.raises(PrivacyBudgetError, match="another release"):
        released(contributed(ROWS), tmp_path)


def test_no_seed_makes_two_releases_alike(tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        np.random.seed(7)
        random.seed(7)
        tables.append(pl.read_parquet(released(contributed(ROWS), tmp_path / name) / "counts.parquet"))
    assert not tables[0].equals(tables[1])


def test_noise_of_nights_is_independent(tmp_path: Path) -> None:
    """The same listeners on two nights: the noise differs in most cells."""
    nights = [NIGHT, NIGHT + timedelta(days=1)]
    tables = [
        pl.read_parquet(released(contributed(ROWS, night=night), tmp_path, night=night) / "counts.parquet")
        for night in nights
    ]
    assert (tables[0]["listeners"] != tables[1]["listeners"]).sum() > 100  # of 160; one in fifty agrees by chance
    assert [entry.at for entry in Ledger(tmp_path / "ledger.db").entries()] == [NOW, NOW]


def test_a_crash_before_the_ledger_knew_does_not_let_a_night_be_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(Ledger, "complete", crash)
        with pytest.raises(KeyboardInterrupt):
            released(contributed(ROWS), tmp_path)
    ledger = Ledger(tmp_path / "ledger.db")
    assert [entry.release for entry in ledger.entries()] == [None]
    counts.confirm(tmp_path / "releases", ledger=ledger, now=NOW)
    assert None not in [entry.release for entry in ledger.entries()]
    shutil.rmtree(tmp_path / "releases")
    with pytest.raises(PrivacyBudgetError, match="released already"):
        released(contributed(ROWS), tmp_path)
