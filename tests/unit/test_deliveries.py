"""What came for a night, counted: whatever its order, format and files, and however large it is."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import h3
import polars as pl
import pytest
from support.arriving import (
    ALL_PURPOSES,
    CATALOGUE,
    KEY,
    LISBON,
    NIGHT,
    NOON,
    NOW,
    Quarters,
    given,
    listen,
    write_listens,
)

from recsys.arrivals import deliveries
from recsys.arrivals.deliveries import Delivery, Placing, kind_of, measure
from recsys.arrivals.listens import CheckedNight, files_of_night, read_night
from recsys.arrivals.permission import permissions
from recsys.consents.log import ConsentLog
from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD, Place
from recsys.settings import Settings

USERS = [f"user-{number}" for number in range(40)]
DAY = timedelta(days=1)


class Parts(Quarters):
    """As many parts as asked for, all of one country."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(1)
        self.settings = settings.atlas


def rows(days: int = 0, *, shift: int = 0) -> list[dict[str, Any]]:
    """Every user plays five tracks; every other user sends no position."""
    at = NOON + days * DAY
    return [
        listen(
            user_id=user,
            track_id=f"t{track}",
            played_at=at + timedelta(seconds=97 * track + 13 * number + shift),
            **({} if number % 2 else {"latitude": None, "longitude": None}),
        )
        for number, user in enumerate(USERS)
        for track in range(5)
    ]


def measured(
    source: Path, placing: Placing | None = None, *, days: int = 0, seed: int = 1, least: int = 20
) -> Delivery:
    night, now = NIGHT + days * DAY, NOW + days * DAY
    checked = read_night(source, night, catalogue=CATALOGUE, now=now)
    files = files_of_night(source, night, now=now)
    return measure(checked, rows=sum(files.values()), files=files, placing=placing, seed=seed, least=least)


def test_it_counts_rows_listeners_consents_positions_countries_files_and_hours(
    tmp_path: Path, settings: Settings
) -> None:
    log = ConsentLog(tmp_path / "consents.db")
    for user in USERS[:10]:  # five of whom send positions
        log.append(given(user, *ALL_PURPOSES))
    placing = Placing(permissions(log, now=NOW), KEY, Parts(settings), {"P0": "PT"})  # type: ignore[arg-type]
    found = measured(write_listens(tmp_path / "listens" / "part-0.parquet", rows()).parent, placing)
    assert (found.rows, found.positioned, found.listeners, found.consenting) == (200, 100, 40, 10)
    assert (found.by_country, found.by_source, found.by_hours) == ({"PT": 5}, {"part.parquet": 200}, {"12-16": 200})
    assert found.repeated == 0


def test_the_same_rows_in_another_order_format_and_date_have_the_same_sketch(tmp_path: Path) -> None:
    first = measured(write_listens(tmp_path / "first.parquet", rows()))
    again = measured(write_listens(tmp_path / "again.csv", rows(1)[::-1]), days=1)
    other = measured(write_listens(tmp_path / "other.csv", rows(1, shift=7)), days=1)
    keyed = measured(write_listens(tmp_path / "first.parquet", rows()), seed=2)
    assert again.sketch == first.sketch
    for different in (other, keyed):
        assert sum(one == two for one, two in zip(first.sketch, different.sketch, strict=True)) < 12


@pytest.mark.parametrize(("names", "repeated"), [("a.parquet b.parquet", 1 / 2), ("a.parquet a.csv a.ndjson", 2 / 3)])
def test_rows_that_are_there_twice_are_noticed(tmp_path: Path, names: str, repeated: float) -> None:
    for name in names.split():
        write_listens(tmp_path / name, rows())
    found = measured(tmp_path)
    assert found.repeated == pytest.approx(repeated)
    assert (found.listeners, len(found.by_source)) == (40, len(names.split()))


def test_a_large_night_is_sampled(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ConsentLog(tmp_path / "consents.db")
    log.append(entry for user in USERS for entry in given(user, *ALL_PURPOSES))
    placing = Placing(permissions(log, now=NOW), KEY, Parts(settings), {"P0": "PT"})  # type: ignore[arg-type]
    source = write_listens(tmp_path / "listens.parquet", [*rows(), *rows()])
    monkeypatch.setattr(deliveries, "_SAMPLED", 130)  # of 400 rows: one in four
    found = measured(source, placing)
    assert (found.rows, found.positioned, found.repeated) == (400, 200, 0.5)
    assert 8 <= found.listeners <= 100
    assert found.consenting == found.listeners  # the same ones are looked at


SINGAPORE = (1.2897, 103.8501)


def _exchanged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "latitude": row["longitude"], "longitude": row["latitude"]} for row in rows]


