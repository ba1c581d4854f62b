"""From contributions to a listener's own list: learned, kept, put in order, with reasons that hold."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from support.listening import FIRST_NIGHT, world
from support.ordering import put_in_order

from pipelines.base.job_context import Challenger
from pipelines.night import personal_lists
from pipelines.night.interleaving import with_challenger
from pipelines.night.personal_lists import Past, affinities_of, examples_of
from recsys.artifacts.affinities import Affinities, default_orders
from recsys.artifacts.list_candidates import CHARTS, ListCandidates, candidates_of
from recsys.artifacts.scoring import evidence_for
from recsys.errors import NotReadyError
from recsys.geography.atlas import countries
from recsys.models.affinity import Examples
from recsys.models.interactions import Interactions, gather
from recsys.settings import Settings, load_settings

PARTS = tuple(f"part-{number:03d}" for number in range(5))
ATLAS = SimpleNamespace(
    parts=PARTS, place_of=lambda part: part, chain=lambda place: (place, "world") if place in PARTS else (place,)
)
SIZE = 30


@pytest.fixture(scope="module")
def small() -> Settings:
    models = {"factors": 16, "iterations": 8, "min_listeners_per_track": 5, "min_listeners_per_region": 50}
    return load_settings(overrides={"models": models, "lists": {"closest": 60}})


@pytest.fixture(scope="module")
def quick(small: Settings) -> Settings:
    """For what does not depend on how well the models order: trees take most of the time."""
    return small.model_copy(update={"models": small.models.model_copy(update={"ranker": "none"})})


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    made = world(7, listeners=900, tracks=300, parts=len(PARTS), plays=60)
    hashed = {who: hashlib.blake2b(who.encode(), digest_size=16).hexdigest() for who in made["listener"].unique()}
    return made.with_columns(pl.col("listener").replace_strict(hashed))


def lines_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Charts without noise: most listeners; most more in the last nights; largest share against the world's."""
    here = pl.concat([rows, rows.with_columns(part=pl.lit("world"))])
    late = pl.col("night") > rows["night"].max() - timedelta(days=4)
    counts = here.group_by(place="part", track_id="track_id").agg(popular=pl.len(), late=late.sum())
    share = pl.col("popular") / pl.col("popular").sum().over("place")
    everywhere = counts.filter(place="world").select("track_id", everywhere="popular")
    counts = counts.join(everywhere, on="track_id").with_columns(
        rising=pl.col("late") / (pl.col("popular") + 5), local=share / (pl.col("everywhere") + 20)
    )
    lists = [counts.with_columns(chart=pl.lit(chart), merit=pl.col(chart).cast(float)) for chart in CHARTS]
    best = pl.concat(lists).sort("place", "chart", "merit", "track_id", descending=[False, False, True, False])
    best = best.group_by("place", "chart", maintain_order=True).head(SIZE).select("place", "chart", "track_id")
    return best.filter(~((pl.col("place") == "world") & (pl.col("chart") == "local")))


def past_of(rows: pl.DataFrame) -> Past:
    def lists(nights: Sequence[date]) -> pl.DataFrame:
        return lines_of(rows.filter(pl.col("night") <= nights[-1]))

    return Past(rows, lists, rows["night"].unique().sort().to_list())


def before(rows: pl.DataFrame, nights: int) -> pl.DataFrame:
    return rows.filter(pl.col("night") < FIRST_NIGHT + timedelta(days=nights))


@pytest.fixture(scope="module")
def learned(rows: pl.DataFrame, small: Settings) -> Affinities:
    """What is learned from all but the last five nights."""
    known = before(rows, 30)
    return affinities_of(past_of(known), lines=lines_of(known), atlas=ATLAS, settings=small)  # type: ignore[arg-type]


def test_the_listeners_own_order_is_better_than_that_for_all_and_that_not_worse_than_the_popular_list(
    rows: pl.DataFrame, small: Settings, learned: Affinities
) -> None:
    known = gather(before(rows, 30), settings=small.models, parents=countries(ATLAS))  # type: ignore[arg-type]
    later, lines = rows.filter(pl.col("night") >= FIRST_NIGHT + timedelta(days=30)), lines_of(before(rows, 30))
    examples = examples_of(learned, known, later=later, lines=lines, atlas=ATLAS, learners=10_000)  # type: ignore[arg-type]
    assert len(examples.played) > 400
    popular, cold, personal = (
        examples.ndcg(order).mean() for order in ((1, 0, 0, 0, 0), learned.orders.cold, learned.orders.personal)
    )
    assert learned.orders != default_orders(new=small.lists.new)
    assert cold >= popular
    assert personal > 1.1 * cold


def test_a_challenger_has_lists_by_its_own_settings_beside_the_champions(
    rows: pl.DataFrame, small: Settings, learned: Affinities
) -> None:
    models = small.models.model_copy(update={"factors": 4, "ranker": "none"})
    known, by = before(rows, 30), small.model_copy(update={"models": models})
    job: Any = SimpleNamespace(settings=small, challenger=Challenger("2", models), atlas=ATLAS)
    found = with_challenger(job, learned, past=past_of(known), lines=lines_of(known))
    alone = affinities_of(past_of(known), lines=lines_of(known), atlas=ATLAS, settings=by)  # type: ignore[arg-type]
    assert found.challenger is not None
    assert np.array_equal(found.challenger.closeness, alone.closeness)
    assert not np.array_equal(found.challenger.closeness, found.closeness)
    assert (np.array_equal(found.closeness, learned.closeness), len(found.rivals)) == (True, 16)
    assert with_challenger(SimpleNamespace(challenger=None), learned, past=past_of(known), lines=rows) is learned  # type: ignore[arg-type]


