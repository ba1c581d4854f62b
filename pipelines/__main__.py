"""The command line: ``hearabouts COMMAND``, one job each."""

import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from pipelines.base.terminal import (
    chart_table,
    configure_logging,
    print_line,
    print_table,
    progress_console,
    say_error,
    say_where,
)
from recsys.causes import not_ready
from recsys.errors import RecsysError, UsageError
from recsys.printable import escaped, printable
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.base.job_context import Sources
    from recsys.locations import Location

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
SHOWN = 3  # regions whose charts end a night, beside the world's
SHOWN_ITEMS = 5

Lost = Literal["witness", "spends", "key", "store", "consents"]

app = App(
    name="hearabouts",
    help="What is trending hereabouts, for people who never told us exactly where they are.",
    help_epilogue=(
        "Exit codes: 0 done, 2 usage, 65 bad data, 75 try again, 77 consent or budget refused, 78 settings.\n\n"
        "The last line on standard output is one JSON summary (but `token` prints the token alone); progress and logs "
        "go to standard error."
    ),
)
consents_app = App(name="consents", help="Bring a consent log in, or copy it elsewhere.")
snapshots_app = App(name="snapshots", help="List what was published, and go back to it.")
keys_app = App(name="keys", help="Put other keys in the place of those in use.")
privacy_app = App(name="privacy", help="Tell and check what privacy was spent.")
app.command(consents_app)
app.command(keys_app)
app.command(privacy_app)
app.command(snapshots_app)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """What every command takes.

    Parameters
    ----------
    workspace
        Folder of private data, releases and snapshots.
    settings
        TOML file over the defaults in recsys/hearabouts.toml.
    """

    workspace: Path = Path("workspace")
    settings: Path | None = None

    def opened(self) -> tuple[Workspace, Settings]:
        """Return the workspace, prepared, and the settings."""
        return Workspace(self.workspace).prepare(), self.read(self.settings)

    def read(self, file: Path | None) -> Settings:
        """Return the settings by a file, for this workspace."""
        return load_settings(file, workspace=self.workspace)


COMMON = Common()


@app.command
def nightly(
    *,
    through: date | None = None,
    listens: str | None = None,
    consents: str | None = None,
    catalogue: str | None = None,
    engine: Literal["polars", "spark"] = "polars",
    skip: Annotated[tuple[date, ...], Parameter(negative="")] = (),
    accept: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    common: Common = COMMON,
) -> dict[str, Any]:
    """Run every unprocessed night in order, then models, charts, snapshot and the MLflow run.

    Without arguments: on the sample world in data/sample, with its settings.

    Parameters
    ----------
    through
        The last night to run, as YYYY-MM-DD (a UTC day); by default the last that is over.
    listens
        A file, a folder of files, or a folder of date=YYYY-MM-DD/ partitions: Parquet, CSV (also .gz) or NDJSON. It may
        lie in an object store, as s3://BUCKET/FOLDER; so may the others.
    consents
        A consents file to import first.
    catalogue
        The catalogue file; needed with --listens.
    engine
        What counts: Polars on this machine, or the cluster that spark.remote names, which gives the same.
    skip
        A night to leave out for good, as YYYY-MM-DD: one that cannot be finished. May be given several times.
    accept
        NIGHT=REASON: a night that is right as it is, though it does not look whole, or is missing; also
        FIRST..LAST=REASON. The reason is recorded. May be given several times.
    dry_run
        Read and check everything, say what would be done, and change nothing.
    """
    from pipelines.base.job_context import JobContext
    from pipelines.experiments.champion import challenger_of, settings_of
    from pipelines.night.completeness import acceptances
    from pipelines.night.nightly import rehearse, run_nightly

    accepted = acceptances(accept)
    sources, file = _sources(listens, consents, catalogue, common.settings)
    workspace = Workspace(common.workspace)
    settings, champion = settings_of(file, workspace=workspace, keep=not dry_run)
    job = JobContext(workspace, settings, sources, datetime.now(UTC), champion, challenger_of(settings, file))
    if dry_run:
        return rehearse(job, through=through, skip=skip, accept=accepted)
    summary = run_nightly(job, through=through, skip=skip, accept=accepted, engine=engine)
    _show_charts(job.workspace)
    return summary


