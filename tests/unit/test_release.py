import json
import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.releasing import (
    NIGHT,
    NOW,
    PRIVACY,
    SHARED,
    SIGMA_SQUARED,
    TRACKS,
    contributed,
    everywhere,
    released,
    small_atlas,
)

from recsys.errors import InputError, NotReadyError, PrivacyBudgetError
from recsys.releases.budget.ledger import Ledger
from recsys.releases.counts import release, release_writer
from recsys.releases.counts import release_reader as released_
from recsys.releases.counts.candidates import Candidates
from recsys.releases.counts.release_reader import Released, ReleaseReader
from recsys.releases.counts.release_writer import Block, write_counts
from recsys.weights import FULL

ROWS = [("a", "aa1", "t00"), ("b", "aa1", "t00"), ("c", "aa2", "t00"), ("c", "aa2", "t19"), ("d", "CC-rest", "t03")]


@pytest.fixture
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the noise, to see what it covers."""
    monkeypatch.setattr(release, "discrete_gaussian", lambda size, sigma_squared: np.zeros(size, dtype=np.int32))


def table(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "counts.parquet")


def totals(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "totals.parquet")


def seen(folder: Path) -> dict[tuple[str, str], int]:
    found = table(folder).filter(pl.col("listeners") != 0).select("part", "track_id", "listeners")
    return {(part, track): n for part, track, n in found.iter_rows()}


def summed(found: Released, row: str) -> dict[str, int]:
    some = found.entries(row)
    return {found.tracks[i]: int(n) for i, n in zip(found.positions[some], found.sums[some], strict=True)}


@pytest.mark.usefixtures("_silent")
def test_distinct_listeners_are_counted(tmp_path: Path) -> None:
    folder = released(contributed([*ROWS, ROWS[0], ROWS[0]]), tmp_path)
    expected = {("aa1", "t00"): 2, ("aa2", "t00"): 1, ("aa2", "t19"): 1, ("CC-rest", "t03"): 1}
    assert seen(folder) == expected


@pytest.mark.usefixtures("_silent")
@pytest.mark.parametrize(
    "ignored",
    [
        contributed([("x", "aa1", "t00")], weight=0),
        contributed([("x", "aa1", "t00")], night=NIGHT + timedelta(days=1)),
        contributed([("x", "aa1", "not in the catalogue")]),
        contributed([("x", "outside", "t00")]),
        contributed([("x", None, "t00")]),
    ],
    ids=["of no weight", "another night", "outside the catalogue", "outside the service area", "unknown part"],
)
def test_what_does_not_count_is_ignored(tmp_path: Path, ignored: pl.LazyFrame) -> None:
    folder = released(pl.concat([contributed(ROWS), ignored]), tmp_path)
    assert sum(seen(folder).values()) == len(ROWS)


def test_who_adds_nothing_is_no_listener() -> None:
    """The smallest number of real listeners behind a row of a partner file is one of those who count."""
    order = release.drawing_order(release.tiers(small_atlas(), settings=PRIVACY), atlas=small_atlas())
    both = pl.concat([contributed(ROWS[:2]), contributed([("x", "aa1", "t00")], weight=0)])
    true = release.true_counts(
        [both], night=NIGHT, tracks=TRACKS, tiers=order, atlas=small_atlas(), settings=PRIVACY
    ).filter(track=0)
    assert true.select("weight", "listeners").rows() == [(2 * FULL, 2)]


@pytest.mark.parametrize("few", [0, 1, 3, 100])
def test_sums_of_some_listeners_add_up_in_whatever_pieces_they_come(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Every listener by itself, and all at once; how much waits to be added up is another story."""
    monkeypatch.setattr(release, "_WAITING", few)
    order = release.drawing_order(release.tiers(small_atlas(), settings=PRIVACY), atlas=small_atlas())
    rows = [(f"listener {i}", "aa1" if i % 3 else "aa2", f"t{i % 4:02}") for i in range(12)]
    rows += [(listener, part, "t07") for listener, part, _ in rows]
    by_itself = [contributed(rows[i::12]) for i in range(12)]
    once, apart = (
        release.true_counts(frames, night=NIGHT, tracks=TRACKS, tiers=order, atlas=small_atlas(), settings=PRIVACY)
        for frames in ([contributed(rows)], by_itself)
    )
    assert apart.equals(once)
    assert sorted(once.filter(track=7)["listeners"]) == [4, 8]


