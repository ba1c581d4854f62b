"""Writes the public files of a snapshot, packed beside each, with a manifest that names their digests and tags."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.serving.public.encoding import entity_tag, modified, packed
from recsys.workspace import MANIFEST


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
