"""Whole jobs on a tiny world that are killed, or whose files fail, each in a process of its own, and what is then true.

``Forge`` forks them from one process that has imported everything and started nothing (see :mod:`support.dying`) and
into which ``faults.c`` is preloaded, which sees every file operation, SQLite's and Polars' too. A trial runs a job with
a fault on a copy of a workspace, and then the same job without, and says what is wrong with that. With ``journal.c``
a job's file operations are written down, and a trial begins with what a power loss after any of them may leave
(:mod:`support.power`).
"""

import ctypes
import errno
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from support.night import (
    LISBON,
    NOW,
    PORTO,
    PURPOSES,
    TRACKS,
    night_of,
    noon,
    row,
    write_catalogue,
    write_consents,
    write_listens,
)
from support.power import Disk, Operation, read_journal

from pipelines import __main__ as command_line
from pipelines.base import job_context
from pipelines.experiments import evaluate, promote
from pipelines.mlflow import tracking
from pipelines.night import nightly
from pipelines.privacy import copy_consents, nightly_audit, partner
from recsys import workspace
from recsys.consents.witness import DRAWN, Witness
from recsys.geography.country_names import country_names
from recsys.geography.places import WORLD
from recsys.releases.budget import accounting
from recsys.releases.budget.ledger import Ledger
from recsys.releases.snapshot import publishing
from recsys.settings import load_settings
from recsys.workspace import MANIFEST, Workspace, digest, listener_of, read_manifest

OPEN, WRITE, SYNC, NAME = 1, 2, 4, 8
"""Kinds of operations: files that are opened, written and brought to the disk; names that come, go or change."""

CHANGES = WRITE | SYNC | NAME
ALWAYS = 1 << 60

CAUSES = {
    errno.ENOSPC: ("no space is left on the disk", "the disk is full"),
    errno.EIO: ("fails to read or write",),
    errno.EMFILE: ("too many files are open", "it cannot be opened"),  # SQLite does not say why
}
"""What a message has to say of an error."""

USERS = [f"user-{number:02}" for number in range(24)]
PARTNER_NIGHTS = 1
GONE = USERS[3]  # who asks to be forgotten

_ACTIONS = ("nothing", "kill", "fail", "short", "slow")
_PATIENCE = 60  # seconds for a job: one that hangs is a fault, too
_HERE = Path(__file__).parent
_STATE = "/state"  # in the path of every file that a job is about


@dataclass(frozen=True)
class Fault:
    """What happens to some of a job's file operations.

    Parameters
    ----------
    action : str
        ``nothing``, ``kill`` (before the operation), ``fail``, ``short`` (half is written), ``slow``, or ``later``
        (killed after ``value`` milliseconds, wherever it is); or ``power``, lost after ``first`` operations, where
        ``holds`` says how (:data:`support.power.LOSSES`).
    kinds : int
        Of operations.
    holds : str
        In the path of each of them.
    first, last : int
        Of those operations, the first and the last, counted from 1.
    value : int
        The error's number; the milliseconds.
    """

    action: str = "nothing"
    kinds: int = CHANGES
    holds: str = "/state/"
    first: int = 1
    last: int = ALWAYS
    value: int = 0


@dataclass(frozen=True)
class Ran:
    """What a job left behind; ``code`` is negative where a signal ended it."""

    code: int
    out: str
    err: str
    operations: int
    struck: str
    seconds: float

    @property
    def summary(self) -> dict[str, Any]:
        """The last line of standard output."""
        return dict(json.loads(self.out.splitlines()[-1])) if self.out.strip() else {}


