"""The night as an Airflow DAG (Airflow 3): one task that runs the command line and heeds its exit code."""

import json
import subprocess
from datetime import datetime, timedelta
from typing import Any

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import dag, task

FOLDER = "/srv/hearabouts"
COMMAND = (
    "/opt/hearabouts/bin/hearabouts nightly --listens listens --consents consents.csv --catalogue catalogue.csv "
    "--settings settings.toml"
)
TRY_AGAIN = 75


@task(retries=12, retry_delay=timedelta(minutes=30), execution_timeout=timedelta(hours=20))
def nightly() -> dict[str, Any]:
    """Run every night that is due and return the summary; a failure that would come again is not tried again."""
    done = subprocess.run(COMMAND.split(), cwd=FOLDER, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    lines = done.stdout.splitlines()
    summary = json.loads(lines[-1]) if lines else {"message": "it ended without a word"}
    if done.returncode == TRY_AGAIN:
        raise AirflowException(summary["message"])
    if done.returncode:
        raise AirflowFailException(f"{summary['message']} (exit code {done.returncode}) {summary.get('hint', '')}")
    return summary


# A run does every night that was missed, so that Airflow need not; two at once would wait for each other.
@dag(schedule="30 2 * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1)
def hearabouts() -> None:
    """Run the night when the listens of the day before have come in (UTC)."""
    nightly()


hearabouts()
