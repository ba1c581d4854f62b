"""Reads the public files of a snapshot: each is checked against the manifest when it is read, or is not there."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys.workspace import MANIFEST


@dataclass(frozen=True)
class PublicFolder:
    """The public files of one snapshot; open it with :func:`open_folder`.

    A path is looked up in the manifest and nowhere else, so that none leads out of the folder.

    Parameters
    ----------
    folder : Path
    files : mapping of path to mapping
        ``bytes``, ``sha256``, ``etag`` and ``media_type`` of each.
    """

    folder: Path
    files: Mapping[str, Mapping[str, Any]] = field(repr=False)

    def read(self, path: str) -> bytes | None:
        """Return a file's content; None where there is none, or not the one that was published."""
        facts = self.files.get(path)
        if facts is None:
            return None
        try:
            content = (self.folder / path).read_bytes()
        except OSError:  # the snapshot was removed; whoever still serves it has its charts open
            return None
        return content if hashlib.sha256(content).hexdigest() == facts["sha256"] else None


NO_FILES = PublicFolder(Path(), {})
"""Of a snapshot that was published without public files."""


def open_folder(folder: Path) -> PublicFolder:
    """Open a folder of public files, whose manifest the snapshot's own manifest vouches for.

    Raises
    ------
    OSError, ValueError or LookupError
        If the manifest is missing or is not one.
    """
    files: dict[str, dict[str, Any]] = json.loads((folder / MANIFEST).read_bytes())["files"]
    return PublicFolder(folder, files)
