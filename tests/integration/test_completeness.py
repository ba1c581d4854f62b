"""The completeness gate on whole deliveries: what stops before anything is spent, and how it is let pass."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.commands import Run
from support.night import (
    AREA_IN_TOML,
    FARO,
    LISBON,
    PORTO,
    TRACKS,
    deployed,
    night_of,
    noon,
    row,
    small_settings,
    write_catalogue,
    write_consents,
    write_listens,
)

from pipelines.base.job_context import JobContext, Sources
from pipelines.base.left_out import leave_out
from pipelines.night import completeness
from pipelines.night.completeness import acceptances, check_complete, rehearse_complete
from pipelines.night.schedule import Plan, plan_nights
from pipelines.privacy import nightly_audit
from pipelines.privacy.import_consents import import_consents
from recsys.arrivals.listens import read_night
from recsys.errors import IncompleteNightError, UsageError
from recsys.releases.budget.ledger import Ledger

USERS = [str(100 + number) for number in range(150)]
NIGHTS = 5
LAST = night_of(NIGHTS - 1)


def lively(number: int, *, users: list[str] = USERS) -> list[dict[str, object]]:
    """A night in which about three in four users play some tracks at some time."""
    random = np.random.default_rng(number)
    return [
        row(user, TRACKS[int(track)], noon(night_of(number)) + timedelta(seconds=int(at)), home)
        for who, user in enumerate(users)
        for home in [(LISBON, PORTO, FARO)[who % 3]]
        for track, at in zip(
            random.integers(0, len(TRACKS), random.integers(0, 9)), random.integers(-40_000, 40_000, 9), strict=False
        )
    ]


@pytest.fixture
def job(tmp_path: Path, mlruns: Path) -> JobContext:
    """A catch-up of five nights, with 150 users who all consent, in Portugal."""
    for number in range(NIGHTS):
        write_listens(tmp_path / "listens", night_of(number), lively(number))
    write_catalogue(tmp_path / "catalogue.csv")
    write_consents(tmp_path / "consents.csv", USERS)
    return opened(tmp_path)


def opened(folder: Path) -> JobContext:
    """The next run."""
    sources = Sources(folder / "listens", folder / "catalogue.csv", folder / "consents.csv")
    found = deployed(folder, sources, small_settings(folder / "mlruns"))
    vars(found)["atlas"] = nightly_audit._atlas(found.settings)  # Lisbon and Porto, at no cost
    return found


def begun(job: JobContext) -> Plan:
    job.workspace.prepare()
    import_consents(job.sources.consents or Path(), workspace=job.workspace, settings=job.settings)
    return plan_nights(job)


def spoilt(job: JobContext, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    file = job.sources.listens / f"date={LAST}" / "listens.parquet"
    change(pl.read_parquet(file)).write_parquet(file)


def missing(job: JobContext) -> None:
    shutil.rmtree(job.sources.listens / f"date={night_of(2)}")


def half(job: JobContext) -> None:
    spoilt(job, lambda rows: rows.filter(pl.col("user_id").cast(pl.Int64) % 2 == 0))


def few(job: JobContext) -> None:
    spoilt(job, lambda rows: rows.head(rows.height // 20))


def twice(job: JobContext) -> None:
    spoilt(job, lambda rows: pl.concat([rows, rows]))


def three_formats(job: JobContext) -> None:
    folder = job.sources.listens / f"date={LAST}"
    rows = pl.read_parquet(folder / "listens.parquet").with_columns(
        pl.col("played_at").dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    )
    rows.write_csv(folder / "listens.csv")
    rows.write_ndjson(folder / "listens.ndjson")


def no_positions(job: JobContext) -> None:
    nothing = pl.lit(None, pl.Float64)
    spoilt(job, lambda rows: rows.with_columns(latitude=nothing, longitude=nothing))


def exchanged(job: JobContext) -> None:
    spoilt(job, lambda rows: rows.with_columns(latitude="longitude", longitude="latitude"))


def yesterday(job: JobContext) -> None:
    before = pl.read_parquet(job.sources.listens / f"date={night_of(NIGHTS - 2)}" / "listens.parquet")
    spoilt(job, lambda _: before.with_columns(pl.col("played_at") + timedelta(days=1)))


def other_ids(job: JobContext) -> None:
    write_consents(job.sources.consents or Path(), [f"0{user}" for user in USERS])


def no_consents(job: JobContext) -> None:
    write_consents(job.sources.consents or Path(), [])


FAULTS = {
    missing: f"{night_of(2)}: it is missing",
    half: f"{LAST}: listeners: about",
    few: f"{LAST}: rows: about",
    twice: f"{LAST}: 50 % of its rows repeat another",
    three_formats: f"{LAST}: 70 % of its rows repeat another",
    no_positions: f"{LAST}: share of rows with a position: almost nothing of what is usual",
    exchanged: f"{LAST}: positions in files like 'listens.parquet' are where people live if latitude and longitude are",
    yesterday: f"{LAST}: its rows are those of {night_of(NIGHTS - 2)} again, but for the date",
    other_ids: f"{LAST}: none of its listeners allows any use (are user ids written alike",
    no_consents: f"{LAST}: none of its listeners allows any use",
}


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_a_faulty_night_stops_with_65_before_anything_is_spent(
    job: JobContext, tmp_path: Path, spoil: Callable[[JobContext], None]
) -> None:
    spoil(job)
    plan = begun(job)
    with pytest.raises(IncompleteNightError) as refused:
        check_complete(job, plan)
    assert refused.value.exit_code == 65
    assert FAULTS[spoil] in refused.value.message
    assert spoil in (other_ids, no_consents) or f"{night_of(0)}:" not in refused.value.message
    assert Ledger(job.workspace.ledger).entries() == []
    assert not (job.workspace.private / "nights").exists()
    shutil.rmtree(job.workspace.root)
    with pytest.raises(IncompleteNightError) as rehearsed:
        rehearse_complete(opened(tmp_path), plan)
    assert rehearsed.value.message == refused.value.message
    assert not job.workspace.root.exists()


def test_positions_that_were_always_exchanged_stop_the_first_nights(job: JobContext) -> None:
    """No night that could be compared with is any better."""
    for file in job.sources.listens.glob("*/*"):
        pl.read_parquet(file).with_columns(latitude="longitude", longitude="latitude").write_parquet(file)
    with pytest.raises(IncompleteNightError) as refused:
        check_complete(job, begun(job))
    assert refused.value.message.count("(are the two swapped?)") == NIGHTS


def test_nights_that_are_whole_pass(job: JobContext) -> None:
    judged = check_complete(job, begun(job))
    assert (list(judged.rows), judged.accepted) == ([night_of(number) for number in range(NIGHTS)], {})
    kept = [json.loads(file.read_text()) for file in (job.workspace.private / "nights").glob("*.delivery")]
    assert sorted(numbers["rows"] for numbers in kept) == sorted(counted.rows.rows for counted in judged.rows.values())
    assert {file.stat().st_mode & 0o777 for file in (job.workspace.private / "nights").iterdir()} == {0o600}


def test_rows_that_were_counted_are_counted_again_only_where_a_file_changed(job: JobContext) -> None:
    judged = check_complete(job, begun(job))
    found = partial(read_night, job.sources.listens, catalogue=job.catalogue, now=job.now)
    assert judged.counts(found(LAST)) == found(LAST).counts()
    spoilt(job, lambda rows: rows.head(rows.height - 1))
    assert judged.counts(found(LAST)) is None
    assert judged.counts(found(night_of(0))) == found(night_of(0)).counts()


def test_a_country_of_a_few_is_not_kept(job: JobContext, tmp_path: Path) -> None:
    """A count of one person would outlive an erasure."""
    plan, file = begun(job), job.workspace.private / "nights" / f"{LAST}.delivery"
    check_complete(job, plan)
    assert json.loads(file.read_text())["by_country"].keys() == {"AA"}  # of the atlas of the audit
    vars(job)["settings"] = small_settings(tmp_path / "mlruns", models={"min_listeners_in_table": len(USERS)})
    check_complete(job, plan)
    assert json.loads(file.read_text())["by_country"] == {}


def test_released_nights_tell_what_is_usual(job: JobContext, tmp_path: Path) -> None:
    """The input of later nights may hold nothing but the night itself."""
    check_complete(job, begun(job))
    for number in range(NIGHTS):
        (job.workspace.releases / str(night_of(number))).mkdir()
        (job.workspace.releases / str(night_of(number)) / "manifest.json").touch()
        shutil.rmtree(job.sources.listens / f"date={night_of(number)}")
    write_listens(tmp_path / "listens", night_of(NIGHTS), lively(NIGHTS)[:40])
    with pytest.raises(IncompleteNightError, match=f"{night_of(NIGHTS)}: rows: about"):
        check_complete(opened(tmp_path), plan_nights(opened(tmp_path)))
    (job.workspace.private / "nights" / f"{night_of(0)}.delivery").write_text("{")  # one night less to compare with
    write_listens(tmp_path / "listens", night_of(NIGHTS), lively(NIGHTS))
    assert check_complete(opened(tmp_path), plan_nights(opened(tmp_path))).accepted == {}


def test_a_night_that_is_left_out_is_not_missing(job: JobContext) -> None:
    assert plan_nights(job).missing == plan_nights(job, skip=[night_of(2)]).missing == ()
    missing(job)
    assert plan_nights(job).missing == (night_of(2),)
    leave_out(job.workspace.prepare(), [night_of(2)])
    assert plan_nights(job).missing == ()


def test_numbers_expire(job: JobContext, tmp_path: Path) -> None:
    check_complete(job, begun(job))
    shutil.rmtree(tmp_path / "listens")
    write_listens(tmp_path / "listens", night_of(25), lively(25))
    later = opened(tmp_path)
    vars(later)["settings"] = small_settings(tmp_path / "mlruns", completeness={"weeks": 3})
    check_complete(later, plan_nights(later))
    kept = sorted(file.stem for file in (job.workspace.private / "nights").glob("*.delivery"))
    assert kept == [str(night_of(number)) for number in (4, 25)]


def test_an_acceptance_lasts_and_is_for_its_night_alone(job: JobContext, tmp_path: Path) -> None:
    missing(job)
    twice(job)
    plan = begun(job)
    accept = acceptances([f"{night_of(1)}..{night_of(2)}=the app was down"])
    with pytest.raises(IncompleteNightError) as refused:
        check_complete(job, plan, accept=accept)
    assert str(night_of(2)) not in refused.value.message
    accept += acceptances([f"{LAST}=sent twice = known"])
    assert check_complete(job, plan, accept=accept).accepted == {
        night_of(2): "the app was down",
        LAST: "sent twice = known",
    }
    recorded = json.loads((job.workspace.private / "nights" / f"{LAST}.accepted").read_text())
    assert recorded["found"][0] == "50 % of its rows repeat another (the same user, track and time)"
    assert recorded["at"] == job.now.isoformat()
    again = opened(tmp_path)  # after a crash, say
    assert list(check_complete(again, plan_nights(again)).accepted) == [night_of(2), LAST]


@pytest.mark.parametrize(
    "asked", ["2026-10-03", "2026-10-03=", "2026-13-01=why", "tonight=why", "2026-10-03=a\nb", "2026-10-03=\x1b[1m"]
)
def test_an_acceptance_needs_a_night_and_a_reason(asked: str) -> None:
    with pytest.raises(UsageError, match="--accept"):
        acceptances([asked])


def test_a_night_that_nobody_asks_about_cannot_be_accepted(job: JobContext) -> None:
    with pytest.raises(UsageError, match="neither due nor missing"):
        check_complete(job, begun(job), accept=acceptances(["2027-01-01=why"]))


def test_the_command_line_stops_accepts_and_records(
    hearabouts: Run, job: JobContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.toml").write_text(
        f"{AREA_IN_TOML}[store]\nbuckets = 4\n"
        "[models]\nfactors = 4\niterations = 2\nmin_listeners_per_track = 2\nvalidation_nights = 1\ntest_nights = 1\n"
    )
    for number in (1, 2):
        shutil.rmtree(job.sources.listens / f"date={night_of(number)}")
    files = ("--listens", "listens", "--catalogue", "catalogue.csv", "--consents", "consents.csv")
    command = ("nightly", *files, "--settings", "settings.toml")
    for more in ([], ["--dry-run"]):
        done = hearabouts(*command, *more)
        assert (done.code, done.summary["problem"]) == (65, "incomplete-night"), done.err
        assert f"--accept {night_of(1)}='" in done.summary["hint"]
    assert not (tmp_path / "workspace/current").exists()
    accepted = [str(night_of(1)), str(night_of(2))]
    accept = ("--accept", f"{accepted[0]}..{accepted[1]}=the app was down")
    assert hearabouts(*command, *accept, "--dry-run").summary["accepted"] == accepted
    done = hearabouts(*command, *accept)
    assert (done.code, done.summary["accepted"], done.summary["nights"]) == (0, accepted, 3), done.err
    with sqlite3.connect(tmp_path / "mlruns/mlflow.db") as connection:
        tags = dict(connection.execute("SELECT key, value FROM tags WHERE key LIKE 'accepted.%'").fetchall())
    assert tags == {f"accepted.{night}": "the app was down" for night in accepted}
    assert hearabouts(*command, *accept).summary["status"] == "nothing new"
    assert completeness._released(job.workspace).keys() == {night_of(number) for number in (0, 3, 4)}
