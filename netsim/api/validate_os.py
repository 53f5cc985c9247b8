"""Rules of pods that say for which operating system they are (KEP-2802), and of Windows' host processes."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.pod_defaults import containers_with_paths

_SYSTEMS = ("linux", "windows")
_LINUX_POD = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
_LINUX_CONTEXT = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_LINUX_CONTAINER = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip
_ON_SWITCHES = ("hostPID", "hostIPC")


def system(spec: Obj, field: str) -> Iterator[Cause]:
    """The pod spec at `field` fits the system it names."""
    yield from _host_processes(spec, field)
    if spec.get("os") is None:
        return
    name = spec["os"].get("name", "")
    if not name:
        yield causes.required(f"{field}.os.name")
    elif name not in _SYSTEMS:
        yield causes.unsupported(f"{field}.os", name, _SYSTEMS)
    else:
        yield from _linux(spec, field) if name == "linux" else _windows(spec, field)


def _contexts(spec: Obj, field: str) -> Iterator[tuple[str, Obj]]:
    """The security contexts of the containers, and where they are."""
    for where, container in containers_with_paths(spec, field):
        yield f"{where}.securityContext", container.get("securityContext") or {}


def _linux(spec: Obj, field: str) -> Iterator[Cause]:
    pod = (f"{field}.securityContext", spec.get("securityContext") or {})
    for where, context in (pod, *_contexts(spec, field)):
        if "windowsOptions" in context:
            yield causes.forbidden(f"{where}.windowsOptions", "windows options cannot be set for a linux pod")


def _windows(spec: Obj, field: str) -> Iterator[Cause]:
    why, context = "cannot be set for a windows pod", spec.get("securityContext") or {}
    if spec.get("resources") is not None:
        yield causes.forbidden(f"{field}.resources", "may not be set for a windows pod")
    for name in _LINUX_POD:
        if spec.get(name) if name in _ON_SWITCHES else name in spec:
            yield causes.forbidden(f"{field}.{name}", why)
    for name in _LINUX_CONTEXT:
        if name in context:
            yield causes.forbidden(f"{field}.securityContext.{name}", why)
    for where, own in _contexts(spec, field):
        for name in _LINUX_CONTAINER:
            if name in own:
                yield causes.forbidden(f"{where}.{name}", why)


def _host_processes(spec: Obj, field: str) -> Iterator[Cause]:
    """All containers of a pod are processes of a Windows host, or none is."""
    of_pod = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    chosen = []
    for where, context in _contexts(spec, field):
        own = (context.get("windowsOptions") or {}).get("hostProcess")
        if None not in (of_pod, own) and own != of_pod:
            why = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            yield causes.invalid(f"{where}.windowsOptions.hostProcess", own, why)
        chosen.append(bool(of_pod if own is None else own))
    if any(chosen):
        if not all(chosen):
            why = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
            yield causes.invalid(field, "", why)
        if not spec.get("hostNetwork"):
            why = "hostNetwork must be true if pod contains any hostProcess containers"
            yield causes.invalid(f"{field}.hostNetwork", False, why)
