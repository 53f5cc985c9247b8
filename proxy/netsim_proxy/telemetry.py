"""What the proxy's loops tell of their work, and what health checks and metrics make of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from netsim_proxy.backend import Outcome
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.desired import Input
from netsim_proxy.health import Answer, Clock, ProxyHealth, answer_healthz, answer_livez, answer_service
from netsim_proxy.metrics import Metrics
from netsim_proxy.tally import HealthChecks, Tally


class Telemetry:
    """One for the whole proxy; used in its event loop only. `health_changed` is set when health checks may have;
    `epoch` is when it began."""

    def __init__(self, config: ProxyConfig) -> None:
        self._started = time.monotonic()
        self._clock = Clock(datetime.now(UTC))
        self.epoch = time.time()
        self._health = ProxyHealth(config.families, config.sync_period)
        self._tallies = {family: Tally(config.hostname) for family in config.families}
        self._untold: dict[Family, dict[str, Input]] = {family: {} for family in config.families}
        self.metrics = Metrics()
        self.eligible = True
        self.health_changed = asyncio.Event()

    def _now(self) -> float:
        return time.monotonic() - self._started

    def queued(self, family: Family) -> None:
        """There is something to program."""
        self._health.queued(family, self._now())
        self.metrics.set("last_queued_timestamp_seconds", time.time())

    def synced(
        self,
        family: Family,
        outcome: Outcome,
        changes: Mapping[str, Input],
        triggers: Iterable[float],
        *,
        pending: bool,
    ) -> None:
        """Rules are right; `triggers` are the times (epoch) of what the programmed changes go back to."""
        now = time.time()
        self._observe(outcome, (now - trigger for trigger in triggers if trigger > self.epoch))
        self._health.updated(family, self._now(), pending=pending)
        self.metrics.set("last_timestamp_seconds", now)
        told = {**self._untold[family], **changes}
        self._untold[family] = {}
        if self._tallies[family].apply(told) or outcome.full:
            self.health_changed.set()

    def _observe(self, outcome: Outcome, latencies: Iterable[float]) -> None:
        kind = "full" if outcome.full else "partial"
        for table, number in outcome.rules.items():
            self.metrics.set("iptables_total", number, table)
            self.metrics.set("iptables_last", outcome.written.get(table, 0), table)
        for latency in latencies:
            self.metrics.observe("network_programming_duration_seconds", latency)
        self.metrics.observe("sync_proxy_rules_duration_seconds", outcome.seconds)
        self.metrics.observe(f"sync_{kind}_proxy_rules_duration_seconds", outcome.seconds)

    def failed(self, family: Family, changes: Mapping[str, Input], *, partial: bool) -> None:
        """Rules are not right; a later sync programs these changes as well."""
        self._untold[family].update(changes)
        self.metrics.add("iptables_restore_failures_total")
        if partial:
            self.metrics.add("iptables_partial_restore_failures_total")

    @property
    def health_checks(self) -> HealthChecks:
        """Of both families together: a Service has one port, and the same pods in both."""
        merged: dict[str, tuple[int, int]] = {}
        for tally in self._tallies.values():
            for key, (port, local) in tally.health_checks.items():
                merged[key] = (port, max(local, merged.get(key, (port, 0))[1]))
        return merged

    def answer_healthz(self) -> Answer:
        """/healthz, counted."""
        now = self._now()
        answer = answer_healthz(self._health.status(now), now, self._clock, eligible=self.eligible)
        self.metrics.add("proxy_healthz_total", str(answer[0]))
        return answer

    def answer_livez(self) -> Answer:
        """/livez, counted."""
        now = self._now()
        answer = answer_livez(self._health.status(now), now, self._clock)
        self.metrics.add("proxy_livez_total", str(answer[0]))
        return answer

    def answer_service(self, key: str, local: int) -> Answer:
        """The health check of one Service."""
        return answer_service(key, local, healthy=self._health.status(self._now()).healthy)

    def render_metrics(self, pending: tuple[int, int]) -> str:
        """The metrics, with the numbers of Services whose own or whose endpoints' changes wait to be programmed."""
        services, endpoints = pending
        self.metrics.set("service_changes_pending", services)
        self.metrics.set("endpoint_changes_pending", endpoints)
        counts = [tally.without_local for tally in self._tallies.values()]
        self.metrics.set("no_local_endpoints_total", sum(internal for internal, _ in counts), "internal")
        self.metrics.set("no_local_endpoints_total", sum(external for _, external in counts), "external")
        return self.metrics.render()
