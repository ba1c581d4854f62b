"""The night: every unprocessed night in order, then charts, models, snapshot and the run in MLflow."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl

from pipelines.base.job_context import JobContext
from pipelines.base.left_out import leave_out
from pipelines.base.machine import PROCESS, side_by_side
from pipelines.base.terminal import counted, followed, log, step, tell, tell_of
from pipelines.experiments.evaluate import Measured, measure, workers_for
from pipelines.experiments.paired_runs import keep
from pipelines.mlflow import logbook
from pipelines.mlflow.handover import clean_up
from pipelines.mlflow.run_record import Run
from pipelines.mlflow.run_tags import DATA_DIGEST, allowed_rows, tracked
from pipelines.night.coarse_listens import coarse_listens
from pipelines.night.completeness import Acceptance, Judged, check_complete, rehearse_complete
from pipelines.night.engines.engine import Bound, Coarse, Engine
from pipelines.night.engines.one_machine import OneMachine
from pipelines.night.engines.opening import opened
from pipelines.night.interleaving import compare_lists, of_those_who_tell, with_challenger
from pipelines.night.personal_lists import Lists, Past, personal_lists, write_personal_lists
from pipelines.night.public_files import write_public
from pipelines.night.public_outputs import public_outputs
from pipelines.night.schedule import Plan, check_records, plan_nights, remember_rows
from pipelines.privacy.forget import forgetting
from pipelines.privacy.import_consents import import_consents, read_consents
from pipelines.privacy.nightly_audit import audit_release
from pipelines.privacy.write_privacy_account import write_account
from recsys.arrivals.input_tables import Counts
from recsys.arrivals.listens import CheckedNight, check_share, read_night, reasons
from recsys.arrivals.permission import still_allowed
from recsys.artifacts.chart_history import nights_of
from recsys.artifacts.public_files import rendering
from recsys.cells import evaluations
from recsys.cells.contributions import bound
from recsys.cells.takeover import take_over
from recsys.errors import InputError, NotReadyError
from recsys.releases.budget.accounting import summary
from recsys.releases.budget.ledger import CHARTS
from recsys.releases.charts import charts
from recsys.releases.charts.charts import Charts
from recsys.releases.charts.place_memory import with_memory
from recsys.releases.counts import release
from recsys.releases.counts.candidates import Candidates, candidates_for
from recsys.releases.snapshot import publishing
from recsys.releases.snapshot.past_charts import Draw, PastCharts
from recsys.releases.verify.audit import Finding
from recsys.workspace import fingerprint

_HERE = OneMachine()


def run_nightly(
    job: JobContext,
    *,
    through: date | None = None,
    skip: Sequence[date] = (),
    accept: Sequence[Acceptance] = (),
    engine: str = "polars",
) -> dict[str, Any]:
    """Run all unprocessed nights up to ``through`` in order, and publish what follows from them.

    Parameters
    ----------
    job : JobContext
    through : date, optional
        The last night (UTC day); by default the last that is over.
    skip : sequence of date
        Nights to leave out for good.
    accept : sequence of Acceptance
        Nights that are right as they are, though they do not look whole, or are missing.
    engine : str
        What counts: ``polars``, or ``spark`` for the cluster that the settings name.

    Returns
    -------
    dict
        The summary that the command line prints.

    Raises
    ------
    InputError
        If input is missing or a night's rows do not fit: then nothing is drawn, spent or published. If it turns out
        to be damaged later, nights before it stay released, the snapshot unchanged.
    IncompleteNightError
        If a night is missing or does not look whole, and nobody accepted that: nothing is drawn, spent or published.
    NotReadyError
        If another job holds the workspace, the engine cannot be reached, or no night is over yet: then nothing is
        done. If the engine fails later, nights before stay released, the snapshot unchanged.
    PrivacyBudgetError
        If the audit of the release code fails: then nothing is drawn, spent or published.
    ConsentError, SettingsError
        As :meth:`pipelines.base.job_context.JobContext.begun` says, and also the others.
    """
    started = time.monotonic()
    at = opened(engine, settings=job.settings)
    with job.begun(without=skip), _forgetting(job) as forget_all:
        plan = plan_nights(job, through=through, skip=skip)
        _check_begun(plan, job)
        leave_out(job.workspace, skip)
        _take_over(job)
        check_records(job.workspace)
        job.store.check()
        if plan.late:
            log.warning("late rows are not counted: their nights are over", rows=plan.late_rows, nights=len(plan.late))
        imported = _import(job)
        forget_all()  # after the import, which may hold them still
        _expire(job)
        _compact(job)
        _scrub(job)
        clean_up(job.workspace.unlogged, job.settings.tracking.store)
        if not plan.due and _is_published(job):
            publishing.link_public(job.workspace)
            return {"status": "nothing new", "nights": 0, "late_rows": plan.late_rows, "consents": imported}
        judged = check_complete(job, plan, accept=accept)
        accepted = judged.accepted
        with _tracked(job, at.name) as run:
            run.tags({f"accepted.{night}": reason for night, reason in accepted.items()})
            audited = _audit(job, run)
            with logbook.spending(run, job):
                rows = [run_night(job, night, judged=judged, engine=at) for night in followed(plan.due, "nights")]
            logbook.log_inputs(run, job.sources, nights=plan.due)
            write_account(job)  # before the snapshot, which tells of it in its public files
            published = publish(job, engine=at)
            done = _summary(plan, rows, published) | {"consents": imported}
            done |= {"accepted": [night.isoformat() for night in accepted]}
            done |= {"audit": {key: round(value, 4) for key, value in audited.metrics().items()}}
            seconds = round(time.monotonic() - started, 1)
            run.metrics({**_flat(done), "seconds.total": seconds})
            _log_published(run, job, published, rows=dict(zip(plan.due, rows, strict=True)))
    return done | {"mlflow_run": run.logged, "privacy": summary(job.settings.privacy), "seconds": seconds}


def rehearse(
    job: JobContext, *, through: date | None = None, skip: Sequence[date] = (), accept: Sequence[Acceptance] = ()
) -> dict[str, Any]:
    """Read and check everything that a run would, say what it would do, and change nothing."""
    plan = plan_nights(job, through=through, skip=skip)
    _check_begun(plan, job)
    if job.sources.consents:
        read_consents(job.sources.consents, key=bytes(32), settings=job.settings)
    tracks, parts = job.catalogue.height, len(job.atlas.parts)
    judged = rehearse_complete(job, plan, accept=accept)
    rho = round(len(plan.due) * job.settings.privacy.rho_per_night, 6)
    rows = [each.rows for each in judged.rows.values()]
    return {"status": "dry run", "nights": len(plan.due), **_total(rows), "late_rows": plan.late_rows} | {
        "accepted": [night.isoformat() for night in judged.accepted],
        "tracks": tracks,
        "parts": parts,
        "rho": rho,
    }


def run_night(job: JobContext, night: date, *, judged: Judged | None = None, engine: Engine = _HERE) -> Counts:
    """Run one night, from precise listens to its noisy release; return its rows by what became of them.

    Reads like the house: arrivals, cells, releases. Until the release everything can be done again after a crash with
    the same outcome; the release itself is done once.
    """
    settings, store = job.settings, job.store
    tally = _take_in(job, night, judged=judged, engine=engine)
    candidates = _candidates(job, night)
    permissions = job.permissions  # of the moment in which the noise is drawn
    release.release(
        (still_allowed(some, permissions=permissions) for some in store.batches(night)),
        night=night,
        candidates=candidates,
        atlas=job.atlas,
        settings=settings.privacy,
        ledger=job.ledger,
        releases=job.workspace.releases,
        now=job.now,
        mapped=engine.map,
    )
    store.expire(night)
    evaluations.expire(store.sealed, night, nights=settings.store.nights)
    store.sealed.expire(night - timedelta(days=settings.store.nights - 1))  # nothing is left that they open
    tell("night released", night=night.isoformat(), rows=tally.rows, bad_rows=tally.rows - tally.good)
    return tally


def _take_in(job: JobContext, night: date, *, judged: Judged | None, engine: Engine) -> Counts:
    """Make the night's contributions of what arrived; permissions of its listens are in memory no longer than that."""
    store, after = job.store, _last_released(job)
    arrived, tally = _checked(job, night, judged)
    make = partial(engine.bounded, coarse=_coarse(job, arrived), bound=_bound(job, night))
    with arrived.unchanged(), make(arrived.parts, store=store, after=after) as bounded:
        store.write_night(night, bounded, after=after)
    remember_rows(job.workspace, night, tally)
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


