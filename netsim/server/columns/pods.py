"""Columns of pods: the status that `kubectl get pods` shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api.kinds import Obj
from netsim.api.objects import condition, is_pod_ready
from netsim.server.columns.base import AGE, NAME, NONE, Printer, age, name, since, text, wide


def _terminated(state: Obj) -> str:
    if state.get("reason"):
        return str(state["reason"])
    return f"Signal:{state['signal']}" if state.get("signal") else f"ExitCode:{state.get('exitCode', 0)}"


def _sidecars(pod: Obj) -> set[str]:
    """Names of the init containers that keep running beside the others (KEP-753)."""
    declared = (pod.get("spec") or {}).get("initContainers") or []
    return {c.get("name", "") for c in declared if c.get("restartPolicy") == "Always"}


def _init_status(pod: Obj) -> str | None:
    """`Init:…` while an init container stands in the way, else None."""
    declared = (pod.get("spec") or {}).get("initContainers") or []
    sidecars = _sidecars(pod)
    for index, status in enumerate((pod.get("status") or {}).get("initContainerStatuses") or ()):
        state = status.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if status.get("name") in sidecars and status.get("started"):
            continue
        if ended is not None:
            return f"Init:{_terminated(ended)}"
        if waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len(declared)}"
    return None


def _container_status(pod: Obj, status: str) -> str:
    running = False
    for container in reversed((pod.get("status") or {}).get("containerStatuses") or []):
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            status = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            status = _terminated(state["terminated"])
        elif container.get("ready") and state.get("running") is not None:
            running = True
    if status == "Completed" and running:
        return "Running" if is_pod_ready(pod) else "NotReady"
    return status


def pod_status(pod: Obj) -> str:
    """The Status column."""
    status = pod.get("status") or {}
    shown = str(status.get("reason") or status.get("phase") or "")
    scheduled = condition(pod, "PodScheduled")
    if scheduled and scheduled.get("status") == "False" and scheduled.get("reason") == "SchedulingGated":
        shown = "SchedulingGated"
    shown = _init_status(pod) or _container_status(pod, shown)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return shown


def restarts(pod: Obj, now: datetime) -> str:
    """The sum of restarts, with the age of the last one."""
    status = pod.get("status") or {}
    statuses = [*(status.get("containerStatuses") or ())]
    if _init_status(pod):
        statuses = [*(status.get("initContainerStatuses") or ())]
    total = sum(int(s.get("restartCount") or 0) for s in statuses)
    ends = [((s.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for s in statuses]
    last = max((end for end in ends if end), default=None)
    return f"{total} ({since(last, now)} ago)" if total and last else str(total)


def _gates(pod: Obj) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or []
    if not gates:
        return NONE
    met = [gate for gate in gates if (condition(pod, gate.get("conditionType", "")) or {}).get("status") == "True"]
    return f"{len(met)}/{len(gates)}"


def _ready(pod: Obj) -> str:
    """Containers that are ready, of all; sidecars count."""
    status, sidecars = pod.get("status") or {}, _sidecars(pod)
    statuses = [s for s in status.get("initContainerStatuses") or () if s.get("name") in sidecars]
    statuses += status.get("containerStatuses") or []
    ready = sum(1 for s in statuses if s.get("ready") and (s.get("state") or {}).get("running") is not None)
    return f"{ready}/{len(sidecars) + len((pod.get('spec') or {}).get('containers') or [])}"


def _pod(pod: Obj, now: datetime) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    ips = [entry.get("ip", "") for entry in status.get("podIPs") or ()]
    return [
        name(pod), _ready(pod), pod_status(pod), restarts(pod, now), age(pod, now),
        (ips[0] if ips else status.get("podIP")) or NONE, spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE, _gates(pod),
    ]  # fmt: skip


PRINTER = Printer(
    (
        NAME, text("Ready"), text("Status"), text("Restarts"), AGE, wide("IP"), wide("Node"), wide("Nominated Node"),
        wide("Readiness Gates"),
    ),
    _pod,
)  # fmt: skip
