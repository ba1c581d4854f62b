"""Promise 3 in the midst of a run: who withdraws or is erased is in nothing that is drawn, learned or listed after."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.night import FIRST, NOW, deployed, night_of, small_settings, write_world

from pipelines.base.job_context import JobContext
from pipelines.night import nightly
from pipelines.privacy import nightly_audit
from pipelines.privacy.import_consents import import_consents
from recsys.artifacts.affinities import open_affinities
from recsys.consents.log import Channel, Entry, Purpose, State, consent_log
from recsys.workspace import listener_of

USERS = [f"user-{number}" for number in range(20)]
WITHDREW, ERASED = USERS[:2]
STEPS = ("before reading", "between nights", "before drawing", "before training", "before lists", "before publishing")


class Run:
    """Two nights and what follows from them, with who was seen where, and a no that comes at one step."""

    def __init__(self, job: JobContext, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.job, self._step = job, step
        self.seen: dict[str, set[str]] = {}
        for number, name in ((0, "before reading"), (1, "between nights")):
            self._on(monkeypatch, nightly, "read_night", self._no_at(name, night=night_of(number)))
        self._on(monkeypatch, nightly, "_candidates", self._no_at("before drawing", night=night_of(1)))
        self._on(monkeypatch, nightly.release, "_counted", self._see_drawn)
        self._on(monkeypatch, nightly, "allowed_rows", self._no_at("before training"))
        self._on(monkeypatch, nightly, "measure", lambda rows, **_: self._see("trained", rows))
        self._on(monkeypatch, nightly, "_past", self._no_at("before lists"))
        self._on(monkeypatch, nightly, "personal_lists", lambda _, past, **__: self._see("lists made", past.rows))
        self._on(monkeypatch, nightly, "write_personal_lists", self._no_at("before publishing"))

    def go(self) -> None:
        for number in range(2):
            nightly.run_night(self.job, night_of(number))
        nightly.publish(self.job)
        found = open_affinities(self.job.store.sealed)
        for where, listeners in (("lists", found.listeners), ("for friends", found.recent.listeners)):
            self.seen[where] = {each.ljust(16, b"\0").hex() for each in listeners.tolist()}

    def _on(self, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, action: Callable[..., None]) -> None:
        """Do something before each call of a function."""
        inner = getattr(where, name)

        def watched(*values: Any, **named: Any) -> Any:
            action(*values, **named)
            return inner(*values, **named)

        monkeypatch.setattr(where, name, watched)

    def _no_at(self, step: str, *, night: date | None = None) -> Callable[..., None]:
        def say_no_once(*values: Any, **_: Any) -> None:
            if self._step == step and (night is None or night in values):
                self._step = "said"
                self._say_no()

        return say_no_once

    def _see_drawn(self, contributions: pl.LazyFrame, *, night: date, **_: Any) -> None:
        self._see(f"drawn {night}", contributions.filter(pl.col("weight") > 0).collect())

    def _see(self, where: str, rows: pl.DataFrame) -> None:
        self.seen[where] = set(rows["listener"])

    def _say_no(self) -> None:
        """By another connection, and later than the run began."""
        log, later = consent_log(self.job.workspace, settings=self.job.settings), NOW + timedelta(minutes=1)
        withdrew, erased = (listener_of(user, key=self.job.listener_key) for user in (WITHDREW, ERASED))
        for purpose in Purpose:
            log.decide(Entry(withdrew, purpose, State.WITHDRAWN, later, "2026-09", Channel.API))
        log.erasures.ask(erased, at=later)


@pytest.mark.parametrize("step", STEPS)
def test_who_says_no_at_a_step_is_in_nothing_after_it(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, settings = write_world(tmp_path, nights=2, users=USERS), small_settings(tmp_path)
    job = deployed(tmp_path, sources, settings)
    vars(job)["atlas"] = nightly_audit._atlas(settings)  # Lisbon and Porto, at no cost
    job.workspace.prepare()
    import_consents(sources.consents, workspace=job.workspace, settings=settings)
    everybody = {listener_of(user, key=job.listener_key) for user in USERS}
    before = datetime.combine(FIRST, time(), UTC)
    job.consents.append(Entry(who, Purpose.CONTACTS, State.GIVEN, before, "2026-09") for who in everybody)
    run = Run(job, step, monkeypatch)
    run.go()
    gone = {listener_of(user, key=job.listener_key) for user in (WITHDREW, ERASED)}
    places = [f"drawn {FIRST}", f"drawn {night_of(1)}", "trained", "lists made", "lists", "for friends"]
    after = {"before reading": 0, "between nights": 1, "before drawing": 1}.get(
        step, STEPS.index(step) - 1
    )  # the last two are written at once
    assert {place: run.seen[place] for place in places} == {
        place: everybody if number < after else everybody - gone for number, place in enumerate(places)
    }


@pytest.mark.parametrize("number", [0, 1])
def test_friends_are_told_nothing_from_before_the_switch_was_on(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who turned it on in the second night is told of by that night alone, who did in the first by both."""
    sources, settings = write_world(tmp_path, nights=2, users=USERS), small_settings(tmp_path)
    job = deployed(tmp_path, sources, settings)
    vars(job)["atlas"] = nightly_audit._atlas(settings)
    job.workspace.prepare()
    import_consents(sources.consents, workspace=job.workspace, settings=settings)
    everybody = [listener_of(user, key=job.listener_key) for user in USERS]
    given = datetime.combine(night_of(number), time(23), UTC)
    job.consents.append(Entry(who, Purpose.CONTACTS, State.GIVEN, given, "2026-09") for who in everybody)
    Run(job, "never", monkeypatch).go()
    recent = open_affinities(job.store.sealed).recent
    nights = [night_of(each) for each in (0, 1)]
    played = {night: job.store.scan([night]).select("listener", "track_id").collect() for night in nights}
    of_first, of_second = ({*played[night].iter_rows()} for night in nights)
    told = {(who, track) for who in everybody for track in (recent.told(who) or ("", []))[1]}
    assert told & of_second
    assert bool(told - of_second) == (number == 0 and bool(of_first - of_second))
