"""What lies on the disk about listeners tells nobody anything who does not have the store key."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support import night
from support.arriving import coarse
from support.commands import Run
from support.runs import figures
from support.sealing import rows_of

from pipelines.base.job_context import JobContext, Sources
from pipelines.doctor import examine
from pipelines.night import nightly
from pipelines.night.nightly import run_night, run_nightly
from pipelines.night.rotate_keys import Which, rotate
from pipelines.night.schedule import plan_nights
from pipelines.night.settle import settle
from pipelines.privacy.export import records_in
from pipelines.privacy.forget import forget
from pipelines.privacy.import_consents import import_consents
from recsys.artifacts.affinities import Affinities, default_orders, open_affinities, write
from recsys.cells import evaluations
from recsys.errors import ConsentError, NotReadyError, RecsysError, SettingsError, UsageError
from recsys.sealed_files import FOLDERS, SEALED
from recsys.workspace import Workspace, listener_of

USERS = [f"user-{number}" for number in range(8)]
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment after two nights, with lists and with figures of a run."""
    folder = tmp_path_factory.mktemp("world")
    night.write_world(folder, nights=2, users=USERS)
    run_due(folder)
    job = job_in(folder)
    files, who = job.store.sealed, listeners(job)
    with evaluations.held(files):
        rows = figures([0.1, 0.2], [None, None]).with_columns(listener=pl.Series(who[:2]))
        evaluations.write(files, rows, run="a" * 32, night=night.night_of(1))
    hashes = np.array([bytes.fromhex(each) for each in who], dtype="S16")
    shape = (len(who), 1)
    row = (np.zeros(shape, dtype=np.int32), np.ones(shape, dtype=np.float16), np.zeros(shape, dtype=bool))
    write(files, Affinities(str(night.night_of(1)), ("track-00",), default_orders(new=1.0), hashes, *row))
    return folder


@pytest.fixture
def deployment(world: Path, tmp_path: Path) -> Path:
    """A copy with a night to come."""
    folder = Path(shutil.copytree(world, tmp_path / "world"))
    night.write_listens(folder / "listens", night.night_of(2), night.plays(night.night_of(2), users=USERS))
    return folder


def job_in(folder: Path, **store: object) -> JobContext:
    sources = Sources(folder / "listens", folder / "catalogue.csv", folder / "consents.csv")
    settings = night.small_settings(folder / "mlruns", store={"buckets": 4, **store})
    return night.deployed(folder, sources, settings)


def run_due(folder: Path, **store: object) -> list[str]:
    """Run what is due, up to the releases."""
    job = job_in(folder, **store)
    with job.begun():
        job.store.check()
        import_consents(folder / "consents.csv", workspace=job.workspace, settings=job.settings)
        due = plan_nights(job).due
        for some in due:
            run_night(job, some)
    return [str(some) for some in due]


def listeners(job: JobContext) -> list[str]:
    return sorted(listener_of(user, key=job.listener_key) for user in USERS)


def private_files(folder: Path) -> list[Path]:
    """The files that are about single listeners."""
    private = folder / "workspace/private"
    return [path for name in FOLDERS for path in (private / name).rglob("*") if path.is_file()]


def tellers(folder: Path) -> list[Path]:
    """The private files in which a listener or a track can be read, in digits or in bytes."""
    texts = [*listeners(job_in(folder)), *night.TRACKS]
    needles = [text.encode() for text in texts] + [bytes.fromhex(text) for text in texts if len(text) == 32]
    return [path for path in private_files(folder) if any(needle in path.read_bytes() for needle in needles)]


def unsealed(folder: Path) -> None:
    """Make of a workspace what the release before this one left."""
    files = job_in(folder).store.sealed
    contents = {path: files.read(path) for path in private_files(folder) if path.suffix == ".parquet"}
    for path, content in contents.items():
        path.write_bytes(content)
    files.keys_file.unlink()
    files.default_key.unlink()


