"""The price of a chart: what it says is what the charts do."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.releasing import NIGHT, SIGMA_SQUARED, catalogue, small_atlas, window

from recsys.artifacts.chart_database import Price
from recsys.releases.charts import charts
from recsys.releases.charts.charts import Charts
from recsys.releases.charts.price import price_of_found
from recsys.releases.snapshot import publishing
from recsys.schemas import Chart
from recsys.serving.lists.responses import chart_answer
from recsys.serving.snapshot.snapshot_reader import open_published
from recsys.settings import load_settings
from recsys.workspace import Workspace

ATLAS = small_atlas("AA")
SETTINGS = load_settings().charts


def test_a_track_is_listed_once_its_count_stands_out_and_it_is_worth_more_than_the_twentieth() -> None:
    """By hand: p of 0.001 in one window is 3.09 deviations, which is what noise may add: any one account may do."""
    free = price_of_found([], noise=10.0, p=1e-3, windows=1, least=0.0, weight=1.0)
    assert free == Price(1, 1)
    """p of 1e-9 is 5.998 deviations: 29.1 listeners a night, half as many accounts where the mean weight is a half."""
    assert price_of_found([], noise=10.0, p=1e-9, windows=1, least=0.0, weight=1.0) == Price(30, 30)
    assert price_of_found([], noise=10.0, p=1e-9, windows=1, least=0.0, weight=0.5) == Price(15, 15)
    """A bound of 100 needs 100 + 1.96 * 10 to be sure of, less the 30.9 that noise may add: 88.7."""
    many = [100.0] * 19 + [40.0]
    assert price_of_found(many, noise=10.0, p=1e-3, windows=1, least=0.0, weight=1.0) == Price(29, 89)
    assert price_of_found(many[:19], noise=10.0, p=1e-3, windows=1, least=50.0, weight=1.0) == Price(39, 89)


def counted(attacked: float, *, seed: int = 0) -> charts.Released:
    """Seven nights of one country of three regions, and as many listeners of track 39 in one of them."""
    random = np.random.default_rng(seed)
    usual = 20_000 / np.arange(1, 41) ** 1.2
    sums = np.repeat(usual[None], len(ATLAS.parts), axis=0)
    sums[:, 39] = 0
    sums[ATLAS.parts.index("aa1"), 39] = attacked
    return window(np.round(sums + random.normal(scale=np.sqrt(7 * SIGMA_SQUARED), size=sums.shape)), atlas=ATLAS)


@pytest.mark.parametrize("rank", [1, 20])
def test_fewer_accounts_than_the_price_hardly_ever_bring_a_track_there_and_four_times_as_many_do(rank: int) -> None:
    """Of a popular chart; seven nights of one account are seven listeners. The seeds are those of the noise.

    The price allows for a rank 1 that falls to two fifths within the week, which it does not do here.
    """
    drawn = charts.draw(lambda _: counted(0), [NIGHT], atlas=ATLAS, born={}, settings=SETTINGS)
    price = drawn.prices["aa1", "popular"]
    accounts = price.rank_1 if rank == 1 else price.first_20

    def enters(times: float, seed: int) -> bool:
        attacked = counted(7 * times * accounts, seed=seed)
        chart = charts.popular(attacked, atlas=ATLAS, settings=SETTINGS).filter(pl.col("place") == "aa1")
        return "t00039" in chart["track_id"].head(rank).to_list()

    assert sum(enters(0.9, seed) for seed in range(30)) <= 1
    assert all(enters(4.0, seed) for seed in range(3))


def test_every_public_chart_says_its_price_and_a_list_that_nothing_can_be_on_has_none(tmp_path: Path) -> None:
    drawn = charts.draw(lambda _: counted(0), [NIGHT], atlas=ATLAS, born={}, settings=SETTINGS)
    workspace = Workspace(tmp_path).prepare()
    lines = drawn.lines
    publishing.publish(
        workspace,
        charts=Charts(lines, ("popular", "rising", "local"), prices=drawn.prices),
        catalogue=catalogue(sorted(set(Chart.validate(lines)["track_id"]))),
        atlas=ATLAS,
        nights=[NIGHT],
        settings_digest="0",
        ledger_numbers=[1],
    )
    published = open_published(workspace)
    price = drawn.prices["aa1", "popular"]
    answer = chart_answer(published, place_id="aa1", chart="popular", limit=1)
    assert answer["price"] == {"first_20": price.first_20, "rank_1": price.rank_1}
    assert chart_answer(published, place_id="aa1", chart="rising", limit=1)["price"] is None
