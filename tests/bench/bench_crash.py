"""Jobs that are killed, whose files fail, or whose power does: what is torn, spent twice or lost, and do they go on?

Run it with ``PYTHONPATH=tests python tests/bench/bench_crash.py [KILLS] [--faults N] [--losses N] [--seed N]``, on
Linux with a C compiler. On a tiny world (24 listeners, 4 nights) whole jobs of the command line are killed by SIGKILL,
three in four before a file operation that is drawn from all that the job does (Polars' and SQLite's too), the others
at a random moment; or their files fail, from some operation on: no space, a failing fsync, half a write, too many open
files, a slow disk; everywhere or in one place; or all that they do to files is written down, and replayed up to some
operation as a power loss would leave the disk (``tests/support/power.py``). After each the workspace is looked at, the
job is run again, and it is looked at again (``tests/support/crashing.py``). It prints a line for each job and each
trial that went wrong, and exits with 1 if one did. Interrupted (Ctrl-C), it tells of what was tried until then.
"""

import argparse
import errno
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

from support.crashing import (
    OPEN,
    SYNC,
    WRITE,
    Fault,
    Recorded,
    Trial,
    World,
    forge,
    lost_power,
    recorded,
    tried,
    why_not,
)
from support.power import LOSSES

JOBS = ("first night", "next night", "evaluate", "promote", "partner", "forget", "consents copy")
RARE = "first night ever"  # makes MLflow's database, which takes long: a tenth of the kills
PLACES = ("/state/", "ledger.db", "consents.db", "witness", "mlruns", "/releases/", "/snapshots/", "/private/")
FAILURES = {
    "no space": Fault("fail", WRITE, value=errno.ENOSPC),
    "failing fsync": Fault("fail", SYNC, value=errno.EIO),
    "half a write": Fault("short", WRITE),
    "too many files": Fault("fail", OPEN, value=errno.EMFILE),
    "slow": Fault("slow", value=2),
}
COLUMNS = ("torn", "torn after the re-run", "spent twice", "released bytes", "lost", "re-run")
COLUMNS = (*COLUMNS, "leftovers", "exit", "message")


KINDS = {"kills": {"kill", "later"}, "faults": {"fail", "short", "slow"}, "power losses": {"power"}}

T = TypeVar("T")


def kills(number: int, *, drawn: random.Random, usual: dict[str, Trial]) -> Iterator[tuple[str, Fault]]:
    """Draw when jobs are killed."""
    for count, name in enumerate(islice(cycle((*JOBS, *JOBS[:2])), number)):
        job, ran = (RARE if count % 10 == 9 else name), usual[RARE if count % 10 == 9 else name].ran
        if drawn.random() < 0.75:
            yield job, Fault("kill", first=drawn.randint(1, ran.operations))
        else:
            yield job, Fault("later", value=drawn.randint(1, int(1000 * ran.seconds)))


def failures(number: int, *, drawn: random.Random, usual: dict[str, Trial]) -> Iterator[tuple[str, Fault]]:
    """Draw which files fail from when on; each kind and each place in turn, so that all are tried."""
    kinds, places = cycle(FAILURES.values()), cycle(PLACES)  # of lengths that have no divisor in common
    for name, fault, place in islice(zip(cycle((*JOBS, *JOBS[:2])), kinds, places, strict=False), number):
        most = usual[name].ran.operations // 4 if place == PLACES[0] else 8
        yield name, Fault(fault.action, fault.kinds, place, drawn.randint(1, most), value=fault.value)


def losses(number: int, *, drawn: random.Random, jobs: dict[str, Recorded]) -> Iterator[tuple[Recorded, int, str]]:
    """Draw after which operation the power fails, one time in eight after the last, and what file systems do then."""
    for count, (name, how) in enumerate(islice(zip(cycle((*JOBS, *JOBS[:2])), cycle(LOSSES), strict=False), number)):
        job = jobs[RARE if count % 10 == 9 else name]
        yield job, len(job.operations) if drawn.random() < 1 / 8 else drawn.randint(0, len(job.operations)), how


def main(number: int, faults: int, lost: int, seed: int) -> int:
    """Try it all, and print what came of it."""
    drawn, trials = random.Random(seed), list[Trial]()
    with tempfile.TemporaryDirectory() as folder, forge(Path(folder)) as opened:
        world = World(Path(folder) / "world", opened)
        usual = {name: made(partial(tried, world, opened, name, Fault()), Path(folder)) for name in (*JOBS, RARE)}
        for name, trial in usual.items():
            print(f"{name}: {trial.ran.operations} operations that change files {dict(trial.wrong)}", flush=True)
        struck = [*kills(number, drawn=drawn, usual=usual), *failures(faults, drawn=drawn, usual=usual)]
        plans = [partial(tried, world, opened, name, fault) for name, fault in struck]
        if lost:
            jobs = {name: made(partial(recorded, world, opened, name), Path(folder)) for name in (*JOBS, RARE)}
            for job, after, how in losses(lost, drawn=drawn, jobs=jobs):
                plans.append(partial(lost_power, world, opened, job, after=after, how=how, drawn=drawn))
        with suppress(KeyboardInterrupt):
            for plan in plans:
                trials.append(made(plan, Path(folder)))
                if len(trials) % 20 == 0:
                    print(f"{len(trials)} of {len(plans)} tried", flush=True)
                if trials[-1].wrong:
                    ran = trials[-1]
                    print(f"WRONG {ran.job}, {ran.fault}, struck {ran.ran.struck}: {dict(ran.wrong)}", flush=True)
    print(f"\nseed {seed}, {len(trials)} of {len(plans)} tried")
    for title, actions in KINDS.items():
        table(title, [trial for trial in trials if trial.fault.action in actions])
    return int(any(trial.wrong for trial in trials))


def made(plan: Callable[..., T], folder: Path) -> T:
    """Try something in a folder of its own."""
    try:
        (folder / "trial").mkdir()
        return plan(into=folder / "trial")
    finally:
        shutil.rmtree(folder / "trial", ignore_errors=True)


def table(title: str, trials: list[Trial]) -> None:
    """Print what went wrong, by job; of trials in which the fault struck, as others say nothing."""
    print(f"\n{title:18}{'struck':>8}{'tried':>8}" + "".join(f"{column:>23}" for column in COLUMNS))
    for name in (*JOBS, RARE, "all"):
        of = [trial for trial in trials if name in {trial.job, "all"}]
        wrong = Counter(kind for trial in of for kind in trial.wrong)
        struck = sum(trial.fault.action == "power" or bool(trial.ran.struck) or trial.ran.code < 0 for trial in of)
        print(f"{name:18}{struck:8}{len(of):8}" + "".join(f"{wrong[column]:23}" for column in COLUMNS))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("kills", nargs="?", type=int, default=100)
    arguments.add_argument("--faults", type=int, default=80)
    arguments.add_argument("--losses", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=14)
    asked = arguments.parse_args()
    if why_not():
        print(f"not tried: {why_not()}")
        sys.exit(0)
    sys.exit(main(asked.kills, asked.faults, asked.losses, asked.seed))
