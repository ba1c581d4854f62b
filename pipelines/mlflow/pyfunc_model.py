"""The pyfunc model that MLflow registers and loads: settings, which learn anew where a workspace is at hand.

No factor, no listener and nothing else that was learned is in its artifact: MLflow holds what may be shared (promise 9
of the design). Loading it fits it to what the workspace holds of listeners who allow it at that moment, which takes as
long as training the served models of a night does; so whoever was forgotten or withdrew since is not in it.

    >>> model = mlflow.pyfunc.load_model("models:/hearabouts@champion")
    >>> model.predict(pandas.DataFrame({"track_id": ["t00012", "t00431"], "plays": [3, 1], "nights_ago": [0, 2]}))
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from pydantic import ValidationError

from pipelines.base.job_context import JobContext, Sources
from pipelines.mlflow.run_tags import allowed_rows
from recsys.errors import InputError, SettingsError
from recsys.geography.atlas import countries
from recsys.models.deployable import Served, fit_served
from recsys.settings import ModelsSettings, load_settings
from recsys.workspace import Workspace

SETTINGS_FILE = "models.json"

INPUT = {"track_id": "string", "plays": "long", "nights_ago": "long", "part": "string"}
"""One listen, or several of a track, of the one anonymous listener who asks; see :meth:`Registered.predict`."""

OUTPUT = {"rank": "long", "track_id": "string", "score": "double"}
OPTIONAL = ("plays", "nights_ago", "part")
PARAMETERS = {"limit": 20}

_NIGHT = date(2000, 1, 1)  # any: only the differences of nights count
_NOTHING = ""  # a track that nobody knows: so that a listener without listens has a row, and with it a home


@dataclass(frozen=True)
class Registered:
    """The fitted model, in memory alone; with ``engine = "ease"`` it holds nameless rows of what listeners played.

    Parameters
    ----------
    served : Served
    places : frozenset of str
        The parts of the atlas.
    """

    served: Served = field(repr=False)
    places: frozenset[str] = field(repr=False)

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the best tracks that the listener did not play, best first.

        Parameters
        ----------
        model_input : pandas.DataFrame
            Listens of one listener, nameless: ``track_id``, and optionally ``plays`` (1), ``nights_ago`` (0) and
            ``part``, where the listener is at home (a region's id, or ``PT-rest``; the same in all rows). No rows: what
            everybody gets of whom nothing is known. A row without a track tells only where the listener is.
        params : mapping, optional
            ``limit``: tracks at most, 20 by default.

        Returns
        -------
        pandas.DataFrame
            ``rank, track_id, score``.

        Raises
        ------
        InputError
            If there are several parts, one that the atlas does not know, or plays, nights or a limit below what there
            can be.
        """
        limit = int((params or {}).get("limit", PARAMETERS["limit"]))
        ranked = self.served.answer(self._contributions(model_input), limit=limit)
        lines = [(rank, track, score) for rank, (track, score) in enumerate(ranked, start=1)]
        return pd.DataFrame(lines, columns=list(OUTPUT))

    def _contributions(self, listens: pd.DataFrame) -> pl.DataFrame:
        """Return the rows of a request as contributions of a listener without a name."""
        frame = listens.reindex(columns=list(INPUT))
        part = self._part([str(value) for value in frame["part"].dropna().unique() if value])
        plays, ago = (
            [int(v) for v in frame[name].fillna(default)] for name, default in (("plays", 1), ("nights_ago", 0))
        )
        if min(plays, default=1) < 1 or min(ago, default=0) < 0:
            raise InputError("plays are 1 or more, and nights_ago 0 or more; less was found", hint="Check the frame.")
        tracks = [str(track) for track in frame["track_id"].fillna(_NOTHING)]
        return pl.DataFrame(
            {
                "listener": "somebody",
                "night": [_NIGHT - timedelta(days=nights) for nights in (*ago, 0)],
                "part": pl.Series([part] * (len(tracks) + 1), dtype=pl.String),
                "track_id": [*tracks, _NOTHING],
                "plays": pl.Series([*plays, 1], dtype=pl.UInt32),
                "weight": pl.Series([0] * (len(tracks) + 1), dtype=pl.UInt8),
                "trained": True,
                "partner_part": pl.Series([None] * (len(tracks) + 1), dtype=pl.String),
            }
        )

    def _part(self, found: list[str]) -> str | None:
        if len(found) > 1:
            raise InputError(f"found {len(found)} parts, and a listener is at home in one", hint="Name one part.")
        if found and found[0] not in self.places:
            raise InputError(
                "the part is none of the atlas", hint="Name a region's id as /v1/regions tells it, or none."
            )
        return found[0] if found else None


def _load_pyfunc(path: str, config: Mapping[str, str]) -> Registered:
    """Fit the model to the workspace; what ``mlflow.pyfunc.load_model`` calls.

    Parameters
    ----------
    path : str
        The artifact.
    config : mapping of str to str
        ``workspace`` and ``settings`` (a file, or empty); given anew by ``load_model(uri, model_config={...})``.
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
    nothing_read = Sources(listens=workspace.root, catalogue=workspace.root)
    job = JobContext(workspace, settings, nothing_read, datetime.now(UTC))
    parents = countries(job.atlas)
    served = fit_served(allowed_rows(job), settings=models, parents=parents)
    return Registered(served, frozenset(job.atlas.parts))


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
