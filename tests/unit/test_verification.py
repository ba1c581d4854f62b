"""Verification: a whole file passes; an altered figure, a changed byte and a changed row are each found."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.partnering import DAY, made, settings
from support.releasing import NIGHT, contributed, released, small_atlas

from recsys.errors import InputError, PrivacyBudgetError, RecsysError
from recsys.releases.budget.ledger import Ledger
from recsys.releases.partner import files
from recsys.releases.partner.partner_release import Period
from recsys.releases.verify.verification import Check, confirm, verify_night, verify_partner
from recsys.workspace import MANIFEST


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a partner file."""
    whole = Period(NIGHT, NIGHT + 27 * DAY)
    return made(tmp_path_factory.mktemp("workspace"), period=whole, with_settings=settings(min_nights=28)).parents[1]


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of the file that may be spoiled, beside its ledger."""
    shutil.copytree(original, tmp_path / "copy")
    return next((tmp_path / "copy" / "partner").iterdir())


def verified(folder: Path, *, ledger: bool = True) -> list[Check]:
    log = Ledger(folder.parents[1] / "ledger.db") if ledger else None
    return verify_partner(folder, ledger=log, atlas=small_atlas())


def broken(folder: Path, *, ledger: bool = True) -> set[str]:
    return {check.what for check in verified(folder, ledger=ledger) if not check.holds}


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter release.json as somebody would who also writes the README and the checksums anew."""
    facts = json.loads((folder / "release.json").read_text())
    change(facts)
    (folder / "release.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    (folder / "README.md").write_text(files.readme(facts))
    (folder / "SHA256SUMS").write_text(files.checksums(folder))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path


def alter(facts: dict[str, Any], path: tuple[Any, ...]) -> None:
    *above, last = path
    for key in above:
        facts = facts[key]
    value = facts[last]
    facts[last] = value + 1 if isinstance(value, int) else value * 1.001 if isinstance(value, float) else f"{value}x"


def test_a_file_as_it_was_made_passes(folder: Path) -> None:
    checks = verified(folder)
    assert [check for check in checks if not check.holds] == []
    confirm(checks)
    whole = {check.what for check in checks}
    assert {"guarantees.file.epsilon_opendp", "tiers.world.threshold", "ledger: release", "places of country"} <= whole
    assert broken(folder, ledger=False) == set()


def test_every_altered_figure_is_found_even_with_new_checksums(folder: Path, original: Path) -> None:
    facts = json.loads((folder / "release.json").read_text())
    always = {"ledger: release"}  # other bytes are another release: what else tells that this figure is wrong?
    for path in leaves(facts):
        if path[0] == "mean_weights":
            continue  # noise decides them: but for rows under their threshold, only the digest of all vouches for it
        if path[0] == "tiers" and path[-1] == "name":
            continue  # without its name a tier has no threshold to be found by: the next test
        rewrite(folder, lambda new, path=path: alter(new, path))
        try:
            found = broken(folder) - always
        except InputError:
            found = {"cannot be read"}
        assert found, path
        shutil.copytree(next((original / "partner").iterdir()), folder, dirs_exist_ok=True)


def test_figures_that_are_missing_make_it_unreadable(folder: Path) -> None:
    text = (folder / "release.json").read_text()
    (folder / "release.json").write_text(text.replace('"name": "part"', '"name": "part of it"'))
    with pytest.raises(InputError, match="no partner file that can be read"):
        verified(folder)


@pytest.mark.parametrize(
    ("figure", "named"),
    [("rho", "part.rho"), ("epsilon", "file.epsilon"), ("sigma_squared", "noise of part"), ("threshold", "threshold")],
)
def test_a_figure_that_does_not_hold_is_the_privacy_officers_concern(folder: Path, figure: str, named: str) -> None:
    def change(facts: dict[str, Any]) -> None:
        (facts["guarantees"]["file"] if figure == "epsilon" else facts["tiers"][0])[figure] *= 2

    rewrite(folder, change)
    with pytest.raises(PrivacyBudgetError, match=named) as refused:
        confirm(verified(folder, ledger=False))
    assert refused.value.exit_code == 77


@pytest.mark.parametrize("name", ["README.md", "release.json", "trends.csv", "trends.parquet", "SHA256SUMS"])
def test_a_changed_byte_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(RecsysError):
        confirm(verified(folder, ledger=False))


def test_damaged_files_alone_are_bad_input(folder: Path) -> None:
    with (folder / "trends.csv").open("a") as file:
        file.write("AA,Extra,AA,country,t09,Song,Band,500\r\n")
    with pytest.raises(InputError, match=r"^2 things do not hold: checksum of trends.csv: .*; trends.csv has the rows"):
        confirm(verified(folder, ledger=False))


@pytest.mark.parametrize("name", ["README.md", "trends.csv"])
def test_a_file_too_many_or_too_few_is_found(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert {"files", f"checksum of {name}"} <= broken(folder)
    shutil.copy(folder / "release.json", folder / name)
    (folder / "listeners.csv").write_text("who\n")
    assert "files" in broken(folder)


def row(**changes: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def changed(trends: pl.DataFrame) -> pl.DataFrame:
        columns = [pl.lit(value).cast(trends.schema[name]).alias(name) for name, value in changes.items()]
        return pl.concat([trends.head(1).with_columns(columns), trends.slice(1)])

    return changed


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (row(listeners=15), "rows under their threshold"),
        (row(listeners=101), "rows that are no multiple of 10"),
        (row(place="XX"), "places of rows that are in no tier"),
        (lambda trends: trends.slice(1), "rows"),
        (lambda trends: pl.concat([trends, trends.tail(1)]), "no place has a track twice"),
    ],
)
def test_a_changed_row_is_found_though_everything_was_written_anew(
    folder: Path, change: Callable[[pl.DataFrame], pl.DataFrame], found: str
) -> None:
    trends = change(pl.read_parquet(folder / "trends.parquet"))
    trends.write_parquet(folder / "trends.parquet")
    (folder / "trends.csv").write_bytes(files.trends_csv(trends))
    rewrite(folder, lambda _: None)
    assert found in broken(folder, ledger=False)
    assert "ledger: release" in broken(folder)


def test_a_file_that_the_ledger_does_not_know_is_found(folder: Path, tmp_path: Path) -> None:
    checks = verify_partner(folder, ledger=Ledger(tmp_path / "empty.db"), atlas=None)
    assert [check.what for check in checks if not check.holds] == ["the ledger has this period"]
    with pytest.raises(PrivacyBudgetError):
        confirm(checks)


def test_a_night_is_recomputed_too(tmp_path: Path) -> None:
    folder, ledger = released(contributed([("a", "aa1", "t00")]), tmp_path), Ledger(tmp_path / "ledger.db")
    confirm(verify_night(folder, ledger=ledger))
    facts = json.loads((folder / MANIFEST).read_text())
    for tier in facts["tiers"]:
        tier["sigma_squared"] /= 4
    (folder / MANIFEST).write_text(json.dumps(facts))
    found = {check.what for check in verify_night(folder, ledger=ledger) if not check.holds}
    assert found == {"rho of part", "rho of the night", "the release that was paid for"}


def test_a_night_from_before_weights_were_earned_is_recomputed_from_its_own_bound(tmp_path: Path) -> None:
    """Its manifest names ``max_tracks``, which the ledger's sensitivity is compared with; there are no totals."""
    folder, ledger = released(contributed([("a", "aa1", "t00")]), tmp_path), Ledger(tmp_path / "ledger.db")
    facts = json.loads((folder / MANIFEST).read_text())
    for bound in ("most_per_night", "most_per_28_nights", "most_per_365_nights"):
        del facts[bound]
    (folder / "totals.parquet").unlink()
    del facts["files"]["totals.parquet"]
    for most, expected in ((10, set()), (9, {"rho of part", "rho of the night", "max_tracks in the ledger"})):
        facts["max_tracks"] = most
        (folder / MANIFEST).write_text(json.dumps(facts))
        found = {check.what for check in verify_night(folder, ledger=ledger) if not check.holds}
        assert found == {*expected, "the release that was paid for"}  # other bytes than those of the ledger


def test_a_night_whose_ledger_says_otherwise_is_found(tmp_path: Path) -> None:
    folder = released(contributed([("a", "aa1", "t00")]), tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute("DROP TRIGGER entry_unchanged")
        connection.execute("UPDATE entries SET rho = 0.001")
    found = [check.what for check in verify_night(folder, ledger=Ledger(tmp_path / "ledger.db")) if not check.holds]
    assert found == ["rho in the ledger"]
    assert str(NIGHT) in folder.name
