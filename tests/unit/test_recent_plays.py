"""Recent plays: what enough of some listeners played, and nothing of fewer; written, read and erased with the lists."""

from collections.abc import Collection
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge import AS_OF, remember_plays
from support.sealing import sealed_in

from pipelines.night.recent_plays import gathered
from recsys.artifacts.affinities import erase, open_affinities
from recsys.artifacts.recent_plays import (
    FEWEST_FRIENDS,
    FEWEST_PLAYED,
    MOST_TRACKS,
    RecentPlays,
    Song,
    recent_plays_of,
)
from recsys.workspace import Workspace, listener_of

WHO = [f"{number:032x}" for number in range(8)]
PT, FJ = "PT", "FJ"


def songs(*tracks: str) -> list[Song]:
    return [Song(track, track.upper(), "A", "a") for track in tracks]


def tracks(
    recent: RecentPlays, nameless: Collection[str], named: Collection[str] = (), country: str | None = None
) -> list[str]:
    return [each.song.track_id for each in recent.among(nameless, named, country=country)]


def test_a_track_is_told_that_three_of_five_played_there() -> None:
    played = {WHO[0]: (PT, "ab"), WHO[1]: (PT, "ab"), WHO[2]: (PT, "ac"), WHO[3]: (PT, "bc"), WHO[4]: (PT, "a")}
    recent = recent_plays_of(played, songs=songs("a", "b", "c"))
    assert tracks(recent, WHO[:5], country=PT) == ["a", "b"]  # four, and three; two played c
    assert tracks(recent, WHO) == ["a", "b"]  # whoever has no row counts for nothing
    assert tracks(recent, [*WHO[:4], WHO[7]], country=PT) == []  # four with a row
    assert tracks(recent, WHO[:5], country=FJ) == []


def test_who_is_counted_elsewhere_counts_in_the_world_alone() -> None:
    played = {who: (PT if who in WHO[:4] else FJ, "a") for who in WHO}
    recent = recent_plays_of(played, songs=songs("a"))
    assert [tracks(recent, WHO, country=country) for country in (PT, FJ, None)] == [[], [], ["a"]]


@given(st.dictionaries(st.sampled_from(WHO), st.sets(st.sampled_from("abcdef"))), st.sets(st.sampled_from(WHO)))
def test_what_is_told_is_what_counting_finds(played: dict[str, set[str]], friends: set[str]) -> None:
    recent = recent_plays_of({who: (PT, own) for who, own in played.items()}, songs=songs(*"abcdef"))
    there = friends & played.keys()
    counts = {track: sum(track in played[who] for who in there) for track in "abcdef"}
    enough = [track for track in "abcdef" if counts[track] >= FEWEST_PLAYED and len(there) >= FEWEST_FRIENDS]
    assert tracks(recent, friends, country=PT) == enough  # in the order of the songs, whoever played what


@given(
    st.dictionaries(st.sampled_from(WHO), st.sets(st.sampled_from("abc"))),
    st.dictionaries(st.sampled_from(WHO), st.booleans()),
)
def test_the_nameless_are_told_of_as_if_the_named_were_not_there(
    played: dict[str, set[str]], shares: dict[str, bool]
) -> None:
    recent = recent_plays_of({who: (PT, own) for who, own in played.items()}, songs=songs(*"abc"))
    nameless, named = ([who for who, share in shares.items() if share == yes] for yes in (False, True))
    by = {track: sorted(who for who in named if track in played.get(who, ())) for track in "abc"}
    enough = len(shares.keys() & played.keys()) >= FEWEST_FRIENDS
    of_named = {track for track in by if enough and len(by[track]) >= FEWEST_PLAYED}
    found = {each.song.track_id: sorted(each.named) for each in recent.among(nameless, named, country=None)}
    assert found == {track: by[track] for track in {*tracks(recent, nameless), *of_named}}


def test_a_row_has_the_country_of_the_most_nights_and_what_was_played_there_most() -> None:
    nights = [date(2026, 3, number) for number in (1, 2, 3)]
    rows = [
        *((WHO[0], nights[0], "lisbon", f"t{number:03}", 1 + (number == 7)) for number in range(MOST_TRACKS + 5)),
        (WHO[0], nights[1], "porto", "t000", 5),
        (WHO[0], nights[2], "suva", "suva", 99),
        (WHO[1], nights[0], None, "t000", 1),
        (WHO[2], nights[0], "high seas", "t000", 1),
    ]
    columns = {"listener": pl.String, "night": pl.Date, "part": pl.String, "track_id": pl.String, "plays": pl.UInt32}
    known = songs("suva", *(f"t{number:03}" for number in range(MOST_TRACKS + 5)))
    country_of = {"lisbon": PT, "porto": PT, "suva": FJ}
    recent = gathered(pl.DataFrame(rows, columns, orient="row"), songs=known, country_of=country_of)
    told = recent.told(WHO[0])
    assert told is not None
    country, own = told
    assert (country, own[:3], len(own)) == (PT, ["t000", "t007", "t001"], MOST_TRACKS)
    assert recent.told(WHO[1]) is recent.told(WHO[2]) is None


def test_nothing_of_nobody_can_be_gathered_and_asked_for() -> None:
    columns = {"listener": pl.String, "night": pl.Date, "part": pl.String, "track_id": pl.String, "plays": pl.UInt32}
    recent = gathered(pl.DataFrame(schema=columns), songs=[], country_of={})
    assert (tracks(recent, WHO), recent.told(WHO[0]), len(recent.without(WHO).listeners)) == ([], None, 0)


@pytest.mark.parametrize("gone", ["ana", "nobody"])
def test_what_is_written_is_read_and_an_erasure_takes_one_row(workspace: Workspace, gone: str) -> None:
    remember_plays(workspace, {"ana": (PT, ["a", "b"]), "ben": (FJ, ["b"])})
    files, key = sealed_in(workspace.private), workspace.listener_key()
    of = {user: listener_of(user, key=key) for user in ("ana", "ben", "nobody")}
    assert open_affinities(files).recent.told(of["ana"]) == (PT, ["a", "b"])
    erase(files, [of[gone]])
    recent = open_affinities(files).recent
    assert (recent.told(of["ana"]) is None) == (gone == "ana")
    assert recent.told(of["ben"]) == (FJ, ["b"])
    (folder,) = (path.name for path in (workspace.private / "tastes").iterdir() if path.is_dir())
    assert folder.startswith(f"{AS_OF}-")  # sealed by the key of that night
