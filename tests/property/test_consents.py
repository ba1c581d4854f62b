"""Whatever is decided, in whatever order it is written: both databases say what a few lines of Python say."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.arrivals import permission
from recsys.consents.consent_tables import microseconds
from recsys.consents.log import Channel, ConsentLog, Entry, Purpose, State
from recsys.consents.marks import Marks, about

T0 = datetime(2026, 3, 1, tzinfo=UTC)
INSTANTS = [T0 + timedelta(microseconds=number) for number in range(5)]
NOTICES = ["1", "2", "3"]
PURPOSES = [Purpose.LOCAL_TRENDS, Purpose.PERSONALISATION]

Decision = tuple[int, Purpose, State, datetime, str, Channel]

LONG = [T0 + timedelta(microseconds=number) for number in range(12)]


def _decisions(*, listeners: int, instants: list[datetime], most: int) -> st.SearchStrategy[list[Decision]]:
    one = st.tuples(
        st.integers(0, listeners - 1),
        st.sampled_from(PURPOSES),
        st.sampled_from(State),
        st.sampled_from(instants),
        st.sampled_from(NOTICES),
        st.sampled_from(Channel),
    )
    return st.lists(one, max_size=most)


decisions = _decisions(listeners=3, instants=INSTANTS, most=12)
long_decisions = _decisions(listeners=2, instants=LONG, most=40)
marked_nos = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([None, *PURPOSES]), st.sampled_from(INSTANTS)), max_size=3
)


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | str:
    if request.param == "sqlite":
        return tmp_path_factory.mktemp("log") / "consents.db"
    return str(request.getfixturevalue("postgresql").new_database())


@pytest.fixture(scope="module")
def whole_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a log is that is never compacted."""
    return tmp_path_factory.mktemp("whole") / "consents.db"


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


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=decisions,
    notices=st.sets(st.sampled_from(NOTICES)),
    until=st.sampled_from(INSTANTS),
    nos=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([None, *PURPOSES]), st.sampled_from(INSTANTS)), max_size=3
    ),
)
def test_what_a_night_reads_at_once_is_the_history(
    place: Path | str,
    names: Iterator[int],
    tmp_path: Path,
    rows: list[Decision],
    notices: set[str],
    until: datetime,
    nos: list[tuple[int, Purpose | None, datetime]],
) -> None:
    """Also where erasures and withdrawals left marks of which the log knows nothing."""
    marks, name = Marks(tmp_path / "marks.db", key=bytes(32)), f"{next(names):08x}"
    listeners = [f"{first}{name}" for first in ("00", "0f", "ff")]  # of the first, the second, the last that are read
    ConsentLog(place).append(Entry(listeners[who], *rest) for who, *rest in rows)
    for who, purpose, at in nos:
        marks.record(about(listeners[who], purpose) if purpose else listeners[who], at=at)
    log = ConsentLog(place, notices=notices, marks=marks)
    expected: dict[tuple[str, str, int], bool] = {}
    for purpose in Purpose:
        for who, at, given_ in log.history(purpose, until=until):
            expected[who, purpose, at] = given_ and expected.get((who, purpose, at), True)
    found: dict[tuple[str, str, int], bool] = {}
    [answers] = (permission._unmarked(some, marked=log.marked()) for some in permission._answers(log, now=until))
    for who, purpose_, at, given_ in answers.iter_rows():
        told = who, purpose_, min(at, microseconds(until))
        found[told] = bool(given_) and found.get(told, True)
    assert found == expected


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=long_decisions,
    later=long_decisions,
    settled=st.sampled_from(LONG),
    kept=st.integers(1, 3),
    notices=st.sets(st.sampled_from(NOTICES)),
)
def test_what_is_compacted_is_missed_by_nobody(
    place: Path | str,
    names: Iterator[int],
    whole_place: Path,
    rows: list[Decision],
    later: list[Decision],
    settled: datetime,
    kept: int,
    notices: set[str],
) -> None:
    """Permissions, receipts, and what becomes of later decisions and files: as in a log that keeps everything."""
    prefix = f"{next(names):08x}"
    whole, log = ConsentLog(whole_place, notices=notices), ConsentLog(place, notices=notices)
    before, after = ([Entry(f"{prefix}{who}", *rest) for who, *rest in some] for some in (rows, later))
    for each in (whole, log):
        each.append(before)
    log.compact(before=settled, kept=kept)
    same = partial(_answers, prefix=prefix, since=settled)
    assert same(log, kept=kept) == same(whole, kept=kept)
    for each in (whole, log):  # by files, and here
        each.append(entry for entry in after if entry.channel == Channel.IMPORT)
        for entry in after:
            if entry.channel != Channel.IMPORT:
                each.decide(replace(entry, at=max(entry.at, settled)))
    assert same(log, kept=1) == same(whole, kept=1)  # a file may bring back what was compacted, and not all of it


def _answers(log: ConsentLog, *, prefix: str, since: datetime, kept: int) -> list[Any]:
    """Return everything that anybody asks of a log about an instant and later ones, and what receipts promise."""
    instants, found = [instant for instant in LONG if instant >= since], list[Any]()
    for who in (f"{prefix}{number}" for number in range(2)):
        found += [ask(who, at=at) for ask in (log.standings, log.choices, log.newest) for at in instants]
        for purpose in PURPOSES:
            told = [entry for entry in log.entries(who) if entry.purpose == purpose]
            found += [told[:1], told[-kept:], [entry for entry in told if entry.at >= since]]
    return [*found, *(_states(log, purpose, prefix=prefix, since=since) for purpose in PURPOSES)]


def _states(log: ConsentLog, purpose: Purpose, *, prefix: str, since: datetime) -> dict[tuple[str, datetime], bool]:
    """Return who is told to have allowed a purpose at every instant since one; not there: nothing was decided yet."""
    told: dict[tuple[str, datetime], bool] = {}
    own = (entry for entry in log.history(purpose, until=LONG[-1]) if entry[0].startswith(prefix))
    for who, at, given_ in own:  # of all examples before this one there are ever more
        told |= {(who, instant): given_ for instant in LONG if instant >= since and microseconds(instant) >= at}
    return told


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
