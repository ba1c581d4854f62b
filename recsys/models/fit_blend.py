"""Fit the blend on the validation nights: its weights, which own models may be used, and the learned order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys.models.blending import FEATURES, FIRST_GUESS, REGIONAL_ONLY, RISING, Blend, BlendParameters, blend
from recsys.models.interactions import IntArray
from recsys.models.metrics import NOTHING, ndcg_of_candidates, only, without
from recsys.models.ranker import Pool, gain_of_trees, learned_trees, learned_weights
from recsys.models.regional import Fitted
from recsys.settings import ModelsSettings
from recsys.threads import in_threads

_LEARNERS = {"weights": 4000, "trees": 20_000}  # listeners: six numbers need fewer than trees
_ROUNDS = 2  # of learning the weights: a third changed nothing
_GLOBAL_ALONE = np.eye(len(FEATURES))[0]
_BESIDE = 0.2 * np.eye(len(FEATURES))[FEATURES.index("beside")]


def learn(fitted: Fitted, *, later: sparse.csr_array, settings: ModelsSettings) -> BlendParameters:
    """Learn the weights and the order with all own models, then close gates by the lists in that order.

    Learning the order again of what is left was tried, and changed less than another seed did.

    Parameters
    ----------
    fitted : Fitted
        On what was known before the validation nights.
    later : scipy.sparse.csr_array
        (n, m) non-zero where a listener played a track on the validation nights; only learners are looked at.
    settings : ModelsSettings
    """
    later = later if fitted.learners is None else only(later, fitted.learners)
    parameters = BlendParameters(FIRST_GUESS, frozenset(fitted.places.names))
    if settings.ranker != "none":
        tried, worth = _weighted_where_it_pays(fitted, guess=parameters, later=later, settings=settings)
        parameters = tried[0]
        if settings.ranker == "trees":
            parameters = _with_trees(fitted, tried=tried, worth=worth, later=later, settings=settings)
    return gated(fitted, parameters=parameters, later=later, settings=settings)


def gated(
    fitted: Fitted, *, parameters: BlendParameters, later: sparse.csr_array, settings: ModelsSettings
) -> BlendParameters:
    """Leave open the gates of places whose own model did not make the lists of their validation listeners worse.

    The lists are those that would be served, in the order of the parameters.

    Countries are judged against the world, then parts against what serves them when their own gate is closed. Few
    listeners say little, so a place's mean gain d of n listeners is shrunk toward the mean gain D of all places of its
    level, ``(n d + k D) / (n + k)`` with k = ``gate_shrinkage``, and the gate is open where both that and d itself are
    not negative. Where nobody could judge, it is closed.
    """
    parts = frozenset(place for place in fitted.sides if place < fitted.places.parts)
    new, opened = without(later, fitted.interactions.confidence), frozenset[int]()
    judges, gains = np.flatnonzero(np.diff(new.indptr)), np.full(len(fitted.places), np.nan)

    def worth(chosen: frozenset[int], listeners: IntArray) -> NDArray[np.float64]:
        tried = replace(parameters, open_gates=_named(fitted, chosen))
        return _ndcg_of_lists(blend(fitted, parameters=tried, settings=settings), new, listeners)

    served = worth(opened, judges) if fitted.sides else np.zeros(0)
    for level in (frozenset(fitted.sides) - parts, parts):
        if level:
            place = _place_of(fitted, judges, level)
            there, tried = place >= 0, served.copy()  # a gate is nothing to other places
            tried[there] = worth(opened | level, judges[there])
            found, shrunk = _gains(tried - served, place, len(gains), settings=settings)
            judged = sorted(level)
            gains[judged] = found[judged]
            opened |= {place for place in level if found[place] >= 0 and shrunk[place] >= 0}
            served = np.where(np.isin(place, list(opened)), tried, served)
    return replace(
        parameters, open_gates=_named(fitted, opened), gains=dict(zip(fitted.places.names, gains.tolist(), strict=True))
    )


def _weighted_where_it_pays(
    fitted: Fitted, *, guess: BlendParameters, later: sparse.csr_array, settings: ModelsSettings
) -> tuple[list[BlendParameters], NDArray[np.float64]]:
    """Learn the weights, with the engine beside where it makes whole lists better by more than a standard error.

    What says nothing more than the rest costs time, and gives the trees one more chance to learn noise. That takes one
    round from the weights without it: a second one changed no answer. Return what :func:`_weighted` does.
    """
    alone, worth = _weighted(fitted, guess=guess, later=later, settings=settings)
    if fitted.beside is None or not len(worth):  # there is no other engine, or nobody to judge it
        return alone, worth
    weights = alone[0].weights / np.abs(alone[0].weights).sum() + _BESIDE
    guess = replace(guess, weights=weights, beside=True)
    both, worth_of_both = _weighted(fitted, guess=guess, later=later, settings=settings, rounds=1)
    gain = worth_of_both - worth
    return (both, worth_of_both) if gain.sum() > gain.std() * np.sqrt(len(gain)) else (alone, worth)


def _weighted(
    fitted: Fitted,
    *,
    guess: BlendParameters,
    later: sparse.csr_array,
    settings: ModelsSettings,
    rounds: int = _ROUNDS,
) -> tuple[list[BlendParameters], NDArray[np.float64]]:
    """Learn the weights, look at what they bring up, and learn from that again.

    Weights are learned on the best tracks of a guess, and may bring up tracks that the guess did not: of those they
    have learned nothing. Return the guess and what was learned, whatever makes the best whole lists first, and what
    these lists of every listener who can judge are worth, in NDCG at 10.
    """
    new, tried = without(later, fitted.interactions.confidence), [guess]
    blends = [blend(fitted, parameters=guess, settings=settings)]
    for _ in range(rounds):
        pool = pool_of(blends[-1], new, at_most=_LEARNERS["weights"])
        starts = [guess.weights, _GLOBAL_ALONE, REGIONAL_ONLY, *(one.weights for one in tried[1:])]
        features = np.ascontiguousarray(pool.features[:, :, : len(FEATURES)])  # a third of the time of a sum
        tried.append(replace(guess, weights=learned_weights(replace(pool, features=features), starts=starts)))
        blends.append(blend(fitted, parameters=tried[-1], settings=settings))
    worth = _ndcg_by_sums(blends, new)
    order = np.argsort(-worth.sum(axis=1), kind="stable")
    return [tried[number] for number in order], worth[order[0]]


def _with_trees(
    fitted: Fitted,
    *,
    tried: Sequence[BlendParameters],
    worth: NDArray[np.float64],
    later: sparse.csr_array,
    settings: ModelsSettings,
) -> BlendParameters:
    """Learn the order of the best tracks by a weighted sum, and where that order is not to be used.

    Of the sums that were tried it is the one whose tracks make the best lists of strangers once trees have put them in
    order: the sum with the best lists may leave out just what trees would put first.

    Trees that must not hold it against a track that a model thinks more of it come first: strangers played the same
    tracks on the same nights, and do not tell where trees without that bound know single tracks again. These are asked
    where the others find nothing.

    The order is not used at all where its lists are no better than the best sum's, and not in parts where it makes them
    worse by more than a standard error. New parts, and listeners at home nowhere, get it.

    Parameters
    ----------
    fitted : Fitted
    tried : sequence of BlendParameters
        The one whose sum makes the best lists first.
    worth : numpy.ndarray
        (n,) NDCG at 10 of these lists, by listeners.
    later : scipy.sparse.csr_array
    settings : ModelsSettings
    """
    new, alone = without(later, fitted.interactions.confidence), _some(worth, _LEARNERS["trees"])
    different = {one.weights.tobytes(): one for one in tried}.values()
    for rising in (RISING, None):
        ordered = (_in_order(fitted, one, new=new, rising=rising, settings=settings) for one in different)
        best = max(filter(None, ordered), key=_Ordered.worth, default=None)  # of whose pools two at most are in memory
        if best is None:  # there are too few to learn from
            break
        if best.worth() > alone.mean():
            worse = _named(fitted, _losing(best.gain, best.pool.homes, len(fitted.places)))
            trees = learned_trees(best.pool, seed=settings.seed, rising=rising)
            return replace(best.parameters, trees=trees, summed=worse)
    return tried[0]


@dataclass(frozen=True)
class _Ordered:
    """The best tracks by a weighted sum, and how much better the trees of strangers put them in order than it does."""

    parameters: BlendParameters
    pool: Pool
    gain: NDArray[np.float64]

    def worth(self) -> float:
        """Return the mean NDCG at 10 in the order of the trees."""
        return float((self.pool.given() + self.gain).mean())


def _in_order(
    fitted: Fitted,
    parameters: BlendParameters,
    *,
    new: sparse.csr_array,
    rising: Sequence[int] | None,
    settings: ModelsSettings,
) -> _Ordered | None:
    """Put the best tracks by a weighted sum in the order of trees; None with too few listeners to learn from."""
    pool = pool_of(blend(fitted, parameters=parameters, settings=settings), new, at_most=_LEARNERS["trees"])
    gain = gain_of_trees(pool, seed=settings.seed, rising=rising)
    return None if gain is None else _Ordered(parameters, pool, gain)


def _losing(gain: NDArray[np.float64], place: IntArray, places: int) -> frozenset[int]:
    """Return the places whose mean gain d is negative by more than a standard error, ``d < -sd / sqrt(n)``.

    sd is that of all gains, as a few of one place may be alike by chance. The margin is that of Breiman's rule of one
    standard error; here it keeps what all listeners have found better.

    References
    ----------
    L. Breiman et al., "Classification and Regression Trees" (1984), section 3.4.3.
    """
    judges, sums = _judged(gain, place, places)
    return frozenset(np.flatnonzero(sums < -gain.std() * np.sqrt(judges)).tolist())


def _named(fitted: Fitted, chosen: frozenset[int]) -> frozenset[str]:
    return frozenset(fitted.places.names[place] for place in chosen)


def _ndcg_by_sums(blends: Sequence[Blend], new: sparse.csr_array) -> NDArray[np.float64]:
    """Return (len(blends), n) NDCG at 10 of the unheard tracks of every listener who played one later.

    The blends differ in weights alone: what is weighed is found once.
    """
    judges, heard = np.flatnonzero(np.diff(new.indptr)), blends[0].own.interactions.confidence
    found = np.empty((len(blends), len(judges)))

    def judge(some: IntArray) -> None:
        rows = judges[some]
        features, unheard = blends[0].features(rows), heard[rows].toarray() == 0
        played, relevant = new[rows].toarray() != 0, np.diff(new.indptr)[rows]
        for number, one in enumerate(blends):
            scores = one.scored(features, rows)
            found[number, some] = ndcg_of_candidates(scores, there=unheard, played=played, relevant=relevant)

    in_threads(judge, blends[0].blocks(judges))
    return found


def _ndcg_of_lists(served: Blend, new: sparse.csr_array, listeners: IntArray) -> NDArray[np.float64]:
    """Return (n,) NDCG at 10 of the unheard tracks of listeners who played one later, in the blend's order."""
    found = np.empty(len(listeners))

    def judge(some: IntArray) -> None:
        rows = listeners[some]
        features, there, played = _pooled(served, new, rows)
        order, relevant = served.order(features, rows), np.diff(new.indptr)[rows]
        found[some] = ndcg_of_candidates(order, there=there, played=played, relevant=relevant)

    in_threads(judge, served.blocks(listeners))
    return found


