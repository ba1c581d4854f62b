"""Promise 8 for whole jobs: killed or starved at any file operation, nothing is torn or spent twice, and they go on.

A dozen of what ``make bench BENCH=crash`` does a hundred times.
"""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.crashing import OPEN, SYNC, WRITE, Fault, Forge, World, forge, tried, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it is possible")

Tried = tuple[World, Forge]


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory, mlruns_template: Path) -> Iterator[Tried]:
    """A tiny world, and what runs jobs on it."""
    folder = tmp_path_factory.mktemp("crashing")
    with forge(folder) as opened:
        yield World(folder / "world", opened, nights=1, store=mlruns_template), opened


@pytest.mark.parametrize("before", [450, 1000])
def test_a_night_that_is_killed_goes_on(crashing: Tried, tmp_path: Path, before: int) -> None:
    trial = tried(*crashing, "next night", Fault("kill", first=before), into=tmp_path)
    assert trial.ran.code == -9
    assert trial.wrong == {}


@pytest.mark.parametrize(
    ("job", "before"),
    [("forget", 20), ("forget", 40), ("forget", 90), ("partner", 120), ("consents copy", 30), ("consents copy", 60)],
)
def test_another_job_that_is_killed_goes_on(crashing: Tried, tmp_path: Path, job: str, before: int) -> None:
    trial = tried(*crashing, job, Fault("kill", first=before), into=tmp_path)
    assert trial.ran.code == -9
    assert trial.wrong == {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("fail", WRITE, "/state/", 20, value=errno.ENOSPC),
        Fault("fail", SYNC, "consents.db", 2, value=errno.EIO),
        Fault("fail", OPEN, "/state/", 40, value=errno.EMFILE),
        Fault("short", WRITE, "/state/"),
    ],
    ids=["no space", "failing fsync", "too many files", "half a write"],
)
def test_a_job_whose_files_fail_says_why_and_goes_on(crashing: Tried, tmp_path: Path, fault: Fault) -> None:
    trial = tried(*crashing, "forget", fault, into=tmp_path)
    assert trial.ran.struck
    assert trial.wrong == {}