@app.command
def evaluate(
    *,
    config: Path | None = None,
    catalogue: str | None = None,
    draws: Annotated[int, Parameter(validator=Number(gte=1))] = 3,
    common: Common = COMMON,
) -> dict[str, Any]:
    """Measure the models on what the workspace holds, and log one run to compare; nothing that is served changes.

    Without a config: the settings that the next night would use, those of the champion. Without a catalogue: with the
    settings of the sample world.

    Parameters
    ----------
    config
        A TOML file of an experiment: [models] with keys to change, [search] with ranges to try; its name is the run's.
    catalogue
        The catalogue file, for the shares of local artists; by default the sample world's.
    draws
        Train and measure so often, each time by other luck, for the mean. A promotion needs 3; 1 takes less memory.
    """
    from pipelines.base.experiment_config import read_config
    from pipelines.base.job_context import JobContext, Sources
    from pipelines.experiments.champion import settings_of
    from pipelines.experiments.evaluate import models_table, run_evaluate

    experiment = read_config(config)
    file = _settings_file(common.settings, catalogue=catalogue)
    workspace = Workspace(common.workspace)
    settings, champion = settings_of(file, overrides={"models": experiment.models}, workspace=workspace)
    sources = Sources(SAMPLE / "listens", _located(catalogue) or SAMPLE / "catalogue.parquet")
    job = JobContext(workspace, settings, sources, datetime.now(UTC), champion)
    in_force = settings if not experiment.models else settings_of(file, workspace=workspace)[0]
    done = run_evaluate(job, config=experiment, times=draws, in_force=in_force.models)
    print_table(models_table(done.metrics, title=f"{experiment.name} · to {done.summary['night']}"))
    return done.summary


@app.command
def compare(left: str, right: str, *, common: Common = COMMON) -> dict[str, Any]:
    """Print what is different between two runs: settings, metrics with intervals, and which regions moved and why.

    Parameters
    ----------
    left
        A run: its id or the first digits of it, its name (then the newest of this name), `latest`, or `champion`.
    right
        Another.
    """
    from pipelines.experiments.compare import compare, metrics_table, regions_table, settings_table
    from pipelines.experiments.paired_runs import Figures
    from pipelines.mlflow.model_registry import Registry

    settings = common.read(common.settings)
    registry = Registry(settings.tracking.store)
    figures = Figures(Workspace(common.workspace), settings, datetime.now(UTC))
    found = compare(registry, registry.find(left), registry.find(right), figures=figures)
    for table in (settings_table(found), metrics_table(found), regions_table(found)):
        print_table(table)
    return found.as_json()


@app.command
def promote(
    run: str | None = None,
    *,
    back: Annotated[bool, Parameter(negative="")] = False,
    version: int | None = None,
    challenger: bool | None = None,
    common: Common = COMMON,
) -> dict[str, Any]:
    """Make a run's settings those of the nights to come, if it beats the champion on the same data.

    Parameters
    ----------
    run
        A run of a night or of `evaluate`; see `compare`.
    back
        Instead: make the champion before this one champion again; before the first came the defaults.
    version
        Instead: make this version of the registered model champion again.
    challenger
        Instead: let the run share lists with the champion's, so that listeners who allow feedback say which they
        prefer; --no-challenger, without a run, ends that.
    """
    from pipelines.experiments.promote import challenge, end_challenge, go_back, promote

    store = common.read(common.settings).tracking.store
    if [run is not None, back, version is not None, challenger is False].count(True) != 1:
        wanted = "name a run, or --back, or --version, or --no-challenger, and one of them"
        raise UsageError(wanted, hint="hearabouts promote --help")
    if challenger and run is None:
        raise UsageError("--challenger needs a run", hint="hearabouts promote --help")
    if challenger is False:
        return end_challenge(store)
    if challenger and run:
        return challenge(store, run, workspace=common.workspace, settings_file=common.settings)
    if run is None:
        return go_back(store, version=version)
    now = datetime.now(UTC)
    return promote(store, run, workspace=common.workspace, now=now, settings_file=common.settings)


