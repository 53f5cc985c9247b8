"""What pods and the node use, as a kubelet tells it: /stats/summary, and Prometheus text for scrapers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from netsim.agent.model import Obj
from netsim.api.prometheus import Row, render_metric
from netsim.api.times import format_time

SECOND = 1_000_000_000
MIN_WINDOW, KEPT_SECONDS = 5.0, 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A measurement: when (epoch seconds), CPU nanoseconds since the start, working set and all memory in bytes."""

    at: float
    cpu_ns: int
    working_set: int
    memory: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest sample, and the rate (cores times 1e9, as usageNanoCores) over the `window` seconds before it."""

    sample: Sample
    nano_cores: int
    window: float


@dataclass(frozen=True, slots=True)
class ContainerStats:
    name: str
    started_at: float
    reading: Reading


@dataclass(frozen=True, slots=True)
class PodStats:
    name: str
    namespace: str
    uid: str
    started_at: float
    containers: Sequence[ContainerStats]


@dataclass(frozen=True, slots=True)
class NodeStats:
    """A node's own total (agent, workload host, containers) and its pods."""

    name: str
    started_at: float
    reading: Reading
    memory_bytes: int
    pods: Sequence[PodStats] = field(default_factory=tuple)


def read_rate(history: Sequence[Sample], started_at: float | None = None) -> Reading | None:
    """The rate at the newest sample of a history (oldest first) against the newest one at least MIN_WINDOW older.
    Where there is none it is against the start, when everything was 0, or without a start against the oldest sample.
    None without samples or before time has passed."""
    if not history:
        return None
    last = history[-1]
    oldest = history[0] if started_at is None else Sample(started_at, 0, 0, 0)
    base = next((s for s in reversed(history) if last.at - s.at >= MIN_WINDOW), oldest)
    window = last.at - base.at
    if window <= 0:
        return None
    return Reading(last, max(0, round((last.cpu_ns - base.cpu_ns) / window)), window)


def forget_old(history: Sequence[Sample]) -> list[Sample]:
    """The history without what no rate will be taken against any more."""
    return [sample for sample in history if history[-1].at - sample.at <= KEPT_SECONDS]


def _time(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(seconds, UTC))


def _cpu(reading: Reading) -> Obj:
    time = _time(reading.sample.at)
    return {"time": time, "usageNanoCores": reading.nano_cores, "usageCoreNanoSeconds": reading.sample.cpu_ns}


def _memory(reading: Reading) -> Obj:
    sample = reading.sample
    return {"time": _time(sample.at), "usageBytes": sample.memory, "workingSetBytes": sample.working_set}


def total(readings: Iterable[Reading]) -> Reading | None:
    """Several readings as one: sums, the newest time, the longest window."""
    found = list(readings)
    if not found:
        return None
    samples = [reading.sample for reading in found]
    summed = Sample(
        max(s.at for s in samples), sum(s.cpu_ns for s in samples), sum(s.working_set for s in samples),
        sum(s.memory for s in samples),
    )  # fmt: skip
    return Reading(summed, sum(r.nano_cores for r in found), max(r.window for r in found))


def render_summary(node: NodeStats) -> Obj:
    """The body of /stats/summary (stats/v1alpha1). `windowSeconds` beside each container's CPU is ours: over how long
    usageNanoCores was measured."""
    available = max(0, node.memory_bytes - node.reading.sample.working_set)
    head: Obj = {
        "nodeName": node.name,
        "startTime": _time(node.started_at),
        "cpu": _cpu(node.reading) | {"windowSeconds": round(node.reading.window, 3)},
        "memory": {**_memory(node.reading), "availableBytes": available},
    }
    return {"node": head, "pods": [_pod(pod) for pod in node.pods]}


def _pod(pod: PodStats) -> Obj:
    body: Obj = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": _time(pod.started_at),
        "containers": [_container(container) for container in pod.containers],
    }
    whole = total(container.reading for container in pod.containers)
    return body | ({"cpu": _cpu(whole), "memory": _memory(whole)} if whole is not None else {})


def _container(container: ContainerStats) -> Obj:
    reading = container.reading
    cpu = _cpu(reading) | {"windowSeconds": round(reading.window, 3)}
    return {
        "name": container.name, "startTime": _time(container.started_at), "cpu": cpu, "memory": _memory(reading),
    }  # fmt: skip


def render_resource_metrics(node: NodeStats) -> str:
    """The body of /metrics/resource, with the kubelet's names."""
    containers = [(pod, container) for pod in node.pods for container in pod.containers]
    wholes = [(pod, whole) for pod in node.pods if (whole := total(c.reading for c in pod.containers)) is not None]

    def of_containers(value: str) -> list[Row]:
        return [(_labels(pod, c.name), _value(c.reading, value), c.reading.sample.at) for pod, c in containers]

    def of_pods(value: str) -> list[Row]:
        return [(_labels(pod), _value(whole, value), whole.sample.at) for pod, whole in wholes]

    def of_node(value: str) -> list[Row]:
        return [({}, _value(node.reading, value), node.reading.sample.at)]

    starts: list[Row] = [(_labels(pod, c.name), c.started_at, None) for pod, c in containers]
    lines: list[str] = []
    for scope, rows in (("container", of_containers), ("node", of_node), ("pod", of_pods)):
        cpu = f"[STABLE] Cumulative cpu time consumed by the {scope} in core-seconds"
        lines += render_metric(f"{scope}_cpu_usage_seconds_total", "counter", cpu, rows("cpu"))
        memory = f"[STABLE] Current working set of the {scope} in bytes"
        lines += render_metric(f"{scope}_memory_working_set_bytes", "gauge", memory, rows("memory"))
    text = "[STABLE] Start time of the container since unix epoch in seconds"
    lines += render_metric("container_start_time_seconds", "gauge", text, starts)
    text = "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise"
    lines += render_metric("resource_scrape_error", "gauge", text, [({}, 0, None)])
    return "\n".join(lines) + "\n"


def _value(reading: Reading, what: str) -> float:
    return reading.sample.cpu_ns / SECOND if what == "cpu" else reading.sample.working_set


def _labels(pod: PodStats, container: str = "") -> dict[str, str]:
    labels = {"namespace": pod.namespace, "pod": pod.name}
    return labels | ({"container": container} if container else {})


def render_agent_metrics(node: NodeStats, own: Sample, own_started_at: float) -> str:
    """The body of /metrics: what the agent itself does and uses."""
    running = sum(len(pod.containers) for pod in node.pods)
    metrics: list[tuple[str, str, str, Row]] = [
        ("kubelet_node_name", "gauge", "The node's name. The count is always 1.", ({"node": node.name}, 1, None)),
        ("kubelet_running_pods", "gauge", "Number of pods with a running container", ({}, len(node.pods), None)),
        (
            "kubelet_running_containers", "gauge", "Number of containers currently running",
            ({"container_state": "running"}, running, None),
        ),
        ("process_cpu_seconds_total", "counter", "CPU time of this process", ({}, own.cpu_ns / SECOND, None)),
        ("process_resident_memory_bytes", "gauge", "Resident memory in bytes", ({}, own.memory, None)),
        ("process_start_time_seconds", "gauge", "Start time since the epoch", ({}, own_started_at, None)),
    ]  # fmt: skip
    lines = [line for name, kind, text, row in metrics for line in render_metric(name, kind, text, [row])]
    return "\n".join(lines) + "\n"
