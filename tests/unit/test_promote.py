"""The champion: who becomes it, who does not, how it is taken back, and what a night then uses."""

import json
import shutil
from pathlib import Path

import pytest
from support.runs import NOW, log_run, workspace_of

from pipelines.experiments.champion import challenger_of, settings_of
from pipelines.experiments.promote import challenge, end_challenge, go_back, promote
from pipelines.mlflow import tracking
from pipelines.mlflow.model_registry import LoggedRun, Registry
from recsys.errors import InputError, NotBetterError, SettingsError, UnknownRunError, UsageError
from recsys.settings import load_settings

LOWEST, LOW, HIGH, MIXED = [0.0, 0.1, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.5, 0.6], [0.3, 0.0, 0.5, 0.3]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default store is ``mlruns`` of the working folder: here the test's own, and never the checkout's."""
    monkeypatch.chdir(tmp_path)


def crowned(folder: Path, run: LoggedRun) -> int:
    return int(promote(folder, run.id, workspace=workspace_of(folder).root, now=NOW)["champion"])


@pytest.fixture
def defaults(mlruns: Path) -> LoggedRun:
    """What an evaluation of the defaults measured."""
    return log_run(mlruns, "defaults", gains=LOWEST)


@pytest.fixture(scope="module")
def crowned_store(tmp_path_factory: pytest.TempPathFactory, mlruns_template: Path) -> tuple[Path, LoggedRun]:
    """A store in which the defaults were measured and beaten by the first champion, with 16 factors: made once."""
    folder = tmp_path_factory.mktemp("crowned") / "mlruns"
    shutil.copytree(mlruns_template, folder)
    log_run(folder, "defaults", gains=LOWEST)
    run = log_run(folder, "first", gains=LOW, models={"factors": 16})
    assert crowned(folder, run) == 1
    return folder, run


@pytest.fixture
def champion(mlruns: Path, crowned_store: tuple[Path, LoggedRun]) -> LoggedRun:
    """The first champion, in a store of the test's own."""
    folder, run = crowned_store
    shutil.copytree(folder, mlruns, dirs_exist_ok=True)
    return run


def test_a_run_that_beats_the_champion_takes_its_place(mlruns: Path, champion: LoggedRun) -> None:
    better = log_run(mlruns, "better", gains=HIGH, models={"factors": 32})
    done = promote(mlruns, "better", workspace=workspace_of(mlruns).root, now=NOW)
    # every listener gains 0.2, so every mean and every draw of them does
    assert (done["champion"], done["before"], done["difference"], done["low"], done["high"]) == (2, 1, 0.2, 0.2, 0.2)
    now = Registry(mlruns).champion()
    assert now is not None
    assert (now.run.id, now.before) == (better.id, 1)


def test_luck_that_may_be_all_there_is_promotes_nobody(mlruns: Path, champion: LoggedRun) -> None:
    """Every listener gains 0.2 on average, and draws differ by as much."""
    lucky = log_run(mlruns, "lucky", gains=HIGH, models={"factors": 32}, luck=(-0.3, 0.0, 0.3))
    with pytest.raises(NotBetterError, match=r"has to lie above zero"):
        promote(mlruns, lucky.id, workspace=workspace_of(mlruns).root, now=NOW)


def test_a_run_that_was_trained_once_is_never_champion(mlruns: Path) -> None:
    """As a night is: also one with the settings that nights use, which would be champion without a contest."""
    for models in ({}, {"factors": 16}):
        once = log_run(mlruns, "once", gains=HIGH, models=models, luck=(0.0,))
        with pytest.raises(InputError, match=r"trained and measured once, and 3 times are needed"):
            promote(mlruns, once.id, workspace=workspace_of(mlruns).root, now=NOW)
    assert Registry(mlruns).champion() is None


def test_the_other_side_is_the_newest_run_that_was_trained_often_enough(mlruns: Path, champion: LoggedRun) -> None:
    log_run(mlruns, "a night", gains=HIGH, models={"factors": 16}, luck=(0.0,))  # newer, and would not be beaten
    log_run(mlruns, "better", gains=HIGH, models={"factors": 32})
    done = promote(mlruns, "better", workspace=workspace_of(mlruns).root, now=NOW)
    assert (done["champion"], done["difference"]) == (2, 0.2)


