"""Runs the endpoint, with logs that hold neither a query nor an address."""

import gc
import ipaddress
import logging
import socket
import sys
from datetime import UTC, datetime
from typing import Any

import uvicorn

from recsys.errors import NotReadyError, SettingsError
from recsys.serving.app import create_app
from recsys.serving.express import ExpressProtocol
from recsys.serving.middleware.access_log import JsonFormatter
from recsys.serving.state.export import ListenerRecords
from recsys.settings import Settings
from recsys.workspace import Workspace


def serve(
    workspace: Workspace,
    *,
    settings: Settings,
    held: ListenerRecords | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> None:
    """Serve a workspace until told to stop; requests under way are finished first.

    Parameters
    ----------
    workspace : Workspace
    settings : Settings
    held : ListenerRecords, optional
        Reads what the private store holds about a listener.
    host : str
        Without a key set (``serving.jwks``) a loopback address.
    port : int
        0 for a free one; the log says which.

    Raises
    ------
    SettingsError
        If anybody else could reach an endpoint that believes the development key, or the key set cannot be used.
    NotReadyError
        If the address is taken.
    """
    _log_as_json()
    _check_reach(host, settings)
    _check_free(host, port)
    app = create_app(workspace, settings=settings, clock=lambda: datetime.now(UTC), held=held)
    _collect_seldom()
    uvicorn.run(app, host=host, port=port, **_QUIET)


def _collect_seldom() -> None:
    """Let the collector of cycles leave alone what lives as long as the process, and look less often for what dies.

    Hardly anything of a request is in a cycle, and a full collection walks through every place of a snapshot.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 10)


_QUIET: dict[str, Any] = {
    "log_config": None,
    "access_log": False,  # it would hold the query, and so the cell
    "ws": "none",  # the refusal of a WebSocket is logged with its query
    "proxy_headers": False,  # serving.proxies says whose are believed
    "server_header": False,
    "http": ExpressProtocol,
    "lifespan": "off",
    "timeout_graceful_shutdown": 10,
}


def _check_reach(host: str, settings: Settings) -> None:
    """Keep the development key, which whoever can read the workspace has, to this machine."""
    if settings.serving.jwks:
        return
    if not _is_loopback(host):
        raise SettingsError(
            f"without a key set the endpoint is for this machine alone, and {host} is not",
            hint="Name a JWKS in serving.jwks (a file or an https:// address), or serve on 127.0.0.1.",
        )
    logging.getLogger("uvicorn").warning(
        "no key set is configured (serving.jwks): only the development key is accepted, on this machine alone"
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_free(host: str, port: int) -> None:
    """Refuse an address in words, before uvicorn would with a code of its own."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise NotReadyError(
                f"{host}:{port} cannot be listened on ({error.strerror})", hint="Choose another --port or --host."
            ) from None


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn").setLevel(logging.INFO)
