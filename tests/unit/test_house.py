"""The house: layers, errors, and the words that a person reads."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from recsys import errors
from recsys.settings import Settings

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
    assert error.status in {400, 401, 403, 404, 409, 413, 415, 429, 500, 503}
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


SECTIONS = {field.annotation.__name__: section for section, field in Settings.model_fields.items()}
KEYS = {section: set(field.annotation.model_fields) for section, field in Settings.model_fields.items()}
IN_FULL = [f"{section}.{key}" for section, keys in KEYS.items() for key in keys]


@cache
def settings_read() -> set[str]:
    """Return every ``section.key`` that the code reads of settings, but for the settings' own module."""
    files = [file for folder in ("recsys", "pipelines") for file in (ROOT / folder).rglob("*.py")]
    trees = [ast.parse(file.read_text()) for file in files if file != ROOT / "recsys/settings.py"]
    named = [(tree.body, sections_in(tree)) for tree in trees]
    return {key for statements, names in named for each in statements for key in read_in(each, named=names)}


def read_in(statement: ast.stmt, *, named: dict[str, str | None]) -> Iterator[str]:
    """Yield ``section.key`` of every attribute that a function or a class reads of a section."""
    named = named | sections_in(statement)
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and (section := section_of(node.value, named=named)):
            yield f"{section}.{node.attr}"


def sections_in(tree: ast.AST) -> dict[str, str | None]:
    """Return which names are sections, by annotation or assignment; None for what is annotated as another thing."""
    nodes = list(ast.walk(tree))
    annotated = [node for node in nodes if isinstance(node, ast.arg | ast.AnnAssign)]
    named = {last_name(node): SECTIONS.get(last_name(node.annotation)) for node in annotated}
    for target, value in [pair for node in nodes if isinstance(node, ast.Assign) for pair in assigned(node)]:
        if section := SECTIONS.get(last_name(value)) or section_of(value, named=named):
            named.setdefault(last_name(target), section)
    return named


def section_of(value: ast.expr, *, named: dict[str, str | None]) -> str | None:
    """Return which section a value is: that of a name, or ``settings.SECTION``."""
    whole = isinstance(value, ast.Attribute) and last_name(value.value).endswith("settings")
    return value.attr if whole and value.attr in KEYS else named.get(last_name(value))


def assigned(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def last_name(node: ast.AST | None) -> str:
    """Return the last word of a name: ``c`` of ``c``, ``c: int``, ``a.b.c`` and ``a.b.c()``."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            return name
        case ast.Call(func=inner) | ast.AnnAssign(target=inner):
            return last_name(inner)
    return ""


def test_every_setting_is_read_somewhere() -> None:
    through = {"consents.earlier_notices": "consents.in_force", "tracking.uri": "tracking.store"}  # of the section
    assert [key for key in IN_FULL if through.get(key, key) not in settings_read()] == []


@pytest.mark.parametrize("section", KEYS)
def test_a_setting_that_nobody_reads_is_noticed_whatever_it_is_called(section: str) -> None:
    """Keys of other sections are names that the code is full of: in a section that has none such, nobody reads it."""
    others = set().union(*KEYS.values()) - KEYS[section]
    assert {f"{section}.{key}" for key in others} & settings_read() == set()


def test_the_lock_names_no_registry() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_no_source_names_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    texts = [(name, (ROOT / name).read_bytes()) for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    assert [name for name, text in texts if b"/wo" + b"rk/" in text or b"/ro" + b"ot/" in text] == []
