"""The page of the runs: MLflow's own server on a store of ours, on the leaderboard; another server's is named."""

import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from rich.text import Text

from pipelines.base.terminal import print_line
from pipelines.mlflow import tracking
from recsys.errors import NotReadyError, UnknownRunError

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # of language models' judges: more processes than all the rest
}
"""What a server of MLflow is told that only shows runs."""

_WORKERS = "1"  # it is one person's
_PATIENCE = 120  # seconds in which MLflow starts


def show(store: tracking.Store, *, experiments: Sequence[str], host: str, port: int) -> dict[str, Any]:
    """Serve MLflow's page until told to stop, and say where the leaderboard is; of a server, only say it.

    Parameters
    ----------
    store : Store
    experiments : sequence of str
        The first that has runs is the one to open.
    host, port
        Where to listen.

    Raises
    ------
    UnknownRunError
        If there are no runs.
    NotReadyError
        If the store cannot be used, or the page not be served there.
    """
    shown = tracking.page_to_show(store, experiments) if tracking.is_there(store) else None
    if shown is None:
        raise UnknownRunError(
            f"there are no runs in {store}", hint="Run `hearabouts nightly` or `hearabouts evaluate` first."
        )
    database = tracking.database_of(store)
    if database is None:
        address = f"{str(store).rstrip('/')}/{shown}"
        _open(address)
        return {"status": "done", "page": address}
    server = f"http://{f'[{host}]' if _is_ipv6(host) else host}:{port}"
    _check_free(host, port, server)
    address = f"{server}/{shown}"
    with _served(database, host=host, port=port) as running:
        _wait(running, server)
        _open(address)
        running.wait()
    return {"status": "stopped", "page": address}


@contextmanager
def _served(database: Path, *, host: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run MLflow's server, which is many processes, until one of them ends or we are told to stop."""
    where = ["--backend-store-uri", f"sqlite:///{database.resolve()}", "--host", host, "--port", str(port)]
    artifacts = ["--artifacts-destination", str(database.resolve().parent / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", *where, *artifacts, "--workers", _WORKERS]
    environment = {**os.environ, **ENVIRONMENT}
    with subprocess.Popen(command, stdout=sys.stderr, start_new_session=True, env=environment) as running:  # noqa: S603
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with suppress(KeyboardInterrupt):
                yield running
        finally:
            signal.signal(signal.SIGTERM, before)
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)


def _is_ipv6(host: str) -> bool:
    return ":" in host


def _check_free(host: str, port: int, server: str) -> None:
    """Refuse an address that is taken: what answers there would be taken for ours."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if _is_ipv6(host) else socket.AF_INET).close()
    except OSError as error:
        raise NotReadyError(
            f"MLflow's page cannot be served at {server}: {error.strerror}", hint="--port names another port."
        ) from None


def _wait(running: "subprocess.Popen[bytes]", server: str) -> None:
    for _ in range(10 * _PATIENCE):
        if running.poll() is not None:
            break
        if _answers(server):
            return
        time.sleep(0.1)
    raise NotReadyError(
        f"MLflow's page cannot be served at {server}", hint="What MLflow says is above; --port names another port."
    )


def _answers(server: str) -> bool:
    """Tell whether a server is there, which one is that answers an error; a proxy is not asked for our own."""
    try:
        build_opener(ProxyHandler({})).open(f"{server}/health", timeout=5).close()
    except HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


def _open(address: str) -> None:
    """Say where the page is, and open it for a person with windows: one of the terminal would take that over."""
    print_line(Text(f"The runs: {address}"))
    if sys.stdout.isatty():
        with suppress(webbrowser.Error):
            browser = webbrowser.get()
            if type(browser) is not webbrowser.GenericBrowser:
                browser.open(address)
