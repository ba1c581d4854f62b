"""The evaluator: what it splits, what it says, what it never says, and what it does with too little."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from support.checkerboard import checkerboard
from support.listening import FIRST_NIGHT, contributions, world

from recsys.models.blending import TREE_FEATURES
from recsys.models.collaborative import STEPS
from recsys.models.evaluation.draws import SEEDED, with_luck_of_parts
from recsys.models.evaluation.evaluation import SECONDS, SIZES, Evaluation, evaluate
from recsys.models.evaluation.report_tables import (
    HISTORIES,
    METRICS,
    MODELS,
    SHORT,
    history_of,
    metric_keys,
    worst_by_chance,
)
from recsys.models.splitting import split_by_night, split_rows
from recsys.schemas import Figures, at_border
from recsys.settings import ModelsSettings, load_settings

ENDS = ("", "_low", "_high", "_chance")
SINGLE = tuple(model for model in MODELS if model != "blend")


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


@pytest.fixture(scope="module")
def few() -> pl.DataFrame:
    return world(5, listeners=300, tracks=80, parts=3, nights=12)


FEW = {"factors": 8, "min_listeners_per_region": 50}  # of whose regions some have a model of their own


@pytest.fixture(scope="module")
def once(few: pl.DataFrame) -> Evaluation:
    return evaluate(few, settings=models(**FEW))


@dataclass(frozen=True)
class Drawn:
    """An evaluation of two draws, and what it told while it ran."""

    found: Evaluation
    told: list[tuple[str, float]]


def drawn_twice(rows: pl.DataFrame, *, workers: int) -> Drawn:
    told: list[tuple[str, float]] = []
    found = evaluate(rows, settings=models(**FEW), times=2, workers=workers, told=lambda *part: told.append(part))
    return Drawn(found, told)


@pytest.fixture(scope="module")
def twice(few: pl.DataFrame) -> Drawn:
    """Both draws in this process, one after another."""
    return drawn_twice(few, workers=1)


@pytest.mark.parametrize("model", [model for model in SINGLE if model != "local"])
def test_the_blend_beats_every_single_model(evaluation: Evaluation, model: str) -> None:
    for metric in ("ndcg_at_10", "macro_ndcg_at_10"):
        assert evaluation.metrics[f"blend.{metric}"] > evaluation.metrics[f"{model}.{metric}"]


def test_the_blend_comes_close_to_regions_alone_where_these_have_little_in_common(evaluation: Evaluation) -> None:
    for metric in ("ndcg_at_10", "macro_ndcg_at_10"):
        assert evaluation.metrics[f"blend.{metric}"] > 0.95 * evaluation.metrics[f"local.{metric}"]


def test_the_keys_are_flat_and_the_same_in_every_run(evaluation: Evaluation) -> None:
    assert tuple(evaluation.metrics) == metric_keys()
    expected = {f"{model}.{kind}{metric}" for model in MODELS for kind in ("", "macro_") for metric in METRICS}
    expected |= {f"{model}.worst_{metric}{by}" for model in MODELS for metric in SHORT for by in ("", "_by_chance")}
    expected |= {key.replace(".", ".with_heard_") for key in expected}
    assert expected < set(metric_keys())
    assert all(isinstance(value, float) for value in evaluation.metrics.values())
    assert all(0 <= evaluation.metrics[key] <= 1 for key in expected)
    unmeasured = {key for key, value in evaluation.metrics.items() if value != value}
    ends = {key.split(".")[1].removeprefix("with_heard_") for key in unmeasured}
    assert ends == {"stability", "local_share"}  # not asked for; no artists given
    heard = {key.replace("with_heard_", "") for key in metric_keys() if "with_heard_" in key}
    assert heard == {
        key for key in metric_keys() if "with_heard_" not in key and key.split(".")[0] in {*MODELS, "blend_minus"}
    }
    assert evaluation.note == ""


def test_a_model_that_is_left_out_leaves_the_keys_as_they_are() -> None:
    rows = world(4, listeners=300, tracks=80, parts=4, nights=12)
    found = evaluate(rows, settings=models(factors=8, ease_max_tracks=10))
    assert tuple(found.metrics) == metric_keys()
    assert np.isnan(found.metrics["ease.ndcg_at_10"])
    assert np.isnan(found.metrics["blend_minus.ease.macro_ndcg_at_10_low"])
    assert found.by_part["ease.ndcg_at_10"].is_nan().all()
    assert "ease" not in found.comparisons["against"].to_list()


def test_the_table_has_a_row_per_part_and_says_what_its_listeners_get(evaluation: Evaluation) -> None:
    table = evaluation.by_part
    assert table["part"].to_list() == [f"part-{part:03d}" for part in range(10)]
    assert table["own_model"].to_list() == [listeners >= 100 for listeners in table["listeners"]]
    assert table.filter(pl.col("gate_open") & ~pl.col("own_model")).is_empty()
    assert evaluation.sizes["own_models"] == table["own_model"].sum()
    assert evaluation.sizes["open_gates"] == table["gate_open"].sum()


def test_overall_is_the_mean_of_listeners_and_macro_the_mean_of_parts(evaluation: Evaluation) -> None:
    table = evaluation.by_part
    parts, weights = table["blend.ndcg_at_10"], table["test_listeners"]
    assert evaluation.metrics["blend.macro_ndcg_at_10"] == pytest.approx(parts.mean())
    assert evaluation.metrics["blend.worst_ndcg_at_10"] == pytest.approx(parts.min())  # a tenth of ten parts
    assert evaluation.metrics["blend.ndcg_at_10"] == pytest.approx((parts * weights).sum() / weights.sum())
    assert evaluation.sizes["test_listeners"] == weights.sum()


def test_by_history_has_a_row_for_every_model_and_number_of_listens(evaluation: Evaluation) -> None:
    table = evaluation.by_history
    assert table.select("model", "history").rows() == [(model, history) for model in MODELS for history in HISTORIES]
    blend = table.filter(pl.col("model") == "blend", pl.col("history") != "0").drop_nans()
    mean = (blend["ndcg_at_10"] * blend["test_listeners"]).sum() / blend["test_listeners"].sum()
    assert mean == pytest.approx(evaluation.metrics["blend.ndcg_at_10"])
    assert blend["test_listeners"].sum() == evaluation.sizes["test_listeners"]


def test_the_learned_order_says_what_it_goes_by_and_a_sum_does_not(evaluation: Evaluation) -> None:
    assert evaluation.trained is not None
    assert evaluation.trained.parameters.trees is not None
    assert list(evaluation.importances) == list(TREE_FEATURES)
    assert np.isfinite(list(evaluation.importances.values())).all()
    rows = world(1, listeners=600, tracks=80, parts=4, nights=12)
    assert evaluate(rows, settings=models(factors=8, ranker="logistic")).importances == {}


def test_past_listens_are_told_apart_where_it_says() -> None:
    listens = np.array([1, 5, 6, 20, 21, 60, 61, 150, 151, 1000])
    told = [HISTORIES[position] for position in history_of(listens)]
    assert told == [each for each in ("1-5", "6-20", "21-60", "61-150", "more") for _ in range(2)]


def test_comparisons_are_those_of_the_listeners_in_pairs(evaluation: Evaluation) -> None:
    """For every model, metric, kind of lists, and over listeners, regions and every number of past listens there is."""
    table = evaluation.comparisons
    there = [row["history"] for row in evaluation.by_history.iter_rows(named=True) if row["model"] == "blend"]
    overs = {"listeners", "regions"} | {f"history.{history}" for history in there if history != "0"}
    warm = table.filter(pl.col("over") != "history.0")
    assert set(warm["over"]) <= overs
    for over in set(warm["over"]):
        found = warm.filter(pl.col("over") == over).select("heard", "metric", "against").rows()
        assert found == [
            (heard, metric, model) for heard in ("removed", "kept") for metric in SHORT for model in SINGLE
        ]
    for kind, over in (("", "listeners"), ("macro_", "regions")):
        for row in table.filter(pl.col("over") == over).iter_rows(named=True):
            name = f"{'with_heard_' if row['heard'] == 'kept' else ''}{kind}{row['metric']}"
            blend, other = (evaluation.metrics[f"{model}.{name}"] for model in ("blend", row["against"]))
            assert row["difference"] == pytest.approx(blend - other)
            assert row["relative"] == pytest.approx(blend / other - 1)
            assert row["low"] < row["difference"] < row["high"]
            assert evaluation.metrics[f"blend_minus.{row['against']}.{name}_low"] == row["low"]


def test_a_region_that_nobody_tests_is_left_out_of_a_comparison_over_regions() -> None:
    """Somebody of P and R plays a track of theirs for the first time on the test night, and nobody of Q does."""
    rows = [(f"{part}{i}", 0, part, track, 1) for part in "PQR" for i in range(4) for track in ("x", f"{part}{i % 2}")]
    rows += [(f"{part}0", 1, part, f"{part}1", 1) for part in "PQR"]
    rows += [(f"{part}1", 2, part, f"{part}0", 1) for part in "PR"]
    found = evaluate(contributions(rows), settings=little())
    assert found.by_part["part"].to_list() == ["P", "R"]
    other = found.metrics["popular_world.macro_ndcg_at_10"]
    assert 0 < other < 1
    expected = found.metrics["blend.macro_ndcg_at_10"] / other - 1
    assert found.metrics["blend_minus.popular_world.macro_ndcg_at_10_relative"] == pytest.approx(expected)


def test_comparisons_by_history_are_differences_of_the_table_by_history(evaluation: Evaluation) -> None:
    means = {(row["model"], row["history"]): row for row in evaluation.by_history.iter_rows(named=True)}
    rows = [row for row in evaluation.comparisons.iter_rows(named=True) if row["over"].startswith("history.")]
    assert rows
    for row in rows:
        blend, other = (means[model, row["over"].removeprefix("history.")] for model in ("blend", row["against"]))
        name = f"{'with_heard_' if row['heard'] == 'kept' else ''}{row['metric']}"
        assert row["difference"] == pytest.approx(blend[name] - other[name])
    assert len({row["over"] for row in rows}) > 1


def test_plays_of_tracks_outside_the_vocabulary_are_counted() -> None:
    """On the test night a plays y, which everybody knows, and twice something that nobody played before."""
    rows = [*THREE_NIGHTS, ("a", 2, "P", "y", 5), ("a", 2, "P", "new", 5), ("b", 2, "P", "new", 1)]
    found = evaluate(contributions(rows), settings=little())
    assert (found.sizes["test_rows"], found.sizes["test_outside"]) == (3, 2)


def test_every_test_listener_has_a_row_for_the_private_store(evaluation: Evaluation, listened: pl.DataFrame) -> None:
    table = at_border(evaluation.listeners, Figures)
    assert table.columns == ["listener", "part", "history", *MODELS, "draws"]
    assert len(table) == evaluation.sizes["test_listeners"]
    assert table["blend"].mean() == pytest.approx(evaluation.metrics["blend.ndcg_at_10"])
    homes = dict(listened.select("listener", "part").unique().iter_rows())
    assert [homes[listener] for listener in table["listener"]] == table["part"].to_list()


def test_a_row_is_the_same_listener_under_other_settings(few: pl.DataFrame, once: Evaluation) -> None:
    assert models().min_listeners_per_track == 20
    other = evaluate(few, settings=models(**FEW, min_listeners_per_track=60))
    both = once.listeners.join(other.listeners, on="listener")
    assert len(both) > 0
    assert both["part"].to_list() == both["part_right"].to_list()
    assert both["history"].to_list() == both["history_right"].to_list()


def test_no_listener_is_in_what_leaves(evaluation: Evaluation, listened: pl.DataFrame) -> None:
    frames = (evaluation.by_part, evaluation.by_history, evaluation.comparisons, evaluation.facts, evaluation.curve)
    left = repr(evaluation) + "".join(frame.write_csv() for frame in frames)
    assert not [listener for listener in listened["listener"].unique() if listener in left]


def test_parts_with_few_test_listeners_have_no_row() -> None:
    rows = world(4, listeners=300, tracks=80, parts=4, nights=12)
    table = evaluate(rows, settings=models(factors=8, ranker="logistic", min_listeners_in_table=50)).by_part
    assert 0 < len(table) < 4
    assert (table["test_listeners"] >= 50).all()


def small_counts(evaluation: Evaluation, *, at_least: int) -> list[float]:
    """Every number of listeners that is told, and every one that follows from the others, and is too small."""
    sizes, parts, histories = evaluation.sizes, evaluation.by_part, evaluation.by_history
    warm = histories.filter(pl.col("model") == "blend", pl.col("history") != "0")["test_listeners"]
    told = [
        *(sizes[key] for key in ("listeners", "test_listeners", "cold_test_listeners")),
        *parts["listeners"], *parts["test_listeners"], *histories["test_listeners"].drop_nulls(),
    ]  # fmt: skip
    left = [
        sizes["listeners"] - parts["listeners"].sum(),
        sizes["test_listeners"] - parts["test_listeners"].sum(),
        sizes["test_listeners"] - warm.sum(),
    ]
    return [number for number in told if number < at_least] + [number for number in left if 0 < number < at_least]


@pytest.mark.parametrize("at_least", [5, 10, 20, 40])
def test_no_number_of_few_listeners_is_told_nor_follows_from_what_is(at_least: int) -> None:
    rows = world(7, listeners=300, tracks=80, parts=6, nights=12, plays=15)
    found = evaluate(rows, settings=models(factors=8, ranker="logistic", min_listeners_in_table=at_least))
    assert found.by_part.height > 1
    assert small_counts(found, at_least=at_least) == []
    hidden = found.by_history.filter(pl.col("test_listeners").is_null())
    assert hidden.select(pl.col("ndcg_at_10", "recall_at_20").is_nan().all()).row(0) == (True, True)
    told = {f"history.{history}" for history in found.by_history.drop_nulls("test_listeners")["history"]}
    assert set(found.comparisons["over"]) == {"listeners", "regions", *told}


def test_of_a_few_listeners_nothing_is_measured() -> None:
    """Three hear something new on the test night, and every figure of the run would be theirs."""
    past = [(f"{i}", 0, "P", track, 1) for i in range(6) for track in ("x", f"y{i % 2}")]
    test = [(f"{i}", 2, "P", f"y{(i + 1) % 2}", 1) for i in range(3)]
    rows = contributions([*past, ("0", 1, "P", "x", 1), *test])
    keys = {**TWO_A_TRACK, "min_listeners_per_track": 1}
    found = evaluate(rows, settings=models(**keys | {"min_listeners_in_table": 4}))
    assert found.note == "Fewer than 4 known listeners played a known track for the first time on the test nights."
    assert (found.metrics, found.sizes, found.listeners.height) == ({}, {}, 0)
    assert found.trained is not None  # whoever goes on with the models can
    assert evaluate(rows, settings=models(**keys | {"min_listeners_in_table": 3})).sizes["test_listeners"] == 3


def test_of_the_few_who_are_at_home_somewhere_no_mean_is_told() -> None:
    past = [(f"{i:02}", 0, "P" if i < 2 else None, track, 1) for i in range(12) for track in ("x", f"y{i % 2}")]
    test = [(f"{i:02}", 2, None, f"y{(i + 1) % 2}", 1) for i in range(12)]
    rows = contributions([*past, ("00", 1, "P", "x", 1), *test])
    keys = {**TWO_A_TRACK, "min_listeners_per_track": 1}
    found = evaluate(rows, settings=models(**keys | {"min_listeners_in_table": 3}))
    assert found.sizes["test_listeners"] == 12
    assert np.isnan(found.metrics["blend.macro_ndcg_at_10"])
    assert set(found.comparisons["over"]) == {"listeners", "history.1-5"}


def test_the_same_for_any_order_of_the_rows(few: pl.DataFrame, once: Evaluation) -> None:
    again = evaluate(few.sample(fraction=1, shuffle=True, seed=1).lazy(), settings=models(**FEW))
    np.testing.assert_equal(dict(once.metrics), dict(again.metrics))
    assert once.weights == again.weights
    for table in ("by_part", "by_history", "comparisons", "listeners", "facts", "curve"):
        assert getattr(once, table).equals(getattr(again, table)), table


def test_what_is_learned_does_not_know_the_test_nights(few: pl.DataFrame, once: Evaluation) -> None:
    last = FIRST_NIGHT + timedelta(days=7)
    test = pl.col("night") >= last
    changed = pl.concat([few.filter(~test), few.filter(test).with_columns(pl.col("track_id").reverse())])
    other = evaluate(changed, settings=models(**FEW))
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


def test_the_nights_of_a_gap_are_in_no_piece() -> None:
    rows = contributions([("a", night, None, "x", 1) for night in range(6)])
    keys = models(validation_nights=1, gap_nights=2, test_nights=1)
    split = split_rows(rows, settings=keys)
    assert split is not None
    pieces = [[(night - FIRST_NIGHT).days for night in piece["night"]] for piece in (split.past, split.test)]
    assert pieces == [[0, 1, 2], [5]]
    assert split_rows(rows.head(4), settings=keys) is None  # 1 + 1 + 2 + 1 nights are needed


def test_a_random_split_warns_and_flatters(few: pl.DataFrame) -> None:
    keys = models(factors=8, ranker="logistic")
    with pytest.warns(UserWarning, match="split is random"):
        random = evaluate(few, settings=keys, split="random")
    assert random.note.startswith("The split is random")
    shuffled = few.sample(fraction=1, shuffle=True, seed=3)
    once, again = (split_rows(frame, settings=keys, kind="random") for frame in (few, shuffled))
    assert once is not None
    assert again is not None
    assert once.test.equals(again.test)
    assert len(once.train) + len(once.validation) + len(once.test) == len(few)


def test_a_second_draw_tells_how_stable_lists_are(twice: Drawn) -> None:
    found = twice.found
    assert all(0 < found.metrics[f"{model}.stability"] <= 1 for model in SEEDED)
    assert all(0 < found.metrics[f"{model}.with_heard_stability"] <= 1 for model in SEEDED)
    assert np.isnan(found.metrics["popular_world.stability"])
    assert set(found.seconds) == set(SECONDS)
    assert set(found.sizes) == set(SIZES)


def test_draws_are_means_of_the_same_listeners_under_their_own_names(twice: Drawn, once: Evaluation) -> None:
    """Without luck, as of what is popular, a listener's figures are the same by any seed and under any name."""
    drawn = twice.found
    both = once.listeners.sort("listener").join(drawn.listeners, on="listener", validate="1:1", suffix="_mean")
    assert both.height == once.listeners.height == drawn.listeners.height
    assert both["part"].to_list() == both["part_mean"].to_list()
    for model in ("popular_world", "popular_region", "neighbours", "ease"):
        assert both[f"{model}_mean"].to_list() == pytest.approx(both[model].to_list(), abs=1e-12)
    assert both["blend_mean"].to_list() == pytest.approx(both["draws_mean"].list.mean().to_list())
    assert both["draws_mean"].list.first().to_list() == both["blend"].to_list()  # the first one is as if it were alone
    assert set(both["draws_mean"].list.len()) == {2}
    assert both["draws_mean"].list.n_unique().max() > 1  # and the other is not
    assert drawn.metrics["blend.ndcg_at_10"] == pytest.approx(both["blend_mean"].mean())
    assert drawn.by_part["train_rows"].to_list() == once.by_part["train_rows"].to_list()
    over = "blend_minus.global.macro_ndcg_at_10"
    assert drawn.metrics[f"{over}_low"] < drawn.metrics[over] < drawn.metrics[f"{over}_high"]