def test_the_champion_is_found_among_many_models_of_others(mlruns: Path, champion: LoggedRun) -> None:
    """A server has other people's models, too: what it lists at once is a hundred of them."""
    store = tracking.client(mlruns)
    for number in range(100):
        store.create_registered_model(f"a model of others {number}")
    found = Registry(mlruns).champion()
    assert found is not None
    assert found.run.id == champion.id


def test_a_difference_that_may_be_chance_is_refused_and_moves_nothing(mlruns: Path, champion: LoggedRun) -> None:
    log_run(mlruns, "luck", gains=MIXED, models={"factors": 32})
    with pytest.raises(NotBetterError, match=r"does not beat the champion, version 1: .* above zero") as refused:
        promote(mlruns, "luck", workspace=workspace_of(mlruns).root, now=NOW)
    assert refused.value.exit_code == 65
    now = Registry(mlruns).champion()
    assert now is not None
    assert now.version == 1


def test_runs_on_different_data_are_not_compared(mlruns: Path, champion: LoggedRun) -> None:
    log_run(mlruns, "later", gains=HIGH, models={"factors": 32}, data="d2")
    with pytest.raises(InputError, match=r"their data differ: d1 .* and d2"):
        promote(mlruns, "later", workspace=workspace_of(mlruns).root, now=NOW)
    log_run(mlruns, "champion again", gains=LOW, models={"factors": 16}, data="d2")
    assert promote(mlruns, "later", workspace=workspace_of(mlruns).root, now=NOW)["champion"] == 2


def test_runs_that_were_asked_differently_are_not_compared(mlruns: Path, champion: LoggedRun) -> None:
    log_run(mlruns, "easier", gains=HIGH, models={"factors": 32, "min_listeners_per_track": 500})
    with pytest.raises(InputError, match=r"models\.min_listeners_per_track is 20 and 500"):
        promote(mlruns, "easier", workspace=workspace_of(mlruns).root, now=NOW)


def test_the_champions_own_settings_change_nothing(mlruns: Path, champion: LoggedRun) -> None:
    log_run(mlruns, "again", gains=HIGH, models={"factors": 16})
    done = promote(mlruns, "again", workspace=workspace_of(mlruns).root, now=NOW)
    assert (done["status"], done["champion"], done["run"]) == ("nothing new", 1, champion.id)


