"""Interleaving: one list made of two rankers' orders, so that what is played from it tells which of them is better.

The two pick in turn as captains of teams do, and a coin says who of both picks first in each round; each takes the best
of its own order that is left. A play is credited to the team whose pick it was. Where both are alike, so are their
credits on average, whatever listeners prefer about the top of a list.

References
----------
F. Radlinski, M. Kurup and T. Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?" (CIKM 2008): team-draft
interleaving.
"""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

CHAMPION, CHALLENGER = TEAMS = ("champion", "challenger")
"""Whose ranker put a track on a list; in arrays by their position here."""

Coin = Callable[[], bool]
"""Says whether the challenger picks first in the next round."""


def team_draft(
    champion: NDArray[np.intp], challenger: NDArray[np.intp], *, coin: Coin
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (n,) the shared order of n candidates, and (n,) whose pick each was, as a position in ``TEAMS``.

    Parameters
    ----------
    champion, challenger : numpy.ndarray
        (n,) the positions of the same candidates, the best first, by either ranker.
    coin : callable
        Is asked once a round.
    """
    orders, taken = (champion.tolist(), challenger.tolist()), set[int]()
    left = tuple(_left(order, taken) for order in orders)
    picks: list[tuple[int, int]] = []
    while len(picks) < len(champion):
        first = int(coin())
        for team in (first, 1 - first):
            pick = next(left[team], None)
            if pick is not None:
                taken.add(pick)
                picks.append((pick, team))
    order, teams = np.array(picks, dtype=np.intp).reshape(-1, 2).T
    return order, teams


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
