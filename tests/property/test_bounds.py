"""Whatever a listener plays, whoever is forgotten, and however often nights are run: the bounds of promise 5 hold."""

import shutil
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.arriving import KEY, NIGHT, Quarters, coarse

from recsys.cells.contributions import Bounded, bound
from recsys.cells.earnings import BALANCES, buckets, pay
from recsys.cells.store import Store
from recsys.cells.takeover import owed
from recsys.releases.budget.accounting import MONTH, YEAR, allowed, epsilon
from recsys.settings import PrivacySettings, StoreSettings, load_settings
from recsys.weights import SQUARE, cost, totals
from recsys.workspace import listener_of

LISTENERS = ("a" * 32, "0" * 28 + "0003")
PLAYS = st.lists(
    st.tuples(st.sampled_from(LISTENERS), st.integers(0, 7).map("t{}".format), st.none() | st.integers(0, 6)),
    max_size=25,
)
NOTHING = pl.DataFrame(schema=dict(BALANCES))
DAY = timedelta(days=1)
PRIVACY = load_settings().privacy


def privacy(most_per_night: int = 10, largest_balance: int = 20, month: int = 120, year: int = 1000) -> PrivacySettings:
    bounds = {"most_per_night": most_per_night, "largest_balance": largest_balance}
    return PRIVACY.model_copy(update={**bounds, "most_per_28_nights": month, "most_per_365_nights": year})


SETTINGS = st.builds(
    privacy, st.integers(1, 10), st.integers(10, 40), month=st.integers(41, 150), year=st.integers(150, 1200)
)


def spent(contributions: pl.DataFrame) -> dict[str, int]:
    """By listener the squared length of what is added to a night's release, from first principles."""
    found = {}
    for (listener, night), rows in contributions.filter(pl.col("weight") > 0).group_by("listener", "night"):
        one = rows.group_by("listener").agg(pl.len().alias("tracks"), pl.col("weight").first())
        in_totals = one.select(
            a=totals(pl.col("tracks"), pl.col("weight"), night=night)[0],
            b=totals(pl.col("tracks"), pl.col("weight"), night=night)[1],
        ).row(0)
        found[listener] = sum(int(w) ** 2 for w in rows["weight"]) + sum(int(total) ** 2 for total in in_totals)
    return found


def check_windows(added: dict[date, int], settings: PrivacySettings) -> None:
    """The sums of all windows, which need only begin where something was added."""
    bounds = {1: settings.most_per_night, 28: settings.most_per_28_nights, 365: settings.most_per_365_nights}
    for first in added:
        for nights, most in bounds.items():
            window = sum(n for night, n in added.items() if first <= night < first + nights * DAY)
            assert window <= most * SQUARE


@given(plays=PLAYS, most=st.integers(1, 4), charts=st.booleans())
def test_a_night_is_bounded_and_does_not_depend_on_the_order_of_rows(
    plays: list[tuple[str, str, int | None]], most: int, charts: bool
) -> None:
    def bounded(listens: pl.DataFrame) -> Bounded:
        balances = full(*LISTENERS)
        return bound(listens.lazy(), night=NIGHT, atlas=Quarters(), balances=balances, settings=privacy(most), key=KEY)

    found, again = (
        bounded(coarse(plays, charts=charts)),
        bounded(coarse(sorted(plays, key=str, reverse=True), charts=charts)),
    )
    assert found.contributions.equals(again.contributions)
    assert found.balances.equals(again.balances)
    rows = found.contributions
    assert rows.filter(pl.col("weight") > 0).height == 0 or charts
    for _, own in rows.group_by("listener"):
        assert own["part"].n_unique() == 1
        assert own.filter(pl.col("weight") > 0)["weight"].n_unique() <= 1  # all tracks alike
    assert all(length <= most * SQUARE for length in spent(rows).values())
    assert not rows.select("listener", "track_id").is_duplicated().any()
    played = {(who, track, f"P{cell % 4}") for who, track, cell in plays if cell is not None}
    assert set(rows.filter(pl.col("weight") > 0).select("listener", "track_id", "part").rows()) <= played


