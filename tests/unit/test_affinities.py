"""The private file: what was written is read, one row at a time, whole or not at all, and gone when it is erased."""

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge import remember
from support.sealing import content_of, sealed_in

from recsys.artifacts import affinities as module
from recsys.artifacts.affinities import BLANK, NO_TRACK, Row, erase, nobody, open_affinities, pointer_of, write
from recsys.errors import NotReadyError
from recsys.sealed_files import SealedFiles
from recsys.workspace import Workspace, listener_of

ANA, BEN, CLEO = ({"t1": 2.5, "t3": 0.5}, {"t2": 1.0}, {"t1": 0.0, "t2": 3.0, "t3": 1.5})


def at_rest(workspace: Workspace) -> SealedFiles:
    return sealed_in(workspace.private)


def files(workspace: Workspace) -> list[Path]:
    return [path for path in (workspace.private / "tastes").rglob("*") if path.is_file()]


def who(user: str, workspace: Workspace) -> str:
    return listener_of(user, key=workspace.listener_key())


def test_everybody_finds_what_was_written(workspace: Workspace) -> None:
    remember(workspace, {"ana": ANA, "ben": BEN, "cleo": CLEO}, played=["t3"])
    found = open_affinities(at_rest(workspace))
    assert found.told(who("ana", workspace)) == [("t1", 2.5, False), ("t3", 0.5, True)]
    assert found.told(who("ben", workspace)) == [("t2", 1.0, False)]
    assert found.told(who("cleo", workspace)) == [("t2", 3.0, False), ("t3", 1.5, True), ("t1", 0.0, False)]
    assert found.columns_of(["t3", "t1", "unheard of"]).tolist() == [2, 0, NO_TRACK]
    assert (found.night, found.id) == ("2026-10-31", "2026-10-31")


def test_nobody_else_has_a_row(workspace: Workspace) -> None:
    remember(workspace, {"ana": ANA, "ben": BEN})
    found = open_affinities(at_rest(workspace))
    ana = who("ana", workspace)
    near = ana[:-2] + ("01" if ana.endswith("00") else "00")
    for listener in (who("dora", workspace), "0" * 32, "f" * 32, near):
        assert found.row(listener) is BLANK
    assert nobody().row("0" * 32) is BLANK


def test_a_key_that_ends_in_zeros_is_found(workspace: Workspace) -> None:
    """numpy's bytes hide zeros at their end; keys of one length are told apart all the same."""
    affinities = remember(workspace, {"ana": ANA, "ben": BEN})
    keys = ["aa" * 15 + "00", "aa" * 15 + "01"]
    affinities.listeners[:] = [bytes.fromhex(key) for key in keys]
    write(at_rest(workspace), affinities)
    assert sorted(len(open_affinities(at_rest(workspace)).told(key)) for key in keys) == [1, 2]
    assert open_affinities(at_rest(workspace)).row("aa" * 14 + "0000") is BLANK
    assert open_affinities(at_rest(workspace)).without([keys[0]]).listeners.tolist() == [bytes.fromhex(keys[1])]


@given(row=st.dictionaries(st.integers(0, 40), st.tuples(st.floats(0, 5, width=16), st.booleans()), min_size=1))
def test_a_row_tells_of_any_tracks_what_a_mapping_would(row: dict[int, tuple[float, bool]]) -> None:
    known = sorted(row)
    columns = np.array([*known, NO_TRACK, NO_TRACK], dtype=np.int32)
    closeness = np.array([*(row[column][0] for column in known), 0, 0], dtype=np.float16)
    played = np.array([*(row[column][1] for column in known), True, True])
    asked = np.array([*range(42), NO_TRACK], dtype=np.int32)
    near, heard = Row(columns, closeness, played, known=True).at(asked)
    expected = [row.get(column, (0.0, False)) for column in asked.tolist()]
    assert list(zip(near.tolist(), heard.tolist(), strict=True)) == expected


