from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.releasing import NIGHT, SHARED, SIGMA_SQUARED, TRACKS, contributed, released, small_atlas, window

from recsys.releases.counts import release
from recsys.releases.counts.candidates import Candidates
from recsys.releases.counts.release_reader import Released, ReleaseReader
from recsys.releases.counts.window import UNKNOWN, Window

ATLAS = small_atlas()
ALL = np.arange(3)
SUMS = np.arange(24).reshape(8, 3) * 100
AA = [ATLAS.parts.index(part) for part in ATLAS.members["AA"]]


def with_own(table: Released, place: str, *, sums: list[int], variance: float, nights: int = 7) -> Released:
    """Add the own counts of a larger place, which sorts before all parts."""
    assert place < table.rows[0]
    size = len(sums)
    return replace(
        table,
        rows=(place, *table.rows),
        tiers={**table.tiers, place: "country"},
        starts=np.concatenate([[0], table.starts + size]),
        positions=np.concatenate([np.arange(size, dtype=np.int32), table.positions]),
        sums=np.concatenate([np.array(sums, dtype=np.int32), table.sums]),
        exposures=np.concatenate([np.full(size, nights, dtype=np.uint8), table.exposures]),
        variances=np.concatenate([np.full(size, variance, dtype=np.float32), table.variances]),
    )


def test_own_counts_and_the_sum_of_parts_are_pooled_by_inverse_variance() -> None:
    """Four parts of variance v sum up to 4 v; an own count of variance 4 v weighs as much."""
    v = 7 * SIGMA_SQUARED
    whole = Window(with_own(window(SUMS, atlas=ATLAS), "AA", sums=[10, 20, 30], variance=4 * v), ATLAS.members)
    noisy = whole.noisy("AA", ALL)
    assert noisy.counts[0] == pytest.approx((SUMS[AA].sum(axis=0) + np.array([10, 20, 30])) / 2)
    assert noisy.variance[0] == pytest.approx(np.full(3, 2 * v))


def test_the_others_are_the_sum_without_the_part_and_the_own_count_stands_by_itself() -> None:
    """Three of four parts of variance v have 3 v."""
    v, own = 7 * SIGMA_SQUARED, [10, 20, 30]
    whole = Window(with_own(window(SUMS, atlas=ATLAS), "AA", sums=own, variance=5 * v), ATLAS.members)
    others, counted = whole.others("AA", "aa1", ALL), whole.own("AA", ALL)
    assert others.counts[0] == pytest.approx(SUMS[AA].sum(axis=0) - SUMS[ATLAS.parts.index("aa1")])
    assert others.variance[0] == pytest.approx(np.full(3, 3 * v))
    assert counted.counts[0].tolist() == own
    assert counted.variance[0] == pytest.approx(np.full(3, 5 * v))


def test_what_one_part_did_not_count_is_known_from_the_own_count_alone() -> None:
    exposures = np.full((8, 3), 7)
    exposures[ATLAS.parts.index("aa2"), 1] = 0
    v = 7 * SIGMA_SQUARED
    table = window(SUMS, atlas=ATLAS, exposures=exposures)
    for whole, expected in ((Window(table, ATLAS.members), (0.0, UNKNOWN)), (_owned(table, v), (20.0, 4 * v))):
        noisy, others = whole.noisy("AA", ALL), whole.others("AA", "aa1", ALL)
        assert (noisy.counts[0, 1], noisy.variance[0, 1]) == pytest.approx(expected)
        assert (others.variance[0] < UNKNOWN).tolist() == [True, False, True]
        assert whole.known("AA").tolist() == [0, 1, 2]
        assert whole.known("aa2").tolist() == [0, 2]
    assert _owned(table, v).own("AA", ALL).counts[0].tolist() == [10, 20, 30]
    assert Window(table, ATLAS.members).own("AA", ALL).variance[0].tolist() == [UNKNOWN] * 3


def _owned(table: Released, v: float) -> Window:
    return Window(with_own(table, "AA", sums=[10, 20, 30], variance=4 * v), ATLAS.members)


def test_places_in_a_country_are_added_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, asked = Window(window(SUMS, atlas=ATLAS), ATLAS.members), []
    add = whole._row
    monkeypatch.setattr(whole, "_row", lambda row: asked.append(row) or add(row))
    for place in ("aa1", "aa2", "aa3"):
        whole.others("AA", place, ALL)
    assert sorted(asked) == sorted([*ATLAS.members["AA"], "aa1", "aa2", "aa3"])


def test_a_release_is_read_into_a_window_with_its_rows_and_tiers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without noise the pooled counts of a country are its true ones, and the rest of the world is without it."""
    monkeypatch.setattr(release, "discrete_gaussian", lambda size, sigma_squared: np.zeros(size, dtype=np.int32))
    rows = [("one", "aa1", "t00"), ("two", "aa2", "t00"), ("three", "bb1", "t00"), ("four", "CC-rest", "t05")]
    extra = {row: np.array([5], dtype=np.int32) for row in ("CC-rest", "world")}
    some = Candidates(TRACKS, np.array([0], dtype=np.int32), extra, 1e-12)
    released(contributed(rows), tmp_path, candidates=some, settings=SHARED)
    table = ReleaseReader(tmp_path / "releases").read([NIGHT])
    whole, both = Window(table, ATLAS.members), np.arange(2)
    assert table.tracks == ("t00", "t05")
    assert whole.noisy("AA", both).counts.tolist() == [[2, 0]]
    assert whole.noisy("world", both).counts[0] == pytest.approx([3, 1])
    assert whole.others("world", "AA", both).counts[0] == pytest.approx([1, 0])
    assert whole.own("world", both).counts[0] == pytest.approx([3, 1])
    assert whole.known("AA").tolist() == [0]
    assert whole.known("world").tolist() == [0, 1]
