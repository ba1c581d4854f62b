"""The night: every unprocessed night in order, then charts, models, snapshot and the run in MLflow."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import polars as pl

from pipelines import logbook, tracking
from pipelines.account import write_account
from pipelines.audit import audit_release
from pipelines.consents import import_consents, read_consents
from pipelines.deployment import Deployment
from pipelines.evaluate import Measured, measure
from pipelines.forget import forgetting
from pipelines.planning import Plan, leave_out, plan_nights, remember_rows
from pipelines.provenance import allowed_rows, tags_of
from pipelines.tastes import Past, write_tastes
from pipelines.terminal import followed, log, step, tell
from recsys.arrivals.coarsening import coarsen
from recsys.arrivals.listens import REASONS, check_share, read_night
from recsys.arrivals.permission import keep_allowed
from recsys.arrivals.tables import Counts
from recsys.cells.contributions import bound
from recsys.cells.store import Buckets
from recsys.errors import InputError, NotReadyError
from recsys.releases import charts, counts, snapshot
from recsys.releases.accounting import summary
from recsys.releases.audit import Finding
from recsys.releases.candidates import Candidates, candidates_for
from recsys.releases.history import Draw, with_history


def run_nightly(
    deployment: Deployment, *, through: date | None = None, skip: Sequence[date] = (), engine: str = "polars"
) -> dict[str, Any]:
    """Run all unprocessed nights up to ``through`` in order, and publish what follows from them.

    Parameters
    ----------
    deployment : Deployment
    through : date, optional
        The last night (UTC day); by default the last that is over.
    skip : sequence of date
        Nights to leave out for good.
    engine : str
        Named in the run's tags.

    Returns
    -------
    dict
        The summary that the command line prints.

    Raises
    ------
    InputError
        If input is missing or a night's rows do not fit; nights before it stay released, the snapshot unchanged.
    NotReadyError
        If another job holds the workspace.
    PrivacyBudgetError
        If the audit of the release code fails: then nothing is drawn, spent or published.
    """
    started = time.monotonic()
    with deployment.workspace.prepare().locked(), _forgetting(deployment) as forget_all:
        plan = plan_nights(deployment, through=through, skip=skip)
        leave_out(deployment.workspace, skip)
        counts.confirm(deployment.workspace.releases, ledger=deployment.ledger, now=deployment.now)
        if plan.late:
            log.warning("late rows are not counted: their nights are over", rows=plan.late_rows, nights=len(plan.late))
        imported = _import(deployment)
        forget_all()  # after the import, which may hold them still
        if not plan.due and _is_published(deployment):
            return {"status": "nothing new", "nights": 0, "late_rows": plan.late_rows, "consents": imported}
        with _tracked(deployment, engine) as run:
            audited = _audit(deployment, run)
            with logbook.spending(run, deployment):
                rows = [run_night(deployment, night) for night in followed(plan.due, "nights")]
            logbook.log_inputs(run, deployment.sources, nights=plan.due)
            published = publish(deployment)
            write_account(deployment)
            done = _summary(plan, rows, published) | {"consents": imported, "mlflow_run": run.id}
            done |= {"audit": {key: round(value, 4) for key, value in audited.metrics().items()}}
            seconds = round(time.monotonic() - started, 1)
            run.metrics({**_flat(done), "seconds.total": seconds})
            run.tags(published.measured.tags)
            logbook.log_models(run, published.measured.evaluation, atlas=deployment.atlas, night=published.nights[-1])
    return done | {"privacy": summary(deployment.settings.privacy), "seconds": seconds}


def rehearse(deployment: Deployment, *, through: date | None = None, skip: Sequence[date] = ()) -> dict[str, Any]:
    """Read and check everything that a run would, say what it would do, and change nothing."""
    plan = plan_nights(deployment, through=through, skip=skip)
    if deployment.sources.consents:
        read_consents(deployment.sources.consents, key=bytes(32), settings=deployment.settings)
    tracks, parts = deployment.catalogue.height, len(deployment.atlas.parts)
    rows = [_checked(deployment, night)[1] for night in followed(plan.due, "nights")]
    rho = round(len(plan.due) * deployment.settings.privacy.rho_per_night, 6)
    return {"status": "dry run", "nights": len(plan.due), **_total(rows), "late_rows": plan.late_rows} | {
        "tracks": tracks,
        "parts": parts,
        "rho": rho,
    }


def run_night(deployment: Deployment, night: date) -> Counts:
    """Run one night, from precise listens to its noisy release; return its rows by what became of them.

    Reads like the house: arrivals, cells, releases. Until the release everything can be done again after a crash with
    the same outcome; the release itself is done once.
    """
    settings, store, key = deployment.settings, deployment.store, deployment.listener_key
    arrived, tally = _checked(deployment, night)
    allowed = keep_allowed(arrived, permissions=deployment.permissions, key=key)
    coarse = coarsen(allowed, night=night, resolution=settings.atlas.finest_resolution)
    with store.bucketed(coarse) as buckets:
        store.write_night(night, ((some, _bounded(deployment, night, some, rows)) for some, rows in buckets))
    remember_rows(deployment.workspace, night, tally)
    counts.release(
        store.scan([night]),
        night=night,
        candidates=_candidates(deployment, night),
        atlas=deployment.atlas,
        settings=settings.privacy,
        ledger=deployment.ledger,
        releases=deployment.workspace.releases,
        now=deployment.now,
    )
    store.expire(night)
    tell("night released", night=night.isoformat(), rows=tally.rows, bad_rows=tally.rows - tally.good)
    return tally


@dataclass(frozen=True)
class Published:
    """What a run put out.

    Parameters
    ----------
    snapshot : str
        Its id.
    nights : sequence of date
        The released nights behind the charts, in order.
    places : int
        How many places have a chart.
    measured : Measured
        How good the models are, and on which data.
    """

    snapshot: str
    nights: Sequence[date]
    places: int
    measured: Measured


def publish(deployment: Deployment) -> Published:
    """Derive the charts from released counts, train and measure the models, and swap the snapshot."""
    settings, workspace = deployment.settings, deployment.workspace
    with step("charts"):
        nights = counts.released_nights(workspace.releases)
        found = _charts(deployment, nights)
        released = counts.read(workspace.releases, charts.window_of(nights, settings=settings.charts))
    with step("models"):
        allowed = allowed_rows(deployment)
        measured = measure(allowed, deployment=deployment, models=settings.models)
    with step("lists"):
        past = Past(allowed, _draw(deployment), nights, before=measured.evaluation.trained)
        write_tastes(deployment, past=past, lines=found.lines)
    with step("snapshot"):
        id_ = snapshot.publish(
            workspace,
            charts=found,
            catalogue=deployment.catalogue,
            atlas=deployment.atlas,
            nights=released.nights,
            settings_digest=settings.digest(),
            ledger_numbers=released.ledger_numbers,
        )
    return Published(id_, released.nights, found.lines["place"].n_unique(), measured)


def _charts(deployment: Deployment, nights: Sequence[date]) -> charts.Charts:
    """Return the charts of the last released night, with where its tracks were the night before."""
    workspace, version = deployment.workspace, f"{deployment.settings.digest()} {deployment.atlas.version}"
    return with_history(nights, draw=_draw(deployment), folder=workspace.charts, version=version)


def _draw(deployment: Deployment) -> Draw:
    """Return what draws the charts of the last of some released nights."""
    known = deployment.catalogue.drop_nulls("released")
    return partial(
        charts.draw,
        partial(counts.read, deployment.workspace.releases),
        atlas=deployment.atlas,
        born=dict(known.select("track_id", "released").iter_rows()),
        settings=deployment.settings.charts,
    )


def _checked(deployment: Deployment, night: date) -> tuple[pl.LazyFrame, Counts]:
    """Return a night's good rows, unread, and the tally of all, or stop where too many are bad."""
    settings = deployment.settings.arrivals
    checked = read_night(deployment.sources.listens, night, catalogue=deployment.catalogue, now=deployment.now)
    return checked.listens, check_share(checked.counts(), max_bad_share=settings.max_bad_share)


