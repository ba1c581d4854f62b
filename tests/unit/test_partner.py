"""The partner file: its threshold, what that costs, and the forms in which its rows are written."""

import csv
import io
import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.partnering import DAY, PERIOD, made, settings
from support.releasing import NIGHT, NOW, TRACKS, catalogue, contributed, small_atlas

from recsys.errors import InputError, PrivacyBudgetError, SettingsError
from recsys.releases.budget.ledger import Ledger
from recsys.releases.counts import release
from recsys.releases.partner import files
from recsys.releases.partner.partner_release import Period, confirm, release_partner_file
from recsys.releases.partner.threshold import failure, threshold
from recsys.settings import PartnerSettings, load_settings
from recsys.workspace import digest


def noise(sigma_squared: float) -> dict[int, float]:
    weights = {x: math.exp(-(x**2) / (2 * sigma_squared)) for x in range(-40, 41)}
    return {x: weight / math.fsum(weights.values()) for x, weight in weights.items()}


def bounds(**changes: object) -> PartnerSettings:
    return load_settings().partner.model_copy(update=changes)


@pytest.mark.parametrize(("sigma_squared", "delta"), [(0.5, 1e-3), (4.0, 1e-2), (9.0, 1e-9)])
def test_the_threshold_is_the_smallest_that_just_enough_listeners_hardly_reach(
    sigma_squared: float, delta: float
) -> None:
    some = bounds(threshold_delta=delta, rounding=1)

    def reached(least: int) -> float:
        return math.fsum(p for x, p in noise(sigma_squared).items() if 20 + x >= least)

    found = threshold(sigma_squared, settings=some)
    assert reached(found) <= delta < reached(found - 1)
    assert failure(sigma_squared, settings=some) == pytest.approx(reached(found), rel=1e-9)
    assert threshold(sigma_squared, settings=bounds(threshold_delta=delta)) == math.ceil(found / 10) * 10


def test_of_the_margin_the_usual_formula_is_known() -> None:
    """At 1e-11 a normal tail begins 6.71 standard deviations out: 20 + 6.71 sqrt(187.5) = 111.8, rounded up."""
    assert threshold(187.5, settings=bounds()) == 120
    assert threshold(187.5, settings=bounds(rounding=1)) in (112, 113)


def test_what_the_hard_check_costs_is_what_the_docstring_derives() -> None:
    """Two counts that one listener lifts from 19 and 25: every output is enumerated, in both directions."""
    some, around = bounds(threshold_delta=2e-2, rounding=1), noise(2.0)
    least, a = threshold(2.0, settings=some), failure(2.0, settings=some)

    def outputs(*real: int) -> dict[tuple[int | None, ...], float]:
        found: dict[tuple[int | None, ...], float] = {}
        for draws in product(around.items(), repeat=len(real)):
            shown = tuple(n + x if n >= 20 and n + x >= least else None for n, (x, _) in zip(real, draws, strict=True))
            found[shown] = found.get(shown, 0) + math.prod(p for _, p in draws)
        return found

    def divergence(one: dict, other: dict, eps: float) -> float:
        return math.fsum(max(0.0, p - math.exp(eps) * other.get(output, 0)) for output, p in one.items())

    without, with_ = outputs(19, 25), outputs(20, 26)
    shifted = {x + 1: p for x, p in around.items()}
    for eps in (0.0, 0.2, 0.5, 1.0, 2.0):
        delta = divergence(shifted, around, eps)
        assert divergence(with_, without, eps) <= delta + a + 1e-12
        assert divergence(without, with_, eps - math.log1p(-a)) <= delta + 1e-12
    # One listener more would be one too few: a count that the others do not reach shows with probability a itself.
    forgotten = math.fsum(p for x, p in around.items() if 19 + x >= least)
    assert divergence(outputs(20), outputs(19), 20.0) == pytest.approx(a)
    assert a > forgotten


