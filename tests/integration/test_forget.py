"""Promise 7: erasure is exact; after it everything is as it would have been without that listener."""

import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import structlog
from support.commands import Run
from support.edge import Client, bearer
from support.night import (
    NOW,
    TRACKS,
    copy_lived,
    deployed,
    night_of,
    plays,
    small_settings,
    write_consents,
    write_listens,
    write_world,
)
from support.sealing import content_of

from pipelines.base import job_context as module
from pipelines.night.nightly import run_nightly
from pipelines.privacy.export import records_in
from pipelines.privacy.forget import forget
from pipelines.privacy.import_consents import import_consents
from recsys.arrivals.permission import permissions
from recsys.artifacts.affinities import open_affinities
from recsys.consents.log import ConsentLog, Purpose, consent_log
from recsys.errors import InputError, NotReadyError
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace, listener_of

USERS = [f"user-{number}" for number in range(12)]
ANA = "canary-ana"


@pytest.fixture(autouse=True)
def _log_of_its_own() -> None:
    """A command that ran in another test has left its log pointing to what that test captured."""
    structlog.reset_defaults()


@pytest.fixture
def quick(mlruns: Path) -> Settings:
    return small_settings(mlruns)


def world(folder: Path, settings: Settings, users: list[str], *, key: bytes) -> module.JobContext:
    """A world in which some users play for two nights, and in which everybody has the same listener as in another."""
    job = deployed(folder, write_world(folder / "in", users=users), settings)
    job.workspace.prepare()
    (job.workspace.root / "listener.key").write_bytes(key)
    return job


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs it keeps what two nights left, for the others to begin with."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def lived(tmp_path: Path, quick: Settings, kept: Path) -> module.JobContext:
    """A world with Ana after two nights."""
    job = world(tmp_path, quick, [*USERS, ANA], key=bytes(32))
    if not (kept / "workspace").exists():
        run_nightly(job)
        copy_lived(tmp_path, kept)
    else:
        shutil.rmtree(job.workspace.root)
        copy_lived(kept, tmp_path)
    return job


def again(job: module.JobContext, *, days: int = 1) -> module.JobContext:
    """The next run: everything is opened anew, some days later."""
    return module.JobContext(job.workspace, job.settings, job.sources, job.now + timedelta(days=days))


def private_bytes(workspace: Workspace) -> dict[str, bytes]:
    """What every private file says of listeners.

    That is all but the keys, the nights' tallies, which say how many rows the input had, and in which order songs are:
    that is the order of the charts, and so of their noise, and the digest in a folder's name holds it.
    """
    files = [path for path in workspace.private.rglob("*") if path.is_file() and path.parent.name != "nights"]
    contents = {path.relative_to(workspace.private).as_posix(): content_of(path) for path in files}
    found = {re.sub(r"(tastes/[\d-]{10})-\w+", r"\1", name): said for name, said in contents.items()}
    assert len(found) == len(contents)  # of one night there is one folder
    for name, said in found.items():
        if name.endswith("/recent-songs.json"):
            found[name] = json.dumps(sorted(json.loads(said))).encode()
    return {name: said for name, said in found.items() if name not in {"keys.json", "tastes/current"}}


