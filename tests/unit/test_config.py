"""The config of an experiment: what it may change and search, and what is refused by name."""

from pathlib import Path

import pytest

from pipelines.base.experiment_config import Config, Range, read_config
from recsys.errors import SettingsError


def written(folder: Path, text: str) -> Path:
    file = folder / "wider.toml"
    file.write_text(text)
    return file


def test_without_a_file_nothing_changes() -> None:
    assert read_config(None) == Config("evaluate", {}, None)


def test_a_config_is_named_after_its_file_and_holds_settings_and_ranges(tmp_path: Path) -> None:
    config = read_config(
        written(
            tmp_path,
            "[models]\nfactors = 32\n[search]\ntrials = 3\n"
            '[search.models]\nengine = ["als", "ease"]\nregularization = { low = 0.3, high = 5, log = true }\n',
        )
    )
    assert (config.name, config.models) == ("wider", {"factors": 32})
    assert config.search is not None
    assert (config.search.trials, config.search.sampler, config.search.share) == (3, "tpe", 0.3)
    assert config.search.models == {"engine": ("als", "ease"), "regularization": Range(low=0.3, high=5, log=True)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[charts]\nsize = 2\n", "has charts"),
        ("models = 3\n", "models is no section"),
        ("search = 3\n", "search: Input should be a valid dict"),
        ("[search]\ntrials = 3\n", "search.models: Field required"),
        ("[search]\ntrial = 3\n[search.models]\nfactors = [1]\n", "search.trial: Extra"),
        ("[search]\ntrials = 0\n[search.models]\nfactors = [1]\n", "search.trials: .* greater than or equal to 1"),
        ("[search]\nshare = 0\n[search.models]\nfactors = [1]\n", "search.share: .* greater than 0"),
        ("[search.models]\n", "search.models: .* at least 1"),
        ("[search.models]\nfactor = [1]\n", "search.models.factor is no setting"),
        ("[search.models]\nfactors = []\n", "search.models.factors: .* at least 1"),
        ("[search.models]\nfactors = 3\n", "search.models.factors: "),
        ("[search.models]\nfactors = [0]\n", "search.models.factors = 0: .* greater than or equal to 1"),
        ("[search.models]\nfactors = { low = 1.5, high = 3 }\n", "takes whole numbers"),
        ("[search.models]\nfactors = { low = 0, high = 3 }\n", "search.models.factors = 0.0"),
        ("[search.models]\nfactors = { low = 3, high = 3 }\n", "low is not below high"),
        ('[search.models]\nfactors = { low = "few", high = 3 }\n', "search.models.factors.low: "),
        ("[search.models]\nregularization = { low = 0, high = 3, log = true }\n", "log needs a low above 0"),
        ("[search.models]\nengine = { low = 1, high = 3 }\n", "takes words"),
        ('[search.models]\nengine = ["svd"]\n', "search.models.engine = 'svd': .*'als'"),
        ("[search.models]\ntest_nights = [3]\n", "test_nights cannot be searched"),
        ("[search.models]\nmin_listeners_per_track = [3]\n", "easier to rank"),
        ("[search.models]\ngap_nights = [3]\n", "gap_nights cannot be searched"),
        ("[models]\nseed = 3\n", "models.seed in .* cannot be changed by an experiment: it would choose luck"),
        ("[models]\nmin_listeners_per_track = 3\n", "models.min_listeners_per_track in .* easier to rank"),
        ("[search\n", "not TOML"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        read_config(written(tmp_path, text))
    assert refused.value.hint


def test_a_missing_file_is_named_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no file .*gone\.toml") as refused:
        read_config(tmp_path / "gone.toml")
    assert "--config" in refused.value.hint
