"""What holds of every release and chart, whatever the listeners do."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.releasing import (
    NIGHT,
    PRIVACY,
    SHARED,
    SIGMA_SQUARED,
    TRACKS,
    catalogue,
    contributed,
    everywhere,
    released,
    small_atlas,
    window,
)

from recsys.releases.charts import charts
from recsys.releases.counts import release
from recsys.releases.counts.candidates import Candidates, choose
from recsys.releases.counts.release_reader import ReleaseReader
from recsys.releases.counts.window import UNKNOWN, Window
from recsys.settings import load_settings
from recsys.weights import FULL
from recsys.workspace import digest

ATLAS = small_atlas()
SOME = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(SOME, max_examples=12)  # releases, each written and brought to the disk

# Listeners of a night: each in one part (or nowhere known) with at most nine tracks in full, candidates or not.
_tracks = st.lists(st.sampled_from([*TRACKS, "other"]), max_size=PRIVACY.most_per_night - 1)
_listeners = st.lists(st.tuples(st.sampled_from([*ATLAS.parts, "outside", None]), _tracks), max_size=12)


def rows(listeners: list[tuple[str | None, list[str]]]) -> list[tuple[str, str | None, str]]:
    return [(f"listener {i}", part, track) for i, (part, tracks) in enumerate(listeners) for track in tracks]


# Everywhere somebody, here and there nobody, and tracks that are no candidates.
_EVERYWHERE = [(part, ["t00", "t19", "other"]) for part in (*ATLAS.parts, "outside", None)]


@example(listeners=[])
@example(listeners=_EVERYWHERE)
@FEW
@given(listeners=_listeners)
def test_a_release_covers_all_parts_and_candidates(listeners: list[tuple[str | None, list[str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = pl.read_parquet(released(contributed(rows(listeners)), Path(folder)) / "counts.parquet")
    assert sorted(table.select("part", "track_id").rows()) == [
        (part, track) for part in ATLAS.parts for track in TRACKS
    ]


@example(sets=[{0, place} for place in range(9)], listeners=_EVERYWHERE)
@FEW
@given(sets=st.lists(st.sets(st.integers(0, 19)), min_size=9, max_size=9), listeners=_listeners)
def test_a_release_has_each_rows_candidates_and_marks_all_else(
    sets: list[set[int]], listeners: list[tuple[str | None, list[str]]]
) -> None:
    core, *more = (np.array(sorted(some), dtype=np.int32) for some in sets)
    core = np.union1d(core, [0]).astype(np.int32)
    extra = {part: np.setdiff1d(some, core) for part, some in zip(ATLAS.parts, more, strict=True)}
    candidates = Candidates(TRACKS, core, extra, 3.0)
    with tempfile.TemporaryDirectory() as folder:
        path = released(contributed(rows(listeners)), Path(folder), candidates=candidates)
        table, reader = pl.read_parquet(path / "counts.parquet"), ReleaseReader(path.parent)
        found, standing_out = (reader.read([NIGHT], newcomers=new) for new in (False, True))
    marked = {(part, track) for part, track, _, candidate in table.rows() if candidate}
    assert marked == {(part, TRACKS[i]) for part, some in extra.items() for i in {*core.tolist(), *some.tolist()}}
    assert table.height == table.select("part", "track_id").n_unique()
    for read, flag in ((found, True), (standing_out, False)):
        held = [(row, read.tracks[i]) for row in read.rows for i in read.positions[read.entries(row)]]
        expected = table.filter(pl.col("candidate") == flag).sort("part", "track_id")
        assert held == expected.select("part", "track_id").rows()
        assert read.sums.tolist() == expected["listeners"].to_list()


_rows_of_parts = arrays(np.int32, (8, 20), elements=st.integers(-300, 300))
_some_cells = arrays(np.bool_, (8, 20))


def chosen(sums: np.ndarray, counted: np.ndarray, new: np.ndarray, *, core: int) -> Candidates:
    past = window(sums, atlas=ATLAS, tracks=TRACKS, exposures=7 * counted)
    newcomers = window(np.full((8, 20), 200), atlas=ATLAS, nights=3, tracks=TRACKS, exposures=1 * (new & ~counted))
    some = load_settings(overrides={"candidates": {"core": core, "own": 2, "newcomers": 5}}).candidates
    return choose(catalogue(), night=NIGHT, past=past, newcomers=newcomers, atlas=ATLAS, settings=some)


@SOME
@given(sums=_rows_of_parts, counted=_some_cells, new=_some_cells, core=st.integers(1, 25))
def test_a_larger_place_counts_what_any_place_in_it_counts(
    sums: np.ndarray, counted: np.ndarray, new: np.ndarray, core: int
) -> None:
    found = chosen(sums, counted, new, core=core)
    assert len(found.everywhere) == min(core, 20)
    for part in ATLAS.parts:
        below = set(found.extra[part].tolist())
        assert not below & set(found.everywhere.tolist())
        for place in ATLAS.chain(ATLAS.place_of(part)):
            assert below <= set(found.extra[place].tolist())
    expected = {(part, i) for part, i in np.argwhere(new & ~counted) if i not in found.everywhere}
    assert expected == {(part, i) for part, i in expected if i in found.extra[ATLAS.parts[part]]}
    assert (core < 20) or not any(some.size for some in found.extra.values())
    assert chosen(sums, counted, new, core=core).facts() == found.facts()


@settings(max_examples=5)
@given(newcomers=st.sampled_from([2.0, 20.0, 100.0]))
def test_as_many_stand_out_of_pure_noise_as_are_asked_for(newcomers: float) -> None:
    """Of 11 rows together 11 times as many; larger places' noise is shared by the places in them, so they vary more."""
    tracks = [f"t{i:05}" for i in range(20_000)]
    with tempfile.TemporaryDirectory() as folder:
        some = everywhere(tracks[:10], among=tracks, newcomers=newcomers)
        path = released(contributed([]), Path(folder), candidates=some, settings=SHARED)
        found = pl.read_parquet(path / "counts.parquet").filter(~pl.col("candidate")).height / 10
    assert abs(found - newcomers) < 6 * (newcomers * 3 / 10) ** 0.5


