"""What docs/operating.md says is so: its commands are run in order, by a night's command line and by a shell."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support import night
from support.commands import Done, Run

from pipelines.base.job_context import Sources
from pipelines.night.nightly import run_night
from pipelines.night.schedule import plan_nights
from pipelines.night.settle import _ACCEPTED
from pipelines.privacy.import_consents import import_consents
from recsys.releases.budget.ledger import Ledger
from recsys.releases.budget.witnessing import SKEW

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
COMMANDS = [line[2:] for block in re.findall(r"```console\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
SETTINGS = (
    '[atlas]\nservice_area = ["PT"]\n[store]\nbuckets = 4\n'
    "[models]\nfactors = 4\niterations = 2\nmin_listeners_per_track = 2\nmin_listeners_per_region = 4\n"
)
USERS = [f"user-{number}" for number in range(12)]
NIGHTLY = "hearabouts nightly --listens listens --catalogue catalogue.csv"


@pytest.mark.skipif(not (shutil.which("sqlite3") and shutil.which("flock")), reason="sqlite3 or flock is not installed")
def test_a_backup_is_made_restored_refused_and_settled_as_the_page_says(hearabouts: Run, tmp_path: Path) -> None:
    sources = night.write_world(tmp_path, nights=2, users=USERS)
    (tmp_path / "settings.toml").write_text(SETTINGS)

    def run(command: str) -> Done:
        if command.startswith("hearabouts "):
            return hearabouts(*shlex.split(command)[1:], "--settings", "settings.toml")
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
        return Done(done.returncode, done.stdout, done.stderr)

    assert run_due(tmp_path, sources) == 2
    assert len(COMMANDS) == 9
    for command in COMMANDS:
        if command == "mv workspace damaged":  # some time after the backup
            add_night(tmp_path, 2)
            assert run_due(tmp_path, sources) == 1
        if command.endswith("--accept spends"):
            refused = run(NIGHTLY)
            assert (refused.code, refused.summary["problem"]) == (77, "privacy-budget")
            assert "hearabouts privacy settle --accept spends" in refused.summary["hint"]
            add_night(tmp_path, 3)
        done = run(command)
        assert done.code == 0, (command, done.err)
        if command == "hearabouts privacy settle":
            assert list(done.summary["lost"]) == ["spends"]
        if command == "hearabouts privacy report":
            assert (done.summary["witness"]["drawn"], done.summary["witness"]["lost"]) == (3, 0)
            assert "saw the same 3 releases as the ledger" in " ".join(done.out.split())
    assert (done.summary["nights"], done.summary["through"]) == (1, "2026-10-04")
    first, *_, lost, last = Ledger(tmp_path / "workspace" / "ledger.db").entries()
    damaged = Ledger(tmp_path / "damaged" / "ledger.db").entries()
    assert lost.release == damaged[-1].release
    assert last.spend.night == night.night_of(3)
    seen = "the witness saw this drawn"
    assert seen in run(f"hearabouts privacy verify workspace/releases/{first.spend.night}").out
    assert run(f"hearabouts privacy verify damaged/releases/{lost.spend.night} --workspace damaged").code == 0
    (tmp_path / "mlruns" / "witness.db").rename(tmp_path / "elsewhere.db")
    assert run(NIGHTLY).code == 77
    assert run("hearabouts privacy report").summary["witness"] is None


def run_due(folder: Path, sources: Sources) -> int:
    """Release the nights that are due, as a night does it; what is published of them is not of interest here."""
    job = night.deployed(folder, sources, night.small_settings(folder / "mlruns"))
    with job.begun():
        import_consents(folder / "consents.csv", workspace=job.workspace, settings=job.settings)
        due = plan_nights(job).due
        for some in due:
            run_night(job, some)
    return len(due)


def add_night(folder: Path, number: int) -> None:
    some = night.night_of(number)
    night.write_listens(folder / "listens", some, night.plays(some, users=USERS))


def test_every_setting_and_word_that_the_page_names_exists() -> None:
    told = re.findall(r"^\| `(\w+)` \|", PAGE.split("| `--accept` |")[1], re.M)
    assert sorted(told) == sorted(_ACCEPTED)
    assert f"at most {SKEW.seconds // 60} minutes" in PAGE
