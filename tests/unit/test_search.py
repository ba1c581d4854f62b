"""The search for settings: what it finds, gives up, and never looks at."""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from support.listening import contributions, world

from pipelines.base.experiment_config import Search
from pipelines.experiments import search as searching
from pipelines.experiments.search import search
from recsys.errors import InputError
from recsys.models.deployable import validated
from recsys.settings import ModelsSettings, load_settings

ROWS = contributions([(f"l{number:03}", 0, "p", "t", 1) for number in range(200)])
SETTINGS = load_settings().models


def asked(**keys: object) -> Search:
    ranges = {"regularization": {"low": 0.1, "high": 10.0, "log": True}, "engine": ["als", "ease"]}
    return Search.model_validate({"trials": 12, "models": ranges, **keys})


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ModelsSettings]]:
    """Put in the place of training: best at a ridge of 2 with EASE. Returns the listeners and settings of each call."""
    calls: list[tuple[int, ModelsSettings]] = []

    def value(rows: pl.DataFrame, *, settings: ModelsSettings, **_: Mapping[str, str] | None) -> float:
        calls.append((rows["listener"].n_unique(), settings))
        return 0.5 - abs(np.log(settings.regularization / 2)) / 10 + 0.1 * (settings.engine == "ease")

    monkeypatch.setattr(searching, "validated", value)
    return calls


def test_the_best_of_the_trials_is_found_and_nothing_else_changes(measured: list[tuple[int, ModelsSettings]]) -> None:
    found = search(ROWS, asked=asked(), settings=SETTINGS, parents={})
    whole = found.trials.drop_nulls("value").sort("value")
    assert (found.value, found.models.engine) == (whole["value"][-1], "ease")
    assert 1 < found.models.regularization < 4
    assert found.models.model_copy(update={"regularization": 1.5, "engine": "als"}) == SETTINGS
    assert found.trials.columns[-2:] == ["models.regularization", "models.engine"]


def test_the_first_trial_is_the_settings_as_they_are(measured: list[tuple[int, ModelsSettings]]) -> None:
    search(ROWS, asked=asked(trials=1), settings=SETTINGS, parents={})
    assert measured[0][1] == SETTINGS


@pytest.mark.parametrize("ranges", [{}, {"models": {"regularization": {"low": 3.0, "high": 10.0}}}], ids=["in", "out"])
def test_what_the_settings_as_they_are_are_worth_is_told(
    measured: list[tuple[int, ModelsSettings]], ranges: dict[str, object]
) -> None:
    """Also where they lie outside the ranges, and no trial is they."""
    found = search(ROWS, asked=asked(trials=2, **ranges), settings=SETTINGS, parents={})
    assert found.before == pytest.approx(0.5 - np.log(2 / 1.5) / 10)  # a ridge of 1.5, and not EASE
    assert (200, SETTINGS) in measured


def test_what_is_in_force_is_compared_with_where_the_experiment_changed_it(
    measured: list[tuple[int, ModelsSettings]],
) -> None:
    changed = SETTINGS.model_copy(update={"factors": 8})
    found = search(ROWS, asked=asked(trials=1), settings=changed, parents={}, in_force=SETTINGS)
    assert found.before == pytest.approx(0.5 - np.log(2 / 1.5) / 10)
    assert measured[0][1] == changed
    assert measured[-1] == (200, SETTINGS)


def test_settings_as_they_are_that_cannot_be_fitted_are_worth_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def value(rows: pl.DataFrame, *, settings: ModelsSettings, **_: Mapping[str, str] | None) -> float:
        if settings == SETTINGS:
            raise InputError("nothing to learn from")
        return settings.regularization

    monkeypatch.setattr(searching, "validated", value)
    ranges = {"regularization": {"low": 3.0, "high": 10.0}}
    for some in ({}, {"models": ranges}):
        assert np.isnan(search(ROWS, asked=asked(**some), settings=SETTINGS, parents={}).before)


