"""Threads that share the work of one: for functions of arrays, which leave the interpreter to others meanwhile."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

_TWO = min(2, cpu_count() or 1)  # each holds arrays of its own: with as many as cores, memory would grow with these


def in_threads(function: Callable[[A], R], arguments: Iterable[A], *, threads: int = _TWO) -> list[R]:
    """Return a function's results in the order of its arguments, of which some are computed at a time.

    Parameters
    ----------
    function : callable
    arguments : iterable
    threads : int
        0 means as many as there are cores.
    """
    with ThreadPoolExecutor(threads or cpu_count()) as pool:
        return list(pool.map(function, arguments))
