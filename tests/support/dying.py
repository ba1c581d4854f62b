"""Run a job that dies by SIGKILL just before its first write, its second, and so on.

``python -m support.dying JOB WORKSPACE COPIES``, in tests/. Each run is a process of its own on its own copy of a
workspace, ``COPIES/1`` and so on; the last one lives. Every write to the file system is announced to an audit hook
(PEP 578) before it happens.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas
import polars as pl
from support import witnessing
from support.releasing import NIGHT, TRACKS, catalogue, contributed, released, small_atlas
from support.witnessing import MOMENT, telling_moments

from recsys.artifacts.public_files import PublicFile, write_files
from recsys.geography.country_names import country_names
from recsys.geography.places import WORLD, Place
from recsys.releases.charts.charts import POPULAR, Charts
from recsys.releases.snapshot import publishing
from recsys.schemas import Chart
from recsys.workspace import Workspace

_IMPORTED = (pandas,)  # by PyArrow, with the first array of each process: half a second
ROWS = [(f"listener {i}", "aa1", f"t{i % 3:02d}") for i in range(30)]
WRITES = {MOMENT, "os.symlink", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "sqlite3.connect", "shutil.rmtree"}


def publish(root: Path, *, day: int = 1) -> str:
    """Publish charts that differ from day to day."""
    return publishing.publish(
        Workspace(root),
        charts=Charts(_lines(listeners=100.0 * (day + 1)), (POPULAR,)),
        catalogue=catalogue(),
        atlas=small_atlas(),
        nights=[NIGHT + timedelta(days=day)],
        settings_digest="s",
        ledger_numbers=[1],
        write_public=write_public,
    )


def _lines(*, listeners: float) -> pl.DataFrame:
    """Ten tracks of every place, written by hand: each process would estimate them anew."""
    numbers = dict.fromkeys(("estimate", "low", "high", "lift", "lift_low", "lift_high"), listeners)
    facts = {"chart": POPULAR, "nights_on_chart": 1, "nights": 7}
    rows = [
        {"place": place, "rank": rank, "track_id": track, **facts, **numbers}
        for place in small_atlas().places
        for rank, track in enumerate(TRACKS[:10], start=1)
    ]
    return pl.DataFrame(rows, schema={name: column.dtype for name, column in Chart.columns().items()})


def write_public(stage: Path, facts: Mapping[str, Any]) -> None:
    """Write one public file, packed too."""
    content = str(facts["id"]).encode() * 100
    write_files(stage / "public", [PublicFile("v1/regions.json", content, "application/json")])


def release(root: Path) -> Path:
    """Release a night."""
    return released(contributed(ROWS), root)


def release_witnessed(root: Path) -> Path:
    """Release a night as a job does it, with a witness outside the workspace."""
    with telling_moments():
        return witnessing.release_night(root, witness=witness_beside(root))


def witness_beside(copy: Path) -> Path:
    """Return where the witness of a copy is."""
    return copy.parents[1] / "witnesses" / f"{copy.name}.db"


JOBS: dict[str, Callable[[Path], object]] = {
    "publish": publish,
    "release": release,
    "release_witnessed": release_witnessed,
}


def died(job: str, root: Path, copies: Path) -> list[Path]:
    """Return the workspaces of all processes that died, in the order of their moments."""
    copies.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "support.dying", job, str(root), str(copies)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return sorted(copies.iterdir(), key=lambda path: int(path.name))[:-1]


def main(job: str, workspace: Path, copies: Path) -> None:
    """Run the job again and again, dying one write later each time, until it lives."""
    world = Place(WORLD, "World", None, "world", None, 0, 0, 0)
    assert list(country_names(world))  # read from files that take a second: once, and not by every child
    for moment in itertools.count(1):
        root = Path(shutil.copytree(workspace, copies / str(moment), symlinks=True))
        child = os.fork()  # from a process that has imported everything and started nothing
        if child == 0:
            publishing._KEPT = 1  # so that the older one has to go
            _die_before(moment, root)
            JOBS[job](root)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


def _die_before(last: int, root: Path) -> None:
    moments = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal moments
        if event in WRITES or (event == "open" and str(arguments[0]).startswith(str(root))):
            moments += 1
            if moments == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
