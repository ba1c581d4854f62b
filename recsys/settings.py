"""Settings: the commented defaults of hearabouts.toml, overridden by a file, overridden by the environment."""

import hashlib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from recsys.errors import SettingsError

SQLITE = "sqlite:///"  # before the file of a database
DEFAULTS = Path(__file__).with_name("hearabouts.toml")

_PREFIX = "HEARABOUTS__"

EVERY_NOTICE = "*"  # among consents.earlier_notices

LEAST_EARNED = 0.25  # of a night: enough for one track at half weight
LEAST_MEMORY = 2.0  # GiB: a night of the sample world takes 1.5 in a single process (docs/scale.md)
MOST_NOISE = 3e7  # squared listeners: the variance of the widest noise that is drawn

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]


def _not_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError('needs at least one country code or region id, or ["*"]')
    return values


def _enough_memory(gib: float) -> float:
    if not (gib == 0 or LEAST_MEMORY <= gib < float("inf")):
        raise ValueError(
            f"expected 0, which is half of what there is, or at least {LEAST_MEMORY:g}: less is not enough "
            "for a night of the sample world"
        )
    return gib


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    if not values or list(values) != sorted(set(values)):
        raise ValueError("needs at least one number of nights, each larger than the one before")
    return values


def _protected(source: str) -> str:
    if "://" in source and not source.startswith("https://"):
        raise ValueError("needs a path or an https:// address: a key that came unprotected could be anybody's")
    return source


def _connect(remote: SecretStr) -> SecretStr:
    found = _REMOTE.fullmatch(remote.get_secret_value())
    if not found or int(found["port"] or 0) > 65_535:
        raise ValueError("needs the address of a Spark Connect server, as sc://HOST:15002/;use_ssl=true, or nothing")
    asked = dict(part.partition("=")[::2] for part in (found["asked"] or "").split(";"))
    is_sealed = asked.get("use_ssl", "").lower() == "true" or "token" in asked  # with a token the client takes TLS
    if found["host"] and not is_sealed and not is_loopback(found["host"]):
        raise ValueError("needs /;use_ssl=true behind a host that is not this one: keys and permissions go there")
    return remote


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(text: str) -> str:
    try:
        written = str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("needs single addresses, as 192.0.2.1: a name or a network never matches") from None
    if written != text:
        raise ValueError(f"needs the address as the system writes it, {written}: another spelling never matches")
    return text


def _player(url: str) -> str:
    host = urlsplit(url).netloc
    if url and not (_PLAYER.fullmatch(url) and host and "{" not in host):
        raise ValueError(
            f"needs an https:// address with {TRACK_ID} once, behind the host, as https://play.example/{TRACK_ID}"
        )
    return url


def _picture(path: str) -> str:
    if path and not _PICTURE.fullmatch(path):
        raise ValueError(
            f"needs a path of the same site with {TRACK_ID} once, as /covers/{TRACK_ID}.webp:"
            " another server would learn who looks at what"
        )
    return path


TRACK_ID = "{track_id}"  # what stands for a track's id in addresses of the catalogue
_PICTURE = re.compile(r"/(?!/|v1/|assets/)[^\x00-\x20\x7f\s{}\"'<>\\?#]*\{track_id\}[^\x00-\x20\x7f\s{}\"'<>\\?#]*")
_REMOTE = re.compile(r"(sc://(?P<host>[\w.-]+)(:(?P<port>\d{1,5}))?(/(?P<asked>[^\s?#]*))?)?")
_PLAYER = re.compile(r"https://[^\s{}\"'<>\\]+\{track_id\}[^\s{}\"'<>\\]*")


_NOT_HERE = {"databricks", "databricks-uc", "uc"}  # what MLflow takes, and is no folder


def _tracking_server(uri: str) -> str:
    parts = urlsplit(uri)
    is_server = parts.scheme in {"http", "https"} and bool(parts.netloc)
    is_file = uri.startswith(SQLITE) or (not parts.scheme and uri not in _NOT_HERE)
    if not (is_server or is_file):
        raise ValueError(
            "needs http://, https:// or sqlite:///FILE, the path of a folder, or nothing; where the settings say "
            "nothing, MLFLOW_TRACKING_URI is asked"
        )
    if parts.username or parts.password:
        raise ValueError("holds a password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead")
    return uri


def _path_or_none(value: object) -> object:
    return value or None


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArrivalsSettings(_Section):
    """How the night's listens are read and checked."""

    max_bad_share: Share


