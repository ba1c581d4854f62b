"""Who is learned from where there are more listeners than a setting bounds, and what everybody else is served."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from support.listening import FIRST_NIGHT, contributions, world

from recsys.models.collaborative import Trained, learn_and_train, train
from recsys.models.fit_blend import learn
from recsys.models.interactions import Interactions, gather, heard_later
from recsys.models.learners import drawn
from recsys.models.metrics import top
from recsys.models.regional import fit, fit_alone
from recsys.settings import ModelsSettings, load_settings

KEYS = {"factors": 16, "min_listeners_per_track": 3, "min_listeners_per_region": 20, "iterations": 5}
BOUND = 150


def models(**keys: float | str) -> ModelsSettings:
    return load_settings(overrides={"models": {**KEYS, **keys}}).models


def at_home(**listeners: int) -> Interactions:
    """Return so many listeners of one track at home in each part; in none of those of ``nowhere``."""
    rows = [
        (f"{part}{number:03d}", 0, None if part == "nowhere" else part, "x", 1)
        for part, size in listeners.items()
        for number in range(size)
    ]
    return gather(contributions(rows), settings=models(min_listeners_per_track=1))


def by_part(known: Interactions, rows: np.ndarray) -> list[int]:
    return np.bincount(known.homes[rows] + 1, minlength=len(known.parts) + 1).tolist()


@pytest.fixture(scope="module")
def halves() -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = world(11, listeners=500, tracks=120, parts=4, nights=11, plays=40)
    early = pl.col("night") < FIRST_NIGHT + timedelta(days=8)
    return rows.filter(early), rows.filter(~early)


@pytest.fixture(scope="module", params=["als", "ease"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bounded(halves: tuple[pl.DataFrame, pl.DataFrame], engine: str) -> Trained:
    return learn_and_train(*halves, settings=models(engine=engine, max_training_listeners=BOUND))


def test_by_default_two_hundred_thousand_listeners_are_learned_from() -> None:
    assert load_settings().models.max_training_listeners == 200_000


@pytest.mark.parametrize("bound", [0, 10, 11])
def test_everybody_is_drawn_up_to_the_bound_and_without_one(bound: int) -> None:
    known = at_home(P=6, Q=4)
    rows = drawn(known, settings=models(max_training_listeners=bound))
    assert rows.tolist() == list(range(10))
    assert known.of(rows) is known


def test_half_is_drawn_of_listeners_and_half_of_places() -> None:
    """Of 100: turns r / (.9 / 1 + 1 / 2) and r / (.1 / 1 + 1 / 2) reach 1.4 / .6 = 7 / 3 as many of P as of Q."""
    known = at_home(P=90, Q=10)
    assert by_part(known, drawn(known, settings=models(max_training_listeners=10))) == [0, 7, 3]
    assert by_part(known, drawn(known, settings=models(max_training_listeners=20))) == [0, 14, 6]
    assert by_part(known, drawn(known, settings=models(max_training_listeners=50))) == [0, 40, 10]  # Q has no more


def test_who_is_at_home_nowhere_is_drawn_as_of_a_place() -> None:
    known = at_home(P=40, nowhere=40)
    assert by_part(known, drawn(known, settings=models(max_training_listeners=20))) == [10, 10]


def test_the_seed_decides_who_is_drawn_of_a_place() -> None:
    known = at_home(P=100)
    once, again, other = (drawn(known, settings=models(max_training_listeners=50, seed=s)).tolist() for s in (1, 1, 2))
    assert once == again
    assert 10 < len({*once} & {*other}) < 40  # by chance half of them


def test_a_draw_is_of_listeners_and_not_of_rows() -> None:
    """Other listeners of a place take turns of their own: but for their number the same are drawn the next night."""
    known, more = at_home(P=100), at_home(P=110)
    settings = models(max_training_listeners=50)
    names = [{*some.listeners.gather(drawn(some, settings=settings))} for some in (known, more)]
    assert names[1] & {*known.listeners} <= names[0]
    assert len(names[0] & names[1]) >= 40


def test_some_listeners_have_what_they_had_among_all() -> None:
    rows = [("a", 0, "P", "x", 5), ("a", 0, "P", "y", 1), ("b", 1, "Q", "x", 1), ("c", 1, "Q", "x", 2)]
    rows += [("c", 1, "Q", "y", 2), ("c", 2, "Q", "x", 1), ("c", 2, "Q", "z", 1), ("d", 2, None, "z", 1)]
    known = gather(contributions(rows), settings=models(min_listeners_per_track=1, sitting_weight=0.5))
    some, chosen = known.of(np.array([2, 3])), np.array([2, 3])
    assert (some.listeners.to_list(), some.tracks.to_list(), some.parts) == (["c", "d"], ["x", "y", "z"], ("P", "Q"))
    assert some.homes.tolist() == [1, -1]
    for matrix in ("confidence", "recent", "query"):
        found, whole = getattr(some, matrix), getattr(known, matrix)
        np.testing.assert_array_equal(found.toarray(), whole[chosen].toarray())
    assert some.session_of.tolist() == [0, 0]
    np.testing.assert_array_equal(some.sessions.toarray(), [[1, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(some.sessions_of(np.array([0])).toarray(), known.sessions_of(chosen).toarray())
    assert some.age.tolist() == known.age.tolist()


def test_up_to_the_bound_every_bit_is_as_without_one(halves: tuple[pl.DataFrame, pl.DataFrame], engine: str) -> None:
    number = gather(pl.concat(halves), settings=models()).shape[0]
    keys = {"engine": engine, "ranker": "trees" if engine == "als" else "logistic"}  # either once: trees take long
    none, just = (learn_and_train(*halves, settings=models(**keys, max_training_listeners=n)) for n in (0, number))
    assert none.learned is none.known
    assert just.learned.shape[0] == number
    assert none.parameters.weights.tolist() == just.parameters.weights.tolist()
    assert none.facts.equals(just.facts)
    for name, model in none.models.items():
        np.testing.assert_array_equal(model.scores(np.arange(number)), just.models[name].scores(np.arange(number)))


def test_models_learn_from_the_drawn_alone(halves: tuple[pl.DataFrame, pl.DataFrame], engine: str) -> None:
    """What the others play changes no score of the tracks' side; that of the drawn alone has the same bits."""
    settings = models(engine=engine, max_training_listeners=BOUND)
    known = gather(pl.concat(halves), settings=settings)
    alone = known.of(drawn(known, settings=settings))
    bounded, small = fit(known, settings=settings), fit(alone, settings=settings)
    assert bounded.sizes.tolist() == small.sizes.tolist()
    assert sorted(bounded.sides) == sorted(small.sides)
    asked = np.arange(30)
    sides = [(bounded.world, small.world), *((bounded.sides[place], small.sides[place]) for place in small.sides)]
    for one, other in sides:
        np.testing.assert_array_equal(one.scores(known, asked), other.scores(known, asked))
    local, apart = fit_alone(bounded, settings=settings), fit_alone(small, settings=settings)
    for place, side in apart.sides.items():
        np.testing.assert_array_equal(local.sides[place].scores(known, asked), side.scores(known, asked))


