from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from support.releasing import small_atlas, window

from recsys.errors import NotReadyError
from recsys.geography.atlas import Atlas
from recsys.releases.charts import charts
from recsys.releases.counts.noise import discrete_gaussian
from recsys.releases.counts.release_reader import Released
from recsys.releases.inference.memory import NOTHING, Memory
from recsys.schemas import Chart, at_border
from recsys.settings import ChartsSettings, load_settings

SETTINGS: ChartsSettings = load_settings(overrides={"charts": {"size": 10}}).charts
SIGMA_SQUARED = 7 * 10 / 0.03  # of a sum over seven nights
ZIPF = 1 / np.arange(1, 201)
SEED = 20167


def noise(shape: tuple[int, int]) -> np.ndarray:
    return sum(discrete_gaussian(shape[0] * shape[1], sigma_squared=10 / 0.03).reshape(shape) for _ in range(7))


def popular(sums: np.ndarray, *, atlas: Atlas | None = None, size: int = 10, nights: int = 7) -> pl.DataFrame:
    atlas = atlas or small_atlas()
    settings = SETTINGS.model_copy(update={"size": size})
    return charts.popular(window(sums, atlas=atlas, nights=nights), atlas=atlas, settings=settings)


def of(chart: pl.DataFrame, place: str) -> pl.DataFrame:
    return chart.filter(pl.col("place") == place)


def tracks_of(chart: pl.DataFrame, place: str) -> list[int]:
    return [int(track[1:]) for track in of(chart, place)["track_id"]]


def test_large_counts_are_read_as_they_are() -> None:
    true = np.outer(np.arange(1, 9), 1e6 * ZIPF).round()
    chart = popular(true + noise(true.shape))
    at_border(chart, Chart)
    parts = small_atlas().parts
    for place, members in small_atlas().members.items():
        expected = true[[parts.index(part) for part in members]].sum(axis=0) / 7
        assert tracks_of(chart, place) == list(range(10))
        assert of(chart, place)["estimate"].to_numpy() == pytest.approx(expected[:10], rel=0.01)


def test_every_served_place_has_a_chart_in_the_order_of_its_level() -> None:
    chart = popular(noise((8, 200)))
    expected = ["world", "AA", "BB", "CC", "aa1", "aa2", "aa3", "bb1"]
    assert chart["place"].unique(maintain_order=True).to_list() == expected
    assert chart["rank"].to_list() == list(range(1, 11)) * 8
    assert set(chart["chart"]) == {"popular"}


def test_estimates_fall_and_lie_in_their_intervals() -> None:
    chart = popular(np.outer(np.ones(8), 3000 * ZIPF) + noise((8, 200)))
    assert (chart["low"] >= 0).all()
    assert (chart["low"] <= chart["estimate"]).all()
    assert (chart["estimate"] <= chart["high"]).all()
    assert chart.select(pl.col("estimate").diff().over("place").drop_nulls().le(0).all()).item()
    assert (chart["lift"] > 0).all()


def test_the_world_is_what_lift_compares_with() -> None:
    chart = popular(np.outer(np.ones(8), 3000 * ZIPF) + noise((8, 200)))
    assert of(chart, "world")["lift"].to_numpy() == pytest.approx(1)


def test_noise_alone_puts_nothing_on_top() -> None:
    """Where nobody listens, the largest count of the world is near 380 in the window, by noise alone.

    Means of five draws: of one draw, a place's lines err together, and one in seventy had a fifth of them above 0.
    """
    drawn = [noise((8, 200)) for _ in range(5)]
    charts = [popular(sums) for sums in drawn]
    largest = [
        7 * of(chart, "world")["estimate"].max() / sums.sum(axis=0).max()
        for chart, sums in zip(charts, drawn, strict=True)
    ]
    assert np.mean(largest) < 0.4
    assert np.mean([chart["estimate"].median() for chart in charts]) < 2.5
    assert np.mean([(chart["low"] > 0).mean() for chart in charts]) < 0.12


