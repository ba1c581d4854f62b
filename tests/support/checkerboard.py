"""The matrix whose right answer is known: whoever plays every other track is missing exactly one of them."""

import polars as pl
from support.listening import contributions

from recsys.settings import ModelsSettings, load_settings

SIZE = 50


def settings(**keys: float | str) -> ModelsSettings:
    small = {"factors": 8, "min_listeners_per_track": 1, "min_listeners_per_region": 20}
    return load_settings(overrides={"models": {**small, **keys}}).models


def checkerboard() -> pl.DataFrame:
    """Listener i plays the tracks of the same colour (i + t even) but for track i; a colour is a part of its own.

    Of the tracks that listener i never heard, only track i has i's colour.
    """
    return contributions(
        [
            (f"{listener:02d}", 0, ("even", "odd")[listener % 2], f"{track:02d}", 1)
            for listener in range(SIZE)
            for track in range(listener % 2, SIZE, 2)
            if track != listener
        ]
    )