def models_aside(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without what is computed for others: an erasure takes a row off it, and the next night computes it anew."""
    return {name: content for name, content in files.items() if not name.startswith("tastes/")}


def holders(folder: Path, *needles: str) -> list[str]:
    """The files below a folder whose bytes hold any of some texts, or what their hex digits stand for."""
    wanted = [needle.encode() for needle in needles] + [bytes.fromhex(n) for n in needles if len(n) == 32]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(needle in content_of(path) for needle in wanted)]


def client_of(job: module.JobContext) -> Client:
    workspace, settings = job.workspace, job.settings
    client = Client(workspace, settings=settings, records=records_in(workspace, settings=settings))
    client.now = job.now + timedelta(minutes=5)
    return client


def ask(
    client: Client, method: str, url: str, job: module.JobContext, who: str = ANA, **options: Any
) -> httpx.Response:
    token = bearer(who, workspace=job.workspace, settings=job.settings, now=client.now)
    return client.request(method, url, headers=token, **options)


def test_from_the_request_to_the_night_that_finishes_it(tmp_path: Path, quick: Settings) -> None:
    key = bytes(range(32))
    with_ana = world(tmp_path / "with", quick, [*USERS, ANA], key=key)
    without = world(tmp_path / "without", quick, USERS, key=key)
    for job in (with_ana, without):
        run_nightly(job)
    listener = listener_of(ANA, key=key)
    client = client_of(with_ana)

    lines = [json.loads(line) for line in ask(client, "GET", "/v1/me/data", with_ana).text.splitlines()]
    contributions = [line for line in lines if line["kind"] == "contribution"]
    assert sorted((line["night"], line["track_id"], line["plays"]) for line in contributions) == sorted(
        (str(night_of(number)), f"track-{track:02}", 1) for number in range(2) for track in range(3)
    )
    assert {line["region"] for line in contributions} <= set(with_ana.atlas.places)
    assert all({"contribute_trends", "personalisation"} <= {*line["used_for"]} for line in contributions)
    assert sum(line["kind"] == "consent" for line in lines) == 3
    affinities = [line for line in lines if line["kind"] == "taste"]
    assert {line["track_id"] for line in affinities if line["meaning"] == "You played this track."} == set(TRACKS[:3])
    assert {tuple(line["used_for"]) for line in affinities} == {("personalisation",)}
    assert holders(with_ana.workspace.private / "tastes", listener) != []

    receipt = ask(client, "DELETE", "/v1/me/data", with_ana).headers["location"]
    assert client.get(receipt).json()["state"] == "pending"
    assert len(ask(client, "GET", "/v1/me/data", with_ana).text.splitlines()) == 2

    assert run_nightly(again(with_ana))["status"] == "nothing new"  # which finds the same consents file once more
    assert client.get(receipt).json()["state"] == "done"
    assert models_aside(private_bytes(with_ana.workspace)) == models_aside(private_bytes(without.workspace))
    assert (
        open_affinities(with_ana.store.sealed).listeners.tolist()
        == open_affinities(without.store.sealed).listeners.tolist()
    )
    assert holders(with_ana.workspace.root, listener, ANA) == []
    assert len(ask(client, "GET", "/v1/me/data", with_ana).text.splitlines()) == 2

    rest = run_nightly(with_next_night(again(with_ana, days=2), users=USERS))
    other = run_nightly(with_next_night(again(without, days=2), users=USERS))
    assert rest["models"] == other["models"]
    assert private_bytes(with_ana.workspace) == private_bytes(without.workspace)
    assert holders(with_ana.workspace.root, listener, ANA) == []


def with_next_night(job: module.JobContext, *, users: list[str]) -> module.JobContext:
    write_listens(job.sources.listens, night_of(2), plays(night_of(2), users=users))
    return job


def test_the_command_forgets_at_once_and_says_nothing_of_whom(
    hearabouts: Run, tmp_path: Path, lived: module.JobContext
) -> None:
    job = lived
    settings = tmp_path / "settings.toml"
    settings.write_text("[store]\nbuckets = 4\n")
    for who in (ANA, "never-seen", ANA):
        done = hearabouts("forget", who, "--workspace", job.workspace.root, "--settings", settings)
        assert (done.code, done.summary["state"]) == (0, "done")
        assert who not in done.out + done.err
    assert holders(job.workspace.root, listener_of(ANA, key=bytes(32)), ANA) == []
    empty = hearabouts("forget", "", "--workspace", job.workspace.root)
    assert empty.code == 2


def test_input_that_does_not_fit_keeps_nobody_from_being_forgotten(tmp_path: Path, lived: module.JobContext) -> None:
    job = lived
    log, listener = ConsentLog(job.workspace.consents), listener_of(ANA, key=bytes(32))
    receipt = log.erasures.ask(listener, at=NOW + timedelta(minutes=1))
    job.sources.catalogue.unlink()
    (job.sources.consents or tmp_path).write_text("user_id\nx\n")
    with pytest.raises(InputError):
        run_nightly(again(job))
    assert log.erasures.is_done(receipt)
    assert holders(job.workspace.root, listener) == []


def test_no_import_no_restored_log_and_no_other_database_brings_anybody_back(
    tmp_path: Path, quick: Settings, postgresql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ana is erased and Bo withdraws; then come a longer file, a consent log of before, and an empty one elsewhere."""
    job, bo, kept = world(tmp_path, quick, [*USERS, ANA], key=bytes(32)), USERS[0], USERS[1:]
    workspace, consents = job.workspace, job.sources.consents or tmp_path
    import_consents(consents, workspace=workspace, settings=quick)
    before = shutil.copy(workspace.consents, tmp_path / "before.db")
    client = client_of(job)
    assert ask(client, "DELETE", "/v1/me/data", job).json()["mark_kept_days"] == quick.erasures.kept_days
    for purpose in Purpose:
        assert ask(client, "PUT", f"/v1/me/consents/{purpose}", job, bo, json={"state": "withdrawn"}).status_code == 200
    del client
    assert forget("nobody", workspace=workspace, settings=quick, now=NOW)["state"] == "done"  # and with it Ana's

    for place in ("as it is", "restored", "elsewhere"):
        if place == "restored":
            for file in workspace.root.glob("consents.db*"):
                file.unlink()
            shutil.copy(before, workspace.consents)
        if place == "elsewhere":
            monkeypatch.setenv("HEARABOUTS__CONSENTS__URL", postgresql.new_database())
        settings = load_settings()
        consents.write_text(consents.read_text() + f"late,personalisation,given,{NOW.isoformat()},2026-09\n" * 2)
        import_consents(consents, workspace=workspace, settings=settings)
        log = consent_log(workspace, settings=settings)
        allowed = permissions(log, now=NOW + timedelta(days=9)).today.filter("for_charts")["listener"]
        assert set(allowed) == {listener_of(user, key=bytes(32)) for user in kept}
        if place == "restored":
            forget("nobody", workspace=workspace, settings=settings, now=NOW)
            assert log.erasures.pending() == []
        assert holders(workspace.root, listener_of(ANA, key=bytes(32)), ANA) == []


def test_a_whole_workspace_that_is_restored_brings_nobody_back(tmp_path: Path, lived: module.JobContext) -> None:
    """Its own marks are of before, too: the witness outside knows the one that the endpoint left."""
    job = lived
    root, listener = job.workspace.root, listener_of(ANA, key=bytes(32))
    shutil.copytree(root, tmp_path / "backup")
    assert ask(client_of(job), "DELETE", "/v1/me/data", job).status_code == 202
    shutil.rmtree(root)
    (tmp_path / "backup").rename(root)
    assert holders(root, listener, ANA)
    run_nightly(again(job))
    assert listener not in set(permissions(job.consents, now=NOW + timedelta(days=9)).today["listener"])
    assert holders(root, listener, ANA) == []


def test_while_another_job_runs_the_erasure_waits_but_counts(quick: Settings, lived: module.JobContext) -> None:
    job = lived
    workspace, log = job.workspace, ConsentLog(job.workspace.consents)
    listener, now = listener_of(ANA, key=bytes(32)), NOW + timedelta(minutes=1)
    assert log.allows(listener, Purpose.LOCAL_TRENDS, at=now)
    with workspace.locked(), pytest.raises(NotReadyError):
        forget(ANA, workspace=workspace, settings=quick, now=now)
    assert not log.allows(listener, Purpose.LOCAL_TRENDS, at=now)
    run_nightly(again(job))
    assert log.erasures.pending() == []
    assert job.store.scan().filter(pl.col("listener") == listener).collect().is_empty()


def test_the_night_and_the_endpoint_agree_on_a_new_notice(tmp_path: Path, mlruns: Path) -> None:
    """Half of the users gave under a notice that is not in force: no play of theirs gets into the store."""
    settings = small_settings(mlruns, consents={"notice_version": "2027-01"})
    sources = write_world(tmp_path / "in", users=USERS)
    later = write_consents(tmp_path / "later.csv", USERS[:6]).read_text()
    later = later.replace(",2026-09\n", ",2027-01\n").replace("T12:00", "T13:00")  # what they gave again, an hour later
    assert sources.consents is not None
    sources.consents.write_text(sources.consents.read_text() + "\n".join(later.splitlines()[1:]) + "\n")
    job = deployed(tmp_path, sources, settings)
    summary = run_nightly(job)
    assert summary["consents"]["other_notices"] == 36
    key, log = job.workspace.listener_key(), consent_log(job.workspace, settings=settings)
    allowed = {user for user in USERS if log.allows(listener_of(user, key=key), Purpose.CONTRIBUTE_TRENDS, at=NOW)}
    stored = set(job.store.scan().collect()["listener"])
    assert stored == {listener_of(user, key=key) for user in allowed}
    assert 0 < len(allowed) < len(USERS)
