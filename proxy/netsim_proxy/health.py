"""Whether the proxy does its work, and what it answers when asked: /healthz, /livez and healthCheckNodePort. Pure.

Times are seconds since the start of the process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from netsim_proxy.config import Family

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body of an HTTP answer."""

_JSON = [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")]
_STALE_AFTER_PERIODS = 2


@dataclass(slots=True)
class _FamilyHealth:
    queued: float | None = None
    updated: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Whether rules follow the API; `updated` is now if they do, else when they last did."""

    healthy: bool
    updated: float


class ProxyHealth:
    """Healthy is a proxy none of whose changes has waited for longer than twice the sync period."""

    def __init__(self, families: Iterable[Family], sync_period: float) -> None:
        self._limit = _STALE_AFTER_PERIODS * sync_period
        self._families = {family: _FamilyHealth() for family in families}

    def queued(self, family: Family, now: float) -> None:
        """There is something to program; only the first such call since `updated` counts."""
        state = self._families[family]
        if state.queued is None:
            state.queued = now

    def updated(self, family: Family, now: float, *, pending: bool = False) -> None:
        """All that was to program at the start of this sync is programmed; `pending`: more has come since."""
        self._families[family] = _FamilyHealth(now if pending else None, now)

    def status(self, now: float) -> Status:
        """As of now; a proxy that has just started is healthy."""
        late = [s for s in self._families.values() if s.queued is not None and now - s.queued > self._limit]
        return Status(False, min(state.updated or 0.0 for state in late)) if late else Status(True, now)


@dataclass(frozen=True, slots=True)
class Clock:
    """When the process started, to print times as Go does."""

    started: datetime

    def show(self, seconds: float) -> str:
        """A time as Go's time.Time prints itself, "2026-01-02 03:04:05.6 +0000 UTC m=+7.800000000"."""
        moment = self.started + timedelta(seconds=seconds)
        fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
        return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC m=+{seconds:.9f}"


def answer_healthz(status: Status, now: float, clock: Clock, *, eligible: bool) -> Answer:
    """What load balancers ask for: also refuses where the node is about to go."""
    times = f'"lastUpdated": "{clock.show(status.updated)}","currentTime": "{clock.show(now)}"'
    body = f'{{{times}, "nodeEligible": {json.dumps(eligible)}}}'
    return 200 if status.healthy and eligible else 503, _JSON, body.encode()


def answer_livez(status: Status, now: float, clock: Clock) -> Answer:
    """What restarts the proxy asks for: the node's end is no reason to."""
    body = f'{{"lastUpdated": "{clock.show(status.updated)}","currentTime": "{clock.show(now)}"}}'
    return 200 if status.healthy else 503, _JSON, body.encode()


def answer_service(key: str, local: int, *, healthy: bool) -> Answer:
    """What a load balancer asks each node about the Service "namespace/name": is traffic welcome here?"""
    namespace, _, name = key.partition("/")
    service = {"namespace": namespace, "name": name}
    document = {"service": service, "localEndpoints": local, "serviceProxyHealthy": healthy}
    headers = [*_JSON, ("X-Load-Balancing-Endpoint-Weight", str(local))]
    return 200 if local and healthy else 503, headers, json.dumps(document, indent="\t").encode()
