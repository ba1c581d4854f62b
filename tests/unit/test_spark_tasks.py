"""What the workers of a cluster do, without a cluster: what leaves a task is sealed, coarse, and quotes nothing."""

import os
import pickle
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from cryptography.exceptions import InvalidTag
from support.arriving import CATALOGUE, KEY, NIGHT, NOW, Quarters, coarse, given, listen, write_listens

from pipelines.night.coarse_listens import coarse_listens
from pipelines.night.engines import spark_tasks as tasks
from recsys.arrivals.coarsening import coarsen
from recsys.arrivals.listens import CheckedNight, read_night
from recsys.arrivals.permission import keep_allowed, permissions
from recsys.cells.contributions import bound
from recsys.cells.earnings import BALANCES
from recsys.consents.log import ConsentLog, Purpose
from recsys.errors import NotReadyError, PrivacyBudgetError
from recsys.schemas import CoarseListens
from recsys.settings import load_settings
from recsys.workspace import listener_of

CANARY = (38.7171237, -9.1398765)  # digits that nothing else can have by chance
OTHER = bytes(32)
SAVED = tasks.Saved(pl.DataFrame(schema=BALANCES))
BUCKETS = 4


def test_what_was_sealed_opens_under_its_key_alone() -> None:
    sealed = tasks.seal({"track": "t1"}, key=KEY)
    assert tasks.opened(sealed, key=KEY) == {"track": "t1"}
    assert tasks.seal({"track": "t1"}, key=KEY) != sealed
    for other, key in ((sealed, OTHER), (sealed[:-1] + bytes([sealed[-1] ^ 1]), KEY), (sealed[:20], KEY)):
        with pytest.raises(InvalidTag):
            tasks.opened(other, key=key)


def allowed_and_coarse(parts: Sequence[pl.LazyFrame], *, log: Path) -> pl.LazyFrame:
    (listens,) = parts
    allowed = keep_allowed(listens, permissions=permissions(ConsentLog(log), now=NOW), key=KEY)
    return coarsen(allowed, night=NIGHT, resolution=5)


def test_no_position_and_no_listener_leaves_the_first_stage_unsealed(tmp_path: Path) -> None:
    ConsentLog(tmp_path / "consents.db").append(given("ana", *Purpose))
    rows = [listen(latitude=CANARY[0], longitude=CANARY[1]), listen(user_id="bea")]
    source = write_listens(tmp_path / "listens.parquet", rows)
    part = read_night(source, NIGHT, catalogue=CATALOGUE, now=NOW).listens
    first = partial(allowed_and_coarse, log=tmp_path / "consents.db")
    left = list(
        tasks.split_parts(iter([row(0, part)]), work=tasks.seal((first, BUCKETS), key=KEY), key=KEY),
    )
    (chunk,) = (thing for _, thing in opened(left))
    assert chunk.columns == CoarseListens.column_names()
    assert chunk["listener"].to_list() == [listener_of("ana", key=KEY)]
    raw = b"".join(batch.serialize() for batch in left)
    unsealed = pickle.dumps(chunk)
    looked_for = [text.encode() for text in ("38.71712", "9.139876", "ana", listener_of("ana", key=KEY))]
    looked_for += [struct.pack("<d", degrees) for degrees in CANARY]
    assert [trace for trace in looked_for if trace in raw] == []
    assert [trace for trace in looked_for if trace in unsealed] == [listener_of("ana", key=KEY).encode()]


def test_a_bucket_is_bounded_of_all_its_rows() -> None:
    """However they are cut into rows of the shuffle, and whatever their order."""
    rows = [(f"{number:032x}", f"t{number % 3}", 5) for number in range(20)] * 2
    bounding = partial(bound, night=NIGHT, atlas=Quarters(), settings=load_settings().privacy, key=KEY)
    expected = bounding(coarse(rows).lazy(), balances=SAVED.balances)
    pieces: list[object] = [coarse(rows[30:]), SAVED, coarse(rows[:7]), coarse(rows[7:30])]
    ((bucket, (buckets, found)),) = opened(bounded(pieces, bounding).to_batches())
    assert (bucket, buckets) == (3, (3,))
    assert found.contributions.equals(expected.contributions)
    assert found.balances.equals(expected.balances)


def test_where_nobody_listened_nothing_comes_of_a_bucket() -> None:
    assert bounded([SAVED], refuse).num_rows == 0