def test_a_trial_below_the_median_is_given_up_after_a_look_at_some(measured: list[tuple[int, ModelsSettings]]) -> None:
    found = search(ROWS, asked=asked(share=0.5), settings=SETTINGS, parents={})
    pruned = found.trials.filter(pl.col("state") == "pruned")
    assert 0 < pruned.height < 12
    assert pruned["value"].null_count() == pruned.height
    first = [listeners for listeners, _ in measured if listeners < 200]
    assert len(first) == 12
    assert 60 < first[0] < 140  # half of 200, five standard deviations either way
    assert len(measured) - len(first) == 12 - pruned.height


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("singular"), InputError("nothing to learn from")])
def test_a_trial_that_cannot_be_fitted_fails_and_the_search_goes_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def value(rows: pl.DataFrame, *, settings: ModelsSettings, **_: Mapping[str, str] | None) -> float:
        if settings.engine == "ease":
            raise error
        return settings.regularization

    monkeypatch.setattr(searching, "validated", value)
    found = search(ROWS, asked=asked(), settings=SETTINGS, parents={})
    failed = found.trials.filter(pl.col("state") == "fail")
    assert set(failed["models.engine"]) == {"ease"}
    assert set(failed["problem"]) == {str(error)}
    assert failed["value"].null_count() == failed.height > 0
    assert (found.trials.height, found.models.engine) == (12, "als")
    assert found.value == found.models.regularization


def test_where_every_trial_fails_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def value(*_: object, **__: object) -> float:
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(searching, "validated", value)
    with pytest.raises(InputError, match="none of the 12 trials could be measured; the last one: singular"):
        search(ROWS, asked=asked(), settings=SETTINGS, parents={})


def test_a_share_of_one_looks_once_and_gives_nothing_up(measured: list[tuple[int, ModelsSettings]]) -> None:
    found = search(ROWS, asked=asked(share=1), settings=SETTINGS, parents={})
    assert (len(measured), set(found.trials["state"]), found.trials["first_look"].null_count()) == (
        12,
        {"complete"},
        12,
    )


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_tries_the_same(measured: list[tuple[int, ModelsSettings]], sampler: str) -> None:
    trials = [search(ROWS, asked=asked(sampler=sampler), settings=SETTINGS, parents={}).trials for _ in range(2)]
    assert trials[0].drop("seconds").equals(trials[1].drop("seconds"))
    other = search(ROWS, asked=asked(sampler=sampler, seed=2), settings=SETTINGS, parents={}).trials
    assert not other["models.regularization"].equals(trials[0]["models.regularization"])


def test_whole_numbers_stay_whole(measured: list[tuple[int, ModelsSettings]]) -> None:
    ranges = {"factors": {"low": 8, "high": 64}}
    found = search(ROWS, asked=asked(models=ranges), settings=SETTINGS, parents={})
    assert isinstance(found.models.factors, int)
    assert found.trials["models.factors"].dtype == pl.Int64


def small(**keys: int) -> ModelsSettings:
    models = {"factors": 4, "iterations": 2, "min_listeners_per_track": 2, "validation_nights": 2, "test_nights": 2}
    return load_settings(overrides={"models": {**models, **keys}}).models


def test_the_test_nights_say_nothing_in_a_search() -> None:
    rows = world(1, listeners=120, tracks=30, parts=2, nights=8, plays=60)
    tested = pl.col("night") > rows["night"].unique().sort()[-3]
    shuffled = rows.with_columns(pl.when(tested).then(pl.lit("t00001")).otherwise("track_id").alias("track_id"))
    value = validated(rows, settings=small(), parents={})
    assert value == validated(shuffled, settings=small(), parents={})
    assert 0 < value < 1


def test_too_few_nights_are_counted() -> None:
    rows = world(1, listeners=50, tracks=10, parts=1, nights=6)
    with pytest.raises(InputError, match="there are 6 nights, and a search needs 7"):
        validated(rows, settings=small(), parents={})
