"""The schedule: which nights a run has to do, which did not come, and which rows came too late for theirs."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from pipelines.base.job_context import JobContext
from pipelines.base.left_out import left_out
from recsys.arrivals import listens
from recsys.arrivals.input_tables import Counts
from recsys.errors import InputError, UsageError
from recsys.locations import Location
from recsys.releases.budget.ledger import Ledger
from recsys.releases.counts import release
from recsys.workspace import Workspace, make_folder, replace_file


@dataclass(frozen=True)
class Plan:
    """Which nights are due, which did not come, and how many rows came too late to count.

    Parameters
    ----------
    due : tuple of date
        Nights to run, in order.
    late : mapping of date to int
        Rows of nights that are already released, or that lie before one that is.
    missing : tuple of date
        Nights after the last released one and before the last due one that the input does not have.
    """

    due: tuple[date, ...]
    late: Mapping[date, int]
    missing: tuple[date, ...] = ()

    @property
    def late_rows(self) -> int:
        """All of them."""
        return sum(self.late.values())


def plan_nights(job: JobContext, *, through: date | None = None, skip: Collection[date] = ()) -> Plan:
    """Find the nights that are over, in the input, and later than every released one.

    A night that is released, or lies before one that is, is not run again: late listens wait for nobody. Their rows are
    counted as late. A night that was ever asked to be left out is neither run nor late.

    Parameters
    ----------
    job : JobContext
    through : date, optional
        The last night to run.
    skip : collection of date
        Nights to leave out; :func:`pipelines.base.left_out.leave_out` makes that last.

    Raises
    ------
    InputError
        If the input has no night at all, or none up to the one that was asked for.
    UsageError
        If a night to leave out was released already, or is not in the input.
    """
    present = listens.nights(job.sources.listens, now=job.now)
    _check_asked(present, source=job.sources.listens, through=through)
    released = release.released_nights(job.workspace.releases)
    _check_left_out(skip, present={*present, *_lost(job)} if skip else present, released=released)
    gone = {*skip, *left_out(job.workspace)}
    last = max(released, default=date.min)
    until = min(job.now.date() - timedelta(days=1), through or date.max)
    over = [night for night in sorted(present) if night <= until and night not in gone]
    late = {night: present[night] - _rows_counted(job.workspace, night) for night in over if night <= last}
    due = tuple(night for night in over if night > last)
    return Plan(
        due=due,
        late={night: rows for night, rows in late.items() if rows > 0},
        missing=_missing(due, last=max(released, default=None), known={*due, *gone}),
    )


def remember_rows(workspace: Workspace, night: date, tally: Counts) -> None:
    """Write down how many rows a night had, so that later ones are seen to be late."""
    file = _record(workspace, night)
    make_folder(file.parent, mode=0o700)
    replace_file(file, json.dumps({"rows": tally.rows, "bad": dict(tally.bad)}).encode(), mode=0o600)


def check_records(workspace: Workspace) -> None:
    """Refuse a record of a night's rows that cannot be read.

    Raises
    ------
    InputError
        With the file's name.
    """
    for file in sorted((workspace.private / "nights").glob("[0-9]*.json")):
        _rows_counted(workspace, date.fromisoformat(file.stem))


def _check_asked(present: Mapping[date, int], *, source: Location, through: date | None) -> None:
    if not present:
        raise InputError(f"{source} has no night with a listen", hint="Check --listens.")
    if through and through < min(present):
        raise InputError(
            f"{source} has no listens up to {through}; it begins on {min(present)}",
            hint="Check --through; days are UTC.",
        )


def _lost(job: JobContext) -> list[date]:
    """Return the released nights whose folder is gone: these can be left out, whatever the input holds."""
    file = job.workspace.ledger
    entries = Ledger.to_read(file).entries() if file.exists() else []
    return release.lost_nights(job.workspace.releases, entries=entries)


def _check_left_out(skip: Iterable[date], *, present: Collection[date], released: Collection[date]) -> None:
    for night in sorted(skip):
        if night in released:
            raise UsageError(f"the night {night} was released already", hint="Leave --skip for that night away.")
        if night not in present:
            raise UsageError(f"the input has no night {night} to leave out", hint="Check --skip; days are UTC.")


def _missing(due: Sequence[date], *, last: date | None, known: Collection[date]) -> tuple[date, ...]:
    if not due:
        return ()
    first = due[0] if last is None else last + timedelta(days=1)
    between = (first + timedelta(days=day) for day in range((due[-1] - first).days))
    return tuple(night for night in between if night not in known)


def _rows_counted(workspace: Workspace, night: date) -> int:
    """Return how many rows a night had when it ran; 0 for a night that never did."""
    file = _record(workspace, night)
    try:
        return int(json.loads(file.read_text())["rows"]) if file.exists() else 0
    except (ValueError, LookupError, TypeError):
        raise InputError(
            f"{file} does not say how many rows its night had",
            hint="Restore it from a backup, or remove it: all rows of that night are then told to be late.",
        ) from None


def _record(workspace: Workspace, night: date) -> Path:
    return workspace.private / "nights" / f"{night}.json"