def test_rows_are_named_rounded_and_in_order(tmp_path: Path) -> None:
    folder = made(tmp_path)
    trends = pl.read_parquet(folder / "trends.parquet")
    assert trends.select("place", "level", "name", "country").unique(maintain_order=True).rows() == [
        ("world", "world", "Náme world", None),
        ("AA", "country", "Náme AA", "AA"),
        ("aa1", "region", "Náme aa1", "AA"),
        ("aa2", "region", "Náme aa2", "AA"),
    ]
    assert set(trends["track_id"]) == {"t00", "t01"}
    assert set(trends["title"]) == {"Song t00", "Song t01"}
    found = {(place, track): n for place, track, n in trends.select("place", "track_id", "listeners").rows()}
    # All count in full; the mean weight is read from noisy totals, of which that of tracks is within a few percent.
    assert found["aa1", "t00"] in range(1_790, 1_990, 10)
    assert found["world", "t01"] in range(2_990, 3_250, 10)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "SHA256SUMS", "release.json", "trends.csv", "trends.parquet"
    ]  # fmt: skip


def test_numbers_are_divided_by_the_mean_weight_of_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 listeners of 12 tracks each, of 3 * 256 with the weight 7 (588, and totals of 2 and 3 at most squared).

    Of every track 3,000 * 7 / 16 = 1,312.5 is counted; without noise the totals say 7 / 16, and 3,000 is published.
    """
    monkeypatch.setattr(release, "discrete_gaussian", lambda size, sigma_squared: np.zeros(size, dtype=np.int32))
    rows = [(f"{i:032x}", "aa1", track) for i in range(3_008) for track in TRACKS[:12]]
    folder = made(tmp_path, rows, with_settings=settings(max_tracks=12))
    found = pl.read_parquet(folder / "trends.parquet")
    assert set(found["place"]) == {"aa1", "AA", "world"}
    assert found.height == 3 * 12
    assert found["listeners"].is_between(2_950, 3_070).all()


def test_rows_are_there_by_what_was_counted_and_not_by_what_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threshold hides listeners behind noise, and noise is as wide however the numbers are scaled afterwards."""
    monkeypatch.setattr(release, "discrete_gaussian", lambda size, sigma_squared: np.zeros(size, dtype=np.int32))
    for listeners, expected in ((64, 0), (96, 12)):  # times 7 / 16: 28 and 42, of thresholds of 30 and 40
        (tmp_path / str(listeners)).mkdir()
        rows = [(f"{i:032x}", "aa1", track) for i in range(listeners) for track in TRACKS[:12]]
        folder = made(tmp_path / str(listeners), rows, with_settings=settings(max_tracks=12))
        trends = pl.read_parquet(folder / "trends.parquet")
        assert trends.filter(place="aa1").height == expected


def test_what_lies_in_no_region_is_called_so(tmp_path: Path) -> None:
    folder = made(tmp_path, [(f"{i:032x}", "AA-rest", "t00") for i in range(60)])
    rest = pl.read_parquet(folder / "trends.parquet").filter(place="AA-rest")
    assert rest.select("name", "level").rows() == [("Náme AA, outside its regions", "remainder")]


def test_both_tables_have_the_same_rows(tmp_path: Path) -> None:
    folder = made(tmp_path)
    trends = pl.read_parquet(folder / "trends.parquet")
    lines = list(csv.reader(io.StringIO((folder / "trends.csv").read_text())))
    assert lines[0] == trends.columns
    assert lines[1:] == [["" if value is None else str(value) for value in row] for row in trends.iter_rows()]


def test_no_text_is_a_formula_for_a_spreadsheet() -> None:
    frame = pl.DataFrame({"title": ['=HYPERLINK("x")', "-1", "a,b", "@x", None], "listeners": [10, 20, 30, 40, -50]})
    lines = list(csv.reader(io.StringIO(files.trends_csv(frame).decode())))
    assert [line[0] for line in lines[1:]] == ['\'=HYPERLINK("x")', "'-1", "a,b", "'@x", ""]
    assert lines[-1][1] == "-50"


