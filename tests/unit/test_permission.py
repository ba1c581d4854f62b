"""Permission: which entries a consents file holds, and what of a listen its listener allowed, then and now."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path

import polars as pl
import pytest
from support.arriving import ALL_PURPOSES, KEY, LISBON, NOON, NOW, given, listen, write_listens

from recsys.arrivals.permission import Permissions, keep_allowed, permissions, read_entries, still_allowed
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.errors import InputError
from recsys.schemas import Contributions, Listens
from recsys.workspace import listener_of

LOCAL, CHARTS, MODELS = ALL_PURPOSES
PARTNER = Purpose.PARTNER_STATISTICS
GIVEN, WITHDRAWN = State.GIVEN, State.WITHDRAWN
ANA = listener_of("ana", key=KEY)


@pytest.fixture
def log(tmp_path: Path) -> ConsentLog:
    return ConsentLog(tmp_path / "consents.db")


def listens(*rows: dict[str, object]) -> pl.LazyFrame:
    schema = {name: column.dtype for name, column in Listens.columns().items()}
    return pl.DataFrame([{"cell": None, "ms_played": None, **row} for row in rows], schema=schema).lazy()


def kept(log: ConsentLog, *rows: dict[str, object]) -> list[tuple[object, ...]]:
    """Return what is kept of some plays; what may concern a night is enough to know it of that night's."""
    allowing = permissions(log, now=NOW)
    whole = kept_of(rows, allowing)
    nightly = [kept_of([row], allowing.during(row["played_at"].date())) for row in rows]
    assert sorted(map(str, whole)) == sorted(map(str, chain.from_iterable(nightly)))
    return whole


def kept_of(rows: Iterable[dict[str, object]], allowing: Permissions) -> list[tuple[object, ...]]:
    found = keep_allowed(listens(*rows), permissions=allowing, key=KEY).collect()
    return found.select("listener", "latitude", "longitude", "for_charts", "for_models", "for_partner").rows()


@pytest.mark.parametrize(
    ("purposes", "expected"),
    [
        ((), []),
        ((LOCAL,), []),
        ((CHARTS,), [(ANA, *LISBON, True, False, False)]),
        ((MODELS,), [(ANA, None, None, False, True, False)]),
        ((LOCAL, MODELS), [(ANA, *LISBON, False, True, False)]),
        ((CHARTS, MODELS), [(ANA, *LISBON, True, True, False)]),
        ((PARTNER,), [(ANA, *LISBON, False, False, True)]),
        ((LOCAL, PARTNER), [(ANA, *LISBON, False, False, True)]),
        ((MODELS, PARTNER), [(ANA, *LISBON, False, True, True)]),
    ],
)
def test_what_is_kept_follows_from_the_purposes(
    log: ConsentLog, purposes: tuple[Purpose, ...], expected: list[tuple[object, ...]]
) -> None:
    log.append(given("ana", *purposes))
    assert kept(log, listen()) == expected


def test_what_concerns_a_night_is_what_was_so_at_some_instant_of_it(log: ConsentLog) -> None:
    begun, ended = datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC)  # each at midnight
    for user, last in (("ana", GIVEN), ("bea", WITHDRAWN)):
        who = listener_of(user, key=KEY)
        log.append([Entry(who, CHARTS, GIVEN, begun, "1"), Entry(who, CHARTS, WITHDRAWN, ended, "1")])
        log.append([Entry(who, CHARTS, last, NOW - timedelta(hours=1), "1")])
    of = permissions(log, now=NOW)
    assert [of.during(date(2026, 3, day)).spans["listener"].to_list() for day in range(4, 12)] == [
        *([], [ANA], [ANA], [ANA], [], [], [], [ANA]),
    ]


