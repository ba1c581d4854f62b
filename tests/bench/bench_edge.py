"""The endpoint, measured beside what an app team would build: requests a second by wrk on loopback, one worker each.

Run it with ``python tests/bench/bench_edge.py [SECONDS]`` (by default 8 a measurement). In one run, on one machine, by
turns and three times each: nginx with the same bytes as a file, Starlette that answers them as a constant, FastAPI that
fetches them from Redis, FastAPI that checks an HS256 token and answers a constant, and the product, with all that it
does for a request. A peer whose program is missing is skipped with a reason. Then p50 and p99 over 1,000 connections,
each one's first request included; start to ready, and memory, with a snapshot of 2,000 regions.
"""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
from support.edge import bearer, decide
from support.ports import free_port, wait_for
from support.sealing import sealed_in
from support.serving import Server, publish_many

from recsys.artifacts.affinities import Affinities, default_orders, write
from recsys.consents.log import Purpose, State
from recsys.settings import load_settings
from recsys.workspace import Workspace, listener_of

CONNECTIONS, CROWD, ROUNDS = 32, 1_000, 3
LIMIT = 12  # items: about 3.6 kB

FAST_REDIS = """
import asyncio, os
from fastapi import FastAPI
from fastapi.responses import Response
app, pool = FastAPI(), asyncio.Queue()

async def fetch(key):
    if pool.qsize():
        reader, writer = await pool.get()
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["REDIS"]))
    writer.write(b"*2\\r\\n$3\\r\\nGET\\r\\n$%d\\r\\n%s\\r\\n" % (len(key), key))
    length = int((await reader.readline())[1:])
    body = (await reader.readexactly(length + 2))[:-2]
    pool.put_nowait((reader, writer))
    return body

@app.get("/v1/regions/{id}/charts/{chart}")
async def chart(id: str, chart: str, limit: int = 50):
    return Response(await fetch(f"{id}/{chart}/{limit}".encode()), media_type="application/json")
"""

FAST_TOKEN = """
import os
from typing import Annotated
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.responses import Response
from joserfc import jwt
from joserfc.jwk import OctKey
app, key = FastAPI(), OctKey.import_key(bytes.fromhex(os.environ["KEY"]))
body = open(os.environ["BODY"], "rb").read()
rules = dict(iss={"essential": True, "value": "hearabouts"}, aud={"essential": True, "value": "hearabouts"})

async def signed_in(token: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]):
    try:
        claims = jwt.decode(token.credentials, key, algorithms=["HS256"]).claims
        jwt.JWTClaimsRegistry(**rules, sub={"essential": True}, exp={"essential": True}).validate(claims)
    except Exception:
        raise HTTPException(401)
    return claims["sub"]

@app.get("/v1/me/trending")
async def trending(user: Annotated[str, Depends(signed_in)], cell: str | None = None, limit: int = 50):
    return Response(body, media_type="application/json")
"""

BARE = """
import os
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
body = open(os.environ["BODY"], "rb").read()

async def chart(request):
    return Response(body, media_type="application/json")

app = Starlette(routes=[Route("/v1/regions/{id}/charts/{chart}", chart)])
"""

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; default_type application/json; keepalive_requests 100000000;
  open_file_cache max=100;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""


@dataclass(frozen=True)
class Measured:
    """What wrk saw."""

    per_second: float
    p50: float
    p99: float