def test_what_went_wrong_in_the_first_stage_is_what_comes_of_every_bucket() -> None:
    """Any of them may lack rows, and may be the first that comes back."""
    work = tasks.seal((refuse_quoting, BUCKETS), key=KEY)
    left = opened(list(tasks.split_parts(iter([row(0, pl.LazyFrame())]), work=work, key=KEY)))
    assert [bucket for bucket, _ in left] == list(range(BUCKETS))
    *_, (_, refused) = left
    ((_, passed_on),) = opened(bounded([coarse([("0" * 32, "t1", 5)]), refused, SAVED], refuse).to_batches())
    assert isinstance(passed_on, NotReadyError)
    assert passed_on.message == refused.message == "a worker of the engine failed (ValueError)"


def test_a_refusal_of_the_domain_comes_back_as_it_is() -> None:
    ((_, refused),) = opened(tasks.call_each(iter([row(0, None)]), work=tasks.seal(refuse, key=KEY), key=KEY))
    assert isinstance(refused, PrivacyBudgetError)
    assert (refused.message, refused.hint) == ("too much", "less")


def test_a_file_that_a_worker_cannot_see_is_told(tmp_path: Path) -> None:
    part = pl.scan_parquet(tmp_path / "listens.parquet")
    work = tasks.seal((first_of, BUCKETS), key=KEY)
    (_, refused), *_ = opened(tasks.split_parts(iter([row(0, part)]), work=work, key=KEY))
    assert isinstance(refused, NotReadyError)
    assert refused.message == "what a worker of the engine reads cannot be used now: it is gone"


@pytest.mark.parametrize("rows", [0, 2, None])
def test_another_copy_of_a_file_is_told_and_not_taken(tmp_path: Path, rows: int | None) -> None:
    """Whatever its time: a worker on another machine may have the same file of another time."""
    source = write_listens(tmp_path / "listens.csv", [listen()])
    arrived = read_night(source, NIGHT, catalogue=CATALOGUE, now=NOW)
    os.utime(source, (0, 0))
    assert [type(thing) for thing in split_of(arrived, log=tmp_path / "consents.db")] == []
    if rows is None:
        source.unlink()
    else:
        write_listens(source, [listen()] * rows)
    found = split_of(arrived, log=tmp_path / "consents.db")
    assert {type(thing) for thing in found} == {NotReadyError}
    assert "is not what it is where the job runs" in found[0].message


def test_a_file_named_from_one_folder_is_found_from_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_listens(tmp_path / "here" / "listens.csv", [listen()])
    ConsentLog(tmp_path / "consents.db").append(given("ana", *Purpose))
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    arrived = read_night(Path("listens.csv"), NIGHT, catalogue=CATALOGUE, now=NOW)
    monkeypatch.chdir(tmp_path / "there")
    (rows,) = split_of(arrived, log=tmp_path / "consents.db")
    assert rows["listener"].to_list() == [listener_of("ana", key=KEY)]


def split_of(arrived: CheckedNight, *, log: Path) -> list[Any]:
    making = partial(
        coarse_listens,
        arrived=replace(arrived, parts=()),
        permissions=permissions(ConsentLog(log), now=NOW),
        key=KEY,
        resolution=5,
    )
    work = tasks.seal((making, BUCKETS), key=KEY)
    return [thing for _, thing in opened(tasks.split_parts(iter([row(0, *arrived.parts)]), work=work, key=KEY))]


def test_a_worker_keeps_what_one_stage_does_and_nothing_of_those_before() -> None:
    for number in range(3):
        work = tasks.seal(partial(add, number), key=KEY)
        assert opened(tasks.call_each(iter([row(0, 1)]), work=work, key=KEY)) == [(0, number + 1)]
    assert tasks._work.cache_info().currsize == 1


@pytest.mark.parametrize("package", ["polars", "polars-h3", "pyarrow"])
def test_what_decides_what_comes_of_a_row_is_compared(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    here = tasks.versions()
    monkeypatch.setattr(tasks, "version", lambda name: "another" if name == package else metadata.version(name))
    assert tasks.versions() == {**here, package: "another"}
    assert here.keys() >= {"Python", "code"}


def add(number: int, other: int) -> int:
    return number + other


def first_of(parts: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    return parts[0]


def refuse(*_: object, **__: object) -> None:
    raise PrivacyBudgetError("too much", hint="less")


def refuse_quoting(_: object) -> None:
    raise ValueError(f"cannot read {CANARY}")


def row(bucket: int, thing: object) -> pa.RecordBatch:
    (batch,) = tasks.table_of([(bucket, thing)], key=KEY).to_batches()
    return batch


def opened(batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch]) -> list[tuple[int, Any]]:
    rows = [row for batch in batches for row in batch.to_pylist()]
    return [(row["bucket"], tasks.opened(row["sealed"], key=KEY)) for row in rows]


def bounded(things: list[object], bounding: object) -> pa.Table:
    table = tasks.table_of([(3, thing) for thing in things], key=KEY)
    return tasks.bound_bucket(table, work=tasks.seal(bounding, key=KEY), key=KEY)
