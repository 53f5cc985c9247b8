"""Eviction of pods that hold more on disk than they may: emptyDir sizeLimit, ephemeral-storage limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from netsim.agent import podspec
from netsim.agent.model import Container, Obj
from netsim.agent.plan import EndPod
from netsim.agent.runtime.storage_usage import disk_usage
from netsim.api.quantity import parse_quantity

if TYPE_CHECKING:
    from netsim.agent.agent import Agent
    from netsim.agent.runtime.storage import Storage

log = logging.getLogger(__name__)
CHECK_SECONDS = 10.0
"""kubelet's housekeeping interval for local storage."""
EPHEMERAL = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes on disk: of emptyDirs by volume, and of containers' roots by container (logs with them)."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, int] = field(default_factory=dict)


def is_limited(pod: Obj) -> bool:
    """Whether there is anything to watch."""
    return bool(volume_limits(pod) or container_limits(pod))


def volume_limits(pod: Obj) -> dict[str, str]:
    """sizeLimit by emptyDir volume."""
    volumes = ((v["name"], v.get("emptyDir") or {}) for v in pod["spec"].get("volumes") or ())
    return {name: str(source["sizeLimit"]) for name, source in volumes if source.get("sizeLimit")}


def container_limits(pod: Obj) -> dict[str, str]:
    """limits[ephemeral-storage] by container."""
    limits = ((c["name"], (c.get("resources") or {}).get("limits") or {}) for c in podspec.containers(pod))
    return {name: str(found[EPHEMERAL]) for name, found in limits if found.get(EPHEMERAL)}


def judge(pod: Obj, usage: Usage) -> str:
    """Why a pod is evicted, in kubelet's words and order; "" when it is within its limits (pure)."""
    for name, limit in volume_limits(pod).items():
        if usage.volumes.get(name, 0) > parse_quantity(limit) > 0:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    limits = container_limits(pod)
    total = sum((parse_quantity(limit) for limit in limits.values()), Fraction(0))
    in_memory = {v["name"] for v in pod["spec"].get("volumes") or () if (v.get("emptyDir") or {}).get("medium")}
    whole = sum(usage.containers.values()) + sum(n for name, n in usage.volumes.items() if name not in in_memory)
    if len(limits) == len(podspec.containers(pod)) and whole > total:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {_shown(total, limits)}. "
    for name, limit in limits.items():
        if usage.containers.get(name, 0) > parse_quantity(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def _shown(total: Fraction, limits: Mapping[str, str]) -> str:
    values = list(limits.values())
    return values[0] if len(values) == 1 else str(int(total))


def measure(storage: Storage, pod: Obj, containers: Collection[Container]) -> Usage:
    """What the pod with these containers holds now. Blocks."""
    uid, volumes = podspec.uid(pod), pod["spec"].get("volumes") or []
    media = {v["name"]: (v["emptyDir"] or {}).get("medium") or "" for v in volumes if "emptyDir" in v}
    on_disk = {name: disk_usage(storage.empty_dir(uid, name, medium)) for name, medium in media.items()}
    roots = {
        c.name: disk_usage(f"{storage.writable(c.id)}/upper") + disk_usage(f"{storage.pod_dir(uid)}/logs/{c.name}")
        for c in containers
    }
    return Usage(on_disk, roots)


async def watch_storage(agent: Agent) -> None:
    """Evict what is over its limits, for ever."""
    engine = agent.context.engine
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        for worker in list(agent.workers.values()):
            pod, state = worker.pod, worker.state
            if pod is None or state is None or state.ended or podspec.is_deleted(pod) or not is_limited(pod):
                continue
            containers = list(state.containers.values())  # others may start while these are measured
            try:
                why = judge(pod, await engine.call(measure, engine.storage, pod, containers))
            except OSError as error:
                log.warning("the storage of pod %s cannot be measured: %s", podspec.full_name(pod), error)
                continue
            if why and worker.state is state and not state.ended:
                log.warning("pod %s is evicted: %s", podspec.full_name(pod), why)
                await worker.actions.perform(EndPod("Failed", "Evicted", why))
                worker.wake()
