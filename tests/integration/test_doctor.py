"""What is wrong with a workspace: the doctor finds it, and a night finds it before it spends anything."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from support.commands import Run
from support.night import NOW, deployed, night_of, plays, small_settings, write_listens, write_world
from support.sealing import rows_of, write_rows

from pipelines.base.job_context import JobContext, Sources
from pipelines.doctor import Finding, examine, summary
from pipelines.night.nightly import run_nightly
from pipelines.snapshots import listed, use
from recsys.consents.log import Entry, Purpose, State
from recsys.errors import InputError, RecsysError
from recsys.releases.budget.ledger import Ledger
from recsys.serving.snapshot.snapshot_reader import open_published
from recsys.workspace import Workspace, digest, write_manifest

USERS = [f"user-{number}" for number in range(40)]


@dataclass(frozen=True)
class Place:
    """A world, its workspace and its runs after two nights of three."""

    root: Path
    job: JobContext

    def found(self, **changes: object) -> list[Finding]:
        job = replace(self.job, **changes)  # type: ignore[arg-type]
        return [finding for finding in examine(job) if finding.exit_code or finding.found != "well"]


def at(folder: Path) -> JobContext:
    sources = Sources(folder / "listens", folder / "catalogue.csv", folder / "consents.csv")
    models = {"factors": 4, "iterations": 2, "validation_nights": 1, "test_nights": 1, "ranker": "none"}
    return deployed(folder, sources, small_settings(folder / "mlruns", models=models))


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, mlruns_template: Path) -> Path:
    folder = tmp_path_factory.mktemp("doctor")
    shutil.copytree(mlruns_template, folder / "mlruns")
    write_world(folder, nights=2, users=USERS)
    run_nightly(at(folder))
    publish_before(folder / "workspace")
    return folder


def publish_before(root: Path) -> None:
    """Add a snapshot of before: the same under another name, as a second night would take as long as the first."""
    newest = root / "snapshots" / (root / "current").read_text()
    folder = shutil.copytree(newest, newest.with_name(f"{night_of(0)}-00000000"))
    facts = json.loads((folder / "manifest.json").read_text())
    write_manifest(folder, {**facts, "id": folder.name}, names=facts["files"])


@pytest.fixture
def place(once: Path, tmp_path: Path) -> Place:
    """A copy for each test, with a night to come."""
    shutil.copytree(once, tmp_path / "copy", symlinks=True)
    write_listens(tmp_path / "copy" / "listens", night_of(2), plays(night_of(2), users=USERS))
    return Place(tmp_path / "copy", at(tmp_path / "copy"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def bucket(place: Place, *, night: int = 0, below: str = ".") -> Path:
    return sorted((place.root / f"workspace/private/contributions/date={night_of(night)}" / below).glob("bucket*"))[0]


def old_bucket_cut_off(place: Place) -> None:
    cut(bucket(place))


def bucket_of_an_older_schema(place: Place) -> None:
    write_rows(bucket(place), rows_of(bucket(place)).drop("partner_part"))


def balances_cut_off(place: Place) -> None:
    cut(bucket(place, night=1, below="balances"))


def empty_record_of_a_night(place: Place) -> None:
    (place.root / f"workspace/private/nights/{night_of(0)}.json").write_text("")


def junk_for_the_store_s_settings(place: Place) -> None:
    (place.root / "workspace/private/contributions/store.json").write_text("{")


def bucket_in_the_place_of_another(place: Place) -> None:
    bucket(place).write_bytes(bucket(place, night=1).read_bytes())


def another_store_key(place: Place) -> None:
    (place.root / "workspace/store.key").write_bytes(bytes(32))


def store_key_gone(place: Place) -> None:
    (place.root / "workspace/store.key").unlink()


def keys_of_the_days_gone(place: Place) -> None:
    (place.root / "workspace/private/keys.json").unlink()


def consents_of_version_99(place: Place) -> None:
    execute(place.root / "workspace/consents.db", "PRAGMA user_version = 99")


def consents_with_another_column(place: Place) -> None:
    execute(place.root / "workspace/consents.db", "ALTER TABLE entries ADD COLUMN more TEXT")


def garbage_for_consents(place: Place) -> None:
    (place.root / "workspace/consents.db").write_bytes(b"garbage " * 1000)


def ledger_of_version_99(place: Place) -> None:
    execute(place.root / "workspace/ledger.db", "PRAGMA user_version = 99")


def ledger_with_another_column(place: Place) -> None:
    execute(place.root / "workspace/ledger.db", "ALTER TABLE entries ADD COLUMN more TEXT")


def release_gone(place: Place) -> None:
    shutil.rmtree(place.root / f"workspace/releases/{night_of(0)}")


def release_cut_off(place: Place) -> None:
    cut(place.root / f"workspace/releases/{night_of(0)}/counts.parquet")


def snapshot_cut_off(place: Place) -> None:
    cut(place.root / "workspace/snapshots" / current(place) / "charts.db")


def snapshot_of_another_shape(place: Place) -> None:
    folder = place.root / "workspace/snapshots" / current(place)
    execute(folder / "charts.db", "DROP TABLE nearby")
    write_manifest(folder, {**json.loads((folder / "manifest.json").read_text()), "format": "1"}, names=["charts.db"])


def short_key(place: Place) -> None:
    (place.root / "workspace/listener.key").write_bytes(b"")


def key_for_everybody(place: Place) -> None:
    (place.root / "workspace/listener.key").chmod(0o644)


def keys_for_everybody(place: Place) -> None:
    (place.root / "workspace/private/keys.json").chmod(0o640)


def key_gone(place: Place) -> None:
    (place.root / "workspace/listener.key").unlink()


def junk_for_mlflow(place: Place) -> None:
    (place.root / "mlruns/mlflow.db").write_bytes(b"junk" * 1000)


def execute(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(statement)


def current(place: Place) -> str:
    return (place.root / "workspace/current").read_text()


Plant = Callable[[Place], None]

STOPS: list[tuple[Plant, str, int]] = [  # a night before anything is spent, with the same exit code
    (old_bucket_cut_off, "private store", 65),
    (bucket_of_an_older_schema, "private store", 65),
    (balances_cut_off, "private store", 65),
    (bucket_in_the_place_of_another, "private store", 65),
    (another_store_key, "private store", 78),
    (store_key_gone, "private store", 78),
    (keys_of_the_days_gone, "private store", 65),
    (empty_record_of_a_night, "private store", 65),
    (junk_for_the_store_s_settings, "private store", 65),
    (consents_of_version_99, "consent log", 65),
    (consents_with_another_column, "consent log", 65),
    (garbage_for_consents, "consent log", 65),
    (ledger_of_version_99, "ledger", 65),
    (ledger_with_another_column, "ledger", 65),
    (release_gone, "ledger", 77),
]
HEALS: list[tuple[Plant, str, int]] = [
    (snapshot_cut_off, "snapshots", 65),
    (snapshot_of_another_shape, "snapshots", 65),
]
TELLS: list[tuple[Plant, str, int]] = [
    (release_cut_off, "releases", 65),
    (short_key, "keys", 65),
    (key_gone, "keys", 65),
    (key_for_everybody, "modes", 65),
    (keys_for_everybody, "modes", 65),
    (junk_for_mlflow, "MLflow", 75),
]


def names(plants: list[tuple[Plant, str, int]]) -> list[str]:
    return [plant.__name__ for plant, *_ in plants]


def state(root: Path) -> dict[str, str]:
    """Every byte of a workspace, but for what SQLite and a lock leave beside their files."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {str(path): digest(path) for path in files if path.name != ".lock"}


