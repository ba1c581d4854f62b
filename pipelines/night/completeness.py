"""The completeness gate: before anything is drawn, every night that is due is judged by itself and by other nights.

The numbers of a night stay in the private store (``private/nights/DATE.delivery``) as long as later nights are compared
with them; what was accepted, why and when (``DATE.accepted``) stays for good.
"""

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.base.job_context import JobContext
from pipelines.base.terminal import followed, log
from pipelines.night.schedule import Plan
from pipelines.privacy.import_consents import read_consents
from recsys.arrivals.completeness import judge
from recsys.arrivals.deliveries import Delivery, Placing, measure
from recsys.arrivals.input_tables import Counts, TableFile
from recsys.arrivals.listens import CheckedNight, check_share, files_of_night, read_night
from recsys.arrivals.permission import permissions
from recsys.consents.log import ConsentLog
from recsys.errors import IncompleteNightError, UsageError
from recsys.geography.atlas import countries
from recsys.releases.counts import release
from recsys.settings import Settings
from recsys.workspace import Workspace, make_folder, replace_file

_DELIVERY, _ACCEPTED = ".delivery", ".accepted"
_LONGEST = 200  # characters of a reason
_SAID = 8  # faults in a message: more are one fault
_ASKED = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?=(.*)", re.DOTALL)

Reasons = Mapping[date, str]


@dataclass(frozen=True)
class Counted:
    """The rows of a night, and the files that they were counted in."""

    rows: Counts
    files: Sequence[TableFile]


@dataclass(frozen=True)
class Judged:
    """What the gate let pass.

    Parameters
    ----------
    rows : mapping of date to Counted
        The rows of every night that is due, by what is to become of them.
    accepted : mapping of date to str
        Why nights pass that do not look whole, or are missing.
    """

    rows: Mapping[date, Counted]
    accepted: Reasons

    def counts(self, checked: CheckedNight) -> Counts | None:
        """Return the rows of a night where its files are still those that were counted; else None."""
        counted = self.rows.get(checked.night)
        return counted.rows if counted and tuple(counted.files) == tuple(checked.files) else None


@dataclass(frozen=True)
class Acceptance:
    """That somebody lets nights pass as they are.

    Parameters
    ----------
    first, last : date
        The nights from ... to.
    reason : str
    """

    first: date
    last: date
    reason: str


def acceptances(asked: Iterable[str]) -> tuple[Acceptance, ...]:
    """Read what the command line was asked to accept.

    Parameters
    ----------
    asked : iterable of str
        Each ``NIGHT=REASON`` or ``FIRST..LAST=REASON``.

    Raises
    ------
    UsageError
        If there is no such night, or no reason that can be shown.
    """
    return tuple(_acceptance(text) for text in asked)


def check_complete(job: JobContext, plan: Plan, *, accept: Iterable[Acceptance] = ()) -> Judged:
    """Let the nights that are due pass where they look whole, or somebody accepts them as they are; write both down.

    Raises
    ------
    InputError
        If the rows of a night do not fit.
    IncompleteNightError
        If a night is missing, not whole, or not new; all such nights are named, and nothing was spent on any.
    UsageError
        If a night is to be accepted that is neither due nor missing, and later than every released one.
    """
    placing = Placing(job.permissions, job.listener_key, job.atlas, countries(job.atlas))
    judged, deliveries, faults = _judged(job, plan, accept=accept, placing=placing, key=job.listener_key)
    folder = _folder(job.workspace)
    make_folder(folder, mode=0o700)
    for night, reason in judged.accepted.items():
        _write(folder / f"{night}{_ACCEPTED}", {"reason": reason, "at": job.now.isoformat(), "found": faults[night]})
        log.warning("a night is accepted as it is", night=night.isoformat())
    for night, delivery in deliveries.items():
        _write(folder / f"{night}{_DELIVERY}", asdict(_of_many(delivery, job.settings.models.min_listeners_in_table)))
    _expire(folder, before=max(deliveries, default=date.min), weeks=job.settings.completeness.weeks)
    return judged


def rehearse_complete(job: JobContext, plan: Plan, *, accept: Iterable[Acceptance] = ()) -> Judged:
    """Judge as :func:`check_complete` does, and change nothing.

    Consents are looked at where those of the run would be the given file's alone: the workspace's log is not opened.
    """
    kept = job.workspace.root / "listener.key"
    key = kept.read_bytes() if kept.exists() else secrets.token_bytes(32)
    with _placing(job) as placing:
        return _judged(job, plan, accept=accept, placing=placing, key=key)[0]


def _judged(
    job: JobContext, plan: Plan, *, accept: Iterable[Acceptance], placing: Placing | None, key: bytes
) -> tuple[Judged, dict[date, Delivery], dict[date, list[str]]]:
    released = release.released_nights(job.workspace.releases)
    accepted = _accepted(job.workspace) | _asked(plan, accept, released=released)
    seed = int.from_bytes(blake2b(b"deliveries", key=key, digest_size=8).digest())
    measured = {night: _measured(job, night, placing, seed=seed) for night in followed(plan.due, "deliveries")}
    due = {night: delivery for night, (_, delivery) in measured.items()}
    faults = {night: ["it is missing"] for night in plan.missing} | _faults(job, due)
    _refuse({night: found for night, found in faults.items() if night not in accepted})
    passed = {night: accepted[night] for night in sorted(faults)}
    return Judged({night: rows for night, (rows, _) in measured.items()}, passed), due, faults