def test_only_the_owner_can_read_it(workspace: Workspace) -> None:
    remember(workspace, {"ana": ANA})
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(workspace)} == {0o600}
    folders = [path for path in (workspace.private / "tastes").rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in [workspace.private / "tastes", *folders]} == {0o700}


def test_a_row_costs_what_the_page_says(workspace: Workspace) -> None:
    """16 bytes of key and 7 a track, as the module says; the rest does not grow with the listeners."""
    affinities = remember(workspace, {f"user-{number}": CLEO for number in range(50)})
    sizes = [
        array.nbytes for array in (affinities.listeners, affinities.columns, affinities.closeness, affinities.played)
    ]
    assert sum(sizes) == 50 * (16 + 7 * 3)


def test_the_same_tastes_are_the_same_files(workspace: Workspace) -> None:
    remember(workspace, {"ana": ANA})
    before = {path: path.read_bytes() for path in files(workspace)}
    remember(workspace, {"ana": ANA})
    assert {path: path.read_bytes() for path in files(workspace)} == before


def test_what_was_there_before_is_off_the_disk(workspace: Workspace) -> None:
    remember(workspace, {"ana": ANA})
    remember(workspace, {"ben": BEN})
    listener = bytes.fromhex(who("ana", workspace))
    assert len([path for path in (workspace.private / "tastes").iterdir() if path.is_dir()]) == 1
    assert not any(listener in content_of(path) for path in files(workspace))


def test_an_erased_row_is_gone_and_all_others_stay(workspace: Workspace) -> None:
    remember(workspace, {"ana": ANA, "ben": BEN, "cleo": CLEO})
    erase(at_rest(workspace), [who("ana", workspace), who("never seen", workspace)])
    found = open_affinities(at_rest(workspace))
    assert found.row(who("ana", workspace)) is BLANK
    assert found.told(who("ben", workspace)) == [("t2", 1.0, False)]
    assert len(found.listeners) == 2
    assert not any(bytes.fromhex(who("ana", workspace)) in content_of(path) for path in files(workspace))
    erase(at_rest(workspace), [who("ben", workspace), who("cleo", workspace)])
    assert open_affinities(at_rest(workspace)).row(who("ben", workspace)) is BLANK


def test_erasing_where_nothing_was_written_writes_nothing(workspace: Workspace) -> None:
    erase(at_rest(workspace), [who("ana", workspace)])
    assert not (workspace.private / "tastes").exists()


def damage_array(folder: Path) -> None:
    (folder / "columns.npy").write_bytes((folder / "columns.npy").read_bytes()[:-1] + b"x")


def damage_format(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"format": "2"', '"format": "0"'))


@pytest.mark.parametrize("damage", [damage_array, damage_format, lambda folder: (folder / "played.npy").unlink()])
def test_what_is_not_whole_is_not_read_and_is_erased_as_a_whole(
    workspace: Workspace, damage: Callable[[Path], None]
) -> None:
    remember(workspace, {"ana": ANA})
    damage(next(path for path in (workspace.private / "tastes").iterdir() if path.is_dir()))
    with pytest.raises(NotReadyError):
        open_affinities(at_rest(workspace))
    erase(at_rest(workspace), [who("ana", workspace)])
    assert files(workspace) == []


@pytest.mark.parametrize("name", ["", "../elsewhere", "absent"])
def test_a_pointer_to_nothing_is_not_followed(workspace: Workspace, name: str) -> None:
    remember(workspace, {"ana": ANA})
    pointer_of(at_rest(workspace)).write_text(name)
    with pytest.raises(NotReadyError):
        open_affinities(at_rest(workspace))


def test_a_write_that_fails_leaves_what_was_there(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(workspace, {"ana": ANA})

    def full(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(module, "write_manifest", full)
    with pytest.raises(OSError, match="full"):
        remember(workspace, {"ben": BEN})
    assert open_affinities(at_rest(workspace)).told(who("ana", workspace)) == [
        ("t1", 2.5, False),
        ("t3", 0.5, False),
    ]
    assert len([path for path in (workspace.private / "tastes").iterdir() if path.is_dir()]) == 1