def _place_of(fitted: Fitted, listeners: IntArray, level: frozenset[int]) -> IntArray:
    """Return the place of this level that each listener is at home in; none is -1."""
    home = fitted.own().homes[listeners]
    above = np.append(fitted.places.parents, -1)[home]
    chosen = sorted(level)
    return np.where(np.isin(home, chosen), home, np.where(np.isin(above, chosen), above, -1))


def _gains(
    gain: NDArray[np.float64], place: IntArray, places: int, *, settings: ModelsSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (places,) mean gains, and the same shrunk toward the mean of all; NaN where nobody could judge."""
    judges, sums = _judged(gain, place, places)
    overall = sums.sum() / max(judges.sum(), 1)
    k = settings.gate_shrinkage
    mean = np.divide(sums, judges, out=np.full(places, np.nan), where=judges > 0)
    return mean, np.where(judges > 0, (sums + k * overall) / np.maximum(judges + k, 1), np.nan)


def _judged(gain: NDArray[np.float64], place: IntArray, places: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (places,) how many judged each place, and the sum of their gains."""
    there = place >= 0
    judges = np.bincount(place[there], minlength=places)
    sums = np.bincount(place[there], weights=gain[there], minlength=places)
    return judges, sums


def pool_of(guess: Blend, new: sparse.csr_array, *, at_most: int) -> Pool:
    """Return the best unheard tracks of listeners who played an unheard one later, or of every so many of them.

    Parameters
    ----------
    guess : Blend
    new : scipy.sparse.csr_array
        (n, m) ones where a listener played a track later that was unheard before.
    at_most : int
        Listeners.
    """
    learners = _some(np.flatnonzero(np.diff(new.indptr)), at_most)
    rows = [learners[some] for some in guess.blocks(learners)]
    blocks, learners = in_threads(partial(_pooled, guess, new), rows), np.concatenate(rows)
    features, there, played = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return Pool(features, there, played, np.diff(new.indptr)[learners], guess.own.homes[learners])


def _some(values: NDArray[Any], at_most: int) -> NDArray[Any]:
    """Return every so many of some values, so that they are not more than wanted."""
    return values[:: max(1, -(-len(values) // at_most))]


def _pooled(
    guess: Blend, new: sparse.csr_array, rows: IntArray
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    columns, features = guess.pool(rows)
    there = columns != NOTHING
    played = np.take_along_axis(new[rows].toarray() > 0, columns, axis=1) & there
    return features, there, played