def publish(job: JobContext, *, engine: Engine = _HERE) -> Published:
    """Derive the charts from released counts, train and measure the models, and swap the snapshot."""
    settings, workspace = job.settings, job.workspace
    with counted("charts") as told:
        nights = job.releases.nights()
        charts_of = _past_charts(job)
        found = charts_of.charts(nights, told=told)
    with step("contributions"):
        allowed = allowed_rows(job)
    workers = workers_for(allowed, machine=settings.machine)
    with _public_outputs(job, found, workers=workers) as wait_for_snapshot:
        measured = measure(allowed, job=job, models=settings.models)
        with step("lists"):
            past = _past(job, nights, lists=charts_of.lists, allowed=allowed, measured=measured)
            lists = personal_lists(job, past=past, lines=found.lines, spread=engine.map)
            lists = with_challenger(job, lists, past=past, lines=found.lines)
        with step("snapshot"):
            id_ = wait_for_snapshot()
    write_personal_lists(job, of_those_who_tell(job, lists), past=past, lines=found.lines)
    publishing.lead_to(workspace, id_)
    return Published(id_, found.nights, found.lines["place"].n_unique(), measured)


def _public_outputs(job: JobContext, charts: Charts, *, workers: int) -> AbstractContextManager[Callable[[], str]]:
    """Write what follows from charts alone beside what the block does, and yield what waits for the snapshot's id."""
    settings, workspace = job.settings, job.workspace
    write_snapshot = partial(
        publishing.write,
        workspace,
        charts=charts,
        catalogue=job.catalogue,
        atlas=job.atlas,
        nights=charts.nights,
        settings_digest=settings.digest(),
        ledger_numbers=charts.ledger_numbers,
        write_public=partial(write_public, workspace=workspace, settings=settings),
        rendering=rendering(settings),
    )
    return public_outputs(write_snapshot, workspace=workspace, atlas=job.atlas, settings=settings, workers=workers)