def full(*listeners: str, night: date = NIGHT) -> pl.DataFrame:
    sizes = {name: bucket.size for name, bucket in buckets(PRIVACY).items()}
    return pl.DataFrame(
        {"listener": listeners, "night": [night - DAY] * len(listeners), **sizes}, schema=dict(BALANCES)
    )


STEPS = st.lists(
    st.tuples(
        st.integers(1, 3),  # nights since the last one
        st.integers(0, 60),  # tracks
        st.sampled_from(["", "", "", "", "erased", "lost store", "new key", "run twice", "crash", "left out"]),
    ),
    min_size=1,
    max_size=60,
)


EVENTS = ("", "erased", "", "lost store", "new key", "", "run twice", "crash", "left out", "")


@pytest.mark.slow
@example(steps=[(1, 30, event) for event in EVENTS * 4], caps=PRIVACY)  # all that happens, to who spends all there is
@example(steps=[(3, 10, event) for event in EVENTS * 4], caps=privacy(10, 40, month=41, year=150))
@settings(max_examples=25)
@given(steps=STEPS, caps=SETTINGS)
def test_no_window_exceeds_its_bound_over_erasures_lost_stores_new_keys_and_nights_run_twice(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, str]], caps: PrivacySettings
) -> None:
    """One person through the real store; of a night that is run twice only the last run is released, or none at all."""
    night, key, added = NIGHT, 0, {}
    folder = tmp_path_factory.mktemp("store")  # in memory where there is room: each step brings files to the disk
    store = Store(folder / "private", StoreSettings(nights=35, buckets=2))
    for apart, tracks, event in steps:
        night += apart * DAY
        person = listener_of("ana", key=bytes([key]))
        if event == "new key":
            key += 1
        if event == "lost store":
            shutil.rmtree(folder / "private", ignore_errors=True)
            store = Store(folder / "private", StoreSettings(nights=35, buckets=2))
        if event == "erased":
            store.erase(person)
        person = listener_of("ana", key=bytes([key]))
        for played in {"run twice": (tracks + 1, tracks), "crash": (tracks + 7, tracks)}.get(event, (tracks,)):
            listens = coarse([(person, f"t{i}", 1) for i in range(played)], night=night)
            released = max(added, default=None)
            balances = store.balances((0, 1), after=released)
            found = bound(listens.lazy(), night=night, atlas=Quarters(), balances=balances, settings=caps, key=KEY)
            store.write_night(night, [((0, 1), found)], after=released)
            if event not in {"crash", "left out"}:
                store.expire(night)
        if event != "left out":
            added[night] = sum(spent(found.contributions).values())
    check_windows(added, caps)


@example(plays=[30] * 9, forgotten={5}, caps=PRIVACY)
@settings(max_examples=30)
@given(
    plays=st.lists(st.integers(0, 40), min_size=1, max_size=120),
    forgotten=st.sets(st.integers(0, 119)),
    caps=SETTINGS,
)
def test_being_forgotten_is_never_worth_anything(plays: list[int], forgotten: set[int], caps: PrivacySettings) -> None:
    """Whatever is played, who was forgotten before a night has no more to spend on it than who never was."""
    remembered, lapsed = "a" * 32, "b" * 28 + "a" * 4  # alike in what is rounded up of their parts in the totals
    balances = NOTHING
    for day, tracks in enumerate(plays):
        night = NIGHT + day * DAY
        if day in forgotten:
            balances = balances.filter(pl.col("listener") == remembered)
        if not tracks:
            continue
        played = pl.DataFrame({"listener": [remembered, lapsed], "tracks": [tracks] * 2})
        paid = pay(played, balances, night=night, settings=caps)
        priced = paid.with_columns(price=cost(pl.col("tracks"), pl.col("weight"), night=night))
        kept, spend = priced.rows(named=True)
        assert kept["weight"] >= spend["weight"]
        # the one who is remembered spends the same: there must be enough for it
        left = [kept[name] + kept["price"] - spend["price"] for name in ("of_28", "of_365")]
        assert min(left) >= 0
        rows = [(remembered, kept["night"], *left), tuple(spend[name] for name in BALANCES)]
        balances = pl.DataFrame(rows, schema=dict(BALANCES), orient="row")


