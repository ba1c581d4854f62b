"""The job that looks at all that a deployment stands on, and says what it found and what to do; it changes nothing."""

import fcntl
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
from rich.text import Text

from pipelines.base.job_context import JobContext
from pipelines.base.left_out import left_out
from pipelines.mlflow import run_record, tracking, tracking_database
from pipelines.night.schedule import check_records
from pipelines.snapshots import listed
from recsys.causes import not_ready
from recsys.cells.store import Store
from recsys.consents.consent_tables import check_current
from recsys.consents.database import Database
from recsys.errors import InputError, NotReadyError, PrivacyBudgetError, RecsysError
from recsys.releases.budget.ledger import Ledger
from recsys.releases.counts import release
from recsys.releases.snapshot import publishing
from recsys.workspace import KEY_BYTES, read_manifest

LEAST_FREE = 1 << 30  # bytes on a disk: a night of a small world takes some tens of megabytes, of a large one more

_WORST_FIRST = (77, 65, 78, 75)  # a budget before data, data before settings, settings before what passes


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    subject : str
        What it is.
    found : str
        In words.
    do : str
        What to do; empty where nothing is to be done.
    exit_code : int
        Of a command that meets it; 0 where it is well.
    """

    subject: str
    found: str
    do: str = ""
    exit_code: int = 0

    def __rich__(self) -> Text:
        """Return it as a line."""
        mark, style = ("✓", "green") if not self.exit_code else ("✗", "red")
        return Text.assemble((mark, style), f" {self.subject}: {self.found}", f" · {self.do}" if self.do else "")


Check = Callable[[JobContext], Iterator[Finding]]


def examine(job: JobContext) -> list[Finding]:
    """Look at everything, one thing after another, whatever is wrong with those before.

    Parameters
    ----------
    job : JobContext
        Its sources are not read.
    """
    if not job.workspace.root.is_dir():
        raise InputError(f"there is no workspace at {job.workspace.root}", hint="Check --workspace.")
    return [finding for subject, check in _CHECKS.items() for finding in _looked(subject, check, job)]


def summary(found: Sequence[Finding]) -> dict[str, Any]:
    """Return the summary of a command line, with the exit code of the worst that was found."""
    codes = {finding.exit_code for finding in found} - {0}
    worst = next((code for code in _WORST_FIRST if code in codes), 0)
    faults = sum(finding.exit_code != 0 for finding in found)
    status = "failed" if faults else "done"
    return {"status": status, "faults": faults, "findings": [asdict(each) for each in found], "exit_code": worst}


def _looked(subject: str, check: Check, job: JobContext) -> Iterator[Finding]:
    """Yield what a check finds; one that cannot go on has found that."""
    try:
        found = list(check(job))
    except Exception as error:
        refused = error if isinstance(error, RecsysError) else not_ready(error, f"the {subject}")
        if refused is None:
            raise
        yield Finding(subject, refused.message, refused.hint, refused.exit_code)
    else:
        yield from found or [Finding(subject, "well")]


def _fault(subject: str, error: RecsysError) -> Finding:
    return Finding(subject, error.message, error.hint, error.exit_code)


def _disk(job: JobContext) -> Iterator[Finding]:
    for folder in {job.workspace.root, job.settings.tracking.folder}:
        free = shutil.disk_usage(folder if folder.is_dir() else Path()).free
        if free < LEAST_FREE:
            found = f"{free / 1e6:,.0f} MB are free where {folder} is, {LEAST_FREE / 1e6:,.0f} should be"
            yield Finding("disk", found, "Free some space.", NotReadyError.exit_code)


def _modes(job: JobContext) -> Iterator[Finding]:
    root = job.workspace.root
    for path, wanted in ((job.workspace.private, 0o700), *((root / name, 0o600) for name in _SECRETS)):
        if path.exists() and (mode := path.stat().st_mode & 0o777) & ~wanted:
            found = f"others may read {path}: its mode is {mode:04o}, expected {wanted:04o}"
            yield Finding("modes", found, f"chmod {wanted:04o} {path}", InputError.exit_code)


def _keys(job: JobContext) -> Iterator[Finding]:
    for name in ("listener.key", "token.key", "contacts.key"):
        path = job.workspace.root / name
        if path.exists() and (size := path.stat().st_size) != KEY_BYTES:
            found = f"{path} has {size} bytes, expected {KEY_BYTES}"
            yield Finding("keys", found, "Restore it from a backup before anything else is run.", InputError.exit_code)
        if not path.exists() and name == "listener.key" and _has_released(job):
            found = f"{path} is gone: nobody's consent, balance or erasure could be told any more"
            yield Finding("keys", found, "Restore it from a backup before anything else is run.", InputError.exit_code)


def _consents(job: JobContext) -> Iterator[Finding]:
    url, file = job.settings.consents.url.get_secret_value(), job.workspace.consents
    if url:
        Database(url).read("SELECT 1", {})
    elif file.exists():
        what = f"the consent log {file}"
        with _reading(file, what) as database:
            check_current(what, lambda query: database.execute(query).fetchall())
    elif _has_released(job):
        found = f"{file} is gone: without it nobody allows anything"
        yield Finding("consent log", found, "Restore it from a backup.", InputError.exit_code)


def _ledger(job: JobContext) -> Iterator[Finding]:
    file = job.workspace.ledger
    if file.exists():
        with _reading(file, f"the ledger {file}"):
            pass
        ledger = Ledger.to_read(file)
        release.check_accounted(job.workspace.releases, ledger=ledger, without=left_out(job.workspace))
    elif _has_released(job):
        raise PrivacyBudgetError(
            f"{file} is gone: what was spent is unaccounted", hint="Restore it from a backup: nothing may be released."
        )
    yield from ()


def _clock(job: JobContext) -> Iterator[Finding]:
    with suppress(RecsysError):  # of the ledger, which was told
        entries = Ledger.to_read(job.workspace.ledger).entries() if job.workspace.ledger.exists() else []
        last = max((entry.at for entry in entries), default=job.now)
        if job.now < last:
            found = f"it says {job.now:%Y-%m-%d %H:%M}, which is before the ledger's last entry, {last:%Y-%m-%d %H:%M}"
            yield Finding("clock", found, "Set the clock: consents count by it.", NotReadyError.exit_code)


def _releases(job: JobContext) -> Iterator[Finding]:
    for night in release.released_nights(job.workspace.releases):
        try:
            read_manifest(job.workspace.releases / night.isoformat())
        except InputError as error:
            yield _fault("releases", error)


def _snapshots(job: JobContext) -> Iterator[Finding]:
    workspace, found = job.workspace, listed(job.workspace)
    for each in found:
        if each.fault:
            code = InputError.exit_code if each.is_current else 0
            whole = next((other.id for other in found if not other.fault), None)
            do = f"`hearabouts snapshots use {whole}` goes back" if whole else "Run `hearabouts nightly`: it publishes."
            yield Finding("snapshots", each.fault, do if each.is_current else "", code)
    name = publishing.pointer(workspace)
    if name is not None and name not in {each.id for each in found}:
        found_ = f"{workspace.current} names a snapshot that is not there"
        yield Finding("snapshots", found_, "Run `hearabouts nightly`: it publishes.", InputError.exit_code)
    elif name is not None and not publishing.is_linked(workspace):
        found_ = f"{workspace.public} does not lead to the current snapshot"
        yield Finding("snapshots", found_, f"`hearabouts snapshots use {name}` mends it.", InputError.exit_code)
    if name is None:
        yield Finding("snapshots", "nothing was published yet", "Run `hearabouts nightly`.", NotReadyError.exit_code)


def _store(job: JobContext) -> Iterator[Finding]:
    check_records(job.workspace)
    store = Store(job.workspace.private, job.settings.store)
    store.sealed.check()  # what is found of it is found once, not of every file
    for path in store.files():
        try:
            store.check_file(path)
            pl.read_parquet(store.sealed.read(path), hive_partitioning=False)
        except RecsysError as error:
            yield _fault("private store", error)
        except (pl.exceptions.PolarsError, OSError) as error:
            refused = not_ready(error, str(path)) or InputError(f"{path} is damaged", hint="Restore it from a backup.")
            yield _fault("private store", refused)


def _mlflow(job: JobContext) -> Iterator[Finding]:
    store = job.settings.tracking.store
    file = tracking.database_of(store)
    if file is None:
        tracking.client(store)  # asks the server
    elif file.exists():
        tracking_database.check(file)
        if tracking_database.is_half_made(file):
            yield Finding("MLflow", f"{file} is half made, or of an earlier version", "The next night sees to it.")
    waiting = len(run_record.waiting(job.workspace.unlogged))
    if waiting:
        yield Finding("MLflow", f"{waiting} runs wait in the workspace", "The next night logs them.")


def _leftovers(job: JobContext) -> Iterator[Finding]:
    left = [path for folder in job.workspace.swept() for path in folder.glob(".*.staged")]
    if left and not _is_busy(job):
        yield Finding("leftovers", f"a crash left {len(left)} stages, as {left[0]}", "The next job removes them.")


def _is_busy(job: JobContext) -> bool:
    """Tell whether a job holds the workspace: what it is just making is no leftover."""
    lock = job.workspace.root / ".lock"
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _has_released(job: JobContext) -> bool:
    return bool(release.released_nights(job.workspace.releases))


def _reading(file: Path, what: str) -> closing[sqlite3.Connection]:
    """Open a SQLite file to read, once its pages were checked.

    Raises
    ------
    InputError
        If it is damaged.
    """
    connection = sqlite3.connect(f"file:{quote(str(file.resolve()))}?mode=ro", uri=True)
    damaged = InputError(f"{what} is damaged, or no database", hint="Restore it from a backup.")
    try:
        faults = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        connection.close()
        raise not_ready(error, what) or damaged from None
    if faults != [("ok",)]:
        connection.close()
        raise damaged
    return closing(connection)


_SECRETS = (
    *("listener.key", "token.key", "contacts.key", "marks.key", "store.key"),
    *("consents.db", "marks.db", "ledger.db", "private/keys.json"),
)

_CHECKS: dict[str, Check] = {
    "disk": _disk,
    "modes": _modes,
    "keys": _keys,
    "consent log": _consents,
    "ledger": _ledger,
    "clock": _clock,
    "releases": _releases,
    "snapshots": _snapshots,
    "private store": _store,
    "MLflow": _mlflow,
    "leftovers": _leftovers,
}
