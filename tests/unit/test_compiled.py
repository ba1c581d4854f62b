"""Compiled functions: what they return is what they say, wherever they may be kept."""

import numba
import numpy as np
import pytest

from recsys import compiled as module
from recsys.compiled import compiled


def doubled(values: np.ndarray) -> float:
    total = 0.0
    for value in values:
        total += 2 * value
    return total


def test_a_compiled_function_returns_what_it_says() -> None:
    assert compiled(doubled)(np.arange(5.0)) == 20


def test_where_nothing_can_be_kept_it_is_compiled_by_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def nowhere(**options: object) -> object:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'doubled': no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(module, "njit", nowhere)
    assert compiled(doubled)(np.arange(5.0)) == 20
    assert ["cache" in options for options in asked] == [True, False]
