"""The witness, in SQLite and PostgreSQL: lines that stay, of several deployments, known by more than an id."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.witnessing import settings_with

from recsys.consents.witness import DRAWN, KEY, PLACE, Witness, check_key, place_of, witness_at_hand, witness_of
from recsys.errors import NotReadyError, PrivacyBudgetError, SettingsError
from recsys.settings import load_settings
from recsys.workspace import Workspace, fingerprint

AT = datetime(2026, 11, 1, 6, tzinfo=UTC)


def test_lines_stay_in_their_order_and_with_their_deployment(place: Path | str) -> None:
    one, two = Witness(place, deployment="one"), Witness(place, deployment="two")
    written = [
        one.record("erasure", "e", {"until": 3}, at=AT),
        two.record("x", "y", at=AT),
        one.record("a", "e", at=AT),
    ]
    again = Witness(place, deployment="one")
    assert again.lines() == [written[0], written[2]]
    assert [line.number for line in again.lines()] == [1, 2]
    assert again.lines("erasure") == written[:1]
    assert again.every() == [written[0], written[2], written[1]]
    assert again.of("two").lines() == [written[1]]


def test_a_line_that_was_written_stays(place: Path | str) -> None:
    witness = Witness(place, deployment="one")
    witness.record("x", "y", at=AT)
    for statement in ("UPDATE witnessed SET kind = 'z'", "DELETE FROM witnessed"):
        with pytest.raises(NotReadyError), witness._database.writing() as connection:
            connection.execute(sa.text(statement))
    assert [line.kind for line in witness.lines()] == ["x"]


def test_who_did_not_see_the_last_line_cannot_add_one(place: Path | str) -> None:
    witness = Witness(place, deployment="one")
    witness.record(DRAWN, "first", at=AT, after=0)
    witness.record("other", "line", at=AT)
    for known in (0, 2):
        with pytest.raises(PrivacyBudgetError, match="another copy of it went on meanwhile"):
            witness.record(DRAWN, "second", at=AT, after=known)
    witness.of("two").record(DRAWN, "first", at=AT, after=0)
    witness.record(DRAWN, "second", at=AT, after=1)
    assert [line.subject for line in witness.lines(DRAWN)] == ["first", "second"]


def test_a_workspace_is_known_by_its_id_else_its_key_else_its_place(tmp_path: Path, place: Path | str) -> None:
    settings, workspace = settings_with(place), Workspace(tmp_path / "one").prepare()
    witness = witness_of(workspace, settings=settings, at=AT)
    check_key(witness, workspace.listener_key(), lines=witness.lines(), at=AT)
    assert [line.kind for line in witness.lines()] == [PLACE, KEY]
    (workspace.releases / "2026-10-01").mkdir()
    workspace.id_file.unlink()
    assert witness_of(workspace, settings=settings, at=AT).deployment == witness.deployment
    workspace.id_file.unlink()
    workspace.listener_key_file.rename(tmp_path / "listener.key")
    assert witness_of(workspace, settings=settings, at=AT).deployment == witness.deployment
    elsewhere = Workspace(tmp_path / "two").prepare()
    other = witness_of(elsewhere, settings=settings, at=AT)
    assert other.deployment != witness.deployment
    elsewhere.id_file.unlink()
    (tmp_path / "listener.key").rename(elsewhere.listener_key_file)
    assert witness_of(elsewhere, settings=settings, at=AT).deployment == other.deployment
    elsewhere.id_file.unlink()
    (elsewhere.releases / "2026-10-01").mkdir()
    assert witness_of(elsewhere, settings=settings, at=AT).deployment == witness.deployment
    assert [line.kind for line in witness.lines()] == [PLACE, KEY, PLACE]


def test_a_key_counts_once_something_stands_on_it(tmp_path: Path) -> None:
    witness, keys = Witness(tmp_path / "witness.db", deployment="one"), [bytes([number]) * 32 for number in range(3)]
    for key in keys[:2]:  # nothing is drawn yet
        check_key(witness, key, lines=witness.lines(), at=AT)
    witness.record(DRAWN, "a release", at=AT)
    check_key(witness, keys[1], lines=witness.lines(), at=AT)
    for key in (keys[0], keys[2]):
        with pytest.raises(SettingsError, match="another than the witnessed one"):
            check_key(witness, key, lines=witness.lines(), at=AT)
    assert [line.subject for line in witness.lines(KEY)] == [fingerprint(key) for key in keys[:2]]


def test_a_witness_is_read_only_where_it_is_at_hand(tmp_path: Path) -> None:
    settings, workspace = settings_with(tmp_path / "deep" / "witness.db"), Workspace(tmp_path / "one").prepare()
    assert witness_at_hand(workspace, settings=settings) is None
    assert not (tmp_path / "deep").exists()
    witness = witness_of(workspace, settings=settings, at=AT)
    found = witness_at_hand(workspace, settings=settings)
    assert found is not None
    assert found.lines() == witness.lines()
    workspace.id_file.write_text("another")
    assert witness_at_hand(workspace, settings=settings) is None
    (tmp_path / "deep" / "witness.db").write_text("no database")
    assert witness_at_hand(workspace, settings=settings) is None


def test_the_settings_say_where_it_is_and_no_dump_tells() -> None:
    assert place_of(load_settings()) == Path("mlruns/witness.db")
    assert place_of(settings_with("/elsewhere/witness.db")) == Path("/elsewhere/witness.db")
    secret = settings_with("postgresql://somebody:secret@host/witness")
    assert place_of(secret) == "postgresql://somebody:secret@host/witness"
    assert "secret" not in f"{secret!r}{secret.flat()}{secret.model_dump_json()}"
    assert secret.digest() == load_settings().digest()


@pytest.mark.parametrize("url", ["mysql://host/witness", "://"])
def test_another_database_is_refused_by_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(SettingsError, match=r"privacy\.witness"):
        Witness(str(place_of(settings_with(url))))


def test_line_instants_keep_their_time(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness.db", deployment="one")
    witness.record("x", "y", at=AT + timedelta(days=2))
    witness.record("x", "y", at=AT)
    assert [line.at for line in witness.lines()] == [AT + timedelta(days=2), AT]
