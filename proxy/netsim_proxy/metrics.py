"""The proxy's metrics under kube-proxy's names (1.30): no label tells the families of a dual-stack node apart. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from netsim.api.prometheus import Histogram, Row, render_histogram, render_metric

PREFIX = "kubeproxy_"
_SYNC = "sync_proxy_rules_"
_SYNC_BOUNDS = tuple(0.001 * 2**power for power in range(15))
_NETWORK_BOUNDS = (0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 301, 30))


class Metric(NamedTuple):
    """One metric; `labels` are shown only once they have a value."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


METRICS = (
    Metric(f"{_SYNC}last_timestamp_seconds", "gauge", "When rules were last put right, in epoch seconds"),
    Metric(f"{_SYNC}last_queued_timestamp_seconds", "gauge", "When a change last asked for it, in epoch seconds"),
    Metric(f"{_SYNC}endpoint_changes_pending", "gauge", "Services with changed endpoints, not programmed yet"),
    Metric(f"{_SYNC}endpoint_changes_total", "counter", "Changes of EndpointSlices"),
    Metric(f"{_SYNC}service_changes_pending", "gauge", "Changed Services, not programmed yet"),
    Metric(f"{_SYNC}service_changes_total", "counter", "Changes of Services"),
    Metric(f"{_SYNC}iptables_total", "gauge", "Rules of the proxy", ("table",)),
    Metric(f"{_SYNC}iptables_last", "gauge", "Rules written or deleted by the last sync", ("table",)),
    Metric(f"{_SYNC}iptables_restore_failures_total", "counter", "Syncs that failed"),
    Metric(f"{_SYNC}iptables_partial_restore_failures_total", "counter", "Partial syncs that failed"),
    Metric(
        f"{_SYNC}no_local_endpoints_total", "gauge", "Ports with policy Local and all endpoints elsewhere",
        ("traffic_policy",),
    ),
    Metric("proxy_healthz_total", "counter", "Answers of /healthz", ("code",)),
    Metric("proxy_livez_total", "counter", "Answers of /livez", ("code",)),
)  # fmt: skip
HISTOGRAMS = {
    f"{_SYNC}duration_seconds": ("Time that a sync takes", _SYNC_BOUNDS),
    "sync_full_proxy_rules_duration_seconds": ("Time that a sync takes which compares all rules", _SYNC_BOUNDS),
    "sync_partial_proxy_rules_duration_seconds": ("Time that a sync takes which sends changes only", _SYNC_BOUNDS),
    "network_programming_duration_seconds": (
        "Time from the change of a pod or Service to the rules for it", _NETWORK_BOUNDS,
    ),
}  # fmt: skip

_Values = dict[tuple[str, ...], float]


class Metrics:
    """The values. Names are given without `kubeproxy_`, and those of syncs without `sync_proxy_rules_`."""

    def __init__(self) -> None:
        self._values: dict[str, _Values] = {m.name: {} if m.labels else {(): 0.0} for m in METRICS}
        self._histograms = {name: Histogram(bounds) for name, (_, bounds) in HISTOGRAMS.items()}

    def add(self, name: str, *labels: str, amount: float = 1.0) -> None:
        """Raise a counter."""
        values = self._of(name)
        values[labels] = values.get(labels, 0.0) + amount

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._of(name)[labels] = value

    def observe(self, name: str, value: float) -> None:
        """Take an observation into a histogram, by its whole name."""
        self._histograms[name].observe(value)

    def _of(self, name: str) -> _Values:
        return self._values[name] if name in self._values else self._values[_SYNC + name]

    def render(self) -> str:
        """Everything in Prometheus' text format."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for metric in METRICS:
            rows = [_row(metric, labels, value) for labels, value in sorted(self._values[metric.name].items())]
            if rows:
                yield from render_metric(PREFIX + metric.name, metric.kind, f"[ALPHA] {metric.help}", rows)
        for name, histogram in self._histograms.items():
            yield from render_histogram(PREFIX + name, f"[ALPHA] {HISTOGRAMS[name][0]}", histogram)


def _row(metric: Metric, labels: tuple[str, ...], value: float) -> Row:
    return dict(zip(metric.labels, labels, strict=True)), value, None


class Process(NamedTuple):
    """What this process uses: CPU time in seconds, memory in bytes, files; `started` is in epoch seconds."""

    cpu: float
    resident: int
    virtual: int
    open_files: int
    most_files: int
    started: float


def render_process(process: Process) -> str:
    """The metrics that every program of Kubernetes has."""
    metrics: tuple[tuple[str, Literal["counter", "gauge"], str, float], ...] = (
        ("cpu_seconds_total", "counter", "CPU time of this process", process.cpu),
        ("max_fds", "gauge", "Files that it may have open", process.most_files),
        ("open_fds", "gauge", "Files that it has open", process.open_files),
        ("resident_memory_bytes", "gauge", "Resident memory in bytes", process.resident),
        ("start_time_seconds", "gauge", "Start time since the epoch", process.started),
        ("virtual_memory_bytes", "gauge", "Virtual memory in bytes", process.virtual),
    )
    rows = (render_metric(f"process_{name}", kind, text, [({}, value, None)]) for name, kind, text, value in metrics)
    return "".join(f"{line}\n" for lines in rows for line in lines)


def render_indicators(pings: int) -> str:
    """/metrics/slis (KEP-3466): how often /healthz of the same port was asked, which always does well."""
    labels = {"name": "ping", "type": "healthz"}
    lines = (
        *render_metric("kubernetes_healthcheck", "gauge", "The result of a health check", [(labels, 1, None)]),
        *render_metric(
            "kubernetes_healthchecks_total", "counter", "The results of a health check",
            [(labels | {"status": "success"}, pings, None)],
        ),
    )  # fmt: skip
    return "\n".join(lines) + "\n" if pings else ""
