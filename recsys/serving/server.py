"""Runs the endpoint, with logs that hold neither a query nor an address."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from datetime import UTC, datetime
from typing import Any

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from starlette.types import ASGIApp

from recsys.errors import NotReadyError, SettingsError
from recsys.serving.app import create_app
from recsys.serving.middleware.access_log import JsonFormatter
from recsys.serving.state.export import ListenerRecords
from recsys.settings import ServingSettings, Settings, is_loopback
from recsys.workspace import Workspace

_BACKLOG = 1_024  # connections that wait for being accepted
_GRACE = 10  # seconds for requests under way, once told to stop
_OWN = 160  # files beside connections: snapshots, and the pool of the consent log with three files a connection
_FEWEST = 16


def serve(
    workspace: Workspace,
    *,
    settings: Settings,
    records: ListenerRecords | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> dict[str, Any]:
    """Serve a workspace until told to stop; requests under way are finished first.

    Parameters
    ----------
    workspace : Workspace
    settings : Settings
    records : ListenerRecords, optional
        Reads what the private store holds about a listener.
    host : str
        Without a key set (``serving.jwks``) a loopback address.
    port : int
        0 for a free one; the log says which.

    Returns
    -------
    dict
        The summary that the command line prints, once it was told to stop.

    Raises
    ------
    SettingsError
        If anybody else could reach an endpoint that believes the development key, or the key set cannot be used.
    NotReadyError
        If the address is taken.
    """
    _log_as_json()
    _check_reach(host, settings)
    address, port = _free_address(host, port)
    app = create_app(workspace, settings=settings, clock=lambda: datetime.now(UTC), records=records)
    _collect_seldom()
    uvloop.run(_run(app, address=address, port=port, settings=settings.serving))
    return {"status": "stopped", "address": address, "port": port}


async def _run(app: ASGIApp, *, address: str, port: int, settings: ServingSettings) -> None:
    """Serve until the first signal, and then as long as requests are under way, or some seconds."""
    server, stopped = _server(app, address=address, port=port, settings=settings), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    serving = asyncio.create_task(server.serve())
    serving.add_done_callback(lambda _: stopped.set())
    await _answers(address, port, unless=stopped)
    _log.info("serving at http://%s:%d", f"[{address}]" if ":" in address else address, port)
    await stopped.wait()
    server.stop()
    await asyncio.wait([serving], timeout=_GRACE)
    if serving.done():
        await serving  # which raises what ended it


def _server(app: ASGIApp, *, address: str, port: int, settings: ServingSettings) -> Server:
    return Server(
        app,
        address=address,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,  # telling HTTP/2 apart would wait for ever for who sends nothing
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_connections(settings),
        http1_settings=HTTP1Settings(header_read_timeout=settings.head_seconds * 1000),
        log_level=LogLevels.error,
        log_dictconfig={"handlers": {}, "loggers": {"_granian": {"propagate": True}}},
    )


def _connections(settings: ServingSettings) -> int:
    """Return how many connections are accepted at once: as many as there may be files for."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = settings.connections if files == resource.RLIM_INFINITY else files - _OWN
    return min(settings.connections, max(allowed, _FEWEST))


async def _answers(address: str, port: int, *, unless: asyncio.Event) -> None:
    """Wait until connections are accepted."""
    while not unless.is_set():
        try:
            _, writer = await asyncio.open_connection(address, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


def _collect_seldom() -> None:
    """Let the collector of cycles leave alone what lives as long as the process, and look less often for what dies.

    Hardly anything of a request is in a cycle, and a full collection walks through every place of a snapshot.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 10)


def _check_reach(host: str, settings: Settings) -> None:
    """Keep the development key, which whoever can read the workspace has, to this machine."""
    if settings.serving.jwks:
        return
    if not is_loopback(host):
        raise SettingsError(
            f"without a key set the endpoint is for this machine alone, and {host} is not",
            hint="Name a JWKS in serving.jwks (a file or an https:// address), or serve on 127.0.0.1.",
        )
    _log.warning("no key set is configured (serving.jwks): only the development key is accepted, on this machine alone")


def _free_address(host: str, port: int) -> tuple[str, int]:
    """Return the address and the port to listen on, both as numbers.

    Refuse those that are taken: the server would share them, as it does between workers of one program.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            found: tuple[str, int] = probe.getsockname()[:2]
            return found
    except OSError as error:
        raise NotReadyError(
            f"{host}:{port} cannot be listened on ({error.strerror})", hint="Choose another --port or --host."
        ) from None


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _log.setLevel(logging.INFO)


_log = logging.getLogger("hearabouts")