def test_every_cell_has_noise(tmp_path: Path) -> None:
    found = table(released(contributed([]), tmp_path))
    assert found["part"].to_list() == [part for part in found["part"].unique(maintain_order=True) for _ in TRACKS]
    assert set(found["part"]) == set(small_atlas().parts)
    assert found["track_id"].to_list() == [*TRACKS] * len(small_atlas().parts)
    assert found["candidate"].all()
    assert 0.3 < found["listeners"].var() / SIGMA_SQUARED < 3  # 160 draws: six standard errors and more


def test_the_manifest_says_what_was_released_and_nothing_else(tmp_path: Path) -> None:
    folder = released(contributed(ROWS), tmp_path, candidates=[*TRACKS, "t00"])
    facts = json.loads((folder / "manifest.json").read_text())
    assert set(facts) == {
        *("night", "ledger", "rho", "tiers", "most_per_night", "most_per_28_nights"),
        *("most_per_365_nights", "largest_balance", "atlas", "rows_digest"),
        *("tracks", "tracks_digest", "candidates", "candidates_digest", "newcomers", "threshold", "written_digest"),
        "files",
    }
    assert (facts["night"], facts["rho"], facts["most_per_night"], facts["candidates"]) == ("2026-10-01", 0.015, 10, 20)
    (tier,) = facts["tiers"]
    assert (tier["name"], tier["rows"], tier["rho"]) == ("part", 8, 0.015)
    assert tier["sigma_squared"] == pytest.approx(SIGMA_SQUARED)
    assert facts["most_per_night"] / (2 * tier["sigma_squared"]) <= facts["rho"]  # never less noise than is paid for
    assert sorted(path.name for path in folder.iterdir()) == ["counts.parquet", "manifest.json", "totals.parquet"]


@pytest.mark.parametrize(
    "unbounded",
    [
        contributed([("a", "aa1", track) for track in TRACKS[:11]]),
        contributed([("a", "aa1", track) for track in TRACKS[:10]]),
        contributed([("a", "aa1", track) for track in TRACKS], weight=12),  # 20 * 144 = 2,880 of 2,560
        contributed([("a", "aa1", "t00"), ("a", "aa2", "t01")]),
        contributed([("a", "aa1", "t00")], weight=FULL + 1),
        pl.concat([contributed([("a", "aa1", "t00")]), contributed([("a", "aa1", "t01")], weight=FULL - 1)]),
    ],
    ids=["eleven tracks", "ten tracks and their totals", "too long", "two parts", "more than one", "unevenly"],
)
def test_unbounded_contributions_are_refused_before_anything_is_spent(tmp_path: Path, unbounded: pl.LazyFrame) -> None:
    with pytest.raises(PrivacyBudgetError, match="1 listeners add more than a squared length of 10 in one part, or un"):
        released(pl.concat([contributed(ROWS[1:]), unbounded]), tmp_path)
    assert Ledger(tmp_path / "ledger.db").entries() == []
    assert not (tmp_path / "releases/2026-10-01").exists()


def test_a_vector_that_is_just_short_enough_is_released(tmp_path: Path) -> None:
    """Nine tracks in full are 2,304 of 2,560, 20 tracks of 11 sixteenths 2,420; the totals take at most 58."""
    for name, tracks, weight in (("nine", TRACKS[:9], FULL), ("twenty", TRACKS, 11)):
        (tmp_path / name).mkdir()
        released(contributed([("a", "aa1", track) for track in tracks], weight=weight), tmp_path / name)


