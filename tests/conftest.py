"""What all tests share; it imports MLflow and the command line only where a test needs them, which takes seconds."""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import structlog
from support.databases import Cluster, cluster
from support.durations import print_time_by_folder

from recsys.geography.atlas import Atlas, load_atlas
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

if TYPE_CHECKING:
    from support.commands import Run

# Without one, the client of Spark (MLflow asks it) takes a worker of pytest-xdist for a run of its own doctests.
if sys.modules["__main__"].__spec__ is None:
    sys.modules["__main__"].__spec__ = ModuleSpec("__main__", None)

# A busy machine is no fault of what is tested. There are many runs, each of which draws other examples; where a fault
# was seeded (tests/support/mutations.py) there is one.
if hypothesis.settings.get_current_profile_name() != "fault":
    hypothesis.settings.register_profile("many runs", deadline=None, max_examples=50, derandomize=False)
    hypothesis.settings.load_profile("many runs")

NOW = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
_MEMORY = Path("/dev/shm")  # of Linux; pytest makes a folder of the user's own there
_ROOM = 2 << 30  # bytes


FROM_OUTSIDE = ("HEARABOUTS__PRIVACY__RHO_PER_NIGHT", "MLFLOW_TRACKING_URI")
"""What a test must not find in the environment: of the developer, or as MLflow sets it when it is told a store."""


def _forget_settings() -> None:
    for name in FROM_OUTSIDE:
        os.environ.pop(name, None)


_forget_settings()


@pytest.fixture(autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Leave none behind, that fixtures of the next module might find."""
    yield
    _forget_settings()


@pytest.fixture(autouse=True)
def _no_log_from_before() -> Iterator[None]:
    """The command line sends log lines to the standard error of its test, which the next test closes."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings()


@pytest.fixture(scope="session")
def world_atlas(settings: Settings) -> Atlas:
    """The real atlas with its defaults: some seconds, once a session."""
    return load_atlas(settings.atlas)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace").prepare()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server, for the session."""
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a consent log can be, empty: a SQLite file, and a PostgreSQL database."""
    if request.param == "sqlite":
        return tmp_path / "consents.db"
    return str(request.getfixturevalue("postgresql").new_database())


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return lambda: NOW


@pytest.fixture(scope="session")
def mlruns_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables and nothing in them: a fresh one takes seconds, a copy none."""
    from pipelines.mlflow import tracking  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("mlruns-template")
    tracking.client(folder)
    return folder


@pytest.fixture
def mlruns(tmp_path: Path, mlruns_template: Path) -> Path:
    """An MLflow store of the test's own."""
    return Path(shutil.copytree(mlruns_template, tmp_path / "mlruns"))


@pytest.fixture
def hearabouts(
    tmp_path: Path, mlruns: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> "Run":
    """The command line, in a folder of the test's own."""
    from support.commands import runner  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capfd)


def pytest_configure() -> None:
    """Let the worlds of tests lie in memory where there is room: thousands of small files, each brought to the disk.

    A run has some 100 MB of them at a time.
    """
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are cores, since tests wait for browsers, servers and disks; at most 8."""
    return min(2 * (os.cpu_count() or 1), 8)


def pytest_collection_finish() -> None:
    """Look no more at what libraries and thousands of collected tests hold, each time that Python looks for garbage."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow ones: a worker that begins one last is waited for by all others."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the time by folder, and the score of the privacy mutations (tests/support/mutations.py) where tried."""
    print_time_by_folder(terminalreporter)
    tried = [
        report.outcome
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if "test_the_fault_is_noticed" in report.nodeid
    ]
    if tried:
        noticed = tried.count("passed")
        terminalreporter.write_line(
            f"privacy mutations: {noticed} of {len(tried)} noticed ({noticed / len(tried):.0%})"
        )
