"""The time that tests took, by folder."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from pathlib import PurePath

import pytest


def print_time_by_folder(reporter: pytest.TerminalReporter) -> None:
    """Print it below the slowest tests, where these are asked for (`--durations`)."""
    if not reporter.config.option.durations:
        return
    reporter.write_sep("=", "time by folder, of all workers together")
    everything = chain.from_iterable(reporter.stats.values())
    reports = (each for each in everything if isinstance(each, pytest.TestReport))
    for folder, (tests, seconds) in time_by_folder(reports).items():
        reporter.write_line(f"{seconds:9.2f}s {tests:6} tests  {folder}")


def time_by_folder(reports: Iterable[pytest.TestReport]) -> dict[str, tuple[int, float]]:
    """Return how many tests each folder has, and their seconds with set-up and teardown, the slowest folder first."""
    tests, seconds = defaultdict[str, set[str]](set), defaultdict[str, float](float)
    for report in reports:
        folder = str(PurePath(report.nodeid.partition("::")[0]).parent)
        tests[folder].add(report.nodeid)
        seconds[folder] += report.duration
    slowest_first = sorted(seconds, key=lambda folder: -seconds[folder])
    return {folder: (len(tests[folder]), seconds[folder]) for folder in slowest_first}
