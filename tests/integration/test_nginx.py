"""A real nginx with the configuration of examples/ in front of a real server, and with no server at all."""

import asyncio
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import h3
import httpx
import pytest
from support.edge import LISBON, PORTO, bearer, publish
from support.ports import free_port
from support.proxying import configured, nginx, program
from support.serving import Server

from recsys.releases.snapshot.publishing import _prune, link_public
from recsys.settings import Settings
from recsys.workspace import Workspace, read_manifest, replace_file

FILES = [
    "/v1/regions",
    "/v1/regions/all",
    "/v1/regions/map",
    *(f"/v1/regions/{place}/charts/{chart}" for place in (LISBON, "PT") for chart in ("popular", "rising", "local")),
    "/v1/regions/world/charts/popular",
]
ADDRESSES = [*FILES, *(f"{each}.json" for each in FILES), "/v1/regions.geojson"]
PAGES = ["/", "/transparency", "/licences", "/openapi.json", "/v1/transparency", "/assets/page.css", "/assets/page.js"]
UNPACKED = ("/openapi.json", "/v1/transparency")  # by the endpoint, which makes them for every asker
SAID = (  # of caching, and of what a browser may do with it
    "cache-control",
    "content-encoding",
    "content-language",
    "content-length",
    "content-security-policy",
    "content-type",
    "etag",
    "last-modified",
    "accept-ranges",
    "permissions-policy",
    "referrer-policy",
    "vary",
    "x-content-type-options",
)


@dataclass(frozen=True)
class Halves:
    """The same workspace behind nginx, and from the server alone."""

    proxy: str
    server: Server
    workspace: Workspace


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Iterator[Halves]:
    program()
    folder = tmp_path_factory.mktemp("halves")
    workspace = Workspace(folder / "workspace").prepare()
    publish(workspace, files=settings)
    with (
        serving(workspace, proxies=["127.0.0.1"]) as server,
        nginx(workspace, endpoint=server.url.removeprefix("http://"), folder=folder) as proxy,
    ):
        yield Halves(proxy, server, workspace)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Iterator[tuple[str, Workspace]]:
    """The folder alone: where the endpoint would be, nobody listens."""
    program()
    folder = tmp_path_factory.mktemp("alone")
    workspace = Workspace(folder / "workspace").prepare()
    publish(workspace, files=settings)
    with nginx(workspace, endpoint=f"127.0.0.1:{free_port()}", folder=folder) as proxy:
        yield proxy, workspace


@contextmanager
def serving(workspace: Workspace, **settings: object) -> Iterator[Server]:
    """Serve a workspace, and stop whatever fails."""
    server = Server(workspace, address_requests=0, **settings)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


def raw(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, list[str]], bytes]:
    """Ask, and return status, what the headers say, and the body as it came, packed or not."""
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=10)) as connection:
        connection.request(method, url.removeprefix(f"http://{parts.netloc}"), headers=headers)
        answer = connection.getresponse()
        said = {name: sorted(answer.headers.get_all(name, [])) for name in SAID if name in answer.headers}
        return answer.status, said, answer.read()


def told(url: str, path: str, **headers: str) -> list[tuple[int, dict[str, list[str]], bytes]]:
    """Everything that one half says of an address: whole, by HEAD, and to who has it, plain and packed."""
    answers = []
    for coding in ("identity", "gzip"):
        sent = {"Accept-Encoding": coding, **headers}
        whole = raw(url + path, **sent)
        tag = whole[1].get("etag", [""])[0]
        known = [f'"other", {tag}', f"W/{tag}", "*", tag.strip('"'), '"other"']
        again = [raw(url + path, **{**sent, "If-None-Match": each}) for each in known]
        assert [status for status, _, _ in again] == [304, 304, 304, 200, 200], path
        dated = raw(url + path, **{**sent, "If-Modified-Since": "Sun, 01 Nov 2099 00:00:00 GMT"})
        part = raw(url + path, **{**sent, "Range": "bytes=0-9"})
        answers += [whole, *again, dated, part, raw(url + path, "HEAD", **sent)]
    return answers


