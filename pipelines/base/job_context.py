"""The context of a job: workspace, settings, sources and stores, each opened once."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from itertools import groupby
from operator import itemgetter

import polars as pl

from pipelines.base.left_out import left_out
from pipelines.base.terminal import tell_of
from recsys.arrivals.catalogue import read_catalogue
from recsys.arrivals.permission import Permissions, permissions
from recsys.cells.store import Store
from recsys.consents.belongings import on_since
from recsys.consents.consent_tables import instant_of
from recsys.consents.log import ConsentLog, Purpose, consent_log, marks_of
from recsys.consents.marks import Marks
from recsys.consents.witness import Witness, check_key, witness_of
from recsys.geography.atlas import Atlas, load_atlas
from recsys.locations import Location
from recsys.releases.budget.ledger import Ledger
from recsys.releases.budget.witnessing import check_clock, check_spends, check_witness
from recsys.releases.counts import release
from recsys.releases.counts.release_reader import ReleaseReader
from recsys.releases.partner import partner_release
from recsys.settings import ModelsSettings, Settings
from recsys.workspace import Workspace


@dataclass(frozen=True)
class Sources:
    """Where the input lies (section 3.1 of the design).

    Parameters
    ----------
    listens, catalogue : Location
    consents : Location or None
        A consents file to import first; None where the workspace's own log is complete.
    """

    listens: Location
    catalogue: Location
    consents: Location | None = None


@dataclass(frozen=True)
class Challenger:
    """A ranker that shares lists with the champion's (:mod:`pipelines.night.interleaving`).

    Parameters
    ----------
    version : str
        Of the registered model.
    models : ModelsSettings
    """

    version: str
    models: ModelsSettings


@dataclass(frozen=True)
class JobContext:
    """One workspace with its settings and input, at the instant of a run.

    Parameters
    ----------
    workspace : Workspace
    settings : Settings
    sources : Sources
    now : datetime
        With a time zone: what "in the future" refers to, and up to when what was given counts.
    champion : str
        The version whose settings stand below the file's: see :mod:`pipelines.experiments.champion`.
    challenger : Challenger, optional
    """

    workspace: Workspace
    settings: Settings
    sources: Sources
    now: datetime
    champion: str = "none"
    challenger: Challenger | None = None

    @cached_property
    def listener_key(self) -> bytes:
        """The secret that turns user ids into listeners; read once, and not for every bucket of every night."""
        return self.workspace.listener_key()

    @cached_property
    def atlas(self) -> Atlas:
        """The fixed regions."""
        return load_atlas(self.settings.atlas)

    @cached_property
    def catalogue(self) -> pl.DataFrame:
        """The tracks."""
        found = read_catalogue(self.sources.catalogue, max_bad_share=self.settings.arrivals.max_bad_share)
        tell_of(found.counts)
        return found.tracks

    @cached_property
    def origins(self) -> dict[str, str]:
        """The country that the artist of a track comes from, where the catalogue says so."""
        return dict(self.catalogue.select("track_id", "artist_country").drop_nulls().iter_rows())

    @cached_property
    def consents(self) -> ConsentLog:
        """The consent log."""
        return consent_log(self.workspace, settings=self.settings)

    @cached_property
    def marks(self) -> Marks:
        """What erasures and withdrawals left."""
        return marks_of(self.workspace, settings=self.settings)

    @property
    def permissions(self) -> Permissions:
        """Who allows what at the moment it is asked: a withdrawal counts at once, also in the midst of a run."""
        state = self.consents.state()  # asked before the log is read: what is added meanwhile is another state
        if state not in self._permitted:
            self._permitted.clear()
            self._permitted[state] = permissions(self.consents, now=self.now)
        return self._permitted[state]

    def allowing(self, purpose: Purpose) -> dict[str, datetime]:
        """Return who allows something at the moment it is asked, and since when without a break."""
        said = groupby(self.consents.history(purpose, until=self.now), key=itemgetter(0))
        since = {listener: on_since((at, given) for _, at, given in answers) for listener, answers in said}
        return {listener: instant_of(at) for listener, at in since.items() if at is not None}

    @cached_property
    def _permitted(self) -> dict[object, Permissions]:
        """The permissions that were read last, by the state of the log that they stand for."""
        return {}

    @cached_property
    def store(self) -> Store:
        """The private contributions."""
        return Store(self.workspace.private, self.settings.store)

    @cached_property
    def releases(self) -> ReleaseReader:
        """The released nights; each is checked once."""
        return ReleaseReader(self.workspace.releases)

    @cached_property
    def witness(self) -> Witness:
        """What remembers outside the workspace what was spent in it."""
        return witness_of(self.workspace, settings=self.settings, at=self.now)

    @cached_property
    def ledger(self) -> Ledger:
        """What privacy was spent."""
        return Ledger(self.workspace.ledger, witness=self.witness)

    @contextmanager
    def begun(self, *, without: Collection[date] = ()) -> Iterator[None]:
        """Hold the workspace for a job that spends: what a crash left undone is finished, and nothing is forgotten.

        Parameters
        ----------
        without : collection of date
            Nights that are left out for good, beside those that are already: nobody misses their releases.

        Raises
        ------
        NotReadyError
            If another job holds the workspace, or the clock is behind what is written already.
        PrivacyBudgetError
            If the ledger or its witness forgot what the other knows.
        SettingsError, ConsentError
            If the listener key, the store key or the consent log is lost, or that of another deployment.
        """
        with self.workspace.prepare().locked():
            self.check(without=without)
            yield

    def check(self, *, without: Collection[date] = ()) -> None:
        """Refuse a workspace that forgot something; what lies outside it is asked before anything in it is believed."""
        check_clock(Ledger(self.workspace.ledger).last_written(), now=self.now, of="ledger")
        self.finish_releases(without=without)
        lines = self.witness.lines()  # once: nobody else writes any while the workspace is held
        check_clock(max((line.at for line in lines), default=None), now=self.now, of="witness")
        check_spends(self.ledger, self.witness, lines=lines)
        check_witness(self.ledger, self.witness, lines=lines, at=self.now)
        check_key(self.witness, self.listener_key, lines=lines, at=self.now)
        self.marks.share()
        check_clock(self.consents.last_decided(), now=self.now, of="consent log")
        self.store.sealed.check()

    def finish_releases(self, *, without: Collection[date] = ()) -> None:
        """Finish what a crash left between the drawing of a release and its line in the ledger."""
        nights = {*without, *left_out(self.workspace)}
        release.confirm(self.workspace.releases, ledger=self.ledger, now=self.now, without=nights)
        partner_release.confirm(self.workspace.root / "partner", ledger=self.ledger, now=self.now)
