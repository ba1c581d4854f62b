"""The pyfunc model that MLflow registers and loads: settings, which learn anew where a workspace is at hand.

No factor, no listener and nothing else that was learned is in its artifact: MLflow holds what may be shared (promise 9
of the design). Loading it fits it to what the workspace holds of listeners who allow it at that moment, which takes as
long as training the served models of a night does; so whoever was forgotten or withdrew since is not in it.

    >>> model = mlflow.pyfunc.load_model("models:/hearabouts@champion")
    >>> model.predict(pandas.DataFrame({"track_id": ["t00012", "t00431"], "plays": [3, 1], "nights_ago": [0, 2]}))

Many requests are answered together, each by itself: their rows have the same ``request``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from pydantic import ValidationError

from pipelines.base.job_context import JobContext, Sources
from pipelines.base.terminal import log
from pipelines.mlflow.run_tags import allowed_rows
from recsys.errors import InputError, SettingsError
from recsys.geography.atlas import countries
from recsys.locations import Location, location
from recsys.models.deployable import Served, fit_served
from recsys.settings import ModelsSettings, load_settings
from recsys.workspace import Workspace

SETTINGS_FILE = "models.json"

INPUT = {"track_id": "string", "plays": "long", "nights_ago": "long", "part": "string", "request": "string"}
"""One listen, or several of a track, of an anonymous listener who asks; see :meth:`Registered.predict`."""

OUTPUT = {"request": "string", "rank": "long", "track_id": "string", "score": "double"}
OPTIONAL = ("plays", "nights_ago", "part", "request")
PARAMETERS = {"limit": 20}
EXAMPLE = pd.DataFrame(
    {
        "track_id": ["t00012", "t00431", "t00012"],
        "plays": [3, 1, 2],
        "nights_ago": [0, 2, 1],
        "part": ["PT-rest", "PT-rest", "IE-rest"],
        "request": ["a", "a", "b"],
    }
)
"""Two made-up requests, of which MLflow's page makes code to copy."""

_NIGHT = date(2000, 1, 1)  # any: only the differences of nights count
_MOST_PLAYS = 1_000_000  # of one row: far from what their sum cannot hold
_MOST_NIGHTS = 36_525  # a century: the calendar begins in the year 1
_NOTHING = ""  # a track that nobody knows: so that a listener without listens has a row, and with it a home


class RefusedRequest(MlflowException):
    """A request that does not fit: what MLflow's server answers with status 400, and the message.

    Parameters
    ----------
    error : InputError
    """

    def __init__(self, error: InputError) -> None:
        super().__init__(f"{error.message}. {error.hint}", error_code=INVALID_PARAMETER_VALUE)


