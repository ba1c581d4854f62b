"""What holds of every release and chart, whatever the listeners do."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from releasing import PRIVACY, TRACKS, contributed, released, small_atlas, window

from recsys.releases import charts, counts
from recsys.settings import ChartsSettings
from recsys.workspace import digest

ATLAS = small_atlas()
SOME = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Listeners of a night: each in one part (or nowhere known) with at most ten tracks, candidates or not.
_tracks = st.lists(st.sampled_from([*TRACKS, "other"]), max_size=PRIVACY.max_tracks)
_listeners = st.lists(st.tuples(st.sampled_from([*ATLAS.parts, "outside", None]), _tracks), max_size=12)


def rows(listeners: list[tuple[str | None, list[str]]]) -> list[tuple[str, str | None, str]]:
    return [(f"listener {i}", part, track) for i, (part, tracks) in enumerate(listeners) for track in tracks]


@SOME
@given(listeners=_listeners)
def test_a_release_covers_all_parts_and_candidates(listeners: list[tuple[str | None, list[str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = pl.read_parquet(released(contributed(rows(listeners)), Path(folder)) / "counts.parquet")
    assert table.select("part", "track_id").rows() == [(part, track) for part in ATLAS.parts for track in TRACKS]


@SOME
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
        counts._distinct_listeners(contributed(order), parts=ATLAS.parts, tracks=TRACKS, settings=PRIVACY)
        for order in (some, shuffled)
    ]
    assert true[0].equals(true[1])
    known = {(listener, part, track) for listener, part, track in some if part in ATLAS.parts and track in TRACKS}
    assert true[0]["listeners"].sum() == len(known)


_sums = st.lists(st.integers(-300, 100_000), min_size=8 * 6, max_size=8 * 6).map(lambda x: np.array(x).reshape(8, 6))


@SOME
@given(sums=_sums)
def test_places_are_sums_of_their_parts(sums: np.ndarray) -> None:
    whole = charts._Window(window(sums, atlas=ATLAS), ATLAS.members)
    for place, members in ATLAS.members.items():
        noisy, parts = whole.noisy([place]), [ATLAS.parts.index(part) for part in members]
        assert noisy.counts.tolist() == [sums[parts].sum(axis=0).tolist()]
        assert noisy.variance[0].tolist() == (len(parts) * whole.released.variances["part"]).tolist()


@SOME
@given(sums=_sums, nights=st.integers(1, 7))
def test_intervals_are_ordered_and_nothing_is_negative(sums: np.ndarray, nights: int) -> None:
    chart = charts.popular(
        window(sums, atlas=ATLAS, nights=nights), atlas=ATLAS, settings=ChartsSettings(window_nights=7, size=4)
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
        chart = charts.popular(released_, atlas=ATLAS, settings=ChartsSettings(window_nights=7, size=6))
        original = pl.Series([columns[int(track[1:])] for track in chart["track_id"]])
        both.append(chart.with_columns(track=original).sort("place", "track")["estimate"].to_numpy())
    assert np.allclose(both[0], both[1], rtol=1e-4)