def test_the_blend_is_learned_from_the_drawn_alone(halves: tuple[pl.DataFrame, pl.DataFrame], engine: str) -> None:
    """Whatever all others play on the validation nights."""
    early, late = halves
    settings = models(engine=engine, max_training_listeners=BOUND)
    known = gather(early, settings=settings)
    fitted, later = fit(known, settings=settings).asked_again(), heard_later(late, known=known)
    others = np.setdiff1d(np.arange(known.shape[0]), drawn(known, settings=settings))
    changed = later.tolil()
    changed[others] = 1 - later[others].toarray()
    found = [learn(fitted, later=one, settings=settings) for one in (later, sparse.csr_array(changed))]
    assert found[0].weights.tolist() == found[1].weights.tolist()
    assert (found[0].open_gates, found[0].summed) == (found[1].open_gates, found[1].summed)
    np.testing.assert_equal(dict(found[0].gains), dict(found[1].gains))


def test_everybody_is_served_alike_whether_asked_alone_or_together(bounded: Trained) -> None:
    everybody = np.arange(bounded.known.shape[0])
    for model in bounded.models.values():
        together = model.scores(everybody)
        assert np.isfinite(together).all()
        assert (np.ptp(together, axis=1) > 0).all()
        lists = top(together, 10)
        for row in (0, 77, len(everybody) - 1):
            assert top(model.scores(np.array([row])), 10)[0].tolist() == lists[row].tolist()


def test_a_night_serves_the_same_as_an_evaluation(bounded: Trained, engine: str) -> None:
    """It remembers nobody's vector, and an evaluation those of the drawn: the same bits for all."""
    settings = models(engine=engine, max_training_listeners=BOUND)
    night = train(bounded.known, parameters=bounded.parameters, settings=settings)
    everybody = np.arange(bounded.known.shape[0])
    for name, model in night.items():
        np.testing.assert_array_equal(model.scores(everybody), bounded.models[name].scores(everybody))


def test_facts_and_trends_are_of_all_and_rows_of_the_drawn(bounded: Trained) -> None:
    assert bounded.learned.shape[0] == BOUND
    assert bounded.facts["listeners"].sum() == bounded.known.shape[0] > BOUND
    every = [bounded.known.confidence[bounded.known.rows_of(part)].nnz for part in range(4)]
    found = bounded.facts["train_rows"].to_list()
    assert all(few < many for few, many in zip(found[:2], every[:2], strict=True))  # the two largest
    whole = learn_and_train_trends(bounded)
    np.testing.assert_array_equal(bounded.models["blend"].trends, whole)


def learn_and_train_trends(trained: Trained) -> np.ndarray:
    return train(trained.known, parameters=trained.parameters, settings=models(max_training_listeners=0))[
        "blend"
    ].trends
