"""The privacy officer's commands by the command line: a partner file, its verification, and the report."""

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest
from support.commands import Done, Run
from support.night import AREA_IN_TOML, FIRST, deployed, night_of, small_settings, write_consents, write_world

from pipelines.night.nightly import run_night
from pipelines.privacy.import_consents import import_consents

USERS = [f"user-{number}" for number in range(90)]
SETTINGS = (
    f"{AREA_IN_TOML}[store]\nbuckets = 4\n[partner]\nrho = 10.0\nmin_nights = 2\nmost_per_file = 3\nmax_tracks = 3\n"
)


@pytest.fixture
def command(hearabouts: Run, tmp_path: Path) -> Run:
    """`hearabouts` in a folder whose workspace has two nights of listeners who allow partner statistics."""
    sources = write_world(tmp_path, nights=2, users=USERS)
    write_consents(tmp_path / "consents.csv", USERS, purposes=["partner_statistics", "contribute_trends"])
    (tmp_path / "settings.toml").write_text(SETTINGS)
    job = deployed(tmp_path, sources, small_settings(tmp_path / "mlruns"))
    job.workspace.prepare()
    import_consents(tmp_path / "consents.csv", workspace=job.workspace, settings=job.settings)
    for number in range(2):
        run_night(job, night_of(number))

    def run(*arguments: object) -> Done:
        return hearabouts(*arguments, "--settings", "settings.toml")

    return run


def partner(command: Run, *more: object) -> Done:
    return command("partner", "--from", FIRST, "--to", night_of(1), "--catalogue", "catalogue.csv", *more)


def test_a_partner_file_is_made_checked_and_found_again(command: Run, tmp_path: Path) -> None:
    done = partner(command, "--out", "given")
    assert done.code == 0, done.err
    assert (done.summary["status"], done.summary["nights"], done.summary["folder"]) == ("done", 2, "given")
    rows = pl.read_csv(tmp_path / "given" / "trends.csv")
    assert rows.height == done.summary["rows"] > 0
    sums = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path / "given", capture_output=True)
    assert (sums.returncode, sums.stdout.count(b": OK")) == (0, 4)
    again = partner(command)
    assert (again.summary["status"], again.summary["rows"]) == ("nothing new", rows.height)
    for folder in ("given", again.summary["folder"]):
        verified = command("privacy", "verify", folder)
        assert (verified.code, verified.summary["broken"]) == (0, 0), verified.out
        assert "guarantees.file.epsilon_dp_accounting" in verified.out


def test_an_altered_file_is_refused_with_a_list_of_what_differs(command: Run, tmp_path: Path) -> None:
    partner(command, "--out", "given")
    text = (tmp_path / "given" / "trends.csv").read_text()
    (tmp_path / "given" / "trends.csv").write_text(text.replace("Song", "Sonq", 1))
    damaged = command("privacy", "verify", "given")
    assert (damaged.code, damaged.summary["problem"]) == (65, "bad-input")
    assert "checksum of trends.csv" in damaged.summary["message"]
    facts = json.loads((tmp_path / "given" / "release.json").read_text())
    facts["guarantees"]["file"]["epsilon"] = 0.1
    (tmp_path / "given" / "release.json").write_text(json.dumps(facts))
    refused = command("privacy", "verify", "given")
    assert (refused.code, refused.summary["problem"]) == (77, "privacy-budget")
    assert "guarantees.file.epsilon: found 0.1, expected" in refused.summary["message"]
    assert "✗" in refused.out


def test_a_night_can_be_verified_and_what_is_no_release_cannot(command: Run, tmp_path: Path) -> None:
    assert command("privacy", "verify", f"workspace/releases/{FIRST}").summary["broken"] == 0
    assert command("privacy", "verify", ".").code == 65
    assert command("privacy", "verify", f"workspace/releases/{FIRST}", "--workspace", "nowhere").code == 65


def test_the_report_tells_what_was_spent_by_purpose_and_what_it_means(command: Run) -> None:
    partner(command)
    done = command("privacy", "report")
    assert done.code == 0, done.err
    lines = {(line["purpose"], line["what"]): line for line in done.summary["lines"]}
    assert lines["charts", "last night"]["rho"] == pytest.approx(0.015)
    assert lines["charts", "last 28 nights"]["releases"] == 2
    assert lines["charts", "worst 28 nights so far"]["rho"] == pytest.approx(2 * 0.015)
    assert lines["partner", "last night"]["rho"] == pytest.approx(10)
    assert lines["together", "worst 365 nights so far"]["rho"] == pytest.approx(10 + 2 * 0.015)
    assert lines["charts", "most in any 365 nights"]["epsilon"] == pytest.approx(9.85, abs=0.01)
    for line in lines.values():
        assert line["epsilon"] == max(line["opendp"], line["dp_accounting"])
    # A night has rho 0.015, mu = sqrt(0.03) = 0.173: the best guess is right with probability Phi(mu / 2) = 0.535.
    assert "a guess is right at most 53 times" in " ".join(done.summary["meaning"].split())
    assert "What this means for you" in done.out


def test_without_a_ledger_there_is_nothing_to_report(hearabouts: Run) -> None:
    done = hearabouts("privacy", "report", "--workspace", "nowhere")
    assert (done.code, done.summary["problem"]) == (65, "bad-input")


def test_consents_without_their_catalogue_are_not_mixed_with_the_samples(command: Run) -> None:
    done = command("partner", "--from", FIRST, "--to", night_of(1), "--consents", "consents.csv")
    assert (done.code, done.summary["problem"]) == (2, "usage")
    assert "--catalogue" in done.summary["message"]
