"""The model registry: logged runs, and the champion among them, an alias that moves forward and back."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from mlflow.exceptions import MlflowException

from pipelines.base.experiment_config import FIXED
from pipelines.mlflow import tracking
from pipelines.mlflow.metric_keys import dotted
from pipelines.mlflow.run_tags import ATLAS_VERSION, CODE_DIGEST, DATA_DIGEST, NIGHT
from recsys.errors import InputError, UnknownRunError
from recsys.models.evaluation.report_tables import SERVED

MODEL = "hearabouts"
CHAMPION = "champion"
CHALLENGER = "challenger"
LATEST = "latest"

_MODELS = "models."
_LINE = "champion.line"  # tag of the registered model: the champions before the present one, the first one first


@dataclass(frozen=True)
class LoggedRun:
    """A finished run that measured models.

    Parameters
    ----------
    id, name : str
    started : datetime
    params, tags : mapping of str to str
    metrics : mapping of str to float
        Under our keys, which have dots; see :mod:`pipelines.mlflow.metric_keys`.
    """

    id: str
    name: str
    started: datetime
    params: Mapping[str, str] = field(repr=False)
    tags: Mapping[str, str] = field(repr=False)
    metrics: Mapping[str, float] = field(repr=False)

    @property
    def record(self) -> str:
        """What the workspace keeps the run's figures under: not MLflow's id, which is known only once it is logged."""
        return self.tags.get(tracking.RECORD, self.id)

    @property
    def label(self) -> str:
        """The name with the beginning of the id, as tables and messages show a run."""
        return f"{self.name} ({self.id[:8]})"

    @property
    def asked(self) -> dict[str, str]:
        """All settings of the models, without their section."""
        return {key.removeprefix(_MODELS): value for key, value in self.params.items() if key.startswith(_MODELS)}

    @property
    def models(self) -> dict[str, str]:
        """Those of them that a promotion carries: not what was asked of whom, nor the seed."""
        return {key: value for key, value in self.asked.items() if key not in FIXED}

    @property
    def measured(self) -> bool:
        """Whether it has a figure of the served model: a run of too few nights has none."""
        return math.isfinite(self.metrics.get(f"{SERVED}.ndcg_at_10", math.nan))

    @property
    def data(self) -> str:
        """The digest of what the models learned from and were asked."""
        return self.tags[DATA_DIGEST]

    @property
    def code(self) -> str:
        """The digest of the code that made it."""
        return self.tags.get(CODE_DIGEST, "unknown")

    @property
    def atlas(self) -> str:
        """The version of the regions that listeners are at home in."""
        return self.tags.get(ATLAS_VERSION, "unknown")

    @property
    def night(self) -> str:
        """The last night of the data."""
        return self.tags.get(NIGHT, "")


@dataclass(frozen=True)
class Champion:
    """The version of the registered model that the nights use.

    Parameters
    ----------
    version : int
    run : LoggedRun
        The one that it was promoted from.
    line : tuple of int
        The versions that were champion before it, the latest last; those that were gone back from are not there.
    """

    version: int
    run: LoggedRun
    line: tuple[int, ...] = ()

    @property
    def before(self) -> int | None:
        """The version that was champion before it; None where the defaults were used."""
        return self.line[-1] if self.line else None


class Registry:
    """The runs and versions in an MLflow store.

    Parameters
    ----------
    place : Store
        ``tracking.store`` of the settings.
    """

    def __init__(self, place: tracking.Store) -> None:
        self._place = place

    @cached_property
    def _store(self) -> Any:
        if not tracking.is_there(self._place):
            raise UnknownRunError(
                f"there are no runs in {self._place}", hint="Run `hearabouts nightly` or `hearabouts evaluate` first."
            )
        return tracking.client(self._place)

    def find(self, wanted: str) -> LoggedRun:
        """Return the newest run with this id, beginning of an id, or name; or the ``champion``'s; or the ``latest``.

        Raises
        ------
        UnknownRunError
            If no finished run that measured models is meant.
        """
        if wanted == CHAMPION and (champion := self.champion()):
            return champion.run
        found = next((run for run in self.runs() if wanted in {LATEST, run.name} or _begins(run.id, wanted)), None)
        if found is None:
            known = ", ".join(run.label for run, _ in zip(self.runs(), range(3), strict=False)) or "none"
            raise UnknownRunError(
                f"no finished run that measured models is called {wanted!r}; the newest are: {known}",
                hint="Name a run by its id, the first digits of it (6 at least), its name, `latest` or `champion`.",
            )
        return found

    def runs(self) -> Iterator[LoggedRun]:
        """Yield the finished runs that measured models, the newest first."""
        experiments = [experiment.experiment_id for experiment in self._store.search_experiments()]
        token = None
        while True:
            page = self._store.search_runs(
                experiments,
                filter_string="attributes.status = 'FINISHED'",
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            yield from (_logged(run) for run in page if DATA_DIGEST in run.data.tags)
            token = page.token
            if not token:
                return

    def table(self, run: LoggedRun, name: str) -> pl.DataFrame:
        """Return a table that was logged with a run.

        Raises
        ------
        InputError
            If the run has no such table.
        """
        with TemporaryDirectory() as folder:
            try:
                file = Path(self._store.download_artifacts(run.id, f"{name}.json", folder))
            except (OSError, MlflowException):
                raise InputError(
                    f"the run {run.label} has no table {name!r}",
                    hint="It measured nothing (see its note), or its artifacts were removed: evaluate again.",
                ) from None
            told = json.loads(file.read_text(encoding="utf-8"))
        return pl.DataFrame(told["data"], schema=told["columns"], orient="row", infer_schema_length=None)

    def champion(self) -> Champion | None:
        """Return the champion; None where nothing was promoted yet."""
        named = self._named()
        found = self._called(CHAMPION, named)
        return replace(found, line=tuple(map(int, named.tags.get(_LINE, "").split()))) if found else None

    def challenger(self) -> Champion | None:
        """Return the version whose lists are compared with the champion's; None where there is none."""
        return self._called(CHALLENGER, self._named())

    def _called(self, alias: str, named: Any) -> Champion | None:
        version = named.aliases.get(alias) if named else None
        return self.version(int(version)) if version else None

    @property
    def has_versions(self) -> bool:
        """Whether anything was ever promoted here."""
        return self._named() is not None

    def _named(self) -> Any:
        """Return the registered model; None where nothing was promoted yet."""
        if not tracking.is_there(self._place):
            return None
        found = self._store.search_registered_models(filter_string=f"name = '{MODEL}'")  # a server has many others
        return found[0] if found else None

    def version(self, number: int) -> Champion:
        """Return a registered version.

        Raises
        ------
        UnknownRunError
            If there is none of this number, or the run behind it was deleted.
        """
        for found in self._store.search_model_versions(f"name = '{MODEL}'"):
            if int(found.version) == number:
                return Champion(number, _logged(self._store.get_run(found.run_id)))
        raise UnknownRunError(
            f"there is no version {number} of the registered model {MODEL!r}", hint="`make ui` lists the versions."
        )

    def version_of(self, run: LoggedRun) -> int | None:
        """Return the version that a run was registered as, if it was."""
        versions = self._store.search_model_versions(f"name = '{MODEL}'")
        return next((int(found.version) for found in versions if found.run_id == run.id), None)

    def crown(self, version: int, *, tags: Mapping[str, str] | None = None) -> None:
        """Make a version the champion, and note which one it takes the place of."""
        champion = self.champion()
        for key, value in (tags or {}).items():
            self._store.set_model_version_tag(MODEL, str(version), key, value)
        self._note((*champion.line, champion.version) if champion else ())
        self._store.set_registered_model_alias(MODEL, CHAMPION, str(version))
        challenger = self.challenger()
        if challenger and challenger.version == version:
            self.challenge(None)

    def challenge(self, version: int | None) -> None:
        """Make a version the challenger, instead of the one before; or none."""
        if version is None:
            self._store.delete_registered_model_alias(MODEL, CHALLENGER)
        else:
            self._store.set_registered_model_alias(MODEL, CHALLENGER, str(version))

    def go_back(self) -> None:
        """Make the version before the champion the champion again; before the first came the defaults, and nobody."""
        champion = self.champion()
        line = champion.line if champion else ()
        if line:
            self._store.set_registered_model_alias(MODEL, CHAMPION, str(line[-1]))
        else:
            self._store.delete_registered_model_alias(MODEL, CHAMPION)
        self._note(line[:-1])

    def _note(self, line: Sequence[int]) -> None:
        self._store.set_registered_model_tag(MODEL, _LINE, " ".join(map(str, line)))


def _begins(run_id: str, wanted: str) -> bool:
    return len(wanted) >= 6 and run_id.startswith(wanted)


def _logged(run: Any) -> LoggedRun:
    started = datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC)
    metrics = dotted(run.data.metrics)
    return LoggedRun(run.info.run_id, run.info.run_name, started, run.data.params, run.data.tags, metrics)