@pytest.mark.usefixtures("_silent")
def test_weights_add_up_and_counts_are_rounded_to_whole_listeners(tmp_path: Path) -> None:
    """Of sixteenths: 3 * 5 = 15 and 8 are one, 7 is none, 11 + 16 = 27 are two, 11 + 12 = 23 are one."""
    parts = [
        contributed([(who, "aa1", "t00") for who in "abc"], weight=5),
        contributed([("d", "aa1", "t01")], weight=8),
        contributed([("e", "aa1", "t02")], weight=7),
        contributed([("f", "aa1", "t03"), ("g", "aa1", "t04")], weight=11),
        contributed([("h", "aa1", "t03")]),
        contributed([("i", "aa1", "t04")], weight=12),
    ]
    folder = released(pl.concat(parts), tmp_path)
    assert seen(folder) == {("aa1", track): n for track, n in (("t00", 1), ("t01", 1), ("t03", 2), ("t04", 1))}


@pytest.mark.parametrize(
    ("sixteenths", "expected"), [(8, 1), (7, 0), (24, 2), (-8, 0), (-9, -1), (-24, -1), (-25, -2), (-160, -10)]
)
def test_noise_below_zero_is_rounded_like_noise_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sixteenths: int, expected: int
) -> None:
    """To the nearest, a half up: cutting off would add half a listener to every count."""
    drawn = lambda size, sigma_squared: np.full(size, sixteenths, dtype=np.int32)  # noqa: E731
    monkeypatch.setattr(release, "discrete_gaussian", drawn)
    assert table(released(contributed([]), tmp_path))["listeners"].unique().to_list() == [expected]


