"""The history of charts: how large a year of it is, how long a night takes to be added, and answers to be read.

Run it alone: ``make bench BENCH=history``. Lists are of numbers drawn by chance, which pack worse than real ones.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from support.edge import LISBON, Client, publish

from recsys.artifacts.chart_history import Night, append
from recsys.settings import load_settings
from recsys.workspace import Workspace

FIRST = date(2025, 11, 1)
TRACKS, LINES, SHORT = 2_000, 50, 5  # of a popular list, and of the others


def main() -> dict[str, Any]:
    """Measure, and print."""
    return {
        "year at 177 places": _year(places=177, nights=365),
        "nights at 11,840 places": _grown(places=11_840, nights=2),
    }


def _year(*, places: int, nights: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace").prepare()
        found = _fill(workspace.history, places=places, nights=nights)
        last = FIRST + timedelta(days=nights - 1)
        publish(workspace, as_of=str(last))
        return found | _answers(workspace, last=last)


def _grown(*, places: int, nights: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return _fill(Path(folder) / "history.db", places=places, nights=nights)


def _fill(file: Path, *, places: int, nights: int) -> dict[str, Any]:
    random = np.random.default_rng(20151)
    began, sizes = time.perf_counter(), []
    for number in range(nights):
        night = FIRST + timedelta(days=number)
        lists = _lists(night, places=places, random=random)
        append(file, Night(night, night, 7, "v"), lists, kept=LINES, artists={})
        sizes.append(file.stat().st_size)
    seconds = (time.perf_counter() - began) / nights
    a_night = (sizes[-1] - sizes[0]) / (nights - 1)
    return {
        "MB a night": round(a_night / 1e6, 2),
        "MB a year": round(365 * a_night / 1e6),
        "s a night": round(seconds, 2),
    }


def _lists(night: date, *, places: int, random: np.random.Generator) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    names = [LISBON, "PT", "world", *(f"place-{number}" for number in range(places - 3))]
    for number, place in enumerate(names):
        for chart, lines in (("popular", LINES), ("rising", SHORT), ("local", SHORT)):
            first = 37 * number % (TRACKS - 300)
            tracks = first + np.sort(random.choice(150, lines, replace=False))
            values = np.round(np.sort(random.lognormal(2, 1, lines))[::-1], 1)
            yield (
                place,
                chart,
                [
                    _item(rank, int(t), float(v), night)
                    for rank, (t, v) in enumerate(zip(tracks, values, strict=True), 1)
                ],
            )


def _item(rank: int, track: int, value: float, night: date) -> dict[str, Any]:
    low, high = round(value * 0.83, 1), round(value * 1.21, 1)
    return {
        "rank": rank,
        "previous_rank": rank + track % 5,
        "nights_on_chart": track % 35 + 1,
        "track_id": f"t{track:05}",
        "title": f"Song {track} of somebody",
        "artist": f"Artist {track // 4}",
        "artist_id": f"a{track // 4:05}",
        "listeners": {"estimate": value, "low": low, "high": high},
        "lift": round(1 + track % 90 / 70, 2),
        "lift_interval": {"low": 0.91, "high": round(1 + track % 90 / 50, 2)},
        "nights": 7,
        "history": {"first_night": str(FIRST), "first_rank": 48, "peak_rank": 1, "peak_night": str(night), "nights": 9},
        "reason": f"About {value:.0f} contributing listeners a night here; its share is 1.3 times the world's.",
    }


def _answers(workspace: Workspace, *, last: date) -> dict[str, Any]:
    client = Client(workspace, settings=load_settings())
    chart = f"/v1/regions/{LISBON}/charts/popular"
    nights = [last - timedelta(days=7 * step) for step in range(1, 50)]
    asked: dict[str, Callable[[int], str]] = {
        "chart": lambda i: f"{chart}?limit={i + 1}",
        "night": lambda i: f"{chart}?night={nights[i]}",
        "week": lambda i: f"{chart}?week={'{}-W{:02}'.format(*nights[i].isocalendar()[:2])}",
        "track": lambda i: f"/v1/tracks/t{i:05}",
        "artist": lambda i: f"/v1/artists/Artist%20{i}",
        "page of a song": lambda i: f"/songs/t{i:05}/",
    }
    found = {}
    for name, address in asked.items():
        took = []
        for i in range(1, 48):
            began = time.perf_counter()
            answer = client.get(address(i))
            took.append(1000 * (time.perf_counter() - began))
            assert answer.status_code in (200, 404), (answer.status_code, address(i))
        found[f"{name} ms p50"] = round(float(np.median(took)), 1)
    return found


if __name__ == "__main__":
    for name, measured in main().items():
        print(name, measured)
