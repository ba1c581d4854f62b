"""The account of the privacy that was spent: written by the jobs that spend it, the same as the officer's report."""

from pathlib import Path

from support.edge import Client
from support.night import deployed, night_of, small_settings, write_world

from pipelines.night.nightly import run_night
from pipelines.privacy.report import privacy_report
from pipelines.privacy.write_privacy_account import write_account

USERS = [f"user-{number}" for number in range(30)]


def test_the_endpoint_says_what_the_report_says(tmp_path: Path) -> None:
    job = deployed(tmp_path, write_world(tmp_path, nights=1, users=USERS), small_settings(tmp_path / "mlruns"))
    job.workspace.prepare()
    run_night(job, night_of(0))
    written = write_account(job)
    report = privacy_report(job.workspace, settings=job.settings)
    said = Client(job.workspace, settings=job.settings).get("/v1/transparency").json()
    assert said["privacy"]["account"] == written
    assert (written["meaning"], written["delta"]) == (report.meaning, report.delta)
    assert [(line["purpose"], line["nights"], line["epsilon"]) for line in written["spent"]] == [
        (line.purpose, line.what, round(line.epsilon, 2)) for line in report.lines
    ]
    assert written["spent"][0]["releases"] == 1
