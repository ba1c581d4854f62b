"""How many processes and tasks work side by side in how much memory."""

from pathlib import Path

import pytest

from pipelines.base import machine
from pipelines.base.machine import memory, side_by_side
from pipelines.night.engines.one_machine import OneMachine
from pipelines.night.engines.opening import opened
from recsys.errors import SettingsError
from recsys.settings import MachineSettings, load_settings


def allowed(gib: float) -> MachineSettings:
    return load_settings(overrides={"machine": {"memory_gib": gib}}).machine


@pytest.fixture
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_count", lambda: 8)


@pytest.mark.usefixtures("eight_processors")
@pytest.mark.parametrize(
    ("gib", "each", "expected"),
    [
        (100, 1, 8),  # no more than there are processors
        (9, 1, 8),  # one is for the job itself
        (8.9, 1, 7),
        (4, 1.5, 2),
        (2, 1, 1),
        (2, 1.5, 1),  # which nothing can be less than
        (2, 0.5, 2),
    ],
)
def test_as_many_work_at_a_time_as_fit_beside_the_job(gib: float, each: float, expected: int) -> None:
    assert side_by_side(allowed(gib), each=each) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], 8),
        (["max\n"], 8),
        ([str(6 << 30)], 3),
        (["max\n", str(5 << 30)], 2.5),
        ([str(1 << 60)], 8),  # of more than there is
    ],
)
def test_by_default_it_is_half_of_what_the_machine_or_its_container_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limits: list[str], expected: float
) -> None:
    files = [tmp_path / str(number) for number in range(len(limits))]
    for file, limit in zip(files, limits, strict=True):
        file.write_text(limit)
    monkeypatch.setattr(machine, "_LIMITS", [*files, tmp_path / "missing"])
    monkeypatch.setattr(machine, "_installed", lambda: 16.0)
    assert memory(load_settings().machine) == expected
    assert memory(allowed(3)) == 3


def test_this_machine_has_some() -> None:
    assert 0.1 < memory(load_settings().machine) < 1e5


@pytest.mark.parametrize("gib", [0.5, 1.9, -1, float("inf"), float("nan")])
def test_less_than_what_is_possible_is_refused_and_what_is_possible_said(gib: float) -> None:
    with pytest.raises(SettingsError, match=r"machine\.memory_gib: expected 0, .*or at least 2: less is not enough"):
        allowed(gib)


@pytest.mark.usefixtures("eight_processors")
@pytest.mark.parametrize(("gib", "expected"), [(100, 4), (2, 2)])
def test_the_engine_of_one_machine_has_as_many_buckets_in_memory_as_fit(
    monkeypatch: pytest.MonkeyPatch, gib: float, expected: int
) -> None:
    monkeypatch.setattr("pipelines.night.engines.one_machine.pl.thread_pool_size", lambda: 8)
    engine = opened("polars", settings=load_settings(overrides={"machine": {"memory_gib": gib}}))
    assert isinstance(engine, OneMachine)
    assert engine.at_once == expected
