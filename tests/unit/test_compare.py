"""Two runs side by side, against values derived by hand."""

import re
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.runs import NOW, decide, figures_of, log_run, withdraw, workspace_of
from support.sealing import sealed_in

from pipelines.base.terminal import print_table
from pipelines.experiments.compare import compare, metrics_table, parts, regions_table, settings_table, why
from pipelines.experiments.paired_runs import Figures, gain, gains_by_part
from pipelines.mlflow.model_registry import Registry
from recsys.cells import evaluations
from recsys.consents.log import Purpose, State
from recsys.errors import InputError
from recsys.settings import load_settings
from recsys.workspace import Workspace

SCORES = {"global.ndcg_at_10": 0.1, "regional.ndcg_at_10": 0.2, "blend.ndcg_at_10": 0.3}
FACTS = {"train_rows": 900, "own_model": True, "gate_open": True, "own_weight": 0.25, **SCORES}
CLOSED = {"gate_open": False, "own_weight": 0.0}


def pairs(*rows: tuple[str | None, float, float]) -> pl.DataFrame:
    """Rows of two runs of one draw each."""
    return drawn(*((part, [left], [right]) for part, left, right in rows))


def drawn(*rows: tuple[str | None, list[float], list[float]]) -> pl.DataFrame:
    draws = pl.List(pl.Float64)
    return pl.DataFrame(rows, schema={"part": pl.String, "left": draws, "right": draws}, orient="row")


def test_a_gain_is_the_mean_over_regions_of_their_means() -> None:
    # PT-1 gains (0.3 + 0.1) / 2 = 0.2, PT-2 loses 0.1; nobody's home does not count
    found = gain(pairs(("PT-1", 0.1, 0.4), ("PT-1", 0.3, 0.4), ("PT-2", 0.5, 0.4), (None, 0.0, 1.0)))
    assert found.difference == pytest.approx((0.2 - 0.1) / 2)
    assert (found.left, found.right, found.listeners) == (pytest.approx((0.2 + 0.5) / 2), pytest.approx(0.4), 3)
    # PT-1's two differ from 0.2 by 0.1, so their variance is 0.01 + 0.01 over 1, and what a listener of PT-2 varies by
    # is taken to be that, too: the mean's is (0.02 / 2 + 0.02) / 4, of one degree of freedom, for which 95 % are 12.706
    wide = 12.706 * 0.0075**0.5
    assert (found.low, found.high) == (pytest.approx(0.05 - wide, abs=1e-3), pytest.approx(0.05 + wide, abs=1e-3))
    assert not found.is_better


def test_the_luck_of_training_is_in_the_interval() -> None:
    """Every listener gains 0.2 on average of the draws, of which the left run had .1, .2, .3 and the right none."""
    rows = [("PT-1", [0.1, 0.2, 0.3], [0.4, 0.4, 0.4])] * 5 + [("PT-2", [0.1, 0.2, 0.3], [0.4, 0.4, 0.4])] * 5
    found = gain(drawn(*rows))
    assert (found.left, found.right, found.difference) == pytest.approx((0.2, 0.4, 0.2))
    # .01 is the variance of the draws, of three of which it is the mean; of two degrees of freedom 95 % are 4.303
    assert found.high - 0.2 == pytest.approx(4.303 * (0.01 / 3) ** 0.5, abs=1e-3)
    assert not found.is_better
    parts = gains_by_part(drawn(*rows), at_least=5)  # and it is each region's, which share it
    assert (parts["high"] - 0.2).to_list() == pytest.approx([4.303 * (0.01 / 3) ** 0.5] * 2, abs=1e-3)


def test_the_luck_of_single_regions_is_in_theirs_and_evens_out_in_all() -> None:
    """What one region gains in a draw, the other loses: the mean of both has no luck, and each has that of two."""
    up, down, none = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.4, 0.4, 0.4]
    rows = [("PT-1", up, none)] * 5 + [("PT-2", down, none)] * 5
    assert gain(drawn(*rows)).low == pytest.approx(0.2)
    # between two regions a draw's means have the variance .02 / 1 over two draws' freedom: .02, of three the mean
    parts = gains_by_part(drawn(*rows), at_least=5)
    assert (parts["high"] - 0.2).to_list() == pytest.approx([4.303 * (0.02 / 3) ** 0.5] * 2, abs=1e-3)