def test_draws_side_by_side_are_those_one_after_another(few: pl.DataFrame, twice: Drawn) -> None:
    beside = drawn_twice(few, workers=2)
    one, both = twice.found, beside.found
    assert one.metrics == pytest.approx(both.metrics, abs=0, nan_ok=True)
    assert one.listeners.equals(both.listeners)
    assert one.by_part.equals(both.by_part)
    for heard in (twice.told, beside.told):
        shares = [share for _, share in heard]
        assert shares == sorted(shares)
        assert (shares[0], {part for part, _ in heard}) == (
            0.0,
            {*STEPS, "baselines", "rank", "measure", "other_draws"},
        )
        assert heard[-1] == ("other_draws", 1.0)
    assert [part for part, _ in twice.told].count("order") == 2
    assert beside.told[-2][1] < 1


def test_draws_that_contradict_each_other_are_not_sure() -> None:
    """Everybody gains .06 by two draws and loses as much by the third: each draw alone is sure."""
    rows = {"listener": [f"{n:02}" for n in range(20)], "part": ["P"] * 20, "history": ["1-5"] * 20}
    same = dict.fromkeys((*MODELS, "draws"), 0.1)
    gains = (0.06, 0.06, -0.06)
    drawn = [pl.DataFrame({**rows, **same, "draws": [[0.1 + gain]] * 20, "blend": 0.1 + gain}) for gain in gains]
    key = "blend_minus.global.ndcg_at_10"
    ends = {f"blend_minus.{model}.ndcg_at_10{end}": [0.0] for model in ("global", "local") for end in ENDS}
    table = with_luck_of_parts(pl.DataFrame({"part": ["P"], **ends}), drawn)
    assert table[f"{key}_low"][0] < 0 < table[f"{key}_high"][0]
    assert table[f"{key}_chance"][0] > 0.5  # .02 is less than its standard error, .04


