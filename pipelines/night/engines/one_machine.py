"""The engine of one machine: Polars, streaming through a private stage, then some buckets at a time."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import date
from functools import partial

import polars as pl

from pipelines.night.engines.engine import Bound, Coarse, Done, Thing
from recsys.arrivals.listens import Part
from recsys.cells.contributions import Bounded
from recsys.cells.store import Buckets, Store

_AT_ONCE = 4  # tasks at most: more of them only wait for each other


class OneMachine:
    """Polars: see :class:`pipelines.night.engines.engine.Engine`.

    Parameters
    ----------
    at_most : int
        Tasks that may be in memory at a time.
    """

    name = "polars"

    def __init__(self, *, at_most: int = _AT_ONCE) -> None:
        self._at_most = at_most

    @property
    def at_once(self) -> int:
        """How many tasks are in memory at a time; to ask starts the threads of Polars."""
        return min(self._at_most, _AT_ONCE, pl.thread_pool_size())

    @contextmanager
    def bounded(
        self, parts: Sequence[Part], *, coarse: Coarse, bound: Bound, store: Store, after: date | None
    ) -> Iterator[Iterator[tuple[Buckets, Bounded]]]:
        """Stream all of it to the stage of the store, then take it up again by bucket."""

        def task(some: Buckets, rows: pl.LazyFrame) -> tuple[Buckets, Bounded]:
            return some, bound(rows, balances=store.balances(some, after=after))

        with (
            store.bucketed(coarse(parts)) as buckets,
            closing(self._side_by_side(partial(task, *each) for each in buckets)) as done,  # before the stage goes
        ):
            yield done

    def map(self, function: Callable[[Thing], Done], things: Iterable[Thing]) -> Iterator[Done]:
        """Apply the function to some things at a time."""
        return self._side_by_side(partial(function, thing) for thing in things)

    def _side_by_side(self, tasks: Iterable[Callable[[], Done]]) -> Generator[Done]:
        """Yield what comes of tasks, in their order; one of them alone does not keep all processors busy."""
        waiting: deque[Future[Done]] = deque()
        at_once = self.at_once
        with ThreadPoolExecutor(at_once) as threads:
            for task in tasks:
                waiting.append(threads.submit(task))
                if len(waiting) == at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
