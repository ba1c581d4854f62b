"""The library for notebooks: frames in, frames out, the product's own figures, and errors that say what to do."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from support.checkerboard import SIZE, checkerboard
from support.frames import KINDS, LIBRARIES, dataset_of, frame_of
from support.listening import world

from recsys.errors import FrameError, InputError, ListsError, SettingsError, UsageError
from recsys.library import ALS, EASE, OURS, Blend, Dataset, Neighbours, Popular, PopularInRegion, Results, evaluate
from recsys.models.evaluation.evaluation import evaluate as evaluate_product
from recsys.settings import load_settings

SMALL = {"min_listeners_per_track": 1, "min_listeners_per_region": 20, "factors": 8, "iterations": 5}
SOME_ITEMS = {**SMALL, "min_listeners_per_track": 20}
FIRST = date(2026, 1, 5)
USERS, ITEMS, DAYS = 36, 36, 12


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return world(11, listeners=250, tracks=60, parts=3, nights=16, plays=25)


@pytest.fixture(scope="module")
def results(rows: pl.DataFrame) -> Results:
    return evaluate(dataset_of(rows), settings=SOME_ITEMS, baseline="blend")


def diagonal() -> pl.DataFrame:
    """On day d user u plays item u + d (modulo all items), so that every day brings everybody something new."""
    plays = [(u, (u + d) % ITEMS, FIRST + timedelta(days=d)) for u in range(USERS) for d in range(DAYS)]
    frame = pl.DataFrame(plays, schema=["user", "item", "time"], orient="row")
    return frame.with_columns(region=pl.Series([f"region-{u % 2}" for u, _, _ in plays]))


class Next:
    """Knows the rule of :func:`diagonal`: the items of a user's next days, and the others after them."""

    def fit(self, dataset: Dataset) -> None:
        last = dataset.frame.group_by("user").agg(pl.col("time").max())
        self.next = {user: user + (day - FIRST).days + 1 for user, day in last.iter_rows()}

    def listed(self, user: int, k: int) -> list[int]:
        return [(self.next[user] + step) % ITEMS for step in range(k)]

    def recommend(self, users: Sequence[Any], k: int) -> Any:
        return pl.DataFrame({"user": users, "item": [self.listed(user, k) for user in users]}).explode("item")


ON_THE_DIAGONAL = {"min_listeners_per_track": 1, "test_nights": 2, "validation_nights": 1}


def on_the_diagonal(model: Any, frame: Any = None) -> Results:
    dataset = Dataset.from_frame(diagonal() if frame is None else frame)
    return evaluate(dataset, {"mine": model}, beside=["popular_world"], settings=ON_THE_DIAGONAL)


def figure(results: Results, model: str, metric: str) -> dict[str, Any]:
    return results.figures.filter(model=model, metric=metric).row(0, named=True)


# Frames in, frames out.


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frame_comes_back_as_it_came(library: str) -> None:
    dataset = Dataset.from_frame(LIBRARIES[library](diagonal()), region="region")
    answer = Popular(min_listeners_per_track=1).fit(dataset).recommend([3, 5], k=4)
    assert isinstance(answer, KINDS[library])
    assert isinstance(dataset.frame, KINDS[library])
    table = pl.from_pandas(answer) if library == "pandas" else pl.DataFrame(answer)
    assert table.schema == {"user": pl.Int64, "item": pl.Int64, "rank": pl.Int64, "score": pl.Float32}
    assert table["user"].to_list() == [3] * 4 + [5] * 4
    assert table["rank"].to_list() == [1, 2, 3, 4] * 2


def test_a_lazy_frame_is_collected() -> None:
    assert Dataset.from_frame(diagonal().lazy()).plays.equals(Dataset.from_frame(diagonal()).plays)


def test_other_names_are_those_of_the_answer() -> None:
    renamed = diagonal().rename({"user": "who", "item": "what", "time": "when", "region": "where"})
    dataset = Dataset.from_frame(renamed, user="who", item="what", time="when", region="where")
    assert Popular(min_listeners_per_track=1).fit(dataset).recommend([0], k=1).columns[:2] == ["who", "what"]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["rank", "score", "value"])
