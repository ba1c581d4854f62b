"""The snapshot is verified before it is served, and swapped without a failed request."""

import gc
import io
import json
import shutil
import sqlite3
import threading
import weakref
from contextlib import closing

import h3
import pytest
from support.edge import ALENTEJO, LISBON, items, publish

from recsys.errors import NotReadyError
from recsys.serving.middleware.access_log import json_log
from recsys.serving.snapshot.once import once_a_snapshot
from recsys.serving.snapshot.snapshot_reader import Current, Published, open_published
from recsys.workspace import MANIFEST, Workspace, replace_file, write_manifest


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def current(workspace: Workspace, stream: io.StringIO) -> Current:
    return Current(workspace, log=json_log(stream))


def test_nothing_published_is_not_ready(workspace: Workspace, current: Current) -> None:
    for ask in (current.get, current.check, lambda: open_published(workspace)):
        with pytest.raises(NotReadyError) as refusal:
            ask()
        assert refusal.value.hint == "Run `hearabouts nightly` first."


def test_the_first_snapshot_is_picked_up(workspace: Workspace, current: Current) -> None:
    with pytest.raises(NotReadyError):
        current.get()
    name = publish(workspace, size=1)
    assert current.get().id == current.check().id == name
    assert current.get() is current.get()
    assert (current.get().nights, current.get().as_of, current.get().charts) == (7, "2026-10-31", ("popular",))


def test_a_new_snapshot_is_picked_up_and_the_old_one_still_read(workspace: Workspace, current: Current) -> None:
    old_id = publish(workspace, as_of="2026-10-30", size=1)
    old = current.get()
    new_id = publish(workspace, size=3)
    assert current.get().id == new_id
    shutil.rmtree(workspace.snapshots / old_id)
    assert old.items(LISBON, chart="popular") == items(LISBON, size=1)
    assert current.get().items(LISBON, chart="popular") == items(LISBON, size=3)


def damage_database(workspace: Workspace, name: str) -> None:
    path = workspace.snapshots / name / "charts.db"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def remove_database(workspace: Workspace, name: str) -> None:
    (workspace.snapshots / name / "charts.db").unlink()


def remove_manifest(workspace: Workspace, name: str) -> None:
    (workspace.snapshots / name / MANIFEST).unlink()


def empty_manifest(workspace: Workspace, name: str) -> None:
    (workspace.snapshots / name / MANIFEST).write_text("{}")


def manifest_of_another(workspace: Workspace, name: str) -> None:
    write_manifest(workspace.snapshots / name, {"id": "another", "as_of": "2026-10-31", "nights": []})


def manifest_without_database(workspace: Workspace, name: str) -> None:
    (workspace.snapshots / name / MANIFEST).write_text(
        json.dumps({"id": name, "as_of": "2026-10-31", "nights": [], "files": {}})
    )


def no_database_at_all(workspace: Workspace, name: str) -> None:
    (workspace.snapshots / name / "charts.db").write_bytes(b"no database" * 100)
    write_manifest(workspace.snapshots / name, {"id": name, "as_of": "2026-10-31", "nights": []})


def tables_of_an_earlier_version(workspace: Workspace, name: str) -> None:
    with closing(sqlite3.connect(workspace.snapshots / name / "charts.db")) as database:
        database.execute("ALTER TABLE lists RENAME TO charts")
    write_manifest(workspace.snapshots / name, {"id": name, "as_of": "2026-10-31", "nights": []})


def pointer_elsewhere(workspace: Workspace, name: str) -> None:
    replace_file(workspace.current, b"../snapshots/" + name.encode())


def pointer_to_nothing(workspace: Workspace, name: str) -> None:
    replace_file(workspace.current, b"2026-11-01-00000000")


def pointer_of_junk(workspace: Workspace, name: str) -> None:
    replace_file(workspace.current, b"\xff\xfe\0")


def manifest_of_another_shape(workspace: Workspace, name: str) -> None:
    (workspace.snapshots / name / MANIFEST).write_text('{"files": []}')


def empty_pointer(workspace: Workspace, name: str) -> None:
    replace_file(workspace.current, b"")


@pytest.mark.parametrize(
    "damage",
    [
        damage_database,
        remove_database,
        remove_manifest,
        empty_manifest,
        manifest_of_another,
        manifest_without_database,
        no_database_at_all,
        tables_of_an_earlier_version,
        pointer_elsewhere,
        pointer_to_nothing,
        empty_pointer,
        pointer_of_junk,
        manifest_of_another_shape,
    ],
)
def test_a_damaged_snapshot_is_not_served_and_the_one_before_goes_on(
    workspace: Workspace, current: Current, stream: io.StringIO, damage
) -> None:
    good = publish(workspace, as_of="2026-10-30", size=1)
    assert current.get().id == good
    bad = publish(workspace, size=1, point=False)
    replace_file(workspace.current, bad.encode())
    damage(workspace, bad)

    assert [current.get().id for _ in range(3)] == [good] * 3
    with pytest.raises(NotReadyError):
        current.check()
    with pytest.raises(NotReadyError):
        open_published(workspace)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["snapshot", "snapshot refused"]

    publish(workspace, size=2)
    assert current.check().items(LISBON, chart="popular") == items(LISBON, size=2)