def test_a_small_region_reads_like_its_country() -> None:
    """Region aa1 has 300 counts in the window, AA-rest a million: where noise hides aa1, the rest's order shows."""
    atlas, own = small_atlas(), np.zeros((8, 200))
    own[atlas.parts.index("AA-rest")] = 1e6 * ZIPF[::-1] / ZIPF.sum()
    own[atlas.parts.index("BB-rest")] = 1e6 * ZIPF / ZIPF.sum()
    own[atlas.parts.index("aa1")] = 300 * ZIPF[::-1] / ZIPF.sum()
    chart = popular(own.round() + noise((8, 200)))
    assert len(set(tracks_of(chart, "aa1")) & set(range(190, 200))) >= 6
    assert tracks_of(chart, "AA") == list(range(199, 189, -1))
    assert of(chart, "aa1")["estimate"].sum() * 7 < 1000


def test_a_region_departs_from_its_country_as_evidence_grows() -> None:
    atlas, own = small_atlas(), np.outer(np.ones(8), 1e4 * ZIPF)
    row = atlas.parts.index("aa1")
    own[row, 150] = 20_000  # twice the usual number one, where others have 66
    chart = popular(own.round() + noise((8, 200)))
    first = of(chart, "aa1").row(0, named=True)
    assert first["track_id"] == "t00150"
    assert first["estimate"] == pytest.approx(20_000 / 7, abs=6 * SIGMA_SQUARED**0.5 / 7)
    assert first["lift"] > 4
    assert tracks_of(chart, "aa2")[:3] == [0, 1, 2]  # 10,000, 5,000, 3,333: ten and more standard errors apart


def test_one_night_has_wider_intervals_than_a_week() -> None:
    true = np.outer(np.ones(8), 700 * ZIPF)
    week = popular((7 * true).round() + noise((8, 200)))
    night = popular(true.round() + discrete_gaussian(1600, sigma_squared=10 / 0.03).reshape(8, 200), nights=1)
    width = [of(chart, "CC").head(1).select(pl.col("high") - pl.col("low")).item() for chart in (week, night)]
    assert width[0] < width[1]
    assert of(night, "CC")["estimate"][0] == pytest.approx(700, rel=0.2)


def test_a_place_that_is_all_of_the_larger_one_has_the_same_chart() -> None:
    atlas = small_atlas("bb1")
    assert atlas.parts == ("bb1",)
    chart = popular(3000 * ZIPF[None].round() + noise((1, 200)), atlas=atlas)
    for place in ("BB", "bb1"):
        assert of(chart, place).drop("place").equals(of(chart, "world").drop("place"))


def test_a_service_area_that_ends_at_countries() -> None:
    atlas = small_atlas("CC", "bb1")
    assert atlas.parts == ("CC-rest", "bb1")
    chart = popular(np.outer([1, 2], 3000 * ZIPF).round() + noise((2, 200)), atlas=atlas)
    assert chart["place"].unique(maintain_order=True).to_list() == ["world", "BB", "CC", "bb1"]


@pytest.mark.parametrize("tracks", [1, 2, 20])
def test_a_catalogue_shorter_than_a_chart(tracks: int) -> None:
    chart = popular(np.outer(np.ones(8), 3000 * ZIPF[:tracks]) + noise((8, tracks)), size=100)
    assert chart.height == 8 * tracks


def test_ties_are_settled_by_track() -> None:
    chart = popular(np.full((8, 200), 50))
    assert tracks_of(chart, "world") == list(range(10))


def test_a_track_that_was_a_candidate_for_fewer_nights_counts_per_night() -> None:
    atlas, true = small_atlas(), np.outer(np.ones(8), 7e5 * ZIPF)
    true[:, 0] *= 3 / 7
    exposures = np.full(true.shape, 7, dtype=np.uint8)
    exposures[:, 0] = 3
    chart = charts.popular(window(true, atlas=atlas, exposures=exposures), atlas=atlas, settings=SETTINGS)
    assert of(chart, "CC")["estimate"][:2].to_numpy() == pytest.approx([1e5, 5e4], rel=0.01)


