"""What is planted in a sample world: tracks that rise in a known place from a known night on, and spread."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.sample.geography import Scene, distance_km
from pipelines.sample.tastes import Tracks

# Each: kind, the city where it begins (None: the whole world), night of the start as a share of all nights, peak share
# of listeners, nights of growth, nights at the peak before it fades.
PLANTED = (
    ("city", "Lisbon", 0.15, 0.10, 6, 12),
    ("city", "Berlin", 0.45, 0.12, 5, 30),
    ("city", "Dublin", 0.70, 0.15, 4, 30),
    ("city", "Montevideo", 0.55, 0.12, 7, 30),
    ("city", "Porto", 0.75, 0.14, 4, 30),
    ("country", "Tokyo", 0.40, 0.10, 7, 30),
    ("country", "Lagos", 0.65, 0.12, 6, 30),
    ("country", "Madrid", 0.20, 0.10, 6, 8),
    ("spreading", "São Paulo", 0.25, 0.14, 6, 30),
    ("spreading", "Lisbon", 0.40, 0.12, 5, 30),
    ("everywhere", None, 0.60, 0.08, 6, 30),
)
SPREAD_KM = 120.0  # a night: how fast a spreading trend reaches the other cities of its country
FADE_NIGHTS = 5.0
RANKS = (0.1, 0.5)  # planted tracks come from this range of the catalogue's popularity: known, but far from any top 20


@dataclass(frozen=True)
class Trend:
    """A planted trend in one scene; one that spreads is several of the same ``name``.

    Parameters
    ----------
    name : str
    kind : {"city", "country", "spreading", "everywhere"}
    track : int
    scene : int
    start : int
        The first night, counted from 0, with any of it.
    peak : float
        Share of the scene's listeners of a night who play the track because of the trend.
    growth, lasting : int
        Nights from the start to the peak, and from the peak to the beginning of the end.
    """

    name: str
    kind: str
    track: int
    scene: int
    start: int
    peak: float
    growth: int
    lasting: int

    def share(self, night: int) -> float:
        """Return the share of the scene's listeners who play the track in a night because of the trend.

        A logistic curve from 1.8 % to 98.2 % of the peak within the nights of growth, later an exponential fade.
        """
        if night < self.start:
            return 0.0
        grown = 1 / (1 + np.exp(4 - 8 * (night - self.start) / self.growth))
        late = max(0, night - self.start - self.growth - self.lasting)
        return float(self.peak * grown * np.exp(-late / FADE_NIGHTS))


def plant(scenes: Sequence[Scene], tracks: Tracks, *, nights: int, rng: np.random.Generator) -> tuple[Trend, ...]:
    """Plant the trends, each on a track of its own."""
    order = np.argsort(-tracks.popularity)
    order = order[(tracks.age[order] > 0) & (tracks.drift[order] == 0)]
    known = order[round(RANKS[0] * len(order)) : max(len(PLANTED), round(RANKS[1] * len(order)))]
    chosen = rng.choice(known, size=min(len(PLANTED), len(known)), replace=False)
    return tuple(
        Trend(f"trend-{number + 1:02d}", kind, int(track), scene, round(begin * nights) + lag, peak, growth, lasting)
        for number, ((kind, city, begin, peak, growth, lasting), track) in enumerate(zip(PLANTED, chosen, strict=False))
        for scene, lag in _reached(kind, city, scenes)
        if round(begin * nights) + lag < nights
    )


def _reached(kind: str, city: str | None, scenes: Sequence[Scene]) -> Iterator[tuple[int, int]]:
    """Yield the scenes that a trend reaches, each with the nights that it needs to get there."""
    origin = next((scene for scene in scenes if scene.name == city), None)
    for number, scene in enumerate(scenes):
        if origin is None or (kind == "country" and scene.country == origin.country):
            yield number, 0
        elif scene is origin or (kind == "spreading" and scene.country == origin.country and scene.is_city):
            away = distance_km(origin.latitude, origin.longitude, scene.latitude, scene.longitude)
            yield number, round(float(away) / SPREAD_KM)
