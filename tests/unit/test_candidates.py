from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.releasing import NIGHT, SHARED, TRACKS, catalogue, contributed, everywhere, released, small_atlas, window

from recsys.releases.counts.candidates import Candidates, candidates_for, choose
from recsys.releases.counts.release_reader import Released, ReleaseReader
from recsys.settings import CandidatesSettings, load_settings

ATLAS = small_atlas()
SETTINGS = load_settings(
    overrides={"candidates": {"core": 3, "own": 2, "released": 2, "released_nights": 7, "newcomers": 5}}
).candidates
HEARD = 10_000  # listeners: far above any noise here


def of(candidates: Candidates, row: str) -> set[str]:
    return {candidates.tracks[i] for i in {*candidates.everywhere.tolist(), *candidates.extra[row].tolist()}}


def t(*numbers: int) -> set[str]:
    return {f"t{i:02d}" for i in numbers}


def past(heard: dict[str, dict[int, int]], *, nights: int = 7, known: range = range(20)) -> Released:
    """Sums of a window in which some tracks were heard in some parts, and others not at all."""
    sums = np.zeros((8, 20))
    for part, tracks in heard.items():
        for track, listeners in tracks.items():
            sums[ATLAS.parts.index(part), track] = listeners
    counted = np.isin(np.arange(20), known) * nights
    return window(sums, atlas=ATLAS, nights=nights, tracks=TRACKS, exposures=counted)


def chosen(
    heard: dict[str, dict[int, int]] | None = None,
    *,
    newcomers: dict[str, dict[int, int]] | None = None,
    tracks: pl.DataFrame | None = None,
    settings: CandidatesSettings = SETTINGS,
    known: range = range(20),
) -> Candidates:
    new = None
    if newcomers is not None:
        stood_out = np.zeros((8, 20), dtype=int)
        for part, some in newcomers.items():
            stood_out[ATLAS.parts.index(part), list(some)] = 1
        new = window(stood_out * HEARD, atlas=ATLAS, nights=3, tracks=TRACKS, exposures=stood_out)
    return choose(
        catalogue(TRACKS) if tracks is None else tracks,
        night=NIGHT,
        past=None if heard is None else past(heard, known=known),
        newcomers=new,
        atlas=ATLAS,
        settings=settings,
    )


def dated(dates: dict[str, date]) -> pl.DataFrame:
    when = pl.col("track_id").replace_strict(dates, default=None, return_dtype=pl.Date)
    return catalogue(TRACKS).with_columns(released=when)


def test_a_catalogue_no_larger_than_the_core_is_counted_everywhere() -> None:
    settings = SETTINGS.model_copy(update={"core": 20})
    found = chosen({"aa1": {4: HEARD}}, newcomers={"aa2": {5: 1}}, settings=settings)
    assert found.everywhere.tolist() == list(range(20))
    assert all(some.size == 0 for some in found.extra.values())
    assert found.threshold == np.inf