def _past(job: JobContext, nights: Sequence[date], *, lists: Lists, allowed: pl.DataFrame, measured: Measured) -> Past:
    """Return what to make lists of: what is still allowed, now that the models are measured.

    Where somebody withdrew meanwhile, nothing that was learned of that listener goes on.
    """
    rows = allowed_rows(job, of=allowed)
    before = measured.evaluation.trained if len(rows) == len(allowed) else None
    return Past(rows, lists, nights, before=before, origins=job.origins)


def _past_charts(job: JobContext) -> PastCharts:
    """Return what has the charts of all released nights."""
    return PastCharts(
        job.workspace.history,
        _draw(job),
        version=_version(job),
        catalogue=job.catalogue,
        today=job.now.date(),
        settings=job.settings.history,
        window_nights=job.settings.charts.window_nights,
        workers=side_by_side(job.settings.machine, each=PROCESS),
    )


def _version(job: JobContext) -> str:
    """Return what the charts are derived by."""
    return f"{job.settings.digest()} {job.atlas.version}"


def _draw(job: JobContext) -> Draw:
    """Return what draws the charts of the last of some released nights, and keeps what places remember after it."""
    settings, known = job.settings.charts, job.catalogue.drop_nulls("released")
    artists = dict(job.catalogue.select("track_id", "artist_id").iter_rows())
    derive = partial(partial, atlas=job.atlas, settings=settings, artists=artists, totals=job.releases.totals)
    born = dict(known.select("track_id", "released").iter_rows())
    return partial(
        with_memory,
        draw=derive(charts.draw, job.releases.read, born=born),
        remember=derive(charts.remember, job.releases.read),
        folder=job.workspace.charts / "memory",
        version=_version(job),
        window_nights=settings.window_nights,
    )


def _checked(job: JobContext, night: date, judged: Judged | None) -> tuple[CheckedNight, Counts]:
    """Return a night's rows, unread, and the tally of all, or stop where too many are bad.

    The gate counted them already; where a file is another since then, they are counted again.
    """
    checked = read_night(job.sources.listens, night, catalogue=job.catalogue, now=job.now)
    tally = (judged and judged.counts(checked)) or check_share(
        checked.counts(), max_bad_share=job.settings.arrivals.max_bad_share
    )
    tell_of(tally)
    return checked, tally


def _candidates(job: JobContext, night: date) -> Candidates:
    return candidates_for(
        night,
        catalogue=job.catalogue,
        releases=job.releases,
        atlas=job.atlas,
        settings=job.settings.candidates,
    )


def _coarse(job: JobContext, arrived: CheckedNight) -> Coarse:
    """Return what makes coarse listens of parts of a night; whoever calls it may be on another machine."""
    return partial(
        coarse_listens,
        arrived=replace(arrived, parts=()),
        permissions=job.permissions.during(arrived.night),
        key=job.listener_key,
        resolution=job.settings.atlas.finest_resolution,
    )


def _bound(job: JobContext, night: date) -> Bound:
    """Return what makes contributions of coarse listens and balances; whoever calls it may be on another machine."""
    atlas, settings, key = job.atlas.without_cities, job.settings.privacy, job.listener_key
    return partial(bound, night=night, atlas=atlas, settings=settings, key=key)


def _last_released(job: JobContext) -> date | None:
    """Return the last night that was released: what listeners added to later ones was never given out.

    By the ledger, which knows also of nights that this workspace lost: after one nobody has anything saved.
    """
    entries = (entry for entry in job.ledger.entries() if entry.spend.purpose == CHARTS and entry.release is not None)
    return max((entry.spend.night for entry in entries), default=None)