def test_a_region_may_be_called_as_a_column_of_an_answer_is(library: str, name: str) -> None:
    """Its whole numbers make none of the scores, or the figures, of that name."""
    frame = diagonal().with_columns(region=pl.col("user") % 2).rename({"region": name})
    dataset = Dataset.from_frame(LIBRARIES[library](frame), region=name)
    plain = Dataset.from_frame(LIBRARIES[library](diagonal()), region="region")
    ours, same = (ALS(**SMALL).fit(each).recommend([3, 5], k=4) for each in (dataset, plain))
    assert pl.DataFrame(ours).equals(pl.DataFrame(same))
    results = evaluate(dataset, beside=["popular_world"], settings=ON_THE_DIAGONAL)
    assert pl.DataFrame(results.frame).equals(results.figures)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["model", "metric", "value"])
def test_users_may_be_called_as_a_column_of_the_figures_is(library: str, name: str) -> None:
    dataset = Dataset.from_frame(LIBRARIES[library](diagonal().rename({"user": name})), user=name)
    results = evaluate(dataset, beside=["popular_world"], settings=ON_THE_DIAGONAL)
    assert isinstance(results.frame, KINDS[library])
    assert pl.DataFrame(results.frame).equals(results.figures)


@pytest.mark.parametrize("kind", [str, "category", "Int64", "uint8"])
def test_ids_may_be_text_categories_or_numbers(kind: Any) -> None:
    frame = diagonal().to_pandas().astype({"user": kind, "item": kind})
    dataset = Dataset.from_frame(frame)
    answer = Popular(min_listeners_per_track=1).fit(dataset).recommend(dataset.users[:2], k=3)
    assert set(answer["item"]) <= set(frame["item"])


def test_the_day_is_that_of_the_time_s_own_zone() -> None:
    times = pd.date_range("2026-01-05 23:30", periods=4, tz="Asia/Tokyo")  # of these days in Tokyo, not in UTC
    frame = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 2], "time": times})
    assert Dataset.from_frame(frame).plays["night"].min() == date(2026, 1, 5)


def test_a_play_may_be_of_no_region() -> None:
    """Who plays nowhere that is known is at home nowhere, and in no mean over regions."""
    frame = diagonal().with_columns(region=pl.when(pl.col("user") > 5).then("region"))
    dataset = Dataset.from_frame(frame, region="region")
    assert repr(dataset) == "Dataset(432 plays, 36 users, 36 items, 2 regions, 2026-01-05 to 2026-01-16)"
    results = evaluate(dataset, {"mine": Next()}, beside=["popular_region"], baseline="mine", settings=ON_THE_DIAGONAL)
    assert (results.question.homes < 0).sum() == 6
    assert figure(results, "mine", "macro_ndcg_at_10")["value"] == pytest.approx(1)


def test_type_checkers_read_our_types() -> None:
    assert all(files(package).joinpath("py.typed").is_file() for package in ("recsys", "pipelines"))


def test_plays_are_counted_as_often_as_they_are_there(rows: pl.DataFrame) -> None:
    keys = ["listener", "night", "part", "track_id"]
    assert dataset_of(rows).rows.select(*keys, "plays").equals(rows.sort(keys).select(*keys, "plays"))


@pytest.mark.parametrize("model", [Neighbours, EASE, ALS, PopularInRegion])
def test_the_missing_track_of_ones_colour_comes_first(model: Callable[..., Any]) -> None:
    """Of a checkerboard, where it is known (support/checkerboard.py)."""
    dataset = dataset_of(checkerboard(), library="pandas")
    keys = {"min_listeners_per_track": 1, "factors": 8}
    answer = model(**keys).fit(dataset).recommend(dataset.users, k=1)
    assert dict(zip(answer["user"], answer["item"], strict=True)) == {f"{i:02d}": f"{i:02d}" for i in range(SIZE)}


def test_no_list_has_what_a_user_had(rows: pl.DataFrame) -> None:
    dataset = dataset_of(rows)
    answer = Blend(**SMALL).fit(dataset).recommend(dataset.users, k=60)
    pairs = dataset.frame.select("user", "item").unique()
    assert answer.join(pairs, on=["user", "item"]).is_empty()
    assert answer.height + pairs.height == dataset.users.len() * dataset.items.len()


# The figures.


@pytest.mark.parametrize(("ours", "theirs"), [(name, {"als": "global"}.get(name, name)) for name in OURS])
def test_our_figures_are_those_of_the_product(results: Results, rows: pl.DataFrame, ours: str, theirs: str) -> None:
    assert results.question.known.shape[1] < rows["track_id"].n_unique()
    product = measured_by_the_product(rows)
    for metric in ("ndcg_at_10", "recall_at_20", "macro_ndcg_at_10"):
        found = figure(results, ours, metric)
        assert found["value"] == pytest.approx(product[f"{theirs}.{metric}"], abs=1e-12)
        if ours != "blend":
            key = f"blend_minus.{theirs}.{metric}"
            gain = [found["difference"], found["difference_low"], found["difference_high"]]
            assert gain == pytest.approx([-product[key], -product[f"{key}_high"], -product[f"{key}_low"]], abs=1e-12)


