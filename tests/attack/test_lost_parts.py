"""Nothing that a night stands on is replaced in silence: keys, the consent log, the witness, the clock."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support import night

from pipelines.base.job_context import JobContext, Sources
from pipelines.night.nightly import run_night
from pipelines.night.schedule import plan_nights
from pipelines.night.settle import settle
from pipelines.privacy.import_consents import import_consents
from recsys.consents.log import Channel, ConsentLog, Entry, Purpose, State, consent_log
from recsys.errors import ConsentError, InputError, NotReadyError, PrivacyBudgetError, RecsysError, SettingsError
from recsys.releases.budget.ledger import Ledger
from recsys.workspace import Workspace, listener_of

USERS = [f"user-{number}" for number in range(8)]
ANA = Entry("a" * 32, Purpose.LOCAL_TRENDS, State.GIVEN, night.NOW, "2026-09", Channel.API)

Break = Callable[[Workspace], object]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment whose first two nights of three were run."""
    folder = tmp_path_factory.mktemp("world")
    night.write_world(folder, nights=2, users=USERS)
    run_due(folder)
    night.write_listens(folder / "listens", night.night_of(2), night.plays(night.night_of(2), users=USERS))
    return folder


@pytest.fixture
def deployment(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "world"))


def job_in(folder: Path, *, now: timedelta = timedelta(0)) -> JobContext:
    sources = Sources(folder / "listens", folder / "catalogue.csv", folder / "consents.csv")
    return night.deployed(folder, sources, night.small_settings(folder / "mlruns"), now=night.NOW + now)


def run_due(folder: Path) -> list[str]:
    """Run what is due, up to the releases."""
    job = job_in(folder)
    with job.begun():
        import_consents(folder / "consents.csv", workspace=job.workspace, settings=job.settings)
        due = plan_nights(job).due
        for some in due:
            run_night(job, some)
    return [str(some) for some in due]


def write(name: str, content: bytes | None) -> Break:
    def change(workspace: Workspace) -> None:
        (workspace.root / name).unlink()
        if content is not None:
            (workspace.root / name).write_bytes(content)

    return change


def exchange_log(workspace: Workspace) -> None:
    """Put the log of another deployment in the place of this one's."""
    elsewhere = Workspace(workspace.root.with_name("elsewhere")).prepare()
    job = job_in(workspace.root.parent)
    consent_log(elsewhere, settings=job.settings).append([ANA])
    shutil.copy(elsewhere.consents, workspace.consents)


def rename_entries(workspace: Workspace) -> None:
    connection = sqlite3.connect(workspace.consents)
    connection.execute("ALTER TABLE entries RENAME TO elsewhere")
    connection.close()


@pytest.mark.parametrize(
    ("broken", "lost"),
    [
        (write("listener.key", None), "key"),
        (write("listener.key", b""), "key"),
        (write("listener.key", b"short"), "key"),
        (write("listener.key", bytes(100)), "key"),
        (write("listener.key", bytes(32)), "key"),
        (write("consents.db", None), "consents"),
        (write("consents.db", b""), "consents"),
        (exchange_log, "consents"),
    ],
    ids=["no key", "0 bytes", "5 bytes", "100 bytes", "another key", "no log", "empty log", "another log"],
)
def test_what_is_lost_stops_the_night_until_somebody_means_it(deployment: Path, broken: Break, lost: str) -> None:
    workspace = Workspace(deployment / "workspace")
    broken(workspace)
    spent = Ledger(workspace.ledger).entries()
    for _ in range(2):  # the first refusal does not pave the way for the second try
        with pytest.raises((SettingsError, ConsentError)) as refused:
            run_due(deployment)
        assert refused.value.exit_code in {77, 78}
        assert f"`hearabouts privacy settle --accept {lost}`" in refused.value.hint
        assert Ledger(workspace.ledger).entries() == spent
    told = settle(job_in(deployment))
    assert lost in told["lost"]
    assert told["accepted"] == []
    done = settle(job_in(deployment), accept=[lost])  # type: ignore[list-item]
    assert (done["lost"], done["accepted"]) == ({}, [lost])
    assert run_due(deployment) == ["2026-10-03"]
    with pytest.raises(InputError, match=f"did not lose its {lost}"):
        settle(job_in(deployment), accept=[lost])  # type: ignore[list-item]


def test_a_new_key_leaves_no_plays_that_nobody_could_withdraw_or_erase(deployment: Path) -> None:
    write("listener.key", None)(Workspace(deployment / "workspace"))
    assert job_in(deployment).store.nights() != ()
    settle(job_in(deployment), accept=["key"])
    assert job_in(deployment).store.nights() == ()


def test_a_log_whose_tables_are_gone_stops_the_night(deployment: Path) -> None:
    rename_entries(Workspace(deployment / "workspace"))
    with pytest.raises(RecsysError) as refused:
        run_due(deployment)
    assert refused.value.exit_code == 65


