"""The noise of a release: an exact discrete Gaussian, drawn fast from a cipher's key stream."""

import os
from bisect import bisect_right
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

_DIGITS = 90  # of the table's arithmetic; its rounding is far below the 128 bits that are kept
_TAIL = 14  # standard deviations on either side that the table holds: what lies beyond weighs less than 2^-130
_BLOCK = 1 << 17  # draws at a time: their words stay in the processor's cache


def discrete_gaussian(size: int, *, sigma_squared: float) -> NDArray[np.int32]:
    """Draw independent values of the discrete Gaussian on the integers, P(x) proportional to exp(-x²/(2σ²)).

    A uniform number of 128 bits, of which the last 64 are drawn only in the rare case that they decide, is looked up
    in the exact cumulative distribution. Each draw is within total variation 2^-100 of the exact distribution (the
    cumulative probabilities are off by less than 2^-127, and there are fewer than 2^25 of them). The bits are an
    AES-256-CTR key stream whose key comes fresh from the operating system at every call: no seed can repeat a draw.

    Parameters
    ----------
    size : int
        Number of draws.
    sigma_squared : float
        The σ² of the formula, at least 0.01 and at most 1e10.

    Returns
    -------
    numpy.ndarray of int32, shape (size,)

    Raises
    ------
    ValueError
        If ``sigma_squared`` is out of range.

    References
    ----------
    C. Canonne, G. Kamath, T. Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020).
    """
    if not 0.01 <= sigma_squared <= 1e10:
        raise ValueError(f"sigma_squared is {sigma_squared}, expected between 0.01 and 1e10")
    table, stream = _table(sigma_squared), _key_stream()
    draws = np.empty(size, dtype=np.int32)
    for start in range(0, size, _BLOCK):
        part = draws[start : start + _BLOCK]
        part[:] = _invert(_words(stream, part.size), table, stream)
    return draws


@dataclass(frozen=True)
class _Table:
    """The cumulative distribution in units of 2^-128, and two shortcuts into it.

    Parameters
    ----------
    bound : int
        The table holds the values from ``-bound`` to ``bound``.
    cumulative : tuple of int
        ``cumulative[i] / 2**128`` is the probability of a value of at most ``i - bound``, for all but the last value.
    high : numpy.ndarray of uint64
        The first 64 bits of each.
    guide : numpy.ndarray of int32, shape (65536,)
        The value that the first 16 bits of a draw decide.
    decided : numpy.ndarray of bool, shape (65536,)
        Whether they do.
    """

    bound: int
    cumulative: tuple[int, ...]
    high: NDArray[np.uint64]
    guide: NDArray[np.int32]
    decided: NDArray[np.bool_]


@lru_cache(maxsize=8)
def _table(sigma_squared: float) -> _Table:
    bound = int(_TAIL * sigma_squared**0.5) + 2
    cumulative = _cumulative(Decimal(sigma_squared), bound)
    high = np.array([threshold >> 64 for threshold in cumulative], dtype=np.uint64)
    prefixes, starts = high >> np.uint64(48), np.arange(1 << 16, dtype=np.uint64)
    below, through = np.searchsorted(prefixes, starts, "left"), np.searchsorted(prefixes, starts, "right")
    return _Table(bound, cumulative, high, (below - bound).astype(np.int32), below == through)


def _cumulative(sigma_squared: Decimal, bound: int) -> tuple[int, ...]:
    """Sum the weights exp(-x²/(2σ²)), each from the one before it: w(x+1) = w(x) exp(-(2x+1)/(2σ²))."""
    with localcontext(Context(prec=_DIGITS)):
        ratio, step = (-1 / (2 * sigma_squared)).exp(), (-1 / sigma_squared).exp()
        weights = [Decimal(1)]
        for _ in range(bound):
            weights.append(weights[-1] * ratio)
            ratio *= step
        both = weights[:0:-1] + weights
        total, running, cumulative = sum(both), Decimal(0), []
        for weight in both[:-1]:
            running += weight
            cumulative.append(min(int(running / total * 2**128), 2**128 - 1))
    return tuple(cumulative)


def _invert(words: NDArray[np.uint64], table: _Table, stream: CipherContext) -> NDArray[np.int32]:
    """Turn uniform words into values: by the first 16 bits where they decide, else by 64, else by 128."""
    prefixes = (words >> np.uint64(48)).astype(np.intp)
    values = table.guide[prefixes]
    open_ = np.flatnonzero(~table.decided[prefixes])
    rest = words[open_]
    below, through = np.searchsorted(table.high, rest, "left"), np.searchsorted(table.high, rest, "right")
    values[open_] = below - table.bound
    for i in np.flatnonzero(below != through):
        uniform = (int(rest[i]) << 64) | int(_words(stream, 1)[0])
        values[open_[i]] = bisect_right(table.cumulative, uniform) - table.bound
    return values


def _key_stream() -> CipherContext:
    cipher: Cipher[Any] = Cipher(algorithms.AES256(os.urandom(32)), modes.CTR(bytes(16)))
    return cipher.encryptor()


def _words(stream: CipherContext, size: int) -> NDArray[np.uint64]:
    return np.frombuffer(stream.update(bytes(8 * size)), dtype=np.uint64)
