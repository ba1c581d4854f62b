import pickle
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from support.releasing import NIGHT, SHARED, TRACKS, contributed, everywhere, released, small_atlas

from recsys import workspace
from recsys.errors import InputError, NotReadyError
from recsys.releases.counts import release_reader as module
from recsys.releases.counts.candidates import Candidates
from recsys.releases.counts.release_reader import Released, ReleaseReader
from recsys.workspace import read_manifest

NIGHTS = [NIGHT + timedelta(days=day) for day in range(4)]


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """Four nights: the second counts other tracks, the third larger places, too; the last is like the first."""
    own = {"aa1": np.array([7], dtype=np.int32)}
    candidates = [everywhere(TRACKS), Candidates(TRACKS, np.arange(5, dtype=np.int32), own, 3.0), everywhere(TRACKS)]
    for night, some in zip(NIGHTS, [*candidates, everywhere(TRACKS)], strict=True):
        settings = {"settings": SHARED} if night == NIGHTS[2] else {}
        released(contributed([("one", "aa1", "t03")], night=night), tmp_path, night=night, candidates=some, **settings)
    return tmp_path / "releases"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Which files were hashed, and which decoded."""
    asked: dict[str, list[str]] = {"hashed": [], "decoded": []}
    digest, decoded = workspace.digest, module._decoded
    monkeypatch.setattr(workspace, "digest", lambda path: asked["hashed"].append(path.parent.name) or digest(path))
    monkeypatch.setattr(
        module, "_decoded", lambda folder, *a, **k: asked["decoded"].append(folder.name) or decoded(folder, *a, **k)
    )
    return asked


def counts(found: Released) -> dict[tuple[str, str], tuple[int, int, float]]:
    return {
        (row, found.tracks[found.positions[i]]): (found.sums[i], found.exposures[i], found.variances[i])
        for row in found.rows
        for i in range(found.entries(row).start, found.entries(row).stop)
    }


def test_a_file_is_hashed_and_decoded_once_however_often_it_is_asked_for(
    releases: Path, asked: dict[str, list[str]]
) -> None:
    reader = ReleaseReader(releases)
    for nights in (NIGHTS, NIGHTS[1:3], NIGHTS[::2], NIGHTS[:1]):
        for newcomers in (False, True):
            assert reader.read(nights, newcomers=newcomers).nights == tuple(nights)
    assert sorted(asked["decoded"]) == [str(night) for night in NIGHTS]
    assert sorted(asked["hashed"]) == sorted([str(night) for night in NIGHTS] * 2)  # of counts and of totals


@pytest.mark.parametrize("newcomers", [False, True])
def test_what_was_kept_is_what_is_read_anew(releases: Path, *, newcomers: bool) -> None:
    reader = ReleaseReader(releases)
    for nights in (NIGHTS[:2], NIGHTS, NIGHTS[2:], NIGHTS[:1], NIGHTS):
        kept, anew = (some.read(nights, newcomers=newcomers) for some in (reader, ReleaseReader(releases)))
        assert counts(kept) == counts(anew)
        assert (kept.rows, kept.tracks, kept.tiers) == (anew.rows, anew.tracks, anew.tiers)
        assert (kept.nights, kept.ledger_numbers) == (anew.nights, anew.ledger_numbers)


def test_a_copy_for_another_process_has_read_nothing_and_reads_the_same(releases: Path) -> None:
    reader = ReleaseReader(releases, room=0)
    before = counts(reader.read(NIGHTS))
    copied = pickle.loads(pickle.dumps(reader))
    assert counts(copied.read(NIGHTS)) == before


def test_without_room_a_night_is_decoded_again_and_hashed_once(releases: Path, asked: dict[str, list[str]]) -> None:
    cramped = ReleaseReader(releases, room=0)
    first, again = (counts(cramped.read(NIGHTS)) for _ in range(2))
    assert first == again == counts(ReleaseReader(releases).read(NIGHTS))
    assert asked["decoded"].count(str(NIGHT)) == 3  # twice by the one, once by the other
    assert asked["hashed"].count(str(NIGHT)) == 2 * 2  # two files, by two readers


def test_the_night_asked_for_longest_ago_makes_room(releases: Path, asked: dict[str, list[str]]) -> None:
    roomy = ReleaseReader(releases)
    roomy.read([NIGHTS[0]])
    size = module._size(roomy._kept[NIGHTS[0]])
    reader, nights = ReleaseReader(releases, room=2 * size), [NIGHTS[0], NIGHTS[3]]
    asked["decoded"].clear()
    reader.read(nights)
    reader.read(nights[:1])
    reader.read([NIGHTS[1]])  # has fewer entries, and still no room beside two
    reader.read(nights[:1])
    reader.read(nights[1:])
    assert asked["decoded"] == [str(night) for night in (*nights, NIGHTS[1], NIGHTS[3])]


def test_a_release_that_is_made_meanwhile_is_found(tmp_path: Path) -> None:
    reader = ReleaseReader(tmp_path / "releases")
    assert reader.nights() == []
    with pytest.raises(NotReadyError, match="no night"):
        reader.read([])
    for last, night in enumerate(NIGHTS[:2]):
        released(contributed([], night=night), tmp_path, night=night)
        assert reader.read(reader.nights()).nights == tuple(NIGHTS[: last + 1])


@pytest.mark.parametrize("night", NIGHTS[:2])
def test_a_damaged_file_is_refused_whichever_night_it_is_of(tmp_path: Path, night: date) -> None:
    """Also where the night does not count, because it was released under another atlas than the last one."""
    for some, atlas in zip(NIGHTS[:2], (small_atlas(version="other"), small_atlas()), strict=True):
        released(contributed([], night=some), tmp_path, night=some, atlas=atlas)
    file = tmp_path / "releases" / str(night) / "counts.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="is not the file that was published"):
        ReleaseReader(tmp_path / "releases").read(NIGHTS[:2])


def test_of_a_night_that_cannot_be_kept_only_what_is_asked_for_is_decoded(releases: Path) -> None:
    facts = read_manifest(releases / str(NIGHT))
    for newcomers in (False, True):
        halves = module._decoded(releases / str(NIGHT), facts, newcomers=newcomers, room=0)
        assert list(halves) == [newcomers]
