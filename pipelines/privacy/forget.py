"""The job that forgets a listener: out of the private store, out of the consent log, off the disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pipelines.base.terminal import log as progress
from pipelines.base.terminal import tell
from recsys.artifacts import affinities
from recsys.cells import evaluations
from recsys.cells.store import Store
from recsys.consents.log import ConsentLog, consent_log
from recsys.errors import NotReadyError
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of


def forget(user_id: str, *, workspace: Workspace, settings: Settings, now: datetime) -> dict[str, Any]:
    """Forget a listener at once; whether there was anything to forget makes no difference.

    Released charts stay as they are: they are anonymous by construction. A keyed mark stays, too: what the input, a
    consents file or a backup still holds of before is not taken in again.

    Returns
    -------
    dict
        ``receipt``, ``state`` and ``mark_kept_days``, as the endpoint says them.

    Raises
    ------
    NotReadyError
        If another job holds the workspace, or somebody is reading the consent log: the listener's data is used no more
        from now on, and the next night finishes the erasure.
    """
    log = consent_log(workspace, settings=settings)
    receipt = log.erasures.ask(listener_of(user_id, key=workspace.listener_key()), at=now)
    with workspace.locked():
        log.erasures.again()
        finish_erasures(log, store=Store(workspace.private, settings.store))
    return {"receipt": receipt, "state": "done", "mark_kept_days": settings.erasures.kept_days}


@contextmanager
def forgetting(log: ConsentLog, *, store: Store) -> Iterator[Callable[[], int]]:
    """Yield what carries out the erasures that were asked for; those that are left are carried out when the block ends.

    However it ends: input that does not fit must not keep anybody from being forgotten. Whom a restored log holds again
    is forgotten again.
    """
    back = log.erasures.again()
    if back:
        progress.warning("the consent log holds whom it had erased: they are erased again", listeners=back)

    def forget_all() -> int:
        try:
            return finish_erasures(log, store=store)
        except NotReadyError as error:  # nothing of them is used any more; the next night tries again
            progress.warning("erasures are not finished", reason=error.message)
            return 0

    try:
        yield forget_all
    finally:
        forget_all()


def finish_erasures(log: ConsentLog, *, store: Store) -> int:
    """Carry out the erasures that were asked for; return how many there were. The workspace's lock must be held."""
    erasures = log.erasures
    pending = erasures.pending()
    listeners = [listener for _, listener in pending if listener is not None]
    affinities.erase(store.sealed, listeners)
    evaluations.erase(store.sealed, listeners)
    for receipt, listener in pending:
        if listener is not None:
            store.erase(listener)
        erasures.finish(receipt)
    if pending:
        tell("erasures done", erasures=len(pending))
    return len(pending)