@pytest.mark.parametrize("path", ADDRESSES)
def test_nginx_and_the_server_say_the_same_to_the_byte(halves: Halves, path: str) -> None:
    one, other = told(halves.proxy, path), told(halves.server.url, path)
    assert one == other
    status, said, body = one[0]
    assert (status, "last-modified" in said, "accept-ranges" in said) == (200, False, False)
    assert said["content-length"] == [str(len(body))]


def test_the_form_that_is_accepted_is_the_same(halves: Halves) -> None:
    for accepted in ("application/geo+json", "text/html, Application/Geo+JSON;q=0.9", "application/geo+jsonx", "*/*"):
        assert told(halves.proxy, "/v1/regions", Accept=accepted) == told(
            halves.server.url, "/v1/regions", Accept=accepted
        )


def test_a_public_file_does_not_come_from_the_server(halves: Halves) -> None:
    def count() -> str:
        return re.findall(
            r"hearabouts_request_seconds_count\{.*regions.*", httpx.get(f"{halves.server.url}/metrics").text
        )

    before = count()
    for path in ADDRESSES:
        assert raw(halves.proxy + path)[0] == 200
    assert count() == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/regions?q=lis&limit=1", 200),
        (f"/v1/regions/{LISBON}/charts/popular?limit=3", 200),
        (f"/v1/regions/{LISBON}/charts/popular.json?limit=3", 200),
        (f"/v1/regions/{PORTO}/charts/popular", 200),  # no charts of its own: it shows its country's
        (f"/v1/regions/{PORTO}/charts/popular.json", 200),
        ("/v1/regions?lat=38.7&lon=-9.1", 400),
        ("/v1/regions/XX/charts/popular", 404),
        ("/v1/regions/PT/charts/wrong", 404),
        ("/v1/regions/" + h3.cell_to_center_child(LISBON, 9) + "/charts/popular", 400),
        ("/?place=PT", 200),
        ("/healthz", 200),
        ("/metrics", 404),  # by nginx it is asked for from elsewhere
        ("/.well-known/gpc.json", 200),
        ("/v1/me/trending", 401),
        *((page, 200) for page in PAGES),
    ],
)
def test_all_else_is_answered_by_the_server(halves: Halves, path: str, status: int) -> None:
    answers = [raw(url + path, **{"Accept-Encoding": "identity"}) for url in (halves.proxy, halves.server.url)]
    assert answers[0][0] == status
    if path != "/metrics":
        assert answers[0] == answers[1]


def test_a_listener_is_served_through_nginx(halves: Halves, settings: Settings) -> None:
    headers = bearer("ana", workspace=halves.workspace, settings=settings, now=datetime.now(UTC))
    answer = httpx.get(f"{halves.proxy}/v1/me/trending?cell={LISBON}", headers=headers)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
    body = {"state": "given", "notice_version": settings.consents.notice_version}
    assert httpx.put(f"{halves.proxy}/v1/me/consents/local_trends", headers=headers, json=body).status_code == 200
    assert httpx.post(f"{halves.proxy}/v1/regions/PT/charts/popular").status_code == 405


def test_who_asks_through_a_cache_gets_the_same(halves: Halves) -> None:
    for path in ("/v1/regions", "/v1/regions/PT/charts/popular"):
        assert told(halves.proxy, path, Via="1.1 cache") == told(halves.server.url, path, Via="1.1 cache")


@pytest.mark.parametrize("path", ["/v1/regions?", "/v1/regi%6fns", "//v1/regions", "/v1/regions//PT", "/v1//regions"])
def test_another_way_to_write_an_address_is_answered_as_by_the_server(halves: Halves, path: str) -> None:
    for coding in ("identity", "gzip"):
        one, other = (raw(url + path, **{"Accept-Encoding": coding}) for url in (halves.proxy, halves.server.url))
        assert one == other


