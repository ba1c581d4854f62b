"""The public half as files: what is written, what is read, and what the endpoint makes of it."""

import asyncio
import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import pytest
from support.edge import AS_OF, LISBON, PORTO, Client, keep_nights, publish

from recsys.artifacts.public_files import PublicFile, PublicFolder, entity_tag, modified, open_folder, write_files
from recsys.errors import InputError
from recsys.serving.snapshot import snapshot_reader
from recsys.serving.snapshot.response_cache import ResponseCache
from recsys.serving.snapshot.snapshot_reader import open_published
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace, read_manifest

CHART = f"/v1/regions/{LISBON}/charts/popular"
PLAIN = {"Accept-Encoding": "identity"}
PACKED = {"Accept-Encoding": "gzip"}

# What the files answer, and which file it is.
ADDRESSES = {
    "/v1/regions": "v1/regions.json",
    "/v1/regions/all": "v1/regions/all.json",
    "/v1/regions/map": "v1/regions/map.json",
    **{f"/v1/regions/{place}": f"v1/regions/{place}.json" for place in (LISBON, "PT", "world")},
    **{f"/v1/regions/{place}/next-week": f"v1/regions/{place}/next-week.json" for place in (LISBON, "PT", "world")},
    **{
        f"/v1/regions/{place}/charts/{chart}": f"v1/regions/{place}/charts/{chart}.json"
        for place in (LISBON, "PT", "world")
        for chart in ("popular", "rising", "local")
    },
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Workspace:
    """A workspace with one snapshot: made once."""
    workspace = Workspace(tmp_path_factory.mktemp("published") / "workspace").prepare()
    publish(workspace, files=settings)
    return workspace


@pytest.fixture
def folder(workspace: Workspace, published: Workspace) -> Path:
    """The public files of a workspace of the test's own."""
    shutil.copytree(published.root, workspace.root, symlinks=True, dirs_exist_ok=True)
    return workspace.public.resolve()


@pytest.fixture
def client(folder: Path, workspace: Workspace, settings: Settings) -> Client:
    return Client(workspace, settings=settings)


def hello(folder: Path, path: str = "v1/hello.json", content: bytes = b"{}") -> Path:
    write_files(folder, [PublicFile(path, content, "application/json")])
    return folder / path


def test_a_file_has_the_beginning_of_its_digest_for_a_time_and_nginx_tag(tmp_path: Path) -> None:
    content = b"[" + b"1," * 600 + b"1]"  # 1,203 bytes
    file = hello(tmp_path / "public", content=content)
    digest = hashlib.sha256(content).hexdigest()
    time = int(f"{int(digest, 16):0256b}"[:31], 2)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (content, time * 10**9)
    entry = read_manifest(tmp_path / "public")["files"]["v1/hello.json"]
    assert entry == {
        "bytes": 1203,
        "sha256": digest,
        "etag": f'"{time:x}-4b3"',
        "media_type": "application/json",
    }
    assert (modified(digest), entity_tag(digest, size=1203)) == (time, entry["etag"])


def test_what_is_longer_than_a_packet_lies_packed_beside_with_a_tag_of_its_own(tmp_path: Path) -> None:
    long, short = hello(tmp_path / "one", content=b"a" * 1024), hello(tmp_path / "two", content=b"a" * 1023)
    beside = long.with_name("hello.json.gz")
    assert gzip.decompress(beside.read_bytes()) == b"a" * 1024
    assert beside.read_bytes()[4:8] == bytes(4)  # no time: the same bytes each time
    files = read_manifest(tmp_path / "one")["files"]
    assert len({each["etag"] for each in files.values()}) == len(files) == 2
    assert not short.with_name("hello.json.gz").exists()


def test_what_did_not_change_is_not_stored_twice(tmp_path: Path) -> None:
    before = hello(tmp_path / "one").parents[1]
    for name, content in (("two", b"{}"), ("three", b"[]")):
        write_files(tmp_path / name, [PublicFile("v1/hello.json", content, "application/json")], before=before)
        file = tmp_path / name / "v1" / "hello.json"
        assert (file.read_bytes(), file.samefile(before / "v1" / "hello.json")) == (content, content == b"{}")
        read_manifest(tmp_path / name)
    (before / "v1" / "hello.json").write_bytes(b"()")  # damaged, and so taken for another
    write_files(tmp_path / "four", [PublicFile("v1/hello.json", b"{}", "application/json")], before=before)
    read_manifest(tmp_path / "four")


@pytest.mark.parametrize(
    "path",
    ["../out.json", "v1/../../out", "/out.json", ".hidden", "v1/.hidden", "v1//a", "a b", "a\nb", "", "v1/", "é"],
)
def test_no_file_is_written_outside_or_hidden(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="cannot be an address"):
        hello(tmp_path / "public", path)
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_file_is_read_as_it_was_published_or_not_at_all(tmp_path: Path) -> None:
    file = hello(tmp_path / "public")
    (tmp_path / "public" / "stray.json").write_bytes(b"{}")
    (tmp_path / "secret").write_bytes(b"{}")
    found = open_folder(tmp_path / "public")
    assert found.read("v1/hello.json") == b"{}"
    for path in ("stray.json", "../secret", "v1", "v1/../v1/hello.json", "/v1/hello.json", "manifest.json", ""):
        assert found.read(path) is None
    file.write_bytes(b"[]")
    assert found.read("v1/hello.json") is None
    file.unlink()
    file.symlink_to(tmp_path / "other")
    assert found.read("v1/hello.json") is None  # it leads nowhere
    (tmp_path / "other").write_bytes(b"secret")
    assert found.read("v1/hello.json") is None  # it leads to something else


def test_every_place_with_charts_has_files_and_no_other(folder: Path) -> None:
    files = read_manifest(folder)["files"]
    written = {name for name in files if name.startswith("v1/regions") and not name.endswith(".gz")}
    assert written == {*ADDRESSES.values(), "v1/regions.geojson"}
    assert {"index.html", "transparency.html", "licences.html", "404.html", "503.html", "openapi.json"} <= files.keys()
    assert {"v1/transparency.json", "assets/page.css", "assets/page.js", "assets/icon.svg"} <= files.keys()
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {*files, "manifest.json"}


def test_of_more_songs_than_there_is_room_for_only_some_have_files(workspace: Workspace) -> None:
    keep_nights(workspace)
    few = load_settings(overrides={"history": {"songs": 3}})
    folder = workspace.snapshots / publish(workspace, files=few) / "public"
    assert len(list((folder / "v1" / "tracks").glob("*.json"))) == len(list((folder / "songs").iterdir())) == 3
    assert Client(workspace, settings=few).get("/v1/tracks/track-9").json()["nights"] == 30  # the endpoint tells of all


def test_the_snapshot_vouches_for_the_manifest_and_the_manifest_for_each_file(folder: Path) -> None:
    assert read_manifest(folder.parent)["files"].keys() == {"charts.db", "public/manifest.json"}
    (folder / "index.html").write_bytes(b"")
    read_manifest(folder.parent)
    with pytest.raises(InputError):
        read_manifest(folder)


def test_the_document_needs_no_keys_no_consents_and_no_network(
    workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night would fail at publishing, after its budget was spent."""
    monkeypatch.setenv("HEARABOUTS__SERVING__JWKS", "https://unreachable.invalid/keys.json")
    monkeypatch.setenv("HEARABOUTS__CONSENTS__URL", "postgresql://unreachable.invalid/consents")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    publish(workspace, files=settings)
    document = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert json.loads((workspace.public / "openapi.json").read_bytes()) == document


@pytest.mark.parametrize("headers", [PLAIN, PACKED], ids=["plain", "packed"])
def test_a_file_and_the_route_are_alike_to_the_byte(
    folder: Path, tmp_path: Path, settings: Settings, headers: dict[str, str]
) -> None:
    """The same snapshot without its files is answered by the routes."""
    before = Workspace(tmp_path / "before").prepare()
    publish(before)
    urls = [(url, {}) for url in ADDRESSES] + [("/v1/regions", {"Accept": "application/geo+json"})]
    requests = [("GET", url, {"headers": {**headers, **more}}) for url, more in urls]
    made, read = (Client(w, settings=settings).all(requests) for w in (before, Workspace(folder.parents[2])))
    for one, other in zip(made, read, strict=True):
        assert one.status_code == other.status_code == 200
        assert one.content == other.content
        assert sorted(told(one)) == sorted(told(other))


def told(answer: object) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers.items() if name != "x-request-id"]  # type: ignore[attr-defined]


def test_what_the_page_is_made_of_is_alike_too(client: Client, folder: Path) -> None:
    pages = {"/": "index.html", "/transparency": "transparency.html", "/licences": "licences.html"}
    pages |= {"/openapi.json": "openapi.json", "/v1/transparency": "v1/transparency.json"}
    pages |= {f"/assets/{name}": f"assets/{name}" for name in ("page.css", "page.js", "icon.svg")}
    files = read_manifest(folder)["files"]
    for url, name in pages.items():
        answer = client.get(url, headers=PLAIN)
        assert answer.content == (folder / name).read_bytes(), url
        assert answer.headers["content-type"] == files[name]["media_type"]
        assert answer.headers.get("etag", files[name]["etag"]) == files[name]["etag"]
    packed = client.get("/assets/page.css", headers=PACKED)
    assert packed.headers["etag"] == files["assets/page.css.gz"]["etag"]


@pytest.mark.parametrize(("url", "file"), ADDRESSES.items())
def test_an_address_may_have_an_ending(client: Client, folder: Path, url: str, file: str) -> None:
    for address in (url, f"{url}.json"):
        answer = client.get(address, headers=PLAIN)
        assert (answer.status_code, answer.content) == (200, (folder / file).read_bytes())
        assert client.request("HEAD", address, headers=PLAIN).headers["content-length"] == str(len(answer.content))
        again = client.get(address, headers=PLAIN | {"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_form_of_the_regions_follows_the_ending_or_what_is_accepted(client: Client, folder: Path) -> None:
    geojson = (folder / "v1" / "regions.geojson").read_bytes()
    wanted = {"Accept": "application/geo+json"}
    assert client.get("/v1/regions", headers=wanted).content == geojson
    assert client.get("/v1/regions.geojson").content == geojson
    assert client.get("/v1/regions.json", headers=wanted).content == client.get("/v1/regions").content != geojson
    assert client.get("/v1/regions", headers=wanted).headers["vary"] == "Accept, Accept-Encoding"
    assert client.get("/v1/regions.json").headers["vary"] == "Accept-Encoding"
    assert client.get("/v1/regions/all.geojson").status_code == 404


def test_without_files_and_with_a_query_the_ending_means_the_same(workspace: Workspace, settings: Settings) -> None:
    publish(workspace)
    client = Client(workspace, settings=settings)
    for url in ("/v1/regions", "/v1/regions/all", CHART, f"/v1/regions/{PORTO}/charts/popular"):
        assert client.get(f"{url}.json").content == client.get(url).content
    kinds = [client.get(url).headers["content-type"] for url in ("/v1/regions.geojson", "/v1/regions.json?q=lis")]
    assert kinds == ["application/geo+json", "application/json"]
    assert len(client.get(f"{CHART}.json?limit=3").json()["items"]) == 3
    assert client.get(f"{CHART}.xml").status_code == 404


def test_the_list_of_all_places_is_what_a_map_asked_for_before(client: Client) -> None:
    every = client.get("/v1/regions/all")
    assert every.json() == client.get("/v1/regions?limit=20000").json()
    assert len(every.json()["regions"]) == 6
    assert client.get("/v1/regions/all?q=x").status_code == 400


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "another file's"])
def test_a_damaged_file_is_never_served(client: Client, folder: Path, damage: str) -> None:
    file = folder / "v1" / "regions" / LISBON / "charts" / "popular.json"
    right = file.read_bytes()
    {
        "changed": lambda: file.write_bytes(right.replace(b"Song", b"Gong")),
        "cut": lambda: file.write_bytes(right[:100]),
        "gone": file.unlink,
        "another file's": lambda: shutil.copy(file.with_name("local.json"), file),
    }[damage]()
    answer = client.get(CHART, headers=PLAIN)
    assert (answer.status_code, answer.content) == (200, right)  # made from the charts


def test_a_damaged_packed_file_is_never_served(client: Client, folder: Path) -> None:
    (folder / "v1" / "regions" / LISBON / "charts" / "popular.json.gz").write_bytes(b"junk")
    answer = client.get(CHART, headers=PACKED)
    assert answer.content == (folder / "v1" / "regions" / LISBON / "charts" / "popular.json").read_bytes()


def test_a_damaged_manifest_is_no_snapshot(client: Client, folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"{}")
    assert client.get(CHART).status_code == 503


def test_who_serves_a_snapshot_that_was_removed_has_its_charts(
    client: Client, workspace: Workspace, folder: Path
) -> None:
    world = (folder / "v1" / "regions" / "world" / "charts" / "popular.json").read_bytes()
    published = open_published(workspace)
    assert client.get(CHART).json()["as_of"] == AS_OF
    shutil.rmtree(folder.parent)
    assert client.get("/v1/regions/world/charts/popular", headers=PLAIN).content == world
    assert published.files.read("index.html") is None


@pytest.mark.parametrize(
    "path",
    [
        "/v1/regions/",
        "/v1/regions/all/",
        "/v1/../v1/regions.json",
        "/v1/regions/../regions.json",
        "/v1/regions/%2e%2e/regions.json",
        "/v1/regions%2f..%2fregions.json",
        "/v1/regions/PT/charts/../charts/popular.json",
        "/v1/regions/.json",
        "/v1/regions/all.json.gz",
        "/v1/regions.json.gz",
        "/v1/.json",
        "//v1/regions.json",
        "/public/v1/regions.json",
        "/v1/regions/PT/charts/",
        "/manifest.json",
        "/charts.db",
        "/.git/config",
        "/v1/regions/..%2f..%2f..%2fcharts.db",
        "/v1/regions/PT/charts/popular.json%00",
        "/v1/regions/PT/charts/popular.json/",
    ],
)
def test_no_path_leaves_the_files_lists_a_folder_or_finds_what_is_hidden(client: Client, path: str) -> None:
    assert as_it_is(client, path) == (404, b"application/problem+json")


def as_it_is(client: Client, path: str) -> tuple[int, bytes]:
    """Ask for a path as no client would, which removes dots, and return status and type of the answer."""
    sent: list[dict[str, Any]] = []
    scope = {"type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(), "query_string": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(client.app({**scope, "headers": [], "client": ("::1", 1), "server": ("::1", 2)}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])[b"content-type"]


def test_files_are_counted_limited_guarded_and_logged_like_any_answer(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(overrides={"serving": {"address_requests": 4}})
    publish(workspace, files=settings)
    client = Client(workspace, settings=settings)
    assert client.get(f"{CHART}.json", headers={"X-Where": "38.716,-9.133"}).json()["type"] == "/problems/position"
    name = "0f8fad5bd9cb469fa16570867728950e"
    codes = [client.get(f"{CHART}.json", headers={"X-Request-Id": name}).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 200, 429]
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if name in line]
    assert {(line["route"], line["scope"]) for line in lines if line["status"] == 200} == {
        ("/v1/regions/{id}/charts/{chart}", "region")
    }


def test_files_of_other_sizes_are_not_served(workspace: Workspace, settings: Settings) -> None:
    publish(workspace, files=settings)
    fewer = Client(workspace, settings=load_settings(overrides={"serving": {"list_size": 3, "max_regions": 2}}))
    assert len(fewer.get(CHART).json()["items"]) == 3
    assert [len(fewer.get(url).json()["regions"]) for url in ("/v1/regions", "/v1/regions/all")] == [2, 2]


def test_the_cache_never_goes_back_to_an_older_snapshot(workspace: Workspace, settings: Settings) -> None:
    """A request may end after a newer snapshot came, and keeps its answer then."""
    responses = ResponseCache(settings.serving)
    publish(workspace, as_of="2026-10-01")
    old = open_published(workspace)
    publish(workspace, as_of="2026-10-02")
    new = open_published(workspace)
    answer = responses.answer({}, route="/")
    for each in (old, new, old):
        responses.keep(answer, b"/", of=each)
    assert [responses.find(b"/", of=each) for each in (old, new, None)] == [None, answer, None]


def test_a_file_of_open_data_is_not_read_for_its_headers_nor_for_who_has_it(
    workspace: Workspace, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be large, and only GET takes it from the disk."""
    path, content = "v1/releases/2026-10-01/counts.parquet", b"PAR1" * 50_000
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(content)
    linked = {path: {"etag": '"tag"', "media_type": "application/x"}}
    monkeypatch.setattr(snapshot_reader, "open_folder", lambda _: PublicFolder(tmp_path, {}, linked))
    publish(workspace, files=settings)
    client = Client(workspace, settings=settings)
    whole = client.get(f"/{path}")
    assert (whole.status_code, whole.content, whole.headers["etag"]) == (200, content, '"tag"')
    monkeypatch.setattr(anyio, "open_file", None)
    head = client.request("HEAD", f"/{path}")
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "x-request-id": ""} == {**whole.headers, "x-request-id": ""}
    part = client.request("HEAD", f"/{path}", headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.headers["content-length"], part.content) == (206, "4", b"")
    for method in ("GET", "HEAD"):
        same = client.request(method, f"/{path}", headers={"If-None-Match": 'W/"tag"'})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", '"tag"')
    assert client.request("HEAD", f"/{path}", headers={"If-None-Match": '"other"'}).status_code == 200
