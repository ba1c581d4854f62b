"""The public half of a snapshot as files: written at publishing, servable by anything, read by the endpoint.

nginx tags a file by the time it was changed and its size, and cannot be told another tag without a line of its
configuration for every file. So the time of a public file is no time but the beginning of its digest, and a file behind
nginx, the same file at the endpoint and an answer made now have one tag.
"""

import gzip
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys.settings import Settings
from recsys.workspace import MANIFEST

_FORMAT = 4  # of what the files say: another one has the next run write them anew
_WORTH = 1024  # bytes that are worth packing: fewer go in one packet either way


def rendering(settings: Settings) -> dict[str, int]:
    """Return what decides the files of a snapshot beside its charts; files of another rendering are not served."""
    sizes = {"list_size": settings.serving.list_size, "max_regions": settings.serving.max_regions}
    return {"format": _FORMAT, "chart_size": settings.charts.size, **sizes}


@dataclass(frozen=True)
class PublicFile:
    """A public answer that anybody may keep.

    Parameters
    ----------
    path : str
        Within the folder, as ``v1/regions.json``.
    content : bytes
    media_type : str
        With its charset, where it has one.
    """

    path: str
    content: bytes
    media_type: str


def write_files(folder: Path, files: Iterable[PublicFile]) -> None:
    """Write files, their packed forms, and the manifest (path: bytes, sha256, etag, media_type) of both.

    Parameters
    ----------
    folder : Path
        Is made.
    files : iterable of PublicFile

    Raises
    ------
    ValueError
        If a path would lead out of the folder, or to what a server hides.
    """
    folder.mkdir()
    entries = {form.path: _write(folder, form) for file in files for form in _forms(file)}
    text = json.dumps({"files": entries}, separators=(",", ":"), sort_keys=True)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class PublicFolder:
    """The public files of one snapshot; open it with :func:`open_folder`.

    A path is looked up in the manifest and nowhere else, so that none leads out of the folder.

    Parameters
    ----------
    folder : Path
    digests : mapping of path to bytes
        The SHA-256 of each file.
    """

    folder: Path
    digests: Mapping[str, bytes] = field(repr=False)

    def read(self, path: str) -> bytes | None:
        """Return a file's content; None where there is none, or not the one that was published."""
        if path not in self.digests:
            return None
        try:
            content = (self.folder / path).read_bytes()
        except OSError:  # the snapshot was removed; whoever still serves it has its charts open
            return None
        return content if hashlib.sha256(content).digest() == self.digests[path] else None


NO_FILES = PublicFolder(Path(), {})
"""Of a snapshot that was published without public files."""


def open_folder(folder: Path) -> PublicFolder:
    """Open a folder of public files, whose manifest the snapshot's own manifest vouches for.

    Raises
    ------
    OSError, ValueError or LookupError
        If the manifest is missing or is not one.
    """
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    return PublicFolder(folder, {path: bytes.fromhex(facts["sha256"]) for path, facts in files.items()})


def entity_tag(sha256: str, *, size: int) -> str:
    """Return the strong tag (RFC 9110, 8.8.3) that nginx gives a file with such a time and size."""
    return f'"{modified(sha256):x}-{size:x}"'


def modified(sha256: str) -> int:
    """Return the first 31 bits of a digest, which are the modification time of a file in seconds."""
    return int(sha256[:8], 16) >> 1


def packed(body: bytes) -> bytes | None:
    """Return a body in gzip, alike each time; None where that saves nothing worth it."""
    if len(body) < _WORTH:
        return None
    smaller = gzip.compress(body, 9, mtime=0)
    return smaller if len(smaller) < len(body) else None


def _forms(file: PublicFile) -> Iterator[PublicFile]:
    yield file
    smaller = packed(file.content)
    if smaller is not None:
        yield PublicFile(f"{file.path}.gz", smaller, file.media_type)


def _write(folder: Path, file: PublicFile) -> dict[str, Any]:
    if not _PLAIN.fullmatch(file.path):
        raise ValueError("a public file has a name that cannot be an address")
    sha256, path = hashlib.sha256(file.content).hexdigest(), folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    os.utime(path, (modified(sha256), modified(sha256)))
    size = len(file.content)
    tag = entity_tag(sha256, size=size)
    return {"bytes": size, "sha256": sha256, "etag": tag, "media_type": file.media_type}


_PLAIN = re.compile(r"[\w-]+(?:[/.][\w-]+)*", re.ASCII)
