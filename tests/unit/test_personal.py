"""The order of a listener's own list, and the reasons it gives: derived by hand, and faithful whatever the numbers."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.edge import items
from support.ordering import put_in_order

from recsys.artifacts.addresses import artist_address, song_address
from recsys.artifacts.affinities import BLANK, EVIDENCE, NO_TRACK, Row
from recsys.artifacts.chart_database import ChartDatabase, Line, PublishedPlace, write_chart_database
from recsys.artifacts.list_candidates import CHARTS, ListCandidates, candidates_of, packed, unpacked
from recsys.artifacts.scoring import evidence_for
from recsys.artifacts.standings import LESS, MORE, RISES, TOP
from recsys.serving.lists.personal_items import BECAUSE, Around, listed

POPULAR, RISING, LOCAL, CLOSE, NEW = range(5)


def charts(**lists: str) -> ListCandidates[str]:
    """The candidates of the place "here" in "PT" in the world; a list is written as its tracks' letters."""
    return candidates_of(["here", "PT", "world"], tracks=lambda place, chart: lists.get(f"{place}_{chart}"))


def test_the_lists_of_larger_places_follow_and_no_track_comes_twice() -> None:
    found = charts(here_popular="ab", PT_popular="bc", world_popular="da", PT_rising="ce", world_rising="c")
    assert found.tracks == ["a", "b", "c", "d", "e"]
    assert found.ranks.tolist() == [[1, 0, 0], [2, 0, 0], [3, 1, 0], [4, 0, 0], [0, 2, 0]]
    behind = 5  # one more than the four popular tracks
    expected = [[behind / rank if rank else 1 for rank in row] for row in [(1, 0), (2, 0), (3, 1), (4, 0), (0, 2)]]
    assert np.allclose(found.evidence[:, :2], np.log(expected))
    assert not found.evidence[:, LOCAL].any()


@given(st.lists(st.lists(st.integers(0, 20), unique=True), min_size=9, max_size=9))
def test_candidates_come_back_from_the_snapshot_as_they_went(lists: list[list[int]]) -> None:
    by_chart = dict(zip([(place, chart) for place in "abc" for chart in CHARTS], lists, strict=True))
    found = candidates_of("abc", tracks=lambda place, chart: by_chart[place, chart])
    back = unpacked(packed(found))
    assert list(back.tracks) == list(found.tracks)
    assert (back.ranks == found.ranks).all()


def test_every_candidate_has_evidence_also_where_the_popular_list_is_the_shorter() -> None:
    found = charts(here_popular="a", here_local="bcde")
    assert (found.evidence.max(axis=1) > 0).all()


def test_of_a_blank_row_nothing_is_close_and_nothing_new() -> None:
    found = charts(here_popular="abc")
    evidence = evidence_for(found, columns=np.arange(3, dtype=np.int32), row=BLANK)
    assert evidence.shape == (3, len(EVIDENCE))
    assert not evidence[:, CLOSE:].any()


def test_close_is_what_the_row_says_and_new_is_what_is_known_and_unplayed() -> None:
    row = Row(
        np.array([0, 2, NO_TRACK], np.int32),
        np.array([2, 1, 0], np.float16),
        np.array([False, True, False]),
        known=True,
    )
    columns = np.array([2, 1, 0, NO_TRACK], dtype=np.int32)  # of c played, b not kept, a close, and d without a column
    evidence = evidence_for(charts(here_popular="cbad"), columns=columns, row=row)
    assert evidence[:, CLOSE].tolist() == [1, 0, 2, 0]
    assert evidence[:, NEW].tolist() == [0, 1, 1, 0]


def test_the_order_and_the_reasons_of_three_tracks_by_hand() -> None:
    """Terms of a, b, c are (2, 0), (1, 3), (0, 3): sums 2, 4, 3. Where plays say something, that is the reason."""
    evidence = np.zeros((3, 5), dtype=np.float32)
    evidence[:, POPULAR], evidence[:, CLOSE] = [4, 2, 0], [0, 1, 1]
    order, reasons = put_in_order(evidence, (0.5, 1, 1, 3, 1))
    assert order.tolist() == [1, 2, 0]
    assert [BECAUSE[reason] for reason in reasons] == [
        "close_to_what_you_play",
        "close_to_what_you_play",
        "popular_here",
    ]
    best, why = put_in_order(evidence, (0.5, 1, 1, 3, 1), limit=2)
    assert (best.tolist(), why.tolist()) == (order[:2].tolist(), reasons[:2].tolist())


