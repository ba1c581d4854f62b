"""The context of a job: workspace, settings, sources and stores, each opened once."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import polars as pl

from recsys.arrivals.catalogue import read_catalogue
from recsys.arrivals.permission import Permissions, permissions
from recsys.cells.store import Store
from recsys.consents.log import ConsentLog, consent_log
from recsys.geography.atlas import Atlas, load_atlas
from recsys.releases.budget.ledger import Ledger
from recsys.releases.counts.release_reader import ReleaseReader
from recsys.settings import Settings
from recsys.workspace import Workspace


@dataclass(frozen=True)
class Sources:
    """Where the input lies (section 3.1 of the design).

    Parameters
    ----------
    listens, catalogue : Path
    consents : Path or None
        A consents file to import first; None where the workspace's own log is complete.
    """

    listens: Path
    catalogue: Path
    consents: Path | None = None


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
    """

    workspace: Workspace
    settings: Settings
    sources: Sources
    now: datetime
    champion: str = "none"

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
        return read_catalogue(self.sources.catalogue)

    @cached_property
    def consents(self) -> ConsentLog:
        """The consent log."""
        return consent_log(self.workspace, settings=self.settings.consents)

    @property
    def permissions(self) -> Permissions:
        """Who allows what, read anew whenever it is asked: a withdrawal counts at once, also in the midst of a run."""
        return permissions(self.consents, now=self.now)

    @cached_property
    def store(self) -> Store:
        """The private contributions."""
        return Store(self.workspace.private, self.settings.store)

    @cached_property
    def releases(self) -> ReleaseReader:
        """The released nights; each is checked once."""
        return ReleaseReader(self.workspace.releases)

    @cached_property
    def ledger(self) -> Ledger:
        """What privacy was spent."""
        return Ledger(self.workspace.ledger)
