"""A real server on a free port: everything it writes is searched for what must not be there."""

import asyncio
import base64
import contextlib
import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import h3
import httpx
import psutil
import pytest
from starlette.types import Receive, Scope, Send
from support.databases import cluster
from support.edge import LISBON, NOW, PORTO, Client, bearer, decide, publish
from support.serving import Server

from recsys.consents.log import State
from recsys.errors import NotReadyError
from recsys.serving import server as serving
from recsys.serving.middleware.timeouts import ClientNotReadingError, Timeouts
from recsys.serving.requests.metrics import Metrics
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace, listener_of

LATITUDE, LONGITUDE = "38.716671", "-9.133331"


@pytest.fixture
def server(workspace: Workspace) -> Iterator[Server]:
    publish(workspace, as_of="2026-10-01")
    server = Server(workspace, address_requests=10**9)  # a fast machine asks for more charts than one address may
    yield server
    server.stop(signal.SIGKILL)


def raw(server: Server, request: str) -> bytes:
    """Send bytes that no well-behaved client would send."""
    port = int(server.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_nothing_of_a_request_is_written(server: Server, settings: Settings) -> None:
    now = datetime.now(UTC)  # the server's own clock is the real one
    decide(server.workspace, "canary-ana", State.GIVEN, at=datetime(2026, 1, 1, tzinfo=UTC))
    ana = bearer("canary-ana", workspace=server.workspace, settings=settings, now=now)
    ben = bearer("canary-ben", workspace=server.workspace, settings=settings, now=now)
    fine = h3.cell_to_center_child(PORTO, 9)
    bodies = []
    with httpx.Client(base_url=server.url) as client:
        near = client.get("/v1/me/trending", params={"cell": PORTO}, headers=ana)
        assert (near.status_code, near.json()["scope"]) == (200, "country")
        far = client.get("/v1/me/trending", params={"cell": PORTO}, headers=ben)
        assert (far.status_code, far.json()["scope"]) == (200, "world")
        assert near.headers["server"] == "granian"  # and no version
        bodies.append(far.content)
        for url, headers, status in [
            (f"/v1/me/trending?cell={fine}", ana, 400),
            (f"/v1/me/trending?lat={LATITUDE}&lng={LONGITUDE}", ana, 400),
            (f"/v1/regions?q={LATITUDE},{LONGITUDE}", {}, 400),
            (f"/v1/{LATITUDE}/{LONGITUDE}", {}, 400),
            ("/v1/regions", {"X-Position": f"{LATITUDE},{LONGITUDE}"}, 400),
            (f"/v1/me/trending?cell={PORTO}", {"Authorization": ana["Authorization"] + "canary"}, 401),
            (f"/v1/canary?cell={PORTO}", {}, 404),
        ]:
            answer = client.get(url, headers=headers)
            assert answer.status_code == status
            bodies.append(answer.content)
    upgrade = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n"
    upgrade += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n"
    for request in (
        f"GET /v1/me/trending?cell={PORTO} HTTP/1.1\nHost: x\n{upgrade}\n",
        f"GET /canary?lat={LATITUDE} HTTP/1.1\nHost: x\nHost: y\nContent-Length: canary\n\n",
        f"CANARY{LATITUDE} /{PORTO} HTTP/1.1\nHost: x\n\n",
        f"POST /v1/regions HTTP/1.1\nHost: x\nContent-Length: 100\n\n{{'latitude': {LATITUDE}",
        f"\0{LATITUDE}\n\n",
    ):
        bodies.append(raw(server, request))
    written = server.stop().encode()

    assert server.process.returncode == 0
    lines = [json.loads(line) for line in written.splitlines()]  # every line is JSON
    assert sum(line["event"] == "request" for line in lines) >= 10
    listeners = [listener_of(who, key=server.workspace.listener_key()) for who in ("canary-ana", "canary-ben")]
    token = ana["Authorization"].split(".")
    secrets = ["canary", "127.0.0.1", PORTO, fine, LATITUDE, LONGITUDE.lstrip("-"), *listeners, *token[1:]]
    secrets += [base64.b64encode(b"canary-ana").decode()]
    for secret in secrets:
        assert secret.lower() not in (written + b"".join(bodies)).decode().lower().replace(server.url, "")


def test_snapshots_are_swapped_without_a_failed_request(server: Server, workspace: Workspace) -> None:
    nights = [f"2026-10-{day:02d}" for day in range(2, 10)]

    async def ask(client: httpx.AsyncClient, stop: asyncio.Event) -> list[httpx.Response]:
        answers = []
        while not stop.is_set():
            answers.append(await client.get(f"/v1/regions/{LISBON}/charts/popular"))
        return answers

    async def run() -> list[httpx.Response]:
        stop = asyncio.Event()
        async with httpx.AsyncClient(base_url=server.url) as client:
            asking = [asyncio.create_task(ask(client, stop)) for _ in range(4)]
            for night in nights:
                await asyncio.to_thread(publish, workspace, as_of=night)
                await asyncio.sleep(0.05)
            last = await client.get("/readyz")
            stop.set()
            return [*chain.from_iterable(await asyncio.gather(*asking)), last]

    *answers, last = asyncio.run(run())
    assert {answer.status_code for answer in answers} == {200}
    assert last.json()["as_of"] == nights[-1]
    seen = [answer.json()["as_of"] for answer in answers]
    assert len(set(seen)) > 3
    assert set(seen) <= {"2026-10-01", *nights}


def connected(server: Server, *, sends: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10)
    connection.sendall(sends)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server has closed a connection on which it has nothing to say."""
    with connection, contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def dropped(server: Server) -> dict[str, float]:
    found = re.findall(
        r'^hearabouts_connections_dropped_total{reason="(\w+)"} (.+)$', httpx.get(f"{server.url}/metrics").text, re.M
    )
    return {reason: float(count) for reason, count in found if float(count)}


def test_connections_that_are_held_open_are_closed_and_no_more_are_accepted_than_there_may_be(
    workspace: Workspace,
) -> None:
    publish(workspace)
    server = Server(workspace, connections=20, head_seconds=2)
    try:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        held = [connected(server, sends=b"GET / HTTP/1.1\r\nHos") for _ in range(60)]
        started = time.monotonic()
        most = 0
        while time.monotonic() < started + 1:
            most = max(most, len(psutil.Process(server.process.pid).net_connections()))
        assert most <= 21  # and the one that listens
        assert (
            httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
        )  # when those before have had their time
        slow = connected(server, sends=b"GET / HTTP/1.1\r\n")
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() < begun + 6:
                slow.sendall(b"X")  # each byte in time, and the whole never
                time.sleep(0.2)
        assert time.monotonic() < begun + 6
        assert is_closed(slow)
        assert all(map(is_closed, held))
    finally:
        server.stop(signal.SIGKILL)


def test_a_body_that_does_not_come_is_not_waited_for(workspace: Workspace, settings: Settings) -> None:
    publish(workspace)
    server = Server(workspace, body_seconds=1)
    try:
        token = bearer("ana", workspace=workspace, settings=settings, now=datetime.now(UTC))["Authorization"]
        head = f"PUT /v1/me/consents/local_trends HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
        body = connected(server, sends=f"{head}Content-Length: 90\r\n\r\n{{".encode())
        answer = b"".join(iter(lambda: body.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"the body did not arrive" in answer
        body.close()
        assert dropped(server) == {"body": 1}
        assert "failure" not in server.written()
    finally:
        server.stop(signal.SIGKILL)


def test_an_answer_that_nobody_reads_is_not_kept() -> None:
    """With the server as the product runs it, and an answer larger than what the system keeps for a client."""
    settings, metrics = load_settings(overrides={"serving": {"write_seconds": 1}}).serving, Metrics()
    given_up = asyncio.Event()

    async def huge(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99999999")]})
        try:
            await send({"type": "http.response.body", "body": b"x" * 99_999_999})
        except ClientNotReadingError:
            given_up.set()

    async def run() -> int:
        address, port = serving._free_address("127.0.0.1", 0)
        app = Timeouts(huge, settings=settings, metrics=metrics)
        server = serving._server(app, address=address, port=port, settings=settings)
        task = asyncio.create_task(server.serve())
        await serving._answers(address, port, unless=given_up)
        reader, writer = await asyncio.open_connection(address, port, limit=2**12)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(given_up.wait(), 30)
        read = len(await reader.read())  # what had been on its way, and then the end
        writer.close()
        server.stop()
        await task
        return read

    assert asyncio.run(run()) < 99_999_999
    assert 'hearabouts_connections_dropped_total{reason="write"} 1.0' in metrics.text(as_of=None, now=NOW).decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_finished_before_the_end(
    workspace: Workspace, settings: Settings, number: signal.Signals
) -> None:
    publish(workspace)
    server = Server(workspace)
    try:
        token = bearer("ana", workspace=workspace, settings=settings, now=datetime.now(UTC))["Authorization"]
        head = f"PUT /v1/me/consents/local_trends HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
        under_way = connected(server, sends=f"{head}Content-Length: 22\r\n\r\n".encode() + b'{"state": ')
        assert httpx.get(f"{server.url}/healthz").status_code == 200  # so that the other has begun, too
        server.process.send_signal(number)
        time.sleep(0.3)
        under_way.sendall(b'"withdrawn"}'[:12])
        assert under_way.recv(65536).startswith(b"HTTP/1.1 200 ")
        under_way.close()
        assert server.process.wait(timeout=15) == 0
    finally:
        server.stop(signal.SIGKILL)


def test_a_port_that_is_taken_is_refused_in_words(server: Server, tmp_path: Path) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(NotReadyError, match=f"127.0.0.1:{port} cannot be listened on"):
        serving._free_address("127.0.0.1", port)


def test_a_server_whose_database_is_away_says_so(workspace: Workspace) -> None:
    publish(workspace, size=1)
    with cluster() as running:
        settings = load_settings(overrides={"consents": {"url": running.new_database()}})
        client = Client(workspace, settings=settings)
        assert client.get("/readyz").status_code == 200
    away = client.get("/readyz")
    assert (away.status_code, "consent log" in away.json()["hint"]) == (503, True)


def test_a_server_without_a_snapshot_is_alive_but_not_ready(tmp_path: Path) -> None:
    server = Server(Workspace(tmp_path / "new"))
    try:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        publish(server.workspace, size=1)
        assert httpx.get(f"{server.url}/readyz").status_code == 200
    finally:
        server.stop(signal.SIGKILL)
