"""Settings: defaults, files, the environment, and what is refused."""

from pathlib import Path

import pytest

from recsys.errors import SettingsError
from recsys.settings import DEFAULTS, load_settings


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    return file


def test_a_file_overrides_single_keys(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "[charts]\nsize = 20\n"))
    assert (settings.charts.size, settings.charts.window_nights) == (20, load_settings().charts.window_nights)


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARABOUTS__PRIVACY__RHO_PER_NIGHT", "0.5")
    settings = load_settings(written(tmp_path, "[privacy]\nrho_per_night = 0.1\n"))
    assert (settings.privacy.rho_per_night, settings.privacy.most_per_night) == (0.5, 10)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[privacy]\nrho = 1\n", "privacy.rho"),
        ("[privacy]\nrho_per_night = 0.8\nmost_per_night = 3\n", "rho_per_night is 0.8, expected at most"),
        ("[privacy]\nmax_nights = 12\n", "privacy.max_nights"),  # of before weights were earned
        ("[privacy]\nmost_per_night = 101\n", "privacy.most_per_night"),
        ("[privacy]\nlargest_balance = 9\n", "most_per_night <= largest_balance < most_per_28_nights"),
        ("[privacy]\nlargest_balance = 120\n", "expected most_per_night <= largest_balance"),  # nothing is earned
        ("[privacy]\nmost_per_365_nights = 119\n", "expected most_per_night <= largest_balance"),
        ("[partner]\nmost_per_file = 0\n", "partner.most_per_file"),
        ("[atlas]\nfinest_resolution = 7\n", "atlas.finest_resolution"),
        ("[atlas]\nservice_area = []\n", "atlas.service_area"),
        ('[serving]\nproxies = ["10.0.0.0/8"]\n', "a name or a network never matches"),
        ('[serving]\nproxies = ["proxy.example"]\n', "a name or a network never matches"),
        ('[serving]\nproxies = ["2001:DB8::1"]\n', "as the system writes it, 2001:db8::1"),
        *(
            (f'[catalogue]\nurl = "{url}"\n', "catalogue.url")
            for url in (
                "http://play.example/{track_id}",
                "https://play.example/",
                "https://play.example/{track_id}/{track_id}",
                "https://{track_id}.example/",
                "https:///{track_id}",
                "https://play.example/{id}",
                "javascript:alert('{track_id}')",
                "https://play.example/a b/{track_id}",
            )
        ),
        *(
            (f'[catalogue]\nimage = "{path}"\n', "catalogue.image: needs a path of the same site")
            for path in (
                "https://covers.example/{track_id}",
                "//covers.example/{track_id}",
                "covers/{track_id}",
                "/c/",
                "/v1/{track_id}",
            )
        ),
        *(
            (f'[spark]\nremote = "{remote}"\n', "spark.remote: needs the address of a Spark Connect server")
            for remote in (
                "local",
                "http://host:15002",
                "sc://",
                "sc://host:65536",
                "sc://host:x",
                "sc://host/a b",
                "sc://host/?;use_ssl=true",
                "sc://host/;a=b#;use_ssl=true",
            )
        ),
        *(
            (f'[spark]\nremote = "{remote}"\n', "spark.remote: needs /;use_ssl=true behind a host")
            for remote in (
                "sc://host",
                "sc://10.0.0.1:15002/;use_ssl=false",
                "sc://host:1/;user_id=token",
                "sc://host/",
            )
        ),
        ("[atlas]\ncoarsest_resolution = 6\n", "atlas"),
        ("[store]\nnights = 27\n", "store.nights"),
        ("[weather]\nrain = true\n", "weather"),
        ("size = 3\n", "size"),
        ("[charts\n", "TOML"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named.replace(".", r"\.")):
        load_settings(written(tmp_path, text))