def test_a_damaged_token_key_is_no_key(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace").prepare()
    (workspace.root / "token.key").touch()
    with pytest.raises(SettingsError, match="has 0 bytes, a key has 32"):
        workspace.token_key()


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o640, 0o604])
def test_secrets_are_taken_back_from_others_at_the_start(deployment: Path, mode: int) -> None:
    workspace, names = Workspace(deployment / "workspace"), ("listener.key", "consents.db", "ledger.db")
    workspace.token_key()
    for name in (*names, "token.key"):
        (workspace.root / name).chmod(mode)
    workspace.prepare()
    assert {(workspace.root / name).stat().st_mode & 0o777 for name in (*names, "token.key")} == {0o600}


def test_a_restored_backup_is_refused_then_charged_and_goes_on(deployment: Path) -> None:
    workspace = Workspace(deployment / "workspace")
    shutil.copytree(workspace.root, deployment / "backup")
    assert run_due(deployment) == ["2026-10-03"]
    spent = Ledger(workspace.ledger).entries()
    shutil.rmtree(workspace.root)
    (deployment / "backup").rename(workspace.root)
    with pytest.raises(PrivacyBudgetError, match="behind its witness: the night 2026-10-03 was released already"):
        run_due(deployment)
    assert list(settle(job_in(deployment))["lost"]) == ["spends"]
    done = settle(job_in(deployment), accept=["spends"])
    assert (done["charged"], done["left_out"], done["lost"]) == (1, ["2026-10-03"], {})
    assert [(entry.spend, entry.release) for entry in Ledger(workspace.ledger).entries()] == [
        (entry.spend, entry.release) for entry in spent
    ]
    night.write_listens(deployment / "listens", night.night_of(3), night.plays(night.night_of(3), users=USERS))
    assert run_due(deployment) == ["2026-10-04"]
    balances = job_in(deployment).store.balances(tuple(range(4)), after=night.night_of(3))
    assert balances["of_28"].max() < 256 * 4  # a night's earnings at most: what was saved before may have been spent


def test_an_emptied_workspace_is_refused_until_all_of_it_is_accepted(deployment: Path) -> None:
    job_in(deployment).check()  # at this place
    shutil.rmtree(deployment / "workspace")
    with pytest.raises(PrivacyBudgetError, match="2 releases, the first of the night 2026-10-01"):
        run_due(deployment)
    assert not (deployment / "workspace" / "listener.key").exists()
    done = settle(job_in(deployment), accept=["spends", "key", "consents"])
    assert (done["charged"], done["lost"]) == (2, {})
    assert run_due(deployment) == ["2026-10-03"]


def test_a_lost_ledger_is_written_anew_from_its_witness(deployment: Path) -> None:
    workspace = Workspace(deployment / "workspace")
    before = Ledger(workspace.ledger).entries()
    for file in workspace.root.glob("ledger.db*"):
        file.unlink()
    with pytest.raises(PrivacyBudgetError, match="not in the ledger"):
        run_due(deployment)
    done = settle(job_in(deployment), accept=["spends"])
    assert (done["charged"], done["left_out"], done["lost"]) == (2, [], {})
    assert Ledger(workspace.ledger).entries() == before
    assert run_due(deployment) == ["2026-10-03"]


def test_a_lost_witness_is_told_and_begun_again(deployment: Path) -> None:
    (deployment / "mlruns" / "witness.db").unlink()
    with pytest.raises(PrivacyBudgetError, match="does not know this workspace"):
        run_due(deployment)
    done = settle(job_in(deployment), accept=["witness"])
    assert (done["witnessed"], done["lost"]) == (2, {})
    assert run_due(deployment) == ["2026-10-03"]


@pytest.mark.parametrize("of", ["ledger", "consent log"])
def test_a_clock_that_is_behind_is_refused_before_anything_is_read(deployment: Path, of: str) -> None:
    workspace, decided = Workspace(deployment / "workspace"), night.NOW + timedelta(days=3)
    if of == "consent log":
        entry = Entry(
            listener_of(USERS[0], key=workspace.listener_key()), *(ANA.purpose, State.WITHDRAWN, decided, "2026-09")
        )
        ConsentLog(workspace.consents).append([entry])  # as a file says: no clock stood there
        job_in(deployment).check()
        ConsentLog(workspace.consents).decide(
            Entry(entry.listener, Purpose.PERSONALISATION, State.WITHDRAWN, decided, "2026-09", Channel.API)
        )
    last = decided if of == "consent log" else night.NOW
    job_in(deployment, now=last - night.NOW - timedelta(minutes=4)).check()
    with pytest.raises(NotReadyError, match=f"the last entry of the {of}") as refused:
        job_in(deployment, now=last - night.NOW - timedelta(minutes=6)).check()
    assert refused.value.exit_code == 75


def test_an_erasure_tells_the_clock_as_well(deployment: Path) -> None:
    workspace = Workspace(deployment / "workspace")
    ConsentLog(workspace.consents).erasures.ask(ANA.listener, at=night.NOW + timedelta(days=1))
    with pytest.raises(NotReadyError, match="the last entry of the consent log"):
        job_in(deployment).check()


def test_what_the_witness_holds_tells_nothing_of_anybody(deployment: Path) -> None:
    witness = (deployment / "mlruns" / "witness.db").read_bytes()
    key = (deployment / "workspace" / "listener.key").read_bytes()
    for user in USERS:
        assert listener_of(user, key=key).encode() not in witness
        assert user.encode() not in witness
    assert key not in witness
    assert key.hex().encode() not in witness
    assert os.fsencode(deployment) not in witness
