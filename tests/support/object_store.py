"""An object store on this machine, with buckets of its own: moto's server, which speaks S3, in a process of its own."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from obstore.store import from_url
from support.proxying import free_port

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
            _wait_for(port)
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


def _put(name: str) -> None:
    address = f"{os.environ['AWS_ENDPOINT_URL']}/{name}"
    urllib.request.urlopen(urllib.request.Request(address, method="PUT"), timeout=60).close()


def _wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the object store does not answer")
