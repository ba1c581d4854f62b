"""The page of a run: whole, without a network, without an id, and true to the numbers."""

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex
from support.listening import world

from pipelines.mlflow import logbook
from pipelines.mlflow.metric_keys import logged_keys
from pipelines.report.drawing import Dot, dots, lines
from pipelines.report.html_templates import text_of
from pipelines.report.maps import GAIN, LOSS, draw_map
from pipelines.report.page import regional_gains, render
from pipelines.report.wording import NAMES, sentences
from recsys.geography.atlas import Atlas, load_atlas
from recsys.models.evaluation.by_country import SCHEMA as COUNTRY_SCHEMA
from recsys.models.evaluation.evaluation import Evaluation, evaluate
from recsys.models.evaluation.intervals import sure
from recsys.models.evaluation.report_tables import MODELS
from recsys.settings import load_settings

NIGHT = date(2026, 3, 1)


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return load_atlas(load_settings(overrides={"atlas": {"service_area": ["PT"]}}).atlas)


@pytest.fixture(scope="module")
def listened(atlas: Atlas) -> pl.DataFrame:
    """A small world whose parts are those of Portugal; one is the remainder."""
    rows = world(4, listeners=300, tracks=80, parts=4, nights=12)
    parts = [*atlas.parts[:3], "PT-rest"]
    return rows.with_columns(pl.col("part").replace({f"part-{i:03d}": part for i, part in enumerate(parts)}))


@pytest.fixture(scope="module")
def evaluation(listened: pl.DataFrame) -> Evaluation:
    models = load_settings(overrides={"models": {"factors": 8, "min_listeners_in_table": 5}}).models
    return evaluate(listened, settings=models)


def page_of(evaluation: Evaluation, atlas: Atlas) -> str:
    return render(evaluation, regions=logbook.named(evaluation.by_part, atlas=atlas), atlas=atlas, night=NIGHT)