def test_the_core_is_what_stands_farthest_above_the_noise_in_the_world() -> None:
    found = chosen({"aa1": {11: HEARD}, "CC-rest": {2: HEARD, 11: HEARD}, "bb1": {7: 2 * HEARD, 5: HEARD // 2}})
    assert {found.tracks[i] for i in found.everywhere} == t(2, 7, 11)


def test_without_a_past_the_core_is_newest_and_then_first_by_id() -> None:
    days = {"t05": NIGHT - timedelta(days=40), "t07": NIGHT - timedelta(days=30), "t09": NIGHT + timedelta(days=1)}
    found = chosen(tracks=dated(days))
    assert {found.tracks[i] for i in found.everywhere} == t(0, 5, 7)  # t09 is not out yet
    assert all(some.size == 0 for some in found.extra.values())


def test_new_tracks_are_counted_everywhere_and_of_too_many_the_newest() -> None:
    days = {f"t{i:02d}": NIGHT - timedelta(days=i - 10) for i in range(10, 20)}
    found = chosen({"aa1": {1: HEARD, 2: HEARD, 3: HEARD}}, tracks=dated(days))
    assert {found.tracks[i] for i in found.everywhere} == t(1, 2, 3, 10, 11)
    assert len(chosen({"aa1": {1: HEARD, 2: HEARD, 3: HEARD}}, tracks=dated({})).everywhere) == 3


def test_what_a_place_has_shown_is_handed_up_and_a_countrys_down() -> None:
    core = {"CC-rest": {0: 9 * HEARD, 1: 9 * HEARD, 2: 9 * HEARD}}
    found = chosen({**core, "aa1": {4: HEARD, 5: 2 * HEARD, 6: 3 * HEARD}, "BB-rest": {8: HEARD}})
    assert of(found, "AA") == t(0, 1, 2, 4, 5, 6)  # the country's own are 5 and 6, the region's own beyond them 4
    assert of(found, "aa1") == t(0, 1, 2, 4, 5, 6)
    assert of(found, "aa2") == of(found, "AA-rest") == t(0, 1, 2, 5, 6)
    assert of(found, "bb1") == of(found, "BB-rest") == t(0, 1, 2, 8)
    assert of(found, "CC-rest") == t(0, 1, 2)
    assert of(found, "world") == t(0, 1, 2, 4, 5, 6, 8)


def test_a_newcomer_is_on_trial_in_its_place_and_the_larger_ones() -> None:
    core = {"CC-rest": {0: HEARD, 1: HEARD, 2: HEARD}}
    found = chosen(core, newcomers={"aa1": {9: 1}, "bb1": {0: 1}}, known=range(3))
    assert of(found, "aa1") == of(found, "AA") == of(found, "world") == t(0, 1, 2, 9)
    assert of(found, "aa2") == of(found, "bb1") == t(0, 1, 2)


@pytest.mark.parametrize(("since", "stays"), [(-1, False), (0, True), (1, True)])
def test_a_newcomer_below_zero_since_it_stood_out_has_failed(since: int, stays: bool) -> None:
    core = {"CC-rest": {0: HEARD, 1: HEARD, 2: HEARD}}
    found = chosen({**core, "aa1": {9: since}}, newcomers={"aa1": {9: 1}})
    assert (of(found, "aa1") == t(0, 1, 2, 9)) == stays


def test_a_place_keeps_what_is_two_deviations_above_the_noise() -> None:
    """σ² of a sum over seven nights of 333.3 is 2,333.3: two deviations are 96.6."""
    core = {"CC-rest": {0: HEARD, 1: HEARD, 2: HEARD}}
    for listeners, kept in ((96, t()), (97, t(9))):
        found = chosen({**core, "aa1": {9: listeners}, "aa2": {9: -listeners}})  # nothing to the country or the world
        assert of(found, "aa1") == t(0, 1, 2) | kept


def test_a_track_that_left_the_catalogue_is_no_candidate() -> None:
    heard = {"aa1": {0: 4 * HEARD, 1: 3 * HEARD, 2: 2 * HEARD, 3: HEARD, 4: HEARD // 2}}
    found = chosen(heard, newcomers={"aa2": {0: 1, 9: 1}}, tracks=catalogue(TRACKS[2:]))
    assert {found.tracks[i] for i in found.everywhere} == t(2, 3, 4)
    assert of(found, "aa2") == t(2, 3, 4, 9)


def test_another_atlas_keeps_what_is_known_of_the_places_that_are_left() -> None:
    before = past({"aa1": {4: HEARD, 5: HEARD, 6: HEARD, 7: HEARD // 2}, "CC-rest": {9: 9 * HEARD}})
    atlas = small_atlas("AA", version="other")
    found = choose(catalogue(TRACKS), night=NIGHT, past=before, newcomers=None, atlas=atlas, settings=SETTINGS)
    assert {found.tracks[i] for i in found.everywhere} == t(4, 5, 6)
    assert set(found.extra) == {"world", "AA", *atlas.parts}
    assert of(found, "aa1") == t(4, 5, 6, 7)


def test_the_digest_tells_candidates_apart() -> None:
    one = Candidates(TRACKS, np.array([1, 2], dtype=np.int32), {"aa1": np.array([3], dtype=np.int32)}, 5.0)
    others = [
        replace(one, everywhere=np.array([1, 4], dtype=np.int32)),
        replace(one, extra={"aa1": np.array([4], dtype=np.int32)}),
        replace(one, extra={"aa2": np.array([3], dtype=np.int32)}),
        replace(one, tracks=(*TRACKS[:-1], "t99")),
        replace(one, newcomers=6.0),
    ]
    assert all(other.facts() != one.facts() for other in others)
    assert replace(one, extra={"aa1": np.array([3], dtype=np.int32)}).facts() == one.facts()


def test_nights_follow_from_the_releases_before_them_alone(tmp_path: Path) -> None:
    """Three nights: a newcomer of the first is a candidate of the second, and its first count is in no sum."""
    night, following, late = (NIGHT + timedelta(days=day) for day in range(3))
    listeners = [(f"l{i}", "aa1", "t12") for i in range(2_000)]
    reader = ReleaseReader(tmp_path / "releases")  # one for all nights: it finds those that are made meanwhile

    def candidates(of_night: date) -> Candidates:
        return candidates_for(of_night, catalogue=catalogue(TRACKS), releases=reader, atlas=ATLAS, settings=SETTINGS)

    first = candidates(night)
    assert {first.tracks[i] for i in first.everywhere} == t(0, 1, 2)
    released(contributed(listeners), tmp_path, candidates=first, settings=SHARED)
    second = candidates(following)
    assert {"t12"} <= of(second, "aa1") & of(second, "AA") & of(second, "world")
    released(contributed(listeners, night=following), tmp_path, night=following, candidates=second, settings=SHARED)
    released(contributed([], night=late), tmp_path, night=late, candidates=everywhere(TRACKS), settings=SHARED)
    assert candidates(following).facts() == second.facts()  # later releases change nothing
    found = reader.read([night, following])
    entry = found.positions[found.entries("aa1")].tolist().index(found.tracks.index("t12"))
    assert found.exposures[found.entries("aa1")][entry] == 1
    assert found.sums[found.entries("aa1")][entry] == pytest.approx(2_000, abs=200)  # six deviations are 158
