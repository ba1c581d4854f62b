"""The jobs of the privacy officer: what was spent and what it means, and whether a release is what it says it is."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from pipelines.base.left_out import left_out
from recsys.artifacts.privacy_account import MEANING
from recsys.consents.witness import DRAWN, Witness, witness_at_hand
from recsys.errors import InputError
from recsys.geography.atlas import load_atlas
from recsys.messages import said
from recsys.releases.budget import accounting
from recsys.releases.budget.accounting import MONTH, NIGHT, YEAR, Epsilon, Exposure
from recsys.releases.budget.ledger import Entry, Ledger
from recsys.releases.budget.witnessing import compare
from recsys.releases.counts import release
from recsys.releases.partner import files as partner_files
from recsys.releases.verify.verification import Check, verify_night, verify_partner
from recsys.settings import AtlasSettings, Settings
from recsys.workspace import MANIFEST, Workspace, digest

TOGETHER = "together"

_NO_WITNESS = "The witness is not at hand: whether the ledger forgot a release cannot be told."

_VALUE = 18  # characters of a value in a table: numbers whole, digests as far as one compares them

_SPANS = {NIGHT: "last night", MONTH: "last 28 nights", YEAR: "last 365 nights"}


@dataclass(frozen=True)
class Line:
    """What was spent, or may be, for one purpose in one span of nights.

    Parameters
    ----------
    purpose : str
        ``charts``, ``partner``, or both ``together``.
    what : str
        Which span, in words.
    releases : int or None
        How many releases there were; None for what may be.
    rho : float
        The zCDP budget that one listener can have been, or can be, a part of.
    opendp, dp_accounting, epsilon : float
        By either accountant, and the larger one.
    """

    purpose: str
    what: str
    releases: int | None
    rho: float
    opendp: float
    dp_accounting: float
    epsilon: float


@dataclass(frozen=True)
class Witnessed:
    """What the ledger and its witness, outside the workspace, know of each other.

    Parameters
    ----------
    name : str
        Which witness.
    drawn : int
        Releases that it saw drawn.
    lost : int
        Of these, such as the ledger does not know.
    unwitnessed : int
        Releases in the ledger that it does not know.
    """

    name: str
    drawn: int
    lost: int
    unwitnessed: int

    @property
    def told(self) -> str:
        """The same in words."""
        if not self.lost and not self.unwitnessed:
            return f"The {self.name} saw the same {self.drawn} releases as the ledger."
        return (
            f"The {self.name} saw {self.drawn} releases: {self.lost} of them are not in the ledger, which has "
            f"{self.unwitnessed} that it did not see. `hearabouts privacy settle` says what to do."
        )


@dataclass(frozen=True)
class Report:
    """What ``hearabouts privacy report`` tells.

    Parameters
    ----------
    lines : tuple of Line
    delta : float
        At which all epsilons hold.
    meaning : str
        The same for a listener.
    witnessed : Witnessed or None
        None where the witness is not at hand.
    """

    lines: tuple[Line, ...]
    delta: float
    meaning: str
    witnessed: Witnessed | None

    def as_json(self) -> dict[str, Any]:
        """Return the summary that the command line prints."""
        return {
            "status": "done",
            "delta": self.delta,
            "lines": [asdict(line) for line in self.lines],
            "meaning": self.meaning,
            "witness": self.witnessed and asdict(self.witnessed),
        }


def privacy_report(workspace: Workspace, *, settings: Settings) -> Report:
    """Add up the ledger: by purpose and together, for the last nights, the worst ones, and what the caps allow.

    Raises
    ------
    InputError
        If the workspace has no ledger.
    """
    ledger = _ledger(workspace)
    if ledger is None:
        raise InputError(f"{workspace.root} has no ledger: nothing was ever released there", hint="Check --workspace.")
    release.check_accounted(workspace.releases, ledger=ledger, without=left_out(workspace))
    entries, purposes = ledger.entries(), (release.PURPOSE, partner_files.PURPOSE)
    of = {purpose: [entry for entry in entries if entry.spend.purpose == purpose] for purpose in purposes}
    of[TOGETHER] = entries
    lines = [line for purpose, some in of.items() for line in _lines(purpose, some, settings=settings)]
    witnessed = _witnessed(ledger, witness_at_hand(workspace, settings=settings))
    return Report(tuple(lines), settings.privacy.delta, _meaning(settings), witnessed)


def report_table(report: Report) -> Table:
    """Return a report as a table, with what it means below it."""
    table = Table(
        title=f"Privacy of one listener · epsilon at delta {report.delta:g}",
        title_justify="left",
        title_style="bold",
        caption=f"{report.meaning}\n\n{report.witnessed.told if report.witnessed else _NO_WITNESS}",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("purpose")
    table.add_column("nights", overflow="fold")
    for name in ("releases", "rho", "opendp", "dp-accounting", "epsilon"):
        table.add_column(name, justify="right")
    for line, before in zip(report.lines, (None, *report.lines), strict=False):
        if before and before.purpose != line.purpose:
            table.add_section()
        numbers = (f"{number:.2f}" for number in (line.opendp, line.dp_accounting, line.epsilon))
        releases = "" if line.releases is None else str(line.releases)
        table.add_row(line.purpose, line.what, releases, f"{line.rho:.3f}", *numbers)
    return table


def verified(folder: Path, *, workspace: Workspace, settings: Settings) -> list[Check]:
    """Recompute a partner file or a night's release, with ledger, witness and atlas where they are at hand.

    Raises
    ------
    InputError
        If it is neither, or cannot be read.
    """
    ledger = _ledger(workspace)
    witness = witness_at_hand(workspace, settings=settings)
    if (folder / partner_files.RELEASE).is_file():
        checks = verify_partner(folder, ledger=ledger, atlas=_atlas_of(folder))
        return [*checks, *_none_lost(workspace, ledger=ledger), *_seen(folder / partner_files.CHECKSUMS, witness)]
    if not (folder / MANIFEST).is_file():
        raise InputError(
            f"{folder} holds neither a {partner_files.RELEASE} nor a {MANIFEST}",
            hint="Name a folder that `hearabouts partner` wrote, or WORKSPACE/releases/DATE.",
        )
    if ledger is None:
        raise InputError(
            f"{workspace.root} has no ledger, which a night's release is compared with", hint="Check --workspace."
        )
    checks = [*verify_night(folder, ledger=ledger), *_none_lost(workspace, ledger=ledger)]
    return [*checks, *_seen(folder / MANIFEST, witness)]


def _none_lost(workspace: Workspace, *, ledger: Ledger | None) -> list[Check]:
    """Check that every night which the ledger paid for is still among the releases."""
    if ledger is None:
        return []
    lost = release.lost_nights(workspace.releases, entries=ledger.entries(), without=left_out(workspace))
    return [Check("released nights whose folder is gone", not lost, str(len(lost)), "0", privacy=True)]


def checks_table(checks: Sequence[Check], *, folder: Path, workspace: Workspace) -> Table:
    """Return what was recomputed as a table; what differs is marked, and told what could not be compared."""
    broken = sum(not check.holds for check in checks)
    table = Table(
        title=f"{folder} · {len(checks)} things recomputed, {broken} differ",
        title_justify="left",
        title_style="bold red" if broken else "bold",
        caption=None if workspace.ledger.is_file() else f"{workspace.root} has no ledger: not compared with one.",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("", "what", "found", "recomputed"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for check in checks:
        mark, style = ("✓", None) if check.holds else ("✗", "red")
        table.add_row(mark, check.what, *(_short(value) for value in (check.found, check.expected)), style=style)
    return table


def _witnessed(ledger: Ledger, witness: Witness | None) -> Witnessed | None:
    if witness is None:
        return None
    lines = witness.lines(DRAWN)
    found = compare(ledger, lines)
    return Witnessed(witness.name, len(lines), len(found.lost), len(found.unwitnessed))


def _seen(seal: Path, witness: Witness | None) -> list[Check]:
    """Check that these bytes are what the witness saw drawn."""
    if witness is None or not seal.is_file():
        return []
    seen = digest(seal) in {line.subject for line in witness.lines(DRAWN)}
    return [Check("the witness saw this drawn", seen, "yes" if seen else "no", "yes", privacy=True)]


def _short(value: str) -> str:
    return value if len(value) <= _VALUE else f"{value[: _VALUE - 1]}…"


def _ledger(workspace: Workspace) -> Ledger | None:
    return Ledger.to_read(workspace.ledger) if workspace.ledger.is_file() else None


def _atlas_of(folder: Path) -> Any:
    """Return the atlas of the settings that a partner file names; None where they name none."""
    try:
        return load_atlas(AtlasSettings(**partner_files.read_facts(folder)["settings"]["atlas"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _lines(purpose: str, entries: Sequence[Entry], *, settings: Settings) -> Iterable[Line]:
    """Report one purpose: the nights up to the last one, the worst ones, and what may be."""
    privacy = settings.privacy
    for nights, what in _SPANS.items() if entries else ():
        last = max(entry.spend.night for entry in entries)
        window = accounting.between(entries, last - timedelta(days=nights - 1), last)
        exposure = accounting.capped(window, privacy=privacy, nights=nights)
        yield _line(purpose, what, exposure, delta=privacy.delta, releases=len(window))
    for nights in (MONTH, YEAR) if entries else ():
        exposure = accounting.worst(entries, privacy=privacy, nights=nights)
        yield _line(purpose, f"worst {nights} nights so far", exposure, delta=privacy.delta, releases=None)
    for nights in (MONTH, YEAR):
        what = f"most in any {nights} nights"
        yield _line(purpose, what, _most(purpose, settings, nights=nights), delta=privacy.delta, releases=None)


def _most(purpose: str, settings: Settings, *, nights: int) -> Exposure:
    charts = accounting.allowed(settings.privacy, nights=nights)
    files = accounting.allowed_to_partners(settings.privacy, settings.partner, nights=nights)
    most = {release.PURPOSE: charts, partner_files.PURPOSE: files, TOGETHER: accounting.together([charts, files])}
    return most[purpose]


def _line(purpose: str, what: str, exposure: Exposure, *, delta: float, releases: int | None) -> Line:
    found = accounting.epsilon(exposure, delta=delta)
    return Line(purpose, what, releases, round(exposure.rho, 12), found.opendp, found.dp_accounting, found.stated)


def _meaning(settings: Settings) -> str:
    """Say for a listener what the caps guarantee: how often the best guess about one is right."""
    privacy, year = settings.privacy, _most(release.PURPOSE, settings, nights=YEAR)
    night, month = (accounting.allowed(privacy, nights=nights) for nights in (NIGHT, MONTH))
    both = _most(TOGETHER, settings, nights=YEAR)
    odds = _odds(accounting.epsilon(night, delta=privacy.delta))
    return said(
        MEANING,
        night=_of_100(night),
        month=_of_100(month),
        year=_of_100(year),
        both=_of_100(both),
        odds=odds,
        delta=f"{privacy.delta:g}",
    )


def _of_100(exposure: Exposure) -> str:
    return f"{100 * accounting.best_guess(exposure):.0f}"


def _odds(found: Epsilon) -> str:
    return f"{math.exp(found.stated):.1f}"