def _candidates(deployment: Deployment, night: date) -> Candidates:
    return candidates_for(
        night,
        catalogue=deployment.catalogue,
        releases=deployment.workspace.releases,
        atlas=deployment.atlas,
        settings=deployment.settings.candidates,
    )


def _bounded(deployment: Deployment, night: date, buckets: Buckets, rows: pl.DataFrame) -> pl.DataFrame:
    return bound(
        rows,
        night=night,
        atlas=deployment.atlas,
        past=deployment.store.counted_nights(buckets, night),
        settings=deployment.settings.privacy,
        key=deployment.listener_key,
    )


def _import(deployment: Deployment) -> dict[str, Any] | None:
    file = deployment.sources.consents
    return import_consents(file, workspace=deployment.workspace, settings=deployment.settings) if file else None


def _forgetting(deployment: Deployment) -> AbstractContextManager[Callable[[], int]]:
    return forgetting(deployment.consents, store=deployment.store, workspace=deployment.workspace)


def _is_published(deployment: Deployment) -> bool:
    """Tell whether the current snapshot is whole and stands on the last released night and the present settings.

    A crash may have come between release and snapshot. Under another atlas nothing can be published before a night is
    released under it.
    """
    released = counts.released_nights(deployment.workspace.releases)
    try:
        facts = snapshot.current(deployment.workspace).manifest
    except (NotReadyError, InputError):
        return False
    alike = facts["settings"] == deployment.settings.digest() or facts["atlas"] != deployment.atlas.version
    return alike and bool(released) and facts["as_of"] == released[-1].isoformat()


