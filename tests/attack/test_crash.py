"""Promise 8: kill -9 at any moment leaves the last published snapshot complete, and a release whole or absent."""

from pathlib import Path

import pytest
from support import dying
from support.dying import died

from recsys.releases.budget.ledger import Ledger
from recsys.releases.snapshot import publishing
from recsys.workspace import Workspace, read_manifest


def test_the_last_snapshot_stays_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_KEPT", 1)
    published = Workspace(tmp_path / "published").prepare()
    first = dying.publish(published.root, day=0)
    found = []
    for root in died("publish", published.root, tmp_path / "copies"):
        workspace = Workspace(root)
        current = publishing.current(workspace)  # verifies every byte
        assert len(current.items("aa1", chart="popular")) == 10
        read_manifest(workspace.public)  # what nginx serves: whole, and of this snapshot or the one before
        assert workspace.public.resolve().parent.name in {current.id, first}
        found.append(current.id == first)
        last = dying.publish(root, day=1)
        assert publishing.current(workspace).id == last != first
        assert [path.name for path in workspace.snapshots.iterdir()] == [last]
        assert workspace.public.resolve() == workspace.snapshots.resolve() / last / "public"
        with workspace.locked():  # as every job does first
            assert list(root.glob(".public*")) == []
    assert found == sorted(found, reverse=True)  # the old one until the swap, the new one from then on
    assert set(found) == {True, False}


def test_a_release_is_whole_or_absent_and_paid_for_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = []
    for root in died("release", tmp_path / "empty", tmp_path / "copies"):
        folder = root / "releases" / "2026-10-01"
        before = read_manifest(folder) if folder.exists() else None
        assert before is None or len(Ledger(root / "ledger.db").entries()) == 1
        after = read_manifest(dying.release(root))
        assert before in (None, after)
        assert [path.name for path in folder.parent.iterdir()] == ["2026-10-01"]
        [entry] = Ledger(root / "ledger.db").entries()
        assert entry.release is not None
        found.append(before is None)
    assert found == sorted(found, reverse=True)
    assert set(found) == {True, False}
