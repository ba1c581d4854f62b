"""Real cities: hide one, predict its number one from what is published around it.

``HEARABOUTS_DATA`` names the folder that holds ``city-number-ones/*.parquet``: in each file some three thousand cities
with their most viewed song and its views, which are taken as listener counts without noise. Every city is hidden in
turn, and its number one guessed

- world, country: the song that is number one in most other cities; of the world where the country has no other;
- nearest: the same of the five nearest cities, the nearest one deciding between equals;
- product: the first line of the reading of a region that was not counted, in the light of all that were. What is
  usual between places is learned once and not again without each city: that is a few numbers from 3,000 cities.

It prints the share of cities for which each is right, and the standard error of the product's.
"""

import os
import sys
import time
from collections import Counter
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD, Place
from recsys.releases.counts.noisy_counts import Noisy
from recsys.releases.counts.release_reader import Released
from recsys.releases.counts.window import UNKNOWN, Tracks, Window
from recsys.releases.inference import hierarchy
from recsys.settings import load_settings

NEAREST = 5
HARDLY_ANY = 1.0  # variance of counts without noise: of a view among ten thousand


class Hiding(Window):
    """A window in which one place at a time was not counted."""

    hidden = ""

    def noisy(self, place: str, tracks: Tracks) -> Noisy:
        noisy = super().noisy(place, tracks)
        return noisy if place != self.hidden else Noisy(0 * noisy.counts, np.full_like(noisy.variance, UNKNOWN))


def atlas_of(cities: pl.DataFrame) -> Atlas:
    """Return an atlas in which every city is a region, and a country lies where its largest city does."""
    world = Place(WORLD, "World", None, "world", None, 0, 0, 0)
    columns = ("city", "country", "latitude", "longitude")
    rows = cities.select(columns).rows()
    largest = cities.sort("views", descending=True).unique("country", keep="first", maintain_order=True)
    countries = [Place(id_, id_, id_, "country", WORLD, *at, 0) for _, id_, *at in largest.select(columns).rows()]
    regions = [Place(city_id(i), name, id_, "region", id_, *at, 0) for i, (name, id_, *at) in enumerate(rows)]
    places = {place.id: place for place in [world, *countries, *regions]}
    settings = load_settings(overrides={"atlas": {"service_area": [region.id for region in regions]}}).atlas
    return Atlas(settings=settings, places=places, country_cells={}, version="cities", cities=pl.DataFrame())


def city_id(row: int) -> str:
    return f"city{row:05}"


def released(views: np.ndarray, songs: np.ndarray, *, atlas: Atlas) -> Released:
    """Return one night in which every city counted every song."""
    sums = np.zeros((len(songs), songs.max() + 1), dtype=np.int32)
    sums[np.arange(len(songs)), songs] = views
    rows, tracks = sums.shape
    return Released(
        nights=(date(2021, 3, 1),),
        atlas=atlas.version,
        rows=atlas.parts,
        tracks=tuple(f"t{i:05}" for i in range(tracks)),
        tiers=dict.fromkeys(atlas.parts, "part"),
        starts=np.arange(rows + 1) * tracks,
        positions=np.tile(np.arange(tracks, dtype=np.int32), rows),
        sums=sums.ravel(),
        exposures=np.ones(sums.size, dtype=np.uint8),
        variances=np.full(sums.size, HARDLY_ANY, dtype=np.float32),
        ledger_numbers=(1,),
    )


def foretold(cities: pl.DataFrame, songs: np.ndarray) -> np.ndarray:
    """Return for every city the song that the product reads as its first where the city was not counted."""
    atlas = atlas_of(cities)
    window = Hiding(released(cities["views"].to_numpy(), songs, atlas=atlas), atlas.members)
    children = hierarchy._children(atlas)
    country_of = {region: country for country in children if country != WORLD for region in children[country]}
    wholes = {read.place: read for read in islice(hierarchy.read_places(window, atlas=atlas), 1 + len(children[WORLD]))}
    first = {}
    for places in ([WORLD], children[WORLD]):
        families = [(wholes[place], children[place]) for place in places]
        level, _ = hierarchy._learn(families, window=window, atlas=atlas)
        for whole, some in families:
            first |= {place: unseen(place, whole, level=level, window=window) for place in some if place in level.sizes}
    return np.array([first.get(region, first[country_of[region]]) for region in sorted(country_of)])


def unseen(place: str, whole: hierarchy.Reading, *, level: hierarchy._Level, window: Hiding) -> int:
    """Return the first track of a place that was not counted; the only city of a country is the country."""
    window.hidden = place
    read = hierarchy._read(place, hierarchy._see(place, whole, level=level, window=window), level=level)
    window.hidden = ""
    return int(read.tracks[read.belief.mean[0].argmax()])


def rivals(cities: pl.DataFrame, songs: np.ndarray) -> dict[str, np.ndarray]:
    """Return every city's song as the world, its country and its nearest cities say."""
    country, near = cities["country"].to_numpy(), nearest(cities)
    votes: dict[str, list[int]] = {"world": [], "country": [], "five nearest": []}
    for i in range(len(songs)):
        others = np.arange(len(songs)) != i
        world = most_common(songs[others])
        votes["world"].append(world)
        votes["country"].append(most_common(songs[others & (country == country[i])], otherwise=world))
        votes["five nearest"].append(most_common(songs[near[i]]))
    return {name: np.array(found) for name, found in votes.items()}


def nearest(cities: pl.DataFrame) -> np.ndarray:
    """Return the rows of the nearest other cities, nearest first."""
    latitude, longitude = np.radians(cities.select("latitude", "longitude").to_numpy()).T
    at = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )
    distance = ((at[:, None] - at) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, :NEAREST]


def most_common(songs: np.ndarray, *, otherwise: int = -1) -> int:
    """Return the song with most votes; of equals the one that comes first."""
    return Counter(songs.tolist()).most_common(1)[0][0] if len(songs) else otherwise


def main() -> None:
    """Print every file's table."""
    folder = os.environ.get("HEARABOUTS_DATA")
    if not folder:
        sys.exit("skipped: HEARABOUTS_DATA names no folder of real data")
    print(
        f"{'month':>8}{'cities':>8}{'world':>9}{'country':>9}{'five nearest':>14}{'product':>9}{'±':>7}{'seconds':>9}"
    )
    for file in sorted(Path(folder, "city-number-ones").glob("*.parquet")):
        cities, started = pl.read_parquet(file), time.perf_counter()
        songs = cities.select(pl.struct("track", "artist").rank("dense")).to_series().to_numpy() - 1
        right = [np.mean(guess == songs) for guess in (*rivals(cities, songs).values(), foretold(cities, songs))]
        error = np.sqrt(right[-1] * (1 - right[-1]) / len(songs))
        values = f"{right[0]:9.3f}{right[1]:9.3f}{right[2]:14.3f}{right[3]:9.3f}{error:7.3f}"
        print(f"{file.stem:>8}{len(songs):8,}{values}{time.perf_counter() - started:9.0f}", flush=True)


if __name__ == "__main__":
    main()
