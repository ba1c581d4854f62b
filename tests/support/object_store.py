"""An object store on this machine, with buckets of its own: moto's server, which speaks S3, in a process of its own."""

import http.client
import os
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from obstore.store import from_url
from support.ports import free_port, wait_for

from recsys.locations import ObjectAddress

SECRET = "hushhushhush"


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    """Give what the environment has to say to reach it; skip the test where its program is missing."""
    program = shutil.which("moto_server")
    if program is None:
        pytest.skip("moto_server, an object store, is not installed")
    port = free_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }
    command = [program, "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(port)
            yield environment
        finally:
            server.terminate()


def new_bucket(name: str) -> ObjectAddress:
    """Make a bucket."""
    _put(name)
    return ObjectAddress(f"s3://{name}")


def mark_folder(address: ObjectAddress) -> None:
    """Put the empty object by which some programs mark a folder."""
    _put(f"{str(address).removeprefix('s3://')}/")


def put(address: ObjectAddress, content: bytes) -> None:
    """Put an object."""
    from_url(address.root).put(address.key, content)


def uploaded(folder: Path, bucket: str) -> ObjectAddress:
    """Return the address of a new bucket with all files of a folder."""
    root = new_bucket(bucket)
    for file in folder.rglob("*"):
        if file.is_file():
            put(root / str(file.relative_to(folder)), file.read_bytes())
    return root


@contextmanager
def bad_way(environment: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Give the address of a way to the store, and the ends of names whose content it will ``refuse`` or ``stall``."""
    bad: dict[str, str] = {}
    over = threading.Event()

    class Way(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._pass_on()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            match next((how for suffix, how in bad.items() if path.endswith(suffix)), ""):
                case "refuse":
                    self._answer(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")
                case "stall":
                    self._answer(206, {"Content-Length": "1000", "Content-Range": "bytes 0-999/1000"}, b"PAR1")
                    over.wait()
                case _:
                    self._pass_on()

        def _pass_on(self) -> None:
            connection = http.client.HTTPConnection(environment["AWS_ENDPOINT_URL"].removeprefix("http://"))
            connection.request(self.command, self.path, headers=dict(self.headers))
            found = connection.getresponse()
            kept = {name: value for name, value in found.getheaders() if name.lower() not in _OF_THE_WAY}
            self._answer(found.status, kept, found.read())
            connection.close()

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Way) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bad
        finally:
            over.set()
            server.shutdown()


_OF_THE_WAY = {"transfer-encoding", "connection", "server", "date"}


def _put(name: str) -> None:
    address = f"{os.environ['AWS_ENDPOINT_URL']}/{name}"
    urllib.request.urlopen(urllib.request.Request(address, method="PUT"), timeout=60).close()
