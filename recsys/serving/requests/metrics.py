"""Prometheus metrics: what an operator watches; no label and no value says who asked or about which place."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from recsys.consents.log import Purpose, State

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)


class Metrics:
    """The counts of one application, in a registry of its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._seconds = Histogram(
            "hearabouts_request_seconds", "Requests and their times.", labels, buckets=_SECONDS, registry=registry
        )
        self._observed: dict[tuple[str, str | None, int | None], Callable[[float], None]] = {}
        self._decisions = Counter(
            "hearabouts_consent_changes", "Decisions that changed something.", ("purpose", "state"), registry=registry
        )
        for purpose in Purpose:
            for state in State:
                self._decisions.labels(purpose.value, state.value)
        self._limited = Counter("hearabouts_rate_limited", "Requests that were one too many.", registry=registry)
        self._dropped = Counter(
            "hearabouts_connections_dropped", "Clients that were given up.", ("reason",), registry=registry
        )
        for reason in ("body", "write"):
            self._dropped.labels(reason)
        self._reloads = Counter("hearabouts_snapshots", "New snapshots found.", ("outcome",), registry=registry)
        for outcome in ("served", "refused"):
            self._reloads.labels(outcome)
        self._key_sets = Counter("hearabouts_key_sets", "Looks at the key set.", ("outcome",), registry=registry)
        for outcome in ("used", "refused", "unreadable"):
            self._key_sets.labels(outcome)
        self._age = Gauge("hearabouts_snapshot_age_seconds", "Since the end of the last night.", registry=registry)
        self._old = Gauge(
            "hearabouts_snapshot_old", "1 where older charts are served than should be, or none.", registry=registry
        )
        ProcessCollector(registry=registry)

    def answered(self, method: str, route: str | None, status: int | None, *, seconds: float) -> None:
        """Count a request by its route's template, never by its path."""
        observe = self._observed.get((method, route, status))
        if observe is None:
            observe = self._seconds.labels(method, route or "none", str(status or 0)).observe
            self._observed[method, route, status] = observe
        observe(seconds)

    def decided(self, purpose: Purpose, state: State) -> None:
        """Count a decision that changed a listener's switch."""
        self._decisions.labels(purpose.value, state.value).inc()

    def limited(self) -> None:
        """Count a request that was one too many."""
        self._limited.inc()

    def dropped(self, reason: str) -> None:
        """Count a client that was too slow with its ``body``, or with reading an answer (``write``)."""
        self._dropped.labels(reason).inc()

    def found(self, outcome: str) -> None:
        """Count a new snapshot, ``served`` or ``refused``."""
        self._reloads.labels(outcome).inc()

    def looked_for_keys(self, outcome: str) -> None:
        """Count a new key set that is ``used``, or a look at one that is ``refused`` or ``unreadable``."""
        self._key_sets.labels(outcome).inc()

    def text(self, *, as_of: str | None, now: datetime, old: bool = False) -> bytes:
        """Return everything as it stands; without a snapshot its age is not a number."""
        self._age.set(float("nan") if as_of is None else age(as_of, now=now))
        self._old.set(old)
        return generate_latest(self._registry)


def age(as_of: str, *, now: datetime) -> float:
    """Return the seconds since the end of a night (a UTC day)."""
    return (now - datetime.combine(date.fromisoformat(as_of), time.max, UTC)).total_seconds()