@app.command
def ui(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=1, lte=65535))] = 5000,
    common: Common = COMMON,
) -> dict[str, Any]:
    """Open MLflow's page where the runs are, on the leaderboard: of experiments, else of nights.

    Where `tracking.uri` or MLFLOW_TRACKING_URI names a server, this tells its address; else it serves the page until
    interrupted.

    Parameters
    ----------
    host
        Address to listen on; whoever reaches it reads true counts of many listeners.
    port
        Port to listen on.
    """
    from pipelines.mlflow.page import show

    tracking = common.read(common.settings).tracking
    return show(tracking.store, experiments=(tracking.evaluations, tracking.experiment), host=host, port=port)


@app.command
def chart(
    place: str,
    *,
    chart: Literal["popular", "rising", "local"] = "popular",
    limit: Annotated[int, Parameter(validator=Number(gte=1))] = 20,
    json: Annotated[bool, Parameter(negative="")] = False,
    common: Common = COMMON,
) -> dict[str, Any]:
    """Print a published chart.

    Parameters
    ----------
    place
        A city or country name, a region's id, an H3 cell (its region is used), or world.
    chart
        Which chart.
    limit
        Items at most.
    json
        Print what the endpoint would answer, instead of a table.
    """
    from pipelines.chart import published_chart

    answer = published_chart(
        place,
        workspace=Workspace(common.workspace),
        settings=common.read(common.settings),
        chart=chart,
        limit=limit,
        told=progress_console.print,
    )
    if json:
        return dict(answer)
    print_table(chart_table(answer))
    return {"place": answer["region"]["id"], "scope": answer["scope"], "chart": chart, "as_of": answer["as_of"]}


@app.command
def partner(
    *,
    from_: Annotated[date, Parameter(name="--from")],
    to: date,
    out: Path | None = None,
    consents: str | None = None,
    catalogue: str | None = None,
    common: Common = COMMON,
) -> dict[str, Any]:
    """Make the partner file of a period: noisy numbers of those listeners alone who allow partner statistics.

    Without a catalogue: of the sample world, with its consents and settings. A night is in one partner file at most;
    the same period again gives the same file and spends nothing.

    Parameters
    ----------
    from_
        The first night, as YYYY-MM-DD (a UTC day).
    to
        The last night.
    out
        Copy the file to this folder; it stays in WORKSPACE/partner/FROM_TO as well.
    consents
        A consents file to import first.
    catalogue
        The catalogue file: which tracks to count, and what they are called.
    """
    from pipelines.base.job_context import JobContext, Sources
    from pipelines.privacy.partner import run_partner
    from recsys.releases.partner.partner_release import Period

    if catalogue is None and consents is not None:
        raise UsageError(
            "--consents needs --catalogue, which is missing",
            hint="Give both, or neither for the sample world.",
        )
    sample = catalogue is None
    sources = Sources(
        listens=SAMPLE / "listens",
        catalogue=_located(catalogue) or SAMPLE / "catalogue.parquet",
        consents=SAMPLE / "consents.parquet" if sample else _located(consents),
    )
    file = _settings_file(common.settings, catalogue=catalogue)
    job = JobContext(Workspace(common.workspace), common.read(file), sources, datetime.now(UTC))
    return run_partner(job, period=Period(from_, to), out=out)


@app.command
def serve(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535))] = 8000,
    common: Common = COMMON,
) -> dict[str, Any]:
    """Serve the published charts over HTTP until interrupted.

    Parameters
    ----------
    host
        Address to listen on.
    port
        Port to listen on; 0 for any free one.
    """
    from pipelines.privacy.export import records_in
    from recsys.serving.server import serve as serve_http

    workspace, settings = common.opened()
    records = records_in(workspace, settings=settings)
    return serve_http(workspace, settings=settings, records=records, host=host, port=port)


