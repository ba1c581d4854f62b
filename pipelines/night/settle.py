"""The job that goes on with a workspace that lost something, once a person says that it is lost for good."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import Any, Literal

from pipelines.base.job_context import JobContext
from pipelines.base.left_out import leave_out
from recsys.consents.log import open_log
from recsys.consents.witness import ACCEPTED, KEY, begin_again, check_key
from recsys.errors import InputError, RecsysError, SettingsError
from recsys.releases.budget.ledger import CHARTS, Spend
from recsys.releases.budget.witnessing import charge, check_spends, check_witness, compare, remember
from recsys.sealed_files import FOLDERS, SealedFiles
from recsys.store_key import is_in_workspace
from recsys.workspace import fingerprint, remove_folder

Lost = Literal["witness", "spends", "key", "store", "consents"]


def settle(job: JobContext, *, accept: Sequence[Lost] = ()) -> dict[str, Any]:
    """Say what a workspace lost, or go on without what a person says is lost for good.

    What is accepted is written down in the witness. ``witness``: the ledger's releases are witnessed anew. ``spends``:
    what the witness saw drawn is charged to the ledger, its nights are left out for good, and nobody has anything
    saved. ``key``: there is a new listener key; what is stored under the other one is removed, as nobody could
    withdraw or erase it any more, and all listeners have to allow everything anew. ``store``: what is sealed under a
    store key that is lost is removed, and all listeners have nothing saved. ``consents``: the consent log that is there
    is that of this workspace from now on.

    Parameters
    ----------
    job : JobContext
    accept : sequence of {"witness", "spends", "key", "store", "consents"}

    Returns
    -------
    dict
        ``accepted``, and what was ``charged`` and ``left_out``; ``lost`` is what is still to be decided.

    Raises
    ------
    InputError
        If something is accepted that is not lost.
    """
    done: dict[str, Any] = {"status": "done", "accepted": list(accept), "charged": 0, "left_out": []}
    with job.workspace.prepare().locked():
        for what in _ACCEPTED:  # in the order in which they stand on each other
            if what in accept:
                done |= _accepted(job, what)
        lost = _lost(job)
    return done | {"lost": lost}


def _accepted(job: JobContext, what: Lost) -> dict[str, Any]:
    if not _is_lost(job, what):
        raise InputError(f"the workspace did not lose its {what}", hint="Leave it away.")
    told = _ACCEPTED[what](job)
    job.witness.record(ACCEPTED, what, told, at=job.now)
    return told


def _lost(job: JobContext) -> dict[str, str]:
    """Return what is lost by what it is, with the message that a night would end with."""
    lost = {what: _is_lost(job, what) for what in _ACCEPTED}
    return {what: message for what, message in lost.items() if message}


def _is_lost(job: JobContext, what: Lost) -> str:
    try:
        _CHECKS[what](job)
    except RecsysError as error:
        return error.message
    return ""


def _check_spends(job: JobContext) -> None:
    job.finish_releases()
    check_spends(job.ledger, job.witness, lines=job.witness.lines())


def _accept_witness(job: JobContext) -> dict[str, Any]:
    begin_again(job.workspace, settings=job.settings, at=job.now)
    found = compare(job.ledger, job.witness.lines())
    remember(found.unwitnessed, job.witness, at=job.now)
    return {"witnessed": len(found.unwitnessed)}


def _accept_spends(job: JobContext) -> dict[str, Any]:
    lost = compare(job.ledger, job.witness.lines()).lost
    nights = _without_release(job, [Spend.from_json(line.facts) for line in lost])
    leave_out(job.workspace, nights)  # first: what is charged is lost no more, and a crash may come in between
    charge(lost, job.ledger, at=job.now)
    return {"charged": len(lost), "left_out": [str(night) for night in nights]}


def _without_release(job: JobContext, spends: Sequence[Spend]) -> list[date]:
    present = job.releases.nights()
    return sorted({spend.night for spend in spends if spend.purpose == CHARTS and spend.night not in present})


def _accept_key(job: JobContext) -> dict[str, Any]:
    workspace = job.workspace
    begin_anew(job, workspace.listener_key() if workspace.has_listener_key else workspace.new_listener_key())
    return {}


def begin_anew(job: JobContext, listener_key: bytes) -> None:
    """Go on with another listener key: what is stored under the one before is removed, and its keys are destroyed."""
    _remove_sealed(job)
    _sealed(job).expire(date.max)
    key = fingerprint(listener_key)
    job.witness.record(KEY, key, at=job.now)
    log = open_log(job.workspace, settings=job.settings)
    if log.claimed_by():
        log.claim(key)


def _accept_store(job: JobContext) -> dict[str, Any]:
    files = _sealed(job)
    with suppress(InputError, SettingsError):  # and not a vault that is away for a while
        files.check()
    _remove_sealed(job)
    files.keys_file.unlink(missing_ok=True)
    if is_in_workspace(job.settings.store):
        files.default_key.unlink(missing_ok=True)
    return {}


def _sealed(job: JobContext) -> SealedFiles:
    return SealedFiles(job.workspace.private, job.settings.store)


def _remove_sealed(job: JobContext) -> None:
    for folder in FOLDERS:
        if (job.workspace.private / folder).exists():
            remove_folder(job.workspace.private / folder)


def _accept_consents(job: JobContext) -> dict[str, Any]:
    open_log(job.workspace, settings=job.settings).claim(fingerprint(job.workspace.listener_key()))
    return {}


_CHECKS: Mapping[Lost, Callable[[JobContext], object]] = {
    "witness": lambda job: check_witness(job.ledger, job.witness, lines=job.witness.lines(), at=job.now),
    "spends": _check_spends,
    "key": lambda job: check_key(job.witness, job.workspace.listener_key(), lines=job.witness.lines(), at=job.now),
    "store": lambda job: _sealed(job).check(),
    "consents": lambda job: job.consents,
}

_ACCEPTED: Mapping[Lost, Callable[[JobContext], dict[str, Any]]] = {
    "witness": _accept_witness,
    "spends": _accept_spends,
    "key": _accept_key,
    "store": _accept_store,
    "consents": _accept_consents,
}
