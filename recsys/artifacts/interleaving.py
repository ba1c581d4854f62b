"""Interleaving: one list made of two rankers' orders, so that what is played from it tells which of them is better.

The two pick in turn as captains of teams do, and a coin says who of both picks first in each round; each takes the best
of its own order that is left. A play is credited to the team whose pick it was. Where both are alike, so are their
credits on average, whatever listeners prefer about the top of a list. What is compared is what either would serve by
itself: nothing that a listener never sees is picked, and what every list owes the listener both owe alike.

References
----------
F. Radlinski, M. Kurup and T. Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?" (CIKM 2008): team-draft
interleaving.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHAMPION, CHALLENGER = TEAMS = ("champion", "challenger")
"""Whose ranker put a track on a list; in arrays by their position here."""

Coin = Callable[[], bool]
"""Says whether the challenger picks first in the next round."""


@dataclass(frozen=True)
class Promise:
    """What a list owes whoever reads it, whoever makes it.

    Parameters
    ----------
    candidates : collection of int
        Of these there are to be some among the first lines.
    among : callable
        How many among the first so many, as far as there are any left; one more or none with each line.
    """

    candidates: Collection[int]
    among: Callable[[int], int]


NO_PROMISE = Promise((), lambda _: 0)


def team_draft(
    champion: NDArray[np.intp],
    challenger: NDArray[np.intp],
    *,
    coin: Coin,
    promise: Promise = NO_PROMISE,
    limit: int | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (k,) the first of the shared order of n candidates, and (k,) whose pick each was, a position in ``TEAMS``.

    Parameters
    ----------
    champion, challenger : numpy.ndarray
        (n,) the positions of the same candidates, the best first, as either ranker would serve them.
    coin : callable
        Is asked once a round.
    promise : Promise, optional
        Both orders keep it. So does the shared one: whose turn it is when it is due picks the best of what keeps it.
    limit : int, optional
        k at most; by default n.
    """
    orders, taken = (champion.tolist(), challenger.tolist()), set[int]()
    left = [_left(order, taken) for order in orders]
    kept = [_left([each for each in order if each in promise.candidates], taken) for order in orders]
    teams = _turns(coin, len(champion) if limit is None else min(limit, len(champion)))
    picks, there = list[int](), 0
    for line, team in enumerate(teams, 1):
        due = next(kept[team], None) if promise.among(line) > there else None
        pick = next(left[team]) if due is None else due
        picks.append(pick)
        taken.add(pick)
        there += pick in promise.candidates
    return np.array(picks, dtype=np.intp), np.array(teams, dtype=np.intp)


def keyed_coin(seed: bytes, *, key: bytes) -> Coin:
    """Return a coin that falls the same way each time for who has the key, and by chance for everybody else.

    Parameters
    ----------
    seed : bytes
        What the list is: another one has another coin.
    key : bytes
        64 bytes at most.
    """
    bits = _bits(seed, key=key)
    return lambda: next(bits)


def _turns(coin: Coin, size: int) -> list[int]:
    """Return whose turn it is at each of so many picks: of each round of two the coin says who is first."""
    rounds = [int(coin()) for _ in range(0, size, 2)]
    return [team for first in rounds for team in (first, 1 - first)][:size]


def _left(order: list[int], taken: set[int]) -> Iterator[int]:
    """Yield what nobody has taken when it is asked for."""
    return (each for each in order if each not in taken)


def _bits(seed: bytes, *, key: bytes) -> Iterator[bool]:
    block = 0
    while True:
        content = seed + block.to_bytes(4, "big")
        for byte in hashlib.blake2b(content, key=key, person=b"coin").digest():
            yield from (bool(byte >> bit & 1) for bit in range(8))
        block += 1