class Balanced(HTMLParser):
    """Fails where an element is closed that was not opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(evaluation: Evaluation, atlas: Atlas) -> None:
    page = page_of(evaluation, atlas)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"https?://|src=|href=|@import|<script", page)
    assert "nan" not in re.sub(r"<style>.*</style>", "", page, flags=re.DOTALL).lower().replace("fernando", "")


def test_the_page_has_every_model_and_region_and_no_listener(
    evaluation: Evaluation, atlas: Atlas, listened: pl.DataFrame
) -> None:
    page = page_of(evaluation, atlas)
    assert all(NAMES[model] in page for model in MODELS)
    assert all(name in page for name in logbook.named(evaluation.by_part, atlas=atlas)["name"])
    assert f"{evaluation.metrics['blend.macro_ndcg_at_10']:.4f}" in page
    assert not [listener for listener in listened["listener"].unique() if listener in page]


def test_names_with_markup_stay_text_everywhere(evaluation: Evaluation, atlas: Atlas) -> None:
    regions = logbook.named(evaluation.by_part, atlas=atlas).with_columns(name=pl.lit('<b>Évora</b> & "us"'))
    for rows in (regions, pl.concat([regions] * 10)):  # all of them, and the best and worst of many
        page = render(evaluation, regions=rows, atlas=atlas, night=NIGHT)
        assert page.count("&lt;b&gt;Évora&lt;/b&gt; &amp; ") >= regions.height
        assert "<b>Évora" not in page
        assert "&amp;lt;" not in page


def test_the_page_begins_with_four_numbers(evaluation: Evaluation, atlas: Atlas) -> None:
    metrics = {**evaluation.metrics, "regions.surely_below_either": 3.0}
    shown = re.findall(r'<div class="tile[^"]*"><b>(.*?)</b>', page_of(replace(evaluation, metrics=metrics), atlas))
    over = "blend_minus.global.ndcg_at_10"
    gains = evaluation.by_part.filter(pl.Series(sure(evaluation.by_part[f"{over}_chance"].to_list())))[over]
    assert shown == [
        f"{metrics['blend.macro_ndcg_at_10']:.4f}",
        f"{metrics['blend_minus.global.macro_ndcg_at_10_relative']:+.1%}",
        f"{(gains > 0).sum()}",
        "3",
    ]


def test_a_world_where_nobody_has_a_home_has_a_page_without_regions(listened: pl.DataFrame, atlas: Atlas) -> None:
    homeless = listened.with_columns(pl.lit(None, pl.String).alias("part"))
    page = page_of(evaluate(homeless, settings=load_settings(overrides={"models": {"factors": 4}}).models), atlas)
    assert "No region has enough test listeners" in page
    assert "nan" not in re.sub(r"<style>.*</style>", "", page, flags=re.DOTALL).lower()
    assert 'class="tile"' not in page.split("</style>")[1]


def test_a_run_that_measured_nothing_says_why(evaluation: Evaluation, atlas: Atlas) -> None:
    nothing = evaluate(
        pl.DataFrame(schema=world(1, listeners=2, tracks=2, parts=1).schema), settings=load_settings().models
    )
    assert nothing.note in page_of(nothing, atlas)


def test_gains_of_regions_are_those_of_the_table(evaluation: Evaluation, atlas: Atlas) -> None:
    regions = logbook.named(evaluation.by_part, atlas=atlas)
    gains = regional_gains(regions)
    assert gains["gain"].is_sorted(descending=True)
    expected = {
        row["place"]: row["blend.ndcg_at_10"] - row["global.ndcg_at_10"] for row in regions.iter_rows(named=True)
    }
    assert dict(gains.select("place", "gain").iter_rows()) == pytest.approx(expected)
    assert gains.filter((pl.col("low") > pl.col("gain")) | (pl.col("high") < pl.col("gain"))).is_empty()


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.01, 0.03, "is better"), (-0.03, -0.01, "is WORSE"), (-0.01, 0.01, "cannot be told apart")],
)
def test_a_comparison_is_said_as_sure_as_it_is(evaluation: Evaluation, low: float, high: float, said: str) -> None:
    changed = evaluation.comparisons.with_columns(low=pl.lit(low), high=pl.lit(high))
    gains = pl.DataFrame({"name": ["A", "B"], "gain": [0.1, -0.1], "sure": [True, True]})
    text = " ".join(sentences(replace(evaluation, comparisons=changed), gains))
    assert said in text
    assert "1 of 2 regions gain over the global model, 1 of them surely; 1 surely lose: B." in text


def said(evaluation: Evaluation) -> str:
    return " ".join(
        sentences(evaluation, pl.DataFrame({"name": [], "gain": [], "sure": []}, schema_overrides={"sure": pl.Boolean}))
    )


def test_the_page_says_how_many_regions_a_simpler_model_would_serve_better(evaluation: Evaluation) -> None:
    counts = {"surely_below_global": 1, "surely_below_local": 2, "surely_below_either": 3}
    counts |= {"one_percent_below_global": 4, "one_percent_below_local": 5, "one_percent_below_either": 6}
    metrics = {**evaluation.metrics, "regions.compared": 9, **{f"regions.{key}": n for key, n in counts.items()}}
    assert (
        "Of 9 regions, the global model would surely serve 1 better, and a model of their own alone 2; as measured, 6 "
        "are more than 1 % below the better of the two (4 below the global one, 5 below their own)."
    ) in said(replace(evaluation, metrics=metrics))
    assert "surely serve" not in said(replace(evaluation, metrics={**metrics, "regions.compared": 0}))


def test_a_tie_by_history_is_not_told_as_a_loss(evaluation: Evaluation) -> None:
    """The other model's mean is higher, and chance may have made it so: then there is nothing to tell."""
    told_of = sorted(set(evaluation.by_history.drop_nulls("test_listeners")["history"]) - {"0"})[0]
    this = (
        (pl.col("over") == f"history.{told_of}") & (pl.col("against") == "neighbours") & (pl.col("heard") == "removed")
    )
    for high, told in ((0.001, False), (-0.001, True)):
        numbers = {"difference": -0.01, "low": -0.02, "high": high}
        other = {"difference": 0.01, "low": 0.0, "high": 0.02}
        changed = evaluation.comparisons.with_columns(
            pl.when(this).then(pl.lit(value)).otherwise(pl.lit(other[name])).alias(name)
            for name, value in numbers.items()
        )
        text = said(replace(evaluation, comparisons=changed))
        assert ("“item neighbours” surely has better lists" in text) == told
        assert ("by 0.0100 (95 % interval 0.0010 to 0.0200)" in text) == told


def test_a_run_logs_the_same_keys_whatever_was_measured(evaluation: Evaluation) -> None:
    few = evaluate(
        pl.DataFrame(schema=world(1, listeners=2, tracks=2, parts=1).schema), settings=load_settings().models
    )
    nothing, something = logbook.numbers(few), logbook.numbers(evaluation)
    assert list(nothing) == list(something)
    assert all("." in key for key in something)
    assert all(np.isnan(value) for value in nothing.values())
    assert (something["size.listeners"], something["regions.compared"]) == (
        evaluation.sizes["listeners"], evaluation.by_part.height
    )  # fmt: skip
    assert {*logged_keys(), *(f"size.{key}" for key in evaluation.sizes)} < set(something)
    assert something["blend.macro_ndcg_at_10"] == evaluation.metrics["blend.macro_ndcg_at_10"]
    assert {f"weight.{key}" for key in evaluation.weights} < set(something)


def test_a_table_has_all_metrics_of_all_models(evaluation: Evaluation) -> None:
    table = logbook.models_side_by_side(evaluation.metrics)
    rows = {row["metric"]: row for row in table.iter_rows(named=True)}
    assert table.columns == ["metric", *MODELS]
    for key, value in evaluation.metrics.items():
        model, _, metric = key.partition(".")
        if model in MODELS:
            np.testing.assert_equal(rows[metric][model], value)
    assert "with_heard_recall_at_20" in rows
    assert logbook.models_side_by_side({}).is_empty()


