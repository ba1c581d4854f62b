"""What sealed files hold, for tests that look at what is on a disk."""

import io
import json
from functools import cache
from pathlib import Path

import polars as pl

from recsys.sealed_files import SEALED, SealedFiles
from recsys.settings import StoreSettings, load_settings
from recsys.workspace import MANIFEST


def sealed_in(private: Path) -> SealedFiles:
    """The sealed files of a private folder whose store key is where it is by default."""
    return SealedFiles(private, _defaults())


@cache
def _defaults() -> StoreSettings:
    """Read once: a search of all that a night wrote opens a thousand files."""
    return load_settings().store


def content_of(path: Path) -> bytes:
    """What a file holds, opened where it is a sealed one of a private folder; of a manifest, but for sealed bytes."""
    content = path.read_bytes()
    if path.name == MANIFEST and any((parent / "keys.json").exists() for parent in path.parents):
        return json.dumps({**json.loads(content), "files": None}).encode()
    if not content.startswith(SEALED):
        return content
    private = next(parent for parent in path.parents if (parent / "keys.json").exists())
    return sealed_in(private).read(path)


def rows_of(path: Path) -> pl.DataFrame:
    """The rows of a Parquet file, sealed or not."""
    return pl.read_parquet(io.BytesIO(content_of(path)), hive_partitioning=False)


def write_rows(path: Path, rows: pl.DataFrame) -> None:
    """Put other rows into a sealed file."""
    content = io.BytesIO()
    rows.write_parquet(content)
    private = next(parent for parent in path.parents if (parent / "keys.json").exists())
    path.write_bytes(sealed_in(private).sealed(content.getvalue(), path))