def test_luck_that_every_listener_has_alone_is_told_by_how_much_listeners_differ() -> None:
    """Draws that move single listeners and no region: half of them up as much as the others down."""
    rows = [("PT-1", [0.1, 0.3], [0.5, 0.5]), ("PT-1", [0.3, 0.1], [0.5, 0.5])] * 3
    assert gain(drawn(*rows)).is_better
    assert gains_by_part(drawn(*rows), at_least=5)["low"].to_list() == pytest.approx([0.3])


def test_without_homes_a_gain_is_the_mean_over_listeners() -> None:
    assert gain(pairs((None, 0.1, 0.2), (None, 0.1, 0.4))).difference == pytest.approx(0.2)


def test_the_regions_gains_are_their_listeners() -> None:
    found = gains_by_part(pairs(("b", 0.2, 0.3), ("a", 0.1, 0.4), (None, 0.0, 1.0)), at_least=1)
    assert {row["part"]: round(row["difference"], 6) for row in found.iter_rows(named=True)} == {"a": 0.3, "b": 0.1}


BY = {"global": "global.ndcg_at_10", "own": "regional.ndcg_at_10", "order": "blend.ndcg_at_10"}


def moved(**by: float) -> dict[str, float]:
    """Scores after the parts of the model have added so much more than before."""
    steps = [by.get(part, 0.0) for part in BY]
    return {key: SCORES[key] + sum(steps[: number + 1]) for number, key in enumerate(BY.values())}


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        ({"own_model": False}, moved(own=0.1), "has its own model now"),
        ({}, {"own_model": False, **moved(own=-0.1)}, "has no model of its own any more"),
        ({}, moved(own=-0.05), "moved by own"),
        ({"gate_open": False}, moved(order=0.1), "gate opened: own model at 0.25"),
        ({}, {**CLOSED, **moved(order=-0.1)}, "gate closed: parent's model at 0.00"),
        ({}, {"own_weight": 0.5, **moved(order=0.1)}, "own model weighs 0.25 → 0.50"),
        (CLOSED, {**CLOSED, "own_weight": 0.44, **moved(order=0.1)}, "parent's model weighs 0.00 → 0.44"),
        ({}, moved(order=0.05), "moved by order"),  # another ranker, and nothing else
        ({}, {"train_rows": 1000, **moved(**{"global": 0.1})}, "learns from 900 → 1,000 rows"),
        ({}, moved(**{"global": 0.1}), "moved by global"),
        ({}, {"own_weight": 0.5}, "nothing moved"),
        (CLOSED, CLOSED, "nothing moved"),
        ({}, {"own_weight": 0.5, **moved(**{"global": 0.1, "order": -0.05})}, "moved by global"),  # it gained, in spite
        ({}, {"own_weight": 0.5, **moved(own=0.1, order=-0.2)}, "own model weighs 0.25 → 0.50"),  # it lost, in spite
    ],
)
def test_why_a_region_moved(left: dict[str, object], right: dict[str, object], said: str) -> None:
    row = {**FACTS, **left} | {f"{key}_right": value for key, value in {**FACTS, **right}.items()}
    assert why(row) == said


@given(steps=st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=3))
def test_the_reason_is_the_part_that_moved_the_list_most_the_way_it_went(steps: list[float]) -> None:
    after = moved(**dict(zip(BY, steps, strict=True)))
    row = {**FACTS} | {f"{key}_right": value for key, value in {**FACTS, **after}.items()}
    went = sum(steps)
    assume(abs(went) > 0.001)
    towards = {part: step * (1 if went > 0 else -1) for part, step in zip(BY, steps, strict=True)}
    best = max(towards.values())
    assert any(why(row) == f"moved by {part}" for part in BY if towards[part] >= best - 1e-9)


def test_the_parts_of_a_gain_add_up_to_it() -> None:
    # the world's model gains 0.1; the own one added 0.1 to it and now 0.05, the order 0.1 and now 0.07
    right = {"global.ndcg_at_10": 0.2, "regional.ndcg_at_10": 0.25, "blend.ndcg_at_10": 0.32}
    moved = parts({**SCORES, **{f"{key}_right": value for key, value in right.items()}})
    assert moved == pytest.approx({"global": 0.1, "own": -0.05, "order": -0.03})
    assert sum(moved.values()) == pytest.approx(0.32 - 0.3)


