"""The catalogue: every format, and what is refused."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.arriving import write_listens

from recsys.arrivals.catalogue import read_catalogue
from recsys.errors import InputError


def track(number: int, **changes: Any) -> dict[str, Any]:
    return {"track_id": f"t{number}", "title": "Ó Gente", "artist_id": "a1", "artist": "Mariza", **changes}


@pytest.mark.parametrize("name", ["catalogue.parquet", "catalogue.csv", "catalogue.csv.gz", "catalogue.ndjson"])
def test_every_format_reads_to_the_same_tracks_in_order(name: str, tmp_path: Path) -> None:
    source = write_listens(tmp_path / name, [track(2), track(1)])
    assert read_catalogue(source, max_bad_share=0.05).tracks.rows() == [
        (f"t{i}", "Ó Gente", "a1", "Mariza", None, None) for i in (1, 2)
    ]


def test_the_country_of_an_artist_is_there_as_far_as_it_is_told(tmp_path: Path) -> None:
    source = write_listens(tmp_path / "catalogue.csv", [track(1, artist_country="PT"), track(2, artist_country=None)])
    assert read_catalogue(source, max_bad_share=0.05).tracks["artist_country"].to_list() == ["PT", None]


@pytest.mark.parametrize("released", ["2025-12-24", date(2025, 12, 24)])
@pytest.mark.parametrize("name", ["catalogue.parquet", "catalogue.csv"])
def test_released_is_a_date(name: str, released: Any, tmp_path: Path) -> None:
    source = write_listens(tmp_path / name, [track(1, released=released), track(2, released=None)])
    assert read_catalogue(source, max_bad_share=0.05).tracks["released"].to_list() == [date(2025, 12, 24), None]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([track(i % 4) for i in range(9)] + [track(9)], r"has 9 rows with a track_id .*, the first in line 2 of "),
        ([track(1), *[track(i, title=None) for i in (2, 3)]], r"2 of 3 rows do not fit.*\(2 missing_title\)"),
        ([track(1), *[track(i, artist="") for i in (2, 3)]], r"2 of 3 rows do not fit.*\(2 missing_artist\)"),
        ([track(1), *[track(i, track_id=None) for i in (2, 3)]], r"2 of 3 rows .*\(2 missing_track_id\)"),
        ([{"track_id": "t1", "title": "x", "artist": "y"}], "missing: artist_id"),
        ([track(1, price=3)], "unexpected: 1 column that is not known"),
    ],
)
def test_a_catalogue_that_does_not_fit_is_refused_and_the_first_row_found(
    rows: list[dict[str, Any]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_catalogue(write_listens(tmp_path / "catalogue.csv", rows), max_bad_share=0.05)
    assert raised.value.hint


def test_an_empty_catalogue_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "catalogue.csv"
    source.write_text("track_id,title,artist_id,artist\n")
    with pytest.raises(InputError, match="holds no track"):
        read_catalogue(source, max_bad_share=0.05)


def test_a_catalogue_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    source = write_listens(tmp_path / "catalogue.parquet", [track(i) for i in range(100)])
    source.write_bytes(source.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        read_catalogue(source, max_bad_share=0.05)
