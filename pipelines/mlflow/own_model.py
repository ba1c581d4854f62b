"""The pyfunc model of somebody's own: how it is made, and nothing that it learned; loading it fits it to plays at hand.

>>> model = mlflow.pyfunc.load_model("models:/mine@champion", model_config={"plays": "plays.parquet"})
>>> model.predict(pandas.DataFrame({"user": ["u1", "u2"]}), params={"limit": 5})
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from inspect import signature
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from recsys.errors import InputError, UsageError
from recsys.library import Dataset, Model
from recsys.library.frames import chosen, to_polars

RECIPE_FILE = "recipe.json"
INPUT = {"user": "string"}
OUTPUT = {"user": "string", "item": "string", "rank": "long"}
OPTIONAL = ()
PARAMETERS = {"limit": 20}
EXAMPLE = pd.DataFrame({"user": ["u1", "u2"]})

Recipe = Mapping[str, Any]
"""How a model is made: its ``class``, as ``module:Name``, and the ``parameters`` to make it with."""


@dataclass(frozen=True)
class Fitted:
    """A model that was fitted when it was loaded, in memory alone.

    Parameters
    ----------
    dataset : Dataset
    model : Model
    """

    dataset: Dataset
    model: Model = field(repr=False)

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the best new items of users: ``user, item, rank``.

        Parameters
        ----------
        model_input : pandas.DataFrame
            A column ``user``.
        params : mapping, optional
            ``limit``: items of each user at most, 20 by default.
        """
        limit = int((params or {}).get("limit", PARAMETERS["limit"]))
        users, columns = self.dataset.ids(pl.Series(model_input["user"].astype(str))), self.dataset.columns.names[:2]
        lists = to_polars(chosen(self.model.recommend(users, limit), columns)).cast(pl.String)
        ranked = lists.rename(dict(zip(columns, OUTPUT, strict=False))).with_columns(
            rank=pl.int_range(1, pl.len() + 1).over("user")
        )
        return ranked.filter(pl.col("rank") <= limit).to_pandas()


def recipe_of(model: Model) -> Recipe:
    """Return how a model is made.

    Raises
    ------
    UsageError
        If it cannot be made again from its class and plain parameters.
    """
    kind = type(model)
    recipe = {"class": f"{kind.__module__}:{kind.__qualname__}", "parameters": parameters_of(model)}
    try:
        told: Recipe = json.loads(json.dumps(recipe))
        found = attrgetter(kind.__qualname__)(import_module(kind.__module__))
    except (AttributeError, TypeError, ValueError, ImportError):
        found = None
    if found is not kind or kind.__module__ == "__main__" or not _suffices(model):
        raise UsageError(
            f"{kind.__qualname__} cannot be made again elsewhere: its class is not in a module, or its parameters are "
            "not known, or more than numbers, text and lists of them",
            hint="Put the class into a module that can be imported, with get_params() that returns what makes it.",
        )
    return told


def parameters_of(model: object) -> dict[str, Any]:
    """Return what a model was made with, as far as it tells: by ``get_params()``, or by the fields of a dataclass."""
    if hasattr(model, "get_params"):
        return dict(model.get_params())
    if is_dataclass(model):
        return {each.name: getattr(model, each.name) for each in fields(model) if each.init}
    return {}


def made(recipe: Recipe) -> Model:
    """Make a model, not yet fitted."""
    module, _, name = recipe["class"].partition(":")
    model: Model = attrgetter(name)(import_module(module))(**recipe["parameters"])
    return model


def _suffices(model: Model) -> bool:
    """Tell whether a model says with what it was made, or is made with nothing."""
    tells = hasattr(model, "get_params") or is_dataclass(model)
    return tells or not signature(type(model)).parameters


def _load_pyfunc(path: str, config: Mapping[str, str]) -> Fitted:
    """Make the model and fit it; what ``mlflow.pyfunc.load_model`` calls.

    Parameters
    ----------
    path : str
        The artifact.
    config : mapping of str to str
        ``plays``, a Parquet file, and the names of its columns; given anew by ``load_model(uri, model_config={...})``.
    """
    file = Path(config["plays"])
    if not file.is_file():
        raise InputError(
            "there are no plays, and the registered model learns from some when it is loaded",
            hint='Name a Parquet file: mlflow.pyfunc.load_model(uri, model_config={"plays": "…"}).',
        )
    names = {key: config[key] or None for key in ("user", "item", "time", "region")}
    dataset = Dataset.from_frame(pd.read_parquet(file), **names, repeats="count")  # type: ignore[arg-type]
    model = made(json.loads((Path(path) / RECIPE_FILE).read_text(encoding="utf-8")))
    model.fit(dataset)
    return Fitted(dataset, model)