def test_older_nights_do_not_stand_in_for_missing_ones() -> None:
    nights = [date(2026, 10, day) for day in (1, 2, 3, 8, 9)]
    assert charts.window_of(nights, settings=SETTINGS) == nights[2:]
    assert charts.window_of(nights[:1], settings=SETTINGS) == nights[:1]


def test_another_atlas_is_not_ready() -> None:
    released = window(np.zeros((8, 200)), atlas=small_atlas())
    with pytest.raises(NotReadyError, match="another atlas"):
        charts.popular(released, atlas=small_atlas(version="new"), settings=SETTINGS)


WEEKS = [[date(2026, 9, 1) + timedelta(days=7 * week + day) for day in range(7)] for week in range(8)]
DAYS = [day for week in WEEKS for day in week]


def departing(*, random: np.random.Generator, weeks: int) -> Callable[[Sequence[date]], Released]:
    """Nights in which region aa1 plays eight tracks of its own far more than others do, which noise hides."""
    atlas, rates = small_atlas(), np.outer(np.full(len(small_atlas().parts), 3_000.0), 1 / np.arange(1, 201))
    rates[atlas.parts.index("aa1")] *= 0.02
    rates[atlas.parts.index("aa1"), 20:28] *= 6
    nights = {day: rates + 18 * random.normal(size=rates.shape) for day in DAYS[: 7 * weeks]}

    def read(some: Sequence[date]) -> Released:
        sums = np.sum([nights[day] for day in some], axis=0)
        return replace(window(np.rint(sums), atlas=atlas, nights=len(some)), nights=tuple(some))

    return read


def remembered(read: Callable[[Sequence[date]], Released], *, weeks: int) -> Memory:
    memory = NOTHING
    for week in range(1, weeks + 1):
        memory = charts.remember(read, DAYS[: 7 * week], atlas=small_atlas(), settings=SETTINGS, memory=memory)
    return memory


def test_a_small_place_finds_its_taste_by_what_it_remembers() -> None:
    """In a week its own tracks have some 100 listeners each, under noise of 48."""
    print("seed", SEED)
    read = departing(random=np.random.default_rng(SEED), weeks=8)
    own = {f"t{i:05d}" for i in range(20, 28)}
    found = []
    for memory in (NOTHING, remembered(read, weeks=7)):
        drawn = charts.draw(read, DAYS, atlas=small_atlas(), born={}, settings=SETTINGS, memory=memory).lines
        listed = drawn.filter(pl.col("chart") == "popular", pl.col("place") == "aa1")["track_id"]
        found.append(len(own.intersection(listed)))
    assert found[1] >= found[0] + 2


def test_drawing_a_night_yields_its_memory_without_another_reading() -> None:
    print("seed", SEED)
    read = departing(random=np.random.default_rng(SEED), weeks=2)
    before = remembered(read, weeks=1)
    drawn = charts.draw(read, DAYS[:14], atlas=small_atlas(), born={}, settings=SETTINGS, memory=before).memory
    again = charts.remember(read, DAYS[:14], atlas=small_atlas(), settings=SETTINGS, memory=before)
    assert (drawn.night, drawn.places, drawn.tracks) == (DAYS[13], again.places, again.tracks)
    assert (drawn.sums.rest == again.sums.rest).all()
    assert set(drawn.places) == {"AA", "BB", "CC", "aa1", "aa2", "aa3", "bb1"}  # which is not all of BB


def test_a_night_is_not_counted_twice() -> None:
    print("seed", SEED)
    read = departing(random=np.random.default_rng(SEED), weeks=2)
    memory = remembered(read, weeks=1)
    with pytest.raises(ValueError, match="holds nights of the window"):
        charts.draw(read, DAYS[:13], atlas=small_atlas(), born={}, settings=SETTINGS, memory=memory)