def _audit(deployment: Deployment, run: tracking.Run) -> Finding:
    """Audit the release code before it draws anything: noise that was too small could not be taken back."""
    with step("audit"):
        finding = audit_release(deployment.settings)
    run.metrics({f"privacy.audit.{key}": value for key, value in finding.metrics().items()})
    finding.confirm()
    return finding


def _tracked(deployment: Deployment, engine: str) -> AbstractContextManager[tracking.Run]:
    settings = deployment.settings
    return tracking.run(
        settings.tracking.folder,
        experiment=settings.tracking.experiment,
        name=f"nightly {deployment.now:%Y-%m-%d %H:%M}",
        params=settings.flat(),
        tags=tags_of(deployment, engine=engine),
    )


def _summary(plan: Plan, rows: Sequence[Counts], published: Published) -> dict[str, Any]:
    evaluation = published.measured.evaluation
    return {
        "status": "done",
        "nights": len(plan.due),
        "through": published.nights[-1].isoformat(),
        **_total(rows),
        "late_rows": plan.late_rows,
        "places": published.places,
        "snapshot": published.snapshot,
        "models": logbook.headline(evaluation),
        "note": evaluation.note,
    }


def _total(rows: Sequence[Counts]) -> dict[str, Any]:
    """Add up the rows of several nights: read, good, and bad by reason."""
    bad: Counter[str] = Counter()
    for tally in rows:
        bad.update(tally.bad)
    good = sum(tally.good for tally in rows)
    return {"rows": good + bad.total(), "good_rows": good, "bad_rows": dict(sorted(bad.items()))}


def _flat(done: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a summary as metrics of the run, with every reason of a bad row: always the same keys."""
    numbers = {f"night.{key}": done[key] for key in ("nights", "rows", "good_rows", "late_rows", "places")}
    return numbers | {f"night.bad_rows.{reason}": done["bad_rows"].get(reason, 0) for reason in REASONS}
