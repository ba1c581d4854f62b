"""The sample world: the generator on small worlds, and what is committed under data/sample."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import polars_h3
import pytest
from polars.testing import assert_frame_equal

from pipelines.sample import Summary, geography, job, names, write_world
from pipelines.sample.geography import Scene, distance_km, scatter
from pipelines.sample.nights import invent_world, play
from pipelines.sample.planted_trends import FADE_NIGHTS, Trend
from pipelines.sample.tastes import draw
from recsys.errors import InputError
from recsys.geography.atlas import Atlas
from recsys.settings import load_settings
from recsys.workspace import digest

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
SEED = 5
NIGHTS = 8
SMALL = {"size": 0.02, "seed": SEED, "nights": NIGHTS}


@pytest.fixture(scope="module")
def small(world_atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("small")
    return folder, write_world(folder, atlas=world_atlas, **SMALL)


def truth(folder: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "truth" / f"{table}.parquet")


def listens_of(folder: Path) -> pl.DataFrame:
    nights = sorted((folder / "listens").iterdir())
    return pl.concat(
        pl.read_parquet(night / "listens.parquet").with_columns(night=pl.lit(date.fromisoformat(night.name[5:])))
        for night in nights
    )


def with_reason(listens: pl.DataFrame, catalogue: pl.DataFrame) -> pl.DataFrame:
    """Add why a row is bad, by section 3.1 of the design and nothing of the generator."""
    position = pl.col("latitude"), pl.col("longitude")
    checks = {
        "missing user": pl.col("user_id").is_null(),
        "missing track": pl.col("track_id").is_null(),
        "missing time": pl.col("played_at").is_null(),
        "future time": pl.col("played_at").dt.year() > 2050,
        "wrong day": pl.col("played_at").dt.date() != pl.col("night"),
        "unknown track": ~pl.col("track_id").is_in(catalogue["track_id"].implode()),
        "not a number": pl.any_horizontal(c.is_nan() for c in position),
        "latitude": position[0].abs() > 90,
        "longitude": position[1].abs() > 180,
        "cell": pl.col("cell").is_not_null() & ~polars_h3.is_valid_cell(polars_h3.str_to_int("cell")),
    }
    return listens.with_columns(reason=pl.coalesce(pl.when(bad).then(pl.lit(name)) for name, bad in checks.items()))


# The generator


def test_the_same_arguments_write_the_same_bytes(
    small: tuple[Path, Summary], world_atlas: Atlas, tmp_path: Path
) -> None:
    folder, summary = small
    again = write_world(tmp_path / "again", atlas=world_atlas, **SMALL)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert again == summary
    assert len(files) == NIGHTS + 12
    assert [digest(tmp_path / "again" / name) for name in files] == [digest(folder / name) for name in files]


def test_another_seed_is_another_world_and_fewer_nights_are_fewer(world_atlas: Atlas, tmp_path: Path) -> None:
    options = {"atlas": world_atlas, "size": 0.005, "tracks": 100, "last_night": date(2027, 2, 3)}
    one = write_world(tmp_path / "one", seed=1, nights=2, **options)
    two = write_world(tmp_path / "two", seed=2, nights=1, **options)
    assert (one.nights, two.nights, one.tracks) == (2, 1, 100)
    assert {path.name for path in (tmp_path / "one" / "listens").iterdir()} == {"date=2027-02-02", "date=2027-02-03"}
    assert not pl.read_parquet(tmp_path / "one" / "catalogue.parquet").equals(
        pl.read_parquet(tmp_path / "two" / "catalogue.parquet")
    )


def test_size_scales_the_listeners(small: tuple[Path, Summary], world_atlas: Atlas) -> None:
    listeners = [sum(scene.listeners for scene in geography.scenes(world_atlas, size=size)) for size in (0.5, 1.5)]
    assert listeners[1] == pytest.approx(3 * listeners[0])
    assert 0.8 < small[1].listeners_a_night / (0.02 * listeners[0] / 0.5) < 1.3  # every scene has a listener or more


def test_one_row_in_a_hundred_is_bad_in_every_way(small: tuple[Path, Summary]) -> None:
    folder, summary = small
    rows = with_reason(listens_of(folder), pl.read_parquet(folder / "catalogue.parquet"))
    bad = rows.filter(pl.col("reason").is_not_null())
    assert (rows.height, bad.height) == (summary.rows, summary.bad_rows)
    assert bad.height / rows.height == pytest.approx(0.01, abs=0.001)
    reasons = bad["reason"].value_counts()
    assert reasons.height == 10
    assert reasons["count"].max() <= 2 * reasons["count"].min()


def test_the_consent_log_has_all_kinds_of_listeners(small: tuple[Path, Summary]) -> None:
    folder, summary = small
    log = pl.read_parquet(folder / "consents.parquet")
    purposes = ["contribute_trends", "local_trends", "partner_statistics", "personalisation"]
    good = pl.col("purpose").is_in(purposes) & pl.col("state").is_in(["given", "withdrawn"])
    fits = good & pl.col("user_id").is_not_null() & pl.col("at").is_not_null()
    bad = log.filter(~fits)
    assert bad.height / log.height == pytest.approx(0.01, abs=0.003)
    log = log.filter(fits)
    assert 1 - log["user_id"].n_unique() / summary.listeners == pytest.approx(0.2, abs=0.05)
    assert set(log["purpose"]) == set(purposes)
    given = log.filter(state="given").group_by("purpose").agg(pl.col("user_id").n_unique())
    by_purpose = dict(given.iter_rows())
    assert by_purpose["contribute_trends"] > 2 * by_purpose["partner_statistics"]
    assert log["at"].is_sorted()


def test_what_is_withdrawn_was_given(small: tuple[Path, Summary]) -> None:
    log = pl.read_parquet(small[0] / "consents.parquet").drop_nulls()
    log = log.filter(pl.col("state").is_in(["given", "withdrawn"]), pl.col("purpose").str.contains("_|personal"))
    first = log.filter(state="given").group_by("user_id", "purpose").agg(given=pl.col("at").min())
    withdrawn = log.filter(state="withdrawn").join(first, on=["user_id", "purpose"], how="left")
    assert withdrawn.height > 0
    assert (withdrawn["given"] < withdrawn["at"]).all()


def test_the_truth_counts_what_was_played(small: tuple[Path, Summary], world_atlas: Atlas) -> None:
    """Whoever sends a position is counted where it lies; those who send none make the truth a little larger."""
    folder, _ = small
    rows = with_reason(listens_of(folder), pl.read_parquet(folder / "catalogue.parquet"))
    good = rows.filter(pl.col("reason").is_null() & pl.col("latitude").is_not_null())
    last = good.filter(pl.col("night") > pl.col("night").max() - timedelta(days=7))
    part = geography.locate(world_atlas, last["latitude"].to_numpy(), last["longitude"].to_numpy())
    counted = (
        last.with_columns(part=part)
        .unique(["night", "part", "user_id", "track_id"])
        .group_by("part", "track_id")
        .agg(counted=pl.len())
    )
    served = truth(folder, "regions").filter("served")["part"]
    joined = truth(folder, "popular").join(counted, on=["part", "track_id"], how="full", coalesce=True)
    joined = joined.filter(pl.col("part").is_in(served.implode())).fill_null(0)
    assert (joined["listener_nights"] >= joined["counted"]).all()
    assert 0.85 < joined["counted"].sum() / joined["listener_nights"].sum() < 1


def test_a_folder_with_something_else_is_left_alone(world_atlas: Atlas, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a sample world"):
        write_world(tmp_path, atlas=world_atlas, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("wrong", [{"size": 0.0}, {"size": -1.0}, {"nights": 0}, {"tracks": 0}])
def test_impossible_worlds_are_refused(wrong: dict[str, float], world_atlas: Atlas, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_world(tmp_path / "world", atlas=world_atlas, **{**SMALL, **wrong})
    assert not (tmp_path / "world").exists()


# Its pieces


def test_positions_scatter_as_the_fit_says() -> None:
    """Of a single town of 100,000, half within s * sqrt(2^(1/0.87) - 1) = 3.79 km, where s = 3.43 km."""
    town = pl.DataFrame({"latitude": [38.0], "longitude": [-9.0], "population": [100_000]})
    scene = Scene("Town", "PT", 1.0, 38.0, -9.0, town, is_city=True)
    latitude, longitude = scatter(scene, 20_000, rng=np.random.default_rng(SEED))
    radius = distance_km(38.0, -9.0, latitude, longitude)
    assert np.median(radius) == pytest.approx(3.75, rel=0.03)  # a little less, since nobody is beyond 60 km
    assert 0.01 < np.mean(radius > 32.3) < 0.02  # 1 in 50 without that limit; 0.7 in 100 lie beyond it
    assert radius.max() < 60.5
    assert abs(np.mean(latitude > 38.0) - 0.5) < 0.02
    assert abs(np.mean(longitude > -9.0) - 0.5) < 0.02


def test_draws_follow_the_chances_of_their_row() -> None:
    chances = np.array([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])
    rows = np.repeat([0, 1], 20_000)
    drawn = draw(chances, rows, rng=np.random.default_rng(SEED))
    shares = [np.bincount(drawn[rows == row], minlength=3) / 20_000 for row in (0, 1)]
    assert np.abs(np.array(shares) - chances).max() < 0.02
    assert (np.array(shares)[chances == 0] == 0).all()


def test_a_trend_begins_grows_lasts_and_fades() -> None:
    trend = Trend("t", "city", track=0, scene=0, start=10, peak=0.2, growth=6, lasting=3)
    assert trend.share(9) == 0
    assert trend.share(13) == pytest.approx(0.1)  # halfway through its growth: half of the peak
    assert trend.share(19) == pytest.approx(0.2, rel=0.001)
    assert trend.share(19 + 5) == pytest.approx(0.2 * np.exp(-5 / FADE_NIGHTS), rel=0.001)


def test_names_are_new_even_when_words_run_out() -> None:
    used: set[str] = set()
    invent: Callable[[], str] = lambda: "Farol de Sal"  # noqa: E731
    assert [names.unused(invent, used) for _ in range(3)] == ["Farol de Sal", "Farol de Sal 2", "Farol de Sal 3"]


@pytest.mark.parametrize("country", [*geography.COUNTRIES, "XX"])
def test_names_are_readable(country: str) -> None:
    rng = np.random.default_rng(SEED)
    invented = [f(country, rng=rng) for f in (names.artist, names.title) for _ in range(200)]
    assert all(name == name.strip() and 1 < len(name) < 45 and "_" not in name and "{" not in name for name in invented)
    assert len(set(invented)) > 250


# What is committed


def test_the_committed_sample_is_small_and_explained() -> None:
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 10_000_000
    readme = (SAMPLE / "README.md").read_text()
    named = {path.stem for path in (SAMPLE / "truth").iterdir()} | {"consents.parquet", "catalogue.parquet"}
    assert [name for name in sorted(named) if f"`{name}`" not in readme] == []


def test_the_committed_sample_is_what_the_generator_writes(world_atlas: Atlas) -> None:
    world = invent_world(
        world_atlas, size=1.0, seed=job.SEED, nights=job.NIGHTS, tracks=job.TRACKS, last_night=job.LAST_NIGHT
    )
    night = next(play(world))
    committed = SAMPLE / "listens" / f"date={night.day}" / "listens.parquet"
    assert_frame_equal(pl.read_parquet(committed), job.delivered(world, night))
    assert_frame_equal(pl.read_parquet(SAMPLE / "catalogue.parquet"), world.tracks.catalogue)


def test_the_sample_covers_regions_from_30_to_1500_listeners_a_night_in_many_countries() -> None:
    regions = truth(SAMPLE, "regions").filter(pl.col("served"), pl.col("level") == "region")
    sized = regions.filter(pl.col("listeners_a_night").is_between(30, 1500))
    assert sized.height >= 40
    assert sized["country"].n_unique() >= 6
    assert sized["listeners_a_night"].max() > 1000
    assert regions["listeners_a_night"].max() <= 1500
    assert truth(SAMPLE, "nights")["night"].n_unique() == 35


def test_the_samples_service_area_is_public_geography(world_atlas: Atlas) -> None:
    settings = load_settings(SAMPLE / "settings.toml")
    assert settings.atlas.service_area == geography.service_area(world_atlas)
    assert [place for place in settings.atlas.service_area if place not in world_atlas.places] == []


def test_planted_trends_are_heard_where_they_are_planted() -> None:
    """At the peak, the track has by its share of the scene's listeners more than in the nights before its start."""
    trends, nights = truth(SAMPLE, "trends"), truth(SAMPLE, "trend_nights")
    scenes = dict(truth(SAMPLE, "scenes").select("scene", "listeners_a_night").iter_rows())
    last = nights["night"].max()
    large = [row for row in trends.iter_rows(named=True) if scenes[row["scene"]] >= 100]
    checked = 0
    for row in large:
        heard = nights.filter(trend=row["trend"], scene=row["scene"])
        peak = row["start"] + timedelta(days=row["growth_nights"])
        before = (
            heard.filter(pl.col("night") < row["start"])["listeners"].sum() / (row["start"] - date(2026, 8, 31)).days
        )
        at_peak = heard.filter(pl.col("night").is_between(peak, peak + timedelta(days=row["nights_at_peak"] - 1)))
        if peak < last - timedelta(days=2):
            added = (at_peak["listeners"].mean() - before) / scenes[row["scene"]]
            assert added == pytest.approx(row["peak"], rel=0.45), row
            checked += 1
    assert checked >= 10
    assert trends["trend"].n_unique() == 11


