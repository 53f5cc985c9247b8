"""The servers that `scripts/bench api` measures, each on CPU 0: how they are started, watched and ended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from load import Build, Target, pss, rate, request

from lab import wait_for

M = TypeVar("M", bound="Measured")

_ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Measured:
    """A server's process. `target` is where it is asked."""

    target: Target
    _probe = request("GET", "/readyz")

    def __init__(self, *command: str) -> None:
        self._command = ("taskset", "-c", "0", *command)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds until it answers."""
        start = time.perf_counter()
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._command[3], self._ready)
        return time.perf_counter() - start

    def _ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise SystemExit(f"scripts/bench: {' '.join(self._command)} ended")
        try:
            connection = self.target.connect()
            status, _ = connection.ask(self._probe)
            connection.close()
        except (OSError, SystemExit):
            return False
        return status == 200

    def pids(self) -> list[int]:
        return [self._process.pid] if self._process is not None else []

    def cpu(self) -> float:
        """Seconds of CPU time that the server has used."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()]
        return sum(int(ticks) for fields in stats for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")

    def rates(self, build: Build, connections: int, count: int, rounds: int = 1) -> tuple[float, float]:
        """(requests a second, requests a second of the server's CPU time), medians of some rounds."""
        found = []
        for _ in range(rounds):
            before = self.cpu()
            found.append((rate(self.target, build, connections, count), count / (self.cpu() - before)))
        return statistics.median(r for r, _ in found), statistics.median(c for _, c in found)

    def memory(self) -> float:
        """MiB."""
        return sum(map(pss, self.pids()))

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:  # kube-apiserver waits longer for what it was asked
                self._process.kill()
                self._process.wait(20)
            self._process = None


class Etcd(Measured):
    """Debian's etcd, with its data in a directory beside netsim's."""

    _probe = request("POST", "/v3/kv/range", b'{"key":"AA=="}')

    def __init__(self, directory: str) -> None:
        port = free_port()
        self.url, peer = f"http://127.0.0.1:{port}", "http://127.0.0.1:0"
        self.target = Target(port)
        super().__init__(
            "etcd", "--name", "bench", "--data-dir", directory, "--listen-client-urls", self.url,
            "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"bench={peer}",
        )  # fmt: skip


class KubeApiserver(Measured):
    """kube-apiserver with an etcd, whose memory and CPU time are counted with its own. It takes the keys that
    `netsim server` made for a lab, so that the same clients are let in."""

    def __init__(self, lab: str, directory: str, etcd: Etcd) -> None:
        pki, port = f"/var/lib/netsim/{lab}/pki", free_port()
        certificate, key = f"{pki}/server.crt", f"{pki}/server.key"
        self._etcd = etcd
        self.target = Target.of_kubeconfig(f"/var/lib/netsim/{lab}/admin.conf", port)
        super().__init__(
            "kube-apiserver", "--etcd-servers", etcd.url, "--bind-address", "127.0.0.1", "--secure-port", str(port),
            "--tls-cert-file", certificate, "--tls-private-key-file", key,
            "--client-ca-file", f"{pki}/ca.crt", "--cert-dir", directory, "--authorization-mode", "Node,RBAC",
            "--service-account-issuer", "https://kubernetes.default.svc", "--endpoint-reconciler-type", "none",
            "--service-account-key-file", certificate, "--service-account-signing-key-file", key,
            "--service-cluster-ip-range", "10.96.0.0/16",
        )  # fmt: skip

    def pids(self) -> list[int]:
        return [*super().pids(), *self._etcd.pids()]

    def start(self) -> float:
        """Also makes the account of the pods, which kube-controller-manager would."""
        seconds = super().start()
        wait_for("the namespace default", self._give_account)
        return seconds

    def _give_account(self) -> bool:
        connection = self.target.connect()
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        status, _ = connection.ask(request("POST", _ACCOUNTS, json.dumps(account).encode()))
        connection.close()
        return status == 201


def has_kube_apiserver() -> bool:
    return all(shutil.which(name) for name in ("kube-apiserver", "etcd"))


@contextmanager
def running_etcd() -> Iterator[Etcd]:
    with _directory() as directory:
        etcd = Etcd(directory)
        yield from _running(etcd)


@contextmanager
def running_kube_apiserver(lab: str, etcd: Etcd) -> Iterator[KubeApiserver]:
    with _directory() as directory:
        yield from _running(KubeApiserver(lab, directory, etcd))


def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="netsim-bench-", dir="/var/lib")


def _running(server: M) -> Iterator[M]:
    try:
        server.start()
        yield server
    finally:
        server.stop()
