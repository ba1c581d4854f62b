"""The job that makes a partner file: statistics of those listeners alone who allow them."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.base.job_context import JobContext
from pipelines.base.terminal import step
from pipelines.privacy.import_consents import import_consents
from pipelines.privacy.write_privacy_account import write_account
from recsys.arrivals.permission import still_allowed
from recsys.cells.contributions import bound_for_partner
from recsys.errors import InputError, UsageError
from recsys.releases.partner.files import CHECKSUMS, FILES, read_facts
from recsys.releases.partner.partner_release import Period, release_partner_file
from recsys.workspace import staged


def run_partner(job: JobContext, *, period: Period, out: Path | None = None) -> dict[str, Any]:
    """Make the partner file of a period, or find it as it was made.

    Parameters
    ----------
    job : JobContext
    period : Period
    out : Path, optional
        A folder to copy the file to; the file itself stays in the workspace.

    Returns
    -------
    dict
        The summary that the command line prints.

    Raises
    ------
    InputError
        If a night of the period is not in the private store any more, or not yet.
    UsageError
        If the period ends before it begins, or ``out`` is a folder with something else in it.
    PrivacyBudgetError
        If the period is too short, or has nights that are in another file.
    """
    workspace = job.workspace
    files = workspace.root / "partner"
    _check(period, out=out)
    with job.begun():
        if job.sources.consents:
            import_consents(job.sources.consents, workspace=workspace, settings=job.settings)
        known = (files / str(period)).exists()
        with step("partner file"):
            folder = release_partner_file(
                pl.LazyFrame() if known else _contributions(job, period),
                period=period,
                catalogue=job.catalogue,
                atlas=job.atlas,
                settings=job.settings,
                ledger=job.ledger,
                files=files,
                now=job.now,
            )
        write_account(job)
        if out is not None:
            _copy(folder, to=out)
    return _summary(folder, out=out or folder, known=known)


def _check(period: Period, *, out: Path | None) -> None:
    if period.last < period.first:
        raise UsageError(f"the period ends ({period.last}) before it begins ({period.first})", hint="Check --to.")
    if out is not None and out.exists() and not (out.is_dir() and not set(out.iterdir()) - _ours(out)):
        raise UsageError(f"{out} holds something else than a partner file", hint="Name another folder after --out.")


def _ours(folder: Path) -> set[Path]:
    return {folder / name for name in (*FILES, CHECKSUMS)}


def _contributions(job: JobContext, period: Period) -> pl.LazyFrame:
    """Return what the listeners who still allow it add, bounded over the whole period."""
    present = job.store.nights()
    missing = [night for night in period.days if night not in present]
    if missing:
        kept = f"it holds {present[0]} to {present[-1]}" if present else "it is empty"
        raise InputError(
            f"{len(missing)} nights of the period are not in the private store, the first of them {missing[0]}; {kept}",
            hint=f"Contributions are kept for {job.settings.store.nights} nights (store.nights): choose a "
            "period of nights that were run and have not expired.",
        )
    allowed = still_allowed(job.store.scan(period.days), permissions=job.permissions)
    bounded = bound_for_partner(
        allowed,
        night=period.last,
        settings=job.settings.partner,
        key=job.listener_key,
    )
    return bounded.lazy()


def _copy(folder: Path, *, to: Path) -> None:
    with staged(to) as stage:
        shutil.copytree(folder, stage, dirs_exist_ok=True)


def _summary(folder: Path, *, out: Path, known: bool) -> dict[str, Any]:
    facts = read_facts(folder)
    return {
        "status": "nothing new" if known else "done",
        "folder": str(out),
        "nights": facts["period"]["nights"],
        "rows": facts["rows"],
        "ledger": facts["ledger"]["number"],
        "privacy": {name: round(stated["epsilon"], 2) for name, stated in facts["guarantees"].items()},
        "delta": facts["guarantees"]["file"]["delta"],
    }