def test_no_listener_and_no_track_can_be_read_in_any_private_file(deployment: Path) -> None:
    assert {path.relative_to(deployment / "workspace/private").parts[0] for path in private_files(deployment)} == {
        *FOLDERS
    }
    assert tellers(deployment) == []
    assert all(SEALED in path.read_bytes() for path in private_files(deployment) if path.suffix == ".parquet")
    key = (deployment / "workspace/store.key").read_bytes()
    private = [path for path in (deployment / "workspace/private").rglob("*") if path.is_file()]
    assert not any(key in path.read_bytes() for path in private)
    assert len(rows_of(next(path for path in private_files(deployment) if "balances" in path.parts)))


def test_what_a_night_streams_to_its_stage_is_read_by_nobody(deployment: Path) -> None:
    job = job_in(deployment)
    frame = coarse([(who, "canary-track", 1) for who in listeners(job)])
    with job.store.bucketed(frame.lazy()) as buckets:
        staged = [path for path in (job.workspace.private / "contributions").glob(".coarse.*/**/*") if path.is_file()]
        assert staged != []
        for path in staged:
            content = path.read_bytes()
            assert content.endswith(b"PARE")  # an encrypted footer
            assert not any(who.encode() in content for who in (*listeners(job), "canary-track"))
        assert sum(rows.select(pl.len()).collect().item() for _, rows in buckets) == len(USERS)


