"""The configuration of an experiment: a TOML file with settings of the models, and ranges to search for better ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError, model_validator

from recsys.errors import SettingsError
from recsys.settings import ModelsSettings, Share, read_toml

HINT = "docs/experiments.md shows a config; every key with its unit and default is in recsys/hearabouts.toml."

FIXED = {  # not searched, not set by an experiment, not promoted: they change the question, or choose luck
    "validation_nights": "it decides what the search is measured on",
    "gap_nights": "it decides what the best is measured on",
    "test_nights": "it decides what the best is measured on",
    "min_listeners_per_track": "it decides which tracks are asked for: fewer are easier to rank",
    "min_listeners_in_table": "it decides how few listeners a figure may be of, and changes no model",
    "seed": "it would choose luck",
}

Value = bool | int | float | str


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Part):
    """Numbers from low to high, both included; ``log`` tries as many between 1 and 2 as between 10 and 20."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if not self.low < self.high:
            raise ValueError("low is not below high")
        if self.log and self.low <= 0:
            raise ValueError("log needs a low above 0")
        return self


def _kind(value: object) -> str:
    return "range" if isinstance(value, Mapping | Range) else "values"


Tried = Annotated[
    Annotated[Range, Tag("range")] | Annotated[tuple[Value, ...], Field(min_length=1), Tag("values")],
    Discriminator(_kind),
]


class Search(_Part):
    """What ``[search]`` says.

    Parameters
    ----------
    trials : int
        Settings to try.
    seed : int
        Of the sampler.
    sampler : {"tpe", "random"}
        ``tpe`` learns from the trials so far where to look next.
    share : float
        Of the listeners: a trial is first measured on so many, and given up where it is below the median of the trials
        before it; 1 gives none up.
    models : mapping of str to Range or values
        By key of ``[models]``: a range of numbers, or a list of values.
    """

    trials: Annotated[int, Field(ge=1, le=1000)] = 20
    seed: Annotated[int, Field(ge=0)] = 1
    sampler: Literal["tpe", "random"] = "tpe"
    share: Annotated[Share, Field(gt=0)] = 0.3
    models: Annotated[Mapping[str, Tried], Field(min_length=1)]


@dataclass(frozen=True)
class Config:
    """What an experiment changes.

    Parameters
    ----------
    name : str
        Of its run.
    models : mapping of str to value
        Keys of ``[models]`` that it sets.
    search : Search, optional
    """

    name: str = "evaluate"
    models: Mapping[str, Any] = field(default_factory=dict)
    search: Search | None = None


def read_config(file: Path | None) -> Config:
    """Read the config of an experiment; without a file, nothing is changed.

    Raises
    ------
    SettingsError
        If the file is missing or not TOML, has another section, sets what no experiment may, or a range does not fit:
        names the key, what was found and what was expected. The values of ``[models]`` are checked with the settings,
        by ``load_settings``.
    """
    if file is None:
        return Config()
    found = read_toml(file, option="--config")
    strange = sorted(found.keys() - {"models", "search"})
    if strange:
        raise SettingsError(
            f"{file} has {', '.join(strange)}, and a config has [models] and [search] alone",
            hint="Settings of other sections belong into the file after --settings.",
        )
    models = found.get("models", {})
    if not isinstance(models, Mapping):
        raise SettingsError(f"models is no section in {file}", hint=HINT)
    for key in sorted(FIXED.keys() & models.keys()):
        raise SettingsError(
            f"models.{key} in {file} cannot be changed by an experiment: {FIXED[key]}",
            hint="Set it for all runs, those of the nights too, in the file after --settings.",
        )
    search = _search(found["search"], file=file) if "search" in found else None
    return Config(file.stem, models, search)


def is_whole(key: str) -> bool:
    """Tell whether a key of ``[models]`` takes whole numbers alone."""
    return ModelsSettings.model_fields[key].annotation is int


def _search(section: Any, *, file: Path) -> Search:
    try:
        search = Search.model_validate(section)
    except ValidationError as error:
        problems = "; ".join(f"{_where(problem['loc'])}: {problem['msg']}" for problem in error.errors())
        raise SettingsError(f"the search in {file} does not fit: {problems}", hint=HINT) from None
    for key, values in search.models.items():
        _check(key, values)
    return search


def _where(location: tuple[int | str, ...]) -> str:
    """Return the dotted key of a problem, without the tag of the kind."""
    return ".".join(["search", *(str(part) for part in location if part not in {"range", "values"})])


def _check(key: str, values: Range | tuple[Value, ...]) -> None:
    """Refuse what cannot be searched: an unknown key, one that changes the question, a bound out of range."""
    if key not in ModelsSettings.model_fields:
        raise SettingsError(f"search.models.{key} is no setting of the models", hint=HINT)
    if key in FIXED:
        raise SettingsError(f"search.models.{key} cannot be searched: {FIXED[key]}", hint="Leave it out.")
    if isinstance(values, Range) and get_args(ModelsSettings.model_fields[key].annotation):
        raise SettingsError(f"search.models.{key} takes words, and found is a range of numbers", hint="Give a list.")
    tried = [values.low, values.high] if isinstance(values, Range) else list(values)
    if isinstance(values, Range) and is_whole(key) and any(value % 1 for value in tried):
        raise SettingsError(f"search.models.{key} takes whole numbers, and found are {tried}", hint=HINT)
    for value in tried:
        _check_value(key, value)


def _check_value(key: str, value: Value) -> None:
    found = ModelsSettings.model_fields[key]
    kind: Any = Annotated[found.annotation, found]
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        problems = "; ".join(problem["msg"] for problem in error.errors())
        raise SettingsError(f"search.models.{key} = {value!r}: {problems}", hint=HINT) from None
