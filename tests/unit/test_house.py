"""The house: layers, errors, and the words that a person reads."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from recsys import errors
from recsys.settings import load_settings

ROOT = Path(__file__).parents[2]


def all_errors() -> list[type[errors.RecsysError]]:
    def below(error: type[errors.RecsysError]) -> list[type[errors.RecsysError]]:
        return [error, *(e for child in error.__subclasses__() for e in below(child))]

    return below(errors.RecsysError)


def test_the_layers_hold() -> None:
    linter = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert linter.returncode == 0, linter.stdout


@pytest.mark.parametrize("error", all_errors())
def test_every_error_has_an_exit_code_a_status_and_a_problem(error: type[errors.RecsysError]) -> None:
    assert error.exit_code in {1, 2, 65, 75, 77, 78}
    assert error.status in {400, 401, 403, 404, 409, 429, 500, 503}
    assert re.fullmatch(r"[a-z-]+", error.problem)


def test_positions_become_cells_in_one_place_and_public_cities_in_another() -> None:
    callers = [
        str(file.relative_to(ROOT))
        for folder in ("recsys", "pipelines")
        for file in sorted((ROOT / folder).rglob("*.py"))
        if re.search(r"latlng_to_cell\(", file.read_text())
    ]
    assert [c for c in callers if not c.startswith("pipelines/sample")] == [
        "recsys/arrivals/coarsening.py",
        "recsys/geography/atlas.py",
    ]


def test_every_setting_is_read_somewhere() -> None:
    code = "\n".join(f.read_text() for folder in ("recsys", "pipelines") for f in (ROOT / folder).rglob("*.py"))
    unread = [key for key in load_settings().flat() if not re.search(rf"\.{key.split('.')[1]}\b", code)]
    assert unread == []


def test_the_lock_names_no_registry() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_no_source_names_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    texts = [(name, (ROOT / name).read_bytes()) for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    assert [name for name, text in texts if b"/wo" + b"rk/" in text or b"/ro" + b"ot/" in text] == []
