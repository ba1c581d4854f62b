"""Promise 8 for whole jobs: killed, starved or without power at any file operation, nothing is torn or spent twice.

And they go on by themselves.

A dozen of what ``make bench BENCH=crash`` does a hundred times.
"""

import errno
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.crashing import OPEN, SYNC, WRITE, Fault, Forge, World, forge, lost_power, recorded, tried, why_not
from support.power import LOSSES

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it is possible")

Tried = tuple[World, Forge]


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory, mlruns_template: Path) -> Iterator[Tried]:
    """A tiny world, and what runs jobs on it."""
    folder = tmp_path_factory.mktemp("crashing")
    with forge(folder) as opened:
        yield World(folder / "world", opened, store=mlruns_template), opened


@pytest.mark.parametrize("before", [450, 1000])
def test_a_night_that_is_killed_goes_on(crashing: Tried, tmp_path: Path, before: int) -> None:
    trial = tried(*crashing, "next night", Fault("kill", first=before), into=tmp_path)
    assert trial.ran.code == -9
    assert trial.wrong == {}


@pytest.mark.parametrize(
    ("job", "before"),
    [
        ("forget", 20),
        ("forget", 40),
        ("forget", 90),
        ("partner", 120),
        ("consents copy", 30),
        ("consents copy", 60),
        ("evaluate", 500),
        ("promote", 100),
    ],
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


@pytest.mark.parametrize(("job", "moments"), [("forget", 2), ("consents copy", 1)])
def test_a_job_goes_on_after_a_power_loss(crashing: Tried, tmp_path: Path, job: str, moments: int) -> None:
    """What a disk may hold then: all that was brought to it, and of the rest nothing, the names, or parts."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    drawn, ran = random.Random(seed), recorded(*crashing, job, into=tmp_path)
    for moment in range(moments):
        for how in LOSSES:
            after, into = drawn.randint(0, len(ran.operations)), tmp_path / f"{moment} {how}"
            trial = lost_power(*crashing, ran, after=after, how=how, drawn=drawn, into=into)
            assert trial.wrong == {}, (after, how)


def test_what_a_first_night_said_was_done_is_on_the_disk(crashing: Tried, tmp_path: Path) -> None:
    """With the names of all folders: one that was made, and not brought to the disk, goes with all that is in it."""
    ran = recorded(*crashing, "first night", into=tmp_path)
    every, none = len(ran.operations), random.Random(0)
    assert lost_power(*crashing, ran, after=every, how="lost", drawn=none, into=tmp_path / "after").wrong == {}
