"""Functions that are compiled to machine code at their first call, and kept for the next process where that may be."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

# A change here counts once what was kept is removed (__pycache__/*.nbi, *.nbc): it is not kept by these.
_OPTIONS: dict[str, Any] = {
    "fastmath": {"nnan", "ninf", "nsz", "arcp", "contract", "reassoc"},  # sums in any order, and so side by side
    "error_model": "numpy",  # no look at every divisor
    "nogil": True,  # other threads go on
}


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of numbers and arrays, once for each combination of types that it is called with.

    All numbers that it meets must be finite: what others become is not defined.

    What was compiled is kept beside the source or in the user's cache, and compiled anew by each process where neither
    can be written. Figures are the same in every run on a machine; another kind of processor may round them otherwise.

    References
    ----------
    S. Lam, A. Pitrou, S. Seibert, "Numba: A LLVM-based Python JIT Compiler" (2015).
    """
    try:
        kept: Callable[P, R] = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # there is nowhere to keep it
        kept = njit(**_OPTIONS)(function)
    return kept
