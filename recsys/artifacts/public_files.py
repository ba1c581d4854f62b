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
from recsys.workspace import MANIFEST, link_file

_FORMAT = 9  # of what the files say: another one has the next run write them anew
_WORTH = 1024  # bytes that are worth packing: fewer go in one packet either way


def rendering(settings: Settings) -> dict[str, int | str]:
    """Return what decides the files of a snapshot beside its charts; files of another rendering are not served."""
    sizes = {"list_size": settings.serving.list_size, "max_regions": settings.serving.max_regions}
    addresses = {"play": settings.catalogue.url, "image": settings.catalogue.image}
    return {"format": _FORMAT, "chart_size": settings.charts.size, **sizes, **addresses}


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


@dataclass(frozen=True)
class LinkedFile:
    """A public file that lies elsewhere on the same disk, where it never changes, and has a second name here.

    Parameters
    ----------
    path : str
        Within the folder.
    source : Path
    size : int
        Bytes.
    sha256 : str
    media_type : str
    """

    path: str
    source: Path
    size: int
    sha256: str
    media_type: str


def write_files(
    folder: Path, files: Iterable[PublicFile], *, linked: Iterable[LinkedFile] = (), before: Path | None = None
) -> None:
    """Write files, their packed forms, and the manifest (path: bytes, sha256, etag, media_type) of both.

    Parameters
    ----------
    folder : Path
        Is made.
    files : iterable of PublicFile
    linked : iterable of LinkedFile
        Are in a part of the manifest of their own: they were digested where they lie, and there are more every night.
    before : Path, optional
        The folder of before: a file that is still the same is not stored twice.

    Raises
    ------
    ValueError
        If a path would lead out of the folder, or to what a server hides.
    """
    folder.mkdir()
    entries = {form.path: _write(folder, form, before=before) for file in files for form in _forms(file)}
    others = {file.path: _link(folder, file) for file in linked}
    text = json.dumps({"files": entries, "linked": others}, separators=(",", ":"), sort_keys=True)
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
    linked : mapping of path to mapping
        ``etag`` and ``media_type`` of files that lie elsewhere, which are large.
    """

    folder: Path
    digests: Mapping[str, bytes] = field(repr=False)
    linked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

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
    manifest = json.loads((folder / MANIFEST).read_bytes())
    digests = {path: bytes.fromhex(facts["sha256"]) for path, facts in manifest["files"].items()}
    return PublicFolder(folder, digests, manifest.get("linked", {}))


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


def _write(folder: Path, file: PublicFile, *, before: Path | None) -> dict[str, Any]:
    sha256, path = hashlib.sha256(file.content).hexdigest(), _room_for(folder, file.path)
    if not (before and _is_same(before / file.path, file.content, path)):
        path.write_bytes(file.content)
    return _entry(path, sha256=sha256, size=len(file.content), media_type=file.media_type)


def _is_same(old: Path, content: bytes, path: Path) -> bool:
    """Give a file of before another name where it has this content, and tell whether it has."""
    try:
        same = old.stat().st_size == len(content) and old.read_bytes() == content
        if same:
            os.link(old, path)
    except OSError:
        return False
    return same


def _link(folder: Path, file: LinkedFile) -> dict[str, Any]:
    """Give a file its second name."""
    path = _room_for(folder, file.path)
    link_file(file.source, path)
    return _entry(path, sha256=file.sha256, size=file.size, media_type=file.media_type)


def _room_for(folder: Path, name: str) -> Path:
    if not _PLAIN.fullmatch(name):
        raise ValueError("a public file has a name that cannot be an address")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _entry(path: Path, *, sha256: str, size: int, media_type: str) -> dict[str, Any]:
    os.utime(path, (modified(sha256), modified(sha256)))
    tag = entity_tag(sha256, size=size)
    return {"bytes": size, "sha256": sha256, "etag": tag, "media_type": media_type}


_PLAIN = re.compile(r"[\w-]+(?:[/.][\w-]+)*", re.ASCII)