@pytest.fixture
def unaudited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A night without the half minute of its audit."""

    class Fine:
        def metrics(self) -> dict[str, float]:
            return {}

        def confirm(self) -> None:
            return None

    monkeypatch.setattr(nightly, "audit_release", lambda _: Fine())


@pytest.mark.usefixtures("unaudited")
def test_a_workspace_of_before_is_taken_over_by_a_whole_night(deployment: Path) -> None:
    before = job_in(deployment).store.scan().collect().sort("night", "listener", "track_id")
    unsealed(deployment)
    assert tellers(deployment) != []
    assert job_in(deployment).store.scan().collect().height == len(before)  # read as it is
    done = run_nightly(job_in(deployment))
    assert (done["status"], done["nights"]) == ("done", 1)
    assert tellers(deployment) == []
    job = job_in(deployment)
    after = job.store.scan(job.store.nights()[:2]).collect().sort("night", "listener", "track_id")
    assert after.equals(before)
    assert evaluations.read(job.store.sealed, run="a" * 32) is not None
    open_affinities(job.store.sealed)
    assert [finding for finding in examine(job) if finding.exit_code] == []


def test_an_erasure_and_an_export_before_the_takeover(deployment: Path) -> None:
    unsealed(deployment)
    job = job_in(deployment)
    who = listener_of(USERS[0], key=job.listener_key)
    assert sum(record.kind == "contribution" for record in records_in(job.workspace, settings=job.settings)(who)) == 6
    forget(USERS[0], workspace=job.workspace, settings=job.settings, now=job.now)
    assert job.store.scan().filter(pl.col("listener") == who).collect().is_empty()
    assert not any(who.encode() in path.read_bytes() for path in private_files(deployment))


def test_with_retention_the_keys_go(deployment: Path) -> None:
    job = job_in(deployment)
    copied = next(path for path in private_files(deployment) if f"date={night.night_of(0)}" in str(path))
    content = copied.read_bytes()
    later = night.night_of(40)
    night.write_listens(deployment / "listens", later, night.plays(later, users=USERS))
    late = JobContext(job.workspace, job.settings, job.sources, job.now + 40 * DAY)
    with late.begun():
        run_night(late, later)
    copied.parent.mkdir(parents=True, exist_ok=True)
    copied.write_bytes(content)  # of a backup, or of what a disk still has
    with pytest.raises(RecsysError, match="the key of its day is destroyed or lost"):
        late.store.sealed.read(copied)


@pytest.mark.parametrize("lost", ["another", "gone"])
def test_without_the_store_key_nothing_is_spent_until_it_is_accepted(deployment: Path, lost: str) -> None:
    key = deployment / "workspace/store.key"
    if lost == "gone":
        key.unlink()
    else:
        key.write_bytes(bytes(32))
    for _ in range(2):
        with pytest.raises(SettingsError) as refused:
            run_due(deployment)
        assert "`hearabouts privacy settle --accept store`" in refused.value.hint
    assert len(job_in(deployment).ledger.entries()) == 2
    with pytest.raises(NotReadyError, match=r"cannot be opened: .*store"):
        open_affinities(job_in(deployment).store.sealed)
    assert list(settle(job_in(deployment))["lost"]) == ["store"]
    assert settle(job_in(deployment), accept=["store"])["lost"] == {}
    assert run_due(deployment) == ["2026-10-03"]


@pytest.mark.parametrize("which", ["store", "token", "contacts"])
def test_the_night_after_a_rotation(deployment: Path, which: Which) -> None:
    workspace = Workspace(deployment / "workspace")
    workspace.token_key()
    workspace.contacts_key()
    names = ("store.key", "token.key", "contacts.key", "listener.key")
    before = {name: (workspace.root / name).read_bytes() for name in names}
    rows = job_in(deployment).store.scan().collect()
    rotate(job_in(deployment), which)
    changed = {name for name, key in before.items() if (workspace.root / name).read_bytes() != key}
    assert changed == {f"{which}.key"}
    assert (workspace.root / f"{which}.key").stat().st_mode & 0o777 == 0o600
    assert job_in(deployment).store.scan().collect().equals(rows)
    assert open_affinities(job_in(deployment).store.sealed).listeners.size == len(USERS)
    assert run_due(deployment) == ["2026-10-03"]
    if which == "store":
        (workspace.root / "store.key").write_bytes(before["store.key"])
        with pytest.raises(SettingsError, match="the store key is another"):
            job_in(deployment).store.sealed.check()


def test_the_store_key_leaves_the_workspace(deployment: Path, tmp_path: Path) -> None:
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text("5e" * 32)
    rotate(job_in(deployment), "store", new=tmp_path / "key")
    assert not (deployment / "workspace/store.key").exists()
    with pytest.raises(SettingsError, match="is lost"):
        run_due(deployment)
    assert run_due(deployment, key_file=tmp_path / "key") == ["2026-10-03"]
    assert not (deployment / "workspace/store.key").exists()
    with pytest.raises(UsageError, match="--new"):
        rotate(job_in(deployment, key_file=tmp_path / "key"), "store")


def test_after_a_crash_in_a_rotation_one_of_the_keys_opens_everything(
    deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, replaced = job_in(deployment).store.scan().collect(), Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: dies() if path.name.endswith(".next") else replaced(path, to))
    with pytest.raises(KeyboardInterrupt):
        rotate(job_in(deployment), "store")
    monkeypatch.undo()
    assert (deployment / "workspace/store.key.next").exists()
    assert job_in(deployment).store.scan().collect().equals(rows)
    assert run_due(deployment) == ["2026-10-03"]
    assert not (deployment / "workspace/store.key.next").exists()


def dies() -> Any:
    raise KeyboardInterrupt


def test_another_listener_key_takes_a_word_and_makes_everybody_anew(deployment: Path) -> None:
    key = (deployment / "workspace/listener.key").read_bytes()
    with pytest.raises(ConsentError, match="nobody is known any more"):
        rotate(job_in(deployment), "listener")
    assert (deployment / "workspace/listener.key").read_bytes() == key
    rotate(job_in(deployment), "listener", everybody_anew=True)
    assert (deployment / "workspace/listener.key").read_bytes() != key
    assert private_files(deployment) == []
    assert settle(job_in(deployment))["lost"] == {}
    assert run_due(deployment) == ["2026-10-03"]


def test_the_command_line(deployment: Path, hearabouts: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(deployment)
    (deployment / "s.toml").write_text('[store]\nbuckets = 4\n[tracking]\nfolder = "mlruns"\n')
    more = ("--workspace", "workspace", "--settings", "s.toml")
    done = hearabouts("keys", "rotate", "store", *more)
    assert (done.code, done.summary["key"], done.summary["days"]) == (0, "store", 2), done.out
    assert hearabouts("keys", "rotate", "listener", *more).code == 77
    assert hearabouts("keys", "rotate", "token", "--new", "file", *more).code == 2
    monkeypatch.setenv("HEARABOUTS__STORE__KEY", "not a key")
    assert hearabouts("keys", "rotate", "store", "--new", "nowhere", *more).code == 78
