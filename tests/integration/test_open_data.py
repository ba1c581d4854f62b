"""What is released stays for everybody: charts, songs, history and data, with the endpoint and without it."""

import functools
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import polars as pl
import pytest
from support.edge import Client
from support.night import NOW, deployed, night_of, small_settings, write_world

from pipelines.base.job_context import JobContext
from pipelines.night.nightly import publish, run_night
from recsys.workspace import read_manifest

USERS = [f"user-{number}" for number in range(40)]
NIGHTS = 6  # from a Thursday on: one week is over
NOTEBOOK = Path(__file__).parents[2] / "examples" / "open_data.ipynb"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> JobContext:
    """A workspace of some nights, the last two of which were published one after the other."""
    folder = tmp_path_factory.mktemp("open")
    settings = small_settings(folder / "mlruns", privacy={"rho_per_night": 2.0})
    found = deployed(folder, write_world(folder, nights=NIGHTS, users=USERS), settings)
    found.workspace.prepare()
    for number in range(NIGHTS):
        run_night(found, night_of(number))
        if number >= NIGHTS - 2:
            publish(found)
    return found


@pytest.fixture(scope="module")
def site(job: JobContext) -> Iterator[str]:
    """The public files behind a plain static server, and no endpoint."""
    with serving(job.workspace.public) as url:
        yield url


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class serving:  # noqa: N801
    """Serve a folder while a block runs."""

    def __init__(self, folder: Path) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


def test_with_the_endpoint_gone_every_link_leads_somewhere(site: str) -> None:
    seen, queue = {"/"}, ["/"]
    with httpx.Client(base_url=site, follow_redirects=True) as client:
        while queue:
            address = queue.pop()
            answer = client.get(address)
            assert answer.status_code == 200, address
            if not answer.headers["content-type"].startswith("text/html"):
                continue
            links = Links()
            links.feed(answer.text)
            for link in links.found:
                found = urlsplit(urljoin(f"{site}{address}", link))
                assert f"{found.scheme}://{found.netloc}" == site, link
                assert re.fullmatch(r"(language=\w\w)?", found.query), link  # of the switch, where files stay English
                if found.path not in seen:
                    seen.add(found.path)
                    queue.append(found.path)
    for folder in ("places", "songs", "artists", "data", "v1/tracks", "v1/artists", "v1/releases", "v1/history"):
        assert any(each.startswith(f"/{folder}/") for each in seen), folder
    assert sum(each.endswith("/history/") for each in seen) > 3


def test_every_address_is_answered_by_the_endpoint_too(job: JobContext, site: str) -> None:
    client = Client(job.workspace, settings=job.settings)
    client.now = NOW
    paths = [
        path.relative_to(job.workspace.public)
        for folder in ("places", "songs", "artists", "data", "v1/tracks", "v1/artists")
        for path in sorted(job.workspace.public.glob(f"{folder}/**/*"))
        if path.suffix in (".html", ".json")
    ]
    chosen = paths[:: max(1, len(paths) // 60)]
    addresses = [f"/{path}".removesuffix("index.html") for path in chosen]
    answers = client.all([("GET", address, {}) for address in addresses])
    for path, answer in zip(chosen, answers, strict=True):
        assert (answer.status_code, answer.content) == (200, (job.workspace.public / path).read_bytes()), path


def test_every_night_is_listed_with_its_files_and_their_digests(job: JobContext, site: str) -> None:
    releases = httpx.get(f"{site}/v1/releases.json").json()
    endpoint = Client(job.workspace, settings=job.settings)
    assert endpoint.get("/v1/releases").json() == releases
    assert [night["name"] for night in releases["nights"]] == [str(night_of(number)) for number in range(NIGHTS)]
    assert releases["charted"] == [night["name"] for night in releases["nights"]]
    assert releases["weeks"] == ["2026-W40"]
    for folder in (*releases["nights"], *releases["months"]):
        names = {file["name"] for file in folder["files"]}
        assert {"charts.parquet", "charts.csv.gz", "SHA256SUMS"} <= names
        for file in folder["files"]:
            content = httpx.get(site + file["url"]).content
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    for night in releases["nights"]:
        assert {"counts.parquet", "counts.csv.gz", "README.md", "release.json"} <= {f["name"] for f in night["files"]}


def test_the_counts_are_the_released_ones_and_the_endpoint_gives_parts_of_a_file(job: JobContext) -> None:
    night = night_of(2)
    released = (job.workspace.releases / str(night) / "counts.parquet").read_bytes()
    client, url = Client(job.workspace, settings=job.settings), f"/v1/releases/{night}/counts.parquet"
    whole, part = client.get(url), client.get(url, headers={"Range": "bytes=4-99"})
    assert (whole.status_code, whole.content) == (200, released)
    assert (part.status_code, part.content) == (206, released[4:100])
    for wrong in (f"/v1/releases/{night}/manifest.json", "/v1/releases/..%2f..%2fledger.db/x", "/v1/history/x/y"):
        assert client.get(wrong).status_code == 404


def test_the_tidy_table_has_every_line_as_it_was_published(job: JobContext) -> None:
    charts = pl.read_parquet(job.workspace.data / "2026-10" / "charts.parquet")
    assert charts["night"].unique().sort().to_list() == [night_of(number) for number in range(NIGHTS)]
    client = Client(job.workspace, settings=job.settings)
    for night in (night_of(1), night_of(NIGHTS - 2)):
        told = client.get("/v1/regions/PT/charts/popular", params={"night": str(night)}).json()["items"]
        rows = charts.filter(night=night, place="PT", chart="popular").sort("rank").to_dicts()
        assert [(row["track_id"], row["estimate"], row["nights_on_chart"]) for row in rows[: len(told)]] == [
            (item["track_id"], item["listeners"]["estimate"], item["nights_on_chart"]) for item in told
        ]
    packed = pl.read_csv(job.workspace.data / "2026-10" / "charts.csv.gz", try_parse_dates=True)
    assert packed.height == charts.height


def test_data_that_is_there_is_never_written_again(job: JobContext) -> None:
    def folders() -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in job.workspace.data.iterdir()}

    before, history = folders(), job.workspace.history.read_bytes()
    publish(job)
    assert folders() == before
    assert job.workspace.history.read_bytes() == history
    for path in job.workspace.data.iterdir():
        read_manifest(path)


def test_the_notebook_reads_them_by_three_libraries_and_draws_the_year(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb", reason="DuckDB is a development dependency that is not installed here")
    monkeypatch.setenv("HEARABOUTS", site)
    monkeypatch.setenv("HEARABOUTS_CITY", "Lisbon")
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = [cell for cell in json.loads(NOTEBOOK.read_bytes())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
    assert isinstance(names["week"], pl.DataFrame)
    assert names["week"].height > 0
    assert names["number_ones"]
    folder = names["folder"]
    assert isinstance(folder, Path)
    assert (folder / "year.png").stat().st_size > 10_000
