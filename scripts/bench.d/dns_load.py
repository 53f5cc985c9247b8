"""A cluster in a file, questions about it, name servers on CPU 0 and dnsperf on the others."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import NETSIM, wait_for

Obj = dict[str, Any]
NAMESPACES = 50
QUESTIONS = 12_000
_NETWORKS = (96, 128)
"""Second bytes of the first addresses of Services and endpoints."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Answers a second, and a second of the server's CPU time; `latency` in microseconds, the median."""

    per_second: float
    per_cpu_second: float
    latency: float = 0.0


class Cpus(enum.Enum):
    """Where the load comes from: the servers are on CPU 0."""

    OTHERS = "others"
    FIRST = "first"
    ALL = "all"

    def use(self) -> None:
        """Keep this process to them."""
        every = os.sched_getaffinity(0)
        chosen = {Cpus.OTHERS: every - {0} or {0}, Cpus.FIRST: {0}, Cpus.ALL: every}[self]
        os.sched_setaffinity(0, chosen)


def namespace_of(number: int) -> str:
    return f"team-{number % NAMESPACES}"


def _address(network: int, number: int) -> str:
    return f"10.{network + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def slice_object(number: int, endpoints: int, first: int = 0) -> Obj:
    """The EndpointSlice of a Service; `first` moves its addresses, as when pods are replaced."""
    labels = {"kubernetes.io/service-name": f"web-{number}"}
    ready = {"ready": True, "serving": True, "terminating": False}
    addresses = [_address(_NETWORKS[1], number * endpoints + (first + i) % (endpoints + 1)) for i in range(endpoints)]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": namespace_of(number), "name": f"web-{number}-abcde", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": ready} for address in addresses],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def cluster(services: int, endpoints: int) -> Iterator[Obj]:
    """Services with cluster IP, every eighth headless, and their endpoints."""
    for number in range(NAMESPACES):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace_of(number)}}
    for number in range(services):
        address = "None" if number % 8 == 7 else _address(_NETWORKS[0], number)
        spec = {"clusterIP": address, "clusterIPs": [address], "ports": [{"name": "http", "port": 80}]}
        metadata = {"namespace": namespace_of(number), "name": f"web-{number}"}
        yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        yield slice_object(number, endpoints)