def test_the_page_says_what_the_learned_order_goes_by(evaluation: Evaluation, atlas: Atlas) -> None:
    page = page_of(replace(evaluation, importances={"own": -0.001, "recent_world": 0.05}), atlas)
    assert page.index("recent world") < page.index('<span class="said">+0.0500') < page.index('said">-0.0010')
    assert "no other was learned" not in page
    assert "no other was learned" in page_of(replace(evaluation, importances={}), atlas)


def test_the_page_has_local_music_by_country_and_the_run_a_table(evaluation: Evaluation, atlas: Atlas) -> None:
    assert "Nobody knows where artists come from" in page_of(evaluation, atlas)
    rows = [("PT", 0.161, 0.158, -0.3), ("XX-rest", 0.2, 0.25, 5.0)]
    told = replace(evaluation, by_country=pl.DataFrame(rows, schema=COUNTRY_SCHEMA, orient="row"))
    page = page_of(told, atlas)
    cells = re.findall(r"<tr><th>(.*?)</th><td>(.*?)</td>\s*<td>(.*?)</td>\s*<td>(.*?)</td></tr>", page)
    assert cells == [("Portugal", "16.1%", "15.8%", "-0.3"), ("XX-rest", "20.0%", "25.0%", "+5.0")]


def test_an_evaluation_tells_local_music_of_countries_with_enough_test_listeners(listened: pl.DataFrame) -> None:
    """Of one country, half of whose tracks are by its own artists; what was played is the same with the setting off."""
    models = load_settings(overrides={"models": {"factors": 8, "min_listeners_in_table": 5, "ranker": "none"}}).models
    parents = dict.fromkeys(listened["part"].unique().to_list(), "PT")
    own = listened["track_id"].unique().sort()[::2].to_list()
    tables = {
        on: evaluate(
            listened,
            settings=models.model_copy(update={"local_share": on}),
            parents=parents,
            origins=dict.fromkeys(own, "PT"),
        ).by_country
        for on in (True, False)
    }
    for table in tables.values():
        assert table["country"].to_list() == ["PT"]
        points = 100 * (table["local_share_listed"] - table["local_share_played"])
        assert table["points"].item() == pytest.approx(points.item())
    assert tables[True]["local_share_played"].equals(tables[False]["local_share_played"])
    assert tables[True]["local_share_listed"].item() != tables[False]["local_share_listed"].item()  # of all known ones


def test_dots_stand_where_their_values_are() -> None:
    drawn = dots([Dot("a & b", 0.5, 0.0, 1.0, "0.5")])
    assert 'left:50.0%"></b>' in drawn
    assert "a &amp; b" in drawn
    assert 'class="zero"' in dots([Dot("a", 0.5, 0.4, 0.6, "")], zero=True)


def test_lines_leave_out_what_is_no_number() -> None:
    drawn = lines({"one": [np.nan, 1.0, 2.0]}, across=["a", "b", "c"])
    assert drawn.count("<circle") == 2
    assert "nan" not in drawn


def test_the_map_colours_no_gain_in_the_middle(atlas: Atlas) -> None:
    regions = [place.id for place in atlas.places.values() if place.parent == "PT" and place.level == "region"][:3]
    figure = draw_map(dict(zip(regions, (0.2, 0.0, -0.1), strict=True)), atlas=atlas, title="t", label="l")
    low, high = figure.axes[-1].get_ylim()
    assert low == -high
    assert draw_map({}, atlas=atlas, title="t", label="l").axes


def test_what_gains_has_one_colour_which_no_line_has(atlas: Atlas) -> None:
    style = text_of("report.css")
    assert f"--gain: {GAIN}; --loss: {LOSS};" in style
    assert not re.findall(r"\.(?:line|key)\.c\d[^}]*(?:gain|loss)", style)
    regions = [place.id for place in atlas.places.values() if place.parent == "PT" and place.level == "region"][:2]
    figure = draw_map(dict(zip(regions, (0.1, -0.1), strict=True)), atlas=atlas, title="t", label="l")
    colours = figure.axes[0].collections[-1].get_facecolor()
    assert [to_hex(colour) for colour in np.asarray(colours)] == [GAIN, LOSS]


def test_the_headline_leaves_out_what_could_not_be_measured(evaluation: Evaluation) -> None:
    changed = replace(evaluation, metrics={**evaluation.metrics, "ease.ndcg_at_10": np.nan})
    found = logbook.headline(changed)
    assert set(found) == {f"{model}.ndcg_at_10" for model in MODELS if model != "ease"}
    assert logbook.headline(replace(evaluation, metrics={})) == {}
