"""Promises that only a whole night can break: it heeds its audit, and trains on what is allowed now."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import structlog
from support.commands import Run
from support.night import AREA_IN_TOML, FIRST, NOW, deployed, night_of, small_settings, write_world

from pipelines.base.job_context import Sources
from pipelines.night import nightly
from pipelines.privacy import nightly_audit
from pipelines.privacy.import_consents import import_consents
from recsys.consents.log import Entry, Purpose, State
from recsys.errors import PrivacyBudgetError
from recsys.releases.counts import noise, release
from recsys.settings import Settings
from recsys.workspace import listener_of


@pytest.fixture(autouse=True)
def _log_to_here() -> None:
    """A command that ran in this process before has left the log on what captured its standard error."""
    structlog.reset_defaults()


def halved(size: int, *, sigma_squared: float) -> Any:
    return noise.discrete_gaussian(size, sigma_squared=sigma_squared) // 2


def test_a_night_whose_audit_fails_ends_there(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so in MLflow first; a night whose audit does not fail goes on."""
    sources, logged = Sources(tmp_path, tmp_path), dict[str, float]()
    job = deployed(tmp_path, sources, settings)
    run = SimpleNamespace(metrics=logged.update)
    honest = nightly_audit.audit_release(settings, runs=200)
    monkeypatch.setattr(nightly, "audit_release", lambda _: honest)
    assert nightly._audit(job, run) is honest
    assert logged["privacy.audit.kept"] == 1
    monkeypatch.setattr(nightly, "audit_release", lambda _: replace(honest, found=0.2))
    with pytest.raises(PrivacyBudgetError):
        nightly._audit(job, run)
    assert logged["privacy.audit.mu_found"] == 0.2
    assert logged["privacy.audit.kept"] == 0


def test_nothing_is_drawn_or_published_when_the_audit_fails(
    hearabouts: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_world(tmp_path, nights=2, users=[f"user-{number}" for number in range(20)])
    (tmp_path / "settings.toml").write_text(
        f"{AREA_IN_TOML}[models]\nfactors = 4\nmin_listeners_per_track = 2\nvalidation_nights = 1\ntest_nights = 1\n"
    )
    files = ("--listens", "listens", "--catalogue", "catalogue.csv", "--consents", "consents.csv")
    first = hearabouts("nightly", *files, "--settings", "settings.toml", "--through", night_of(0))
    assert first.code == 0, first.err
    assert first.summary["audit"]["mu_claimed"] == pytest.approx(0.1732, abs=1e-4)  # sqrt(2 * 0.015)
    pointer = (tmp_path / "workspace/current").read_text()
    monkeypatch.setattr(release, "discrete_gaussian", halved)
    second = hearabouts("nightly", *files, "--settings", "settings.toml")
    assert second.code == 77
    assert "the audit of the release code found mu" in second.err
    assert (tmp_path / "workspace/current").read_text() == pointer == first.summary["snapshot"]
    assert [path.name for path in (tmp_path / "workspace/releases").iterdir()] == [str(night_of(0))]


class TrainedError(Exception):
    """Carries what a training would have been given."""


def train(rows: pl.DataFrame, **_: object) -> None:
    raise TrainedError(rows)


def test_a_night_trains_on_what_is_allowed_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the listeners withdraw after their night was stored; what reaches the models is the other half's."""
    users = [f"user-{number}" for number in range(20)]
    sources, settings_ = write_world(tmp_path, nights=1, users=users), small_settings(tmp_path)
    before, after = (deployed(tmp_path, sources, settings_, now=NOW + timedelta(days=days)) for days in (0, 1))
    for job in (before, after):
        vars(job)["atlas"] = nightly_audit._atlas(settings_)  # Lisbon and Porto, at no cost
    before.workspace.prepare()
    import_consents(sources.consents, workspace=before.workspace, settings=settings_)
    nightly.run_night(before, FIRST)
    key = before.listener_key
    gone, kept = ({listener_of(user, key=key) for user in some} for some in (users[::2], users[1::2]))
    before.consents.append(Entry(who, Purpose.PERSONALISATION, State.WITHDRAWN, NOW, "1") for who in gone)
    monkeypatch.setattr(nightly, "measure", train)
    with pytest.raises(TrainedError) as trained:
        nightly.publish(after)
    assert set(trained.value.args[0].filter("trained")["listener"]) == kept