@app.command
def token(
    user_id: str, *, identifier: Annotated[tuple[str, ...], Parameter(negative="")] = (), common: Common = COMMON
) -> None:
    """Print a short-lived token for trying the endpoint, signed with the workspace's own development key.

    Parameters
    ----------
    user_id
        The listener to sign in as.
    identifier
        A number (E.164: +351...) or an address, in small letters, that the token says is the listener's; several times
        for several.
    """
    from recsys.serving.auth.tokens import is_identifier, mint

    if not user_id:
        raise UsageError("the user id is empty", hint="Name the listener to sign in as.")
    if not all(map(is_identifier, identifier)):
        raise UsageError(
            "an identifier is neither a number nor an address",
            hint="Write numbers as E.164 (+351211234567), and addresses in small letters.",
        )
    workspace, settings = common.opened()
    print(mint(user_id, workspace=workspace, settings=settings, now=datetime.now(UTC), identifiers=identifier))


@app.command
def forget(user_id: str, *, common: Common = COMMON) -> dict[str, Any]:
    """Erase everything held about a listener, at once; released charts are anonymous and stay.

    A keyed mark stays, too, for `erasures.kept_days`: what a consents file, the input or a backup still holds of before
    is not taken in again.

    Parameters
    ----------
    user_id
        The listener to forget; one who was never seen is forgotten in the same way.
    """
    from pipelines.privacy.forget import forget

    if not user_id:
        raise UsageError("the user id is empty", hint="Name the listener to forget.")
    workspace, settings = common.opened()
    return forget(user_id, workspace=workspace, settings=settings, now=datetime.now(UTC))


@app.command
def sample(
    *,
    to: Path = SAMPLE,
    size: float = 1.0,
    seed: int = 20261,
    nights: int = 35,
    tracks: int = 2_000,
    last_night: date = date(2026, 10, 4),
    common: Common = COMMON,
) -> dict[str, Any]:
    """Write a sample world with known truth; the same arguments write the same bytes.

    Parameters
    ----------
    to
        The folder to write; replaced if it is a sample world.
    size
        Scales the number of listeners; 1 is about 8,000 a night.
    seed
        Of everything random.
    nights
        Nights to write.
    tracks
        Tracks in the catalogue.
    last_night
        The last of the nights, as YYYY-MM-DD.
    """
    from pipelines.sample import write_world
    from recsys.geography.atlas import load_atlas

    atlas = load_atlas(common.read(common.settings).atlas)
    summary = write_world(to, atlas=atlas, size=size, seed=seed, nights=nights, tracks=tracks, last_night=last_night)
    return asdict(summary)


@consents_app.command(name="import")
def import_(file: str, *, common: Common = COMMON) -> dict[str, Any]:
    """Append the entries of a consents file to the workspace's log; a second time changes nothing.

    Parameters
    ----------
    file
        Parquet, CSV (also .gz) or NDJSON with user_id, purpose, state, at and notice_version.
    """
    from pipelines.privacy.import_consents import import_consents
    from recsys.locations import location

    workspace, settings = common.opened()
    with workspace.locked():
        return import_consents(location(file), workspace=workspace, settings=settings)


@consents_app.command
def copy(*, to: str, common: Common = COMMON) -> dict[str, Any]:
    """Copy the whole consent log to another database, verified; a second time changes nothing.

    Stop the endpoint first, then let consents.url name the copy. The workspace's marks.db and marks.key stay in use.

    Parameters
    ----------
    to
        postgresql://USER:PASSWORD@HOST/DATABASE, empty or an earlier copy; or the path of a SQLite file.
    """
    from pipelines.privacy.copy_consents import copy_consents

    workspace, settings = common.opened()
    return copy_consents(to, workspace=workspace, settings=settings)


@snapshots_app.command(name="list")
def list_(*, common: Common = COMMON) -> dict[str, Any]:
    """Print the snapshots that are kept, the newest first, and whether they are whole."""
    from pipelines.snapshots import listed, snapshots_table

    found = listed(Workspace(common.workspace))
    print_table(snapshots_table(found))
    return {"status": "done", "snapshots": [asdict(each) for each in found]}


