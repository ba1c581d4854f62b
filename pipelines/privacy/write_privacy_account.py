"""The job that writes down for the endpoint what was spent on privacy, so that everybody can read it there."""

from pipelines.base.job_context import JobContext
from pipelines.privacy.report import privacy_report
from recsys.artifacts.privacy_account import Accounted, Spent, write_privacy_account


def write_account(job: JobContext) -> Accounted:
    """Write the privacy account from the ledger as it is: the same figures as ``hearabouts privacy report``."""
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
    write_privacy_account(job.workspace, account)
    return account