def test_two_runs_on_the_same_data(mlruns: Path, capfd: pytest.CaptureFixture[str]) -> None:
    left = log_run(mlruns, "left", gains=[0.1, 0.2, 0.3, 0.4], models={"factors": 16}, metrics={"blend.coverage": 0.5})
    right = log_run(
        mlruns,
        "right",
        gains=[0.3, 0.4, 0.5, 0.3],
        models={"factors": 32},
        metrics={"blend.coverage": 0.7},
        facts={"PT-2": {"gate_open": False}},
    )
    found = compare(Registry(mlruns), left, right, figures=figures_of(mlruns))
    assert found.settings == [("models.factors", "16", "32")]
    # PT-1 gains 0.2 for each of three, PT-2 loses 0.1
    assert found.as_json() | {"left": "", "right": ""} == {
        "status": "done", "left": "", "right": "", "same_data": True, "same_code": True, "holds_luck": True,
        "settings": {"models.factors": ["16", "32"]},
        "difference": 0.05, "low": 0.05, "high": 0.05, "regions": 2, "regions_moved": 2,
    }  # fmt: skip
    assert found.regions["part"].to_list() == ["PT-1", "PT-2"]
    for table in (settings_table(found), metrics_table(found), regions_table(found)):
        print_table(table)
    printed = capfd.readouterr().out
    for text in ("models.factors", "blend.coverage", "+0.2000", "City PT-2, Portugal", "moved by global", "2 surely"):
        assert text in printed


def test_other_data_has_no_intervals_and_says_so(mlruns: Path, capfd: pytest.CaptureFixture[str]) -> None:
    left = log_run(mlruns, "left", gains=[0.1] * 4)
    right = log_run(mlruns, "right", gains=[0.2] * 4, data="d2")
    found = compare(Registry(mlruns), left, right, figures=figures_of(mlruns))
    assert (found.gain, found.regions["low"].null_count()) == (None, 2)
    assert found.as_json()["same_data"] is False
    print_table(metrics_table(found))
    assert "their data differ" in capfd.readouterr().out


def test_other_regions_are_not_paired(mlruns: Path) -> None:
    left = log_run(mlruns, "left", gains=[0.1] * 4)
    right = log_run(mlruns, "right", gains=[0.2] * 4, atlas="a2")
    assert (
        compare(Registry(mlruns), left, right, figures=figures_of(mlruns)).unpaired
        == "their regions differ: atlas a1 and a2"
    )


def test_listeners_of_whom_one_run_knows_nothing_are_not_left_out_silently(mlruns: Path) -> None:
    left = log_run(mlruns, "left", gains=[0.1] * 4)
    moved = log_run(mlruns, "moved", gains=[0.2] * 4, parts=["PT-1", "PT-1", "PT-2", "PT-2"])
    with pytest.raises(InputError, match=r"asked 4 listeners and .* 4, of whom 3 are the same"):
        compare(Registry(mlruns), left, moved, figures=figures_of(mlruns))


def test_other_code_is_paired_and_named(mlruns: Path, capfd: pytest.CaptureFixture[str]) -> None:
    left = log_run(mlruns, "left", gains=[0.1] * 4)
    right = log_run(mlruns, "right", gains=[0.2] * 4, code="c2")
    found = compare(Registry(mlruns), left, right, figures=figures_of(mlruns))
    assert found.gain is not None
    assert (found.as_json()["same_data"], found.as_json()["same_code"]) == (True, False)
    print_table(metrics_table(found))
    assert "Careful: their code differs: c1 and c2." in " ".join(capfd.readouterr().out.split())


def test_a_run_that_was_trained_once_is_compared_and_named(mlruns: Path, capfd: pytest.CaptureFixture[str]) -> None:
    left = log_run(mlruns, "night", gains=[0.1] * 4, luck=(0.0,))
    right = log_run(mlruns, "right", gains=[0.2] * 4)
    found = compare(Registry(mlruns), left, right, figures=figures_of(mlruns))
    assert found.as_json()["holds_luck"] is False
    print_table(metrics_table(found))
    assert f"Careful: {left.label} was trained and measured once" in " ".join(capfd.readouterr().out.split())


