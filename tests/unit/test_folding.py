"""Listeners and regions that were never trained: what they are given, against what their own data would have given."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from support.listening import FIRST_NIGHT, world

from recsys.models.blending import FIRST_GUESS, BlendParameters
from recsys.models.collaborative import Blend, train
from recsys.models.interactions import Interactions, gather, heard_later
from recsys.models.metrics import ndcg_at_10, rank
from recsys.settings import ModelsSettings, load_settings

COUNTRIES = {f"part-{part:03d}": "ab"[part % 2] for part in range(8)}
EVERYWHERE = BlendParameters(FIRST_GUESS, frozenset({*COUNTRIES, "a/*", "b/*"}))
FEW = 5  # plays that are known of a cold listener


def models(engine: str) -> ModelsSettings:
    keys = {"engine": engine, "factors": 32, "min_listeners_per_track": 5}
    return load_settings(overrides={"models": keys}).models


def served(rows: pl.DataFrame, tracks: pl.Series, *, engine: str) -> Blend:
    known = gather(rows, settings=models(engine), parents=COUNTRIES, tracks=tracks)
    model = train(known, parameters=EVERYWHERE, settings=models(engine))["blend"]
    assert isinstance(model, Blend)
    return model


def worth(model: Blend, asked: Interactions, later: pl.DataFrame) -> np.ndarray:
    relevant: sparse.csr_array = heard_later(later, known=asked)
    return ndcg_at_10(rank(model.fold_in(asked), later=relevant, heard=asked.confidence))


@pytest.mark.parametrize("engine", ["als", "ease"])
def test_a_few_listens_folded_in_are_worth_98_percent_of_a_full_refit(engine: str) -> None:
    rows = world(1, listeners=1500, tracks=300, parts=4, nights=15, plays=60)
    cold = pl.col("listener").str.ends_with("0")
    new = rows.filter(cold).sort("listener", "night", "track_id")
    first = pl.int_range(pl.len()).over("listener") < FEW
    before, heard, later = rows.filter(~cold), new.filter(first), new.filter(~first)
    tracks = gather(before, settings=models(engine)).tracks
    asked = gather(heard, settings=models(engine), parents=COUNTRIES, tracks=tracks)
    assert asked.shape[0] > 140
    folded = worth(served(before, tracks, engine=engine), asked, later).mean()
    refitted = worth(served(pl.concat([before, heard]), tracks, engine=engine), asked, later).mean()
    assert folded >= 0.98 * refitted


@pytest.mark.parametrize("engine", ["als", "ease"])
def test_a_region_that_was_never_trained_gets_97_percent_from_its_parents(engine: str) -> None:
    """Where scenes are those of countries, and cells depart from them in fame alone, a tenth as much.

    Where every cell has a scene of its own, nothing can know it before it was heard there: with ``countries=0`` the
    parents give about 60 % of what the cell's own data would have given.
    """
    hidden, own = zip(*(without_and_with(seed, engine=engine) for seed in (1, 2, 3)), strict=True)
    assert np.concatenate(hidden).mean() >= 0.97 * np.concatenate(own).mean()


def without_and_with(seed: int, *, engine: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what a cell's listeners are given by a model that never saw it, and by one that did."""
    rows = world(seed, listeners=2000, tracks=300, parts=8, nights=15, plays=60, countries=2)
    early, here = pl.col("night") < FIRST_NIGHT + timedelta(days=11), pl.col("part") == "part-003"
    tracks = gather(rows.filter(early), settings=models(engine)).tracks
    asked = gather(rows.filter(early & here), settings=models(engine), parents=COUNTRIES, tracks=tracks)
    fits = (served(kept, tracks, engine=engine) for kept in (rows.filter(early & ~here), rows.filter(early)))
    hidden, own = (worth(model, asked, rows.filter(~early)) for model in fits)
    return hidden, own
