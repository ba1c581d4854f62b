"""The job that writes down for the endpoint what was spent on privacy, so that everybody can read it there."""

import json

from pipelines.base.job_context import JobContext
from pipelines.privacy.report import privacy_report
from recsys.serving.account import ACCOUNT, Accounted, Spent
from recsys.workspace import replace_file


def write_account(job: JobContext) -> Accounted:
    """Write ``account.json``, from the ledger as it is: the same figures as ``hearabouts privacy report``."""
    report = privacy_report(job.workspace, settings=job.settings)
    lines: list[Spent] = [
        {
            "purpose": line.purpose,
            "nights": line.what,
            "releases": line.releases,
            "rho": line.rho,
            "epsilon": round(line.epsilon, 2),
        }
        for line in report.lines
    ]
    account: Accounted = {
        "at": job.now.isoformat(),
        "delta": report.delta,
        "spent": lines,
        "meaning": report.meaning,
    }
    replace_file(job.workspace.root / ACCOUNT, json.dumps(account, indent=2).encode())
    return account