def test_what_was_asked_differently_is_among_the_settings(mlruns: Path) -> None:
    left = log_run(mlruns, "left", gains=[0.1] * 4)
    right = log_run(mlruns, "right", gains=[0.2] * 4, models={"gap_nights": 1})
    found = compare(Registry(mlruns), left, right, figures=figures_of(mlruns))
    assert found.settings == [("models.gap_nights", "0", "1")]
    assert "models.gap_nights is 0 and 1" in found.unpaired


def test_a_run_whose_listeners_rows_are_gone_says_what_to_do(mlruns: Path) -> None:
    left, right = (log_run(mlruns, name, gains=[0.1] * 4) for name in ("left", "right"))
    evaluations.expire(
        sealed_in(workspace_of(mlruns).private), date(2026, 11, 8), nights=35
    )  # that of the runs is 2026-10-04
    with pytest.raises(InputError, match=rf"no figures of the listeners of {re.escape(left.label)}: .* 35") as refused:
        compare(Registry(mlruns), left, right, figures=figures_of(mlruns))
    assert refused.value.exit_code == 65
    assert "--workspace" in refused.value.hint
    elsewhere = Figures(Workspace(mlruns / "elsewhere"), load_settings(), NOW)
    with pytest.raises(InputError, match=r"the workspace .*elsewhere has no figures"):
        compare(Registry(mlruns), left, right, figures=elsewhere)
    assert not (mlruns / "elsewhere").exists()


def test_who_does_not_allow_it_any_more_is_in_no_comparison(mlruns: Path) -> None:
    """The last of four gains most, in PT-2 alone, and withdraws; so PT-2 is left out, and the gain is that of PT-1."""
    left = log_run(mlruns, "left", gains=[0.1] * 4)
    right = log_run(mlruns, "right", gains=[0.2, 0.2, 0.2, 0.9])
    assert compare(Registry(mlruns), left, right, figures=figures_of(mlruns)).as_json()["difference"] == 0.45
    withdraw(mlruns, 3)
    found = compare(Registry(mlruns), left, right, figures=figures_of(mlruns))
    assert found.as_json()["difference"] == 0.1
    assert found.regions.filter(pl.col("part") == "PT-2")["low"].to_list() == [None]


def test_a_place_that_may_not_be_used_any_more_is_in_no_comparison(mlruns: Path) -> None:
    left = log_run(mlruns, "left", gains=[0.1] * 4)
    right = log_run(mlruns, "right", gains=[0.2, 0.2, 0.2, 0.9])
    for purpose in (Purpose.CONTRIBUTE_TRENDS, Purpose.LOCAL_TRENDS):
        decide(mlruns, 3, state=State.WITHDRAWN, purpose=purpose)
    assert compare(Registry(mlruns), left, right, figures=figures_of(mlruns)).as_json()["difference"] == 0.1


@pytest.mark.parametrize(("left_over", "told"), [(2, False), (3, True)])
def test_of_the_few_who_still_allow_it_nothing_is_told(mlruns: Path, left_over: int, told: bool) -> None:
    least = {"min_listeners_in_table": 3}
    left, right = (log_run(mlruns, name, gains=[0.1] * 4, models=least) for name in ("left", "right"))
    withdraw(mlruns, *range(left_over, 4))
    if told:
        assert compare(Registry(mlruns), left, right, figures=figures_of(mlruns)).gain is not None
        return
    with pytest.raises(InputError, match=r"fewer than 3 of the listeners .* still allow it"):
        compare(Registry(mlruns), left, right, figures=figures_of(mlruns))


def test_of_the_few_who_still_have_a_home_nothing_is_told(mlruns: Path) -> None:
    parts = ["PT-1", "PT-1", None, None]
    least = {"min_listeners_in_table": 3}
    left, right = (log_run(mlruns, name, gains=[0.1] * 4, parts=parts, models=least) for name in ("left", "right"))
    with pytest.raises(InputError, match=r"fewer than 3 of the listeners .* still allow it"):
        compare(Registry(mlruns), left, right, figures=figures_of(mlruns))