_measured: dict[int, Any] = {}


def measured_by_the_product(rows: pl.DataFrame) -> Any:
    if id(rows) not in _measured:
        settings = load_settings(overrides={"models": SOME_ITEMS}).models
        _measured[id(rows)] = evaluate_product(rows, settings=settings).metrics
    return _measured[id(rows)]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_model_that_knows_is_perfect_and_one_that_is_popular_by_hand_is_popular(library: str) -> None:
    class Hand:
        """The items with most users, of equals the first by its text, without those that a user had."""

        def fit(self, dataset: Dataset) -> None:
            frame = dataset.frame if library == "pandas" else dataset.frame.to_pandas()
            fame = frame.drop_duplicates(["user", "item"])["item"].value_counts()
            self.order = sorted(fame.index, key=lambda item: (-fame[item], str(item)))
            self.had = frame.groupby("user")["item"].agg(set)

        def recommend(self, users: Sequence[Any], k: int) -> Any:
            lists = [[item for item in self.order if item not in self.had[user]][:k] for user in users]
            return pd.DataFrame({"item": lists, "user": users}).explode("item")

    dataset = Dataset.from_frame(LIBRARIES[library](diagonal()))
    results = evaluate(dataset, {"hand": Hand()}, beside=["popular_world"], settings=ON_THE_DIAGONAL)
    for metric in ("ndcg_at_10", "recall_at_20"):
        by_hand, ours = figure(results, "hand", metric), figure(results, "popular_world", metric)
        assert [by_hand[end] for end in ("value", "low", "high")] == [ours[end] for end in ("value", "low", "high")]
        assert [by_hand[f"difference{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]


def test_who_knows_what_comes_next_is_perfect() -> None:
    perfect = figure(on_the_diagonal(Next()), "mine", "ndcg_at_10")
    assert [perfect[end] for end in ("value", "low", "high")] == pytest.approx([1, 1, 1])
    assert perfect["difference_low"] > 0


def test_without_regions_nothing_is_said_of_them() -> None:
    dataset = Dataset.from_frame(frame_of(world(3, listeners=80, tracks=30, parts=2, nights=14)), repeats="count")
    results = evaluate(dataset, settings=SMALL)
    assert list(results.lists) == [name for name in OURS if name != "popular_region"]
    assert set(results.figures["metric"]) == {"ndcg_at_10", "recall_at_20"}


def test_every_figure_of_the_table_has_an_interval_and_reprs_are_short(results: Results, rows: pl.DataFrame) -> None:
    assert results.figures.select("value", "low", "high").null_count().sum_horizontal().item() == 0
    assert (results.figures["low"] <= results.figures["value"] + 1e-9).all()
    assert (results.figures["value"] <= results.figures["high"] + 1e-9).all()
    lines = repr(results).splitlines()
    assert len(lines) == 2 + len(results.lists)
    assert max(map(len, lines)) < 160
    assert results._repr_html_().count("<tr") == 1 + len(results.lists)
    for value in (dataset_of(rows), ALS(factors=8).fit(dataset_of(rows)), results.question):
        assert len(repr(value)) < 200


def test_a_name_is_no_html() -> None:
    dataset = Dataset.from_frame(diagonal())
    results = evaluate(dataset, {"<b>": Next()}, beside=["als"], baseline="<b>", settings=ON_THE_DIAGONAL)
    assert "<b>" not in results._repr_html_()


def test_the_product_s_own_reprs_are_short(rows: pl.DataFrame) -> None:
    found = evaluate_product(rows, settings=load_settings(overrides={"models": SMALL}).models)
    assert found.trained is not None
    for value in (found, found.trained, found.trained.known, found.trained.parameters):
        assert len(repr(value)) < 600


def test_the_library_brings_neither_mlflow_nor_a_web_framework() -> None:
    program = "import sys, recsys.library; print(sorted({'mlflow', 'fastapi', 'pyspark'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


# Bad input.

BAD_FRAMES: dict[str, tuple[Callable[[pl.DataFrame], Any], str]] = {
    "no frame": (lambda _: [1, 2], "found list where a frame"),
    "no column": (lambda frame: frame.drop("time"), "no column 'time'; it has 'user', 'item', 'region'"),
    "a null": (
        lambda frame: frame.with_columns(item=pl.when(pl.col("item") > 3).then("item")),
        "missing values of 432",
    ),
    "a NaN": (lambda frame: frame.to_pandas().assign(user=np.nan), "432 missing values of 432"),
    "fractions": (lambda frame: frame.with_columns(pl.col("user") + 0.5), "holds Float64, and ids are text or whole"),
    "a mixture": (lambda frame: frame.to_pandas().assign(item=[1, "a"] * 216), "mixes kinds of values"),
    "seconds": (lambda frame: frame.with_columns(time=pl.int_range(432)), "holds Int64, and dates or datetimes"),
    "the future": (
        lambda frame: frame.with_columns(pl.col("time").dt.offset_by("100y")),
        "432 of 432 rows have a time",
    ),
    "repeated rows": (lambda frame: pl.concat([frame, frame.head(2)]), "4 of 434 rows are alike in user, item, time"),
    "one user": (lambda frame: frame.filter(pl.col("user") == 1), "'user' has 1 distinct values"),
    "one item": (lambda frame: frame.filter(pl.col("item") == 11), "'item' has 1 distinct values"),
    "one region": (lambda frame: frame.with_columns(region=pl.lit("x")), "'region' has 1 distinct values"),
    "no rows": (lambda frame: frame.clear(), "'user' has 0 distinct values"),
    "a name twice": (
        lambda frame: pd.concat([frame.to_pandas()] * 2, axis=1),
        "two columns of the frame have the same",
    ),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_a_frame_that_does_not_fit_is_refused_with_a_hint(kind: str) -> None:
    spoilt, expected = BAD_FRAMES[kind]
    with pytest.raises(FrameError) as refused:
        Dataset.from_frame(spoilt(diagonal()), region="region")
    assert expected in refused.value.message
    assert refused.value.hint


def test_a_column_is_not_two_things() -> None:
    with pytest.raises(FrameError, match="named for two things"):
        Dataset.from_frame(diagonal(), user="item")


@pytest.mark.parametrize("column", ["user", "item"])
@pytest.mark.parametrize("name", ["rank", "score"])
def test_ids_are_not_called_as_a_column_of_the_lists_is(column: str, name: str) -> None:
    with pytest.raises(FrameError, match=f"is called '{name}', and lists have a column '{name}'") as refused:
        Dataset.from_frame(diagonal().rename({column: name}), **{column: name})
    assert refused.value.hint


def test_tomorrow_has_begun_somewhere() -> None:
    today = datetime.now(UTC).date()
    frame = diagonal().with_columns(time=today + pl.duration(days=1), item=pl.int_range(USERS * DAYS))
    assert Dataset.from_frame(frame).plays["night"].n_unique() == 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"test_nights": 40}, "there are 12 days, and 46 are needed"),
        ({"min_listeners_per_track": 100}, "0 items have 100 users or more"),
        ({"min_listeners_per_track": 1, "gap_nights": 0, "test_nights": 1}, ""),
    ],
)
def test_a_data_set_that_is_too_small_to_ask_is_refused(settings: dict[str, int], expected: str) -> None:
    if not expected:
        assert evaluate(Dataset.from_frame(diagonal()), beside=["popular_world"], settings=settings).lists
        return
    with pytest.raises(FrameError) as refused:
        evaluate(Dataset.from_frame(diagonal()), settings=settings)
    assert expected in refused.value.message
    assert refused.value.hint


