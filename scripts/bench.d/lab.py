"""A lab as the benchmarks see it: started, asked and removed from outside, with the standard library alone."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

NETSIM = os.environ.get("NETSIM") or shutil.which("netsim") or "netsim"
_CLONE_NEWNET = 0x40000000
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3D"
_libc = ctypes.CDLL(None, use_errno=True)


class Lab:
    """One lab by name; the API is asked over its unix socket, so that no client's start counts."""

    def __init__(self, name: str) -> None:
        self.name, self.socket = name, f"/run/netsim/{name}/api.sock"

    def up(self, nodes: int = 3) -> float:
        """Seconds until `netsim up` returns, which is when a name resolves through the DNS Service's ClusterIP."""
        return timed([NETSIM, "up", "--lab", self.name, "--nodes", str(nodes)])

    def down(self) -> float:
        return timed([NETSIM, "down", "--lab", self.name])

    def exists(self) -> bool:
        return any(os.path.isdir(f"{root}/{self.name}") for root in ("/run/netsim", "/var/lib/netsim"))

    def kubectl(self, *arguments: str, stdin: str = "") -> None:
        subprocess.run(
            [NETSIM, "kubectl", *arguments],
            input=stdin.encode(),
            env={**os.environ, "NETSIM_LAB": self.name},
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def api(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.socket)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": kind})
            answer = connection.getresponse()
            document = json.loads(answer.read())
        if answer.status >= 300:
            raise SystemExit(f"scripts/bench: {method} {path}: {answer.status} {document.get('message')}")
        return document

    def ready_addresses(self, service: str) -> list[str]:
        """Addresses of the ready endpoints in all of the Service's EndpointSlices."""
        slices = self.api("GET", _SLICES + service)["items"]
        return [e["addresses"][0] for s in slices for e in s.get("endpoints") or () if e["conditions"].get("ready")]

    def rules(self, node: str, target: str) -> int:
        """How many endpoints of port 80 the node's iptables translate the Service to."""
        save = ["nsenter", f"--net={self.netns(node)}", "iptables-save", "-t", "nat"]
        text = subprocess.run(save, check=True, capture_output=True, text=True).stdout
        return sum(f'"{target}"' in line and "DNAT" in line for line in text.splitlines())

    def netns(self, name: str) -> str:
        return f"/run/netsim/{self.name}/netns/{name}"

    def pids(self) -> list[int]:
        """The lab's processes, found by its cgroups."""
        groups = Path("/sys/fs/cgroup").glob(f"**/netsim/{self.name}/**/cgroup.procs")
        return sorted({int(pid) for group in groups for pid in group.read_text().split()})

    def largest(self) -> int:
        """The process with most memory of its own: the server, also of a lab with one real node."""
        return max(self.pids(), key=_pss)

    def pss(self) -> dict[str, float]:
        """MiB of proportional set size of each of the lab's processes; not of one that ends meanwhile."""
        found = {}
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                found[f"{pid} {_title(pid)}"] = _pss(pid)
        return found


def _title(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").split()
    words = [os.path.basename(w) if w.startswith("/") else w for w in words]
    return " ".join(words[1:3] if words[0].startswith("python") else words[:3] if words[0] == "netsim" else words[:1])


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def timed(command: list[str]) -> float:
    """Seconds a command takes; its output is shown only when it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"scripts/bench: {' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
    return seconds


@contextlib.contextmanager
def inside(netns: str, workers: int = 4) -> Iterator[ThreadPoolExecutor]:
    """Threads that live in a network namespace: sockets they make belong to it."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)

    def enter() -> None:
        with open(netns) as namespace:
            if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), netns)

    pool = ThreadPoolExecutor(workers, initializer=enter)
    try:
        yield pool
    finally:
        pool.shutdown()
        os.close(home)


def who_answers(address: str) -> str:
    """The pod that answers one HTTP request to port 80 (the web workload says its name), or nothing."""
    connection = http.client.HTTPConnection(address, 80, timeout=2)
    try:
        with contextlib.closing(connection):
            connection.request("GET", "/")
            body = connection.getresponse().read().decode()
    except OSError:
        return ""
    return next((line.split()[1] for line in body.splitlines() if line.startswith("pod:")), "")


def wait_for(what: str, check: Callable[[], bool], seconds: float = 120, pause: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit(f"scripts/bench: {what}: not after {seconds:.0f} s")
        threading.Event().wait(pause)
