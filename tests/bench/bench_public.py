"""The public half as files: what publishing writes, and a chart behind examples/nginx.conf beside a bare nginx.

Run it with ``python tests/bench/bench_public.py [SECONDS] [WORKSPACE]`` (by default 4 a measurement, and a made-up
snapshot of 177 regions; of a workspace the current snapshot's charts are taken). First: seconds, files and bytes of a
snapshot's public half. Then, by turns and nine times each, requests of the same bytes by wrk: to nginx with nothing but
a root, and to nginx as in the example. Beside the rates stands the processor time of nginx's worker for a request,
which other programs on the machine disturb less.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from bench_edge import running, wrk
from support.ports import free_port
from support.proxying import nginx, program
from support.serving import publish_many

from pipelines.night.public_files import write_public
from recsys.releases.snapshot.publishing import link_public
from recsys.settings import load_settings
from recsys.workspace import MANIFEST, PUBLIC, Workspace, replace_file

ROUNDS = 9
REGIONS = 177  # as many as the sample world has

BARE = """
daemon off; worker_processes 1; pid {folder}/bare.pid; error_log {folder}/bare.log emerg; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/b1; proxy_temp_path {folder}/b2; fastcgi_temp_path {folder}/b3;
  uwsgi_temp_path {folder}/b4; scgi_temp_path {folder}/b5; default_type application/json;
  sendfile on; tcp_nopush on; keepalive_requests 100000000; open_file_cache max=100;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def main(seconds: int, workspace: Path | None) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = published(Workspace(folder / "workspace").prepare(), taken_from=workspace)
        if shutil.which("wrk") is None:
            print("skipped the rates: wrk is missing")
            return
        path = "/v1/regions/world/charts/popular"
        behind = stack.enter_context(nginx(ours, endpoint="127.0.0.1:9", folder=folder))
        bare = stack.enter_context(bare_nginx(ours, folder))
        urls = {"bare nginx": f"{bare}{path}.json", "examples/nginx.conf": f"{behind}{path}"}
        files = {"bare nginx": folder / "bare.conf", "examples/nginx.conf": folder / "nginx.conf"}
        compare(urls, {name: worker_of(file) for name, file in files.items()}, seconds)


def published(workspace: Workspace, *, taken_from: Path | None) -> Workspace:
    """Write the public half of a snapshot, and say what it takes."""
    if taken_from is None:
        name = publish_many(workspace, regions=REGIONS)
    else:
        name = Workspace(taken_from).current.read_text().strip()
        source = Workspace(taken_from).snapshots / name
        shutil.copytree(source, workspace.snapshots / name, ignore=shutil.ignore_patterns(PUBLIC))
        replace_file(workspace.current, name.encode())
    folder = workspace.snapshots / name
    facts = json.loads((folder / MANIFEST).read_text())
    began = time.perf_counter()
    write_public(folder, facts, workspace=workspace, settings=load_settings())
    written = time.perf_counter() - began
    os.sync()
    say(folder, written, time.perf_counter() - began - written)
    link_public(workspace)
    return workspace


def say(folder: Path, written: float, synced: float) -> None:
    """Print files, bytes and blocks of the public half, and those of a place, which times places gives a world."""
    files = [path for path in (folder / PUBLIC).rglob("*") if path.is_file()]
    charts = [path for path in files if "charts" in path.parts]
    places = len({path.parent for path in charts})
    print(f"{places} places: written in {written:.1f} s, on the disk {synced:.1f} s later")
    print(f"charts.db: {_size([folder / 'charts.db'])}")
    print(f"all: {_size(files)}")
    print(f"a place: {_size(charts, share=places)}")


def _size(files: Sequence[Path], *, share: int = 1) -> str:
    found = [path.stat() for path in files]
    counted, allocated = sum(each.st_size for each in found), sum(each.st_blocks * 512 for each in found)
    return (
        f"{len(files) / share:,.0f} files, {counted / share / 1e3:,.1f} kB, {allocated / share / 1e3:,.1f} kB of disk"
    )


def compare(urls: Mapping[str, str], workers: Mapping[str, psutil.Process], seconds: int) -> None:
    """Measure addresses by turns, and print medians of rates and the least time for a request."""
    rates: dict[str, list[float]] = {name: [] for name in urls}
    times: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(ROUNDS):
        for name, url in urls.items():
            before = sum(workers[name].cpu_times()[:2])
            rates[name].append(wrk(url, seconds).per_second)
            times[name].append((sum(workers[name].cpu_times()[:2]) - before) / (rates[name][-1] * seconds))
    for name, found in rates.items():
        spread = ", ".join(f"{each:,.0f}" for each in found)
        print(f"{name:20} {statistics.median(found):9,.0f}/s  {min(times[name]) * 1e6:.1f} us  ({spread})")
    (bare, ours), (bare_time, our_time) = rates.values(), times.values()
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"examples/nginx.conf / bare nginx: {ratio:.2f} (bar 0.95); by time {min(bare_time) / min(our_time):.2f}")


def worker_of(configuration: Path) -> psutil.Process:
    """Return the one worker of the nginx that was started with a configuration; its master is called by its command."""
    running = psutil.process_iter(["name", "cmdline"])
    masters = [each for each in running if each.info["name"] == "nginx"]
    return next(
        each.children()[0] for each in masters if str(configuration) in " ".join(each.info["cmdline"] or []).split()
    )


@contextmanager
def bare_nginx(workspace: Workspace, folder: Path) -> Iterator[str]:
    """Nginx with nothing but a root."""
    port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    text = BARE.format(folder=folder, port=port, user=user, root=workspace.public.resolve())
    (folder / "bare.conf").write_text(text)
    with running([program(), "-c", str(folder / "bare.conf")], port):
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
