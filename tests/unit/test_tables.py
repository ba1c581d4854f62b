"""Tables by region against values derived by hand: what a region gains over both simpler models, and how surely."""

import polars as pl
import pytest
from support.listening import contributions

from recsys.models.evaluation.evaluation import evaluate
from recsys.models.evaluation.report_tables import below
from recsys.settings import load_settings


def region(blend: float, world: float, own: float, *, over_world: float, over_own: float) -> dict[str, float]:
    """A region's means, and how probable its two differences are by chance alone."""
    rivals = {"global": (world, over_world), "local": (own, over_own)}
    gains = {f"blend_minus.{model}.ndcg_at_10": blend - mean for model, (mean, _) in rivals.items()}
    chances = {f"blend_minus.{model}.ndcg_at_10_chance": chance for model, (_, chance) in rivals.items()}
    means = {"blend": blend, "global": world, "local": own}
    return {f"{model}.ndcg_at_10": mean for model, mean in means.items()} | gains | chances


def test_regions_below_a_simpler_model_are_counted() -> None:
    table = pl.DataFrame(
        [
            region(0.50, 0.40, 0.40, over_world=0.001, over_own=0.001),  # surely above both
            region(0.399, 0.40, 0.40, over_world=0.9, over_own=0.9),  # 0.25 % below both: as good
            region(0.30, 0.40, 0.20, over_world=0.3, over_own=0.002),  # below the world's, perhaps by chance
            region(0.30, 0.40, 0.50, over_world=0.001, over_own=0.001),  # surely below both
            region(0.30, 0.20, 0.40, over_world=0.003, over_own=0.045),  # one of five of .045 is no more than chance
        ]
    )
    assert below(table) == {
        "regions.compared": 5,
        "regions.surely_below_global": 1,
        "regions.surely_below_local": 1,
        "regions.surely_below_either": 1,
        "regions.one_percent_below_global": 2,
        "regions.one_percent_below_local": 2,
        "regions.one_percent_below_either": 3,
    }


def test_a_model_that_is_not_there_is_above_nobody() -> None:
    nan = float("nan")
    found = below(pl.DataFrame([region(0.3, 0.2, nan, over_world=0.3, over_own=nan)]))
    assert [found[key] for key in found if key.startswith("regions.")] == [1, 0, 0, 0, 0, 0, 0]


def test_a_region_gains_what_its_listeners_gain_and_its_interval_is_theirs() -> None:
    """Two regions without a track in common, and everybody lacks one of their region's three."""
    past = [(f"{part}{i:02}", night, part, track, 1) for part in "PQ" for i in range(30) for night, track in
            enumerate((f"{part}{i % 3}", f"{part}{(i + 1) % 3}"))]  # fmt: skip
    test = [(f"{part}{i:02}", 2, part, f"{part}{(i + 2) % 3}", 1) for part in "PQ" for i in range(30)]
    keys = {"factors": 4, "min_listeners_per_track": 1, "validation_nights": 1, "test_nights": 1}
    settings = load_settings(overrides={"models": {**keys, "min_listeners_in_table": 5}}).models
    found = evaluate(contributions([*past, *test]), settings=settings)
    for row in found.by_part.iter_rows(named=True):
        for model in ("global", "local"):
            key = f"blend_minus.{model}.ndcg_at_10"
            assert row[key] == pytest.approx(row["blend.ndcg_at_10"] - row[f"{model}.ndcg_at_10"])
            assert row[f"{key}_low"] <= row[key] <= row[f"{key}_high"]
    assert found.metrics["regions.compared"] == found.by_part.height == 2
