"""Lists that two rankers share, as the endpoint serves them: what is compared is what listeners get to see."""

import json
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge import LISBON, NOW, RIVALS, items

from recsys.artifacts.affinities import Affinities, Orders
from recsys.artifacts.chart_database import PublishedPlace, write_chart_database
from recsys.artifacts.interleaving import CHALLENGER, TEAMS, Coin, keyed_coin
from recsys.artifacts.scoring import about_here, shared
from recsys.artifacts.standings import LESS, MORE
from recsys.consents.log import Choices
from recsys.models.evaluation.interleaved import preference
from recsys.models.evaluation.intervals import Difference
from recsys.serving.lists.list_ids import Listed, ListIds
from recsys.serving.lists.trending import Asked, ListSources, trending_answer
from recsys.serving.snapshot.snapshot_reader import open_published
from recsys.workspace import Workspace, replace_file, staged, write_manifest

LISTENERS, TRACKS, LIMIT = 250, 60, 20
NAMES = [f"t{track:02}" for track in range(TRACKS)]
STANDINGS = np.array([MORE if each % 3 == 0 else LESS if each % 7 == 1 else 0 for each in range(TRACKS)], np.int32)
IDS = ListIds(bytes(32), hours=1)
NOTHING = np.zeros((LISTENERS, 0), dtype=np.intp)
NOBODY_AT_HOME = pl.DataFrame(schema={"listener": pl.String, "part": pl.String, "night": pl.Date, "plays": pl.Int64})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A snapshot with one list, that of Lisbon, of which much is surely more or less common there than elsewhere."""
    found = Workspace(tmp_path_factory.mktemp("shared") / "workspace").prepare()
    sure = {MORE: {"low": 1.2, "high": 1.9}, LESS: {"low": 0.4, "high": 0.8}, 0: {"low": 0.9, "high": 1.9}}
    lines = [
        line | {"track_id": name, "lift_interval": sure[int(standing)]}
        for line, name, standing in zip(items("Lisbon", size=TRACKS), NAMES, STANDINGS, strict=True)
    ]
    places = [
        PublishedPlace("world", "World", None, "world", None, 0.0, 0.0, 8_000_000_000, "world", True),
        PublishedPlace(LISBON, "Lisboa", "Portugal", "region", "world", 38.7, -9.1, 500_000, "lisboa", True),
    ]
    with staged(found.snapshots / "2026-10-31-0") as folder:
        charts = [(LISBON, "popular", lines)]
        write_chart_database(folder / "charts.db", places=places, cells=[], charts=charts, prices={})
        facts = {"id": "2026-10-31-0", "as_of": "2026-10-31", "nights": ["2026-10-31"], "format": "7"}
        write_manifest(folder, facts, names=["charts.db"])
    replace_file(found.current, b"2026-10-31-0")
    return found


def listener(number: int) -> str:
    return f"{number + 1:032x}"


def by(orders: np.ndarray) -> Affinities:
    """A ranker that puts the tracks in these orders, whatever the charts say."""
    closeness = np.zeros(orders.shape, dtype=np.float16)
    np.put_along_axis(closeness, orders, np.arange(TRACKS, 0, -1, dtype=np.float16)[None], axis=1)
    listeners = np.array([bytes.fromhex(listener(number)) for number in range(len(orders))], dtype="S16")
    columns = np.tile(np.arange(TRACKS, dtype=np.int32), (len(orders), 1))
    weights = Orders(cold=(1, 0, 0, 0, 0), personal=(0, 0, 0, 1, 0))
    return Affinities("2026-10-31", tuple(NAMES), weights, listeners, columns, closeness, closeness < 0)


class Comparison:
    """Two rankers of one snapshot, each known by its (listeners, tracks) orders, the best track first."""

    def __init__(self, workspace: Workspace, champion: np.ndarray, challenger: np.ndarray) -> None:
        published = open_published(workspace)
        both = replace(by(champion), challenger=by(challenger), rivals=RIVALS)
        columns = both.columns_of(published.tracks)
        self._sources = ListSources(published, both, columns, columns, {})

    def served(self, number: int, hidden: Iterable[str] = ()) -> tuple[list[int], Listed]:
        """The tracks of a list as the listener gets it, and what its id says of them."""
        choices = Choices(place=True, plays=True, feedback=True, hidden=frozenset(hidden))
        asked = Asked(listener(number), choices, NOW, IDS)
        answer = json.loads(trending_answer(self._sources, asked, cell=LISBON, limit=LIMIT).body)
        snapshot = self._sources.published.id
        said = IDS.listed(answer["list"], listener=listener(number), snapshot=snapshot, now=NOW)
        return [int(item["track_id"][1:]) for item in answer["items"]], said

    def difference(
        self, tastes: np.ndarray, *, random: np.random.Generator, hidden: np.ndarray = NOTHING
    ) -> Difference:
        """What a night logs of listeners who look down their lists from the top, and play what they like.

        Parameters
        ----------
        tastes : numpy.ndarray
            (listeners, tracks) what each likes, the best track first.
        hidden : numpy.ndarray
            (listeners, k) tracks.
        """
        rows, places = [], np.argsort(tastes, axis=1)
        for number in range(LISTENERS):
            tracks, said = self.served(number, [NAMES[track] for track in hidden[number]])
            liking = 0.8 * 0.93 ** places[number][tracks] * 0.95 ** np.arange(len(tracks))
            played = random.random(len(tracks)) < liking
            rows += [(listener(number), TEAMS[team]) for team in np.array(said.teams)[played]]
        credits = pl.DataFrame(rows, schema={"listener": pl.String, "team": pl.String}, orient="row")
        return preference(credits, NOBODY_AT_HOME, challenger=CHALLENGER, at_least=10).difference


@pytest.fixture
def random() -> np.random.Generator:
    seed = 7
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def tastes_of(random: np.random.Generator) -> np.ndarray:
    return random.permuted(np.tile(np.arange(TRACKS), (LISTENERS, 1)), axis=1)


def guessed(tastes: np.ndarray, *, noise: float, random: np.random.Generator) -> np.ndarray:
    """The orders of a ranker that knows what listeners like, but for some noise."""
    places = np.argsort(tastes, axis=1)
    return np.argsort(places + noise * random.normal(size=places.shape), axis=1)


def is_zero(found: Difference) -> bool:
    """Whether a mean is no further from zero than three times its standard error."""
    return abs(found.mean) < 3 * (found.high - found.low) / (2 * 1.96)


def is_better(found: Difference) -> bool:
    return found.low > 0.1


def test_of_equals_neither_is_preferred_whatever_is_hidden(workspace: Workspace, random: np.random.Generator) -> None:
    """Hidden is what the champion has at the top: a pick that nobody sees would be lost.

    Neither knows anything: of two that know as much, one whose best are hidden knows less of what is left.
    """
    tastes, one, other = (tastes_of(random) for _ in range(3))
    both = Comparison(workspace, one, other)
    for hidden in (NOTHING, one[:, :5], one[:, :10]):
        assert is_zero(both.difference(tastes, random=random, hidden=hidden))


def test_of_rankers_that_serve_the_same_lists_neither_is_preferred(
    workspace: Workspace, random: np.random.Generator
) -> None:
    """By itself one has what is surely more common there at the end, and what is less so at the top: no list has."""
    tastes = tastes_of(random)
    one = guessed(tastes, noise=5.0, random=random)
    last = np.argsort((STANDINGS[one] == MORE) - 1 * (STANDINGS[one] == LESS), axis=1, kind="stable")
    other = np.take_along_axis(one, last, axis=1)
    as_served = np.array([about_here(order, STANDINGS) for order in other])
    both = Comparison(workspace, other, as_served)
    assert all(both.served(number)[0] == as_served[number, :LIMIT].tolist() for number in range(20))
    assert is_zero(both.difference(tastes, random=random))
    assert is_zero(both.difference(tastes, random=random, hidden=other[:, :6]))  # what is less so


@pytest.mark.parametrize("hidden", [0, 10])
def test_what_is_better_is_preferred_whichever_it_is(
    workspace: Workspace, random: np.random.Generator, hidden: int
) -> None:
    tastes = tastes_of(random)
    good, bad = (guessed(tastes, noise=noise, random=random) for noise in (3.0, 60.0))
    gone = good[:, :hidden]
    assert is_better(Comparison(workspace, bad, good).difference(tastes, random=random, hidden=gone))
    found = Comparison(workspace, good, bad).difference(tastes, random=random, hidden=gone)
    assert found.high < -0.1


def test_one_that_knows_better_what_is_of_the_place_is_preferred(
    workspace: Workspace, random: np.random.Generator
) -> None:
    """Of what the list owes its place, too, each has picked what it would serve."""
    tastes = tastes_of(random)
    good = guessed(tastes, noise=3.0, random=random)
    bad = good.copy()
    for order in bad:
        order[STANDINGS[order] == MORE] = random.permutation(np.flatnonzero(STANDINGS == MORE))
    assert is_better(Comparison(workspace, bad, good).difference(tastes, random=random))


orders = st.permutations(range(24)).map(np.array)
sure = st.lists(st.sampled_from([0, MORE, LESS]), min_size=24, max_size=24).map(np.array)


@given(champion=orders, challenger=orders, standings=sure, seed=st.integers(0, 99), limit=st.integers(0, 30))
def test_a_shared_list_is_about_its_place_and_both_pick_alike_often(
    champion: np.ndarray, challenger: np.ndarray, standings: np.ndarray, seed: int, limit: int
) -> None:
    one, other = (about_here(order, standings) for order in (champion, challenger))
    order, teams = shared(one, other, standings=standings, coin=coin(seed), limit=limit)
    assert len(set(order.tolist())) == min(limit, 24)
    there = int((standings == MORE).sum())
    for first in range(len(order) + 1):
        assert (standings[order[:first]] == MORE).sum() >= min(there, 2 * first // 5)
        assert abs(2 * teams[:first].sum() - first) <= first % 2
    assert (np.diff((standings[order] == LESS).astype(int)) >= 0).all()  # last
    whole, _ = shared(one, other, standings=standings, coin=coin(seed), limit=24)
    assert whole[:limit].tolist() == order.tolist()


@given(champion=orders, standings=sure, seed=st.integers(0, 99))
def test_two_that_are_alike_share_the_list_of_either(champion: np.ndarray, standings: np.ndarray, seed: int) -> None:
    alone = about_here(champion, standings)
    order, _ = shared(alone, alone, standings=standings, coin=coin(seed), limit=24)
    assert order.tolist() == alone.tolist()


def coin(seed: int) -> Coin:
    return keyed_coin(str(seed).encode(), key=bytes(32))