def _measured(job: JobContext, night: date, placing: Placing | None, *, seed: int) -> tuple[Counted, Delivery]:
    source = job.sources.listens
    checked = read_night(source, night, catalogue=job.catalogue, now=job.now)
    rows = check_share(checked.counts(), max_bad_share=job.settings.arrivals.max_bad_share)
    files = files_of_night(source, night, now=job.now)
    counted = Counted(rows, checked.files)
    least = _least(job.settings)
    return counted, measure(checked, rows=rows.rows, files=files, placing=placing, seed=seed, least=least)


def _faults(job: JobContext, due: Mapping[date, Delivery]) -> dict[date, list[str]]:
    settings, known, least = job.settings.completeness, _released(job.workspace), _least(job.settings)
    found = {
        night: judge(night, nights={**known, **due}, released=known.keys(), settings=settings, least=least)
        for night in due
    }
    return {night: said for night, said in found.items() if said}


def _least(settings: Settings) -> int:
    """Return of how many listeners something may be said."""
    return max(settings.completeness.min_listeners, settings.models.min_listeners_in_table)


def _refuse(faults: Mapping[date, list[str]]) -> None:
    if not faults:
        return
    every = [f"{night}: {said}" for night, found in sorted(faults.items()) for said in found]
    more = f"; and {len(every) - _SAID} more" if len(every) > _SAID else ""
    raise IncompleteNightError(
        f"{len(faults)} {'night does' if len(faults) == 1 else 'nights do'} not look whole: "
        + "; ".join(every[:_SAID])
        + more,
        hint="Nothing was spent. Deliver what is missing and run again; or let it pass, which is recorded: "
        f"--accept {min(faults)}='why it is right as it is'.",
    )


def _acceptance(text: str) -> Acceptance:
    found = _ASKED.fullmatch(text)
    hint = "As --accept 2026-10-03='the app was down', or 2026-10-03..2026-10-05='...'."
    if not found:
        raise UsageError("--accept needs a night and a reason", hint=hint)
    reason = found[3].strip()
    if not reason or not reason.isprintable() or len(reason) > _LONGEST:
        raise UsageError(f"--accept needs a reason, on one line of at most {_LONGEST} characters", hint=hint)
    try:
        first, last = (date.fromisoformat(day) for day in (found[1], found[2] or found[1]))
    except ValueError:
        raise UsageError("--accept names a day that does not exist", hint=hint) from None
    return Acceptance(first, last, reason)


def _asked(plan: Plan, accept: Iterable[Acceptance], *, released: Iterable[date]) -> dict[date, str]:
    """Return why which of the nights of a plan are to be accepted; a released one was, by the run that released it."""
    asked: dict[date, str] = {}
    for some in accept:
        nights = [night for night in (*plan.due, *plan.missing) if some.first <= night <= some.last]
        if not nights and some.first > max(released, default=date.min):
            raise UsageError(
                f"the night {some.first} to accept is neither due nor missing", hint="Leave that --accept away."
            )
        asked |= dict.fromkeys(nights, some.reason)
    return asked


def _accepted(workspace: Workspace) -> dict[date, str]:
    """Return what was accepted in earlier runs, which may have ended before the night was released."""
    marks = {date.fromisoformat(file.stem): _read(file) for file in _folder(workspace).glob(f"*{_ACCEPTED}")}
    return {night: str(mark["reason"]) for night, mark in marks.items() if "reason" in mark}


def _released(workspace: Workspace) -> dict[date, Delivery]:
    """Return the numbers of released nights, as far as they are kept and can be read."""
    nights = release.released_nights(workspace.releases)
    kept = {night: _delivery(_read(_folder(workspace) / f"{night}{_DELIVERY}")) for night in nights}
    return {night: delivery for night, delivery in kept.items() if delivery}


def _delivery(kept: Mapping[str, Any]) -> Delivery | None:
    """Return the numbers of a night; None where they are of another version: one night less to compare with."""
    try:
        return Delivery(**{**kept, "sketch": tuple(kept["sketch"])})
    except (TypeError, LookupError):
        return None


def _read(file: Path) -> dict[str, Any]:
    """Return what a file holds; nothing where it is not there or damaged, which is no reason to stop a night."""
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_text()))
    except ValueError:
        log.warning("a file of the completeness gate is damaged, and left out", file=file.name)
        return {}


def _of_many(delivery: Delivery, least: int) -> Delivery:
    """Return the numbers without countries of a few, of whom nothing is judged: a count of one person is not kept."""
    many = {country: count for country, count in delivery.by_country.items() if count >= least}
    return replace(delivery, by_country=many)


def _expire(folder: Path, *, before: date, weeks: int) -> None:
    """Delete the numbers with which no later night is compared."""
    for file in folder.glob(f"*{_DELIVERY}"):
        if (before - date.fromisoformat(file.stem)) > timedelta(weeks=weeks):
            file.unlink()


def _write(file: Path, content: Mapping[str, object]) -> None:
    replace_file(file, json.dumps(content).encode(), mode=0o600)


def _folder(workspace: Workspace) -> Path:
    return workspace.private / "nights"


@contextmanager
def _placing(job: JobContext) -> Iterator[Placing | None]:
    """Yield who would allow what if the consents file were all, under a key that nobody will know."""
    file, settings = job.sources.consents, job.settings
    if file is None or settings.consents.url.get_secret_value() or job.workspace.consents.exists():
        yield None
        return
    with TemporaryDirectory() as folder:
        key, consents = secrets.token_bytes(32), Path(folder) / "consents.db"
        allowing = ConsentLog(consents, notices=settings.consents.in_force)
        allowing.append(read_consents(file, key=key, settings=settings).entries)
        yield Placing(permissions(allowing, now=job.now), key, job.atlas, countries(job.atlas))
