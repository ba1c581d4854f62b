"""Promise 5 for a whole night: with and without one listener's contributions, only the counts under the noise differ.

Not the candidates, no gate, no chart, no byte that is published, no line of a log, nothing that MLflow gets.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from support.night import LISBON, PORTO
from support.twins import Lived, Pair, differences, lived, squared_sensitivity, twins

from recsys.consents.log import Purpose
from recsys.settings import Settings

# Allows nothing else and plays what nobody plays: whatever the glue does with true counts shows.
ALONE = Pair(12, [[(f"track-{number}", LISBON) for number in (71, 72, 73)], [("track-74", LISBON)]], seed=14)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lived, Lived]:
    """The worlds with and without."""
    return twins(ALONE, tmp_path_factory.mktemp("alone"))


def test_of_a_listener_nothing_shows_but_through_the_noise(alone: tuple[Lived, Lived]) -> None:
    one, other = alone
    assert differences(one, other) == []
    assert min(squared_sensitivity(one, other)) > 0.5  # the worlds do differ


def test_of_whoever_saved_most_no_more_is_counted_than_declared(tmp_path: Path, settings: Settings) -> None:
    """After nine quiet nights a listener plays forty tracks in two places."""
    many = [(f"track-{number}", PORTO if number % 3 else LISBON) for number in range(10, 50)]
    saved = Pair(8, [[("track-00", LISBON)], many], (Purpose.LOCAL_TRENDS, Purpose.PERSONALISATION), gap=9)
    one, other = twins(saved, tmp_path)
    assert differences(one, other) == []
    assert 5 < max(squared_sensitivity(one, other)) <= settings.privacy.most_per_night


def test_two_worlds_that_differ_are_told_apart(alone: tuple[Lived, Lived], tmp_path: Path) -> None:
    """What is compared is alive: plays of somebody else show everywhere."""
    found = differences(alone[0], lived(replace(ALONE, others=13), tmp_path, contributes=True))
    assert any(name.startswith("releases/") for name in found)
    assert any(name.startswith("snapshots/") for name in found)
    assert any(name.startswith("private/unlogged/") for name in found)
    assert any(name.startswith("rows of others") for name in found)
    assert "what is told" in found