def _expire(job: JobContext) -> None:
    """Let go what was kept for long enough, and what belongs to switches that are off."""
    settings, log, today = job.settings, job.consents, job.now.date()
    job.marks.expire(before=job.now - timedelta(days=settings.erasures.kept_days))
    log.forget_where_off()
    log.feedback.expire(today - timedelta(days=settings.feedback.kept_days))
    waiting, key = timedelta(days=settings.contacts.waiting_days), fingerprint(job.workspace.contacts_key())
    log.contacts.expire(before=today - waiting, key=key, at=job.now)


def _compact(job: JobContext) -> None:
    """Let decisions go that are older than every night which is stored or still to be run, of who has very many."""
    last, kept = _last_released(job), job.settings.consents.kept_decisions
    if last is not None:
        first = datetime.combine(last - timedelta(days=job.settings.store.nights), datetime.min.time(), tzinfo=UTC)
        gone = job.consents.compact(before=first, kept=kept)
        if gone:
            log.info("decisions were compacted: nobody asks for them any more", decisions=gone)


def _scrub(job: JobContext) -> None:
    """Take off the disk what was deleted since the last night, by listeners and here; another night tries again."""
    for scrub in (job.marks.scrub, job.consents.scrub):
        try:
            scrub()
        except NotReadyError as error:  # it is deleted all the same
            log.warning("what was deleted is not off the disk yet", reason=error.message)


def _take_over(job: JobContext) -> None:
    """Let a store from before weights were earned, or from before files were sealed, go on as one of now."""
    spent = [entry.spend.sensitivity_squared for entry in job.ledger.entries() if entry.spend.purpose == CHARTS]
    privacy = job.settings.privacy
    most, last = max(spent, default=privacy.most_per_night), _last_released(job)
    if take_over(job.store.sealed, released=last, settings=privacy, spent=most):
        log.info("the private store was taken over: what listeners added before is paid from what they earn")
    sealed = job.store.sealed.take_in()
    if sealed:
        log.info("the private store was sealed: its files are encrypted from now on", files=sealed)


def _import(job: JobContext) -> dict[str, Any] | None:
    file = job.sources.consents
    return import_consents(file, workspace=job.workspace, settings=job.settings) if file else None


def _forgetting(job: JobContext) -> AbstractContextManager[Callable[[], int]]:
    return forgetting(job.consents, store=job.store)


def _check_begun(plan: Plan, job: JobContext) -> None:
    """Refuse to go on where no night was released and none can be."""
    if not plan.due and not job.releases.nights():
        raise NotReadyError(
            "no night is over yet, or none that is not left out",
            hint="Run `hearabouts nightly` again when one is (days are UTC), with the same --skip if there was one.",
        )


def _is_published(job: JobContext) -> bool:
    """Tell whether the current snapshot is whole and stands on the last released night and the present settings.

    A crash may have come between release and snapshot. Under another atlas nothing can be published before a night is
    released under it.
    """
    released = job.releases.nights()
    try:
        facts = publishing.current(job.workspace).manifest
    except (NotReadyError, InputError):
        return False
    wanted = (job.settings.digest(), rendering(job.settings), True)
    alike = (facts["settings"], facts.get("rendering"), _is_kept(job)) == wanted or facts["atlas"] != job.atlas.version
    return alike and bool(released) and facts["as_of"] == released[-1].isoformat()


def _is_kept(job: JobContext) -> bool:
    """Tell whether the chart history has the last released night: it may have been lost."""
    return bool(job.releases.nights()) and job.releases.nights()[-1] in {
        n.night for n in nights_of(job.workspace.history)
    }


def _audit(job: JobContext, run: Run) -> Finding:
    """Audit the release code before it draws anything: noise that was too small could not be taken back."""
    with step("audit"):
        finding = audit_release(job.settings)
    run.metrics({f"privacy.audit.{key}": value for key, value in finding.metrics().items()})
    finding.confirm()
    return finding


def _tracked(job: JobContext, engine: str) -> AbstractContextManager[Run]:
    settings, name = job.settings, f"nightly {job.now:%Y-%m-%d %H:%M}"
    experiment = settings.tracking.experiment
    return tracked(job, experiment=experiment, name=name, params=settings.flat(), engine=engine)


def _log_published(run: Run, job: JobContext, published: Published, *, rows: Mapping[date, Counts]) -> None:
    """Log what was measured on the way to a snapshot, with the rows of each new night."""
    found, night = published.measured, published.nights[-1]
    run.tags(found.tags)
    logbook.log_data(run, found.tags[DATA_DIGEST])
    logbook.log_models(run, found.evaluation, atlas=job.atlas, night=night)
    logbook.log_night(run, found.evaluation, night=night, rows=rows)
    compare_lists(job, run)
    keep(job, found.evaluation, run=run.id, night=night)


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
    return numbers | {f"night.bad_rows.{reason}": done["bad_rows"].get(reason, 0) for reason in reasons()}