@pytest.mark.parametrize(
    ("entries", "allowed"),
    [
        ([(0, GIVEN)], True),  # at the very instant of the play
        ([(-1, GIVEN)], False),  # a moment too late for it
        ([(2, GIVEN), (1, WITHDRAWN)], False),  # not then
        ([(2, GIVEN), (-1, WITHDRAWN)], False),  # then, but not now
        ([(2, GIVEN), (-1, WITHDRAWN), (-2, GIVEN)], True),  # then and now again
        ([(2, WITHDRAWN), (-1, GIVEN)], False),  # now, but not then
        ([(2, GIVEN), (0, GIVEN)], True),  # once, though two entries speak of it
        ([(2, GIVEN), (2, WITHDRAWN)], False),  # both at one instant
        ([(2, GIVEN), (-100, WITHDRAWN)], False),  # a clock is wrong: no withdrawal waits for it
        ([(2, WITHDRAWN), (-100, GIVEN)], False),  # a consent does
        ([(2, GIVEN), (-100, WITHDRAWN), (-200, GIVEN)], False),
    ],
)
def test_allowed_means_at_the_time_of_the_play_and_still_now(
    log: ConsentLog, entries: list[tuple[int, State]], allowed: bool
) -> None:
    log.append(Entry(ANA, CHARTS, state, NOON - timedelta(hours=hours), "1") for hours, state in entries)
    assert len(kept(log, listen())) == int(allowed)


def test_purposes_that_change_at_different_times_are_told_apart(log: ConsentLog) -> None:
    log.append(
        [
            *given("ana", MODELS, days=5),
            *given("ana", CHARTS, days=3),
            *given("ana", LOCAL, days=9),
            *given("ana", LOCAL, days=2, state=WITHDRAWN),
        ]
    )
    plays = [listen(played_at=NOW - timedelta(days=days)) for days in (6, 4, 2.5, 1)]
    here, nowhere = LISBON, (None, None)
    assert sorted(kept(log, *plays), key=str) == sorted(
        [(ANA, *nowhere, False, True, False), *[(ANA, *here, True, True, False)] * 2], key=str
    )


def test_of_many_listeners_each_keeps_its_own(log: ConsentLog) -> None:
    users = [f"user-{i}" for i in range(300)]
    for user in users[::3]:
        log.append(given(user, CHARTS))
    found = kept(log, *[listen(user_id=user) for user in users for _ in range(2)])
    assert sorted(row[0] for row in found) == sorted(
        listener_of(user, key=KEY) for user in users[::3] for _ in range(2)
    )


def test_no_user_id_and_no_length_of_a_play_gets_past_permission(log: ConsentLog) -> None:
    frame = keep_allowed(listens(listen()), permissions=permissions(log, now=NOW), key=KEY)
    assert set(frame.collect_schema()) == {
        "listener", "track_id", "played_at", "latitude", "longitude", "cell",
        "for_charts", "for_models", "for_place", "for_partner"
    }  # fmt: skip


def contribution(part: str | None, *, weight: int, trained: bool, listener: str = ANA) -> dict[str, object]:
    return {
        "listener": listener, "night": date(2026, 3, 1), "part": part, "track_id": "t1", "plays": 2,
        "weight": weight, "trained": trained, "partner_part": "P2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("purposes", "expected"),
    [
        ((), None),
        ((LOCAL,), None),
        ((CHARTS,), ("P1", 5, False, None)),
        ((MODELS,), (None, 0, True, None)),
        ((LOCAL, MODELS), ("P1", 0, True, None)),
        (ALL_PURPOSES, ("P1", 5, True, None)),
        ((PARTNER,), (None, 0, False, "P2")),
        ((LOCAL, PARTNER), ("P1", 0, False, "P2")),
        (tuple(Purpose), ("P1", 5, True, "P2")),
    ],
)
def test_stored_contributions_follow_the_state_of_now(
    log: ConsentLog, purposes: tuple[Purpose, ...], expected: tuple[object, ...] | None
) -> None:
    log.append(given("ana", *Purpose, days=40))
    log.append(given("ana", *(set(Purpose) - set(purposes)), days=1, state=WITHDRAWN))
    schema = {name: column.dtype for name, column in Contributions.columns().items()}
    stored = pl.DataFrame([contribution("P1", weight=5, trained=True)], schema=schema).lazy()
    found = still_allowed(stored, permissions=permissions(log, now=NOW)).collect()
    assert Contributions.is_valid(found)
    assert found.select("part", "weight", "trained", "partner_part").rows() == ([] if expected is None else [expected])