def test_what_stands_in_says_that_it_may_be_packed(alone: tuple[str, Workspace]) -> None:
    for path in ("/v1/transparency", "/openapi.json", "/assets/page.css"):
        assert raw(alone[0] + path)[1]["vary"] == ["Accept-Encoding"]


TRICKS = [
    "/v1/../v1/regions.json",
    "/v1/regions/../../../../charts.db",
    "/v1/regions/..%2f..%2f..%2fcharts.db",
    "/v1/regions/%2e%2e/%2e%2e/%2e%2e/charts.db",
    "/v1/regions/%252e%252e/manifest.json",
    "/v1/regions/",
    "/v1/regions/all/",
    "/v1/regions/PT/",
    "/v1/regions/PT/charts/",
    "/v1/",
    "/v1/regions.json.gz",
    "/v1/regions/PT/charts/popular.json.gz",
    "/manifest.json",
    "/v1/regions/.hidden",
    "/v1/regions/link.json",
    "/v1/regions/link/charts/popular",
    "/.hidden",
    "/assets/",
    "/assets/../manifest.json",
    "/assets/.hidden",
    "/404.html",
    "/none",
]


@pytest.mark.parametrize("path", TRICKS)
def test_no_path_leaves_the_folder_lists_one_or_finds_what_is_hidden(
    halves: Halves, alone: tuple[str, Workspace], path: str
) -> None:
    for workspace in (halves.workspace, alone[1]):
        regions = workspace.public / "v1" / "regions"
        secret = workspace.root / "secret" / "charts"
        secret.mkdir(parents=True, exist_ok=True)
        (secret / "popular.json").write_text("secret")
        for link, target in (("link.json", secret / "popular.json"), ("link", secret.parent)):
            if not (regions / link).is_symlink():
                (regions / link).symlink_to(target)
        for hidden in (regions, workspace.public, workspace.public / "assets"):
            (hidden / ".hidden").write_text("secret")
    for url in (halves.proxy, halves.server.url, alone[0]):
        answer = as_it_is(url, path)
        inside = path in ("/v1/../v1/regions.json",) and url != halves.server.url  # nginx resolves it first
        assert b"secret" not in answer
        assert b"sha256" not in answer
        assert re.match(rb"HTTP/1.1 (200)" if inside else rb"HTTP/1.1 (404|400|503)", answer), answer[:200]


