"""The evaluator: what it splits, what it says, what it never says, and what it does with too little."""

from datetime import timedelta

import polars as pl
import pytest
from checkerboard import checkerboard
from listening import FIRST_NIGHT, contributions, world

from recsys.models.evaluation import METRICS, MODELS, Evaluation, evaluate, split_by_night
from recsys.settings import ModelsSettings, load_settings

SINGLE = ("popular_world", "popular_region", "recent_region", "neighbours", "global", "regional")


def models(**keys: float) -> ModelsSettings:
    return load_settings(overrides={"models": {"factors": 64, **keys}}).models


def little(**keys: float) -> ModelsSettings:
    return models(
        factors=4, min_listeners_per_track=1, validation_nights=1, test_nights=1, min_listeners_in_table=1, **keys
    )


@pytest.fixture(scope="module")
def listened() -> pl.DataFrame:
    return world(2, listeners=3000, tracks=600, parts=10)


@pytest.fixture(scope="module")
def evaluation(listened: pl.DataFrame) -> Evaluation:
    return evaluate(listened, settings=models())


@pytest.mark.parametrize("model", SINGLE)
def test_the_blend_beats_every_single_model(evaluation: Evaluation, model: str) -> None:
    for metric in ("ndcg_at_10", "macro_ndcg_at_10"):
        assert evaluation.metrics[f"blend.{metric}"] > evaluation.metrics[f"{model}.{metric}"]


def test_the_keys_are_flat_and_the_same_in_every_run(evaluation: Evaluation) -> None:
    expected = {f"{m}.{kind}{metric}" for m in MODELS for kind in ("", "macro_", "with_heard_") for metric in METRICS}
    assert set(evaluation.metrics) == expected
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in evaluation.metrics.values())
    assert evaluation.note == ""


def test_the_table_has_a_row_per_part_and_says_what_its_listeners_get(evaluation: Evaluation) -> None:
    table = evaluation.by_part
    assert table["part"].to_list() == [f"part-{part:03d}" for part in range(10)]
    assert table["own_model"].to_list() == [listeners >= 100 for listeners in table["listeners"]]
    assert table.filter(pl.col("gate_open") != (pl.col("own_weight") != 0)).is_empty()
    assert table.filter(pl.col("gate_open") & ~pl.col("own_model")).is_empty()
    without_own = table.filter(~pl.col("own_model"))
    assert without_own["regional.ndcg_at_10"].equals(without_own["global.ndcg_at_10"], check_names=False)
    assert evaluation.sizes["own_models"] == table["own_model"].sum()
    assert evaluation.sizes["open_gates"] == table["gate_open"].sum()


def test_overall_is_the_mean_of_listeners_and_macro_the_mean_of_parts(evaluation: Evaluation) -> None:
    table = evaluation.by_part
    parts, weights = table["blend.ndcg_at_10"], table["test_listeners"]
    assert evaluation.metrics["blend.macro_ndcg_at_10"] == pytest.approx(parts.mean())
    assert evaluation.metrics["blend.ndcg_at_10"] == pytest.approx((parts * weights).sum() / weights.sum())
    assert evaluation.sizes["test_listeners"] == weights.sum()


def test_no_listener_is_in_what_leaves(evaluation: Evaluation, listened: pl.DataFrame) -> None:
    left = repr(evaluation) + evaluation.by_part.write_csv()
    assert not [listener for listener in listened["listener"].unique() if listener in left]


def test_parts_with_few_test_listeners_have_no_row() -> None:
    rows = world(4, listeners=300, tracks=80, parts=4, nights=12)
    table = evaluate(rows, settings=models(factors=8, min_listeners_in_table=50)).by_part
    assert 0 < len(table) < 4
    assert (table["test_listeners"] >= 50).all()


def test_the_same_for_any_order_of_the_rows() -> None:
    rows = world(5, listeners=300, tracks=80, parts=3, nights=12)
    keys = models(factors=8, min_listeners_per_region=50)
    once, again = (
        evaluate(frame, settings=keys) for frame in (rows, rows.sample(fraction=1, shuffle=True, seed=1).lazy())
    )
    assert once.metrics == again.metrics
    assert once.weights == again.weights
    assert once.by_part.equals(again.by_part)