class CompletenessSettings(_Section):
    """When a night is taken to be whole."""

    weeks: Annotated[int, Field(ge=1, le=26)]
    change: Annotated[float, Field(gt=1, le=4)]
    part_change: Annotated[float, Field(gt=1, le=20)]
    max_repeated_share: Share
    min_listeners: Count


class ConsentsSettings(_Section):
    """Where the consent log is, whose it is, and under which notice a consent is in force."""

    url: SecretStr  # it holds a password: never logged, and so not shown by Settings.flat either
    notice_version: Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
    earlier_notices: Mapping[str, tuple[str, ...]]
    controller: Annotated[str, Field(min_length=1)]
    contact: Annotated[str, Field(min_length=1)]
    kept_decisions: Count
    given_a_day: NotNegative

    @property
    def in_force(self) -> frozenset[str] | None:
        """The versions of the notice under which a consent counts; None where any does."""
        earlier = self.earlier_notices.get(self.notice_version, ())
        return None if EVERY_NOTICE in earlier else frozenset((self.notice_version, *earlier))


class ErasuresSettings(_Section):
    """What an erasure leaves behind, so that it stays one."""

    kept_days: Annotated[int, Field(ge=1, le=36_500)]


class AtlasSettings(_Section):
    """Which fixed regions there are, and which of them a release covers."""

    min_population: Count
    coarsest_resolution: Annotated[int, Field(ge=0, le=6)]
    finest_resolution: Annotated[int, Field(ge=0, le=6)]  # promise 4: resolution 7 and finer are unrepresentable
    service_area: Annotated[tuple[str, ...], AfterValidator(_not_empty)]
    finest: Literal["region", "country"]

    @model_validator(mode="after")
    def _ordered(self) -> "AtlasSettings":
        if self.coarsest_resolution > self.finest_resolution:
            raise ValueError("coarsest_resolution is finer than finest_resolution")
        return self


class PrivacySettings(_Section):
    """What one night's release may spend, and what one listener may add."""

    rho_per_night: Annotated[float, Field(gt=0)]
    country_share: Annotated[float, Field(ge=0, le=0.5)]
    world_share: Annotated[float, Field(ge=0, lt=0.5)]
    most_per_night: Annotated[int, Field(ge=1, le=100)]
    most_per_28_nights: Count
    most_per_365_nights: Count
    largest_balance: Count
    delta: Annotated[float, Field(gt=0, lt=1e-3)]
    # It may hold a password, and decides nothing of what is published: in no dump, and so in no file and no digest.
    witness: Annotated[SecretStr, Field(exclude=True)] = SecretStr("")

    @model_validator(mode="after")
    def _blurred(self) -> "PrivacySettings":
        most = self.most_per_night / 4  # σ² = most_per_night / (2 rho): below 2, not as Gaussian as the audit takes it
        if self.rho_per_night > most:
            raise ValueError(
                f"rho_per_night is {self.rho_per_night:g}, expected at most a quarter of most_per_night, {most:g}: "
                "more makes noise so narrow that the nightly audit could not judge it"
            )
        shares = (1 - self.country_share - self.world_share, self.country_share, self.world_share)
        least = self.most_per_night / (2 * MOST_NOISE * min(share for share in shares if share > 0))
        if self.rho_per_night < least:
            raise ValueError(
                f"rho_per_night is {self.rho_per_night:g}, expected at least {least:.2g} with these shares of it: less "
                "makes noise wider than can be drawn"
            )
        return self

    @model_validator(mode="after")
    def _earned(self) -> "PrivacySettings":
        bounds = (self.most_per_night, self.largest_balance, self.most_per_28_nights, self.most_per_365_nights)
        if list(bounds) != sorted(bounds) or self.largest_balance == self.most_per_28_nights:
            raise ValueError(
                "expected most_per_night <= largest_balance < most_per_28_nights <= most_per_365_nights: a balance "
                "holds a night's most, and what it does not hold is earned night by night"
            )
        beyond = (self.most_per_28_nights - self.largest_balance, self.most_per_365_nights - self.largest_balance)
        earned = min(beyond[0] / 28, beyond[1] / 365)
        if earned < LEAST_EARNED:
            raise ValueError(
                f"a night earns {earned:.3g}, expected at least {LEAST_EARNED:g}: a smaller largest_balance, or larger "
                "bounds, leave something to add to a night"
            )
        return self


