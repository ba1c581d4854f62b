"""Input in an object store is read as the same files on this machine are, and a store that fails spends nothing."""

import gzip
import secrets
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from support.commands import Run
from support.engines import sail
from support.night import AREA_IN_TOML, NOW, TRACKS, night_of, plays, write_catalogue, write_consents, write_listens
from support.object_store import SECRET, bad_way, mark_folder, new_bucket, put, s3, uploaded

from pipelines.base.job_context import JobContext, Sources
from pipelines.mlflow.logbook import digest_of_all, listens_files
from recsys import locations
from recsys.arrivals import input_tables, listens
from recsys.arrivals.catalogue import read_catalogue
from recsys.arrivals.input_tables import columns_of, files_of
from recsys.arrivals.permission import read_entries
from recsys.causes import not_ready
from recsys.errors import InputError, NotReadyError
from recsys.locations import Location, ObjectAddress, location
from recsys.schemas import to_the_end
from recsys.settings import load_settings
from recsys.workspace import Workspace, digest

REFUSED = "the object store does not answer, broke off, or does not let us in"
USERS = [f"user-{number:03}" for number in range(30)]
NIGHT = night_of(0)


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with s3() as found:
        yield found


@pytest.fixture
def bucket(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name for a new bucket, in an environment that says how to reach it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    locations._store.cache_clear()
    yield f"music-{secrets.token_hex(8)}"
    locations._store.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two nights, one of them in every format, with rows that do not fit; catalogue and consents."""
    write_listens(tmp_path / "in" / "listens", NIGHT, plays(NIGHT, users=USERS))
    write_listens(tmp_path / "in" / "listens", night_of(1), plays(night_of(1), users=USERS))
    partition = tmp_path / "in" / "listens" / f"date={NIGHT}"
    some = [pl.DataFrame(played(hour)) for hour in range(13, 17)]
    some[0].write_csv(partition / "part-1.csv")
    (partition / "part-2.csv.gz").write_bytes(gzip.compress(some[1].write_csv().encode() + b"not,enough\n"))
    some[2].write_ndjson(partition / "part 3 é.ndjson")
    some[3].with_columns(track_id=pl.lit("unknown")).write_csv(partition / "part-4.csv")
    (partition / "_SUCCESS").touch()
    write_catalogue(tmp_path / "in" / "catalogue.csv", TRACKS)
    write_consents(tmp_path / "in" / "consents.csv", USERS)
    return tmp_path / "in"


def played(hour: int) -> list[dict[str, object]]:
    """Plays of a few listeners, each in a minute of its own."""
    rows = plays(NIGHT, users=USERS[:9])
    return [{**each, "played_at": f"{NIGHT}T{hour}:{minute:02}:00Z"} for minute, each in enumerate(rows)]


def counted(workspace: Path, settings: Path) -> pl.DataFrame:
    """Return how many contributions a workspace holds of each night, part and track."""
    nowhere = Sources(workspace, workspace)
    job = JobContext(Workspace(workspace), load_settings(settings, workspace=workspace), nowhere, NOW)
    keys = ["night", "part", "track_id"]
    return job.store.scan([NIGHT, night_of(1)]).group_by(keys).len().sort(keys).collect()


def night(source: Location, catalogue: Location) -> tuple[dict[date, int], pl.DataFrame, object]:
    tracks = read_catalogue(catalogue, max_bad_share=0).tracks
    checked = listens.read_night(source, NIGHT, catalogue=tracks, now=NOW)
    counts = checked.counts()
    rows = checked.listens.collect()
    return listens.nights(source, now=NOW), rows.sort(rows.columns), (counts.rows, counts.bad)


def test_partitions_are_read_as_those_of_a_folder(folder: Path, bucket: str) -> None:
    address = uploaded(folder, bucket)
    mark_folder(address / "listens")
    mark_folder(address / f"listens/date={NIGHT}")
    here = night(folder / "listens", folder / "catalogue.csv")
    there = night(address / "listens", address / "catalogue.csv")
    assert (there[0], there[2]) == (here[0], here[2])
    assert there[1].equals(here[1])
    assert here[2] == (90 + 4 * 27 + 1, {"malformed_line": 1, "unknown_track": 27})


@pytest.mark.parametrize("name", ["date={}/listens.parquet", "date={}/part-1.csv", "date={}/part-2.csv.gz"])
def test_a_file_is_read_as_one_of_this_machine(folder: Path, bucket: str, name: str) -> None:
    address, file = uploaded(folder, bucket), name.format(NIGHT)
    here = night(folder / "listens" / file, folder / "catalogue.csv")
    there = night(address / f"listens/{file}", address / "catalogue.csv")
    assert there[1].equals(here[1])
    assert (len(here[1]) > 0, there[0], there[2]) == (True, here[0], here[2])


def test_consents_and_digests_are_those_of_the_folder(folder: Path, bucket: str) -> None:
    address = uploaded(folder, bucket)
    here = read_entries(folder / "consents.csv", key=bytes(32), max_bad_share=0)
    there = read_entries(address / "consents.csv", key=bytes(32), max_bad_share=0)
    assert list(there.entries) == list(here.entries)
    digests = [digest_of_all(listens_files(each / "listens", nights=[NIGHT])) for each in (folder, address)]
    assert digests[0] == digests[1]


def test_a_whole_night_from_a_bucket(folder: Path, bucket: str, tmp_path: Path, hearabouts: Run) -> None:
    """By the command line; on an engine, too, whose workers read the objects themselves."""
    address = uploaded(folder, bucket)
    settings = tmp_path / "settings.toml"
    few = "[arrivals]\nmax_bad_share = 0.2\n[store]\nbuckets = 4\n"
    settings.write_text(f'{AREA_IN_TOML}{few}[tracking]\nfolder = "{tmp_path}/mlruns"\n')
    input_ = ("--listens", address / "listens", "--catalogue", address / "catalogue.csv", "--consents")
    done = hearabouts(
        "nightly", *input_, address / "consents.csv", "--workspace", tmp_path / "w", "--settings", settings
    )
    assert done.code == 0, done.err
    assert done.summary["nights"] == 2
    assert SECRET not in done.out + done.err
    with_sail = tmp_path / "sail"
    with_sail.mkdir()
    with sail(with_sail) as (remote, _):
        settings.write_text(f'{settings.read_text()}[spark]\nremote = "{remote}"\n')
        other = ("--workspace", tmp_path / "other", "--settings", settings, "--engine", "spark")
        again = hearabouts("nightly", *input_, address / "consents.csv", *other)
    assert again.code == 0, again.err
    here, there = (counted(tmp_path / each, settings) for each in ("w", "other"))
    assert here.equals(there)
    assert here["len"].sum() > 0


def test_what_the_store_refuses_says_so_and_is_tried_again(
    folder: Path, bucket: str, tmp_path: Path, hearabouts: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = uploaded(folder, bucket)
    input_ = ("--catalogue", address / "catalogue.csv", "--workspace", tmp_path / "w")
    no_bucket = hearabouts("nightly", "--listens", f"s3://{bucket}-not/listens", *input_)
    assert (no_bucket.code, "knows no such bucket" in no_bucket.summary["message"]) == (75, True)
    nothing = hearabouts("nightly", "--listens", address / "lessons", *input_)
    assert (nothing.code, nothing.summary["message"]) == (65, f"there is no {address}/lessons")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    locations._store.cache_clear()
    away = hearabouts("nightly", "--listens", address / "listens", *input_)
    assert (away.code, "does not answer" in away.summary["message"]) == (75, True)
    assert not list((tmp_path / "w" / "releases").iterdir())


def test_an_object_that_is_replaced_meanwhile_is_not_taken(folder: Path, bucket: str) -> None:
    address = uploaded(folder, bucket) / f"listens/date={NIGHT}/part-1.csv"
    (file,) = files_of(address)
    file.confirm_unchanged()
    content = bytes(address.open().read())
    put(address, content[::-1])  # as long, and within the same second
    with pytest.raises(NotReadyError, match="changed while it was read"):
        file.confirm_unchanged()
    put(address, b"user_id,track_id,played_at\n")
    with pytest.raises(NotReadyError, match="changed while it was read"):
        file.confirm_unchanged()
    with pytest.raises(NotReadyError, match="of another size"):
        file.confirm_size()


def test_a_damaged_object_is_named(folder: Path, bucket: str) -> None:
    file = folder / "listens" / f"date={NIGHT}" / "listens.parquet"
    file.write_bytes(file.read_bytes()[:400])
    address = uploaded(folder, bucket)
    with pytest.raises(InputError, match=rf"s3://{bucket}/listens/date={NIGHT}/listens.parquet cannot be read"):
        night(address / "listens", address / "catalogue.csv")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz", ".ndjson"])
def test_an_object_that_may_not_be_read_is_not_damaged(
    suffix: str, folder: Path, bucket: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever that happens: when columns are looked at, when rows are read, or all again for a digest."""
    address = uploaded(folder, bucket) / f"listens/date={NIGHT}"
    tracks = read_catalogue(folder / "catalogue.csv", max_bad_share=0).tracks
    with bad_way(environment) as (way, bad):
        monkeypatch.setenv("AWS_ENDPOINT_URL", way)
        locations._store.cache_clear()
        checked = listens.read_night(address.parent, NIGHT, catalogue=tracks, now=NOW)
        assert checked.counts().rows > 0
        bad[suffix] = "refuse"
        with pytest.raises(NotReadyError, match=REFUSED), to_the_end("the night's listens"):
            checked.listens.collect(engine="streaming")
        with pytest.raises(NotReadyError, match=REFUSED):
            checked.counts()
        file = next(file for file in checked.files if file.path.name.endswith(suffix))
        with pytest.raises(OSError, match="object-store") as failed:
            digest(file.path)
        assert not_ready(failed.value) is not None  # as the command line says it
        input_tables._types.cache_clear()
        with pytest.raises(NotReadyError, match=REFUSED):
            columns_of(file)


def test_a_store_that_stalls_is_not_waited_for_for_ever(
    folder: Path, bucket: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Polars, that is: obstore gives up by itself after half a minute."""
    address = uploaded(folder, bucket) / f"listens/date={NIGHT}"
    monkeypatch.setattr(locations, "_PATIENCE_OF_POLARS", {"timeout": "1s", "max_retries": 0})
    with bad_way(environment) as (way, bad):
        monkeypatch.setenv("AWS_ENDPOINT_URL", way)
        locations._store.cache_clear()
        file = next(file for file in files_of(address) if file.path.name.endswith(".parquet"))
        bad[".parquet"] = "stall"
        with pytest.raises(NotReadyError, match=REFUSED):
            columns_of(file)


def test_marks_of_folders_are_none_of_their_files(bucket: str) -> None:
    address = new_bucket(bucket) / "listens"
    mark_folder(address)
    mark_folder(address / f"date={NIGHT}")
    put(address / f"date={night_of(1)}_$folder$", b"")
    put(address / f"date={night_of(1)}" / "listens.csv", b"user_id,track_id,played_at\n")
    assert listens.nights(address, now=NOW) == {NIGHT: 0, night_of(1): 0}


def test_a_name_that_the_client_does_not_take_is_said(bucket: str) -> None:
    address = new_bucket(bucket) / "listens"
    mark_folder(address / "" / "x")  # two slashes in a row
    with pytest.raises(InputError, match="holds an object whose name cannot be read"):
        listens.nights(address, now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://music/listens", "s3://", "s3:///listens", "s3://a:b@music/listens", "gs://music/x?key=secret"),
        *(
            "s3://[music/x",
            "s3://mu sic/x",
            "s3://secret@music/x",
            "s3://music:1/x",
            "s3://music/a//b",
            "s3://music/../x",
        ),
        *("s3://music/\udce9", "s3://music/a\nb", "abfss://music/x"),
    ],
)
def test_an_address_of_another_kind_is_refused_and_not_repeated(text: str, tmp_path: Path, hearabouts: Run) -> None:
    done = hearabouts("nightly", "--listens", text, "--catalogue", "x", "--workspace", tmp_path / "w")
    assert done.code == 2
    assert not any(word in done.err for word in ("secret", "a:b", "ftp", "music"))


def test_addresses_have_the_ways_of_paths() -> None:
    address = location("s3://music/listens/")
    assert address == ObjectAddress("s3://music", "listens")
    assert str(address / "date=2026-10-01") == "s3://music/listens/date=2026-10-01"
    assert ((address / "a").parent, (address / "a").name, address.parent.key) == (address, "a", "")
    assert (address / "a" / "b").relative_to(address).parts == ("a", "b")
    assert str(location("s3://music")) == "s3://music"
    assert location("listens/today") == Path("listens/today")