def test_what_is_learned_does_not_know_the_test_nights() -> None:
    rows = world(6, listeners=300, tracks=80, parts=3, nights=12)
    last = FIRST_NIGHT + timedelta(days=7)
    test = pl.col("night") >= last
    changed = pl.concat([rows.filter(~test), rows.filter(test).with_columns(pl.col("track_id").reverse())])
    once, other = (evaluate(frame, settings=models(factors=8)) for frame in (rows, changed))
    assert once.weights == other.weights
    assert once.metrics["blend.ndcg_at_10"] != other.metrics["blend.ndcg_at_10"]


def test_every_night_is_in_one_piece() -> None:
    rows = contributions([("a", night, None, "x", 1) for night in range(6)])
    second, fourth = FIRST_NIGHT + timedelta(days=2), FIRST_NIGHT + timedelta(days=4)
    split = split_by_night(rows, validation_from=second, test_from=fourth)
    pieces = [
        [(night - FIRST_NIGHT).days for night in piece["night"]]
        for piece in (split.train, split.validation, split.test)
    ]
    assert pieces == [[0, 1], [2, 3], [4, 5]]


def test_the_missing_track_of_the_checkerboard_is_found() -> None:
    """Everybody plays the one track of their colour that they lack, on the validation night or on the test night."""
    past = checkerboard()
    rows = [(f"{i:02d}", 1 + (i // 2) % 2, ("even", "odd")[i % 2], f"{i:02d}", 1) for i in range(50)]
    found = evaluate(pl.concat([past, contributions(rows)]), settings=little(min_listeners_per_region=20))
    for model in ("popular_region", "neighbours", "global", "regional", "blend"):
        assert found.metrics[f"{model}.ndcg_at_10"] == pytest.approx(1)
        assert found.metrics[f"{model}.recall_at_20"] == pytest.approx(1)


THREE_NIGHTS = [("a", 0, "P", "x", 1), ("b", 1, "P", "x", 1), ("b", 1, "P", "y", 1)]


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([], "There are 0 nights to learn from and to test on, and 3 are needed."),
        (THREE_NIGHTS[:2], "There are 2 nights"),
        ([*THREE_NIGHTS, ("stranger", 2, "P", "x", 1)], "No known listener"),
        ([*THREE_NIGHTS, ("a", 2, "P", "x", 5)], "No known listener"),  # heard before
        ([*THREE_NIGHTS, ("a", 2, "P", "new", 5)], "No known listener"),
    ],
)
def test_too_little_is_said_and_not_measured(rows: list[tuple[str, int, str | None, str, int]], note: str) -> None:
    found = evaluate(contributions(rows), settings=little())
    assert found.note.startswith(note)
    assert found.metrics == {}
    assert found.by_part.is_empty()
    assert f"blend.{METRICS[0]}" in found.by_part.columns


def test_a_vocabulary_without_tracks_is_said() -> None:
    rows = contributions([*THREE_NIGHTS, ("a", 2, "P", "y", 1)])
    found = evaluate(rows, settings=models(min_listeners_per_track=3, validation_nights=1, test_nights=1))
    assert found.note == "No track was played by 3 listeners before the test nights."


@pytest.mark.parametrize("part", ["P", None])
def test_a_world_of_two_listeners_and_two_tracks_can_be_measured(part: str | None) -> None:
    rows = [("a", 0, part, "x", 1), ("b", 1, part, "x", 1), ("b", 1, part, "y", 1), ("a", 2, part, "y", 1)]
    found = evaluate(contributions(rows), settings=little(min_listeners_per_region=1))
    assert found.metrics["blend.ndcg_at_10"] == pytest.approx(1)  # y is all that a has not heard
    assert ("blend.macro_ndcg_at_10" in found.metrics) == (part is not None)


def test_tracks_that_came_up_on_the_validation_nights_are_measured_too() -> None:
    """Before those nights no track had two listeners, so that the blend has nothing to be learned from."""
    rows = [("a", 0, "P", "x", 1), ("b", 1, "P", "x", 1), ("b", 1, "P", "y", 1), ("c", 1, "P", "y", 1)]
    keys = models(factors=4, min_listeners_per_track=2, validation_nights=1, test_nights=1)
    found = evaluate(contributions([*rows, ("a", 2, "P", "y", 1)]), settings=keys)
    assert (found.note, found.sizes["tracks"]) == ("", 2)
