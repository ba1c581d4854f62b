"""The job that puts another key in the place of one: that of the store, of tokens, of contacts, or of listeners."""

import secrets
from pathlib import Path
from typing import Any, Literal

from pipelines.base.job_context import JobContext
from pipelines.night.settle import begin_anew
from recsys.consents.witness import ACCEPTED
from recsys.errors import ConsentError, UsageError
from recsys.store_key import is_in_workspace, read_key
from recsys.workspace import KEY_BYTES, fingerprint, replace_file

Which = Literal["store", "token", "contacts", "listener"]


def rotate(job: JobContext, which: Which, *, new: Path | None = None, everybody_anew: bool = False) -> dict[str, Any]:
    """Put another key in the place of one, and say what follows.

    Parameters
    ----------
    job : JobContext
    which : {"store", "token", "contacts", "listener"}
    new : Path, optional
        The file of the new store key, where that is not, or not to be, in the workspace.
    everybody_anew : bool
        Whether it is meant that nobody is known any more, as of another listener key.

    Raises
    ------
    UsageError
        If something is said that does not go with the key.
    ConsentError
        If the listener key is to be another, and it is not said what that means.
    """
    if new is not None and which != "store":
        raise UsageError("--new is about the store key alone", hint=_HELP)
    if everybody_anew and which != "listener":
        raise UsageError("--everybody-anew is about the listener key alone", hint=_HELP)
    with job.workspace.prepare().locked():
        if which == "store":
            told = _store(job, new)
        elif which == "token":
            told = _token(job)
        elif which == "contacts":
            told = _contacts(job)
        else:
            told = _listener(job, everybody_anew=everybody_anew)
    return {"status": "done", "key": which, **told}


def _store(job: JobContext, new: Path | None) -> dict[str, Any]:
    files, within = job.store.sealed, is_in_workspace(job.settings.store)
    if new is None and not within:
        raise UsageError("the store key is not in the workspace: give the file of the new one after --new", hint=_HELP)
    if new is None:
        return {"days": files.rotate(secrets.token_bytes(KEY_BYTES)), "next": "Remove backups of the key before."}
    days = files.rewrap(read_key(new))
    if within:
        files.default_key.unlink(missing_ok=True)
    return {"days": days, "next": "Let [store] of the settings lead to the new key before anything else is run."}


def _token(job: JobContext) -> dict[str, Any]:
    replace_file(job.workspace.root / "token.key", secrets.token_bytes(KEY_BYTES), mode=0o600)
    return {"next": "Restart the endpoint: tokens of before are refused from then on."}


def _contacts(job: JobContext) -> dict[str, Any]:
    """Put another key in its place, and forget what was told under the one before: it fits nothing any more."""
    replace_file(job.workspace.root / "contacts.key", secrets.token_bytes(KEY_BYTES), mode=0o600)
    key = fingerprint(job.workspace.contacts_key())
    gone = job.consents.contacts.expire(before=job.now.date(), key=key, at=job.now)
    job.consents.scrub()
    return {"rows": gone, "next": "Restart the endpoint: apps find another key, and tell of address books anew."}


def _listener(job: JobContext, *, everybody_anew: bool) -> dict[str, Any]:
    """Ids are nowhere stored: nothing that is kept under the key before can be put under another."""
    if not everybody_anew:
        raise ConsentError(
            "with another listener key nobody is known any more: stored plays, evaluations and lists are removed, "
            "consents have to be imported or given again, and what remembers withdrawals and erasures is nobody's",
            hint="Import only consents that were asked for afterwards. If that is meant: --everybody-anew.",
        )
    job.witness.record(ACCEPTED, "key", {}, at=job.now)
    begin_anew(job, job.workspace.new_listener_key())
    return {"next": "Restart the endpoint, and import consents that are asked for from now on."}


_HELP = "hearabouts keys rotate --help"
