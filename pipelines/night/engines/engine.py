"""What a night asks of an engine: to bring frames to functions, and back, on one machine or on many."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import Protocol, TypeVar

import polars as pl

from recsys.arrivals.listens import Part
from recsys.cells.contributions import Bounded
from recsys.cells.store import Buckets, Store

Coarse = Callable[[Sequence[Part]], pl.LazyFrame]

Thing = TypeVar("Thing")
Done = TypeVar("Done")


class Bound(Protocol):
    """Makes contributions of all coarse listens of some buckets, and of the balances there."""

    def __call__(self, coarse: pl.LazyFrame, *, balances: pl.DataFrame) -> Bounded:
        """See :func:`recsys.cells.contributions.bound`."""
        ...


class Engine(Protocol):
    """Moves frames, and knows nothing of what is done with them; the noise, the ledger and the store are not its."""

    @property
    def name(self) -> str:
        """What the run is tagged with."""
        ...

    def bounded(
        self, parts: Sequence[Part], *, coarse: Coarse, bound: Bound, store: Store, after: date | None
    ) -> AbstractContextManager[Iterator[tuple[Buckets, Bounded]]]:
        """Make the contributions of a night, bucket by bucket.

        Parameters
        ----------
        parts : sequence of Part
            PRECISE: what came, unread.
        coarse : callable
            Makes COARSE listens of some parts; nothing is written or sent before it.
        bound : callable
            Makes contributions of them and of balances.
        store : Store
            Says what is a bucket, and has the balances.
        after : date or None
            The last night that was released.

        Yields
        ------
        iterator of (buckets, Bounded)
            For :meth:`recsys.cells.store.Store.write_night`.

        Raises
        ------
        NotReadyError
            If the engine, or what it needs, fails in the middle of the work.
        """
        ...

    def map(self, function: Callable[[Thing], Done], things: Iterable[Thing]) -> Iterator[Done]:
        """Apply a function to each of some things, in whatever order; errors as of :meth:`bounded`.

        Parameters
        ----------
        function : callable
            Can be pickled, and so can what it takes and gives. On other machines BLAS has one thread for it.
        things : iterable
        """
        ...