def test_the_worst_tenth_by_chance_is_that_of_regions_that_do_not_differ() -> None:
    """Of ten regions of ten one is worth nothing: dealt out, the worst of ten has some of its listeners, not all."""
    home, told = np.repeat(np.arange(10), 10), np.ones(10, dtype=bool)
    values = np.where(home == 3, 0.0, 1.0)
    assert 0.6 < worst_by_chance(values, home, told=told) < 0.8  # of 10 draws of a tenth: 2.8 or so, at most, of ten
    assert worst_by_chance(np.full(100, 0.5), home, told=told) == pytest.approx(0.5)
    without = worst_by_chance(values, home, told=told & (np.arange(10) != 3))
    assert without == pytest.approx(1.0)  # a region that is not told of is dealt to nobody
    assert np.isnan(worst_by_chance(values, np.full(100, -1), told=told))


def test_strangers_get_what_their_region_plays() -> None:
    """``new`` was never heard of before the test night, lives in P, and plays what P plays."""
    past = [(f"{part}{i}", 0, part, track, 1) for part in "PQ" for i in range(5) for track in (part.lower(), "x")]
    past += [("P0", 1, "P", "z", 1), ("Q0", 1, "Q", "z", 1)]
    test = [("new", 2, "P", "p", 1), ("P1", 2, "P", "z", 1)]
    found = evaluate(contributions([*past, *test]), settings=little())
    cold = {row["model"]: row for row in found.by_history.filter(pl.col("history") == "0").iter_rows(named=True)}
    assert cold["popular_region"]["test_listeners"] == 1
    assert found.sizes["cold_test_listeners"] == 1
    assert cold["popular_region"]["recall_at_20"] == 1
    second = (1 / np.log2(3)) / (1 / np.log2(2))  # x and p have five listeners each in P; x has more in the world
    assert cold["popular_region"]["ndcg_at_10"] == pytest.approx(second)
    assert np.isnan(cold["global"]["ndcg_at_10"])  # has no order for them
    assert found.sizes["test_listeners"] == 1  # P1 alone