class MachineSettings(_Section):
    """What commands may use of the machine that they run on; it decides nothing of what they make."""

    memory_gib: Annotated[float, AfterValidator(_enough_memory)]


class SparkSettings(_Section):
    """Where nights are counted that are too large for one machine."""

    # It may hold a token, and decides nothing of what is published: in no dump, and so in no file and no digest.
    remote: Annotated[SecretStr, AfterValidator(_connect), Field(exclude=True)] = SecretStr("")


class CandidatesSettings(_Section):
    """Which tracks a release counts where, whatever the noise."""

    core: Count
    own: Annotated[int, Field(ge=0)]
    released: Annotated[int, Field(ge=0)]
    released_nights: Annotated[int, Field(ge=0)]
    newcomers: Annotated[float, Field(gt=0)]
    newcomer_nights: Count
    past_nights: Annotated[int, Field(ge=1, le=255)]

    @model_validator(mode="after")
    def _remembered(self) -> "CandidatesSettings":
        if self.newcomer_nights > self.past_nights:
            raise ValueError("newcomer_nights is more than past_nights")
        return self


class PartnerSettings(_Section):
    """What one partner file may spend, whom it counts, and which rows it may hold."""

    rho: Annotated[float, Field(ge=1e-3, le=10)]
    most_per_file: Annotated[int, Field(ge=1, le=1000)]
    max_tracks: Count
    min_nights: Count
    min_listeners: Annotated[int, Field(ge=2)]
    threshold_delta: Annotated[float, Field(gt=0, lt=1e-6)]
    rounding: Count


class StoreSettings(_Section):
    """How long and in how many pieces private contributions are kept."""

    nights: Annotated[int, Field(ge=28)]  # as many as a partner file has
    buckets: Annotated[int, Field(ge=1, le=4096)]
    # Where the store key is: of no interest to who reads a run's settings, or a secret itself, and so in no dump.
    key: Annotated[SecretStr, Field(exclude=True)] = SecretStr("")
    key_file: Annotated[Path | None, BeforeValidator(_path_or_none), Field(exclude=True)] = None
    key_command: Annotated[SecretStr, Field(exclude=True)] = SecretStr("")

    @model_validator(mode="after")
    def _one_key(self) -> "StoreSettings":
        named = (self.key.get_secret_value(), self.key_file, self.key_command.get_secret_value())
        if sum(map(bool, named)) > 1:
            raise ValueError("expected one of key, key_file and key_command: there is one store key")
        return self


class ChartsSettings(_Section):
    """What a published chart shows."""

    window_nights: Annotated[int, Field(ge=1, le=63)]
    size: Annotated[int, Field(ge=1, le=1000)]
    false_discovery_rate: Annotated[float, Field(gt=0, lt=1)]
    rising_nights: Annotated[tuple[Annotated[int, Field(ge=1, le=7)], ...], AfterValidator(_ascending)]
    past_weeks: Annotated[int, Field(ge=1, le=8)]
    min_past_nights: Count


class CatalogueSettings(_Section):
    """What the operator's own app and site offer of a track."""

    url: Annotated[str, AfterValidator(_player)]
    image: Annotated[str, AfterValidator(_picture)]

    def play(self, track_id: str) -> str:
        """Return where a track is played; empty where no such place was named."""
        return self.url.replace(TRACK_ID, quote(track_id, safe=""))

    def picture(self, track_id: str) -> str:
        """Return where a track's cover is; empty where no such place was named."""
        return self.image.replace(TRACK_ID, quote(track_id, safe=""))


class HistorySettings(_Section):
    """What is kept of the charts of every night, for ever."""

    lines: Count
    songs: Count
    catch_up_nights: Count


class ForecastsSettings(_Section):
    """How next week is forecast."""

    lessons: Annotated[int, Field(ge=0)]