def test_where_nobody_plays_anything_new_nothing_is_asked() -> None:
    again = [(u, i, FIRST + timedelta(days=d)) for d in range(DAYS) for u in range(3) for i in range(3)]
    frame = pl.DataFrame(again, schema=["user", "item", "time"], orient="row")
    with pytest.raises(FrameError, match="0 known users had a known item for the first time on the last 5 days"):
        evaluate(Dataset.from_frame(frame), settings={"min_listeners_per_track": 1})


def test_the_blend_needs_days_to_learn_on() -> None:
    with pytest.raises(FrameError, match="there are 12 days, and the blend is learned on the last 12"):
        Blend(min_listeners_per_track=1, validation_nights=DAYS).fit(Dataset.from_frame(diagonal()))


class Spoilt(Next):
    """Lists as :class:`Next` does, but spoilt."""

    def __init__(self, spoil: Callable[[pl.DataFrame], Any]) -> None:
        self.spoil = spoil

    def recommend(self, users: Sequence[Any], k: int) -> Any:
        return self.spoil(super().recommend(users, k))


BAD_LISTS: dict[str, tuple[Callable[[pl.DataFrame], Any], str]] = {
    "nothing": (lambda _: None, "found NoneType where a frame"),
    "no column": (lambda lists: lists.rename({"item": "track"}), "no column 'item'; it has 'user', 'track'"),
    "no rows": (lambda lists: lists.clear(), "too few items, 0 where 20 are asked for, in 36 users"),
    "too few": (lambda lists: lists.filter(pl.int_range(pl.len()).over("user") < 7), "too few items, 7 where 20"),
    "a user missing": (lambda lists: lists.filter(pl.col("user") > 0), "0 where 20 are asked for, in 1 users"),
    "unknown": (lambda lists: lists.with_columns(pl.col("item") + 1000), "items that are not in the data in 720 rows"),
    "null": (lambda lists: lists.with_columns(item=None), "items that are not in the data in 720 rows"),
    "fractions": (lambda lists: lists.cast({"item": pl.Float64}), "items that are not in the data in 720 rows"),
    "repeated": (
        lambda lists: (
            lists.group_by("user", maintain_order=True).head(1).select(pl.all().repeat_by(20)).explode("user", "item")
        ),
        "items twice for a user in 720 rows",
    ),
    "old": (
        lambda lists: lists.with_columns(
            item=pl.col("item").replace_strict({i: (i + 8) % ITEMS for i in range(ITEMS)})
        ),
        "items that a user had in",
    ),
}