def test_a_spreading_trend_reaches_nearer_cities_first() -> None:
    spreading = truth(SAMPLE, "trends").filter(kind="spreading")
    start = {row["scene"]: row["start"] for row in spreading.iter_rows(named=True)}
    assert start["São Paulo"] < start["Rio de Janeiro"] < start["Salvador"] < start["Manaus"]
    assert start["Lisbon"] < start["Porto"] <= start["Braga"] < start["Funchal"]


def test_weekdays_have_rhythm_and_places_their_own_taste() -> None:
    nights = truth(SAMPLE, "nights").group_by("night").agg(pl.col("listeners").sum())
    weekday = nights.group_by(pl.col("night").dt.weekday()).agg(pl.col("listeners").mean()).sort("night")["listeners"]
    assert min(weekday[4], weekday[5]) > 1.05 * max(*weekday[:3], weekday[6])
    popular = truth(SAMPLE, "popular").join(truth(SAMPLE, "regions"), on="part")
    tops = [
        set(
            popular.filter(country=country)
            .group_by("track_id")
            .agg(pl.col("expected").sum())
            .top_k(20, by="expected")["track_id"]
        )
        for country in geography.COUNTRIES
    ]
    shared = [len(one & other) / 20 for i, one in enumerate(tops) for other in tops[:i]]
    assert 0.3 < np.mean(shared) < 0.8


def test_what_is_expected_is_about_what_happens() -> None:
    """A binomial sum of thousands has a deviation of a few per cent; journeys and luck with favourites add some."""
    lisbon = truth(SAMPLE, "regions").row(0, named=True)
    assert lisbon["name"] == "Lisbon"
    top = truth(SAMPLE, "popular").filter(part=lisbon["part"]).top_k(20, by="expected")
    ratio = top["listener_nights"] / 7 / top["expected"]
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    assert ratio.is_between(0.85, 1.15).all()
