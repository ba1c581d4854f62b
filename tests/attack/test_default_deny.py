"""Promise 2: the default is no. Everything that is not an explicit, standing yes contributes nothing."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from support.arriving import ALL_PURPOSES, KEY, NIGHT, NOW, Quarters, arrived, coarse, given, listen, write_listens

from recsys.arrivals.permission import permissions, read_entries, still_allowed
from recsys.cells.contributions import bound
from recsys.cells.earnings import BALANCES
from recsys.consents.log import ConsentLog, Purpose, State
from recsys.errors import InputError
from recsys.settings import load_settings
from recsys.weights import FULL
from recsys.workspace import listener_of


@pytest.fixture
def log(tmp_path: Path) -> ConsentLog:
    return ConsentLog(tmp_path / "consents.db")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_listens(tmp_path / "listens.parquet", [listen(track_id=f"t{i}") for i in range(5)])


def test_an_empty_log_lets_nothing_through(log: ConsentLog, source: Path) -> None:
    assert arrived(source, log).is_empty()


def test_a_log_without_the_listener_lets_nothing_through(log: ConsentLog, source: Path) -> None:
    log.append(given("somebody-else", *Purpose))
    assert arrived(source, log).is_empty()


@pytest.mark.parametrize(
    "purposes",
    [(), (Purpose.LOCAL_TRENDS,), (Purpose.PARTNER_STATISTICS,), (Purpose.LOCAL_TRENDS, Purpose.PARTNER_STATISTICS)],
)
def test_a_purpose_stands_for_no_other(log: ConsentLog, source: Path, purposes: tuple[Purpose, ...]) -> None:
    log.append(given("ana", *purposes))
    found = arrived(source, log)
    if Purpose.PARTNER_STATISTICS in purposes:
        assert found.select("cell", "for_charts", "for_models").unique().rows() == [(None, False, False)]
        assert found["partner_cell"].null_count() == 0
    else:
        assert found.is_empty()


def test_training_alone_sees_no_place(log: ConsentLog, source: Path) -> None:
    log.append(given("ana", Purpose.PERSONALISATION))
    found = arrived(source, log)
    assert found.height == 5
    assert found["cell"].null_count() == 5
    assert not found["for_charts"].any()


def test_consent_does_not_reach_back(log: ConsentLog, source: Path) -> None:
    log.append(given("ana", *Purpose, days=0))
    assert arrived(source, log).is_empty()


def test_withdrawn_now_means_never_counted_even_for_plays_made_while_it_was_given(
    log: ConsentLog, source: Path
) -> None:
    log.append([*given("ana", *Purpose, days=30), *given("ana", *Purpose, days=0, state=State.WITHDRAWN)])
    assert arrived(source, log).is_empty()


def test_another_key_is_another_listener(log: ConsentLog, source: Path) -> None:
    entries = given("ana", *Purpose)
    log.append(type(e)(listener_of("ana", key=b"another"), e.purpose, e.state, e.at, e.notice_version) for e in entries)
    assert arrived(source, log).is_empty()


@pytest.mark.parametrize("purpose", ["image", "contact", "LOCAL_TRENDS", " local_trends", "all", "*", ""])
def test_what_is_not_a_purpose_word_for_word_gives_nothing(purpose: str, tmp_path: Path) -> None:
    row = {"user_id": "ana", "purpose": purpose, "state": "given", "at": "2026-01-01T00:00:00Z", "notice_version": "1"}
    file = write_listens(tmp_path / "consents.csv", [row])
    assert list(read_entries(file, key=KEY, max_bad_share=1).entries) == []
    with pytest.raises(InputError, match="unknown_purpose"):
        read_entries(file, key=KEY, max_bad_share=0.05)


@pytest.mark.parametrize("state", ["Given", "yes", "true", "1", "given ", ""])
def test_what_is_not_given_word_for_word_gives_nothing(state: str, tmp_path: Path) -> None:
    row = {
        "user_id": "ana",
        "purpose": "local_trends",
        "state": state,
        "at": "2026-01-01T00:00:00Z",
        "notice_version": "1",
    }
    file = write_listens(tmp_path / "consents.csv", [row])
    assert list(read_entries(file, key=KEY, max_bad_share=1).entries) == []


def test_what_was_stored_with_consent_is_not_used_without_it(log: ConsentLog) -> None:
    who = listener_of("ana", key=KEY)
    balances, privacy = pl.DataFrame(schema=dict(BALANCES)), load_settings().privacy
    found = bound(
        coarse([(who, "t1", 1)]).lazy(), night=NIGHT, atlas=Quarters(), balances=balances, settings=privacy, key=KEY
    )
    stored = found.contributions
    assert stored["weight"].to_list() == [FULL]

    def left(hours: float) -> pl.DataFrame:
        return still_allowed(stored.lazy(), permissions=permissions(log, now=NOW + timedelta(hours=hours))).collect()

    assert left(0).is_empty()
    log.append(given("ana", *ALL_PURPOSES, days=2))
    assert left(0).equals(stored)
    log.append(given("ana", *ALL_PURPOSES, days=-1 / 24, state=State.WITHDRAWN))
    assert left(0).is_empty()  # whatever clock it was dated by
    assert left(1).is_empty()
