"""Champion and challenger in a night: lists of both for who allows feedback, and what listeners prefer, in MLflow."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from math import isnan
from pathlib import Path

import pytest
from mlflow.entities import Run
from support.night import deployed, night_of, plays, small_settings, write_consents, write_listens, write_world
from support.sealing import sealed_in

from pipelines.base.job_context import Challenger, JobContext
from pipelines.mlflow import tracking
from pipelines.mlflow.model_registry import Registry
from pipelines.night import interleaving
from pipelines.night.interleaving import rivals_of
from pipelines.night.nightly import run_nightly
from recsys.artifacts.affinities import Affinities, open_affinities
from recsys.consents.feedback import Told
from recsys.consents.log import Channel, Entry, Purpose, State
from recsys.settings import load_settings
from recsys.workspace import listener_of

TELLING = [f"user-{number:02}" for number in range(24)]  # half at home in Lisbon, half in Porto
QUIET = [f"quiet-{number:02}" for number in range(12)]
KEY = "interleaving/challenger_minus_champion"


@pytest.fixture
def job(tmp_path: Path, mlruns: Path) -> JobContext:
    """A workspace before its first nights, with a challenger of fewer factors, and people who allow feedback or not."""
    sources = write_world(tmp_path, nights=3, users=[*TELLING, *QUIET])
    rows = write_consents(tmp_path / "more.csv", TELLING, ["feedback"]).read_text().splitlines()[1:]
    assert sources.consents is not None
    with sources.consents.open("a") as file:
        file.write("\n".join([*rows, ""]))
    settings = small_settings(mlruns)
    challenger = Challenger("2", settings.models.model_copy(update={"factors": 2}))
    return replace(deployed(tmp_path, sources, settings), challenger=challenger)


def listeners(job: JobContext, users: Sequence[str]) -> list[str]:
    return [listener_of(user, key=job.workspace.listener_key()) for user in users]


def lists(job: JobContext) -> Affinities:
    return open_affinities(sealed_in(job.workspace.private))


def tell(job: JobContext, users: Sequence[str], team: str, *, rivals: str | None = None) -> None:
    """Let users play something that one of both rankers had put on their lists."""
    assert job.challenger is not None
    known = rivals_of(job.settings, job.challenger.models)
    told = Told(night_of(2), {"track-01": team}, rivals=known if rivals is None else rivals)
    for listener in listeners(job, users):
        job.consents.tell(listener, told, at=job.now, most_hidden=9, most_played=9)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Hold a database open in the midst of a reading."""
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entries").fetchall()
        yield


def next_night(job: JobContext, number: int, *, consents: Path | None = None) -> JobContext:
    write_listens(job.sources.listens, night_of(number), plays(night_of(number), users=[*TELLING, *QUIET]))
    return replace(job, now=job.now + timedelta(days=1), sources=replace(job.sources, consents=consents))


def ran(job: JobContext, number: int) -> Run:
    """Run the nights up to one, and return the run of MLflow."""
    done = run_nightly(job, through=night_of(number))
    return tracking.client(job.settings.tracking.folder).get_run(done["mlflow_run"])


def test_nights_keep_the_challengers_lists_and_log_whom_listeners_prefer(job: JobContext, tmp_path: Path) -> None:
    """Three nights in one test, as each takes seconds: nobody has told anything, many have, and nobody challenges."""
    first = ran(job, 2)
    assert first.data.metrics.keys() >= {"interleaving/listeners", KEY, f"{KEY}_low", f"{KEY}_high"}
    assert isnan(first.data.metrics[KEY])
    assert first.data.tags["challenger.version"] == "2"
    found = lists(job)
    assert found.challenger is not None
    assert (len(found.listeners), len(found.challenger.listeners)) == (36, 24)
    assert all(found.challenger.row(each).known for each in listeners(job, TELLING))

    tell(job, TELLING[:17], "challenger")
    tell(job, TELLING[17:23], "champion")
    tell(job, TELLING[23:], "champion", rivals="0" * 16)  # of another comparison
    here, by_file, *_ = listeners(job, TELLING)
    job.consents.decide(Entry(here, Purpose.FEEDBACK, State.WITHDRAWN, job.now, "2026-09", Channel.API))
    file, at = tmp_path / "withdrawn.csv", (job.now + timedelta(hours=1)).isoformat()
    file.write_text(f"user_id,purpose,state,at,notice_version\n{TELLING[1]},feedback,withdrawn,{at},2026-09\n")
    later = next_night(job, 3, consents=file)
    with reading(job.workspace.consents):  # as a backup does: what was deleted stays on the disk until the next night
        second = ran(later, 3).data
    assert second.metrics["interleaving/listeners"] == 21
    assert second.metrics[KEY] == pytest.approx((15 - 6) / 21)
    assert -1 < second.metrics[f"{KEY}_low"] < second.metrics[KEY] < second.metrics[f"{KEY}_high"] < 1
    registry = Registry(job.settings.tracking.folder)
    table = registry.table(next(registry.runs()), "interleaving")
    assert table.columns[:5] == ["place", "name", "country", "part", "listeners"]
    assert table["listeners"].to_list() in ([10, 11], [11, 10], [])
    now = lists(later).challenger
    assert now is not None
    assert (len(now.listeners), now.row(here).known, now.row(by_file).known) == (22, False, False)
    assert sorted(later.consents.belongings.owners("feedback")) == sorted(listeners(job, TELLING[2:]))

    alone = replace(next_night(later, 4), challenger=None, now=job.now + timedelta(days=60))
    assert not {key for key in ran(alone, 4).data.metrics if key.startswith("interleaving")}
    assert lists(alone).challenger is None
    assert alone.consents.belongings.owners("feedback") == []  # it is older than it is kept
    assert not any(b"track-01" in file.read_bytes() for file in job.workspace.root.glob("consents.db*"))


def test_other_settings_of_models_or_lists_or_another_release_begin_a_new_comparison(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = load_settings()
    other = now.models.model_copy(update={"factors": 2})
    asked_more = now.models.model_copy(update={"min_listeners_in_table": 99})
    assert rivals_of(now, other) == rivals_of(now.model_copy(update={"models": asked_more}), other)
    of_lists = [now.model_copy(update={"lists": now.lists.model_copy(update=each)}) for each in LISTS]
    found = {rivals_of(each, other) for each in (now, now.model_copy(update={"models": other}), *of_lists)}
    found |= {rivals_of(now, other.model_copy(update={"factors": 3}))}
    monkeypatch.setattr(interleaving, "version", lambda _: "0.0.0")
    assert len({*found, rivals_of(now, other)}) == 4 + len(LISTS)


LISTS = ({"closest": 7}, {"learners": 7}, {"new": 0.5})