def test_equals_stay_as_the_popular_list_has_them() -> None:
    order, _ = put_in_order(np.ones((40, 5), dtype=np.float32), (1, 1, 1, 1, 1))
    assert order.tolist() == list(range(40))


def test_no_candidates_are_no_list() -> None:
    found = charts()
    order, reasons = put_in_order(evidence_for(found, columns=np.zeros(0, np.int32), row=BLANK), (1, 1, 1, 1, 1))
    assert (order.tolist(), reasons.tolist()) == ([], [])


positive = st.floats(0.0625, 4, width=32)
some = arrays(np.float32, st.tuples(st.integers(1, 30), st.just(5)), elements=st.one_of(st.just(0.0), positive))


@given(evidence=some, weights=st.tuples(*[positive] * 5))
def test_a_reason_is_evidence_that_is_there_and_without_it_the_track_cannot_rise(
    evidence: np.ndarray, weights: tuple[float, ...]
) -> None:
    evidence[:, POPULAR] = np.maximum(evidence[:, POPULAR], 0.0625)  # every candidate is on a list
    order, reasons = put_in_order(evidence, weights)
    for at, reason in zip(order, reasons, strict=True):
        assert evidence[at, reason] > 0
        without = evidence.copy()
        without[at, reason] = 0
        after, _ = put_in_order(without, weights)
        assert after.tolist().index(at) >= order.tolist().index(at)


@given(evidence=some, weights=st.tuples(*[positive] * 5))
def test_no_other_evidence_stands_out_more_than_the_reason(evidence: np.ndarray, weights: tuple[float, ...]) -> None:
    """Of what the plays say, or where they say nothing, of the lists."""
    evidence[:, POPULAR] = np.maximum(evidence[:, POPULAR], 0.0625)
    order, reasons = put_in_order(evidence, weights)
    terms = (evidence * np.float32(weights)).astype(np.float64)
    above = np.where(terms > 0, terms - terms.mean(axis=0), -np.inf)[order]
    by_plays = np.isfinite(above[:, CLOSE:]).any(axis=1)
    assert ((reasons >= CLOSE) == by_plays).all()
    above[by_plays, :CLOSE] = -np.inf
    assert (np.take_along_axis(above, reasons[:, None], axis=1)[:, 0] >= above.max(axis=1) - 1e-4).all()


several = st.integers(0, 30).flatmap(
    lambda n: st.tuples(
        arrays(np.float32, (n, 5), elements=positive),
        arrays(np.int32, n, elements=st.sampled_from([0, MORE, LESS, TOP, RISES, MORE | TOP | RISES, LESS | TOP])),
    )
)


