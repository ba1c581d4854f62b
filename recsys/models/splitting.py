"""Temporal split: what models learn from and what they are asked for; nothing of anybody's future."""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import numpy as np
import polars as pl

from recsys.models.interactions import nights
from recsys.settings import ModelsSettings

Kind = Literal["temporal", "random"]
RANDOM = "The split is random: models learn from nights after those they are asked for, and look better than they are."


@dataclass(frozen=True)
class Split:
    """Contributions by night: train, then validation, then test; nobody's future is in anybody's past."""

    train: pl.DataFrame = field(repr=False)
    validation: pl.DataFrame = field(repr=False)
    test: pl.DataFrame = field(repr=False)

    @property
    def past(self) -> pl.DataFrame:
        """What is known before the test nights."""
        return pl.concat([self.train, self.validation])


def split_rows(rows: pl.DataFrame, *, settings: ModelsSettings, kind: Kind = "temporal") -> Split | None:
    """Cut contributions at the last nights; None where there are too few nights.

    Parameters
    ----------
    rows : polars.DataFrame
        Of :class:`~recsys.schemas.Contributions`.
    settings : ModelsSettings
        ``validation_nights``, ``gap_nights`` and ``test_nights``.
    kind : {"temporal", "random"}
        A random split has the same shares, and every row goes anywhere. It is there to show what it does to numbers.
    """
    found = nights(rows)
    if len(found) < nights_needed(settings):
        return None
    if kind == "random":
        return _split_at_random(rows, len(found), settings=settings)
    test = len(found) - settings.test_nights
    gap = test - settings.gap_nights
    return split_by_night(
        rows, validation_from=found[gap - settings.validation_nights], test_from=found[test], gap_from=found[gap]
    )


def nights_needed(settings: ModelsSettings) -> int:
    """Return the nights that a split needs: one to train on, and those of the settings."""
    return 1 + settings.validation_nights + settings.gap_nights + settings.test_nights


def split_by_night(
    contributions: pl.DataFrame, *, validation_from: date, test_from: date, gap_from: date | None = None
) -> Split:
    """Cut contributions at two nights, for everybody the same; from ``gap_from`` to the test nights none is used."""
    night = pl.col("night")
    return Split(
        contributions.filter(night < validation_from),
        contributions.filter((night >= validation_from) & (night < (gap_from or test_from))),
        contributions.filter(night >= test_from),
    )


def _split_at_random(rows: pl.DataFrame, number: int, *, settings: ModelsSettings) -> Split:
    """Deal the rows out, the same for any order of them."""
    rows = rows.sort("listener", "night", "track_id", "part", "plays")
    dealt = pl.Series(np.random.default_rng(settings.seed).random(len(rows)) * number)
    test, validation = number - settings.test_nights, number - settings.test_nights - settings.validation_nights
    return Split(
        rows.filter(dealt < validation), rows.filter((dealt >= validation) & (dealt < test)), rows.filter(dealt >= test)
    )
