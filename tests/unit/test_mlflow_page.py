"""The page of the runs: where its server is looked for, and what it is called; MLflow's server itself is replaced."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.mlflow import page, tracking
from recsys.errors import NotReadyError

IPV4, IPV6 = "127.0.0.1", "::1"


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if host == IPV6 else socket.AF_INET


def free_port(host: str) -> int:
    try:
        with socket.create_server((host, 0), family=family(host)) as free:
            return int(free.getsockname()[1])
    except OSError:
        pytest.skip(f"this machine has no {host}")


def answering(status: int) -> Any:
    """Return what stands for MLflow's server while it runs: it answers every question with a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    @contextmanager
    def served(_: Path, *, host: str, port: int) -> Iterator[SimpleNamespace]:
        with type("Server", (HTTPServer,), {"address_family": family(host)})((host, port), Handler) as server:
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield SimpleNamespace(poll=lambda: None, wait=lambda: 0)
            finally:
                server.shutdown()
                thread.join()

    return served


@pytest.fixture
def shown(mlruns: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The experiment that the page opens on; a server that is not found is waited for a moment."""
    store = tracking.client(mlruns)
    experiment = store.create_experiment("evaluate")
    store.create_run(experiment)
    monkeypatch.setattr(page, "_PATIENCE", 1)
    return str(experiment)


@pytest.mark.parametrize(("host", "named"), [(IPV4, IPV4), (IPV6, f"[{IPV6}]")])
@pytest.mark.parametrize("status", [200, 403, 500])
def test_a_server_is_there_once_it_answers(
    mlruns: Path, shown: str, monkeypatch: pytest.MonkeyPatch, host: str, named: str, status: int
) -> None:
    """Also an error, on an address of either kind, and where a proxy is set, which is not there."""
    port = free_port(host)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://{IPV4}:{free_port(IPV4)}")
    monkeypatch.setattr(page, "_served", answering(status))
    told = page.show(mlruns, experiments=["evaluate"], host=host, port=port)
    where = f"http://{named}:{port}/#/experiments/{shown}/runs?viewStateShareKey=leaderboard&"
    assert told == {"status": "stopped", "page": f"{where}workflowType=machine_learning"}


@pytest.mark.parametrize(("host", "named"), [(IPV4, IPV4), (IPV6, f"[{IPV6}]")])
@pytest.mark.usefixtures("shown")
def test_an_address_that_is_taken_is_refused(mlruns: Path, host: str, named: str) -> None:
    port = free_port(host)
    with (
        socket.create_server((host, port), family=family(host)),
        pytest.raises(NotReadyError, match="Address already in use") as refused,
    ):
        page.show(mlruns, experiments=["evaluate"], host=host, port=port)
    assert f"http://{named}:{port}:" in refused.value.message
