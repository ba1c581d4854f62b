"""Weights: what a listener adds to the totals of a place, right on average, and what all of it costs."""

from datetime import timedelta

import polars as pl
import pytest
from support.arriving import NIGHT

from recsys.weights import cost, totals

DAY = timedelta(days=1)
BO = "b" * 28 + "0001"  # whose last digits and the night's ordinal, 739,685, leave 6 of 32


def added(listener: str, tracks: int, weight: int, *, nights: int = 0) -> tuple[int, int, int]:
    """A listener's parts in the totals of tracks and of weights, and the squared length of everything."""
    one = pl.DataFrame({"listener": [listener], "tracks": [tracks], "weight": [weight]})
    night, played = NIGHT + nights * DAY, (pl.col("tracks"), pl.col("weight"))
    of_tracks, of_weights = totals(*played, night=night)
    (row,) = one.select(of_tracks.alias("a"), of_weights.alias("b"), cost(*played, night=night).alias("c")).rows()
    return row


@pytest.mark.parametrize(
    ("tracks", "weight", "expected"),
    [
        (1, 16, (0, 0, 256)),  # (1 + 1) / 8 and (16 + 6) / 32, rounded down
        (7, 16, (1, 3, 7 * 256 + 1 + 9)),  # (7 + 1) / 8 and (112 + 6) / 32
        (10, 15, (1, 4, 10 * 225 + 1 + 16)),  # (10 + 1) / 8 and (150 + 6) / 32
        (100, 4, (8, 8, 100 * 16 + 64 + 64)),  # as of 64 tracks, whose weights are 256
        (100, 0, (0, 0, 0)),
    ],
)
def test_parts_in_the_totals_are_an_eighth_of_tracks_and_a_32nd_of_weights(
    tracks: int, weight: int, expected: tuple[int, int, int]
) -> None:
    assert added(BO, tracks, weight) == expected


@pytest.mark.parametrize(("tracks", "weight"), [(1, 16), (3, 15), (10, 8), (20, 5), (64, 1)])
def test_over_32_nights_and_over_listeners_the_totals_are_right(tracks: int, weight: int) -> None:
    for parts in (
        [added(BO, tracks, weight, nights=n) for n in range(32)],
        [added(f"{n:032x}", tracks, weight) for n in range(32)],
    ):
        assert sum(of_tracks for of_tracks, _, _ in parts) * 8 == 32 * tracks
        assert sum(of_weights for _, of_weights, _ in parts) * 32 == 32 * tracks * weight
