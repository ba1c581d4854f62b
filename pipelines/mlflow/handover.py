"""The handover: what runs recorded goes to MLflow, now or by a later run; MLflow never stops a job."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pipelines.base.terminal import log, tell
from pipelines.mlflow import tracking
from pipelines.mlflow.run_record import Run, drop_oldest, recorded, remove, waiting
from pipelines.mlflow.tracking import Store
from pipelines.mlflow.tracking_database import quiet
from recsys.causes import not_ready
from recsys.errors import RecsysError

T = TypeVar("T")


@contextmanager
def run_of(
    spool: Path,
    store: Store,
    *,
    experiment: str,
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> Iterator[Run]:
    """Open a run: recorded in the spool while the block runs, and handed over to an MLflow store at its end.

    Yields
    ------
    Run
        Marked failed when the block raises. From the end on ``logged`` is MLflow's id, or None where it comes later.
    """
    run = None
    try:
        with recorded(spool, experiment=experiment, name=name, params=params, tags=tags) as run:
            yield run
    finally:
        logged = hand_over(spool, store)
        if run is not None:
            run.logged = logged.get(run.id)


def hand_over(spool: Path, store: Store) -> dict[str, str]:
    """Log all records that wait, the oldest first; return MLflow's ids by those of the records.

    What cannot be logged now stays for the next time, and a warning says why.
    """
    logged: dict[str, str] = {}
    records = waiting(spool)
    if records and attempt(lambda: tracking.client(store), _LATER, store=store) is not None:
        for record in records:  # one that cannot be logged does not keep others
            run = attempt(partial(tracking.log, store, record), _LATER, store=store)
            if run is not None:
                logged[record.id] = run
                remove(record.folder)
            elif attempt(lambda: tracking.client(store), _LATER, store=store) is None:
                break  # a server that is gone meanwhile is not waited for again and again
    dropped = drop_oldest(spool)
    if dropped:
        log.warning("the oldest runs that MLflow never had are gone: too many wait", runs=dropped)
    return logged


_LATER = "runs are kept in the workspace and logged by a later run"


def clean_up(spool: Path, store: Store) -> None:
    """Begin a job: log what waits, end the runs that a kill left running, and take out lines by listener."""
    hand_over(spool, store)
    if tracking.is_there(store):
        attempt(lambda: tracking.end_lost(store), "runs that were killed are not ended now", store=store)
        removed = attempt(
            lambda: tracking.remove_listeners(store), "earlier runs' lines by listener are not removed", store=store
        )
        if removed:
            tell("listeners removed from earlier runs", runs=removed)


def attempt(job: Callable[[], T], otherwise: str, *, store: Store) -> T | None:
    """Do something with MLflow; where it cannot be used, say why and what happens instead, and return None."""
    try:
        with quiet():
            return job()
    except Exception as error:  # whatever MLflow may raise: it is not what the job is for
        refused = error if isinstance(error, RecsysError) else not_ready(error, f"MLflow in {store}")
        reason = refused.message if refused else f"MLflow in {store} failed ({type(error).__name__})"
        log.warning(f"MLflow cannot be used now: {otherwise}", reason=reason, hint=refused.hint if refused else "")
        return None
