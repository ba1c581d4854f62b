"""The page of the charts' model names every constant of the core, with the value that it has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from recsys.releases.charts import charts
from recsys.releases.counts import window
from recsys.releases.inference import (
    coarse_grid,
    fine_grid,
    hierarchy,
    memory,
    neighbours,
    posterior,
    significance,
    trend_baseline,
)

PAGE = Path(__file__).parents[2] / "docs" / "charts-model.md"
CORE = (posterior, coarse_grid, fine_grid, hierarchy, memory, neighbours, significance, trend_baseline, window, charts)
ROW = re.compile(r"^\| `(\w+)\.(\w+)` \| ([^|]+) \|")


def name_of(module: ModuleType) -> str:
    return module.__name__.rsplit(".", 1)[-1]


def constants(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield what is assigned in capitals at a module's top and holds numbers."""
    for node in ast.parse(Path(str(module.__file__)).read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        names = [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
        for name in names:
            value = getattr(module, name)
            if name.isupper() and is_numeric(value):
                yield name, value


def is_numeric(value: object) -> bool:
    return isinstance(value, int | float | np.ndarray) or (isinstance(value, tuple) and is_numeric(value[0]))


def rows() -> list[tuple[str, str, str]]:
    return [match.groups() for match in map(ROW.match, PAGE.read_text().splitlines()) if match]  # type: ignore[misc]


def test_the_page_names_every_constant_of_the_core_once_and_no_other() -> None:
    there = sorted((name_of(module), name) for module in CORE for name, _ in constants(module))
    assert sorted((module, name) for module, name, _ in rows()) == there


@pytest.mark.parametrize("module", CORE, ids=name_of)
def test_the_page_has_the_present_values(module: ModuleType) -> None:
    """Of an array it has the length, the first and the last number, rounded."""
    said = {name: numbers_of(value) for of, name, value in rows() if of == name_of(module)}
    assert said == {name: summary(value) for name, value in constants(module)}


def numbers_of(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d[\d.e-]*", text)]


def summary(value: object) -> object:
    if isinstance(value, np.ndarray):
        return pytest.approx([len(value), value[0], value[-1]], rel=0.01)
    return [*value] if isinstance(value, tuple) else [value]


def test_constants_are_found_as_they_are_written() -> None:
    """The oracle of the tests above: tuples and arrays count, text and types do not."""
    found = dict(constants(charts)) | dict(constants(posterior))
    assert {"_TWENTIETH", "_STANDS_OUT", "COVERED", "_GRID", "_USUAL_SIZES"} <= found.keys()
    assert not {"MOVER", "DEBUT", "Array"} & found.keys()