def test_a_workspace_that_is_well(place: Place) -> None:
    before = state(place.root)
    assert place.found() == []
    assert summary(examine(place.job))["exit_code"] == 0
    assert state(place.root) == before  # it changes nothing


@pytest.mark.parametrize(("plant", "subject", "code"), STOPS + HEALS + TELLS, ids=names(STOPS + HEALS + TELLS))
def test_the_doctor_finds_what_is_wrong(place: Place, plant: Plant, subject: str, code: int) -> None:
    plant(place)
    faults = [finding for finding in place.found() if finding.exit_code]
    assert {(finding.subject, finding.exit_code) for finding in faults} == {(subject, code)}
    assert all(finding.do for finding in faults)
    assert summary(faults)["exit_code"] == code


@pytest.mark.parametrize(("plant", "code"), [(plant, code) for plant, _, code in STOPS], ids=names(STOPS))
def test_a_night_finds_it_before_it_spends_anything(place: Place, plant: Plant, code: int) -> None:
    spent = Ledger.to_read(place.job.workspace.ledger).entries()
    plant(place)
    before = state(place.root / "workspace/releases") | state(place.root / "workspace/snapshots")
    with pytest.raises(RecsysError) as refused:
        run_nightly(at(place.root))
    assert refused.value.exit_code == code
    assert str(place.root) in refused.value.message  # it names the file
    assert refused.value.hint
    after = state(place.root / "workspace/releases") | state(place.root / "workspace/snapshots")
    assert after == before
    if "ledger" not in plant.__name__:
        assert Ledger.to_read(place.job.workspace.ledger).entries() == spent
    else:
        with closing(sqlite3.connect(place.job.workspace.ledger)) as database:
            assert database.execute("SELECT count(*) FROM entries").fetchone() == (len(spent),)


@pytest.mark.parametrize("plant", [plant for plant, *_ in HEALS], ids=names(HEALS))
def test_a_night_publishes_anew_what_is_not_whole(place: Place, plant: Plant, published: list[JobContext]) -> None:
    assert run_nightly(at(place.root), through=night_of(1))["status"] == "nothing new"
    plant(place)
    with pytest.raises(PublishedError):
        run_nightly(at(place.root), through=night_of(1))
    assert len(published) == 1


