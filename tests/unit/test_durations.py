"""The time by folder, at the end of a test run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.durations import time_by_folder

TESTS = Path(__file__).parents[1]


def report(nodeid: str, when: str, seconds: float) -> pytest.TestReport:
    return pytest.TestReport(nodeid, ("", 0, ""), {}, "passed", None, when, duration=seconds)  # type: ignore[arg-type]


def test_a_folder_has_the_time_of_its_tests_with_set_up_and_teardown_and_the_slowest_is_first() -> None:
    reports = [
        report("tests/unit/test_a.py::test_one", "call", 1),
        report("tests/attack/test_b.py::test_one[a/b::c]", "setup", 4),
        report("tests/attack/test_b.py::test_one[a/b::c]", "call", 2),
        report("tests/unit/test_c.py::test_two", "call", 1.5),
        report("tests/unit/test_c.py::test_two", "teardown", 0.5),
    ]
    assert list(time_by_folder(reports).items()) == [("tests/attack", (1, 6.0)), ("tests/unit", (2, 3.0))]


def test_it_is_printed_with_the_slowest_tests_whatever_runs_them_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from support.durations import print_time_by_folder\n"
        "def pytest_terminal_summary(terminalreporter): print_time_by_folder(terminalreporter)\n"
    )
    for folder, tests in (("fast", 2), ("slow", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"test_{folder}.py").write_text("".join(f"def test_{n}(): pass\n" for n in range(tests)))
    alone = ["-c", "/dev/null", "--rootdir", tmp_path, "-p", "no:cacheprovider", "-o", f"pythonpath={TESTS}"]
    alone += ["--basetemp", tmp_path / "base"]  # or it removes what runs of the suite before this one left
    command = [sys.executable, "-m", "pytest", *alone, "-p", "xdist", "-n", "2", "--durations", "2", tmp_path]
    few_plugins = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # which start in a tenth of the time
    done = subprocess.run(command, cwd=tmp_path, env=few_plugins, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    *_, table = done.stdout.partition("time by folder")
    rows = sorted(line.split()[1:] for line in table.splitlines()[1:3])
    assert rows == [["2", "tests", "fast"], ["3", "tests", "slow"]]
