"""Paired runs: how much better one is than the other, listener by listener, and whether that could be chance.

What they are paired by is figures of single listeners: they lie in the workspace's private folder, and not in MLflow.
"""

from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from pipelines.base.job_context import JobContext
from pipelines.mlflow.model_registry import LoggedRun
from recsys.arrivals.permission import permissions, still_personal
from recsys.cells import evaluations
from recsys.consents.log import consent_log
from recsys.errors import InputError
from recsys.models.evaluation.bootstrap import paired
from recsys.models.evaluation.evaluation import Evaluation
from recsys.models.evaluation.report_tables import SERVED
from recsys.sealed_files import SealedFiles
from recsys.settings import Settings
from recsys.workspace import Workspace

_ROUNDING = 1e-9  # of sums: an interval that touches zero does not leave it out
_KEYS = ("listener", "part")
_LEAST = "models.min_listeners_in_table"
_QUESTION = ("models.test_nights", "models.gap_nights", "models.min_listeners_per_track")  # who is asked for what


@dataclass(frozen=True)
class Gain:
    """What the right run's model adds to the left one's, by NDCG at 10 on unheard tracks.

    Parameters
    ----------
    left, right, difference : float
        Macro means: over parts, of the means over their listeners.
    low, high : float
        Of the difference, 95 %: a paired bootstrap over listeners within parts.
    listeners : int
        How many were asked.
    """

    left: float
    right: float
    difference: float
    low: float
    high: float
    listeners: int

    @property
    def is_better(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > _ROUNDING

    def __str__(self) -> str:
        """Return the difference with its interval."""
        return f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True)
class Figures:
    """What the private folder of a workspace holds of runs, as far as it may be used at an instant.

    Parameters
    ----------
    workspace : Workspace
    settings : Settings
        Where the consent log is, and how long rows are kept.
    now : datetime
        With a time zone: what "still allowed" refers to.
    """

    workspace: Workspace
    settings: Settings
    now: datetime

    def gone(self, run: LoggedRun) -> str:
        """Return that there are no rows of a run here any more; empty where there are."""
        if evaluations.read(self._files, run=run.record) is not None:
            return ""
        return (
            f"the workspace {self.workspace.root} has no figures of the listeners of {run.label}: they are kept for "
            f"{self.settings.store.nights} nights after its last one ({run.night}), and only where it was made"
        )

    def of(self, run: LoggedRun) -> pl.DataFrame:
        """Return the rows of a run, schema :class:`recsys.schemas.Figures`, of listeners who still allow it.

        Raises
        ------
        InputError
            If there are none.
        """
        rows = evaluations.read(self._files, run=run.record)
        if rows is None:
            raise InputError(
                self.gone(run),
                hint="Name the workspace where it was made after --workspace, or evaluate both runs again.",
            )
        log = consent_log(self.workspace, settings=self.settings)
        return still_personal(rows, permissions=permissions(log, now=self.now))

    @property
    def _files(self) -> SealedFiles:
        return SealedFiles(self.workspace.private, self.settings.store)


def keep(job: JobContext, evaluation: Evaluation, *, run: str, night: date) -> None:
    """Keep the rows of a run in the private folder: those of listeners who are still there, and still allow it.

    An experiment takes minutes, in which somebody may be forgotten: the log is asked anew, while the folder is held.
    """
    with evaluations.held(job.store.sealed):
        allowed = still_personal(evaluation.listeners, permissions=job.permissions)
        evaluations.write(job.store.sealed, allowed, run=run, night=night)


def why_not(left: LoggedRun, right: LoggedRun) -> str:
    """Return why two runs cannot be paired; empty where they can."""
    if left.data != right.data:
        return f"their data differ: {left.data} (to {left.night}) and {right.data} (to {right.night})"
    if left.atlas != right.atlas:
        return f"their regions differ: atlas {left.atlas} and {right.atlas}"
    asked = [key for key in _QUESTION if left.params.get(key) != right.params.get(key)]
    if asked:
        found = "; ".join(f"{key} is {left.params.get(key)} and {right.params.get(key)}" for key in asked)
        return f"they were not asked the same: {found}"
    return ""


def other_code_in(left: LoggedRun, right: LoggedRun) -> str:
    """Return that two runs were made by different code, which may be what makes them differ; empty where not."""
    return f"their code differs: {left.code} and {right.code}" if left.code != right.code else ""


def both(figures: Figures, left: LoggedRun, right: LoggedRun) -> pl.DataFrame:
    """Return ``part, left, right``: the served model's NDCG at 10 of every listener under both runs, row by row.

    Raises
    ------
    InputError
        If the rows of one are gone, if they did not ask the same listeners, at home in the same regions, or if so few
        of these still allow it that what is found would be theirs.
    """
    tables = [
        figures.of(run).select(*_KEYS, pl.col(SERVED).alias(side)) for run, side in ((left, "left"), (right, "right"))
    ]
    joined = tables[0].join(tables[1], on=list(_KEYS), validate="1:1", nulls_equal=True)
    if not joined.height == tables[0].height == tables[1].height:
        raise InputError(
            f"{left.label} asked {tables[0].height:,} listeners and {right.label} {tables[1].height:,}, of whom "
            f"{joined.height:,} are the same, at home in the same region",
            hint="Evaluate both again, on the data and with the code of today.",
        )
    at_home = joined["part"].count() or joined.height  # whom a gain is the mean of
    if at_home < (needed := at_least(left, right)):
        raise InputError(
            f"fewer than {needed} of the listeners whom {left.label} and {right.label} asked still allow it",
            hint="Evaluate both again, on the data of today.",
        )
    return joined.sort("listener").select("part", "left", "right")


def at_least(left: LoggedRun, right: LoggedRun) -> int:
    """Return how many listeners have to be behind a figure that is told of two runs."""
    return max(int(run.params.get(_LEAST, "0")) for run in (left, right))


def gain(listeners: pl.DataFrame) -> Gain:
    """Return what the right run adds over regions; over all listeners where none has a home.

    Parameters
    ----------
    listeners : polars.DataFrame
        ``part, left, right``.
    """
    at_home = listeners.drop_nulls("part")
    asked = listeners if at_home.is_empty() else at_home
    strata = None if at_home.is_empty() else asked["part"].rank("dense").cast(pl.Int64).to_numpy()
    [found] = paired((asked["right"] - asked["left"]).to_numpy()[:, None], strata)
    means = asked.group_by("part").agg(pl.col("left", "right").mean()).select(pl.col("left", "right").mean())
    left, right = means.row(0) if len(asked) else (float("nan"),) * 2
    return Gain(left, right, found.mean, found.low, found.high, len(asked))


def gains_by_part(listeners: pl.DataFrame, *, at_least: int) -> pl.DataFrame:
    """Return ``part, test_listeners, left, right, difference, low, high`` of every region with enough listeners."""
    rows = []
    for (part,), some in listeners.drop_nulls("part").partition_by("part", as_dict=True).items():
        if some.height < at_least:
            continue
        found = gain(some)
        rows.append((part, found.listeners, found.left, found.right, found.difference, found.low, found.high))
    return pl.DataFrame(rows, schema=_BY_PART, orient="row")


_BY_PART = {
    "part": pl.String,
    "test_listeners": pl.Int64,
    **dict.fromkeys(("left", "right", "difference", "low", "high"), pl.Float64),
}