@example(days=set(range(388, 400)), spree=[30] * 16)  # twelve nights in full just before, and on and on
@settings(max_examples=30)
@given(
    days=st.sets(st.integers(0, 399), max_size=120),
    spree=st.lists(st.integers(0, 30), min_size=1, max_size=60),
)
def test_a_store_from_before_goes_on_without_giving_anybody_more(days: set[int], spree: list[int]) -> None:
    """Who counted on at most 12 of any 28 nights and 100 of any 365, ten tracks each, and then goes on."""
    counted: list[int] = []
    for day in sorted(days):
        month, year = (sum(day - other < n for other in counted) for n in (28, 365))
        if month < 12 and year < 100:
            counted.append(day)
    last = NIGHT + 399 * DAY
    nights = [NIGHT + day * DAY for day in counted]
    added = dict.fromkeys(nights, 10 * SQUARE)
    before = pl.DataFrame(
        {"listener": [LISTENERS[0]] * len(nights), "night": nights}, schema={"listener": pl.String, "night": pl.Date}
    )
    balances = owed(before, last=last, settings=PRIVACY, spent=10)
    for i, tracks in enumerate(spree, start=1):
        if tracks:
            night = last + i * DAY
            played = pl.DataFrame({"listener": [LISTENERS[0]], "tracks": [tracks]})
            paid = pay(played, balances, night=night, settings=PRIVACY)
            added[night] = paid.select(cost(pl.col("tracks"), pl.col("weight"), night=night)).item()
            balances = paid.select(*BALANCES)
    check_windows(added, PRIVACY)


def test_the_bounds_cost_what_is_promised_by_both_accountants() -> None:
    month, year = (allowed(PRIVACY, nights=nights) for nights in (MONTH, YEAR))
    assert (round(month.rho, 9), round(year.rho, 9)) == (0.18, 1.5)
    assert epsilon(month, delta=1e-6).stated < 2.96
    assert epsilon(year, delta=1e-6).stated < 9.86


@given(plays=PLAYS, others=PLAYS, most=st.integers(1, 4))
def test_allowing_partner_statistics_changes_nothing_else(
    plays: list[tuple[str, str, int | None]], others: list[tuple[str, str, int | None]], most: int
) -> None:
    def bounded(listens: pl.DataFrame) -> pl.DataFrame:
        return bound(
            listens.lazy(), night=NIGHT, atlas=Quarters(), balances=NOTHING, settings=privacy(most), key=KEY
        ).contributions

    partners_alone = coarse(others, charts=False, models=False, partner=True).with_columns(cell=pl.lit(None, pl.UInt64))
    found = bounded(pl.concat([coarse(plays, partner=True), partners_alone]))
    charts = found.filter((pl.col("weight") > 0) | pl.col("trained")).drop("partner_part")
    assert charts.equals(bounded(coarse(plays)).drop("partner_part"))
    partner = found.filter(pl.col("partner_part").is_not_null())
    assert partner.group_by("listener").agg(pl.col("partner_part").n_unique())["partner_part"].to_list() in (
        [], [1], [1, 1]
    )  # fmt: skip
    seen = {(who, track, f"P{cell % 4}") for who, track, cell in plays + others if cell is not None}
    assert set(partner.select("listener", "track_id", "partner_part").rows()) <= seen