@snapshots_app.command
def use(snapshot: str, *, common: Common = COMMON) -> dict[str, Any]:
    """Serve another of the snapshots that are kept, until the next one is published.

    Parameters
    ----------
    snapshot
        Its id, as `hearabouts snapshots list` prints it.
    """
    from pipelines.snapshots import use

    return {"status": "done", "snapshot": snapshot, "before": use(Workspace(common.workspace), snapshot)}


@app.command
def doctor(*, common: Common = COMMON) -> dict[str, Any]:
    """Look at a workspace and all it stands on, say what was found and what to do, a line each, and change nothing.

    Exits with 0 where all is well, else with what the worst asks for: 77 a budget, 65 data, 75 something that passes.
    """
    from pipelines.base.job_context import JobContext, Sources
    from pipelines.doctor import examine
    from pipelines.doctor import summary as told

    sources = Sources(SAMPLE / "listens", SAMPLE / "catalogue.parquet")
    found = examine(JobContext(Workspace(common.workspace), common.read(common.settings), sources, datetime.now(UTC)))
    for finding in found:
        print_line(finding)
    return told(found)


@keys_app.command
def rotate(
    which: Literal["store", "token", "contacts", "listener"],
    *,
    new: Path | None = None,
    everybody_anew: Annotated[bool, Parameter(negative="")] = False,
    common: Common = COMMON,
) -> dict[str, Any]:
    """Put another key in the place of one, and say what to do next.

    store: the keys of the days go under the new one; no file is written anew. token: tokens of `hearabouts token` of
    before are refused, once the endpoint was restarted. contacts: what was told of address books is forgotten, and told
    anew once the endpoint was restarted. listener: nobody is known any more, so it takes
    --everybody-anew.

    Parameters
    ----------
    which
        Which key.
    new
        A file with the new store key, to be kept outside the workspace: 64 hex digits.
    everybody_anew
        With a new listener key: remove stored plays, evaluations and lists, and ask everybody for consent again.
    """
    from pipelines.base.job_context import JobContext, Sources
    from pipelines.night.rotate_keys import rotate

    sources = Sources(SAMPLE / "listens", SAMPLE / "catalogue.parquet")
    job = JobContext(Workspace(common.workspace), common.read(common.settings), sources, datetime.now(UTC))
    return rotate(job, which, new=new, everybody_anew=everybody_anew)


@privacy_app.command
def report(*, common: Common = COMMON) -> dict[str, Any]:
    """Print what privacy was spent and may be spent, by purpose and two accountants, and what that means."""
    from pipelines.privacy.report import privacy_report, report_table

    found = privacy_report(Workspace(common.workspace), settings=common.read(common.settings))
    print_table(report_table(found))
    return found.as_json()


@privacy_app.command
def settle(
    *,
    accept: Annotated[
        tuple[Literal["witness", "spends", "key", "store", "consents"], ...], Parameter(negative="")
    ] = (),
    common: Common = COMMON,
) -> dict[str, Any]:
    """Say what a restored, copied or damaged workspace lost; with --accept, go on without it, for good.

    Accept only what no backup brings back. witness: the releases in the ledger are witnessed anew. spends: releases
    that only the witness knows are charged to the ledger, their nights are left out for good, and all listeners begin
    with nothing saved. key: a new listener key; the plays stored under the other are removed, and everybody has to
    allow everything anew. store: what is sealed under the lost store key is removed, and all listeners begin with
    nothing saved. consents: the consent log that is there is the one to use, as it is.

    Parameters
    ----------
    accept
        What is lost for good; may be given several times.
    """
    from pipelines.base.job_context import JobContext, Sources
    from pipelines.night.settle import settle

    sources = Sources(SAMPLE / "listens", SAMPLE / "catalogue.parquet")
    job = JobContext(Workspace(common.workspace), common.read(common.settings), sources, datetime.now(UTC))
    return settle(job, accept=accept)


@privacy_app.command
def verify(folder: Path, *, common: Common = COMMON) -> dict[str, Any]:
    """Recompute every figure of a partner file, or of a night's release, and compare it with ledger and witness.

    Parameters
    ----------
    folder
        A folder that `hearabouts partner` wrote, or WORKSPACE/releases/DATE.
    """
    from pipelines.privacy.report import checks_table, verified
    from recsys.releases.verify.verification import confirm

    workspace = Workspace(common.workspace)
    checks = verified(folder, workspace=workspace, settings=common.read(common.settings))
    print_table(checks_table(checks, folder=folder, workspace=workspace))
    confirm(checks)
    return {"status": "done", "folder": str(folder), "checks": len(checks), "broken": 0}