def test_the_missing_track_of_the_checkerboard_is_found() -> None:
    """Everybody plays the one track of their colour that they lack, on the validation night or on the test night."""
    past = checkerboard()
    rows = [(f"{i:02d}", 1 + (i // 2) % 2, ("even", "odd")[i % 2], f"{i:02d}", 1) for i in range(50)]
    found = evaluate(pl.concat([past, contributions(rows)]), settings=little(min_listeners_per_region=20))
    for model in ("popular_region", "neighbours", "global", "regional", "blend"):
        assert found.metrics[f"{model}.ndcg_at_10"] == pytest.approx(1)
        assert found.metrics[f"{model}.recall_at_20"] == pytest.approx(1)
        assert found.metrics[f"{model}.mrr"] == pytest.approx(1)


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
    assert np.isnan(found.metrics["blend.macro_ndcg_at_10"]) == (part is None)


TWO_A_TRACK = {
    "factors": 4,
    "min_listeners_per_track": 2,
    "validation_nights": 1,
    "test_nights": 1,
    "min_listeners_in_table": 1,
}


def test_tracks_that_came_up_on_the_validation_nights_are_measured_too() -> None:
    """Before those nights no track had two listeners, so that the blend has nothing to be learned from."""
    rows = [("a", 0, "P", "x", 1), ("b", 1, "P", "x", 1), ("b", 1, "P", "y", 1), ("c", 1, "P", "y", 1)]
    keys = models(**TWO_A_TRACK)
    found = evaluate(contributions([*rows, ("a", 2, "P", "y", 1)]), settings=keys)
    assert (found.note, found.sizes["tracks"]) == ("", 2)
