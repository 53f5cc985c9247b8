"""Rules of security contexts, of pods and of containers."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_ID_LIMIT = 2**31 - 1
_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")


def pod_context(spec: Obj, field: str) -> Iterator[Cause]:
    """The security context of the pod spec at `field`."""
    context, where = spec.get("securityContext") or {}, f"{field}.securityContext"
    yield from _identities(context, where)
    if context.get("fsGroup") is not None:
        yield from _identity(f"{where}.fsGroup", context["fsGroup"])
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _identity(f"{where}.supplementalGroups[{index}]", group)
    policy = context.get("fsGroupChangePolicy")
    if policy is not None and policy not in ("Always", "OnRootMismatch"):
        yield causes.unsupported(f"{where}.fsGroupChangePolicy", policy, ("Always", "OnRootMismatch"))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield causes.invalid(f"{field}.shareProcessNamespace", True, why)
    yield from causes.unique(
        (f"{where}.sysctls[{index}].name", sysctl.get("name"))
        for index, sysctl in enumerate(context.get("sysctls") or ())
    )


def container_context(context: Obj, field: str) -> Iterator[Cause]:
    """The security context of a container, which stands at `field`."""
    yield from _identities(context, field)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield causes.invalid(field, context, why)
        added = (context.get("capabilities") or {}).get("add") or ()
        if "CAP_SYS_ADMIN" in added:
            why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield causes.invalid(field, context, why)


def _identities(context: Obj, field: str) -> Iterator[Cause]:
    for name in ("runAsUser", "runAsGroup"):
        if context.get(name) is not None:
            yield from _identity(f"{field}.{name}", context[name])
    profile = context.get("seccompProfile")
    if profile is not None:
        kind = profile.get("type", "")
        yield from causes.one_of(f"{field}.seccompProfile.type", kind, _SECCOMP)
        if kind == "Localhost" and not profile.get("localhostProfile"):
            why = "must be set when seccomp type is Localhost"
            yield causes.required(f"{field}.seccompProfile.localhostProfile", why)


def _identity(field: str, number: int) -> Iterator[Cause]:
    if not 0 <= number <= _ID_LIMIT:
        yield causes.invalid(field, number, f"must be between 0 and {_ID_LIMIT}, inclusive")