def main() -> None:
    """Run the command line: print the summary as the last line, and exit with the code of what went wrong."""
    configure_logging()
    try:
        summary = app(sys.argv[1:], exit_on_error=False, result_action="return_value")
    except CycloptsError as error:  # which cyclopts has shown on standard error
        print(
            _line(
                {
                    "status": "failed",
                    "problem": UsageError.problem,
                    "message": printable(str(error)),
                    "hint": "Try --help.",
                }
            )
        )
        sys.exit(UsageError.exit_code)
    except RecsysError as error:
        _fail(error)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # a panic of Polars' Rust code is no Exception
        refused = not_ready(error)  # a full disk is no bug
        if refused is not None:
            _fail(refused)
        say_where(error)
        print(_line({"status": "failed", "problem": "unforeseen", "message": type(error).__name__, "hint": ""}))
        sys.exit(1)
    if isinstance(summary, dict):
        code = summary.pop("exit_code", 0)
        print(_line(summary))
        if code:
            sys.exit(code)


def _fail(error: RecsysError) -> NoReturn:
    say_error(error)
    print(_line({"status": "failed", "problem": error.problem, "message": error.message, "hint": error.hint}))
    sys.exit(error.exit_code)


def _settings_file(settings: Path | None, *, catalogue: str | None) -> Path | None:
    """Return the settings file; the sample's where the catalogue is the sample's too."""
    return settings or (SAMPLE / "settings.toml" if catalogue is None else None)


def _sources(
    listens: str | None, consents: str | None, catalogue: str | None, settings: Path | None
) -> tuple["Sources", Path | None]:
    """Return what to read and the settings file; without any argument both are the sample's."""
    from pipelines.base.job_context import Sources
    from recsys.locations import location

    if listens is None and consents is None and catalogue is None:
        sample = Sources(SAMPLE / "listens", SAMPLE / "catalogue.parquet", SAMPLE / "consents.parquet")
        return sample, settings or SAMPLE / "settings.toml"
    if listens is None or catalogue is None:
        raise UsageError(
            "--listens and --catalogue go together, and one of them is missing",
            hint="Give both, or neither (and no --consents) for the sample world.",
        )
    return Sources(location(listens), location(catalogue), _located(consents)), settings


def _located(text: str | None) -> "Location | None":
    """Return where a file that may be given lies."""
    from recsys.locations import location

    return None if text is None else location(text)


def _show_charts(workspace: Workspace) -> None:
    """End the night with what it was for: what is popular in the world and in the liveliest regions, and what rises."""
    from recsys.artifacts.list_candidates import POPULAR, RISING
    from recsys.geography.places import WORLD
    from recsys.serving.lists.responses import chart_answer
    from recsys.serving.snapshot.snapshot_reader import open_published

    published = open_published(workspace)
    listeners: dict[str, tuple[float, str]] = {}
    for place in published.places.values():
        items = published.items(place.id, chart=POPULAR) if place.level == "region" else None
        if items:
            first = (items[0]["listeners"]["low"], place.id)  # surely so many: noise alone must not choose
            listeners[str(place.parent)] = max(first, listeners.get(str(place.parent), first))
    liveliest = [place_id for _, place_id in sorted(listeners.values(), reverse=True)][:SHOWN]
    shown = [(WORLD, POPULAR), *((place_id, POPULAR) for place_id in liveliest), (WORLD, RISING)]
    shown += [(place_id, RISING) for place_id in liveliest if published.items(place_id, chart=RISING)]
    for place_id, chart in shown:
        print_table(chart_table(chart_answer(published, place_id=place_id, chart=chart, limit=SHOWN_ITEMS)))


def _line(summary: dict[str, Any]) -> str:
    return escaped(json.dumps(summary, ensure_ascii=False))


if __name__ == "__main__":
    main()
