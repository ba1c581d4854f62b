"""Promise 6: a re-run never draws new noise, and a spend is on disk before its noise exists."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support import night
from support.releasing import NIGHT, NOW, PRIVACY, TRACKS, contributed, everywhere, released, small_atlas

from pipelines.base.job_context import JobContext, Sources
from pipelines.base.left_out import leave_out
from pipelines.night.nightly import run_night
from pipelines.night.schedule import plan_nights
from pipelines.privacy.forget import forget
from pipelines.privacy.import_consents import import_consents
from recsys.errors import PrivacyBudgetError, UsageError
from recsys.releases.budget.ledger import Ledger
from recsys.releases.counts import release
from recsys.settings import load_settings
from recsys.workspace import digest, listener_of

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
    monkeypatch.setattr(release, "discrete_gaussian", draws_nothing)
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
    found, draw = [], release.discrete_gaussian

    def look(size: int, sigma_squared: float) -> Any:
        if not found:
            shutil.copytree(tmp_path, copy := tmp_path.parent / "as a crash would leave it")  # no open connection helps
            connection = sqlite3.connect(copy / "ledger.db")
            found.extend(connection.execute("SELECT night, rho, tiers FROM entries").fetchall())
            connection.close()
        return draw(size, sigma_squared=sigma_squared)

    monkeypatch.setattr(release, "discrete_gaussian", look)
    released(contributed(ROWS), tmp_path)
    ((night, rho, tiers),) = found
    assert (night, rho) == ("2026-10-01", 0.015)
    assert json.loads(tiers)["part"]["sigma_squared"] == pytest.approx(10 / 0.03)


def test_a_spend_reaches_the_disk_and_not_only_the_cache(tmp_path: Path) -> None:
    """Nothing short of pulling the plug shows it, so ask SQLite: 2 is FULL, a sync at every commit."""
    with Ledger(tmp_path / "ledger.db")._connected() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_ledger_that_cannot_be_written_stops_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "discrete_gaussian", draws_nothing)
    monkeypatch.setattr(Ledger, "commit", crashes)
    with pytest.raises(Crash):
        released(contributed(ROWS), tmp_path)
    assert not (tmp_path / "releases" / str(NIGHT)).exists()


@pytest.mark.parametrize("at", ["discrete_gaussian", "write_manifest"])
def test_a_crash_before_anything_left_spends_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(release, at, crashes)
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


@pytest.mark.parametrize(
    "change",
    [
        {"candidates": TRACKS[:5]},
        {"candidates": everywhere(TRACKS[:5], among=TRACKS)},
        {"candidates": replace(everywhere(TRACKS), extra={"aa1": np.array([3], dtype=np.int32)})},
        {"candidates": everywhere(TRACKS, newcomers=2.0)},
        {"atlas": small_atlas(version="new")},
        {"rho": 0.01},
    ],
    ids=["another catalogue", "fewer candidates", "another candidate in a row", "newcomers", "atlas", "rho"],
)
def test_a_night_that_was_begun_is_not_begun_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(release, "discrete_gaussian", crashes)
        with pytest.raises(Crash):
            released(contributed(ROWS), tmp_path)
    if "rho" in change:
        change = {"settings": load_settings(overrides={"privacy": {"rho_per_night": change["rho"]}}).privacy}
    monkeypatch.setattr(release, "discrete_gaussian", draws_nothing)
    with pytest.raises(PrivacyBudgetError, match="has a ledger entry with another") as refused:
        released(contributed(ROWS), tmp_path, **change)
    assert "the settings, atlas and catalogue it was begun with" in refused.value.hint


def test_a_deleted_release_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(released(contributed(ROWS), tmp_path))
    monkeypatch.setattr(release, "discrete_gaussian", draws_nothing)
    with pytest.raises(PrivacyBudgetError, match="would draw new noise") as refused:
        released(contributed(ROWS), tmp_path)
    assert refused.value.exit_code == 77
    assert len(Ledger(tmp_path / "ledger.db").entries()) == 1


def test_a_ledger_that_does_not_know_a_release_stops_the_night(tmp_path: Path) -> None:
    """A new ledger in place of a lost one would let everything be drawn again."""
    released(contributed(ROWS), tmp_path)
    (tmp_path / "ledger.db").rename(tmp_path / "lost.db")
    with pytest.raises(PrivacyBudgetError, match="not in the ledger"):
        release.confirm(tmp_path / "releases", ledger=Ledger(tmp_path / "ledger.db"), now=NOW)


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
    release.confirm(tmp_path / "releases", ledger=ledger, now=NOW)
    assert None not in [entry.release for entry in ledger.entries()]
    shutil.rmtree(tmp_path / "releases")
    with pytest.raises(PrivacyBudgetError, match="released already"):
        released(contributed(ROWS), tmp_path)


USERS = [f"user-{number}" for number in range(12)]


def deployed_for(folder: Path, **sections: dict[str, object]) -> JobContext:
    """A world of three nights in Portugal, whose first two can be run by :func:`run`."""
    files = folder / "listens", folder / "catalogue.csv", folder / "consents.csv"
    sources = Sources(*files) if files[0].exists() else night.write_world(folder, nights=2, users=USERS)
    job = night.deployed(folder, sources, night.small_settings(folder / "mlruns", **sections))
    job.workspace.prepare()
    import_consents(folder / "consents.csv", workspace=job.workspace, settings=job.settings)
    return job


def run(job: JobContext, *more: date, skip: tuple[date, ...] = ()) -> list[date]:
    """Run the nights that are due, and whatever else somebody insists on."""
    due = [*plan_nights(job, skip=skip).due, *more]
    for some in due:
        run_night(job, some)
    return due


def releases_of(job: JobContext) -> dict[str, dict[str, str]]:
    return {folder.name: bytes_of(folder) for folder in job.workspace.releases.iterdir()}


def nothing(folder: Path, _: JobContext) -> JobContext:
    return deployed_for(folder)


def late_listens(folder: Path, _: JobContext) -> JobContext:
    more = night.plays(night.FIRST, users=USERS, tracks=night.TRACKS[:9])
    night.write_listens(folder / "listens", night.FIRST, more)
    return deployed_for(folder)


def erasures(folder: Path, job: JobContext) -> JobContext:
    for user in USERS[:6]:
        forget(user, workspace=job.workspace, settings=job.settings, now=job.now)
    forgotten = [listener_of(user, key=job.listener_key) for user in USERS[:6]]
    assert job.store.scan().filter(pl.col("listener").is_in(forgotten)).collect().is_empty()
    (folder / "consents.csv").write_text("user_id,purpose,state,at,notice_version\n")
    return deployed_for(folder)


def changed_settings(folder: Path, _: JobContext) -> JobContext:
    privacy = {"rho_per_night": 0.5, "most_per_night": 2, "most_per_28_nights": 56, "most_per_365_nights": 730}
    return deployed_for(folder, privacy=privacy, atlas={"service_area": ["PT", "ES"]})


@pytest.mark.parametrize(
    "happens",
    [nothing, late_listens, erasures, changed_settings],
    ids=["re-run", "late listens", "erasures", "settings"],
)
def test_whatever_happens_a_released_night_gets_no_new_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Path, JobContext], JobContext]
) -> None:
    job = deployed_for(tmp_path)
    nights = run(job)
    before, entries = releases_of(job), job.ledger.entries()
    later = happens(tmp_path, job)
    monkeypatch.setattr(release, "discrete_gaussian", draws_nothing)
    assert run(later) == []
    run(later, *nights)  # by the letter, too
    assert (releases_of(later), later.ledger.entries()) == (before, entries)
    assert [entry.spend.night for entry in entries] == nights == [night.night_of(0), night.night_of(1)]


def test_catching_up_draws_every_missed_night_once_and_no_other_again(tmp_path: Path) -> None:
    job = deployed_for(tmp_path)
    run(job)
    before = releases_of(job)
    for number in (3, 4, 6):  # while nobody ran a night; the input of nights 2 and 5 is late
        some = night.night_of(number)
        night.write_listens(tmp_path / "listens", some, night.plays(some, users=USERS))
    later = deployed_for(tmp_path)
    assert run(later) == [night.night_of(number) for number in (3, 4, 6)]
    night.write_listens(tmp_path / "listens", night.night_of(5), night.plays(night.night_of(5), users=USERS))
    assert run(deployed_for(tmp_path)) == []  # a night before the last one is not run any more
    after = releases_of(later)
    assert {name: after[name] for name in before} == before
    assert len(after) == 5
    assert sorted(entry.spend.night for entry in later.ledger.entries()) == [
        night.night_of(number) for number in (0, 1, 3, 4, 6)
    ]


def test_a_night_that_cannot_be_finished_is_left_out_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its spend was committed, then the settings changed: nothing can finish it, and it must not stop the others."""
    job = deployed_for(tmp_path)
    with monkeypatch.context() as crashing:
        crashing.setattr(release, "discrete_gaussian", crashes)
        with pytest.raises(Crash):
            run(job)
    later = deployed_for(tmp_path, privacy={"rho_per_night": 0.01})
    with pytest.raises(PrivacyBudgetError) as refused:
        run(later)
    assert f"--skip {night.FIRST}" in refused.value.hint
    assert run(later, skip=(night.FIRST,)) == [night.night_of(1)]
    leave_out(later.workspace, [night.FIRST])
    assert run(deployed_for(tmp_path)) == []
    assert plan_nights(deployed_for(tmp_path)).late == {}
    assert list(releases_of(later)) == [str(night.night_of(1))]
    for wrong, why in ((night.night_of(1), "released already"), (night.night_of(40), "no night 2026-11-10")):
        with pytest.raises(UsageError, match=why):
            plan_nights(deployed_for(tmp_path), skip=[wrong])
