import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from releasing import NIGHT, NOW, PRIVACY, SHARED, SIGMA_SQUARED, TRACKS, contributed, released, small_atlas

from recsys.errors import InputError, NotReadyError, PrivacyBudgetError
from recsys.releases import counts
from recsys.releases.ledger import Ledger

ROWS = [("a", "aa1", "t00"), ("b", "aa1", "t00"), ("c", "aa2", "t00"), ("c", "aa2", "t19"), ("d", "CC-rest", "t03")]


@pytest.fixture
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the noise, to see what it covers."""
    monkeypatch.setattr(counts, "discrete_gaussian", lambda size, sigma_squared: np.zeros(size, dtype=np.int32))


def table(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "counts.parquet")


def seen(folder: Path) -> dict[tuple[str, str], int]:
    return {(part, track): n for part, track, n in table(folder).filter(pl.col("listeners") != 0).iter_rows()}


@pytest.mark.usefixtures("_silent")
def test_distinct_listeners_are_counted(tmp_path: Path) -> None:
    folder = released(contributed([*ROWS, ROWS[0], ROWS[0]]), tmp_path)
    expected = {("aa1", "t00"): 2, ("aa2", "t00"): 1, ("aa2", "t19"): 1, ("CC-rest", "t03"): 1}
    assert seen(folder) == expected


@pytest.mark.usefixtures("_silent")
@pytest.mark.parametrize(
    "ignored",
    [
        contributed([("x", "aa1", "t00")], counted=False),
        contributed([("x", "aa1", "t00")], night=NIGHT + timedelta(days=1)),
        contributed([("x", "aa1", "no candidate")]),
        contributed([("x", "outside", "t00")]),
        contributed([("x", None, "t00")]),
    ],
    ids=["not counted", "another night", "no candidate", "outside the service area", "unknown part"],
)
def test_what_does_not_count_is_ignored(tmp_path: Path, ignored: pl.LazyFrame) -> None:
    folder = released(pl.concat([contributed(ROWS), ignored]), tmp_path)
    assert sum(seen(folder).values()) == len(ROWS)


def test_every_cell_has_noise(tmp_path: Path) -> None:
    found = table(released(contributed([]), tmp_path))
    assert found["part"].to_list() == [part for part in small_atlas().parts for _ in TRACKS]
    assert found["track_id"].to_list() == [*TRACKS] * len(small_atlas().parts)
    assert 0.3 < found["listeners"].var() / SIGMA_SQUARED < 3  # 160 draws: six standard errors and more


def test_the_manifest_says_what_was_released_and_nothing_else(tmp_path: Path) -> None:
    folder = released(contributed(ROWS), tmp_path, candidates=[*TRACKS, "t00"])
    facts = json.loads((folder / "manifest.json").read_text())
    assert set(facts) == {
        *("night", "ledger", "rho", "tiers", "max_tracks", "atlas", "rows_digest"),
        *("candidates", "candidates_digest", "files"),
    }
    assert (facts["night"], facts["rho"], facts["max_tracks"], facts["candidates"]) == ("2026-10-01", 0.015, 10, 20)
    (tier,) = facts["tiers"]
    assert (tier["name"], tier["rows"], tier["rho"]) == ("part", 8, 0.015)
    assert tier["sigma_squared"] == pytest.approx(SIGMA_SQUARED)
    assert facts["max_tracks"] / (2 * tier["sigma_squared"]) <= facts["rho"]  # never less noise than is paid for
    assert sorted(path.name for path in folder.iterdir()) == ["counts.parquet", "manifest.json"]


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "aa1", track) for track in TRACKS[:11]],
        [("a", "aa1", "t00"), ("a", "aa2", "t01")],
    ],
    ids=["eleven tracks", "two parts"],
)
def test_unbounded_contributions_are_refused_before_anything_is_spent(
    tmp_path: Path, rows: list[tuple[str, str, str]]
) -> None:
    with pytest.raises(PrivacyBudgetError, match="1 listeners add more than 10 tracks in one part"):
        released(contributed(rows), tmp_path)
    assert Ledger(tmp_path / "ledger.db").entries() == []
    assert not (tmp_path / "releases/2026-10-01").exists()


def test_input_that_does_not_fit_is_refused_before_anything_is_spent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="candidate"):
        released(contributed(ROWS), tmp_path, candidates=[])
    with pytest.raises(InputError, match="Contributions"):
        released(contributed(ROWS).with_columns(latitude=pl.lit(1.0)), tmp_path)
    assert Ledger(tmp_path / "ledger.db").entries() == []


def test_a_release_that_is_damaged_is_not_replaced(tmp_path: Path) -> None:
    folder = released(contributed(ROWS), tmp_path)
    (folder / "counts.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="not the file that was published"):
        released(contributed(ROWS), tmp_path)


def test_a_release_that_the_ledger_does_not_know_is_refused(tmp_path: Path) -> None:
    released(contributed(ROWS), tmp_path)
    for file in tmp_path.glob("ledger.db*"):
        file.unlink()
    with pytest.raises(PrivacyBudgetError, match="not in the ledger"):
        released(contributed(ROWS), tmp_path)


def test_nights_add_up(tmp_path: Path) -> None:
    """Three nights, of which the second has a track more and the third one less."""
    nights = [NIGHT + timedelta(days=day) for day in range(3)]
    candidates = [TRACKS, [*TRACKS, "t99"], TRACKS[1:]]
    folders = [
        released(contributed(ROWS, night=night), tmp_path, night=night, candidates=some)
        for night, some in zip(nights, candidates, strict=True)
    ]
    found = counts.read(tmp_path / "releases", nights)
    total = pl.concat([table(folder) for folder in folders]).group_by("part", "track_id").agg(pl.col("listeners").sum())
    expected = {(part, track): n for part, track, n in total.iter_rows()}
    for row, part in enumerate(found.rows):
        for column, track in enumerate(found.tracks):
            assert found.sums[row, column] == expected[part, track]
    assert counts.released_nights(tmp_path / "releases") == nights
    assert found.nights == tuple(nights)
    assert found.tracks == (*TRACKS, "t99")
    assert found.exposures.tolist() == [2, *[3] * 19, 1]
    assert found.variances["part"] == pytest.approx(found.exposures * SIGMA_SQUARED)
    assert found.ledger_numbers == (1, 2, 3)


def test_blocks_of_parts_are_written_and_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_BLOCK", 3 * len(TRACKS))
    monkeypatch.setattr(counts, "discrete_gaussian", lambda size, sigma_squared: np.zeros(size, dtype=np.int32))
    rows = [(f"listener {part}", part, track) for part, track in zip(small_atlas().parts, TRACKS, strict=False)]
    folder = released(contributed(rows), tmp_path)
    assert seen(folder) == {(part, track): 1 for _, part, track in rows}
    found = counts.read(tmp_path / "releases", [NIGHT])
    assert found.sums[range(8), range(8)].tolist() == [1] * 8
    assert found.sums.sum() == 8


def test_nights_under_another_atlas_do_not_mix(tmp_path: Path) -> None:
    later = NIGHT + timedelta(days=1)
    released(contributed(ROWS), tmp_path)
    released(contributed(ROWS, night=later), tmp_path, night=later, atlas=small_atlas("AA", version="other"))
    found = counts.read(tmp_path / "releases", [NIGHT, later])
    assert (found.nights, found.atlas, found.rows) == ((later,), "other", ("AA-rest", "aa1", "aa2", "aa3"))


def test_a_table_of_other_rows_than_named_is_refused(tmp_path: Path) -> None:
    folder = released(contributed(ROWS), tmp_path)
    file = folder / "counts.parquet"
    table(folder).with_columns(pl.col("track_id").str.replace("t00", "t0x")).write_parquet(file)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["counts.parquet"] = {"bytes": file.stat().st_size, "sha256": counts.digest(file)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="places and tracks"):
        counts.read(tmp_path / "releases", [NIGHT])


def test_reading_nothing_is_not_ready(tmp_path: Path) -> None:
    assert counts.released_nights(tmp_path / "releases") == []
    with pytest.raises(NotReadyError):
        counts.read(tmp_path / "releases", [])


def test_less_budget_is_more_noise(tmp_path: Path) -> None:
    settings = PRIVACY.model_copy(update={"rho_per_night": 1e-4})
    found = table(released(contributed([]), tmp_path, settings=settings))
    assert 0.3 < found["listeners"].var() / (10 / 2e-4) < 3
    assert Ledger(tmp_path / "ledger.db").entries()[0].at == NOW


def test_countries_and_the_world_are_counted_from_their_share_of_the_budget() -> None:
    # of a budget of 0.015: 0.2 for countries, 0.3 for the world, the rest for the parts; σ² = 10 / (2ρ)
    part, country, world = counts.tiers(small_atlas(), settings=SHARED)
    assert (part.rows, country.rows, world.rows) == (small_atlas().parts, ("AA", "BB"), ("world",))
    assert [tier.rho for tier in (part, country, world)] == pytest.approx([0.0075, 0.003, 0.0045])
    assert part.sigma_squared == pytest.approx(10 / 0.015)
    assert sum(tier.rho for tier in (part, country, world)) <= 0.015 * (1 + 1e-12)
    for tier in (part, country, world):
        assert 10 / (2 * tier.sigma_squared) <= tier.rho  # never less noise than is paid for


def test_a_place_of_one_part_is_not_counted_twice() -> None:
    # CC has a remainder and no region: it is that part. Of a service area of one region, so are country and world.
    assert "CC" not in counts.tiers(small_atlas(), settings=SHARED)[1].rows
    (only,) = counts.tiers(small_atlas("bb1"), settings=SHARED)
    assert (only.name, only.rows, only.rho) == ("part", ("bb1",), 0.015)


def test_larger_places_count_what_their_parts_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "discrete_gaussian", lambda size, sigma_squared: np.zeros(size, dtype=np.int32))
    rows = [("one", "aa1", "t00"), ("two", "aa2", "t00"), ("three", "bb1", "t00"), ("three", "bb1", "t01")]
    folder = released(contributed(rows), tmp_path, settings=SHARED)
    expected = {("aa1", "t00"): 1, ("aa2", "t00"): 1, ("bb1", "t00"): 1, ("bb1", "t01"): 1}
    expected |= {("AA", "t00"): 2, ("BB", "t00"): 1, ("BB", "t01"): 1, ("world", "t00"): 3, ("world", "t01"): 1}
    assert seen(folder) == expected
    found = counts.read(tmp_path / "releases", [NIGHT])
    assert {found.tiers[row] for row in ("AA", "BB")} == {"country"}
    assert found.sums[found.rows.index("world")].tolist() == [3, 1, *[0] * 18]
    assert found.variances["country"] == pytest.approx([10 / (2 * 0.003)] * 20)
