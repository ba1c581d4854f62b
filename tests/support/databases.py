"""A PostgreSQL cluster of the tests' own: started in a temporary folder, on a socket in it, and gone with it."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

try:
    import psycopg
except ImportError:  # an optional dependency: its tests are skipped
    psycopg = None


def programs() -> Path:
    """Where ``initdb`` and ``postgres`` are; skips the test where they, or the driver, are missing."""
    if psycopg is None:
        pytest.skip("psycopg is not installed: pip install 'hearabouts[postgres]'")
    found = shutil.which("postgres")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # where Debian puts them
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("PostgreSQL is not installed: no initdb and postgres on the path or in /usr/lib/postgresql")


class Cluster:
    """A running server; every database is fresh."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._url(name)

    def ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it answers."""
        for _ in range(600):
            assert process.poll() is None, "PostgreSQL did not start"
            try:
                psycopg.connect(self._url("postgres")).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError("PostgreSQL did not answer within 30 seconds")

    def _url(self, name: str) -> str:
        return f"postgresql://tester:canary-password@/{name}?host={self._folder}"


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster, and stop it again; as root it runs as another user, because PostgreSQL refuses to be root."""
    programs_ = programs()
    folder = Path(tempfile.mkdtemp(prefix="hearabouts-pg-"))
    user = _user()
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    options = ["--username=tester", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    started = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        subprocess.run([programs_ / "initdb", f"--pgdata={data}", *options], check=True, **started)
        settings = ["listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "max_connections=300"]
        server = [programs_ / "postgres", "-D", data, *(word for each in settings for word in ("-c", each))]
        process = subprocess.Popen(server, **started)
        try:
            running = Cluster(folder)
            running.ready(process)
            yield running
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing of it is to be kept
            process.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    return None if os.geteuid() else ("postgres" if _exists("postgres") else "nobody")


def _exists(user: str) -> bool:
    return any(entry.pw_name == user for entry in pwd.getpwall())
