"""Promise 6 beyond one workspace: what was drawn once is not drawn again, whatever is restored or copied."""

import itertools
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.dying import WRITES, died, witness_beside
from support.releasing import NIGHT, NOW
from support.witnessing import opened, release_night, telling_moments

from pipelines.base.left_out import leave_out
from recsys.consents import witness as witness_module
from recsys.consents.witness import DRAWN, Line, Witness
from recsys.errors import NotReadyError, PrivacyBudgetError
from recsys.releases.budget.ledger import Ledger
from recsys.releases.budget.witnessing import charge, compare
from recsys.workspace import MANIFEST, Workspace, digest

_LOOKERS: list[Callable[[], None]] = []


def _look(event: str, _: tuple[Any, ...]) -> None:
    if _LOOKERS and event in WRITES:
        looker = _LOOKERS.pop()  # what it does itself is no moment of its own
        try:
            looker()
        finally:
            _LOOKERS.append(looker)


sys.addaudithook(_look)


@contextmanager
def looking(look: Callable[[], None]) -> Iterator[None]:
    """Call something just before every write of a block."""
    _LOOKERS.append(look)
    try:
        with telling_moments():
            yield
    finally:
        _LOOKERS.clear()


def drawn(root: Path) -> str | None:
    """Return the digest of the night's release, as anybody can read it."""
    file = root / "releases" / str(NIGHT) / MANIFEST
    return digest(file) if file.exists() else None


@pytest.mark.slow
def test_whatever_moment_kills_a_run_the_next_goes_on_by_itself_and_draws_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    moments = []
    for root in died("release_witnessed", tmp_path / "empty", tmp_path / "copies"):
        before, witness = drawn(root), witness_beside(root)
        seen = {line.subject for line in every(witness, DRAWN)}
        release_night(root, witness=witness)
        assert before in (None, drawn(root))
        assert seen in (set(), {drawn(root)})  # what was witnessed is what is there
        [line] = every(witness, DRAWN)
        [entry] = Ledger(root / "ledger.db").entries()
        assert line.subject == entry.release == drawn(root)
        assert [path.name for path in (root / "releases").iterdir()] == [str(NIGHT)]
        moments.append((before is None, not seen))
    assert len(moments) > 20
    assert {(True, True), (True, False), (False, False)} == set(moments)


def every(witness: Path, *kinds: str) -> list[Any]:
    return [line for line in Witness(witness).every() if line.kind in kinds] if witness.exists() else []


def test_a_backup_of_any_moment_never_draws_again(tmp_path: Path) -> None:
    """It is refused, or it is as far as the witness, and finishes the very same release."""
    root, witness, numbers = tmp_path / "workspace", tmp_path / "witness.db", itertools.count()
    release_night(root, witness=witness, night=NIGHT - timedelta(days=1))

    def back_up() -> None:
        shutil.copytree(root, tmp_path / "backups" / f"{next(numbers):03}", ignore_dangling_symlinks=True)

    with looking(back_up):
        release_night(root, witness=witness)
    first, outcomes = drawn(root), []
    for backup in sorted((tmp_path / "backups").iterdir()):
        with suppress(PrivacyBudgetError):
            release_night(backup, witness=witness)
        outcomes.append(drawn(backup))
    assert outcomes == sorted(outcomes, key=bool)  # refused at first, and the same from some moment on
    assert set(outcomes) == {None, first}
    assert len(every(witness, DRAWN)) == 2


def test_of_two_live_copies_one_goes_on(tmp_path: Path) -> None:
    """At every moment of one run a copy of the workspace runs to its end."""
    for moment in range(1, 200):
        folder = tmp_path / str(moment)
        copied = itertools.count(1)
        root, copy, witness = folder / "workspace", folder / "copy", folder / "witness.db"
        release_night(root, witness=witness, night=NIGHT - timedelta(days=1))

        def run_a_copy(
            copied: Iterator[int] = copied, moment: int = moment, root: Path = root, witness: Path = witness
        ) -> None:
            if next(copied) == moment:
                shutil.copytree(root, root.with_name("copy"))
                with pytest.MonkeyPatch.context() as unlooked:
                    unlooked.setattr("recsys.consents.database._PATIENCE", 0.1)
                    ends(root.with_name("copy"), witness)

        with looking(run_a_copy):
            ends(root, witness)
        if not copy.exists():
            assert moment > 20
            return
        found = {drawn(root), drawn(copy)} - {None}
        assert len(found) == 1, moment  # one of them, or both the same
        assert {line.subject for line in every(witness, DRAWN)} >= found
    pytest.fail("a run has no end")


def ends(root: Path, witness: Path) -> None:
    with suppress(PrivacyBudgetError, NotReadyError):
        release_night(root, witness=witness)