@pytest.mark.parametrize(
    "remote",
    ["", "sc://localhost:1", "sc://127.0.0.1", "sc://host/;use_ssl=True", "sc://host:1/;user_id=a;token=b"],
)
def test_an_engine_is_on_this_machine_or_behind_tls(tmp_path: Path, remote: str) -> None:
    found = load_settings(written(tmp_path, f'[spark]\nremote = "{remote}"\n'))
    assert found.spark.remote.get_secret_value() == remote


def test_a_variable_that_is_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARABOUTS__PRIVCY__RHO_PER_NIGHT", "1")
    with pytest.raises(SettingsError, match="PRIVCY"):
        load_settings()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        load_settings(tmp_path / "nowhere.toml")


def test_flat_keys_are_dotted_and_complete() -> None:
    flat = load_settings().flat()
    assert flat["privacy.rho_per_night"] == 0.015
    assert flat["atlas.service_area"] == ["*"]


def test_every_default_is_explained_where_it_stands() -> None:
    keys = [line for line in DEFAULTS.read_text().splitlines() if "=" in line and not line.startswith(("#", "["))]
    assert [line for line in keys if "#" not in line] == []


def test_a_track_is_played_where_the_operator_says_and_nowhere_by_default() -> None:
    assert load_settings().catalogue.play("t1") == ""
    catalogue = load_settings(
        overrides={"catalogue": {"url": "https://play.example/track?id={track_id}&x=1"}}
    ).catalogue
    assert catalogue.picture("t1") == ""
    pictured = load_settings(overrides={"catalogue": {"image": "/covers/{track_id}.webp"}}).catalogue
    assert pictured.picture("../a b") == "/covers/..%2Fa%20b.webp"
    assert catalogue.play("a/b?c=d&e #é") == "https://play.example/track?id=a%2Fb%3Fc%3Dd%26e%20%23%C3%A9&x=1"


@pytest.mark.parametrize("uri", ["https://runs.example/mlflow", "sqlite:////srv/runs.db", "elsewhere"])
def test_runs_go_where_the_setting_or_mlflows_own_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    wanted = uri if "://" in uri else Path(uri)
    assert load_settings().tracking.store == Path("mlruns")
    assert load_settings(overrides={"tracking": {"uri": uri}}).tracking.store == wanted
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert load_settings().tracking.store == wanted
    named = load_settings(written(tmp_path, '[tracking]\nuri = "http://other.example"\n'))
    assert named.tracking.store == "http://other.example"
    assert load_settings(written(tmp_path, "[charts]\nsize = 20\n")).tracking.store == wanted


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("http:/runs.example", "needs http://"),
        ("ftp://runs.example", "needs http://"),
        ("sqlite:runs.db", "needs http://"),
        ("sqlite://host/runs.db", "needs http://"),
        ("databricks", "MLFLOW_TRACKING_URI is asked"),
        ("https://me:secret@runs.example", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_a_store_that_is_none_or_holds_a_password_is_refused(uri: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named) as refused:
        load_settings(overrides={"tracking": {"uri": uri}})
    assert "secret" not in str(refused.value)


def test_a_relative_store_lies_beside_the_workspace_wherever_a_command_is_run(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    assert load_settings(workspace=workspace).tracking.store == tmp_path / "mlruns"
    assert load_settings(workspace=Path("workspace")).tracking.store == Path("mlruns")
    elsewhere = load_settings(overrides={"tracking": {"uri": "runs"}}, workspace=workspace)
    assert (elsewhere.tracking.store, elsewhere.tracking.folder) == (tmp_path / "runs", tmp_path / "mlruns")
    database = load_settings(overrides={"tracking": {"uri": "sqlite:///runs.db"}}, workspace=workspace)
    assert database.tracking.store == f"sqlite:///{tmp_path}/runs.db"
    absolute = load_settings(overrides={"tracking": {"folder": "/srv/runs"}}, workspace=workspace)
    assert absolute.tracking.store == Path("/srv/runs")