class ModelsSettings(_Section):
    """How the global and the regional models are trained and measured."""

    engine: Literal["als", "ease"]
    both_engines: bool
    ranker: Literal["logistic", "trees", "none"]
    factors: Count
    regularization: Annotated[float, Field(ge=0)]
    regional_regularization: Annotated[float, Field(ge=0)]
    alpha: Annotated[float, Field(gt=0)]
    iterations: Count
    regional_iterations: Count
    seed: int
    min_listeners_per_track: Count
    min_listeners_per_region: Count
    regional_shrinkage: Annotated[float, Field(gt=0)]
    ease_ridge: Annotated[float, Field(gt=0)]
    ease_regional_ridge: Annotated[float, Field(gt=0)]
    ease_dropout: Annotated[float, Field(ge=0)]
    sitting_weight: Annotated[float, Field(ge=0, lt=1)]
    recency_power: Annotated[float, Field(ge=0)]
    gate_shrinkage: Annotated[float, Field(ge=0)]
    trend_shrinkage: Annotated[float, Field(gt=0)]
    half_life_nights: Annotated[float, Field(gt=0)]
    validation_nights: Count
    gap_nights: Annotated[int, Field(ge=0)]
    test_nights: Count
    min_listeners_in_table: Count
    ease_max_tracks: Annotated[int, Field(ge=0)]
    max_training_listeners: NotNegative
    local_share: bool

    def has_ease(self, tracks: int) -> bool:
        """Tell whether EASE is fitted on so many tracks, to serve or beside what does."""
        return self.engine == "ease" or tracks <= self.ease_max_tracks

    def with_tracks(self, tracks: int) -> "ModelsSettings":
        """Return the same as it counts for so many tracks, of which a smaller vocabulary is not asked otherwise."""
        return self if self.has_ease(tracks) else self.model_copy(update={"both_engines": False})


class ListsSettings(_Section):
    """What is kept of each listener's tastes, and how a listener's own list is put in order."""

    closest: Annotated[int, Field(ge=2, le=10_000)]
    learners: Count
    new: Annotated[float, Field(ge=0)]


class FeedbackSettings(_Section):
    """How long feedback is taken and kept, and how much of it of one listener."""

    list_hours: Annotated[int, Field(ge=1, le=24 * 365)]
    kept_days: Annotated[int, Field(ge=1, le=36_500)]
    most_hidden: Count
    most_played: Count


class ImagesSettings(_Section):
    """What a picture may be that a listener chose, what it may cost, and for how long its address shows it."""

    most_bytes: Annotated[int, Field(ge=1, le=10**9)]
    most_pixels: Count
    megabytes: Annotated[int, Field(ge=100)]  # less is not enough to begin with
    seconds: Count
    at_once: Count
    received_at_once: Count
    body_seconds: Count
    profile_side: Annotated[int, Field(ge=64, le=2_048)]
    cover_side: Annotated[int, Field(ge=64, le=2_048)]
    address_minutes: Annotated[int, Field(ge=1, le=24 * 60)]


class ContactsSettings(_Section):
    """How much of an address book one listener may tell, and how long it waits for the other side."""

    most: Annotated[int, Field(ge=1, le=100_000)]
    a_day: Annotated[int, Field(ge=1, le=100_000)]
    at_once: Annotated[int, Field(ge=1, le=500)]
    waiting_days: Annotated[int, Field(ge=1, le=36_500)]

    @model_validator(mode="after")
    def _enough_at_once(self) -> "ContactsSettings":
        if self.at_once > self.most:
            raise ValueError("contacts.at_once is more than contacts.most: nobody could tell so many")
        return self


class ServingSettings(_Section):
    """Whose tokens the endpoint accepts, how long its lists are, and what it grants to whom."""

    issuer: str
    audience: str
    token_minutes: Annotated[int, Field(ge=1, le=24 * 60)]
    list_size: Count
    max_regions: Count
    jwks: Annotated[str, AfterValidator(_protected)]
    jwks_seconds: Count
    jwks_cooldown_seconds: Count
    cache_seconds: NotNegative
    stale_seconds: NotNegative
    snapshot_max_age_days: NotNegative
    cors_origins: tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")], ...]
    rate_seconds: Count
    listener_requests: NotNegative
    address_requests: NotNegative
    proxies: tuple[Annotated[str, AfterValidator(_address)], ...]
    head_seconds: Count
    body_seconds: Count
    write_seconds: Count
    connections: Count
    metrics: Literal["loopback", "everyone", "nobody"]


class TrackingSettings(_Section):
    """Where runs are logged."""

    folder: Path
    uri: Annotated[str, AfterValidator(_tracking_server)] = ""
    experiment: str
    evaluations: str

    @property
    def store(self) -> Path | str:
        """MLflow's store: a folder with a database of ours, or the address of another or of a server."""
        if not self.uri:
            return self.folder
        return self.uri if "://" in self.uri else Path(self.uri)

    def beside(self, workspace: Path) -> "TrackingSettings":
        """Return the same with relative paths as those of the folder in which a workspace lies."""
        beside = workspace.parent
        if self.uri.startswith(SQLITE):
            uri = f"{SQLITE}{beside / self.uri.removeprefix(SQLITE)}"
        else:
            uri = str(beside / self.uri) if self.uri and "://" not in self.uri else self.uri
        return self.model_copy(update={"folder": beside / self.folder, "uri": uri})