def test_a_challenger_shares_lists_without_a_contest_until_it_wins_or_is_sent_home(
    mlruns: Path, champion: LoggedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, settings = workspace_of(mlruns).root, settings_of(None)[0]
    assert challenger_of(settings, None) is None
    luck = log_run(mlruns, "luck", gains=MIXED, models={"factors": 32, "regularization": 0.5})
    told = challenge(mlruns, "luck", workspace=root)
    assert (told["challenger"], told["run"], Registry(mlruns).champion().run.id) == (2, luck.id, champion.id)  # type: ignore[union-attr]
    found = challenger_of(settings, None)
    assert found is not None
    assert (found.version, found.models.factors, settings.models.factors) == ("2", 32, 16)
    file = tmp_path / "settings.toml"
    file.write_text("[models]\nfactors = 48\n")  # the file wins over both
    found = challenger_of(settings_of(file)[0], file)
    assert found is not None
    assert (found.models.factors, found.models.regularization) == (48, 0.5)
    told = capsys.readouterr()
    assert "settings win over the challenger's" in told.out + told.err
    file.write_text("[models]\nfactors = 48\nregularization = 0.1\n")  # nothing is left to compare
    assert challenger_of(settings_of(file)[0], file) is None
    better = log_run(mlruns, "better", gains=HIGH, models={"factors": 64})
    assert challenge(mlruns, "better", workspace=root)["challenger"] == 3
    assert crowned(mlruns, better) == 3
    assert challenger_of(settings_of(None)[0], None) is None  # who wins challenges nobody any more
    assert challenge(mlruns, "luck", workspace=root)["challenger"] == 2
    assert [end_challenge(mlruns)["status"] for _ in range(2)] == ["done", "nothing new"]
    assert challenger_of(settings_of(None)[0], None) is None


def test_what_is_the_champion_or_measured_nothing_or_is_not_known_challenges_nobody(
    mlruns: Path, champion: LoggedRun
) -> None:
    root = workspace_of(mlruns).root
    with pytest.raises(UsageError, match="the champion's settings"):
        challenge(mlruns, "champion", workspace=root)
    log_run(mlruns, "nothing", gains=[], models={"factors": 32}, measured=False)
    with pytest.raises(NotBetterError, match="measured nothing"):
        challenge(mlruns, "nothing", workspace=root)
    log_run(mlruns, "old", gains=LOW, models={"moods": 3})
    assert challenge(mlruns, "old", workspace=root)["status"] == "done"
    assert challenger_of(settings_of(None)[0], None) is None  # and no night stops for it


def test_going_back_moves_the_alias_and_a_promoted_run_keeps_its_version(mlruns: Path, champion: LoggedRun) -> None:
    better = log_run(mlruns, "better", gains=HIGH, models={"factors": 32})
    assert crowned(mlruns, better) == 2
    assert go_back(mlruns)["champion"] == 1
    assert go_back(mlruns, version=2)["champion"] == 2
    assert go_back(mlruns)["champion"] == 1
    assert crowned(mlruns, better) == 2
    with pytest.raises(UnknownRunError, match="no version 7"):
        go_back(mlruns, version=7)


def test_going_back_again_and_again_reaches_the_defaults(mlruns: Path, champion: LoggedRun) -> None:
    """Also where an earlier version won once more in between: it is not before itself."""
    better = log_run(mlruns, "better", gains=HIGH, models={"factors": 32})
    assert crowned(mlruns, better) == 2
    log_run(mlruns, "first on other days", gains=HIGH, models={"factors": 16}, data="d2")
    log_run(mlruns, "better on other days", gains=LOW, models={"factors": 32}, data="d2")
    assert crowned(mlruns, Registry(mlruns).find("first on other days")) == 3
    assert go_back(mlruns, version=1)["before"] == 3
    assert [go_back(mlruns)["champion"] for _ in range(4)] == [3, 2, 1, None]
    assert go_back(mlruns, version=2)["before"] is None  # before it came the defaults


def test_the_first_champion_may_not_be_surely_worse_than_another_model_of_its_own(mlruns: Path) -> None:
    key = "blend_minus.neighbours.macro_ndcg_at_10"
    worse = log_run(mlruns, "worse", gains=LOW, metrics={key: -0.05, f"{key}_high": -0.01})
    with pytest.raises(NotBetterError, match=r"neighbours model, -0\.0500"):
        crowned(mlruns, worse)
    assert Registry(mlruns).champion() is None
    unsure = log_run(mlruns, "unsure", gains=LOW, metrics={key: -0.05, f"{key}_high": 0.01})
    assert crowned(mlruns, unsure) == 1


def test_the_first_champion_has_to_beat_the_defaults(mlruns: Path, defaults: LoggedRun) -> None:
    log_run(mlruns, "luck", gains=[0.2, 0.0, 0.3, 0.2], models={"factors": 32})
    with pytest.raises(NotBetterError, match=rf"does not beat the defaults.* that of defaults \({defaults.id[:8]}\)"):
        promote(mlruns, "luck", workspace=workspace_of(mlruns).root, now=NOW)
    assert Registry(mlruns).champion() is None
    log_run(mlruns, "better", gains=LOW, models={"factors": 16})
    done = promote(mlruns, "better", workspace=workspace_of(mlruns).root, now=NOW)
    assert (done["champion"], done["before"], done["difference"]) == (1, None, 0.1)


def test_the_defaults_themselves_may_be_the_first_champion(mlruns: Path, defaults: LoggedRun) -> None:
    assert "difference" not in promote(mlruns, "defaults", workspace=workspace_of(mlruns).root, now=NOW)
    now = Registry(mlruns).champion()
    assert now is not None
    assert now.run.id == defaults.id


def test_the_defaults_are_those_of_the_operators_file(mlruns: Path, defaults: LoggedRun) -> None:
    file = mlruns / "settings.toml"
    file.write_text("[models]\nfactors = 32\n")
    log_run(mlruns, "theirs", gains=LOWEST, models={"factors": 32})
    assert promote(mlruns, "theirs", workspace=workspace_of(mlruns).root, now=NOW, settings_file=file)["champion"] == 1


def test_what_the_operators_file_sets_over_the_champion_has_to_be_beaten(mlruns: Path, champion: LoggedRun) -> None:
    file = mlruns / "settings.toml"
    file.write_text("[models]\nfactors = 8\n")
    log_run(mlruns, "better", gains=HIGH, models={"factors": 32})
    with pytest.raises(
        InputError, match=r"version 1 \(with factors from the settings file .* no run with those settings"
    ):
        promote(mlruns, "better", workspace=workspace_of(mlruns).root, now=NOW, settings_file=file)
    log_run(mlruns, "what nights use", gains=HIGH, models={"factors": 8})
    for name in ("better", "what nights use"):
        with pytest.raises(NotBetterError, match="with factors from the settings file"):
            promote(mlruns, name, workspace=workspace_of(mlruns).root, now=NOW, settings_file=file)
    assert promote(mlruns, "better", workspace=workspace_of(mlruns).root, now=NOW)["champion"] == 2


def test_without_a_run_of_the_defaults_a_first_champion_is_told_to_make_one(mlruns: Path) -> None:
    log_run(mlruns, "alone", gains=HIGH, models={"factors": 32})
    with pytest.raises(InputError, match="no run with those settings") as refused:
        promote(mlruns, "alone", workspace=workspace_of(mlruns).root, now=NOW)
    assert "`hearabouts evaluate` without --config first" in refused.value.hint


def test_a_run_that_measured_nothing_is_never_champion(mlruns: Path, defaults: LoggedRun) -> None:
    log_run(mlruns, "nothing", gains=[], models={"factors": 32}, measured=False)
    log_run(mlruns, "nan", gains=LOW, models={"factors": 32}, metrics={"blend.ndcg_at_10": float("nan")})
    for name in ("nothing", "nan"):
        with pytest.raises(NotBetterError, match="measured nothing"):
            promote(mlruns, name, workspace=workspace_of(mlruns).root, now=NOW)
    assert Registry(mlruns).champion() is None


def test_a_newer_run_of_the_champion_that_measured_nothing_is_no_rival(mlruns: Path, champion: LoggedRun) -> None:
    log_run(mlruns, "nothing", gains=[], models={"factors": 16}, measured=False)
    log_run(mlruns, "worse", gains=LOWEST, models={"factors": 32})
    with pytest.raises(NotBetterError, match="does not beat the champion"):
        promote(mlruns, "worse", workspace=workspace_of(mlruns).root, now=NOW)


def test_a_run_by_other_code_is_no_rival(mlruns: Path, champion: LoggedRun) -> None:
    log_run(mlruns, "newer code", gains=HIGH, models={"factors": 32}, code="c2")
    with pytest.raises(InputError, match="their code differs: c1 and c2"):
        promote(mlruns, "newer code", workspace=workspace_of(mlruns).root, now=NOW)
    log_run(mlruns, "champion again", gains=LOW, models={"factors": 16}, code="c2")
    assert promote(mlruns, "newer code", workspace=workspace_of(mlruns).root, now=NOW)["champion"] == 2


def test_a_rival_whose_listeners_rows_are_gone_is_passed_over_and_named(mlruns: Path, champion: LoggedRun) -> None:
    better = log_run(mlruns, "better", gains=HIGH, models={"factors": 32})
    forget_rows(champion, mlruns)
    with pytest.raises(InputError, match=r"no figures of the listeners of first") as refused:
        crowned(mlruns, better)
    assert refused.value.exit_code == 65
    assert "Evaluate both on the data of today" in refused.value.hint
    again = log_run(mlruns, "champion again", gains=LOW, models={"factors": 16})
    log_run(mlruns, "champion elsewhere", gains=HIGH, models={"factors": 16})
    forget_rows(next(Registry(mlruns).runs()), mlruns)
    assert crowned(mlruns, better) == 2
    assert again.id != champion.id


def test_a_challenger_whose_listeners_rows_are_gone_is_told_to_evaluate_again(
    mlruns: Path, champion: LoggedRun
) -> None:
    better = log_run(mlruns, "better", gains=HIGH, models={"factors": 32})
    forget_rows(better, mlruns)
    with pytest.raises(InputError, match=r"no figures of the listeners of better") as refused:
        crowned(mlruns, better)
    assert "evaluate both runs again" in refused.value.hint


def forget_rows(run: LoggedRun, folder: Path) -> None:
    [file] = workspace_of(folder).private.rglob(f"{run.record}.parquet")
    file.unlink()


def test_before_the_first_champion_came_the_defaults(mlruns: Path, champion: LoggedRun) -> None:
    assert go_back(mlruns) == {"status": "done", "champion": None}
    assert Registry(mlruns).champion() is None
    with pytest.raises(UnknownRunError, match="nobody is champion"):
        go_back(mlruns)
    assert go_back(mlruns, version=1)["champion"] == 1


@pytest.mark.parametrize("wanted", ["nowhere", "0000000"])
def test_an_unknown_run_is_named_with_those_there_are(mlruns: Path, champion: LoggedRun, wanted: str) -> None:
    with pytest.raises(UnknownRunError, match=rf"{wanted}.*first \({champion.id[:8]}\)"):
        Registry(mlruns).find(wanted)


def test_a_run_is_found_by_id_beginning_name_and_role(mlruns: Path, champion: LoggedRun) -> None:
    newer = log_run(mlruns, "newer", gains=HIGH)
    registry = Registry(mlruns)
    for wanted, run in ((champion.id[:6], champion), ("first", champion), ("champion", champion), ("latest", newer)):
        assert registry.find(wanted).id == run.id
    with pytest.raises(UnknownRunError):
        registry.find(champion.id[:5])


def test_the_artifact_of_a_version_is_settings_alone(mlruns: Path, champion: LoggedRun) -> None:
    assert Registry(mlruns).find("first").params == champion.params
    files = [file for file in mlruns.glob(f"artifacts/{champion.id}/artifacts/hearabouts/**/*") if file.is_file()]
    examples = {"input_example.json", "serving_input_example.json"}  # made up: see the test of the model card
    assert {file.name for file in files} == {
        "MLmodel", "conda.yaml", "models.json", "python_env.yaml", "requirements.txt", *examples
    }  # fmt: skip
    assert sum(file.stat().st_size for file in files) < 5_000


class TestWhatANightUses:
    def settings_file(self, folder: Path, more: str = "") -> Path:
        file = folder / "settings.toml"
        file.write_text(f'[tracking]\nfolder = "{folder}"\n{more}')
        return file

    def test_the_defaults_without_a_champion(self, mlruns: Path) -> None:
        settings, version = settings_of(self.settings_file(mlruns))
        assert (settings.models.factors, version) == (128, "none")

    def test_the_champions_settings(self, mlruns: Path, champion: LoggedRun) -> None:
        settings, version = settings_of(self.settings_file(mlruns))
        assert (settings.models.factors, version) == (16, "1")

    def test_the_operators_file_and_environment_win(
        self, mlruns: Path, champion: LoggedRun, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        file = self.settings_file(mlruns, "[models]\nfactors = 8\n")
        assert settings_of(file)[0].models.factors == 8
        assert "factors" in capfd.readouterr().out
        monkeypatch.setenv("HEARABOUTS__MODELS__FACTORS", "4")
        assert settings_of(file)[0].models.factors == 4

    def test_what_a_run_is_asked_is_not_promoted(self, mlruns: Path, defaults: LoggedRun) -> None:
        asked = {"test_nights": 30, "gap_nights": 2, "validation_nights": 9, "min_listeners_per_track": 3, "seed": 7}
        log_run(mlruns, "defaults asked the same", gains=LOWEST, models=asked)
        run = log_run(mlruns, "strange", gains=LOW, models={"factors": 16, **asked})
        assert crowned(mlruns, run) == 1
        usual = load_settings().models
        now = settings_of(self.settings_file(mlruns))[0].models
        assert now == usual.model_copy(update={"factors": 16})
        [artifact] = mlruns.glob("artifacts/*/artifacts/hearabouts/**/models.json")
        assert not asked.keys() & json.loads(artifact.read_text()).keys()

    def test_settings_that_this_release_does_not_know(self, mlruns: Path, defaults: LoggedRun) -> None:
        crowned(mlruns, log_run(mlruns, "old", gains=LOW, models={"moods": 3}))
        with pytest.raises(SettingsError, match=r"version 1, .*: moods"):
            settings_of(self.settings_file(mlruns))