@pytest.mark.parametrize("kind", BAD_LISTS)
def test_lists_that_cannot_be_measured_are_refused_with_a_hint(kind: str) -> None:
    spoil, expected = BAD_LISTS[kind]
    with pytest.raises(ListsError) as refused:
        on_the_diagonal(Spoilt(spoil))
    assert expected in refused.value.message
    assert "'mine'" in refused.value.message
    assert refused.value.hint


def test_rows_of_others_and_beyond_the_length_are_not_looked_at() -> None:
    def more(lists: pl.DataFrame) -> pl.DataFrame:
        others = lists.with_columns(pl.col("user") + 1000)
        return pl.concat([others, lists, lists.with_columns(pl.col("item") + 1000)])

    assert on_the_diagonal(Spoilt(more)).figures.equals(on_the_diagonal(Next()).figures)


def test_a_model_may_list_all_that_there_is_left() -> None:
    """Where fewer new items are left than are asked for, these are enough."""
    plays = [(u, i, FIRST + timedelta(days=(u + i) % 5)) for u in range(4) for i in range(5)]
    frame = pl.DataFrame(plays, schema=["user", "item", "time"], orient="row")
    results = evaluate(
        Dataset.from_frame(frame),
        beside=["popular_world"],
        settings={"min_listeners_per_track": 1, "test_nights": 1, "validation_nights": 1},
    )
    assert figure(results, "popular_world", "recall_at_20")["value"] == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"models": {"mine": object()}}, "'mine' cannot be evaluated"),
        ({"models": {"mine": Next}}, "'mine' cannot be evaluated"),
        ({"models": {"als": Next()}}, "a model of ours is called 'als'"),
        ({"beside": ["svd"]}, "no model of ours is called 'svd'"),
        ({"baseline": "mine"}, "no model is called 'mine', the baseline"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError) as refused:
        evaluate(Dataset.from_frame(diagonal()), settings=ON_THE_DIAGONAL, **arguments)
    assert expected in refused.value.message
    assert refused.value.hint


def test_a_frame_is_no_data_set() -> None:
    with pytest.raises(UsageError, match="found DataFrame where a Dataset is expected"):
        evaluate(diagonal())  # type: ignore[arg-type]


def test_an_unknown_user_an_unfitted_model_and_an_unknown_setting_are_refused() -> None:
    dataset = Dataset.from_frame(diagonal())
    with pytest.raises(UsageError, match="was not fitted"):
        Popular().recommend([1])
    model = Popular(min_listeners_per_track=1).fit(dataset)
    with pytest.raises(InputError, match="1 of 2 users are unknown"):
        model.recommend([1, 1000])
    with pytest.raises(UsageError, match="one text where several users"):
        model.recommend("12")
    with pytest.raises(UsageError, match="k is 1 or more"):
        model.recommend([1], k=0)
    with pytest.raises(SettingsError, match="factor"):
        ALS(factor=8)


def test_no_message_names_a_user() -> None:
    frame = diagonal().with_columns(pl.format("somebody-{}", "user").alias("user"))
    model = Popular(min_listeners_per_track=1).fit(Dataset.from_frame(frame))
    with pytest.raises(InputError) as refused:
        model.recommend(["somebody-1000"])
    assert "somebody" not in refused.value.message + refused.value.hint
