"""A night's release as a job makes it, with its witness, and a way to look at every moment of it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from support.releasing import NIGHT, NOW, contributed, released

from pipelines.base.left_out import left_out
from recsys.consents.witness import Witness, witness_of
from recsys.releases.budget.ledger import Ledger
from recsys.releases.budget.witnessing import check_spends, check_witness
from recsys.releases.counts import release
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

MOMENT = "hearabouts.moment"  # an audit event before and after whatever is on disk when it returns
ROWS = [(f"listener {i}", "aa1", f"t{i % 3:02d}") for i in range(30)]


def settings_with(witness: Path | str) -> Settings:
    return load_settings(overrides={"privacy": {"witness": str(witness)}})


def opened(root: Path, *, witness: Path | str, now: datetime = NOW) -> Ledger:
    """Open a workspace's ledger as a job does: finish what a crash left, and compare with the witness."""
    workspace = Workspace(root).prepare()
    seen = witness_of(workspace, settings=settings_with(witness), at=now)
    ledger = Ledger(workspace.ledger, witness=seen)
    release.confirm(workspace.releases, ledger=ledger, now=now, without=left_out(workspace))
    check_spends(ledger, seen, lines=seen.lines())
    check_witness(ledger, seen, lines=seen.lines(), at=now)
    return ledger


def release_night(root: Path, *, witness: Path | str, night: date = NIGHT) -> Path:
    ledger = opened(root, witness=witness)
    return released(contributed(ROWS, night=night), root, night=night, witness=ledger.witness)


@contextmanager
def telling_moments() -> Iterator[None]:
    """Raise the audit event before and after every line of a witness and every change of a ledger."""
    with pytest.MonkeyPatch.context() as patched:
        for owner, name in ((Witness, "record"), (Ledger, "commit"), (Ledger, "complete"), (Ledger, "_witness_drawn")):
            patched.setattr(owner, name, _told(getattr(owner, name)))
        yield


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    def told(*arguments: Any, **named: Any) -> Any:
        sys.audit(MOMENT)
        done = function(*arguments, **named)
        sys.audit(MOMENT)
        return done

    return told
