"""Lines of charts as arrays, and the frame that they become."""

import numpy as np

from recsys.releases.charts.lines import Lines, laid_out
from recsys.releases.inference.significance import Interval

TRACKS = ("a", "b", "c")


def lines(chart: str, *tracks: int) -> Lines:
    values = np.array(tracks, dtype=float)
    listeners, lift = Interval(values + 5, values, values + 9), Interval(values + 2, values + 1, values + 3)
    return Lines.of("PT", chart, tracks=np.array(tracks, dtype=np.intp), listeners=listeners, lift=lift, nights=7)


def test_each_list_is_laid_out_from_rank_one_on() -> None:
    frame = laid_out([lines("popular", 2, 0), lines("local"), lines("rising", 1)], TRACKS)
    assert frame.select("place", "chart", "rank", "track_id", "estimate", "lift", "nights").rows() == [
        ("PT", "popular", 1, "c", 7.0, 4.0, 7),
        ("PT", "popular", 2, "a", 5.0, 2.0, 7),
        ("PT", "rising", 1, "b", 6.0, 3.0, 7),
    ]
    assert frame["nights_on_chart"].to_list() == [1, 1, 1]
    assert frame["previous_rank"].null_count() == frame["kind"].null_count() == 3


def test_some_lines_and_others_after_them_keep_their_grades() -> None:
    sure, unsure = lines("local", 0, 1, 2)[np.array([2])].graded("surely"), lines("local", 0, 1).graded("guess")
    frame = laid_out([sure + unsure[:1]], TRACKS)
    assert frame.select("rank", "track_id", "low", "grade").rows() == [(1, "c", 2.0, "surely"), (2, "a", 0.0, "guess")]