def test_noise_is_drawn_in_sixteenths_for_every_track_and_total(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []

    def drawn(size: int, sigma_squared: float) -> np.ndarray:
        asked.append((size, sigma_squared))
        return np.zeros(size, dtype=np.int32)

    monkeypatch.setattr(release, "discrete_gaussian", drawn)
    released(contributed(ROWS), tmp_path)
    assert sum(size for size, _ in asked) == 8 * (20 + 2)
    assert [variance for _, variance in asked] == pytest.approx([256 * SIGMA_SQUARED] * len(asked))


@pytest.mark.usefixtures("_silent")
def test_totals_are_right_over_many_listeners(tmp_path: Path) -> None:
    """64 listeners with 5 tracks of 11 sixteenths in aa1, 32 with one in full in aa2, and all in all larger places."""
    some = [(f"{i:032x}", "aa1", track) for i in range(64) for track in TRACKS[:5]]
    others = [(f"{i:032x}", "aa2", "t00") for i in range(100, 132)]
    folder = released(pl.concat([contributed(some, weight=11), contributed(others)]), tmp_path, settings=SHARED)
    found = {part: (tracks, weights) for part, tracks, weights in totals(folder).iter_rows()}
    expected = {"aa1": (320, 220), "aa2": (32, 32), "AA": (352, 252), "world": (352, 252)}
    assert {part: some for part, some in found.items() if some != (0, 0)} == expected
    assert set(found) == {*small_atlas().parts, "AA", "BB", "world"}


@pytest.mark.usefixtures("_silent")
def test_what_is_in_no_count_is_in_no_total(tmp_path: Path) -> None:
    rows = [(f"{i:032x}", "aa1", track) for i in range(32) for track in ("t00", "not in the catalogue")]
    nothing = contributed([(f"{i:032x}", "aa2", "t00") for i in range(32)], weight=0)
    found = totals(released(pl.concat([contributed(rows), nothing]), tmp_path))
    assert found.filter(part="aa1").row(0) == ("aa1", 32, 32)
    assert found.filter(part="aa2").row(0) == ("aa2", 0, 0)


def test_totals_have_noise_in_their_units_and_are_read_with_it(tmp_path: Path) -> None:
    """8 tracks, or 2 full weights, behind a sixteenth: variances are 256 * 64 and 256 * 4 times those of counts."""
    nights = [NIGHT + timedelta(days=day) for day in range(10)]
    for night in nights:
        released(contributed([]), tmp_path, night=night)
    reader = ReleaseReader(tmp_path / "releases")
    drawn = [table for night in nights for table in reader.totals([night]).totals.values()]
    found = np.array(drawn).var(axis=0) / (256 * SIGMA_SQUARED)
    assert 0.4 * 64 < found[0] < 2 * 64  # 80 draws: four standard errors and more
    assert 0.4 * 4 < found[1] < 2 * 4
    assert (np.array(drawn) % [8, 2] == 0).all()
    whole = reader.totals(nights)
    assert set(whole.totals) == set(small_atlas().parts)
    for part in small_atlas().parts:
        assert whole.totals[part] == pytest.approx(sum(reader.totals([night]).totals[part] for night in nights))
        assert whole.variances[part] == pytest.approx(2560 * SIGMA_SQUARED * np.array([64, 4]))


def test_nights_from_before_there_were_totals_are_read_and_have_none(tmp_path: Path) -> None:
    later = NIGHT + timedelta(days=1)
    for night in (NIGHT, later):
        folder = released(contributed(ROWS, night=night), tmp_path, night=night)
    before = tmp_path / "releases" / str(NIGHT)
    (before / "totals.parquet").unlink()
    manifest = json.loads((before / "manifest.json").read_text())
    del manifest["files"]["totals.parquet"]
    (before / "manifest.json").write_text(json.dumps(manifest))
    reader = ReleaseReader(tmp_path / "releases")
    assert reader.read([NIGHT, later]).nights == (NIGHT, later)
    assert reader.totals([NIGHT]).totals == {}
    both, own = reader.totals([NIGHT, later]), reader.totals([later])
    assert {part: some.tolist() for part, some in both.totals.items()} == {
        part: [tracks, weights] for part, tracks, weights in totals(folder).iter_rows()
    }
    assert {part: some.tolist() for part, some in both.variances.items()} == {
        part: some.tolist() for part, some in own.variances.items()
    }


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
    found = ReleaseReader(tmp_path / "releases").read(nights)
    total = pl.concat([table(folder) for folder in folders]).group_by("part", "track_id").agg(pl.col("listeners").sum())
    expected = {(part, track): n for part, track, n in total.iter_rows()}
    for part in found.rows:
        assert summed(found, part) == {track: expected[part, track] for track in found.tracks}
        assert found.exposures[found.entries(part)].tolist() == [2, *[3] * 19, 1]
    assert release.released_nights(tmp_path / "releases") == nights
    assert found.nights == tuple(nights)
    assert (found.rows, found.tracks) == (small_atlas().parts, (*TRACKS, "t99"))
    assert found.variances == pytest.approx(found.exposures * SIGMA_SQUARED)
    assert found.ledger_numbers == (1, 2, 3)
    assert found.entries("nowhere") == slice(0, 0)


def test_blocks_of_parts_are_written_and_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, counts in ((release, "_BLOCK", 3), (release_writer, "_GROUP", 2), (released_, "_BLOCK", 3)):
        monkeypatch.setattr(module, name, counts * (len(TRACKS) + 2))
    monkeypatch.setattr(release, "discrete_gaussian", lambda size, sigma_squared: np.zeros(size, dtype=np.int32))
    rows = [(f"listener {part}", part, track) for part, track in zip(small_atlas().parts, TRACKS, strict=False)]
    folder = released(contributed(rows), tmp_path)
    assert seen(folder) == {(part, track): 1 for _, part, track in rows}
    found = ReleaseReader(tmp_path / "releases").read([NIGHT])
    for _, part, track in rows:
        assert summed(found, part) == dict.fromkeys(TRACKS, 0) | {track: 1}


@pytest.fixture
def _one_track_stands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the noise, but count 1,000 listeners of the first track more in every row."""

    def drawn(size: int, sigma_squared: float) -> np.ndarray:
        row = np.array([1000 * FULL, *[0] * (len(TRACKS) - 1 + 2)], dtype=np.int32)
        return np.tile(row, size // len(row))

    monkeypatch.setattr(release, "discrete_gaussian", drawn)


@pytest.mark.usefixtures("_one_track_stands_out")
def test_what_stands_out_is_written_and_marked_and_never_summed(tmp_path: Path) -> None:
    some = everywhere(TRACKS[10:], among=TRACKS)
    folder = released(contributed(ROWS), tmp_path, candidates=some)
    newcomers = table(folder).filter(~pl.col("candidate"))
    assert newcomers["track_id"].to_list() == ["t00"] * 8
    assert newcomers["listeners"].to_list() == [
        1002 if part == "aa1" else 1000 + (part == "aa2") for part in newcomers["part"]
    ]
    assert table(folder).filter("candidate").height == 8 * 10
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [tier["newcomers_written"] for tier in manifest["tiers"]] == [8]
    assert manifest["threshold"] == pytest.approx(1.2816, abs=1e-4)  # the normal's upper tenth: one of ten others
    found = ReleaseReader(tmp_path / "releases").read([NIGHT])
    assert summed(found, "aa1") == dict.fromkeys(TRACKS[10:], 0)
    assert summed(ReleaseReader(tmp_path / "releases").read([NIGHT], newcomers=True), "aa1") == {"t00": 1002}


def test_all_tracks_being_candidates_nothing_stands_out(tmp_path: Path) -> None:
    folder = released(contributed(ROWS), tmp_path)
    assert table(folder)["candidate"].all()
    assert json.loads((folder / "manifest.json").read_text())["threshold"] is None


def test_a_candidate_of_one_row_is_counted_there_and_not_elsewhere(tmp_path: Path) -> None:
    some = Candidates(TRACKS, np.array([3], dtype=np.int32), {"aa2": np.array([7, 9], dtype=np.int32)}, 1e-12)
    folder = released(contributed(ROWS), tmp_path, candidates=some)
    expected = {(part, "t03", True) for part in small_atlas().parts} | {("aa2", "t07", True), ("aa2", "t09", True)}
    assert set(table(folder).select("part", "track_id", "candidate").iter_rows()) == expected


def test_noise_that_larger_places_share_is_pooled_for_what_nobody_counts(tmp_path: Path) -> None:
    """A track that is heard in one part stands out there at less than its own noise asks for.

    σ² is 666.7 in parts, 1666.7 in countries and 1111.1 in the world: pooled, 1/σ² is 0.0015 + 0.0006 + 0.0009 = 0.003.
    A part's count n with nothing else makes 0.0015 n, and n in all three rows 0.003 n, against z √0.003.
    """
    some = everywhere(["t19"], among=TRACKS, newcomers=0.19)  # of 19 others: z is 2.326
    order = release.drawing_order(release.tiers(small_atlas(), settings=SHARED), atlas=small_atlas())
    least = 2.3263 / 0.003**0.5  # 42.5 listeners; by the part's own noise it would be 60.1
    for listeners, expected in ((math.floor(least), set()), (math.ceil(least), {("aa1", "t00")})):
        rows = {"world", "AA", "aa1"}
        blocks = (
            Block(
                tier,
                tier.rows,
                np.array([[FULL * listeners if row in rows else 0, *[0] * (19 + 2)] for row in tier.rows]).ravel(),
            )
            for tier in order
        )
        write_counts(blocks, candidates=some, atlas=small_atlas(), folder=tmp_path)
        newcomers = pl.read_parquet(tmp_path / "counts.parquet").filter(~pl.col("candidate"))
        assert expected <= set(newcomers.select("part", "track_id").iter_rows())
        assert len(expected) == ("aa1" in set(newcomers["part"]))


def test_larger_places_come_before_the_places_in_them() -> None:
    order = release.drawing_order(release.tiers(small_atlas(), settings=SHARED), atlas=small_atlas())
    rows = [row for tier in order for row in tier.rows]
    assert rows == ["world", "world-rest", "AA", "AA-rest", "aa1", "aa2", "aa3", "BB", "BB-rest", "bb1", "CC-rest"]
    assert {tier.name: tier.rho for tier in order} == pytest.approx({"world": 0.0045, "country": 0.003, "part": 0.0075})


def test_nights_under_another_atlas_do_not_mix(tmp_path: Path) -> None:
    later = NIGHT + timedelta(days=1)
    released(contributed(ROWS), tmp_path)
    released(contributed(ROWS, night=later), tmp_path, night=later, atlas=small_atlas("AA", version="other"))
    found = ReleaseReader(tmp_path / "releases").read([NIGHT, later])
    assert (found.nights, found.atlas, found.rows) == ((later,), "other", ("AA-rest", "aa1", "aa2", "aa3"))


def test_a_table_of_other_rows_than_named_is_refused(tmp_path: Path) -> None:
    folder = released(contributed(ROWS), tmp_path)
    file = folder / "counts.parquet"
    table(folder).with_columns(pl.col("track_id").str.replace("t00", "t0x")).write_parquet(file)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["counts.parquet"] = {"bytes": file.stat().st_size, "sha256": release.digest(file)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="places and tracks"):
        ReleaseReader(tmp_path / "releases").read([NIGHT])


def test_reading_nothing_is_not_ready(tmp_path: Path) -> None:
    assert release.released_nights(tmp_path / "releases") == []
    with pytest.raises(NotReadyError):
        ReleaseReader(tmp_path / "releases").read([])


def test_less_budget_is_more_noise(tmp_path: Path) -> None:
    settings = PRIVACY.model_copy(update={"rho_per_night": 1e-4})
    found = table(released(contributed([]), tmp_path, settings=settings))
    assert 0.3 < found["listeners"].var() / (10 / 2e-4) < 3
    assert Ledger(tmp_path / "ledger.db").entries()[0].at == NOW


def test_countries_and_the_world_are_counted_from_their_share_of_the_budget() -> None:
    # of a budget of 0.015: 0.2 for countries, 0.3 for the world, the rest for the parts; σ² = 10 / (2ρ)
    part, country, world = release.tiers(small_atlas(), settings=SHARED)
    assert (part.rows, country.rows, world.rows) == (small_atlas().parts, ("AA", "BB"), ("world",))
    assert [tier.rho for tier in (part, country, world)] == pytest.approx([0.0075, 0.003, 0.0045])
    assert part.sigma_squared == pytest.approx(10 / 0.015)
    assert sum(tier.rho for tier in (part, country, world)) <= 0.015 * (1 + 1e-12)
    for tier in (part, country, world):
        assert 10 / (2 * tier.sigma_squared) <= tier.rho  # never less noise than is paid for


def test_a_place_of_one_part_is_not_counted_twice() -> None:
    # CC has a remainder and no region: it is that part. Of a service area of one region, so are country and world.
    assert "CC" not in release.tiers(small_atlas(), settings=SHARED)[1].rows
    (only,) = release.tiers(small_atlas("bb1"), settings=SHARED)
    assert (only.name, only.rows, only.rho) == ("part", ("bb1",), 0.015)


def test_larger_places_count_what_their_parts_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "discrete_gaussian", lambda size, sigma_squared: np.zeros(size, dtype=np.int32))
    rows = [("one", "aa1", "t00"), ("two", "aa2", "t00"), ("three", "bb1", "t00"), ("three", "bb1", "t01")]
    folder = released(contributed(rows), tmp_path, settings=SHARED)
    expected = {("aa1", "t00"): 1, ("aa2", "t00"): 1, ("bb1", "t00"): 1, ("bb1", "t01"): 1}
    expected |= {("AA", "t00"): 2, ("BB", "t00"): 1, ("BB", "t01"): 1, ("world", "t00"): 3, ("world", "t01"): 1}
    assert seen(folder) == expected
    found = ReleaseReader(tmp_path / "releases").read([NIGHT])
    assert {found.tiers[row] for row in ("AA", "BB")} == {"country"}
    assert summed(found, "world") == dict.fromkeys(TRACKS, 0) | {"t00": 3, "t01": 1}
    assert found.variances[found.entries("AA")] == pytest.approx([10 / (2 * 0.003)] * 20)
