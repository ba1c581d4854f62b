"""Engines that nights are counted on, and servers for them, started by the tests."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipelines.night.engines.engine import Engine
from pipelines.night.engines.opening import opened
from recsys.settings import load_settings

ROOT = Path(__file__).parents[2]

_SAIL = """
import sys
from pysail.spark import SparkConnectServer
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
print("listening on", server.listening_address[1], flush=True)
sys.stdin.read()
server.stop()
"""


def need(*modules: str) -> None:
    """Skip a test where a module is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")


@contextmanager
def sail(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the address of a Sail server in a process of its own, which works and logs in a folder; and the process."""
    need("pysail", "pyspark")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TMPDIR": str(folder), "RUST_LOG": "info"}
    with (
        (folder / "sail.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", _SAIL],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as server,
    ):
        try:
            port = re.search(r"listening on (\d+)", server.stdout.readline())
            assert port, (folder / "sail.log").read_text()
            yield f"sc://127.0.0.1:{port[1]}", server
        finally:
            server.kill()


@contextmanager
def on(remote: str) -> Iterator[Engine]:
    """Yield the engine at an address; this machine where there is none."""
    settings = load_settings(overrides={"spark": {"remote": remote}}).spark
    with opened("spark" if remote else "polars", settings=settings) as engine:
        yield engine


def end_it_all(_: object) -> None:
    """Kill the process that this is called in, as a machine that goes down does."""
    os.kill(os.getpid(), signal.SIGKILL)