def test_a_candidates_noise_is_what_it_was_without_newcomers() -> None:
    """Choosing newcomers leaves the candidates' counts alone: mean 0 and the tier's variance, in every row."""
    tracks = [f"t{i:05}" for i in range(4_000)]
    with tempfile.TemporaryDirectory() as folder:
        some = everywhere(tracks[:2_000], among=tracks, newcomers=500.0)
        path = released(contributed([]), Path(folder), candidates=some)
        noise = pl.read_parquet(path / "counts.parquet").filter("candidate")
    by_row = noise.group_by("part").agg(mean=pl.col("listeners").mean(), variance=pl.col("listeners").var())
    assert by_row["mean"].abs().max() < 6 * (SIGMA_SQUARED / 2_000) ** 0.5
    assert (by_row["variance"] / SIGMA_SQUARED - 1).abs().max() < 6 * (2 / 2_000) ** 0.5


@example(before=_EVERYWHERE, after=[])
@example(before=[], after=_EVERYWHERE)
@FEW
@given(before=_listeners, after=_listeners)
def test_released_bytes_never_change(
    before: list[tuple[str | None, list[str]]], after: list[tuple[str | None, list[str]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = released(contributed(rows(before)), Path(folder))
        found = {path.name: digest(path) for path in first.iterdir()}
        second = released(contributed(rows(after)), Path(folder), candidates=TRACKS[:3], atlas=small_atlas("AA"))
        assert second == first
        assert {path.name: digest(path) for path in second.iterdir()} == found


@SOME
@given(listeners=_listeners, data=st.data())
def test_true_counts_do_not_depend_on_the_order_of_rows(
    listeners: list[tuple[str | None, list[str]]], data: st.DataObject
) -> None:
    some = rows(listeners)
    shuffled = data.draw(st.permutations(some))
    true = [
        release._weights(
            contributed(order).collect(), night=NIGHT, parts=ATLAS.parts, tracks=TRACKS, settings=PRIVACY
        ).sort("at")
        for order in (some, shuffled)
    ]
    assert true[0].equals(true[1])
    counts = true[0].filter(pl.col("at") % release._TRACKS < len(TRACKS))
    known = {(listener, part, track) for listener, part, track in some if part in ATLAS.parts and track in TRACKS}
    assert counts["listeners"].sum() == len(known)
    assert counts["weight"].sum() == FULL * len(known)


_sums = st.lists(st.integers(-300, 100_000), min_size=8 * 6, max_size=8 * 6).map(lambda x: np.array(x).reshape(8, 6))


@SOME
@given(sums=_sums)
def test_places_are_sums_of_their_parts(sums: np.ndarray) -> None:
    whole = Window(window(sums, atlas=ATLAS), ATLAS.members)
    for place, members in ATLAS.members.items():
        known, parts = whole.known(place), [ATLAS.parts.index(part) for part in members]
        noisy = whole.noisy(place, known)
        assert known.tolist() == list(range(6))
        assert noisy.counts.tolist() == [sums[parts].sum(axis=0).tolist()]
        assert np.allclose(noisy.variance, len(parts) * 7 * SIGMA_SQUARED)


@SOME
@given(sums=_sums, exposures=arrays(np.uint8, (8, 6), elements=st.integers(0, 7)))
def test_a_window_is_scaled_to_all_its_nights_and_knows_what_it_does_not_know(
    sums: np.ndarray, exposures: np.ndarray
) -> None:
    whole, tracks = Window(window(sums, atlas=ATLAS, exposures=exposures), ATLAS.members), np.arange(6)
    for place, members in ATLAS.members.items():
        parts = [ATLAS.parts.index(part) for part in members]
        noisy, known = whole.noisy(place, tracks), (exposures[parts] > 0).all(axis=0)
        scale = 7 / np.maximum(exposures[parts], 1)
        assert set(whole.known(place)) == set(np.flatnonzero(exposures[parts].any(axis=0)))
        assert np.allclose(noisy.counts[0], np.where(known, (sums[parts] * scale).sum(axis=0), 0))
        variance = (exposures[parts] * SIGMA_SQUARED * scale**2).sum(axis=0)
        assert np.allclose(noisy.variance[0], np.where(known, variance, UNKNOWN))


@SOME
@given(sums=_sums, nights=st.integers(1, 7))
def test_intervals_are_ordered_and_nothing_is_negative(sums: np.ndarray, nights: int) -> None:
    chart = charts.popular(
        window(sums, atlas=ATLAS, nights=nights),
        atlas=ATLAS,
        settings=load_settings().charts.model_copy(update={"size": 4}),
    )
    numbers = chart.select("low", "estimate", "high", "lift").to_numpy()
    assert np.isfinite(numbers).all()
    assert (numbers >= 0).all()
    assert (np.diff(numbers[:, :3], axis=1) >= 0).all()
    assert chart["estimate"].to_numpy().reshape(-1, 4).tolist() == [
        sorted(some, reverse=True) for some in chart["estimate"].to_numpy().reshape(-1, 4).tolist()
    ]


@SOME
@given(sums=_sums, order=st.permutations(range(6)))
def test_a_chart_does_not_depend_on_the_names_of_tracks(sums: np.ndarray, order: list[int]) -> None:
    """Columns come sorted by track; whichever track is which, it keeps its estimate."""
    names = [f"t{i}" for i in range(6)]
    both = []
    for columns in (list(range(6)), order):
        released_ = window(sums[:, columns], atlas=ATLAS, tracks=names)
        chart = charts.popular(released_, atlas=ATLAS, settings=load_settings().charts.model_copy(update={"size": 6}))
        original = pl.Series([columns[int(track[1:])] for track in chart["track_id"]])
        both.append(chart.with_columns(track=original).sort("place", "track")["estimate"].to_numpy())
    assert np.allclose(both[0], both[1], rtol=1e-4)
