"""A consents file that is brought in: what is told meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.night import PURPOSES, write_consents

from pipelines.privacy import import_consents as job
from recsys.settings import load_settings
from recsys.workspace import Workspace


def test_how_far_it_is_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    @contextmanager
    def counted(what: str) -> Iterator[Callable[[int, int], None]]:
        assert what == "consents"
        yield lambda done, of: told.append((done, of))

    monkeypatch.setattr(job, "counted", counted)
    monkeypatch.setattr(job, "_TELL", 2)
    workspace = Workspace(tmp_path / "workspace").prepare()
    file = write_consents(tmp_path / "consents.csv", ["ana", "bea"])
    rows = 2 * len(PURPOSES)
    done = job.import_consents(file, workspace=workspace, settings=load_settings())
    assert done["new"] == rows
    assert told == [(number, rows) for number in (*range(2, rows + 1, 2), rows)]
    told.clear()
    assert job.import_consents(file, workspace=workspace, settings=load_settings())["new"] == 0
    assert told == [], "nothing of a file is read again that was brought in"
