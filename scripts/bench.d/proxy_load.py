"""A made-up cluster for the service proxy's benchmarks: objects, what watches make of them, and costs of work."""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netsim.host import netns
from netsim_proxy.desired import Input
from netsim_proxy.inputs import Inputs, service_cache, slice_cache
from netsim_proxy.model import Node

NODE = Node("node-1", ipv4="172.30.0.11")
POD_CIDR = "10.128.0.0/9"


@dataclass(frozen=True, slots=True)
class Row:
    """One line. The goal is a share of `peer` if there is one (it is not 0), else in the unit of `value`."""

    work: str
    unit: str
    value: float
    peer: float
    goal: float
    who: str

    @property
    def met(self) -> bool:
        return self.value <= self.goal * (self.peer or 1)

    def render(self) -> str:
        peer, ratio = (f"{self.peer:.1f}", f"{self.value / self.peer:.2f} x") if self.peer else ("-", "")
        goal = f"<= {self.goal:g}{' x' if self.peer else ''}"
        verdict = "met" if self.met else "MISSED"
        return (
            f"{self.work:<44} {self.value:>9.1f} {self.unit:<3} {peer:>9} {ratio:>7} {goal:>9} {verdict:<6} {self.who}"
        )


def _address(first: int, number: int) -> str:
    return f"10.{first + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def service(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "bench", "name": f"service-{number}"},
        "spec": {"clusterIP": _address(96, number), "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }


def endpoint_slice(number: int, endpoints: int = 10) -> dict[str, Any]:
    """The slice of a Service; addresses stay the same when `endpoints` is less than ten."""
    found = [
        {"addresses": [_address(128, number * 10 + index)], "nodeName": f"node-{index % 3 + 1}"}
        for index in range(endpoints)
    ]
    name = f"service-{number}"
    metadata = {"namespace": "bench", "name": f"{name}-a", "labels": {"kubernetes.io/service-name": name}}
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return {"kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": found}


class Feed:
    """The proxy's caches as watches fill them; `take` says what changed since the last time."""

    def __init__(self) -> None:
        self._services, self._slices, self._inputs = service_cache((4,)), slice_cache(), Inputs(4)
        self.take = self._inputs.take

    def fill(self, services: int) -> dict[str, Input]:
        for number in range(services):
            self._services.put(service(number), "1")
            kept = self._services.get(f"bench/service-{number}")
            assert kept is not None
            self._inputs.set_service(f"bench/service-{number}", kept["cut"][4])
            self.change(number)
        return self.take()

    def change(self, number: int, endpoints: int = 10) -> None:
        """Set how many endpoints a Service has."""
        self._slices.put(endpoint_slice(number, endpoints), "1")
        kept = self._slices.get(f"bench/service-{number}-a")
        assert kept is not None
        self._inputs.set_slice(f"bench/service-{number}", f"service-{number}-a", kept["cut"])


@contextlib.contextmanager
def namespace(name: str) -> Iterator[str]:
    """An empty network namespace."""
    path = f"/run/netsim-bench-{os.getpid()}-{name}"
    netns.create(path)
    try:
        yield path
    finally:
        netns.delete(path)


def cpu_seconds() -> float:
    """CPU time of this process and its ended children: what other load on the machine changes least."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def cost_of(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall milliseconds."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    work()
    return 1000 * (cpu_seconds() - cpu), 1000 * (time.perf_counter() - wall)


def alternate(rounds: int, *works: Callable[[], object]) -> list[tuple[float, float]]:
    """Medians of (CPU, wall) ms of each, done in turn."""
    costs = [[cost_of(work) for work in works] for _ in range(rounds)]
    return [tuple(statistics.median(part) for part in zip(*column, strict=True)) for column in zip(*costs, strict=True)]  # type: ignore[misc]


def memory(field: str) -> float:
    """VmRSS or VmHWM of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024
