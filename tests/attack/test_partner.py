"""The partner file: nobody without standing consent is in it, and no row has fewer real listeners than promised."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support.night import FIRST, LISBON, deployed, night_of, noon, row, small_settings, write_catalogue, write_listens
from support.partnering import made, settings

from pipelines.base.job_context import JobContext, Sources
from pipelines.night.nightly import run_night
from pipelines.privacy.import_consents import import_consents
from pipelines.privacy.partner import run_partner
from recsys.arrivals.permission import still_allowed
from recsys.consents.log import Purpose
from recsys.errors import InputError, PrivacyBudgetError, UsageError
from recsys.releases.counts import release
from recsys.releases.partner.partner_release import Period
from recsys.weights import FULL
from recsys.workspace import listener_of

NIGHTS, GROUP = 3, 1_000
PERIOD = Period(FIRST, night_of(NIGHTS - 1))
BEFORE, DURING, AFTER = noon(night_of(-1)), noon(night_of(1), 60), noon(night_of(NIGHTS + 1))
CATALOGUE = tuple(f"track-{number:02}" for number in range(12))

# Who may be counted plays the first track alone; each group of others has a track of its own, the canary.
PARTNERS = {
    "partner": ["partner_statistics"],  # and nothing else: it is enough
    "all": [purpose.value for purpose in Purpose],
}
OTHERS = {
    "silent": [],
    "charts": ["contribute_trends", "local_trends", "personalisation"],
    "withdrawn": ["partner_statistics"],  # until after the last night: an opt-out signal, as the log keeps it
    "late": ["partner_statistics"],  # but only once everything was played
}
CANARIES = {group: CATALOGUE[number] for number, group in enumerate(OTHERS, start=1)}


def users(group: str) -> list[str]:
    return [f"{group}-{number}" for number in range(GROUP)]


def decisions() -> Iterable[tuple[str, str, str, str]]:
    for group, purposes in {**PARTNERS, **OTHERS}.items():
        for user in users(group):
            for purpose in purposes:
                yield user, purpose, "given", (AFTER if group == "late" else BEFORE).isoformat()
    for user in users("withdrawn"):
        yield user, "partner_statistics", "withdrawn", AFTER.isoformat()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> JobContext:
    """Three nights in which six groups of listeners play in Lisbon, run with hardly any noise for partners."""
    folder = tmp_path_factory.mktemp("partners")
    for number in range(NIGHTS):
        some = night_of(number)
        plays = [row(user, CATALOGUE[0], noon(some), LISBON) for group in PARTNERS for user in users(group)]
        plays += [row(user, CANARIES[group], noon(some), LISBON) for group in OTHERS for user in users(group)]
        write_listens(folder / "listens", some, plays)
    lines = [",".join((*line, "2026-09")) for line in decisions()]
    (folder / "consents.csv").write_text("\n".join(["user_id,purpose,state,at,notice_version", *lines]) + "\n")
    sources = Sources(folder / "listens", write_catalogue(folder / "catalogue.csv", CATALOGUE))
    loud = {"rho": 10.0, "min_nights": 3, "most_per_file": 3, "max_tracks": 3}
    found = deployed(folder, sources, small_settings(folder / "mlruns", partner=loud))
    found.workspace.prepare()
    import_consents(folder / "consents.csv", workspace=found.workspace, settings=found.settings)
    for number in range(NIGHTS):
        run_night(found, night_of(number))
    return found


@pytest.fixture(scope="module")
def trends(job: JobContext) -> pl.DataFrame:
    done = run_partner(job, period=PERIOD)
    return pl.read_parquet(Path(done["folder"]) / "trends.parquet")


def test_only_who_allows_it_is_in_the_file(trends: pl.DataFrame) -> None:
    assert set(trends["track_id"]) == {CATALOGUE[0]}
    assert trends["level"].to_list() == ["world", "country", "region"][-trends.height :]  # Portugal alone is the world
    # All of them count in full, and that is read from noisy totals: a mean weight is never above 1.
    assert trends["listeners"].is_between(0.95 * 2 * GROUP, 1.35 * 2 * GROUP).all()


def test_no_canary_leaves_a_trace_in_any_file(job: JobContext, trends: pl.DataFrame) -> None:
    folder = job.workspace.root / "partner" / str(PERIOD)
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    everything += trends.write_csv().encode()
    for track in CANARIES.values():
        assert track.encode() not in everything
    for group in (*PARTNERS, *OTHERS):
        assert listener_of(f"{group}-0", key=job.listener_key).encode() not in everything
        assert f"{group}-0".encode() not in everything


def test_who_allows_partner_statistics_alone_counts_nowhere_else(job: JobContext) -> None:
    kept = job.store.scan().collect()
    alone = [listener_of(user, key=job.listener_key) for group in ("partner", "withdrawn") for user in users(group)]
    theirs = kept.filter(pl.col("listener").is_in(alone))
    assert theirs["listener"].n_unique() == GROUP  # of the withdrawn not a row was stored
    assert not ((theirs["weight"] > 0) | theirs["trained"]).any()
    assert theirs["part"].null_count() == theirs.height
    earned = job.store.balances(tuple(range(4)), after=max(job.store.nights()))
    assert earned["listener"].n_unique() == 2 * GROUP  # "all" and "charts", who may be counted
    assert earned.filter(pl.col("listener").is_in(alone)).is_empty()


def test_withdrawal_counts_for_the_next_file_though_everything_was_stored(job: JobContext, tmp_path: Path) -> None:
    later = JobContext(job.workspace, job.settings, job.sources, job.now + timedelta(days=1))
    at = job.now + timedelta(hours=1)
    log = [f"{user},partner_statistics,withdrawn,{at.isoformat()},2026-09" for user in users("all")]
    (tmp_path / "consents.csv").write_text("\n".join(["user_id,purpose,state,at,notice_version", *log]) + "\n")
    import_consents(tmp_path / "consents.csv", workspace=later.workspace, settings=later.settings)
    left = still_allowed(later.store.scan(), permissions=later.permissions).collect()
    allowed = left.filter(pl.col("partner_part").is_not_null())["listener"]
    assert set(allowed) == {listener_of(user, key=job.listener_key) for user in users("partner")}


@pytest.mark.parametrize(
    ("period", "error", "match"),
    [
        (Period(FIRST, night_of(1)), PrivacyBudgetError, "has 2 nights"),
        (Period(night_of(1), night_of(4)), InputError, "2 nights of the period are not in the private store"),
        (Period(night_of(-30), night_of(0)), InputError, "30 nights of the period"),
        (Period(night_of(2), FIRST), UsageError, "before it begins"),
    ],
)
def test_a_period_that_cannot_be_is_refused(
    job: JobContext, period: Period, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        run_partner(job, period=period)


def test_the_file_can_be_copied_and_a_folder_of_something_else_is_spared(
    job: JobContext, trends: pl.DataFrame, tmp_path: Path
) -> None:
    for _ in range(2):
        assert run_partner(job, period=PERIOD, out=tmp_path / "given")["status"] == "nothing new"
    assert pl.read_parquet(tmp_path / "given" / "trends.parquet").equals(trends)
    (tmp_path / "given" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="something else"):
        run_partner(job, period=PERIOD, out=tmp_path / "given")


def rows(listeners: int, track: str) -> list[tuple[str, str, str]]:
    return [(f"{track}{i:028x}", "aa1", track) for i in range(listeners)]


@pytest.mark.parametrize("noise", [0, 1_000_000])
def test_whatever_the_noise_nineteen_real_listeners_are_never_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: int
) -> None:
    """Were the noise as large as can be, twenty would be shown and nineteen not; and without noise neither."""

    def drawn(size: int, sigma_squared: float) -> Any:
        return np.full(size, noise, dtype=np.int32)

    monkeypatch.setattr(release, "discrete_gaussian", drawn)
    found = pl.read_parquet(made(tmp_path, rows(19, "t01") + rows(20, "t02") + rows(200, "t03")) / "trends.parquet")
    assert set(found["track_id"]) == ({"t02", "t03"} if noise else {"t03"})


def test_noise_that_hides_a_row_does_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(size: int, sigma_squared: float) -> Any:
        return np.full(size, -1_000 * FULL, dtype=np.int32)

    monkeypatch.setattr(release, "discrete_gaussian", drawn)
    assert pl.read_parquet(made(tmp_path, rows(900, "t03")) / "trends.parquet").is_empty()


def test_no_seed_makes_two_files_alike(tmp_path: Path) -> None:
    some = settings(rho=0.05, rounding=1, max_tracks=3)
    tables = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        np.random.seed(7)
        folder = made(tmp_path / name, [r for t in range(20) for r in rows(500, f"t{t:02}")], with_settings=some)
        tables.append(pl.read_parquet(folder / "trends.parquet"))
    assert not tables[0].equals(tables[1])