def test_beside_a_broken_snapshot_the_newest_whole_one_is_what_a_server_begins_with(
    workspace: Workspace, current: Current, stream: io.StringIO
) -> None:
    publish(workspace, as_of="2026-10-29", size=1)
    good = publish(workspace, as_of="2026-10-30", size=1)
    bad = publish(workspace, size=2)
    damage_database(workspace, bad)
    assert current.get().id == good
    found, refusal = current.state()
    assert (found, bad in str(refusal)) == (current.get(), True)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()][:2] == [
        "snapshot refused",
        "snapshot of before",
    ]
    whole = publish(workspace, size=3)
    assert current.check().id == whole


@pytest.mark.parametrize("table", ["nearby", "lines", "cells"])
def test_a_snapshot_of_another_shape_is_refused_in_words(workspace: Workspace, table: str) -> None:
    folder = workspace.snapshots / publish(workspace, size=1)
    with closing(sqlite3.connect(folder / "charts.db")) as database, database:
        database.execute(f"DROP TABLE {table}")
    facts = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, {key: value for key, value in facts.items() if key != "files"})
    with pytest.raises(NotReadyError, match=f"of another shape: it has no {table}"):
        open_published(workspace)
    write_manifest(folder, {**facts, "format": "99"})
    with pytest.raises(NotReadyError, match="is of version 99, this release reads"):
        open_published(workspace)


def test_a_snapshot_of_before_lists_were_measured_is_served(workspace: Workspace) -> None:
    folder = workspace.snapshots / publish(workspace, size=1)
    with closing(sqlite3.connect(folder / "charts.db")) as database, database:
        database.execute("DROP TABLE sizes")
    facts = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, {**facts, "format": "6"}, names=["charts.db"])
    found = open_published(workspace)
    assert (found.items(LISBON, chart="popular"), found.most_bytes(1)) == (items(LISBON, size=1), 0)


def test_a_snapshot_of_before_pages_were_kept_leads_to_the_same(workspace: Workspace) -> None:
    folder = workspace.snapshots / publish(workspace, size=3)
    kept = open_published(workspace).pages([0, 2], [])
    of_lisbon = items(LISBON, size=3)
    assert [page["page"][:16] for page in kept] == ["/songs/song-1-of", "/songs/song-3-of"]
    with closing(sqlite3.connect(folder / "charts.db")) as database, database:
        database.execute("DROP TABLE pages")
    facts = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, {**facts, "format": "8"}, names=["charts.db"])
    assert open_published(workspace).pages([0, 2], [of_lisbon[0], of_lisbon[2]]) == kept


def test_a_restored_snapshot_is_noticed_though_the_pointer_did_not_move(workspace: Workspace, current: Current) -> None:
    name = publish(workspace, size=1)
    shutil.move(workspace.snapshots / name, workspace.root / "aside")
    with pytest.raises(NotReadyError):
        current.get()
    shutil.move(workspace.root / "aside", workspace.snapshots / name)
    assert current.get().id == name


def test_a_lost_pointer_keeps_the_last_snapshot(workspace: Workspace, current: Current) -> None:
    name = publish(workspace, size=1)
    current.get()
    workspace.current.unlink()
    assert current.get().id == name
    with pytest.raises(NotReadyError):
        current.check()


def test_many_threads_read_while_snapshots_are_swapped(workspace: Workspace, current: Current) -> None:
    """Whatever a thread gets is whole: the night it names and the charts it holds belong together."""
    sizes = {f"2026-10-{day:02d}": day for day in range(1, 13)}
    publish(workspace, as_of="2026-10-01", size=1)
    wrong: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                published = current.get()
                assert published.items(LISBON, chart="popular") == items(LISBON, size=sizes[published.as_of])
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for as_of, size in sizes.items():
        publish(workspace, as_of=as_of, size=size)
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert current.get().as_of == "2026-10-12"


def test_what_a_thread_reads_is_what_it_asked_for(workspace: Workspace) -> None:
    """Without turns, threads of one connection get rows of one another or an InterfaceError: at once on Python 3.13."""
    publish(workspace, size=100)
    published = open_published(workspace)
    cell, wrong = h3.cell_to_parent(ALENTEJO, 4), list[object]()

    def read(place: str) -> None:
        try:
            for _ in range(500):
                lists = published.read(place)
                if lists is None or lists.line("popular", rank=100) != expected[place]:
                    wrong.append(place)
                if published.country_of(cell) != "PT":
                    wrong.append(cell)
        except Exception as error:
            wrong.append(error)

    expected = {place: published.read(place).line("popular", rank=100) for place in (LISBON, "PT", "world")}
    assert all(line is not None and line.place == place for place, line in expected.items())
    threads = [threading.Thread(target=read, args=(place,)) for place in (*expected, *expected)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_snapshot_nobody_holds_is_closed(workspace: Workspace) -> None:
    publish(workspace, size=1)
    published: Published | None = open_published(workspace)
    database = published._database._connection  # type: ignore[union-attr]
    published = None
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.execute("SELECT 1")


def test_a_snapshot_cannot_be_written_to(workspace: Workspace) -> None:
    publish(workspace, size=1)
    published = open_published(workspace)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        published._database._connection.execute("DELETE FROM lists")


def test_what_is_worked_out_once_keeps_no_snapshot_open(workspace: Workspace) -> None:
    publish(workspace)
    asked = []
    as_of = once_a_snapshot(lambda published: (asked.append(published.id), published.as_of)[1])
    published = open_published(workspace)
    assert as_of(published) == as_of(published) == published.as_of
    assert len(asked) == 1
    gone = weakref.ref(published)
    del published
    gc.collect()
    assert gone() is None