class Forge:
    """A process that forks jobs.

    Parameters
    ----------
    faults, journal : Path
        The libraries.
    folder : Path
        For what jobs print.
    """

    def __init__(self, faults: Path, journal: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "LD_PRELOAD": f"{faults}:{journal}", "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.crashing", str(faults), str(journal), str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, state: Path, arguments: Sequence[object], fault: Fault | None = None, *, journal: Path | None = None
    ) -> Ran:
        """Run a command of the command line in a folder; write down what it does to files, if asked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"folder": str(state), "arguments": list(map(str, arguments)), "fault": asdict(fault or Fault())}
        asked |= {"journal": str(journal or "")}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Ran(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def why_not() -> str:
    """Say why nothing can be tried here; nothing where it can."""
    if sys.platform != "linux":
        return "faults are preloaded on Linux only"
    return "" if shutil.which("cc") else "there is no C compiler (cc) to build the faults with"


@contextmanager
def forge(folder: Path) -> Iterator[Forge]:
    """Build the faults and the journal, and yield what runs jobs with them."""
    faults, journal = (_built(name, folder) for name in ("faults", "journal"))
    opened = Forge(faults, journal, folder / "printed")
    try:
        yield opened
    finally:
        opened.close()


def _built(name: str, folder: Path) -> Path:
    library, source = folder / f"{name}.so", _HERE / f"{name}.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library


@dataclass(frozen=True)
class Job:
    """A job that is tried.

    Parameters
    ----------
    begins : str
        The state that it begins with: ``nothing`` at all, MLflow's store and else ``empty``, or
        ``grown`` by some nights, or also ``measured``.
    arguments : tuple
        Of the command line.
    is_done : callable
        Whether a state shows that it was carried out.
    """

    begins: str
    arguments: tuple[object, ...]
    is_done: Callable[[Path], bool]


class World:
    """A tiny world: its input, the states that jobs begin with, and the jobs.

    Parameters
    ----------
    folder : Path
    forge : Forge
    nights : int
        How many there were before the jobs; models need three to be measured.
    store : Path, optional
        MLflow's, empty; by default a new one.
    """

    def __init__(self, folder: Path, forge: Forge, *, nights: int = 3, store: Path | None = None) -> None:
        self._folder, self._forge, self._nights, self._store = folder, forge, nights, store
        self._write(folder / "input")
        self.jobs = self._jobs(folder / "input")
        self._grow()

    def begun(self, job: Job) -> Path:
        """Return what a job begins with."""
        return self._folder / job.begins / "state"

    def copied(self, job: Job, to: Path) -> Path:
        """Return a copy of what a job begins with, in a folder of its own."""
        return Path(shutil.copytree(self.begun(job), to / "state", symlinks=True))

    def _write(self, folder: Path) -> None:
        random = np.random.default_rng(14)
        homes = {user: LISBON if random.random() < 0.5 else PORTO for user in USERS}
        for number in range(self._nights + 1):
            night = night_of(number)
            rows = [
                row(user, TRACKS[track], noon(night) + timedelta(seconds=int(random.integers(-40_000, 40_000))), home)
                for user, home in homes.items()
                for track in random.choice(len(TRACKS), random.integers(3, 8), replace=False)
            ]
            write_listens(folder / "listens", night, rows)
        write_catalogue(folder / "catalogue.csv")
        write_consents(folder / "consents.csv", USERS, purposes=(*PURPOSES, "partner_statistics"))
        (folder / "settings.toml").write_text(
            '[atlas]\nservice_area = ["*"]\n[store]\nbuckets = 2\n[partner]\nrho = 0.01\nthreshold_delta = 1e-13\n'
            f"min_nights = {PARTNER_NIGHTS}\n[models]\nfactors = 4\niterations = 2\nmin_listeners_per_track = 2\n"
            "min_listeners_per_region = 4\nvalidation_nights = 1\ntest_nights = 1\nmin_listeners_in_table = 1\n"
        )

    def _jobs(self, folder: Path) -> dict[str, Job]:
        settings = ("--settings", folder / "settings.toml")
        given = ("--catalogue", folder / "catalogue.csv", "--consents", folder / "consents.csv", *settings)
        nightly = ("nightly", "--listens", folder / "listens", *given)
        period, after = (night_of(0), night_of(PARTNER_NIGHTS - 1)), self._nights
        return {
            "first night ever": Job("nothing", (*nightly, "--through", night_of(0)), partial(_released, nights=1)),
            "first night": Job("empty", (*nightly, "--through", night_of(0)), partial(_released, nights=1)),
            "some nights": Job("empty", (*nightly, "--through", night_of(after - 1)), partial(_released, nights=after)),
            "next night": Job("grown", (*nightly, "--through", night_of(after)), partial(_released, nights=after + 1)),
            "evaluate": Job("grown", ("evaluate", "--catalogue", folder / "catalogue.csv", *settings), _is_evaluated),
            "promote": Job("measured", ("promote", "evaluate", *settings), _has_champion),
            "partner": Job("grown", ("partner", "--from", period[0], "--to", period[1], *given), _has_partner_file),
            "forget": Job("grown", ("forget", GONE, *settings), _is_forgotten),
            "consents copy": Job("grown", ("consents", "copy", "--to", "copy.db", *settings), _is_copied),
        }

    def _grow(self) -> None:
        (self._folder / "nothing" / "state").mkdir(parents=True)
        empty = self._folder / "empty" / "state"
        empty.mkdir(parents=True)
        if self._store:
            shutil.copytree(self._store, empty / "mlruns")
        else:
            self._run(empty, ("MLFLOW",))
        shutil.copytree(empty, self._folder / "grown" / "state")
        self._run(self._folder / "grown" / "state", self.jobs["some nights"].arguments)
        shutil.copytree(self._folder / "grown" / "state", self._folder / "measured" / "state", symlinks=True)
        self._run(self._folder / "measured" / "state", self.jobs["evaluate"].arguments)

    def _run(self, state: Path, arguments: Sequence[object]) -> None:
        done = self._forge.run(state, arguments)
        assert done.code == 0, (done.code, done.seconds, done.out[-2000:], done.err[-3000:])


def _released(state: Path, *, nights: int) -> bool:
    workspace = Workspace(state / "workspace")
    wanted = [night_of(number).isoformat() for number in range(nights)]
    found = sorted(path.name for path in workspace.releases.glob("[0-9]*"))
    return found == wanted and publishing.current(workspace).manifest["as_of"] == wanted[-1]


def _is_evaluated(state: Path) -> bool:
    return _query(state / "mlruns/mlflow.db", "SELECT count(*) FROM runs WHERE name = 'evaluate'") >= 1


def _has_champion(state: Path) -> bool:
    return _query(state / "mlruns/mlflow.db", "SELECT count(*) FROM registered_model_aliases") == 1


def _has_partner_file(state: Path) -> bool:
    folder = state / "workspace" / "partner" / f"{night_of(0)}_{night_of(PARTNER_NIGHTS - 1)}"
    return bool(read_manifest(folder)) if (folder / MANIFEST).exists() else folder.is_dir()


def _is_forgotten(state: Path) -> bool:
    """A no stays until there is an answer to it: nothing waits, and nobody of the name is left."""
    workspace = Workspace(state / "workspace")
    gone = listener_of(GONE, key=workspace.listener_key_file.read_bytes())
    held = b"".join(path.read_bytes() for path in (workspace.root).rglob("*") if path.is_file())
    return gone.encode() not in held and bytes.fromhex(gone) not in held


def _is_copied(state: Path) -> bool:
    count = "SELECT count(*) FROM entries"
    return _query(state / "copy.db", count) == _query(state / "workspace/consents.db", count) > 0


def _query(file: Path, query: str) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute(query).fetchone()[0])


@dataclass(frozen=True)
class Trial:
    """A job with a fault, then the same job without, on one state; and what was wrong, by kind."""

    job: str
    fault: Fault
    ran: Ran
    again: Ran
    wrong: Mapping[str, str]


def tried(world: World, forge: Forge, name: str, fault: Fault, *, into: Path) -> Trial:
    """Run a job with a fault, then without, and judge both."""
    job = world.jobs[name]
    state = world.copied(job, into)
    before = _digests(state)
    ran = forge.run(state, job.arguments, fault)
    wrong = {**_wrong_told(ran, fault), **_wrong_on_disk(state, before, torn="torn")}
    again, later = _again(job, forge, state)
    return Trial(name, fault, ran, again, wrong | later)


@dataclass(frozen=True)
class Recorded:
    """A job that ran without a fault, and all that it did to files."""

    job: str
    ran: Ran
    operations: Sequence[Operation]


def recorded(world: World, forge: Forge, name: str, *, into: Path) -> Recorded:
    """Run a job, and write down what it does to files."""
    job, journal = world.jobs[name], into / "journal"
    ran = forge.run(world.copied(job, into), job.arguments, journal=journal)
    return Recorded(name, ran, read_journal(journal))


def lost_power(
    world: World, forge: Forge, of: Recorded, *, after: int, how: str, drawn: random.Random, into: Path
) -> Trial:
    """Let the power fail after so many operations of a job, run the job on what the disk holds then, and judge both."""
    job = world.jobs[of.job]
    disk = Disk(world.begun(job), name=_STATE)
    for one in of.operations[:after]:
        disk.do(one)
    state = disk.lose(how, drawn=drawn, into=into / "state")
    wrong = _wrong_on_disk(state, _digests(world.begun(job)), torn="torn")
    if after >= len(of.operations) and not job.is_done(state):
        wrong["lost"] = "the job had said that it was done"
    again, later = _again(job, forge, state)
    return Trial(of.job, Fault("power", holds=how, first=after), of.ran, again, wrong | later)


def _again(job: Job, forge: Forge, state: Path) -> tuple[Ran, dict[str, str]]:
    """Run a job once more, without a fault, and say what is wrong then."""
    between = _digests(state)
    again = forge.run(state, job.arguments)
    wrong = _wrong_on_disk(state, between, torn="torn after the re-run")
    if again.code != 0:
        wrong["re-run"] = f"exit {again.code}: {_last(again)}"
    elif not job.is_done(state):
        wrong["re-run"] = "it did not complete"
    left = [str(path.relative_to(state)) for path in state.rglob(".*") if _is_left(path)]
    if left:
        wrong["leftovers"] = ", ".join(sorted(left)[:4])
    return again, wrong


def _is_left(path: Path) -> bool:
    """Tell whether a file is half-made; a record for MLflow may be so for an hour, as somebody may be making it."""
    return any(word in path.name for word in (".staged", ".drawn")) and path.parent.name != "unlogged"


def _wrong_told(ran: Ran, fault: Fault) -> dict[str, str]:
    """Return what is wrong with how a job with a fault ended, and what it said."""
    if fault.action in {"kill", "later"}:
        return {} if ran.code in {0, -signal.SIGKILL} else {"exit": f"{ran.code}: {_last(ran)}"}
    if ran.code not in ({0, 75} if fault.action == "fail" else {0}):
        return {"exit": f"{ran.code}: {_last(ran)}"}
    if "Traceback" in ran.err + ran.out or "which is a bug" in ran.err:
        return {"message": "a traceback"}
    if ran.code == 75 and not any(cause in str(ran.summary.get("message")) for cause in CAUSES[fault.value]):
        return {"message": f"not the cause: {_last(ran)}"}
    return {}


def _last(ran: Ran) -> str:
    printed = [line for line in (*ran.out.splitlines(), *ran.err.splitlines()[-1:]) if line.strip()]
    return " | ".join(printed[-2:])[:600]


def _digests(state: Path) -> dict[str, str]:
    """Return what stands for every released night and partner file, by name."""
    releases, files = state / "workspace" / "releases", state / "workspace" / "partner"
    nights = {path.parent.name: digest(path) for path in releases.glob(f"[0-9]*/{MANIFEST}")}
    return nights | {f"{path.parent.name} {path.name}": digest(path) for path in files.glob("[0-9]*/*")}


def _wrong_on_disk(state: Path, before: Mapping[str, str], *, torn: str) -> dict[str, str]:
    """Return what is torn, spent twice, or lost of what was published before."""
    wrong: dict[str, str] = {}
    workspace = Workspace(state / "workspace")
    try:
        if workspace.current.exists():
            publishing.current(workspace)  # verifies every byte
            read_manifest(workspace.public)
        for folder in workspace.releases.glob("[0-9]*"):
            read_manifest(folder)
    except Exception as error:  # whatever it is, it is not whole
        wrong[torn] = repr(error)
    if any(_digests(state).get(name) != found for name, found in before.items()):
        wrong["released bytes"] = "are others"
    twice = _spent_twice(state)
    return wrong | ({"spent twice": twice} if twice else {})


def _spent_twice(state: Path) -> str:
    """Say what ledger or witness hold twice, or hold otherwise than the disk; nothing where all is well."""
    workspace, witness = Workspace(state / "workspace"), next((state / "mlruns").glob("witness*.db"), None)
    entries = Ledger(workspace.ledger).entries() if workspace.ledger.exists() else []
    spent = Counter((entry.spend.purpose, entry.spend.night) for entry in entries)
    lines = [line for line in Witness(witness).every() if line.kind == DRAWN] if witness else []
    drawn = Counter(json.dumps(line.facts, sort_keys=True) for line in lines)
    for what, counts in (("ledger", spent), ("witness", drawn)):
        if any(count > 1 for count in counts.values()):
            return what
    known = {entry.release for entry in entries} - {None} | {line.subject for line in lines}
    there = {found for name, found in _digests(state).items() if " " not in name}
    return "" if there <= known else "a release that neither ledger nor witness knows"


# The process that forks


def serve(library: str, journal: str, folder: Path) -> None:
    """Fork a job for every line of standard input, and answer with what came of it."""
    main = _imported()
    faults = ctypes.CDLL(library)
    faults.plan.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_int)
    faults.operations.restype, faults.struck.restype = ctypes.c_long, ctypes.c_char_p
    record = ctypes.CDLL(journal).record
    for line in sys.stdin:
        asked, started = json.loads(line), time.monotonic()
        fault, printed = Fault(**asked["fault"]), [folder / "out", folder / "err"]
        child = os.fork()
        if child == 0:
            if asked["journal"]:
                record(asked["journal"].encode(), _STATE.encode())
            _live(main, faults, asked, fault, printed)
        code = _ended(child, after=fault.value / 1000 if fault.action == "later" else None)
        out, err = (path.read_text(errors="replace") if path.exists() else "" for path in printed)
        told = {"code": code, "out": out, "err": err, "operations": faults.operations()}
        told |= {"struck": faults.struck().decode(errors="replace"), "seconds": time.monotonic() - started}
        print(json.dumps(told), flush=True)


def _ended(child: int, *, after: float | None) -> int:
    """Wait for a job, kill it after some time, and return its exit code."""
    started = time.monotonic()
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - started > (after or _PATIENCE):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return code if after else -999
        time.sleep(0.002)


def _live(main: Callable[[], None], faults: Any, asked: dict[str, Any], fault: Fault, printed: Sequence[Path]) -> None:
    """Be the job."""
    os.chdir(asked["folder"])
    for number, path in zip((1, 2), printed, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["hearabouts", *asked["arguments"]]
    action = 0 if fault.action == "later" else _ACTIONS.index(fault.action)
    faults.plan(fault.holds.encode(), fault.kinds, fault.first, fault.last, action, fault.value)
    code = 0
    try:
        main() if asked["arguments"] != ["MLFLOW"] else _make_store()
    except SystemExit as stop:
        code = int(stop.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _make_store() -> None:
    tracking.client(Path("mlruns"))


_IMPORTED = (evaluate, promote, copy_consents, partner)  # which commands import when they run


def _imported() -> Callable[[], None]:
    """Return the command line, with what is not tried put in place.

    The clock, the atlas, the audit of pure noise, and how finely losses of privacy are told apart, where each job would
    take half a second of its own.
    """

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return NOW

    atlas = nightly_audit._atlas(load_settings())
    passed = SimpleNamespace(metrics=dict, confirm=lambda: None)
    command_line.datetime = Clock  # type: ignore[misc]
    job_context.load_atlas = lambda _: atlas
    nightly.audit_release = lambda _: passed
    accounting._GRID *= 100
    accounting.summary(load_settings().privacy)  # which every night tells
    assert list(country_names(atlas.places[WORLD]))  # which every snapshot lists
    with TemporaryDirectory() as folder:
        tracking.client(Path(folder))  # which imports seconds' worth of MLflow
    return command_line.main


if __name__ == "__main__":
    workspace._MANY = sys.maxsize  # the journal knows of a sync of everything only as that of each file
    serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
