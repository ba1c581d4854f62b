"""The rate limit: how many requests in a window of time, alike for every listener."""

import hashlib
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from recsys.settings import ServingSettings

_MOST = 200_000  # listeners, and addresses, that are told apart in a window

UNLIMITED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Addresses that anybody may ask as often as they like."""


class Allowance(NamedTuple):
    """What an asker has left.

    Parameters
    ----------
    policy : str
        What is counted: requests of a ``listener`` or an ``address``, or a listener's ``decisions`` or ``pictures``.
    limit : int
        Requests in a window.
    window : int
        Seconds of a window.
    remaining : int
        Requests that are left, this one taken off; -1 where it is one too many.
    reset : int
        Seconds until the window ends.
    """

    policy: str
    limit: int
    window: int
    remaining: int
    reset: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that say so (draft-ietf-httpapi-ratelimit-headers-10)."""
        policy, remaining = self.policy.encode(), max(self.remaining, 0)
        return [
            (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (policy, self.limit, self.window)),
            (b"ratelimit", b'"%b";r=%d;t=%d' % (policy, remaining, self.reset)),
        ]


class Limits:
    """Counts requests by asker, for one window at a time and in memory alone.

    Windows are the same for everybody, so that their end tells nothing about an asker. Addresses are kept as hashes
    under a key that each start draws anew; of an IPv6 address its network of 64 bits counts, which is one customer.
    Memory is bounded: addresses beyond the first 200,000 of a window share what one of them has; a listener never
    shares, and who asked least recently of so many listeners begins anew.

    Parameters
    ----------
    settings : ServingSettings
    clock : callable, optional
        Seconds, which only go forward.
    """

    def __init__(self, settings: ServingSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._ends, self._listeners, self._addresses = -1.0, OrderedDict[str, int](), dict[str, int]()
        key = secrets.token_bytes(32)
        self._hashed = lru_cache(1024)(lambda address: _hashed(address, key))

    def of_listener(self, listener: str) -> Allowance | None:
        """Count one request of a listener; None where there is no limit."""
        return self._take(self._of_listener, listener, policy="listener", limit=self._settings.listener_requests)

    def of_address(self, address: str) -> Allowance | None:
        """Count one request of an address; None where there is no limit."""
        hashed = self._hashed(address)
        return self._take(self._of_address, hashed, policy="address", limit=self._settings.address_requests)

    def _take(self, count: Callable[[str], int], asker: str, *, policy: str, limit: int) -> Allowance | None:
        if limit == 0:
            return None
        now, window = self._clock(), self._settings.rate_seconds
        if now >= self._ends:
            self._ends = now + window
            self._listeners.clear()
            self._addresses.clear()
        return Allowance(policy, limit, window, max(limit - count(asker), -1), int(self._ends - now) + 1)

    def _of_listener(self, listener: str) -> int:
        taken = self._listeners[listener] = self._listeners.pop(listener, 0) + 1
        if len(self._listeners) > _MOST:
            self._listeners.popitem(last=False)
        return taken

    def _of_address(self, hashed: str) -> int:
        asker = hashed if hashed in self._addresses or len(self._addresses) < _MOST else ""
        taken = self._addresses[asker] = self._addresses.get(asker, 0) + 1
        return taken


def _hashed(address: str, key: bytes) -> str:
    return hashlib.blake2b(_customer(address).encode(), key=key, digest_size=16).hexdigest()


def _customer(address: str) -> str:
    """Return what one customer has: an IPv4 address, or an IPv6 network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
