"""Whatever is decided, in whatever order it is written: both databases say what a few lines of Python say."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.consents.log import Channel, ConsentLog, Entry, Purpose, State

T0 = datetime(2026, 3, 1, tzinfo=UTC)
INSTANTS = [T0 + timedelta(microseconds=number) for number in range(5)]
NOTICES = ["1", "2", "3"]
PURPOSES = [Purpose.LOCAL_TRENDS, Purpose.PERSONALISATION]

Decision = tuple[int, Purpose, State, datetime, str, Channel]

decisions = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(PURPOSES),
        st.sampled_from(State),
        st.sampled_from(INSTANTS),
        st.sampled_from(NOTICES),
        st.sampled_from(Channel),
    ),
    max_size=12,
)


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | str:
    if request.param == "sqlite":
        return tmp_path_factory.mktemp("log") / "consents.db"
    return str(request.getfixturevalue("postgresql").new_database())


@pytest.fixture(scope="module")
def names() -> Iterator[int]:
    """Listeners of their own for every example: a log cannot be emptied."""
    return count()


def allowed(rows: list[Decision], who: int, purpose: Purpose, at: datetime, notices: set[str]) -> bool:
    """What was allowed is allowed now unless any later entry, by whatever clock, is a no."""
    later = [row for row in rows if row[0] == who and row[1] == purpose and row[3] > at]
    return was_allowed(rows, who, purpose, at, notices) and all(row[2] == State.GIVEN for row in later)


def was_allowed(rows: list[Decision], who: int, purpose: Purpose, at: datetime, notices: set[str]) -> bool:
    """The rule, word for word: the latest instant counts, and every entry of it must be a yes that is in force."""
    past = [row for row in rows if row[0] == who and row[1] == purpose and row[3] <= at]
    last = [row for row in past if row[3] == max(row[3] for row in past)]
    return bool(last) and all(row[2] == State.GIVEN and row[4] in notices for row in last)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=decisions,
    shuffled=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(0, 12), max_size=3),
    notices=st.sets(st.sampled_from(NOTICES)),
    imported=st.booleans(),
)
def test_any_order_and_any_pieces_give_the_same_state(
    place: Path | str,
    names: Iterator[int],
    rows: list[Decision],
    shuffled: object,
    cuts: list[int],
    notices: set[str],
    imported: bool,
) -> None:
    """All of files, or all of the endpoint; between the two the order counts (below)."""
    log, prefix = ConsentLog(place, notices=notices), f"{next(names):08x}"
    way = Channel.IMPORT if imported else Channel.API
    entries = [replace(Entry(f"{prefix}{who}", *rest), channel=way) for who, *rest in rows]
    shuffled.shuffle(entries)  # type: ignore[attr-defined]
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(entries)], strict=True):
        log.append(entries[start:end])
    for who in range(3):
        for at in INSTANTS:
            expected = {purpose: allowed(rows, who, purpose, at, notices) for purpose in PURPOSES}
            standings = log.standings(f"{prefix}{who}", at=at)
            assert {purpose: log.allows(f"{prefix}{who}", purpose, at=at) for purpose in PURPOSES} == expected
            assert {purpose: standings[purpose].state == State.GIVEN for purpose in PURPOSES} == expected
    for purpose in PURPOSES:
        told = [(who, given_) for who, _, given_ in log.history(purpose, until=INSTANTS[-1]) if who.startswith(prefix)]
        points = sorted({(who, at) for who, purpose_, _, at, *_ in rows if purpose_ == purpose})
        assert told == [(f"{prefix}{who}", was_allowed(rows, who, purpose, at, notices)) for who, at in points]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=decisions)
def test_after_a_withdrawal_nothing_that_is_known_can_allow_it(
    place: Path | str, names: Iterator[int], rows: list[Decision]
) -> None:
    log, prefix = ConsentLog(place), f"{next(names):08x}"
    log.append(Entry(f"{prefix}{who}", *rest) for who, *rest in rows)
    log.decide(Entry(f"{prefix}0", PURPOSES[0], State.WITHDRAWN, INSTANTS[2], "2"))
    assert not any(log.allows(f"{prefix}0", PURPOSES[0], at=at) for at in INSTANTS[2:])
    assert not log.decide(Entry(f"{prefix}0", PURPOSES[0], State.WITHDRAWN, INSTANTS[2], "3"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=decisions)
def test_no_file_gives_back_what_was_withdrawn_here_later_or_at_the_same_instant(
    place: Path | str, names: Iterator[int], rows: list[Decision]
) -> None:
    log, listener = ConsentLog(place), f"{next(names):08x}"
    no = Entry(listener, PURPOSES[0], State.WITHDRAWN, INSTANTS[2], "2", Channel.API)
    log.decide(no)
    of_files = [replace(no, state=row[2], at=row[3], notice_version=row[4], channel=Channel.IMPORT) for row in rows]
    log.append(of_files)
    later = [entry for entry in of_files if entry.at > no.at]
    held = [entry for entry in log.entries(listener) if entry != no]
    assert not [entry for entry in held if entry.state == State.GIVEN and entry.at <= no.at]
    assert {entry for entry in held if entry.at > no.at} == set(later)
    if all(entry.state == State.WITHDRAWN for entry in later):
        assert not any(log.allows(listener, PURPOSES[0], at=at) for at in INSTANTS)
