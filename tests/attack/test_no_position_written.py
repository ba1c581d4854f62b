"""Promise 1: no position is ever written. A night with canary coordinates is searched byte by byte."""

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import cache
from pathlib import Path

import h3
import polars as pl
import pytest
from support.commands import Run
from support.night import (
    AREA_IN_TOML,
    FIRST,
    LISBON,
    TRACKS,
    noon,
    plays,
    row,
    write_catalogue,
    write_consents,
    write_listens,
)
from support.sealing import content_of, rows_of

from pipelines.__main__ import main
from recsys import workspace as workspace_module

# Digits that nothing else in a night can have by chance: a position that fits, and one of a bad row.
CANARY = (38.7171237, -9.1398765)
BAD_CANARY = (91.2345671, -9.7654321)
USERS = [f"user-{number}" for number in range(40)]


@cache
def traces() -> list[bytes]:
    """Every form in which a canary may show: text of falling precision, binary numbers, and finer cells."""
    degrees = [abs(value) for value in (*CANARY, *BAD_CANARY)]
    texts = [f"{value:.7f}"[:length] for value in degrees for length in (8, 9, 10)]
    micro = [str(int(value * 10**digits)) for value in degrees for digits in (6, 7)]
    signed = [value for position in (CANARY, BAD_CANARY) for value in position]
    binary = [struct.pack(form, value) for form in ("<d", ">d", "<f", ">f") for value in signed]
    cells = [h3.latlng_to_cell(*CANARY, resolution) for resolution in range(6, 16)]
    numbers = [struct.pack(form, h3.str_to_int(cell)) for form in ("<Q", ">Q") for cell in cells]
    return (
        [text.encode() for text in (*texts, *micro, *cells, *(str(h3.str_to_int(c)) for c in cells))] + binary + numbers
    )


def everything_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file as it lies there, and once more with what it packs laid open."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content, opened = file.read_bytes(), content_of(file)
        yield str(file), content
        if opened != content:
            yield f"{file} opened", opened  # the position would be there sealed, too
        if file.suffix == ".parquet" and not opened.endswith(b"PARE"):  # a stage: no key of it is kept
            frame = rows_of(file)
            yield (
                f"{file} unpacked",
                frame.write_csv().encode()
                + b"".join(s.to_physical().to_numpy().tobytes() for s in frame.select(pl.selectors.numeric())),
            )
        if file.suffix == ".db":
            with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
                yield f"{file} unpacked", "\n".join(connection.iterdump()).encode()


def found_in(folder: Path) -> list[tuple[str, bytes]]:
    return [(name, trace) for name, content in everything_in(folder) for trace in traces() if trace in content]


@pytest.fixture(scope="module")
def input_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights, in which one listener who allows everything plays at the canary, and a bad row has another."""
    folder = tmp_path_factory.mktemp("input")
    for number in range(2):
        night = FIRST + timedelta(days=number)
        canaries = [row("user-1", TRACKS[5], noon(night), CANARY), row("user-2", TRACKS[5], noon(night), BAD_CANARY)]
        write_listens(folder / "listens", night, plays(night, users=USERS) + canaries)
    write_catalogue(folder / "catalogue.csv")
    write_consents(folder / "consents.csv", USERS)
    (folder / "settings.toml").write_text(f"{AREA_IN_TOML}[models]\nmin_listeners_per_track = 2\n")
    return folder


def arguments(folder: Path) -> list[str]:
    listens, catalogue, consents = folder / "listens", folder / "catalogue.csv", folder / "consents.csv"
    files = [
        "--listens",
        listens,
        "--catalogue",
        catalogue,
        "--consents",
        consents,
        "--settings",
        folder / "settings.toml",
    ]
    return ["nightly", *(str(argument) for argument in files)]


def test_the_search_finds_what_it_looks_for(input_folder: Path) -> None:
    assert {name.split("/")[-1] for name, _ in found_in(input_folder)} >= {"listens.parquet unpacked"}


@pytest.mark.slow
def test_no_byte_that_a_night_writes_holds_a_position(input_folder: Path, tmp_path: Path, mlruns: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments(input_folder)],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "POLARS_TEMP_DIR": str(tmp_path / "tmp")},
        capture_output=True,
        check=False,
    )
    (tmp_path / "stdout").write_bytes(run.stdout)
    (tmp_path / "stderr").write_bytes(run.stderr)
    assert run.returncode == 0, run.stderr.decode()
    assert json.loads(run.stdout.splitlines()[-1])["bad_rows"] == {"latitude_out_of_range": 2}
    assert (tmp_path / "workspace" / "current").exists()
    assert found_in(tmp_path) == []


def test_no_stage_that_a_night_removes_again_held_a_position(
    input_folder: Path, tmp_path: Path, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = iter(range(10_000))
    remove = shutil.rmtree

    def keep_and_remove(path: Path, *arguments: object, **keys: object) -> None:
        if Path(path).exists():
            shutil.copytree(path, tmp_path / "removed" / str(next(kept)))
        remove(path, *arguments, **keys)

    monkeypatch.setattr(workspace_module.shutil, "rmtree", keep_and_remove)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["hearabouts", *arguments(input_folder)])
    main()
    assert next(kept) > 0
    assert found_in(tmp_path) == []


def test_an_error_in_the_night_quotes_no_position(input_folder: Path, tmp_path: Path, hearabouts: Run) -> None:
    """A night with too many bad rows stops, and its message has reasons and counts only."""
    broken = Path(shutil.copytree(input_folder, tmp_path / "broken"))
    write_listens(broken / "listens", FIRST, [row("user-2", TRACKS[5], noon(FIRST), BAD_CANARY)] * 9)
    run = hearabouts(*arguments(broken), "--workspace", tmp_path / "w")
    assert run.code == 65
    assert [trace for trace in traces() if trace in (run.out + run.err).encode()] == []
    assert LISBON  # the ordinary positions are not canaries: rounded, they may occur by chance