def _in_cells(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    nowhere = {"latitude": None, "longitude": None, "cell": h3.latlng_to_cell(*LISBON[::-1], 5)}
    return [{**row, **nowhere} for row in rows]


def _at(rows: list[dict[str, Any]], position: tuple[float, float]) -> list[dict[str, Any]]:
    return [{**row, "latitude": position[0], "longitude": position[1]} for row in rows]


HOME = _at(rows(), LISBON)


def _towns(settings: Settings, *positions: tuple[float, float]) -> Atlas:
    """Regions of one country, and nothing else in the world."""
    cells = [h3.latlng_to_cell(*position, 5) for position in positions]
    named = [(WORLD, "world", None), ("AA", "country", WORLD), *((cell, "region", "AA") for cell in cells)]
    places = {name: Place(name, name, None, level, above, 0.0, 0.0, 1) for name, level, above in named}  # type: ignore[arg-type]
    return Atlas(settings.atlas, places, {}, "towns", pl.DataFrame())


@pytest.mark.parametrize(
    ("files", "allowing", "swapped"),
    [
        ({"ios-1.csv": rows()}, USERS, ()),
        ({"ios-1.csv": _exchanged(rows())}, USERS, ("ios.csv",)),
        ({"ios-1.csv": _exchanged(rows()), "web.parquet": rows()}, USERS, ("ios.csv",)),
        ({"a-1.csv": _exchanged(HOME[:150]), "a-2.csv": HOME[150:]}, USERS, ("a.csv",)),  # of three in four
        ({"a-1.csv": _exchanged(HOME[:100]), "a-2.csv": HOME[100:]}, USERS, ()),  # of half: nobody can tell
        ({"ios-1.csv": _exchanged(rows())}, USERS[:30], ()),  # 15 with a position: too few to tell of
        ({"ios-1.csv": _exchanged(rows())}, (), ()),  # of whom nothing may be known
        ({"ios-1.csv": _in_cells(rows())}, USERS, ()),  # a cell has no other way round
        ({"ios-1.csv": _at(rows(), (SINGAPORE[1] - 180, 180 - SINGAPORE[0]))}, USERS, ()),  # H3 would wrap it there
    ],
)
def test_files_with_latitude_and_longitude_exchanged_are_noticed_in_bulk(
    tmp_path: Path,
    settings: Settings,
    files: Mapping[str, list[dict[str, Any]]],
    allowing: Sequence[str],
    swapped: tuple[str, ...],
) -> None:
    log = ConsentLog(tmp_path / "consents.db")
    log.append(entry for user in allowing for entry in given(user, *ALL_PURPOSES))
    placing = Placing(permissions(log, now=NOW), KEY, _towns(settings, LISBON, SINGAPORE), {})
    for name, listens in files.items():
        write_listens(tmp_path / "listens" / name, listens)
    assert measured(tmp_path / "listens", placing, least=20).swapped == swapped


def test_one_listener_in_many_cells_is_one(tmp_path: Path, settings: Settings) -> None:
    """Whose cells lie in regions if latitude and longitude are exchanged, and in the sea as they are."""
    towns = [(latitude, 10.0) for latitude in range(40, 65)]
    log = ConsentLog(tmp_path / "consents.db")
    log.append(given("user-1", *ALL_PURPOSES))
    placing = Placing(permissions(log, now=NOW), KEY, _towns(settings, *towns), {})
    listens = [listen(user_id="user-1", latitude=longitude, longitude=latitude) for latitude, longitude in towns]
    source = write_listens(tmp_path / "ios-1.csv", listens)
    assert measured(source, placing, least=2).swapped == ()
    assert measured(source, placing, least=1).swapped == ("ios.csv",)


@pytest.mark.parametrize("flat", [True, False])
def test_of_a_kind_its_own_files_are_read_alone(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, *, flat: bool
) -> None:
    """Also where files before them have nothing of the night."""
    folder = tmp_path / "listens" / ("" if flat else f"date={NIGHT}")
    names = ["a-1.csv", "b-1.csv", "a-2.csv", "c-1.csv"]
    for name in names:
        write_listens(folder / name, rows())
    if flat:
        write_listens(folder / "a-0.csv", rows(-1))
    read = []
    seen = deliveries._seen

    def watched(checked: CheckedNight, *values: Any, **named: Any) -> deliveries._Seen:
        read.append([part.file.path.name for part in checked.parts])
        return seen(checked, *values, **named)

    monkeypatch.setattr(deliveries, "_seen", watched)
    placing = Placing(permissions(ConsentLog(tmp_path / "consents.db"), now=NOW), KEY, _towns(settings, LISBON), {})
    measured(tmp_path / "listens", placing)
    assert read == [["a-1.csv", "a-2.csv"], ["b-1.csv"], ["c-1.csv"]]


def test_it_holds_no_position_and_no_id(tmp_path: Path) -> None:
    told = repr(measured(write_listens(tmp_path / "listens.parquet", rows())))
    assert [text for text in (*USERS, str(LISBON[0])[:5], str(LISBON[1])[:5], "t1") if text in told] == []


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("2026-10-01.csv", "2026-10-02.csv"), ".csv"),
        (("part-00000-1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed.parquet", "part-00001.parquet"), "part.parquet"),
        (("ios-20261001.ndjson", "ios-20261002.ndjson"), "ios.ndjson"),
        (("listens.csv.gz",), "listens.csv.gz"),
    ],
)
def test_files_of_every_night_are_of_one_kind(names: Sequence[str], kind: str) -> None:
    assert {kind_of(name) for name in names} == {kind}


def test_an_empty_night_has_nothing(tmp_path: Path) -> None:
    empty = write_listens(tmp_path / "listens.parquet", rows(1))
    found = measure(
        read_night(empty, NIGHT + 5 * DAY, catalogue=CATALOGUE, now=NOW + 9 * DAY),
        rows=0,
        files={},
        placing=None,
        seed=1,
        least=20,
    )
    assert (found.rows, found.listeners, found.repeated, set(found.sketch)) == (0, 0, 0.0, {-1})
