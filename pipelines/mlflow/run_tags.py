"""The tags of a run: version and digest of the code, digest of the data, engine, champion."""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any

import polars as pl
from mlflow.utils.git_utils import get_git_commit

from pipelines.base.code_digest import TOP, code_digest, lock_digest
from pipelines.base.job_context import JobContext
from pipelines.mlflow.handover import run_of
from pipelines.mlflow.run_record import Run
from recsys.arrivals.permission import still_allowed
from recsys.models.interactions import trained
from recsys.printable import given

CODE_DIGEST, DATA_DIGEST, CHAMPION_VERSION, NIGHT = "code.digest", "data.digest", "champion.version", "night"
ATLAS_VERSION, CATALOGUE = "atlas.version", "catalogue"
COMMIT, LOCK_DIGEST = "mlflow.source.git.commit", "lock.digest"  # the first is what MLflow's page shows as the version
NO_CHAMPION = "none"

_DIGITS = 16  # of a digest in a tag: enough to tell any two apart, short enough to compare by eye


def tracked(
    job: JobContext, *, experiment: str, name: str, params: Mapping[str, Any], engine: str = "polars"
) -> AbstractContextManager[Run]:
    """Open a run of a job, with the tags that every run opens with."""
    store, tags = job.settings.tracking.store, tags_of(job, engine=engine)
    return run_of(job.workspace.unlogged, store, experiment=experiment, name=name, params=params, tags=tags)


def tags_of(job: JobContext, *, engine: str = "polars") -> dict[str, str]:
    """Return the tags that every run of a job opens with; those of night and data follow once it is read."""
    return {
        "hearabouts.version": version("hearabouts"),
        CODE_DIGEST: code_digest(),
        "engine": engine,
        ATLAS_VERSION: job.atlas.version,
        CHAMPION_VERSION: job.champion,
        CATALOGUE: given(job.sources.catalogue.absolute()),
        **origin(),
    }


def origin() -> dict[str, str]:
    """Return the tags that only a checkout has: its commit, beside which ``code.digest`` tells of changes, and lock."""
    commit = get_git_commit(str(TOP)) if (TOP / ".git").exists() else None
    return {key: value for key, value in ((COMMIT, commit), (LOCK_DIGEST, lock_digest())) if value}


def allowed_rows(job: JobContext, *, of: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return the contributions that models may learn from now: schema Contributions, ``trained`` all true.

    Parameters
    ----------
    job : JobContext
    of : polars.DataFrame, optional
        Contributions that were allowed a while ago; by default all that are stored.
    """
    rows = job.store.scan() if of is None else of.lazy()
    return trained(still_allowed(rows, permissions=job.permissions))


def tags_of_data(rows: pl.DataFrame) -> dict[str, str]:
    """Return the tags that say on what a run stands: two runs of one digest were asked the same."""
    nights = rows["night"]
    return {DATA_DIGEST: data_digest(rows), NIGHT: nights.max().isoformat() if len(rows) else "none"}  # type: ignore[union-attr]


def data_digest(rows: pl.DataFrame) -> str:
    """Return a digest of contributions that does not depend on their order; it tells nothing about any of them."""
    told = hashlib.sha256()

    class _Digest:
        def write(self, chunk: bytes) -> int:
            told.update(chunk)
            return len(chunk)

    columns = ["listener", "night", "part", "track_id", "plays"]
    rows.select(columns).sort(columns).write_csv(_Digest())  # type: ignore[call-overload]
    return told.hexdigest()[:_DIGITS]
