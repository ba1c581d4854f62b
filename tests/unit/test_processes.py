"""Processes that share work: the same answers in the same order, and none is left behind."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from recsys.errors import NotReadyError
from recsys.processes import mapping


def _square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def _die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_worker_is_this_process() -> None:
    with mapping(_square, workers=1) as squares:
        assert list(squares(range(3))) == [(0, os.getpid()), (1, os.getpid()), (4, os.getpid())]


def test_workers_answer_in_order_again_and_again() -> None:
    with mapping(_square, workers=2) as squares:
        found = [*squares(range(9)), *squares([9])]
    assert [square for square, _ in found] == [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
    assert os.getpid() not in {process for _, process in found}


def test_a_worker_that_is_killed_is_an_error_that_says_so() -> None:
    with pytest.raises(NotReadyError, match="was killed"), mapping(_die, workers=2) as dying:
        list(dying([1]))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, None])
def test_what_nobody_takes_any_more_is_not_waited_for(error: type[BaseException] | None) -> None:
    """Of six naps of ten minutes two are being taken and four are to come, when the block ends, however it does."""
    with pytest.raises(error) if error else nullcontext(), mapping(time.sleep, workers=2) as asleep:
        answers = asleep([0, 0, *[600] * 6])
        assert [next(answers), next(answers)] == [None, None]
        if error:
            raise error
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's OpenMP, which libraries for Linux bring along")
@pytest.mark.parametrize(("told", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_that_wait_sleep_unless_someone_said_otherwise(told: dict[str, str], policy: str) -> None:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    environment = {**others, **told, "OMP_DISPLAY_ENV": "TRUE", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "import recsys.models.ranker, recsys.models.als"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    assert set(re.findall(r"OMP_WAIT_POLICY = '(\w+)'", shown)) == {policy}


_STARTS = """
import time
from recsys.processes import mapping

if __name__ == "__main__":
    with mapping(time.sleep, workers=2) as asleep:
        answers = asleep([0, 0, 600, 600])
        next(answers), next(answers)
        print("asleep", flush=True)
        next(answers)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc, to see which processes there are")
def test_workers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "starts.py"
    script.write_text(_STARTS)
    paths = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"asleep\n"
        workers = _children(process.pid)
        assert len(workers) >= 2
        process.kill()
    assert _all_end(workers)


def _children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(child) for file in found for child in file.read_text().split()]


def _all_end(processes: list[int]) -> bool:
    for _ in range(200):
        if not any(_runs(process) for process in processes):
            return True
        time.sleep(0.05)
    return False


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
