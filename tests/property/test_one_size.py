"""Answers of one size: whatever places and tracks are called, one listener's list is as long as another's."""

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.edge import NOW, items, remember

from recsys.artifacts.affinities import Affinities
from recsys.artifacts.chart_database import PublishedPlace, write_chart_database
from recsys.artifacts.list_candidates import CHARTS
from recsys.consents.log import Choices
from recsys.serving.lists.list_ids import ListIds
from recsys.serving.lists.trending import Asked, ListSources, longest, trending_answer
from recsys.serving.requests.one_size import padded, padded_lines
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.workspace import Workspace, listener_of, replace_file, staged, write_manifest

REGIONS = ("852a1073fffffff", "852a1077fffffff", "8428309ffffffff")
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
lists = st.lists(st.integers(0, 11), unique=True, max_size=12)


def published(
    workspace: Workspace, names: Sequence[str], titles: Sequence[str], charts: Sequence[list[int]]
) -> Published:
    places = [
        PublishedPlace("world", "World", None, "world", None, 0.0, 0.0, 8_000_000_000, "", True),
        PublishedPlace("PT", names[0], names[0], "country", "world", 39.69, -8.13, 10_000_000, "", True),
        *(
            PublishedPlace(id_, name, names[0], "region", "PT", 38.5, -9.1, 5, "", True)
            for id_, name in zip(REGIONS, names[1:], strict=True)
        ),
    ]
    keys = [(place.id, chart) for place in places for chart in CHARTS]
    with staged(workspace.snapshots / "2026-10-31-0") as folder:
        write_chart_database(
            folder / "charts.db",
            places=places,
            cells=[],
            charts=[
                (*key, [line(titles, track, rank) for rank, track in enumerate(some, 1)])
                for key, some in zip(keys, charts, strict=True)
            ],
            prices={},
        )
        facts = {"id": "2026-10-31-0", "as_of": "2026-10-31", "nights": ["2026-10-31"], "format": "7"}
        write_manifest(folder, facts, names=["charts.db"])
    replace_file(workspace.current, b"2026-10-31-0")
    return open_published(workspace)


def line(titles: Sequence[str], track: int, rank: int) -> dict[str, Any]:
    return items("x", size=1)[0] | {"rank": rank, "track_id": f"t{track}", "title": titles[track]}


@settings(max_examples=30)
@given(
    names=st.lists(words, min_size=4, max_size=4),
    titles=st.lists(words, min_size=12, max_size=12),
    charts=st.lists(lists, min_size=15, max_size=15),
    limit=st.sampled_from([1, 3, 12, 100]),
    rivals=st.booleans(),
)
def test_all_lists_are_of_one_length(
    names: list[str], titles: list[str], charts: list[list[int]], limit: int, *, rivals: bool
) -> None:
    """Also where two rankers share that of somebody."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace").prepare()
        known = remember(workspace, {"ana": {"t3": 2.0}}, challenger={"ana": {"t5": 2.0}} if rivals else None)
        sources = sources_of(published(workspace, names, titles, charts), known)
        answers = [
            trending_answer(sources, asked(who, personal=personal, hidden=hidden), cell=cell, limit=limit).body
            for who in ("0" * 32, listener_of("ana", key=workspace.listener_key()))
            for personal in (True, False)
            for hidden in ((), ("t3", "t4"), tuple(map("t{}".format, range(12))))
            for cell in (None, *REGIONS)
        ]
    assert {len(answer) for answer in answers} == {longest(sources.published, limit=limit)}
    assert all(json.loads(answer)["chart"] == "trending" for answer in answers)


def asked(listener: str, *, personal: bool, hidden: Iterable[str]) -> Asked:
    choices = Choices(place=True, plays=personal, feedback=True, hidden=frozenset(hidden))
    return Asked(listener, choices, NOW, ListIds(bytes(32), hours=1))


def sources_of(found: Published, affinities: Affinities) -> ListSources:
    others = affinities.challenger and affinities.challenger.columns_of(found.tracks)
    return ListSources(found, affinities, affinities.columns_of(found.tracks), others, {})


@given(body=st.binary(max_size=300), to=st.integers(1, 100))
def test_padding_adds_spaces_up_to_the_next_multiple(body: bytes, to: int) -> None:
    whole = padded(body, to=to)
    assert (len(whole) % to, len(whole) - len(body) < to) == (0, True)
    assert whole == body + b" " * (len(whole) - len(body))


@given(
    lines=st.lists(words.map(lambda word: json.dumps(word, ensure_ascii=False) + "\n"), min_size=1),
    to=st.integers(1, 100),
)
def test_the_last_line_is_as_long_as_all_lines_need(lines: list[str], to: int) -> None:
    whole = list(padded_lines(lines, to=to))
    assert sum(len(line.encode()) for line in whole) % to == 0
    assert [line.rstrip() for line in whole] == [line.rstrip() for line in lines]
    assert whole[-1].endswith("\n")
