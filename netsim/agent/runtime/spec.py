"""The OCI runtime configuration (config.json, runtime-spec 1.0.2) of a container. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from netsim.agent.model import Obj
from netsim.agent.runtime.capabilities import choose_capabilities
from netsim.agent.runtime.users import User
from netsim.api.quantity import parse_quantity

CPU_PERIOD = 100_000
HOST = "host"
"""A process namespace that is the node's own."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True)
class Bind:
    """A bind mount into the container; without `programs` nothing in it can be run."""

    source: str
    target: str
    read_only: bool = True
    programs: bool = True


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """Everything about one real-process container that its config.json is made of.

    Namespace paths that are "" mean the node's own, an empty `pid` the container's own. `security` is the pod's
    securityContext with the container's over it, `capabilities` what this node can give. `shm` is the directory that
    the pod's containers share as /dev/shm, "" for one of the container's own; `devices` are those of `machine_devices`
    and `seccomp` is a profile, for a container that has them.
    """

    args: Sequence[str]
    env: dict[str, str]
    root: str
    hostname: str
    cgroup: str
    netns: str = ""
    ipc: str = ""
    uts: str = ""
    pid: str = ""
    cwd: str = "/"
    tty: bool = False
    binds: Sequence[Bind] = ()
    container: Obj = field(default_factory=dict)
    security: Obj = field(default_factory=dict)
    capabilities: frozenset[str] = frozenset()
    user: User = field(default_factory=User)
    sysctls: dict[str, str] = field(default_factory=dict)
    shm: str = ""
    oom_score: int = 0
    devices: Sequence[Obj] = ()
    seccomp: Obj = field(default_factory=dict)


def oci_config(spec: ProcessSpec) -> Obj:
    """config.json of a container."""
    security = spec.security
    hidden = {} if security.get("privileged") else {"maskedPaths": list(MASKED), "readonlyPaths": list(READ_ONLY)}
    return {
        "ociVersion": "1.0.2",
        "process": process_config(spec),
        "root": {"path": spec.root, "readonly": bool(security.get("readOnlyRootFilesystem"))},
        "mounts": _mounts(spec),
        "linux": {
            "resources": linux_resources(
                spec.container.get("resources") or {}, privileged=bool(security.get("privileged"))
            ),
            "cgroupsPath": "/" + spec.cgroup,
            "namespaces": _namespaces(spec),
            "sysctl": spec.sysctls,
            **hidden,
            **({"devices": list(spec.devices)} if spec.devices else {}),
            **({"seccomp": spec.seccomp} if spec.seccomp else {}),
        },
    }


def process_config(spec: ProcessSpec) -> Obj:
    """The `process` part: user, arguments, environment, capabilities."""
    security = spec.security
    profile = security.get("appArmorProfile") or {}
    capabilities = sorted(choose_capabilities(security) & spec.capabilities)
    root = spec.user.uid == 0
    user: Obj = {"uid": spec.user.uid, "gid": spec.user.gid}
    sets: dict[str, list[str]] = {"bounding": capabilities, "inheritable": []}
    sets |= {"effective": capabilities if root else [], "permitted": capabilities if root else []}
    return {
        "terminal": spec.tty,
        "user": {**user, "additionalGids": list(spec.user.groups)} if spec.user.groups else user,
        "args": list(spec.args),
        "env": [f"{k}={v}" for k, v in spec.env.items()],
        "cwd": spec.cwd,
        "capabilities": sets,
        "noNewPrivileges": security.get("allowPrivilegeEscalation") is False,
        "oomScoreAdj": spec.oom_score,
        **({"apparmorProfile": profile["localhostProfile"]} if profile.get("type") == "Localhost" else {}),
    }


def _namespaces(spec: ProcessSpec) -> list[Obj]:
    shared = [("network", spec.netns), ("ipc", spec.ipc), ("uts", spec.uts)]
    pid = [{"type": "pid", "path": spec.pid} if spec.pid else {"type": "pid"}] if spec.pid != HOST else []
    return [*pid, {"type": "mount"}, *({"type": k, "path": p} for k, p in shared if p)]


def _mounts(spec: ProcessSpec) -> list[Obj]:
    write = "rw" if spec.security.get("privileged") else "ro"
    fixed: list[tuple[str, str, list[str]]] = [
        ("/proc", "proc", []),
        ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
        ("/sys", "sysfs", ["nosuid", "noexec", "nodev", write]),
        ("/sys/fs/cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", write]),
    ]
    if not spec.shm:
        fixed.append(("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]))
    mounts: list[Obj] = [{"destination": d, "type": t, "source": t, "options": o} for d, t, o in fixed]
    # Parents first, so that a mount inside another is not covered by it.
    shared = [Bind(spec.shm, "/dev/shm", read_only=False)] if spec.shm else []
    for bind in sorted([*shared, *spec.binds], key=lambda b: b.target.rstrip("/").count("/")):
        options = ["rbind", "rprivate", "ro" if bind.read_only else "rw", *["noexec"] * (not bind.programs)]
        mounts.append({"destination": bind.target, "type": "bind", "source": bind.source, "options": options})
    return mounts


def linux_resources(resources: Obj, *, privileged: bool) -> Obj:
    """The runtime-spec's `linux.resources` of a container's requests and limits."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    found: Obj = {"devices": [{"allow": privileged, "access": "rwm"}]}
    cpu: dict[str, Any] = {}
    share = requests.get("cpu", limits.get("cpu"))
    if share is not None:
        cpu["shares"] = max(2, int(parse_quantity(share) * 1024))
    if limits.get("cpu") is not None:
        cpu |= {"quota": max(1000, int(parse_quantity(limits["cpu"]) * CPU_PERIOD)), "period": CPU_PERIOD}
    if cpu:
        found["cpu"] = cpu
    if limits.get("memory") is not None:
        found["memory"] = {"limit": int(parse_quantity(limits["memory"]))}
    return found