class Settings(BaseSettings):
    """All settings, resolved and frozen.

    Build it with :func:`load_settings`; sections are documented key by key in ``recsys/hearabouts.toml``.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    arrivals: ArrivalsSettings
    completeness: CompletenessSettings
    consents: ConsentsSettings
    erasures: ErasuresSettings
    atlas: AtlasSettings
    privacy: PrivacySettings
    candidates: CandidatesSettings
    store: StoreSettings
    machine: MachineSettings
    spark: SparkSettings
    partner: PartnerSettings
    charts: ChartsSettings
    catalogue: CatalogueSettings
    history: HistorySettings
    forecasts: ForecastsSettings
    models: ModelsSettings
    lists: ListsSettings
    feedback: FeedbackSettings
    images: ImagesSettings
    contacts: ContactsSettings
    serving: ServingSettings
    tracking: TrackingSettings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the files."""
        return env_settings, init_settings

    def flat(self) -> dict[str, Any]:
        """Return the settings as ``{"privacy.rho_per_night": 0.015, ...}``, in the file's order."""
        return {
            f"{section}.{key}": value
            for section, keys in self.model_dump(mode="json").items()
            for key, value in keys.items()
        }

    def digest(self) -> str:
        """Return the SHA-256 of what decides what is published: settings of atlas, privacy, candidates and charts."""
        text = self.model_dump_json(include={"atlas", "privacy", "candidates", "charts"})
        return hashlib.sha256(text.encode()).hexdigest()


def load_settings(
    file: Path | None = None,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    champion: Mapping[str, Mapping[str, Any]] | None = None,
    workspace: Path | None = None,
) -> Settings:
    """Read the defaults, then a champion's settings, then a settings file, then overrides, then the environment.

    ``MLFLOW_TRACKING_URI``, which other programs follow, too, is asked where none of them names a store of runs.

    Parameters
    ----------
    file : Path, optional
        A TOML file with any of the keys of ``recsys/hearabouts.toml``.
    overrides : mapping of section to mapping, optional
        Values that win over the file, as ``{"charts": {"size": 20}}``.
    champion : mapping of section to mapping, optional
        Values that win over the defaults alone.
    workspace : Path, optional
        Beside which runs are logged where ``[tracking]`` names a relative path; by default the working directory's.

    Raises
    ------
    SettingsError
        If the file is missing or not TOML, or a key is unknown, missing or out of range.
    """
    layers = [read_toml(DEFAULTS), champion or {}, read_toml(file) if file else {}, overrides or {}]
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, keys in layer.items():
            if not isinstance(keys, Mapping):
                raise SettingsError(f"{section!r} stands outside a [section]", hint=_HINT)
            merged.setdefault(section, {}).update(keys)
    _check_environment(merged)
    tracking = merged["tracking"]
    tracking["uri"] = tracking["uri"] or os.environ.get("MLFLOW_TRACKING_URI", "")
    try:
        found = Settings(**merged)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise SettingsError(f"settings do not fit: {problems}", hint=_HINT) from None
    return found.model_copy(update={"tracking": found.tracking.beside(workspace)}) if workspace else found


def read_toml(file: Path, *, option: str = "--settings") -> dict[str, Any]:
    """Read a TOML file that the command line named after an option.

    Raises
    ------
    SettingsError
        If it is missing, unreadable or not TOML.
    """
    hint = f"Check the path after {option}."
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"there is no file {file}", hint=hint) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}", hint=_HINT) from None
    except OSError as error:
        raise SettingsError(f"{file} cannot be read ({error.strerror})", hint=hint) from None


_HINT = "Every key with its unit and default is in recsys/hearabouts.toml."


def _check_environment(known: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a variable that looks like a setting and is none: pydantic-settings would ignore it."""
    names = {f"{_PREFIX}{section}__{key}".upper() for section, keys in known.items() for key in keys}
    unknown = sorted(name for name in os.environ if name.upper().startswith(_PREFIX) and name.upper() not in names)
    if unknown:
        raise SettingsError(f"the environment sets {', '.join(unknown)}, which is no setting", hint=_HINT)