def test_what_is_settled_is_counted_and_never_drawn(tmp_path: Path) -> None:
    root, backup, witness = tmp_path / "workspace", tmp_path / "backup", tmp_path / "witness.db"
    for night in range(4):
        release_night(root, witness=witness, night=NIGHT + timedelta(days=night))
        if night == 1:
            shutil.copytree(root, backup)
    with pytest.raises(
        PrivacyBudgetError, match="2 releases, the first of the night 2026-10-03, were released"
    ) as told:
        opened(backup, witness=witness)
    assert told.value.exit_code == 77
    assert "hearabouts privacy settle --accept spends" in told.value.hint
    ledger = Ledger(backup / "ledger.db", witness=Ledger(root / "ledger.db").witness)
    seen = opened(root, witness=witness).witness
    assert seen is not None
    leave_out(Workspace(backup), [NIGHT + timedelta(days=night) for night in (2, 3)])  # as settling does
    charge(compare(ledger, seen.lines()).lost, ledger, at=NOW)
    facts = [
        [(entry.spend, entry.release) for entry in Ledger(some / "ledger.db").entries()] for some in (root, backup)
    ]
    assert facts[0] == facts[1]
    opened(backup, witness=witness)
    with pytest.raises(PrivacyBudgetError, match="released already"):
        release_night(backup, witness=witness, night=NIGHT + timedelta(days=2))
    release_night(backup, witness=witness, night=NIGHT + timedelta(days=4))
    with pytest.raises(PrivacyBudgetError, match="behind its witness"):  # the first one, which is the older now
        opened(root, witness=witness)


def test_what_was_drawn_twice_is_charged_twice(tmp_path: Path) -> None:
    """Two copies with a witness each drew one night: whoever joins them pays for both."""
    root, other = tmp_path / "workspace", tmp_path / "other"
    opened(root, witness=tmp_path / "witness.db")
    shutil.copytree(root, other)
    shutil.copy(tmp_path / "witness.db", tmp_path / "second.db")
    release_night(root, witness=tmp_path / "witness.db")
    release_night(other, witness=tmp_path / "second.db")
    with pytest.raises(PrivacyBudgetError, match="behind its witness"):
        opened(other, witness=tmp_path / "witness.db")
    ledger = Ledger(other / "ledger.db", witness=opened(root, witness=tmp_path / "witness.db").witness)
    assert ledger.witness is not None
    charge(compare(ledger, ledger.witness.lines()).lost, ledger, at=NOW)
    assert [entry.spend.purpose.split()[0] for entry in ledger.entries()] == ["charts", "lost"]
    assert {entry.release for entry in ledger.entries()} == {drawn(root), drawn(other)}


def test_a_workspace_that_was_emptied_or_moved_is_known(tmp_path: Path) -> None:
    root, witness = tmp_path / "workspace", tmp_path / "witness.db"
    release_night(root, witness=witness)
    root.rename(tmp_path / "moved")
    opened(tmp_path / "moved", witness=witness)
    with pytest.raises(PrivacyBudgetError, match="or was emptied"):
        release_night(root, witness=witness)
    opened(tmp_path / "another", witness=witness)  # which shares the witness, and nothing else


def test_a_witness_that_is_lost_or_forgot_is_told(tmp_path: Path) -> None:
    root, witness = tmp_path / "workspace", tmp_path / "witness.db"
    release_night(root, witness=witness)
    shutil.copy(witness, tmp_path / "old.db")
    release_night(root, witness=witness, night=NIGHT + timedelta(days=1))
    for wrong, why in (
        (tmp_path / "nowhere" / "witness.db", "does not know this workspace"),
        (tmp_path / "old.db", "is behind the ledger"),
    ):
        with pytest.raises(PrivacyBudgetError, match=why) as refused:
            opened(root, witness=tmp_path / wrong)
        assert "hearabouts privacy settle --accept witness" in refused.value.hint


def test_a_ledger_of_before_there_were_witnesses_is_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, witness = tmp_path / "workspace", tmp_path / "witness.db"
    release_night(root, witness=tmp_path / "other.db")
    (root / "deployment.id").unlink()
    release_night(root, witness=tmp_path / "other.db", night=NIGHT + timedelta(days=1))
    (root / "deployment.id").unlink()
    digests, row = [entry.release for entry in Ledger(root / "ledger.db").entries()], witness_module._row

    def crash(line: Line) -> dict[str, Any]:
        return {} if line.subject == digests[1] else row(line)

    with monkeypatch.context() as crashing:  # all of it or nothing, as half would look like a witness that forgot
        crashing.setattr(witness_module, "_row", crash)
        with pytest.raises(NotReadyError):
            opened(root, witness=witness)
    assert every(witness, DRAWN) == []
    opened(root, witness=witness)
    assert [line.subject for line in every(witness, DRAWN)] == digests


def test_what_was_witnessed_stays(tmp_path: Path) -> None:
    release_night(tmp_path / "workspace", witness=tmp_path / "witness.db")
    assert (tmp_path / "witness.db").stat().st_mode & 0o777 == 0o600
    connection = sqlite3.connect(tmp_path / "witness.db")
    for statement in ("DELETE FROM witnessed", "UPDATE witnessed SET kind = 'other'"):
        with pytest.raises(sqlite3.IntegrityError, match="append only"):
            connection.execute(statement)
    connection.close()


def test_without_its_witness_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotReadyError, match="cannot be written"):
        opened(tmp_path / "workspace", witness=tmp_path / "file" / "witness.db")

    def fails(*_: Any, **__: Any) -> Any:
        raise NotReadyError("no")

    root, witness = tmp_path / "workspace", tmp_path / "witness.db"
    opened(root, witness=witness)
    with monkeypatch.context() as failing:
        failing.setattr(Witness, "record", fails)
        with pytest.raises(NotReadyError):
            release_night(root, witness=witness)
    assert (drawn(root), Ledger(root / "ledger.db").entries()) == (None, [])
    release_night(root, witness=witness)