def main(seconds: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a file for each connection of the crowd
    missing = [program for program in ("wrk", "nginx", "redis-server") if shutil.which(program) is None]
    for program in missing:
        print(f"skipped what needs {program}: the program is missing")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workspace = Workspace(folder / "workspace").prepare()
        publish_many(workspace, regions=2_000)
        server = stack.enter_context(started(workspace))
        place = "world"
        chart = f"/v1/regions/{place}/charts/popular?limit={LIMIT}"
        body = urllib.request.urlopen(server.url + chart).read()
        (folder / "body").write_bytes(body)
        print(f"a chart of {len(body):,} bytes")
        if "wrk" not in missing:
            compare(stack, folder, server, body=body, chart=chart, seconds=seconds, missing=missing)


def compare(
    stack: ExitStack, folder: Path, server: Server, *, body: bytes, chart: str, seconds: int, missing: list[str]
) -> None:
    settings, path = load_settings(), f"/v1/me/trending?limit={LIMIT}"
    for purpose in (Purpose.LOCAL_TRENDS, Purpose.PERSONALISATION):
        decide(server.workspace, "bench", State.GIVEN, purpose=purpose)
    write(sealed_in(server.workspace.private), tastes_with(listener_of("bench", key=server.workspace.listener_key())))
    token = bearer("bench", workspace=server.workspace, settings=settings, now=datetime.now(UTC))["Authorization"]
    key = server.workspace.token_key().hex()
    runs: dict[str, Callable[[], Measured]] = {"chart": lambda: wrk(server.url + chart, seconds)}
    bare = stack.enter_context(peer(BARE, folder, "bare", BODY=str(folder / "body")))
    runs["Starlette alone"] = lambda: wrk(bare + chart, seconds)
    if "nginx" not in missing:
        static = stack.enter_context(nginx(folder, chart.partition("?")[0], body))
        runs["nginx"] = lambda: wrk(static + chart, seconds)
    if "redis-server" not in missing:
        redis = stack.enter_context(redis_with(f"world/popular/{LIMIT}", body))
        looked_up = stack.enter_context(peer(FAST_REDIS, folder, "looks_up", REDIS=str(redis)))
        runs["FastAPI with Redis"] = lambda: wrk(looked_up + chart, seconds)
    checked = stack.enter_context(peer(FAST_TOKEN, folder, "checks", KEY=key, BODY=str(folder / "body")))
    runs["FastAPI with HS256"] = lambda: wrk(checked + path, seconds, token)
    cell = next(place for place in cells(server))
    asked = urllib.request.Request(f"{server.url}{path}&cell={cell}", headers={"Authorization": token})
    answer = json.loads(urllib.request.urlopen(asked).read())
    assert (answer["location_used"], answer["history_used"], len(answer["items"])) == (True, True, LIMIT)
    runs["trending, near"] = lambda: wrk(f"{server.url}{path}&cell={cell}", seconds, token)
    runs["trending, world"] = lambda: wrk(server.url + path, seconds, token)
    rounds: dict[str, list[Measured]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            rounds[name].append(run())
    rounds |= crowds(server, {"chart, crowd": chart, "trending, crowd": f"{path}&cell={cell}"}, seconds, token)
    found = {name: sorted(some, key=lambda m: m.per_second)[len(some) // 2] for name, some in rounds.items()}
    for name, m in found.items():
        spread = ", ".join(f"{each.per_second:,.0f}" for each in rounds[name])
        print(f"{name:20} {m.per_second:9,.0f}/s  p50 {m.p50:.2f} ms  p99 {m.p99:.2f} ms  ({spread})")
    say_ratios(found)


def crowds(server: Server, paths: dict[str, str], seconds: int, token: str) -> dict[str, list[Measured]]:
    """Measure over many connections, after which what they have left behind has to be answered first."""
    rounds: dict[str, list[Measured]] = {name: [] for name in paths}
    for name, path in list(paths.items()) * ROUNDS:
        rounds[name].append(wrk(server.url + path, seconds, token, connections=CROWD))
        urllib.request.urlopen(f"{server.url}/healthz", timeout=60).close()
    return rounds


def tastes_with(listener: str, *, listeners: int = 20_000, width: int = 300) -> Affinities:
    """Return affinities of many made-up listeners and of this one, over the tracks of the snapshot."""
    rng, tracks = np.random.default_rng(5), tuple(sorted(f"track-{n}" for n in range(2_000)))
    hashes = np.array(sorted([bytes.fromhex(listener), *(rng.bytes(16) for _ in range(listeners))]), dtype="S16")
    columns = np.sort(rng.integers(0, len(tracks), (len(hashes), width), dtype=np.int32), axis=1)
    closeness = rng.gamma(1, 1, columns.shape).astype(np.float16)
    played = rng.random(columns.shape) < 0.1
    return Affinities("2026-10-31", tracks, default_orders(new=1.0), hashes, columns, closeness, played)


def say_ratios(found: dict[str, Measured]) -> None:
    for peer_name, bar in (("nginx", 0.2), ("FastAPI with Redis", 3)):
        if peer_name in found:
            print(f"chart / {peer_name}: {found['chart'].per_second / found[peer_name].per_second:.2f} (bar {bar})")
    alone = found["Starlette alone"].per_second
    print(f"chart / Starlette that answers a constant: {found['chart'].per_second / alone:.2f}")
    for name in ("trending, near", "trending, world"):
        ratio = found[name].per_second / found["FastAPI with HS256"].per_second
        print(f"{name} / FastAPI with HS256: {ratio:.2f} (bar 0.4); p99 / p50 {found[name].p99 / found[name].p50:.1f}")
    for name in ("chart, crowd", "trending, crowd"):
        print(f"{name} of {CROWD:,} connections: p99 / p50 {found[name].p99 / found[name].p50:.1f} (bar 4)")


def wrk(url: str, seconds: int, token: str | None = None, *, connections: int = CONNECTIONS) -> Measured:
    """Measure one address; anything but 200 is an error."""
    headers = ["-H", f"Authorization: {token}"] if token else []
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", *headers, url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in text, text
    times = dict(re.findall(r"(50|99)%\s+([\d.]+(?:us|ms|s))", text))
    return Measured(float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0]), _ms(times["50"]), _ms(times["99"]))


def _ms(text: str) -> float:
    number, unit = re.findall(r"([\d.]+)(us|ms|s)", text)[0]
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


@contextmanager
def started(workspace: Workspace) -> Iterator[Server]:
    """The product, with limits that are counted and never reached; say how long it took and what it weighs."""
    began = time.perf_counter()
    server = Server(workspace, listener_requests=10**9, address_requests=10**9)
    try:
        assert urllib.request.urlopen(f"{server.url}/readyz").status == 200
        print(f"start to ready with 2,000 regions: {time.perf_counter() - began:.2f} s (bar 2)")
        memory = psutil.Process(server.process.pid).memory_info
        print(f"memory when ready: {memory().rss / 1e6:.0f} MB (bar 300)")
        yield server
        print(f"memory after all requests: {memory().rss / 1e6:.0f} MB (bar 300)")
    finally:
        server.stop(signal.SIGKILL)


def cells(server: Server) -> Iterator[str]:
    with urllib.request.urlopen(f"{server.url}/v1/regions?limit=9") as answer:
        found = re.findall(r'"id":"([0-9a-f]{15})"', answer.read().decode())
    yield from found


@contextmanager
def nginx(folder: Path, path: str, body: bytes) -> Iterator[str]:
    file = folder / "www" / path.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(body)
    folder.chmod(0o755)  # its worker may be another user
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    with running(["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def redis_with(key: str, body: bytes) -> Iterator[int]:
    port = free_port()
    with running(["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"], port):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            name = key.encode()
            connection.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(name), name, len(body), body))
            assert connection.recv(16).startswith(b"+OK")
        yield port


@contextmanager
def peer(source: str, folder: Path, name: str, **environment: str) -> Iterator[str]:
    """A FastAPI application in a process of its own, served by uvicorn, as most are."""
    (folder / f"{name}.py").write_text(source)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"{name}:app", "--port", str(port), "--no-access-log"]
    with running([*command, "--log-level", "warning", "--app-dir", str(folder)], port, **environment):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **environment}) as program:
        try:
            wait_for(port)
            yield
        finally:
            program.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