def test_the_readme_follows_from_release_json_alone(tmp_path: Path) -> None:
    folder = made(tmp_path)
    facts = json.loads((folder / "release.json").read_text())
    text = (folder / "README.md").read_text()
    assert files.readme(facts) == text
    for said in ("2026-10-01 to 2026-10-02", "2 nights", "at least 20 real listeners", f"{facts['rows']} rows"):
        assert said in text
    assert "{" not in text


def test_the_same_period_again_is_the_same_file_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path)
    before = {path.name: digest(path) for path in folder.iterdir()}
    monkeypatch.setattr(release, "discrete_gaussian", lambda *_, **__: pytest.fail("noise was drawn again"))
    assert made(tmp_path, [], with_settings=settings(rho=1.0)) == folder
    assert {path.name: digest(path) for path in folder.iterdir()} == before
    [entry] = Ledger(tmp_path / "ledger.db").entries()
    assert (entry.spend.purpose, entry.spend.rho, entry.release) == ("partner", 10.0, before["SHA256SUMS"])
    assert (str(entry.spend.first), str(entry.spend.night)) == ("2026-10-01", "2026-10-02")


@pytest.mark.parametrize("days", [(-1, 0), (0, 2), (1, 2), (-5, 5)])
def test_a_night_is_in_one_file_at_most(tmp_path: Path, days: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    monkeypatch.setattr(release, "discrete_gaussian", lambda *_, **__: pytest.fail("noise was drawn again"))
    with pytest.raises(PrivacyBudgetError, match="has nights in common"):
        made(tmp_path, period=Period(NIGHT + days[0] * DAY, NIGHT + days[1] * DAY))


def test_a_period_that_is_too_short_is_refused_before_anything_is_spent(tmp_path: Path) -> None:
    with pytest.raises(PrivacyBudgetError, match=r"has 1 nights, a partner file needs at least 2"):
        made(tmp_path, period=Period(NIGHT, NIGHT))
    assert Ledger(tmp_path / "ledger.db").entries() == []


def test_settings_that_guarantee_nothing_are_refused_before_anything_is_spent(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="leaves no guarantee"):
        made(tmp_path, with_settings=settings(threshold_delta=9e-7))
    assert Ledger(tmp_path / "ledger.db").entries() == []
    assert not (tmp_path / "partner" / str(PERIOD)).exists()


def test_a_ledger_that_does_not_know_a_file_stops_all(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(PrivacyBudgetError, match="not in the ledger"):
        confirm(tmp_path / "partner", ledger=Ledger(tmp_path / "empty.db"), now=NOW)


def test_listeners_who_add_too_much_are_refused(tmp_path: Path) -> None:
    several = contributed([("a", "aa1", track) for track in TRACKS[:5]], night=PERIOD.last)
    with pytest.raises(PrivacyBudgetError, match="add more than a squared length of 3 in one part"):
        release_partner_file(
            several,
            period=PERIOD,
            catalogue=catalogue(),
            atlas=small_atlas(),
            settings=settings(),
            ledger=Ledger(tmp_path / "ledger.db"),
            files=tmp_path / "partner",
            now=NOW,
        )
    assert Ledger(tmp_path / "ledger.db").entries() == []


def test_a_damaged_file_is_not_given_again(tmp_path: Path) -> None:
    (made(tmp_path) / "trends.csv").write_text("place\n")
    with pytest.raises(InputError, match="is not the file that was released"):
        made(tmp_path)


def test_a_crash_before_the_ledger_knew_does_not_let_a_file_be_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(Ledger, "complete", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path)
    ledger = Ledger(tmp_path / "ledger.db")
    confirm(tmp_path / "partner", ledger=ledger, now=NOW)
    assert ledger.entries()[0].release == digest(tmp_path / "partner" / str(PERIOD) / "SHA256SUMS")


def test_a_crash_while_it_is_written_leaves_nothing_and_costs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(files, "checksums", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path)
    assert list((tmp_path / "partner").iterdir()) == []
    made(tmp_path)
    assert [entry.number for entry in Ledger(tmp_path / "ledger.db").entries()] == [1]