def write_questions(path: Path, services: int) -> None:
    """A, AAAA and SRV of Services and ports, and what the search path makes of names; one in eight in mixed case."""
    lines = []
    for number in range(QUESTIONS):
        service = number % services
        name = f"web-{service}.{namespace_of(service)}.svc.cluster.local"
        asked = (
            (name, "A"),
            (name, "AAAA"),
            (f"_http._tcp.{name}", "SRV"),
            (f"{name}.{namespace_of(number // services)}.svc.cluster.local", "A"),
            (f"host-{number}.example.com.svc.cluster.local", "AAAA"),
        )[(number + number // services) % 5]
        text = asked[0]
        lines.append(f"{text.title() if number % 8 == 0 else text} {asked[1]}\n")
    path.write_text("".join(lines))


def write_zone(path: Path, services: int) -> None:
    """What the questions find, as a zone for a name server that knows nothing of clusters."""
    lines = [
        "$ORIGIN cluster.local.\n$TTL 30\n@ SOA ns.dns hostmaster 1 7200 1800 86400 30\n",
        "@ NS ns.dns\nns.dns A 10.96.0.10\n",
    ]
    for number in range(services):
        name = f"web-{number}.{namespace_of(number)}.svc"
        lines.append(f"{name} A {_address(_NETWORKS[0], number)}\n_http._tcp.{name} SRV 0 100 80 {name}\n")
    path.write_text("".join(lines))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Server:
    """A name server, started by `command`, which listens on `port`; on CPU 0 unless its share of CPUs is limited."""

    def __init__(self, command: Sequence[str], port: int, pinned: bool = True) -> None:
        self.port = port
        self._process = subprocess.Popen(
            ["taskset", "-c", "0", *command] if pinned else command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(command[0], self._answers)

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise SystemExit(f"scripts/bench: {self._process.args!r} ended")
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def pids(self) -> list[int]:
        """Its process, and those it has forked."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu(self) -> float:
        """Seconds of CPU time that it has used."""
        total = 0
        for pid in self.pids:
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        return total / os.sysconf("SC_CLK_TCK")

    def ask(self, questions: Path, seconds: float, *more: str, cpus: Cpus = Cpus.OTHERS) -> Rate:
        """What it answers in so many seconds of load by dnsperf on some CPUs."""
        before = self.cpu()
        command = [
            "dnsperf",
            "-s",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-d",
            str(questions),
            "-l",
            str(seconds),
            "-e",
            *more,
        ]
        told = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=cpus.use).stdout
        used = self.cpu() - before
        answered = int(re.search(r"Queries completed:\s+(\d+)", told)[1])  # type: ignore[index]
        rate = float(re.search(r"Queries per second:\s+([\d.]+)", told)[1])  # type: ignore[index]
        times = [float(m) * 1e6 for m in re.findall(r"^> \S+ \S+ \S+ ([\d.]+)$", told, re.M)]
        return Rate(rate, answered / max(used, 0.01), statistics.median(times) if times else 0.0)

    def ask_alone(self, questions: Path, seconds: float, cpus: Cpus) -> float:
        """The median time of a question in microseconds, asked by a plain client as soon as the last was answered."""
        return self._run_client("alone", questions, seconds, cpus)

    def flood(self, questions: Path, seconds: float) -> float:
        """Answers a second to a client that takes as little of all CPUs as it can."""
        return self._run_client("flood", questions, seconds, Cpus.ALL)

    def _run_client(self, way: str, questions: Path, seconds: float, cpus: Cpus) -> float:
        program = Path(__file__).with_name("dns_clients.py")
        command = [sys.executable, "-B", program, way, str(self.port), str(seconds), questions]
        return float(subprocess.run(command, capture_output=True, check=True, preexec_fn=cpus.use).stdout)

    def ask_all(self, questions: Path) -> None:
        """Ask each question, so that what is measured then has been asked before."""
        self.ask(questions, 60, "-n", "1", "-c", "4", "-q", "100")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


def netsim(objects: Path, *flags: str, pinned: bool = True) -> contextlib.AbstractContextManager[Server]:
    """`netsim dns` with a cluster in a file."""
    return netsim_of("-f", str(objects), *flags, pinned=pinned)


@contextlib.contextmanager
def netsim_of(*flags: str, pinned: bool = True) -> Iterator[Server]:
    """`netsim dns` with the cluster that the flags name."""
    port = free_port()
    command = [NETSIM, "dns", "--listen", f"127.0.0.1:{port}", "--lameduck", "0", "--reload", "0"]
    server = Server([*command, *flags], port, pinned)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def knot(directory: Path, services: int) -> Iterator[Server | None]:
    """Debian's knot with one worker, if it is installed."""
    program = shutil.which("knotd") or shutil.which("knotd", path="/usr/sbin")
    if program is None:
        yield None
        return
    port = free_port()
    write_zone(directory / "cluster.zone", services)
    (directory / "knot.conf").write_text(
        f"server:\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
        f"  rundir: {directory}\ndatabase:\n  storage: {directory}\n"
        f"zone:\n  - domain: cluster.local\n    file: {directory}/cluster.zone\n    zonefile-sync: -1\n"
    )
    server = Server([program, "-c", str(directory / "knot.conf")], port)
    try:
        wait_for("knot's zone", lambda: _finds(port))
        yield server
    finally:
        server.stop()


def _finds(port: int) -> bool:
    """Does it know the zone by now?"""
    query = b"\0\1\0\0\0\1\0\0\0\0\0\0\7cluster\5local\0\0\6\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.connect(("127.0.0.1", port))
        try:
            sock.send(query)
            return sock.recv(512)[7] == 1
        except OSError:
            time.sleep(0.05)
            return False


@contextlib.contextmanager
def half_cores(server: Server) -> Iterator[bool]:
    """Give each of a server's processes half a core; False if this machine's cgroups cannot."""
    groups = []
    try:
        groups += [_half_core(f"netsim-bench-{pid}", pid) for pid in server.pids]
        yield all(groups)
    finally:
        for group, pid in zip(groups, server.pids, strict=False):
            if group:
                (group.parent / "cgroup.procs").write_text(str(pid))
                group.rmdir()


def _half_core(name: str, pid: int) -> Path | None:
    """The cgroup that a process is now in alone. A short period, so that no answer waits for long."""
    first, second = Path("/sys/fs/cgroup/cpu") / name, Path("/sys/fs/cgroup") / name
    group = first if first.parent.is_dir() else second
    try:
        group.mkdir()
        if group is first:
            (group / "cpu.cfs_period_us").write_text("10000")
            (group / "cpu.cfs_quota_us").write_text("5000")
        else:
            (group / "cpu.max").write_text("5000 10000")
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        if group.is_dir():
            group.rmdir()
        return None
    return group


def write_cluster(path: Path, services: int, endpoints: int) -> None:
    path.write_text(json.dumps({"kind": "List", "items": list(cluster(services, endpoints))}))
