"""The export of a listener's records: rows that whoever starts the endpoint reads for it from the private store."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from recsys.consents.log import Purpose


@dataclass(frozen=True)
class Record:
    """One row that is stored about a listener.

    Parameters
    ----------
    kind : str
        ``contribution``: what was played; ``balance``: what the listener had earned and not spent after a night;
        ``taste``: a track that is held to be close to what the listener plays; ``evaluation``: how well each model
        would have ranked what the listener played on the last nights of a run; ``recent``: a track that was played
        up to that night in a country and counts, where both purposes allow it, among what the friends of others play.
    night : date
    place : str or None
        The id of the region or country it is counted in.
    track_id : str or None
    plays : int or None
    stored_for : tuple of Purpose
        What the listener allowed when it was stored.
    closeness : float or None
        Of a taste: how far the track stands above the last one that is kept, in standard deviations.
    played : bool or None
        Of a taste: whether the listener played the track.
    challenger : bool
        Of a taste: whether it is the other one's of two rankers that share lists.
    earned : mapping of int to float or None
        Of a balance: how much more the listener may add, by the number of nights over which that is bounded; the
        square of one track that counts in full is 1.
    history : str or None
        Of an evaluation: how many listens the listener had before.
    ndcg : mapping of str to float, or None
        Of an evaluation: NDCG at 10 by model, 0 to 1.
    """

    kind: str
    night: date
    place: str | None
    track_id: str | None
    plays: int | None
    stored_for: tuple[Purpose, ...]
    closeness: float | None = None
    played: bool | None = None
    challenger: bool = False
    earned: Mapping[int, float] | None = None
    history: str | None = None
    ndcg: Mapping[str, float] | None = None


ListenerRecords = Callable[[str], Iterator[Record]]
"""Yields everything that is stored about a listener beside the consent log; whoever starts the endpoint provides it."""
