"""Engines that nights are counted on, and servers for them, started by the tests."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import psutil
import pytest

from pipelines.night.engines.engine import Coarse, Engine
from pipelines.night.engines.opening import opened
from recsys.arrivals.listens import Part
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
def spark(folder: Path) -> Iterator[str]:
    """Yield the address of a Spark Connect server on a cluster of a master and two workers, processes of this machine.

    ``SPARK_HOME`` names Spark, as ``site-packages/pyspark`` of another environment: the client's package has none.
    """
    need("pyspark")
    home, java = Path(os.environ.get("SPARK_HOME", "nowhere")), shutil.which("java")
    submit = home / "bin" / "spark-submit"
    if not submit.exists() or java is None:
        pytest.skip("SPARK_HOME names no Spark" if java else "there is no Java")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(folder / "work"),
        "TMPDIR": str(folder),
    }
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.local.dir": folder,
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": 4,
    }
    command = [submit, "--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    command += ["--master", "local-cluster[2,1,1024]", "--driver-memory", "1g", "--executor-memory", "1g"]
    command += [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    with (
        (folder / "spark.log").open("w") as log,
        subprocess.Popen(
            [*map(str, command), "spark-internal"], cwd=folder, env=environment, stdout=log, stderr=log
        ) as server,
    ):
        family = psutil.Process(server.pid)
        try:
            wait_for(port, server, log=folder / "spark.log")
            yield f"sc://127.0.0.1:{port}"
        finally:
            for process in [*family.children(recursive=True), family]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def wait_for(port: int, server: subprocess.Popen[bytes], *, log: Path) -> None:
    for _ in range(600):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert server.poll() is None, log.read_text()[-4_000:]
        time.sleep(0.5)
    raise TimeoutError(log.read_text()[-4_000:])


def on(remote: str) -> Engine:
    """Return the engine at an address; this machine where there is none."""
    settings = load_settings(overrides={"spark": {"remote": remote}})
    return opened("spark" if remote else "polars", settings=settings)


def end_it_all(_: object) -> None:
    """Kill the process that this is called in, as a machine that goes down does."""
    os.kill(os.getpid(), signal.SIGKILL)


def end_once(parts: Sequence[Part], *, mark: Path, coarse: Coarse) -> pl.LazyFrame:
    """Kill the worker of a cluster that this is called in, Python's and Java's process, unless it was done before."""
    if not mark.exists():
        mark.touch()
        for process in psutil.Process().parents():
            if process.name() == "java":
                process.kill()
                break
        end_it_all(parts)
    return coarse(parts)
