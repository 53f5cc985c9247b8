"""What is known of a pod whose record is gone with a boot of the machine: its status in the API. Pure."""

from __future__ import annotations

from netsim.agent import podspec
from netsim.agent.container_status import SCHEME
from netsim.agent.images.stored import full_name
from netsim.agent.model import Container, Exit, Obj, PodState
from netsim.api.times import parse_time

UNKNOWN = 255
"""The exit code that containerd gives a container whose end nobody saw."""


def restore_state(pod: Obj, now: float) -> PodState | None:
    """The state of a pod that ran here before a boot, None for one that has not run or has ended.

    Its containers have ended, so that their restarts are counted on, and init containers run once more.
    """
    status = pod.get("status") or {}
    if status.get("phase") not in ("Running", "Pending"):
        return None
    found = {s["name"]: s for s in status.get("containerStatuses") or () if s.get("containerID")}
    specs = [c for c in podspec.containers(pod) if c["name"] in found]
    if not specs:
        return None
    meta = pod["metadata"]
    state = PodState(meta["uid"], meta["namespace"], meta["name"], _seconds(status.get("startTime"), now))
    state.containers = {spec["name"]: _ended(spec, found[spec["name"]], now) for spec in specs}
    return state


def _ended(spec: Obj, status: Obj, now: float) -> Container:
    ident = str(status["containerID"]).removeprefix(SCHEME)
    last = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
    started = _seconds(((status.get("state") or {}).get("running") or {}).get("startedAt"), now)
    end = Exit(UNKNOWN, "Unknown", started, now, ident)
    if last and not (status.get("state") or {}).get("running"):
        begun, ended = _seconds(last.get("startedAt"), now), _seconds(last.get("finishedAt"), now)
        end = Exit(int(last["exitCode"]), str(last.get("reason") or ""), begun, ended, ident, last.get("message") or "")
    attempt = int(status.get("restartCount") or 0)
    image = spec["image"] if full_name(spec["image"]) == status["image"] else status["image"]
    return Container(spec["name"], ident, image, attempt, "process", end.started_at, status["imageID"], end)


def _seconds(text: str | None, otherwise: float) -> float:
    return parse_time(text).timestamp() if text else otherwise
