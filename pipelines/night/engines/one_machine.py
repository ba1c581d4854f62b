"""The engine of one machine: Polars, streaming through a private stage."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import polars as pl

from pipelines.night.engines.engine import Bound, Coarse, Count
from recsys.arrivals.listens import Part
from recsys.cells.contributions import Bounded
from recsys.cells.store import Buckets, Store


class OneMachine:
    """Polars: see :class:`pipelines.night.engines.engine.Engine`."""

    name = "polars"

    @contextmanager
    def bounded(
        self, parts: Sequence[Part], *, coarse: Coarse, bound: Bound, store: Store, after: date | None
    ) -> Iterator[Iterator[tuple[Buckets, Bounded]]]:
        """Stream all of it to the stage of the store, then take it up again bucket by bucket."""
        with store.bucketed(coarse(parts)) as buckets:
            yield ((some, bound(rows, balances=store.balances(some, after=after))) for some, rows in buckets)

    def map(self, function: Count, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Apply the function to one frame after the other."""
        return map(function, frames)