@given(several)
def test_a_list_near_a_place_keeps_its_promise_in_both_directions(found: tuple[np.ndarray, np.ndarray]) -> None:
    evidence, standings = found
    order, _ = put_in_order(evidence, (1, 1, 1, 1, 1), standings=standings)
    alone, _ = put_in_order(evidence, (1, 1, 1, 1, 1))
    assert sorted(order) == sorted(alone)
    is_more, is_less = ((standings[order] & bit) > 0 for bit in (MORE, LESS))
    there = is_more.sum()
    for first in range(1, len(order) + 1):
        assert is_more[:first].sum() >= min(there, 2 * first // 5)
    if there >= 4:
        assert is_more[:10].sum() > 10 / 3
    assert (np.diff(is_less.astype(int)) >= 0).all()  # last
    for some in (MORE, LESS, 0):  # the listener's order decides among them
        of = [(standings[each] & (MORE | LESS)) == some for each in (order, alone)]
        assert (order[of[0]] == alone[of[1]]).all()


def test_the_listeners_order_stays_where_it_keeps_the_promise_by_itself() -> None:
    evidence = np.zeros((10, 5), dtype=np.float32)
    evidence[:, CLOSE] = np.arange(10, 0, -1)
    standings = np.zeros(10, dtype=np.int32)
    standings[[0, 1, 6, 7]] = MORE
    order, reasons = put_in_order(evidence, (0, 0, 0, 1, 0), standings=standings)
    assert order.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    standings[:] = 0
    standings[[8, 9]] = MORE
    order, reasons = put_in_order(evidence, (0, 0, 0, 1, 0), standings=standings)
    assert order.tolist() == [0, 1, 8, 2, 9, 3, 4, 5, 6, 7]  # among the first three and five
    assert reasons.tolist() == [CLOSE, CLOSE, LOCAL, CLOSE, LOCAL, *[CLOSE] * 5]


def test_what_is_sure_of_the_place_is_named_before_what_is_close() -> None:
    evidence = np.ones((5, 5), dtype=np.float32)
    standings = np.array([MORE | RISES | TOP, RISES | TOP, TOP, LESS | TOP, 0], dtype=np.int32)
    order, reasons = put_in_order(evidence, (1, 1, 1, 9, 1), standings=standings)
    assert dict(zip(order.tolist(), reasons.tolist(), strict=True))[0] == LOCAL
    named = dict(zip(order.tolist(), reasons.tolist(), strict=True))
    assert [named[at] for at in range(5)] == [LOCAL, RISING, POPULAR, POPULAR, CLOSE]


ITEM = items("here", size=1)[0]
PORTUGAL = SimpleNamespace(name='Portugal "of" all')


def around(file: Path, **lists: str) -> Around:
    """The same lists, as a snapshot holds them."""
    parents = {"world": None, "PT": "world", "here": "PT"}
    keys = [(place, chart, lists.get(f"{place}_{chart}")) for place in parents for chart in CHARTS]
    write_chart_database(
        file,
        places=[
            PublishedPlace(place, place, None, "region", parent, 0.0, 0.0, 1, place, True)
            for place, parent in parents.items()
        ],
        cells=[],
        prices={},
        charts=[
            (place, chart, [ITEM | {"rank": rank, "track_id": track} for rank, track in enumerate(tracks, 1)])
            for place, chart, tracks in keys
            if tracks is not None
        ],
    )
    with closing(ChartDatabase(file)) as database:
        lists = [found for place in ("here", "PT", "world") if (found := database.lists(place))]

    def read(lines: Sequence[Line]) -> list[dict[str, Any]]:
        with closing(ChartDatabase(file)) as database:
            return database.items([line.number for line in lines])

    def pages(tracks: Sequence[int], items: object) -> list[dict[str, str]] | None:
        with closing(ChartDatabase(file)) as database:
            return database.pages(tracks)

    published = SimpleNamespace(places={"PT": PORTUGAL}, lines=read, pages=pages)  # what an item needs of a snapshot
    return Around(lists, published)  # type: ignore[arg-type]


def told(found: Around, at: int, because: int) -> tuple[object, ...]:
    item = listed(found, [(at, because)] * 7, here=found.place)[-1]
    told = {"rank", "reason", "because", "source", "page", "artist_page"}
    plain = {key: value for key, value in item.items() if key not in told}
    track = "abcd"[at]
    assert plain == {key: value for key, value in ITEM.items() if key in plain} | {"track_id": track}
    assert item["page"] == song_address(track, ITEM["title"])
    assert item["artist_page"] == artist_address(ITEM["artist_id"], ITEM["artist"])
    return item["rank"], item["reason"], item["because"], item["source"]["chart"], item["source"]["place"]


def test_an_item_has_the_numbers_of_the_chart_that_its_reason_is_from(tmp_path: Path) -> None:
    found = around(
        tmp_path / "charts", here_popular="a", PT_popular="b", world_popular="c", PT_rising="a", world_rising="d"
    )
    assert told(found, 0, POPULAR) == (7, "made by hand", "popular_here", "popular", "here")
    assert told(found, 0, RISING) == (7, 'In Portugal "of" all: made by hand', "rising_here", "rising", "PT")
    assert told(found, 0, CLOSE)[1:4] == ("Close to what you play. made by hand", "close_to_what_you_play", "popular")
    assert told(found, 1, NEW)[1] == 'New for you. In Portugal "of" all: made by hand'
    assert told(found, 2, POPULAR) == (7, "made by hand", "popular_here", "popular", "world")  # whose text says it
    assert told(found, 3, RISING)[1] == "Worldwide: made by hand"
    assert told(found, 3, NEW)[3:] == ("rising", "world")


def test_a_track_is_told_of_by_the_nearest_place_that_has_it(tmp_path: Path) -> None:
    found = around(
        tmp_path / "charts", here_popular="ab", PT_popular="bc", world_popular="da", PT_rising="ce", world_rising="c"
    )
    assert found.place == "here"
    lines = [[found.line(at, because=because)[:2] for because in (POPULAR, RISING)] for at in range(5)]
    assert lines[1] == [("here", "popular"), ("here", "popular")]
    assert lines[2] == [("PT", "popular"), ("PT", "rising")]
    assert lines[3][0] == ("world", "popular")
    assert lines[4] == [("PT", "rising"), ("PT", "rising")]


def test_a_place_without_lists_of_its_own_is_that_of_the_larger_one(tmp_path: Path) -> None:
    assert around(tmp_path / "charts", PT_popular="a").place == "PT"
