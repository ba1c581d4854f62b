"""Processes that share the work of one: a function over many arguments, on as many cores as there are."""

import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from recsys.errors import NotReadyError

A = TypeVar("A")
R = TypeVar("R")

_share: dict[str, Callable[[Any], Any]] = {}  # what this process computes, where it is one of those that share


@contextmanager
def mapping(function: Callable[[A], R], *, workers: int) -> Iterator[Callable[[Iterable[A]], Iterator[R]]]:
    """Yield what maps a function over arguments, in order; each worker has a copy of the function.

    A worker starts in one to three seconds. It computes on one core, and ends with the block, whether all results were
    taken or not, and with the process that started it, whichever way that ends.

    Parameters
    ----------
    function : callable
        With more than one worker it must be one that can be pickled, and so must its results.
    workers : int
        Processes; with 1 all is done in this one.

    Raises
    ------
    NotReadyError
        If a worker is killed.
    """
    if workers == 1:
        yield lambda arguments: map(function, arguments)
        return
    content, others, asked = pickle.dumps(function), set(active_children()), list[Future[R]]()

    def mapped(arguments: Iterable[A]) -> Iterator[R]:
        futures = [pool.submit(_call, argument) for argument in arguments]
        asked.extend(futures)
        return (future.result() for future in futures)

    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(content,)) as pool:
        try:
            yield mapped
        except BrokenProcessPool as error:
            raise NotReadyError(
                "a process that shared the work was killed",
                hint="Memory may have run out: see to that, and run the command again.",
            ) from error
        finally:  # also after an error or an interrupt: nobody waits for what nobody will take
            if not all(future.done() for future in asked):
                for worker in set(active_children()) - others:
                    worker.terminate()


def _begin(content: bytes) -> None:
    """Make this process a worker, which leaves it to the one that began it to answer an interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    os.environ["POLARS_MAX_THREADS"] = "1"  # is read when Polars is first used
    _share["function"] = pickle.loads(content)  # noqa: S301 (it comes from the process that began this one)
    threadpool_limits(1)  # of the libraries that are loaded by now


def _end_with_parent() -> None:
    """End at once when the process ends that this one works for, also where it was killed: nobody else would tell."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _call(argument: Any) -> Any:
    return _share["function"](argument)