@pytest.mark.parametrize(("days", "left"), [(0, 1), (-1, 0)])
def test_what_a_restored_store_holds_of_before_an_erasure_is_gone(log: ConsentLog, days: int, left: int) -> None:
    """Of nights before the first entry that counts: who was erased and gave again allowed none of them."""
    first = contribution("P1", weight=5, trained=True)["night"]
    assert isinstance(first, date)
    since = datetime(first.year, first.month, first.day, 12, tzinfo=UTC) - timedelta(days=days)
    log.append(Entry(ANA, purpose, State.GIVEN, since, "1") for purpose in ALL_PURPOSES)
    schema = {name: column.dtype for name, column in Contributions.columns().items()}
    stored = pl.DataFrame([contribution("P1", weight=5, trained=True)], schema=schema).lazy()
    assert still_allowed(stored, permissions=permissions(log, now=NOW)).collect().height == left


def test_a_contribution_of_a_listener_without_entries_is_gone(log: ConsentLog) -> None:
    schema = {name: column.dtype for name, column in Contributions.columns().items()}
    stored = pl.DataFrame([contribution("P1", weight=5, trained=True)], schema=schema).lazy()
    assert still_allowed(stored, permissions=permissions(log, now=NOW)).collect().is_empty()


def consent(**changes: object) -> dict[str, object]:
    row = {
        "user_id": "ana",
        "purpose": "local_trends",
        "state": "given",
        "at": "2026-03-01T00:00:00Z",
        "notice_version": "1",
    }
    return {**row, **changes}


@pytest.mark.parametrize("name", ["consents.parquet", "consents.csv", "consents.ndjson"])
def test_entries_are_read_from_every_format_and_bad_rows_counted_by_reason(name: str, tmp_path: Path) -> None:
    bad = [
        consent(user_id=None),
        consent(purpose="newsletter"),
        consent(purpose=None),
        consent(state="maybe"),
        consent(at="soon"),
        consent(notice_version=None),
    ]
    source = write_listens(tmp_path / name, [consent(), *bad, consent(user_id="bo", state="withdrawn")])
    read = read_entries(source, key=KEY, max_bad_share=0.8)
    assert read.counts.rows == read.rows == 8
    assert read.bad == {
        "missing_notice": 1, "missing_user": 1, "unknown_purpose": 2, "unknown_state": 1, "unparsable_time": 1
    }  # fmt: skip
    assert {(entry.listener, entry.purpose, entry.state) for entry in read.entries} == {
        (ANA, LOCAL, GIVEN),
        (listener_of("bo", key=KEY), LOCAL, WITHDRAWN),
    }


def test_importing_the_same_file_twice_changes_nothing(log: ConsentLog, tmp_path: Path) -> None:
    source = write_listens(tmp_path / "c.csv", [consent(user_id=f"user-{i}") for i in range(500)])
    assert [log.append(read_entries(source, key=KEY, max_bad_share=0).entries) for _ in range(2)] == [500, 0]


def test_a_file_of_unknown_purposes_is_refused_without_naming_a_user(tmp_path: Path) -> None:
    source = write_listens(tmp_path / "consents.csv", [consent(purpose="newsletter")] * 3 + [consent()])
    with pytest.raises(InputError, match=r"3 of 4 rows .* \(3 unknown_purpose\)") as raised:
        read_entries(source, key=KEY, max_bad_share=0.05)
    assert raised.value.exit_code == 65
    assert "ana" not in raised.value.message.replace(str(source), "")
