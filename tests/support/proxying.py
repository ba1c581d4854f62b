"""A real nginx with the configuration of examples/, changed where it names a machine."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.ports import free_port

from recsys.workspace import Workspace

CONFIGURATION = Path(__file__).parents[2] / "examples" / "nginx.conf"


def program() -> str:
    """Return where nginx is, or skip the test: Debian keeps it out of the path of plain users."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("there is no nginx on this machine")
    return found


@contextmanager
def nginx(workspace: Workspace, *, endpoint: str, folder: Path) -> Iterator[str]:
    """Serve a workspace's public files, and pass on to the endpoint (host:port) what is not; yield the address."""
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(configured(workspace, endpoint=endpoint, port=port, folder=folder))
    command = [program(), "-e", folder / "nginx.log", "-c", file, "-g", "daemon off;"]
    log = (folder / "nginx.log").open("ab")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_for(port, process, folder / "nginx.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def configured(workspace: Workspace, *, endpoint: str, port: int, folder: Path) -> str:
    """Return the example for this workspace, these ports and a user who may write only here."""
    temporary = " ".join(
        f"{kind}_temp_path {folder}/temp-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    text = CONFIGURATION.read_text()
    for before, after in (
        (r"worker_processes auto;", f"worker_processes 1; {user}"),
        (r"pid \S+;", f"pid {folder}/nginx.pid;"),
        (r"error_log stderr emerg;", f"error_log {folder}/nginx.log emerg;"),
        (r"access_log off;", f"access_log off; {temporary}"),
        (r"open_file_cache_valid 5s;", "open_file_cache_valid 1s;"),
        (r"server 127\.0\.0\.1:8000;", f"server {endpoint};"),
        (r"listen 80;", f"listen 127.0.0.1:{port};"),
        (r"root \S+;", f"root {workspace.public};"),
    ):
        text, changed = re.subn(before, lambda _, after=after: after, text)
        assert changed == 1, before
    return text


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1_000):
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError(log.read_text())