def test_a_night_whose_folder_is_gone_can_be_left_out(place: Place, published: list[JobContext]) -> None:
    release_gone(place)
    shutil.rmtree(place.root / f"listens/date={night_of(0)}")
    assert run_nightly(at(place.root), skip=[night_of(0)], through=night_of(1))["status"] == "nothing new"
    assert place.found() == []
    assert published == []


def test_a_night_lets_decisions_go_that_nobody_asks_for(place: Place) -> None:
    """Of who toggles for ever; what the nights of the private store may ask for stays."""
    first = NOW - timedelta(days=200)
    toggles = [
        Entry("f" * 32, Purpose.PERSONALISATION, list(State)[number % 2], first + timedelta(hours=8 * number), "1")
        for number in range(500)
    ]
    place.job.consents.append(toggles)
    assert run_nightly(at(place.root), through=night_of(1))["status"] == "nothing new"
    asked = datetime.combine(night_of(1) - timedelta(days=place.job.settings.store.nights), time(), tzinfo=UTC)
    older = [entry for entry in toggles if entry.at < asked]
    assert len(older) > 250
    assert place.job.consents.entries("f" * 32) == [toggles[0], *toggles[min(len(older) - 1, 300) :]]


class PublishedError(Exception):
    """Stands for what a night does once it is past everything that is looked at here."""


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[JobContext]:
    """The jobs that came to publish: the audit before it and the models take long."""
    found: list[JobContext] = []

    def stop(job: JobContext, _: object) -> None:
        found.append(job)
        raise PublishedError

    monkeypatch.setattr("pipelines.night.nightly._audit", stop)
    return found


def test_a_clock_behind_the_ledger_is_told(place: Place) -> None:
    [finding] = place.found(now=place.job.now - timedelta(days=30))
    assert (finding.subject, finding.exit_code) == ("clock", 75)


def test_a_full_disk_and_leftovers_are_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    left = place.root / f"workspace/private/nights/.{night_of(0)}.json.00ff.staged"
    left.touch()
    monkeypatch.setattr("pipelines.doctor.LEAST_FREE", 1 << 62)
    found = {finding.subject: finding.exit_code for finding in place.found()}
    assert found == {"disk": 75, "leftovers": 0}
    with place.job.workspace.locked():  # as every job does first
        assert not left.exists()


def test_the_command_lines(place: Place, hearabouts: Run, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[store]\nbuckets = 4\n[tracking]\nfolder = "copy/mlruns"\n')
    more = ("--workspace", "copy/workspace", "--settings", "s.toml")
    done = hearabouts("doctor", *more)
    assert (done.code, done.summary["faults"]) == (0, 0), done.out
    assert len(done.out.splitlines()) == 12  # a line for each, and the summary
    key_for_everybody(place)
    done = hearabouts("doctor", *more)
    assert (done.code, done.summary["status"], done.summary["faults"]) == (65, "failed", 1)
    assert "chmod 0600 copy/workspace/listener.key" in done.out
    assert hearabouts("doctor", "--workspace", "nowhere").code == 65
    done = hearabouts("snapshots", "list", *more)
    newest, before = (each["id"] for each in done.summary["snapshots"])
    done = hearabouts("snapshots", "use", before, *more)
    assert (done.code, done.summary["before"]) == (0, newest)
    assert hearabouts("snapshots", "use", "2026-01-01-00000000", *more).code == 65


def test_an_earlier_snapshot_is_used_with_its_public_files(place: Place) -> None:
    workspace: Workspace = place.job.workspace
    newest, before = (each.id for each in listed(workspace))
    assert use(workspace, before) == newest
    assert open_published(workspace).id == before
    assert workspace.public.resolve().parent.name == before
    cut(workspace.snapshots / newest / "charts.db")
    with pytest.raises(InputError, match="is not whole"):
        use(workspace, newest)
    assert open_published(workspace).id == before


def test_the_privacy_officer_is_told_of_a_release_that_is_gone(place: Place, hearabouts: Run) -> None:
    release_gone(place)
    more = ("--workspace", "copy/workspace")
    done = hearabouts("privacy", "verify", f"copy/workspace/releases/{night_of(1)}", *more)
    assert done.code == 77
    assert "released nights whose folder is gone" in done.summary["message"]
    assert hearabouts("privacy", "report", *more).code == 77


def test_a_read_only_workspace_can_be_reported_on(
    place: Place, hearabouts: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(place.root)
    monkeypatch.setattr("recsys.releases.budget.ledger.os.access", lambda *_: False)  # root may write anywhere
    more = ("--workspace", "copy/workspace")
    done = hearabouts("privacy", "verify", f"copy/workspace/releases/{night_of(1)}", *more)
    assert done.code == hearabouts("privacy", "report", *more).code == 0
    assert state(place.root) == before
