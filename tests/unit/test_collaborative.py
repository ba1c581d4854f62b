"""Learning on the validation nights and training on both: what comes out, and that it can be had again."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from support.listening import FIRST_NIGHT, contributions, world

from recsys.models.collaborative import UNLEARNED, Trained, learn_and_train, train
from recsys.models.interactions import gather
from recsys.settings import ModelsSettings, load_settings

MODEL_FACTS = ["own_model", "gate_open", "own_weight", "gate_gain", "learned_order"]
FACTS = ["part", "parent", "listeners", "train_rows", *MODEL_FACTS]
COUNTRIES = {f"part-00{part}": "ab"[part % 2] for part in range(4)}
KEYS = {"factors": 16, "min_listeners_per_track": 3, "min_listeners_per_region": 50, "iterations": 5}


def models(**keys: float | str) -> ModelsSettings:
    return load_settings(overrides={"models": {**KEYS, **keys}}).models


def split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    early = pl.col("night") < FIRST_NIGHT + timedelta(days=8)
    return rows.filter(early), rows.filter(~early)


@pytest.fixture(scope="module")
def halves() -> tuple[pl.DataFrame, pl.DataFrame]:
    return split(world(11, listeners=500, tracks=120, parts=4, nights=11, plays=40))


@pytest.fixture(scope="module", params=["als", "ease"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def trained(halves: tuple[pl.DataFrame, pl.DataFrame], engine: str) -> Trained:
    return learn_and_train(*halves, settings=models(engine=engine, ranker="trees"), parents=COUNTRIES)


def test_every_model_scores_whoever_was_known_in_both(trained: Trained, halves: tuple[pl.DataFrame, ...]) -> None:
    assert trained.known.listeners.equals(gather(pl.concat(halves), settings=models()).listeners)
    assert set(trained.models) == {"global", "local", "regional", "blend"}
    listeners, tracks = trained.known.shape
    rows = np.array([0, listeners - 1])
    for model in trained.models.values():
        scores = model.scores(rows)
        assert (scores.shape, scores.dtype, bool(np.isfinite(scores).all())) == ((2, tracks), np.float32, True)


def test_the_facts_say_of_every_part_what_it_is_served(trained: Trained) -> None:
    facts = trained.facts
    assert facts.columns == FACTS
    assert facts["part"].to_list() == sorted(COUNTRIES)
    assert facts["parent"].to_list() == ["a", "b", "a", "b"]
    assert facts["own_model"].to_list() == [listeners >= 50 for listeners in facts["listeners"]]
    assert facts.filter(pl.col("gate_open") & ~pl.col("own_model")).is_empty()
    assert facts.filter(pl.col("gate_gain").is_null() & pl.col("own_model")).is_empty()


def test_the_curve_is_that_of_the_sweeps(trained: Trained, engine: str) -> None:
    curve = trained.curve
    if engine == "ease":
        assert curve.is_empty()
    else:
        assert curve["step"].to_list() == list(range(5))
        assert curve["loss"].is_sorted(descending=True)
    assert curve.columns == ["model", "step", "loss"]


def test_the_recipe_of_one_night_trains_the_same_models_again(trained: Trained, engine: str) -> None:
    rows = np.arange(20)
    for threads in (1, 2):
        again = train(trained.known, parameters=trained.parameters, settings=models(engine=engine), threads=threads)
        assert set(again) == {"global", "regional", "blend"}
        for name, model in again.items():
            np.testing.assert_array_equal(model.scores(rows), trained.models[name].scores(rows))


def test_without_a_track_before_the_validation_nights_nothing_is_learned() -> None:
    rows = [("a", 9, "P", "x", 1), ("b", 9, "P", "x", 1), ("b", 9, "P", "y", 1)]
    found = learn_and_train(*split(contributions(rows)), settings=models(min_listeners_per_track=1))
    assert found.parameters == UNLEARNED
    assert found.known.shape == (2, 2)


def test_no_listener_is_in_the_printed_form(trained: Trained) -> None:
    text = repr(trained)
    assert not [listener for listener in trained.known.listeners if listener in text]