def candidates_at(place: str, lines: pl.DataFrame) -> ListCandidates[str]:
    def tracks(place: str, chart: str) -> list[str]:
        return lines.filter(place=place, chart=chart)["track_id"].to_list()

    return candidates_of(ATLAS.chain(place), tracks=tracks)


@pytest.mark.parametrize("place", [*PARTS, "world"])
@pytest.mark.parametrize("order", ["cold", "personal"])
def test_without_the_stated_evidence_an_item_stands_elsewhere(
    rows: pl.DataFrame, learned: Affinities, place: str, order: str
) -> None:
    """In at least 95 % of the first ten items of many listeners' lists, and with every reason that is given."""
    candidates = candidates_at(place, lines_of(before(rows, 30)))
    columns, weights = learned.columns_of(candidates.tracks), getattr(learned.orders, order)
    moved: list[bool] = []
    for listener in learned.listeners[::20]:
        evidence = evidence_for(candidates, columns=columns, row=learned.row(listener.ljust(16, b"\0").hex()))
        if order == "cold":
            evidence[:, 3:] = 0
        best, reasons = put_in_order(evidence, weights)
        for rank, at in enumerate(best[:10].tolist()):
            without = evidence.copy()
            without[at, reasons[rank]] = 0
            moved.append(put_in_order(without, weights)[0][rank] != at)
    assert np.mean(moved) >= 0.95


def test_everybody_with_a_known_track_has_a_row_and_nobody_else(
    rows: pl.DataFrame, quick: Settings, learned: Affinities
) -> None:
    """Also who played one track once: nobody is too new for a list, and nobody who may not be trained on has a row."""
    some = before(rows, 12)
    once = some.head(1).with_columns(listener=pl.lit("f" * 32), plays=pl.lit(1, pl.UInt32))
    refused = some.head(9).with_columns(listener=pl.lit("e" * 32), trained=pl.lit(value=False))
    all_ = pl.concat([some, once, refused])
    found = affinities_of(past_of(all_), lines=lines_of(all_), atlas=ATLAS, settings=quick)  # type: ignore[arg-type]
    assert found.row("f" * 32).known
    assert not found.row("e" * 32).known
    assert found.night == "2026-01-16"
    assert set(learned.listeners.tolist()) <= {bytes.fromhex(who) for who in rows["listener"].unique()}


def test_who_is_not_learned_from_has_a_row_too_and_orders_are_of_the_others(
    rows: pl.DataFrame, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []

    def watched(affinities: Affinities, known: Interactions, **keys: Any) -> Examples:
        looked_at.extend((len(affinities.listeners), known.shape[0]))
        return examples_of(affinities, known, **keys)

    monkeypatch.setattr(personal_lists, "examples_of", watched)
    bounded = quick.models.model_copy(update={"max_training_listeners": 300})
    some, settings = before(rows, 12), quick.model_copy(update={"models": bounded})
    found = affinities_of(past_of(some), lines=lines_of(some), atlas=ATLAS, settings=settings)  # type: ignore[arg-type]
    assert looked_at == [300, 300]
    assert len(found.listeners) == gather(some, settings=quick.models).shape[0] > 600
    assert np.isfinite(found.closeness.astype(float)).all()
    assert (found.closeness.astype(float).max(axis=1) > 0).all()


def test_what_is_close_keeps_the_share_of_a_country_s_own_artists(rows: pl.DataFrame, quick: Settings) -> None:
    """Where artists come from is known: of each third track, from the part that is a country by itself here."""
    some = before(rows, 12)
    own = some["track_id"].unique().sort()[::3].to_list()
    known, lines = replace(past_of(some), origins=dict.fromkeys(own, PARTS[0])), lines_of(some)
    off, on = (
        quick.model_copy(update={"models": quick.models.model_copy(update={"local_share": share})})
        for share in (False, True)
    )
    plain, same, kept = (
        affinities_of(past, lines=lines, atlas=ATLAS, settings=settings)  # type: ignore[arg-type]
        for past, settings in ((past_of(some), on), (known, off), (known, on))
    )
    np.testing.assert_array_equal(plain.closeness, same.closeness)
    assert not np.array_equal(kept.columns, plain.columns)


def test_few_nights_or_charts_of_another_atlas_teach_no_order(rows: pl.DataFrame, quick: Settings) -> None:
    some = before(rows, 12)

    def refused(_: Sequence[date]) -> pl.DataFrame:
        raise NotReadyError("another atlas")

    few, other = before(rows, 8), Past(some, refused, past_of(some).released)
    for past, lines in ((past_of(few), lines_of(few)), (other, lines_of(some))):
        found = affinities_of(past, lines=lines, atlas=ATLAS, settings=quick)  # type: ignore[arg-type]
        assert found.orders == default_orders(new=quick.lists.new)
        assert len(found.listeners) > 400


def test_where_nobody_may_be_trained_on_there_are_no_rows(rows: pl.DataFrame, small: Settings) -> None:
    nothing = Past(rows.clear(), past_of(rows).lists, past_of(rows).released)
    found = affinities_of(nothing, lines=lines_of(rows), atlas=ATLAS, settings=small)  # type: ignore[arg-type]
    assert (len(found.listeners), found.orders) == (0, default_orders(new=small.lists.new))
