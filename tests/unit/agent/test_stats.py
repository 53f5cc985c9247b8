"""Rates from samples, the summary, and Prometheus text."""

from __future__ import annotations

import pytest

from netsim.agent.runtime.metering import HostMeter, Meter, divide
from netsim.agent.runtime.workload_base import Connection
from netsim.agent.stats import (
    ContainerStats,
    NodeStats,
    PodStats,
    Reading,
    Sample,
    forget_old,
    read_rate,
    render_agent_metrics,
    render_resource_metrics,
    render_summary,
)
from netsim.host.cgroup import CgroupLayout
from netsim.host.cgroup_usage import oom_file, parse_flat, working_set


def at(seconds: float, cpu_seconds: float, memory: int = 100) -> Sample:
    return Sample(1000.0 + seconds, round(cpu_seconds * 1e9), memory, 2 * memory)


@pytest.mark.parametrize(
    ("history", "start", "cores", "window"),
    [
        ([at(0, 0), at(10, 5)], 900.0, 0.5, 10),
        ([at(0, 0), at(10, 5), at(12, 7)], 900.0, 7 / 12, 12),
        ([at(0, 0), at(4, 0), at(10, 3)], 900.0, 0.5, 6),
        ([at(2, 1)], 1000.0, 0.5, 2),
        ([at(0, 10), at(2, 11)], None, 0.5, 2),
        ([at(0, 9), at(10, 1)], None, 0.0, 10),
    ],
)
def test_rates(history: list[Sample], start: float | None, cores: float, window: float) -> None:
    reading = read_rate(history, start)
    assert reading is not None
    assert (reading.nano_cores, reading.window) == (round(cores * 1e9), window)
    assert reading.sample is history[-1]


@pytest.mark.parametrize(("history", "start"), [([], None), ([at(0, 1)], None), ([at(0, 1)], 1000.0)])
def test_no_rate_without_time(history: list[Sample], start: float | None) -> None:
    assert read_rate(history, start) is None


def test_old_samples_are_forgotten() -> None:
    history = [at(second, second) for second in range(0, 200, 10)]
    assert [s.at for s in forget_old(history)] == [1000.0 + s for s in range(130, 200, 10)]


def node() -> NodeStats:
    containers = [
        ContainerStats(name, 990.0, Reading(at(0, 2, m), 5 * 10**8, 10.0)) for name, m in (("a", 7), ("b", 8))
    ]
    pod = PodStats("web", "ns", "u1", 980.0, containers)
    return NodeStats("node-1", 900.0, Reading(at(0, 9, 50), 10**9, 10.0), 1000, (pod,))


def test_the_summary_adds_up_a_pods_containers() -> None:
    found = render_summary(node())
    assert found["node"]["memory"]["availableBytes"] == 950
    (pod,) = found["pods"]
    assert pod["podRef"] == {"name": "web", "namespace": "ns", "uid": "u1"}
    assert (pod["cpu"]["usageNanoCores"], pod["cpu"]["usageCoreNanoSeconds"]) == (10**9, 4 * 10**9)
    assert pod["memory"]["workingSetBytes"] == 15
    assert [c["cpu"]["windowSeconds"] for c in pod["containers"]] == [10.0, 10.0]


def test_resource_metrics_have_the_kubelets_names() -> None:
    lines = render_resource_metrics(node()).splitlines()
    assert 'container_cpu_usage_seconds_total{container="a",namespace="ns",pod="web"} 2 1000000' in lines
    assert 'container_memory_working_set_bytes{container="b",namespace="ns",pod="web"} 8 1000000' in lines
    assert 'pod_cpu_usage_seconds_total{namespace="ns",pod="web"} 4 1000000' in lines
    assert "node_cpu_usage_seconds_total 9 1000000" in lines
    assert 'container_start_time_seconds{container="a",namespace="ns",pod="web"} 990' in lines
    assert "# TYPE node_memory_working_set_bytes gauge" in lines
    own = render_agent_metrics(node(), at(0, 1.5), 900.0).splitlines()
    assert 'kubelet_running_containers{container_state="running"} 2' in own
    assert "process_cpu_seconds_total 1.5" in own


def test_a_host_is_divided_by_time_in_callbacks() -> None:
    assert divide(100, {"a": 30, "b": 10, "c": 0}) == {"a": 75, "b": 25, "c": 0}
    assert divide(100, {"a": 0}) == {}
    meters = {"busy": Meter(), "idle": Meter()}
    host = HostMeter()
    meters["busy"].busy_ns = sum(range(200_000))
    host.settle(meters)
    assert meters["busy"].cpu_ns > 0
    assert (meters["idle"].cpu_ns, meters["busy"].busy_ns) == (0, 0)


def test_every_kind_of_connection_is_metered() -> None:
    class Counting(Connection):
        def data_received(self, data: bytes) -> None:
            sum(range(int(data)))

    counting = Counting()
    counting.meter = Meter()
    counting.data_received(b"10000")
    assert counting.meter.busy_ns > 0


def test_cgroup_files() -> None:
    assert parse_flat("usage_usec 12\nuser_usec 7\nodd line here\n") == {"usage_usec": 12, "user_usec": 7}
    assert (working_set(10, 3), working_set(3, 10)) == (7, 0)


V1 = {"memory": "/sys/fs/cgroup/memory", "pids": "/sys/fs/cgroup/pids"}


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        (CgroupLayout("v1", "/sys/fs/cgroup/pids", V1), "/sys/fs/cgroup/memory/netsim/x/memory.oom_control"),
        (CgroupLayout("hybrid", "/sys/fs/cgroup/unified", V1), "/sys/fs/cgroup/memory/netsim/x/memory.oom_control"),
        (CgroupLayout("hybrid", "/sys/fs/cgroup/unified", {}), "/sys/fs/cgroup/unified/netsim/x/memory.events"),
        (CgroupLayout("v2", "/sys/fs/cgroup", {}), "/sys/fs/cgroup/netsim/x/memory.events"),
    ],
)
def test_where_each_layout_counts_kills_for_want_of_memory(layout: CgroupLayout, file: str) -> None:
    assert oom_file(layout, "netsim/x") == file


@pytest.mark.parametrize(
    "text",
    ["oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n"],
)
def test_kills_for_want_of_memory_are_read_from_both(text: str) -> None:
    assert parse_flat(text)["oom_kill"] == 2