def as_it_is(url: str, path: str) -> bytes:
    """Ask for a path as no client would, which removes dots."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("path", ADDRESSES)
def test_charts_are_served_with_the_server_gone(halves: Halves, alone: tuple[str, Workspace], path: str) -> None:
    assert told(alone[0], path) == told(halves.server.url, path)


@pytest.mark.parametrize("path", PAGES)
def test_the_page_of_the_world_is_served_with_the_server_gone(
    halves: Halves, alone: tuple[str, Workspace], path: str
) -> None:
    for coding in ("identity",) if path in UNPACKED else ("identity", "gzip"):
        one, other = (raw(url + path, **{"Accept-Encoding": coding}) for url in (alone[0], halves.server.url))
        assert (one[0], one[2]) == (other[0], other[2]) == (200, other[2])
        if path not in UNPACKED:  # which are no pages, and have no policy of theirs
            assert one[1] == other[1]


@pytest.mark.parametrize("path", ["/?place=PT", "/me", "/nothing"])
def test_what_needs_the_server_says_that_it_is_away(alone: tuple[str, Workspace], path: str) -> None:
    answer = httpx.get(alone[0] + path)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "This part is away" in answer.text
    assert answer.headers.get_list("cache-control") == ["no-store"]


@pytest.mark.parametrize("path", ["/v1/me/trending", "/v1/regions?q=x", f"/v1/regions/{PORTO}/charts/popular"])
def test_and_to_programs_as_a_problem(alone: tuple[str, Workspace], path: str) -> None:
    answer = httpx.get(alone[0] + path)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["type"] == "/problems/not-ready"


def test_nothing_of_a_request_is_written(halves: Halves, alone: tuple[str, Workspace], tmp_path: Path) -> None:
    canary = "canary-38716671"
    for url in (halves.proxy, alone[0]):
        for path in (f"/v1/regions?q={canary}", f"/v1/me/trending?cell={canary}", f"/{canary}", f"/%00{canary}"):
            as_it_is(url, path)
        httpx.post(f"{url}/v1/me/data", content=canary.encode() * 1000)
    for workspace in (halves.workspace, alone[1]):
        for file in workspace.root.parent.rglob("*"):
            assert not (file.is_file() and canary.encode() in file.read_bytes()), file


def test_a_picture_is_refused_in_words_and_never_on_this_disk(halves: Halves, settings: Settings) -> None:
    """The endpoint refuses it before it has read it; nginx would make a file in this folder for what it keeps."""
    folder = halves.workspace.root.parent / "temp-client_body"
    before = folder.stat().st_mtime_ns
    for _ in range(5):
        headers = bearer("bo", workspace=halves.workspace, settings=settings, now=datetime.now(UTC))
        answer = httpx.put(f"{halves.proxy}/v1/me/images/profile", headers=headers, content=bytes(8_000_000))
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/consent")
    assert folder.stat().st_mtime_ns == before


def test_snapshots_are_swapped_and_pruned_without_a_failed_request(
    tmp_path: Path, workspace: Workspace, settings: Settings
) -> None:
    """Every answer is one snapshot's own, whole, though seven are kept and twelve come."""
    program()
    path = f"/v1/regions/{LISBON}/charts/popular.json"
    nights = [f"2026-10-{day:02d}" for day in range(1, 13)]
    made = Workspace(tmp_path / "made").prepare()
    names = [publish(made, as_of=night, size=int(night[-2:]), point=False, files=settings) for night in nights]
    expected = [(made.snapshots / name / "public" / path[1:]).read_bytes() for name in names]

    def put_out(name: str) -> None:
        (made.snapshots / name).rename(workspace.snapshots / name)
        replace_file(workspace.current, name.encode())
        link_public(workspace)
        _prune(workspace, current=name)

    async def ask(url: str, stop: asyncio.Event) -> list[httpx.Response]:
        answers = []
        async with httpx.AsyncClient(base_url=url) as client:
            while not stop.is_set():
                answers.append(await client.get(path))
                await asyncio.sleep(0.005)
        return answers

    async def run(*urls: str) -> list[httpx.Response]:
        stop = asyncio.Event()
        asking = [asyncio.create_task(ask(url, stop)) for url in urls for _ in range(2)]
        for name in names[1:]:
            await asyncio.to_thread(put_out, name)
            await asyncio.sleep(0.2)
        stop.set()
        return list(chain.from_iterable(await asyncio.gather(*asking)))

    put_out(names[0])
    with (
        serving(workspace) as server,
        nginx(workspace, endpoint=server.url.removeprefix("http://"), folder=tmp_path) as proxy,
    ):
        answers = asyncio.run(run(proxy, server.url))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} <= set(expected)
    assert len({answer.content for answer in answers}) > 3
    assert sorted(path.name for path in workspace.snapshots.iterdir()) == names[-7:]


def test_the_example_is_valid_as_it_stands(tmp_path: Path, workspace: Workspace) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text(configured(workspace, endpoint="127.0.0.1:1", port=free_port(), folder=tmp_path))
    checked = subprocess.run([program(), "-t", "-e", "stderr", "-c", file], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr


def test_the_manifest_has_the_tags_that_nginx_gives(alone: tuple[str, Workspace]) -> None:
    proxy, workspace = alone
    files = read_manifest(workspace.public)["files"]
    path = "/v1/regions/PT/charts/popular"
    for ending, coding in ((".json", "identity"), (".json.gz", "gzip")):
        assert raw(proxy + path, **{"Accept-Encoding": coding})[1]["etag"] == [files[path[1:] + ending]["etag"]]