@dataclass(frozen=True)
class Registered:
    """The fitted model, in memory alone; with EASE (``engine`` or ``both_engines``) it holds nameless rows of plays.

    Parameters
    ----------
    served : Served
    places : frozenset of str
        The parts of the atlas.
    """

    served: Served = field(repr=False)
    places: frozenset[str] = field(repr=False)

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the best tracks that the listener of each request did not play, best first.

        Parameters
        ----------
        model_input : pandas.DataFrame
            Listens, nameless: ``track_id``, and optionally ``plays`` (1), ``nights_ago`` (0), ``part``, where the
            listener is at home (a region's id, or ``PT-rest``; the same in all rows of a request), and ``request``, any
            text that tells one listener from another; without it all are one listener's. No rows: what everybody gets
            of whom nothing is known. A row without a track tells only where the listener is.
        params : mapping, optional
            ``limit``: tracks at most for each request, 20 by default.

        Returns
        -------
        pandas.DataFrame
            ``rank, track_id, score``, after ``request`` where the input has it, in the order of the input.

        Raises
        ------
        RefusedRequest
            If it is no table with a ``track_id``; if a request has several parts, or one that the atlas does not know;
            if plays or nights are fewer or more than there can be; or if a limit is below 1.
        """
        try:
            return self._answers(model_input, limit=int((params or {}).get("limit", PARAMETERS["limit"])))
        except InputError as error:
            raise RefusedRequest(error) from None

    def _answers(self, listens: pd.DataFrame, *, limit: int) -> pd.DataFrame:
        _check_columns(listens)
        names, request = _requests(listens)
        found = self.served.answers(self._contributions(listens, request), limit=limit)
        found = found.with_columns(pl.col("listener").cast(pl.Int64).alias("request")).sort("request", "rank")
        answer = found.select("rank", "track_id", "score").to_pandas()
        if "request" in listens:
            answer.insert(0, "request", [names[position] for position in found["request"]])
        return answer

    def _contributions(self, listens: pd.DataFrame, request: Sequence[int]) -> pl.DataFrame:
        """Return the rows of requests as contributions of listeners without names: the numbers of the requests."""
        frame = listens.reindex(columns=list(INPUT))
        plays = _numbers(frame["plays"], least=1, most=_MOST_PLAYS)
        ago = _numbers(frame["nights_ago"], least=0, most=_MOST_NIGHTS)
        asked = sorted({*request} or {0})
        parts = self._parts(frame["part"], request)
        every = [*request, *asked]  # and a row for each that may have none
        return pl.DataFrame(
            {
                "listener": [str(number) for number in every],
                "night": [_NIGHT - timedelta(days=nights) for nights in (*ago, *[0] * len(asked))],
                "part": pl.Series([parts.get(number) for number in every], dtype=pl.String),
                "track_id": [*(str(track) for track in frame["track_id"].fillna(_NOTHING)), *[_NOTHING] * len(asked)],
                "plays": pl.Series([*plays, *[1] * len(asked)], dtype=pl.UInt32),
                "weight": pl.Series([0] * len(every), dtype=pl.UInt8),
                "trained": True,
                "partner_part": pl.Series([None] * len(every), dtype=pl.String),
            }
        )

    def _parts(self, parts: "pd.Series[Any]", request: Sequence[int]) -> dict[int, str]:
        """Return the part that each request names, where it names one."""
        found: dict[int, str] = {}
        told = [(number, str(part)) for number, part in zip(request, parts, strict=True) if not pd.isna(part) and part]
        for number, part in told:
            if found.setdefault(number, part) != part:
                raise InputError("found several parts, and a listener is at home in one", hint="Name one a request.")
        if not self.places.issuperset(found.values()):
            raise InputError(
                "the part is none of the atlas", hint="Name a region's id as /v1/regions tells it, or none."
            )
        return found


def _check_columns(listens: object) -> None:
    """Refuse what is no table of listens: a list of ids, say, would be answered as somebody who played nothing."""
    hint = 'One row a listen, as pandas.DataFrame({"track_id": ["t00012"], "request": ["a"]}).'
    if not isinstance(listens, pd.DataFrame):
        raise InputError("found no table, and the model is asked by a table of listens with a track_id", hint=hint)
    if "track_id" not in listens.columns:
        raise InputError("the table has no column track_id", hint=hint)


def _numbers(column: "pd.Series[Any]", *, least: int, most: int) -> list[int]:
    """Return the whole numbers of a column, the least where there is none."""
    found = column.fillna(least)
    if not found.between(least, most).all():
        raise InputError(f"{column.name} are {least} to {most:,}, and others were found", hint="Check the frame.")
    return [int(number) for number in found]


def _requests(listens: pd.DataFrame) -> tuple[Sequence[str], Sequence[int]]:
    """Return the names of the requests in the order of the input, and the position of each row's among them."""
    if "request" not in listens.columns:
        return [""], [0] * len(listens)
    if listens["request"].isna().any():
        raise InputError("some rows have no request, and others do", hint="Name one in all rows, or leave it out.")
    position, names = pd.factorize(listens["request"])
    return [str(name) for name in names], [int(number) for number in position]


def _load_pyfunc(path: str, config: Mapping[str, str]) -> Registered:
    """Fit the model to the workspace; what ``mlflow.pyfunc.load_model`` calls.

    Parameters
    ----------
    path : str
        The artifact.
    config : mapping of str to str
        ``workspace``, ``settings`` and ``catalogue`` (files, or empty), as they were where the run was evaluated; given
        anew by ``load_model(uri, model_config={...})``. Without a catalogue, artists are at home nowhere, and lists do
        not keep the share of a country's own ones (``models.local_share``).
    """
    workspace = Workspace(Path(config["workspace"]))
    if not workspace.private.is_dir():
        raise InputError(
            f"there is no workspace at {workspace.root}, and the registered model learns from one when it is loaded",
            hint='Name it: mlflow.pyfunc.load_model(uri, model_config={"workspace": "…"}).',
        )
    file = config.get("settings") or None
    settings = load_settings(Path(file) if file else None, workspace=workspace.root)
    models = _models(json.loads((Path(path) / SETTINGS_FILE).read_text(encoding="utf-8")), others=settings.models)
    catalogue = _catalogue(config.get("catalogue") or "")
    sources = Sources(listens=workspace.root, catalogue=catalogue or workspace.root)  # no listens are read
    job = JobContext(workspace, settings, sources, datetime.now(UTC))
    parents, origins = countries(job.atlas), job.origins if catalogue else {}
    if models.local_share and not catalogue:
        log.warning(
            "lists do not keep the share of a country's own artists: model_config names no catalogue that is there"
        )
    served = fit_served(allowed_rows(job), settings=models, parents=parents, origins=origins)
    return Registered(served, frozenset(job.atlas.parts))


def _catalogue(named: str) -> Location | None:
    """Return where the catalogue lies; None where none is named, or it is not there."""
    found = location(named) if named else None
    return found if found and found.exists() else None


def _models(registered: Mapping[str, str], *, others: ModelsSettings) -> ModelsSettings:
    """Return the settings as they were promoted, whatever is set now; what is not promoted is as it is set now."""
    try:
        return ModelsSettings.model_validate({**others.model_dump(), **registered})
    except ValidationError as error:
        keys = ", ".join(sorted({".".join(map(str, problem["loc"])) for problem in error.errors()}))
        raise SettingsError(
            f"the registered model's settings do not fit this release: {keys}",
            hint="Evaluate and promote with this release.",
        ) from None
