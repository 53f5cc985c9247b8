"""The server's metrics under CoreDNS's names and labels (1.13). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from netsim.api.prometheus import Histogram, render_histograms, render_metric

PREFIX = "coredns_"
Labels = tuple[str, ...]


class Metric(NamedTuple):
    """One metric; without `labels` it is shown from the start, else once it has a value."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()


def _doubled(first: float, count: int, factor: int = 2) -> tuple[float, ...]:
    return tuple(first * factor**power for power in range(count))


_TIMES = _doubled(0.00025, 16)
_SIZES = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3)
_BLOCK = ("server", "zone", "view")
_CACHE, _CACHE_TYPE = ("server", "zones", "view"), ("server", "type", "zones", "view")
_PROXY = ("proxy_name", "to")
_REST = ("verb", "host")
_REST_TIMES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

METRICS: dict[str, Metric] = {
    "build_info": Metric("gauge", "What was built, with the value 1", ("version", "revision", "goversion")),
    "panics_total": Metric("counter", "Queries that could not be answered because of an error in the program"),
    "plugin_enabled": Metric("gauge", "What is switched on, with the value 1", (*_BLOCK, "name")),
    "dns_requests_total": Metric("counter", "Queries", (*_BLOCK, "proto", "family", "type")),
    "dns_request_duration_seconds": Metric("histogram", "Time from query to answer", _BLOCK, _TIMES),
    "dns_request_size_bytes": Metric("histogram", "Sizes of queries", (*_BLOCK, "proto"), _SIZES),
    "dns_do_requests_total": Metric("counter", "Queries that ask for DNSSEC (DO)", _BLOCK),
    "dns_response_size_bytes": Metric("histogram", "Sizes of answers", (*_BLOCK, "proto"), _SIZES),
    "dns_responses_total": Metric("counter", "Answers", (*_BLOCK, "rcode", "plugin")),
    "cache_entries": Metric("gauge", "Answers kept", _CACHE_TYPE),
    "cache_hits_total": Metric("counter", "Questions answered from the cache", _CACHE_TYPE),
    "cache_requests_total": Metric("counter", "Questions put to the cache", _CACHE),
    "cache_misses_total": Metric("counter", "Questions that the cache could not answer", _CACHE),
    "cache_prefetch_total": Metric("counter", "Answers fetched anew before their end", _CACHE),
    "cache_drops_total": Metric("counter", "Answers not kept because they answer another question", _CACHE),
    "cache_served_stale_total": Metric("counter", "Questions answered from the cache after an answer's end", _CACHE),
    "cache_evictions_total": Metric("counter", "Answers put out to make room", _CACHE_TYPE),
    "autopath_success_total": Metric("counter", "Questions answered with another name of a search path", ("server",)),
    "forward_healthcheck_broken_total": Metric("counter", "Questions asked although all upstreams seemed down"),
    "forward_max_concurrent_rejects_total": Metric("counter", "Questions refused because too many were on their way"),
    "proxy_request_duration_seconds": Metric("histogram", "Time upstreams took", (*_PROXY, "rcode"), _TIMES),
    "proxy_healthcheck_failures_total": Metric("counter", "Probes of upstreams that failed", _PROXY),
    "proxy_conn_cache_hits_total": Metric("counter", "Connections to upstreams used again", (*_PROXY, "proto")),
    "proxy_conn_cache_misses_total": Metric("counter", "Connections to upstreams made", (*_PROXY, "proto")),
    "health_request_duration_seconds": Metric(
        "histogram", "Time /health took, asked by the server itself each second", (), _doubled(0.00025, 5, 10)
    ),
    "health_request_failures_total": Metric("counter", "Times /health did not answer the server itself"),
    "reload_failed_total": Metric("counter", "Changed configurations that were refused"),
    "reload_version_info": Metric("gauge", "The configuration's hash, with the value 1", ("hash", "value")),
    "kubernetes_dns_programming_duration_seconds": Metric(
        "histogram", "Time from a change of pods to the answers with it", ("service_kind",), _doubled(0.001, 20)
    ),
    "kubernetes_rest_client_request_duration_seconds": Metric("histogram", "Time the API took", _REST, _REST_TIMES),
    "kubernetes_rest_client_rate_limiter_duration_seconds": Metric(
        "histogram", "Time requests waited so that there are not too many", _REST, _REST_TIMES
    ),
    "kubernetes_rest_client_requests_total": Metric("counter", "Requests to the API", ("code", "method", "host")),
    "hosts_entries": Metric("gauge", "Entries of the hosts table", ("hostsfile",)),
    "hosts_reload_timestamp_seconds": Metric("gauge", "When the hosts table was last read, in epoch seconds", ()),
}  # fmt: skip


class Metrics:
    """The values, by name (without `coredns_`) and labels' values. Instances of several workers can be added up."""

    def __init__(self) -> None:
        self.values: dict[str, dict[Labels, float]] = {name: {} for name, m in METRICS.items() if not m.bounds}
        self.histograms: dict[str, dict[Labels, Histogram]] = {name: {} for name, m in METRICS.items() if m.bounds}
        for name in ("panics_total", "reload_failed_total", "health_request_failures_total",
                     "hosts_reload_timestamp_seconds"):  # fmt: skip
            self.values[name][()] = 0.0

    def add(self, name: str, *labels: str, amount: float = 1.0) -> None:
        """Raise a counter."""
        values = self.values[name]
        values[labels] = values.get(labels, 0.0) + amount

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self.values[name][labels] = value

    def observe(self, name: str, value: float, *labels: str, times: int = 1) -> None:
        """Take an observation, made so many times, into a histogram."""
        self.histogram(name, *labels).observe(value, times)

    def histogram(self, name: str, *labels: str) -> Histogram:
        """The histogram itself, for those who observe often."""
        found = self.histograms[name].get(labels)
        if found is None:
            found = self.histograms[name][labels] = Histogram(METRICS[name].bounds)
        return found

    def merge(self, other: Metrics) -> None:
        """Take in another worker's values: counters add up; a gauge that says that something is so stays 1."""
        for name, values in other.values.items():
            for labels, value in values.items():
                here = self.values[name].get(labels, 0.0)
                self.values[name][labels] = max(here, value) if name in _STATES else here + value
        for name, histograms in other.histograms.items():
            for labels, histogram in histograms.items():
                own = self.histograms[name].setdefault(labels, Histogram(histogram.bounds))
                own.counts = [one + two for one, two in zip(own.counts, histogram.counts, strict=True)]
                own.sum += histogram.sum

    def render(self) -> str:
        """Everything in Prometheus' text format."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for name, metric in sorted(METRICS.items()):
            title = PREFIX + name
            if histograms := self.histograms.get(name):
                named = [(_named(metric, labels), histogram) for labels, histogram in sorted(histograms.items())]
                yield from render_histograms(title, metric.help, named)
            if values := self.values.get(name):
                rows = [(_named(metric, labels), value, None) for labels, value in sorted(values.items())]
                yield from render_metric(title, metric.kind, metric.help, rows)


_STATES = frozenset({"build_info", "plugin_enabled", "reload_version_info", "hosts_entries",
                     "hosts_reload_timestamp_seconds"})  # fmt: skip


def _named(metric: Metric, labels: Labels) -> Mapping[str, str]:
    return dict(zip(metric.labels, labels, strict=True))


def merged(parts: Iterable[Metrics]) -> Metrics:
    """The sum of all workers' values."""
    total = Metrics()
    for part in parts:
        total.merge(part)
    return total
