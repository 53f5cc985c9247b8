"""The agent's runtime state of a pod: what `plan` and `status` decide from, and what survives an agent restart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

Obj = dict[str, Any]
Kind = Literal["workload", "process"]
RESIZE = "/resize"
"""What no container is called."""


@dataclass(slots=True)
class Exit:
    """How an attempt of a container ended; times are seconds since the epoch. It is `lost` when its end is the
    runtime's doing, of which the container itself knows nothing."""

    code: int
    reason: str
    started_at: float
    finished_at: float
    container_id: str
    message: str = ""
    lost: bool = False


@dataclass(slots=True)
class Container:
    """The newest attempt of one container. `exit` is None while it runs; `previous` is the attempt before it.

    `backoff` (seconds) and `backoff_at` are the crash back-off in force and when it was last raised. `ready` and
    `started` are the probes' verdicts; `unhealthy` names a failed liveness or startup probe, which asks for a kill.
    `stop_signal` is what the image or the pod wants in the place of SIGTERM; `resources` are those it runs with, None
    where an older agent has started it. `resizing` is one that is ended only to be started with other resources.
    """

    name: str
    id: str
    image: str
    attempt: int
    kind: Kind
    started_at: float
    image_id: str = ""
    exit: Exit | None = None
    previous: Exit | None = None
    backoff: float = 0.0
    backoff_at: float = 0.0
    ready: bool = False
    started: bool = False
    unhealthy: str = ""
    helper: bool = False
    stop_signal: str = ""
    resources: Obj | None = None
    resizing: bool = False

    @property
    def running(self) -> bool:
        return self.exit is None


@dataclass(slots=True)
class Sandbox:
    """A pod's network namespace and addresses."""

    netns: str
    ips: list[str]
    created_at: float
    host_network: bool = False


@dataclass(slots=True)
class Failure:
    """Something that is tried again at `retry_at` (epoch seconds), after `delay` seconds of back-off."""

    reason: str
    message: str
    delay: float
    retry_at: float
    image: str = ""
    at: float = 0.0


@dataclass(slots=True)
class PodState:
    """All that is known of a pod on this node. `failures` is by container name, "" for the sandbox,
    RESIZE for a resize that was tried.

    `ended` is the phase (Succeeded, Failed) a pod has reached for good; `ips` outlives the sandbox for the status.
    `pending_resize` is the reason and the message of a resize for which the node has no room, None without one.
    """

    uid: str
    namespace: str
    name: str
    created_at: float
    sandbox: Sandbox | None = None
    containers: dict[str, Container] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    ips: list[str] = field(default_factory=list)
    ended: str = ""
    ended_reason: str = ""
    ended_message: str = ""
    pending_resize: Obj | None = None

    @property
    def running(self) -> list[Container]:
        return [c for c in self.containers.values() if c.running]


def dump_state(state: PodState) -> bytes:
    """The record of a pod as JSON; `load_state` reads it back."""
    # Several times as quick as dataclasses.asdict, for every step of every pod.
    return orjson.dumps(state)


def load_state(record: bytes) -> PodState:
    """The inverse of `dump_state`; raises ValueError, KeyError or TypeError on a record of another shape."""
    raw = dict(orjson.loads(record))
    raw["sandbox"] = _load_sandbox(raw["sandbox"]) if raw["sandbox"] else None
    raw["containers"] = {name: _load_container(c) for name, c in raw["containers"].items()}
    raw["failures"] = {name: Failure(**f) for name, f in raw["failures"].items()}
    return PodState(**raw)


def _load_sandbox(record: Obj) -> Sandbox:
    return Sandbox(**{key: value for key, value in record.items() if key not in ("ipc", "uts")})  # an older agent's


def _load_container(record: Obj) -> Container:
    raw = dict(record)
    for key in ("exit", "previous"):
        raw[key] = Exit(**raw[key]) if raw[key] else None
    return Container(**raw)
