"""The ledger held against its witness: what a restored backup forgot, and what a lost witness has to learn again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsys.consents.witness import DRAWN, Line, Witness
from recsys.errors import NotReadyError, PrivacyBudgetError
from recsys.releases.budget.ledger import Entry, Ledger, Spend
from recsys.workspace import accepting

SKEW = timedelta(minutes=5)  # by as much may clocks differ


@dataclass(frozen=True)
class Difference:
    """What only one of two knows of what was drawn.

    Parameters
    ----------
    lost : tuple of Line
        By the witness; the ledger has no such release.
    unwitnessed : tuple of Entry
        By the ledger; the witness has no such line.
    first : bool
        Whether the witness knows of nothing that was drawn.
    """

    lost: tuple[Line, ...]
    unwitnessed: tuple[Entry, ...]
    first: bool


def compare(ledger: Ledger, lines: Sequence[Line]) -> Difference:
    """Compare the releases of a ledger with what its witness saw, by the lines of it."""
    seen, entries = [line for line in lines if line.kind == DRAWN], ledger.entries()
    drawn, released = {line.subject for line in seen}, {entry.release for entry in entries}
    return Difference(
        tuple(line for line in seen if line.subject not in released),
        tuple(entry for entry in entries if entry.release is not None and entry.release not in drawn),
        not seen,
    )


def check_spends(ledger: Ledger, witness: Witness, *, lines: Sequence[Line]) -> None:
    """Refuse to go on with a ledger that forgot what was drawn, by the lines of its witness.

    To be called once the releases that a crash left undone are finished.

    Raises
    ------
    PrivacyBudgetError
        If it did: another draw over the same listeners would go unnoticed.
    """
    lost = compare(ledger, lines).lost
    if lost:
        raise PrivacyBudgetError(
            f"the workspace is behind its witness: {_told(lost)} released already, and the ledger {ledger.name} does "
            "not know it. It was restored from a backup, is one of two copies, or was emptied",
            hint=f"Go on with the copy that made them, or restore a later backup. {accepting('spends')} Where this is "
            f"a deployment of its own, name a witness of its own in privacy.witness instead of the {witness.name}; "
            "where all of it was a trial, remove that as well.",
        )


def check_witness(ledger: Ledger, witness: Witness, *, lines: Sequence[Line], at: datetime) -> None:
    """Refuse to go on with a witness that forgot what was drawn; one that knows nothing takes all of a ledger in.

    Raises
    ------
    PrivacyBudgetError
        If it did: a backup of the workspace could be restored unnoticed.
    """
    found = compare(ledger, lines)
    if found.unwitnessed and not found.first:
        raise PrivacyBudgetError(
            f"the {witness.name} is behind the ledger: it does not know {len(found.unwitnessed)} of the releases in "
            f"it, the first of them of the {found.unwitnessed[0].spend.nights}",
            hint=f"Check privacy.witness and tracking.folder, or restore it from a backup. {accepting('witness')}",
        )
    remember(found.unwitnessed, witness, at=at)


def remember(entries: Sequence[Entry], witness: Witness, *, at: datetime) -> None:
    """Let a witness know the releases of a ledger that it does not know, all or, after a crash, none of them."""
    witness.record_all(DRAWN, {str(entry.release): entry.spend.as_json() for entry in entries}, at=at)


def charge(lines: Sequence[Line], ledger: Ledger, *, at: datetime) -> None:
    """Let a ledger know what its witness saw drawn, so that accountants count it and nothing draws it again."""
    for line in lines:
        ledger.charge(Spend.from_json(line.facts), release=line.subject, at=at)


def check_clock(last: datetime | None, *, now: datetime, of: str) -> None:
    """Refuse to go on with a clock behind what is written already: withdrawals since then would not be seen.

    Raises
    ------
    NotReadyError
        If the clock is behind by more than :data:`SKEW`.
    """
    if last is not None and now + SKEW < last:
        raise NotReadyError(
            f"the clock says {_minute(now)}, and the last entry of the {of} is of {_minute(last)}: withdrawals since "
            "then would not be seen",
            hint="Set the clock (days and times are UTC), then try again; or wait until that moment has passed.",
        )


def _told(lines: Sequence[Line]) -> str:
    nights = Spend.from_json(lines[0].facts).nights
    return f"the {nights} was" if len(lines) == 1 else f"{len(lines)} releases, the first of the {nights}, were"


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M %Z}"
