"""Forecasts of next week: what is asked, what is learned, and that nothing is known of a night before it was over."""

from collections.abc import Mapping

import numpy as np
import pytest

from recsys.artifacts.moves import moved_up
from recsys.models.forecast import Charts, Codes, learn

NIGHTS, SIZE = 80, 100
_STEADY, _SLOW = 60, 8  # tracks that stay, and nights that a newcomer takes from rank 95 to 5


def test_a_track_moves_up_by_entering_the_first_fifty_or_by_climbing_five_ranks_within_them() -> None:
    now = [51, 51, 50, 50, 10, 10]
    best = [50, 51, 45, 46, 5, 6]
    assert moved_up(now, best).tolist() == [True, False, True, False, True, False]


class World:
    """Charts of a world, a country and a region in which newcomers climb in a straight line, and the rest stays.

    Every second night a track enters at rank 95, climbs nine ranks a night to rank 5 and is gone: of all that were seen
    climbing once, it is certain what they do next.
    """

    def __init__(self, missing: frozenset[int] = frozenset()) -> None:
        self.asked: list[tuple[int, int]] = []
        self._lists = {night: self._list(night) for night in range(1, NIGHTS + 1) if night not in missing}

    def read(self, place: str, first: int, last: int) -> Mapping[int, Codes]:
        assert place in {"world", "PT", "85"}
        self.asked.append((first, last))
        return {night: self._lists[night] for night in range(first, last + 1) if night in self._lists}

    def _list(self, night: int) -> Codes:
        listed = np.arange(SIZE, dtype=np.uint32)  # who stays, by rank
        for born in range(night - _SLOW - 1, night + 1):
            if born % 2 == 0:
                listed[95 - 9 * (night - born) - 1 if night > born else 94] = 1_000 + born + SIZE
        return listed


def charts(world: World) -> Charts:
    return Charts(world.read, {"world": "world", "PT": "world", "85": "PT"}, ["PT"], SIZE)


def test_a_question_names_every_track_of_four_weeks_and_where_it_is_now() -> None:
    question = charts(World()).question("85", 40)
    assert question is not None
    now = dict(zip(question.tracks.tolist(), question.now.tolist(), strict=True))
    assert now[1_000 + 40 + SIZE] == 95  # it entered tonight
    assert now[1_000 + 38 + SIZE] == 95 - 18
    assert now[1_000 + 20 + SIZE] == 1.25 * SIZE  # it is gone, and was there three weeks ago
    assert 1_000 + 2 + SIZE not in now  # gone for longer than four weeks


def test_the_answer_is_in_the_seven_nights_after() -> None:
    asked = charts(World())
    question = asked.question("85", 40)
    assert question is not None
    answer = asked.answer("85", 40, question)
    assert answer is not None
    did = dict(zip(question.tracks.tolist(), answer.tolist(), strict=True))
    assert did[1_000 + 40 + SIZE]  # 95 to 32 within seven nights
    assert did[1_000 + 36 + SIZE]  # 59 now, among the first fifty tomorrow
    assert not did[1_000 + 20 + SIZE]
    assert not did[1]  # stays


def test_no_answer_before_its_nights_are_over() -> None:
    asked = charts(World())
    question = asked.question("85", NIGHTS - 5)
    assert question is not None
    assert asked.answer("85", NIGHTS - 5, question) is None


def test_a_missing_night_is_like_the_one_before() -> None:
    whole, holed = charts(World()), charts(World(frozenset({39})))
    complete, question = whole.question("85", 40), holed.question("85", 40)
    assert complete is not None
    assert question is not None
    assert question.now.tolist() == complete.now.tolist()
    assert holed.question("85", 39) is None
    assert holed.answer("85", 38, question) is not None  # six of seven nights tell


def test_what_is_certain_to_move_up_is_told_from_what_is_not() -> None:
    world = World()
    asked = charts(world)
    forecaster = learn(asked, [(night, place) for night in range(10, 60) for place in ("world", "PT", "85")])
    assert forecaster is not None
    question = asked.question("85", 70)
    assert question is not None
    chances = dict(zip(question.tracks.tolist(), forecaster.chances([question]).tolist(), strict=True))
    assert min(chances[1_000 + born + SIZE] for born in (64, 66, 68)) > 0.9  # on their way up
    assert max(chances[track] for track in range(1, 5)) < 0.1  # stay
    assert chances[1_000 + 50 + SIZE] < 0.1  # gone


def test_a_lesson_knows_nothing_but_its_own_weeks() -> None:
    world = World()
    learn(charts(world), [(30, "85")])
    assert max(last for _, last in world.asked) == 37
    world.asked.clear()
    charts(world).question("85", 40)
    assert max(last for _, last in world.asked) == 40


@pytest.mark.parametrize("lessons", [[], [(NIGHTS, "85")], [(1, "85")]])
def test_from_too_little_nothing_is_learned(lessons: list[tuple[int, str]]) -> None:
    assert learn(charts(World()), lessons) is None
