"""The Node object of this agent: what it says (pure), its registration, lease and status."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from netsim.agent.config import VERSION, AgentConfig
from netsim.agent.images.oci import machine_architecture
from netsim.agent.model import Obj
from netsim.agent.podspec import newest
from netsim.api.errors import StatusError
from netsim.api.kinds import LEASES, NODES
from netsim.api.times import format_micro_time, format_time
from netsim.client.rest import Client

log = logging.getLogger(__name__)
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
REPORT_SECONDS = 300.0
RETRY_SECONDS = 0.2
EPHEMERAL_STORAGE = "ephemeral-storage"
HEALTHY = {
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine is, read once."""

    cpus: int
    memory_kib: int
    kernel: str
    os_image: str
    architecture: str
    machine_id: str
    boot_id: str
    storage_kib: int = 0

    @property
    def capacity(self) -> dict[str, Fraction]:
        """cpu in cores, memory and ephemeral-storage in bytes, for the downward API."""
        sizes = {"memory": self.memory_kib, EPHEMERAL_STORAGE: self.storage_kib}
        return {"cpu": Fraction(self.cpus), **{name: Fraction(kib * 1024) for name, kib in sizes.items()}}


def read_machine(state_dir: str) -> Machine:
    """Facts of this machine from /proc, /etc, uname and the file system that `state_dir` is on."""
    memory = next(line for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal:"))
    release = dict(line.split("=", 1) for line in _read("/etc/os-release").splitlines() if "=" in line)
    return Machine(
        len(os.sched_getaffinity(0)),
        int(memory.split()[1]),
        platform.release(),
        release.get("PRETTY_NAME", "Linux").strip('"'),
        machine_architecture(),
        _read("/etc/machine-id").strip(),
        _read("/proc/sys/kernel/random/boot_id").strip(),
        _storage_kib(state_dir),
    )


def _storage_kib(directory: str) -> int:
    """The size of the file system a directory is on, or will be on when it is made."""
    present = Path(directory).absolute()
    while not present.exists():
        present = present.parent
    found = os.statvfs(present)
    return found.f_blocks * found.f_frsize // 1024


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def render_node(config: AgentConfig, machine: Machine) -> Obj:
    """The Node as it is registered, without status."""
    labels = {
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
        **config.labels,
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": config.node_name, "labels": labels}, "spec": {}}


def render_status(config: AgentConfig, machine: Machine, old: Obj, network: str, now: datetime) -> Obj:
    """NodeStatus; `network` is "" or what is missing for pods to be connected. Transition times are kept from `old`."""
    resources = {
        "cpu": str(machine.cpus), EPHEMERAL_STORAGE: f"{machine.storage_kib}Ki", "memory": f"{machine.memory_kib}Ki",
        "pods": str(config.max_pods),
    }  # fmt: skip
    return {
        "addresses": [
            *({"type": "InternalIP", "address": ip} for ip in config.node_ips),
            {"type": "Hostname", "address": config.node_name},
        ],
        "capacity": resources,
        "allocatable": resources,
        "conditions": _conditions(old.get("conditions") or [], network, format_time(now)),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.kubelet_port}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.machine_id,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": "netsim://" + VERSION.partition("+")[0].removeprefix("v"),
            "kubeletVersion": VERSION,
            "kubeProxyVersion": VERSION,
            "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
    }


def _conditions(old: list[Obj], network: str, now: str) -> list[Obj]:
    wanted = dict(HEALTHY)
    wanted["Ready"] = (
        ("False", "KubeletNotReady", f"container runtime network not ready: {network}")
        if network
        else ("True", "KubeletReady", "kubelet is posting ready status")
    )
    before = {c["type"]: c for c in old}
    made = []
    for kind, (status, reason, message) in wanted.items():
        prior = before.get(kind)
        since = prior["lastTransitionTime"] if prior is not None and prior["status"] == status else now
        made.append(
            {"type": kind, "status": status, "reason": reason, "message": message}
            | {"lastHeartbeatTime": now, "lastTransitionTime": since}
        )
    return made + [c for c in old if c["type"] not in wanted]


def shows(have: Obj, want: Obj) -> bool:
    """Whether a Node's status says all that is wanted, whatever the heartbeats; what others put there is no matter."""
    have, want = _still(have), _still(want)
    return all(have.get(key) == value for key, value in want.items())


def _still(status: Obj) -> Obj:
    conditions = [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in status.get("conditions") or []]
    return {**status, "conditions": conditions}


class NodeKeeper:
    """Registers the node and keeps its lease and status fresh.

    `network` says what the network lacks, or ""; `watched` gives the API's Node, None while it is not known; `images`
    are those of status.images. The status is compared with that Node, not with what was sent: the node controller
    writes into it when the agent was silent.
    """

    def __init__(
        self,
        config: AgentConfig,
        client: Client,
        machine: Machine,
        network: Callable[[], str],
        watched: Callable[[], Obj | None],
        images: Callable[[], list[Obj]] = list,
    ) -> None:
        self.config, self.client, self.machine, self.network, self.watched = config, client, machine, network, watched
        self.images = images
        self.changed = asyncio.Event()
        self._answer: Obj = {}
        self._sent_at = float("-inf")

    async def register(self) -> Obj:
        """Create the Node, or put our labels on the one that is there; tries until the API answers."""
        while True:
            try:
                self._answer = await self._register()
                return self._answer
            except (OSError, StatusError) as error:
                log.warning("register node %s: %s", self.config.node_name, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _register(self) -> Obj:
        wanted = render_node(self.config, self.machine)
        wanted["status"] = render_status(self.config, self.machine, {}, self.network(), datetime.now(UTC))
        try:
            return await self.client.create(NODES, wanted)
        except StatusError as error:
            if error.code != 409:
                raise
        labels = {"metadata": {"labels": wanted["metadata"]["labels"]}}
        return await self.client.patch(NODES, self.config.node_name, labels)

    async def run(self) -> None:
        """Renew the lease every 10 s; write the status when it changed, at the latest after 5 minutes."""
        while True:
            self.changed.clear()
            try:
                await self._report()
                await self._renew()
            except (OSError, StatusError) as error:
                log.warning("node %s: %s", self.config.node_name, error)
                # A deleted Node is not made again until the agent starts again, as with a kubelet.
                gone = isinstance(error, StatusError) and error.code == 404
                await asyncio.sleep(RENEW_SECONDS if gone else RETRY_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):  # nothing has changed, and the lease is due
                async with asyncio.timeout(RENEW_SECONDS):
                    await self.changed.wait()

    async def _report(self) -> None:
        clock = asyncio.get_running_loop().time()
        status = self.due(clock)
        if status is None:
            return
        self._answer = await self.client.patch(NODES, self.config.node_name, {"status": status}, sub="status")
        self._sent_at = clock

    def due(self, clock: float) -> Obj | None:
        """The status to write at `clock` (the loop's seconds), None when the API's Node shows it already."""
        old = newest(self.watched(), self._answer).get("status") or {}
        status = render_status(self.config, self.machine, old, self.network(), datetime.now(UTC))
        status["images"] = self.images()
        return None if shows(old, status) and clock - self._sent_at < REPORT_SECONDS else status

    async def _renew(self) -> None:
        name, now = self.config.node_name, format_micro_time(datetime.now(UTC))
        try:
            await self.client.patch(LEASES, name, {"spec": {"renewTime": now}}, LEASE_NAMESPACE)
        except StatusError as error:
            if error.code != 404:
                raise
            spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
            metadata = {"name": name, "namespace": LEASE_NAMESPACE}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            await self.client.create(LEASES, lease, LEASE_NAMESPACE)
