"""Rules of security contexts, of pods and of containers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netsim.api import causes, validate_mounts
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_ID_LIMIT = 2**31 - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_USER_LIMIT = 104
_WINDOWS_DOMAIN = r'[^\\/:\*\?"<>|.][^\\/:\*\?"<>|]{0,14}|[a-zA-Z0-9.-]{1,255}'
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL_LIMIT = 253
_POLICIES = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
}


def pod_context(spec: Obj, field: str) -> Iterator[Cause]:
    """The security context of the pod spec at `field`."""
    context, where = spec.get("securityContext") or {}, f"{field}.securityContext"
    yield from _identities(context, where)
    if context.get("fsGroup") is not None:
        yield from _identity(f"{where}.fsGroup", context["fsGroup"])
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _identity(f"{where}.supplementalGroups[{index}]", group)
    for name, known in _POLICIES.items():
        if context.get(name) is not None and context[name] not in known:
            yield causes.unsupported(f"{where}.{name}", context[name], known)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield causes.invalid(f"{field}.shareProcessNamespace", True, why)
    yield from _sysctls(context.get("sysctls") or [], f"{where}.sysctls")


def _sysctls(found: list[Obj], field: str) -> Iterator[Cause]:
    for index, sysctl in enumerate(found):
        name = sysctl.get("name", "")
        if not name:
            yield causes.required(f"{field}[{index}].name")
        elif len(name) > _SYSCTL_LIMIT or not re.fullmatch(_SYSCTL, name):
            why = f"must have at most {_SYSCTL_LIMIT} characters and match regex ^{_SYSCTL}$"
            yield causes.invalid(f"{field}[{index}].name", name, why)
    yield from causes.unique((f"{field}[{at}].name", sysctl.get("name")) for at, sysctl in enumerate(found))


def container_context(context: Obj, field: str, *, host_users: bool) -> Iterator[Cause]:
    """The security context of a container, which stands at `field`; `host_users`: its pod is in the host's user
    namespace."""
    yield from _identities(context, field)
    mount = context.get("procMount")
    if mount is not None and mount not in ("Default", "Unmasked"):
        yield causes.unsupported(f"{field}.procMount", mount, ("Default", "Unmasked"))
    if mount == "Unmasked" and host_users:
        yield causes.invalid(f"{field}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
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
    if context.get("seccompProfile") is not None:
        yield from _seccomp(context["seccompProfile"], f"{field}.seccompProfile")
    if context.get("appArmorProfile") is not None:
        yield from _app_armor(context["appArmorProfile"], f"{field}.appArmorProfile")
    if context.get("windowsOptions") is not None:
        yield from _windows_options(context["windowsOptions"], f"{field}.windowsOptions")


def _seccomp(profile: Obj, field: str) -> Iterator[Cause]:
    kind, path, where = profile.get("type", ""), profile.get("localhostProfile"), f"{field}.localhostProfile"
    yield from causes.one_of(f"{field}.type", kind, _PROFILES)
    if kind != "Localhost" and path is not None:
        yield causes.invalid(where, profile, "can only be set when seccomp type is Localhost")
    elif kind == "Localhost" and path is None:
        yield causes.required(where, "must be set when seccomp type is Localhost")
    elif path is not None:
        yield from validate_mounts.descending_path(where, path)


def _app_armor(profile: Obj, field: str) -> Iterator[Cause]:
    kind, name, where = profile.get("type", ""), profile.get("localhostProfile"), f"{field}.localhostProfile"
    if not kind:
        yield causes.required(f"{field}.type", "type is required when appArmorProfile is set")
    elif kind not in _PROFILES:
        yield causes.unsupported(f"{field}.type", kind, _PROFILES)
    elif kind != "Localhost" and name is not None:
        yield causes.invalid(where, name, "can only be set when AppArmor type is Localhost")
    elif kind == "Localhost" and not name:
        yield causes.required(where, "must be set when AppArmor type is Localhost")
    elif name and name != name.strip():
        yield causes.invalid(where, name, "must not be padded with whitespace")


def _windows_options(options: Obj, field: str) -> Iterator[Cause]:
    name, spec, user = (options.get(key) for key in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName"))
    if name is not None:
        yield from causes.dns_subdomain(f"{field}.gmsaCredentialSpecName", name)
    if spec == "":
        yield causes.invalid(f"{field}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string")
    if user is not None:
        for why in _windows_user(user):
            yield causes.invalid(f"{field}.runAsUserName", user, why)


def _windows_user(name: str) -> Iterator[str]:
    """What is wrong with a Windows user's name: [DOMAIN\\]USER."""
    domain, slash, user = name.rpartition("\\")
    if not name:
        yield "runAsUserName cannot be an empty string"
    elif re.search("[\x00-\x1f\x7f]", name):
        yield "runAsUserName cannot contain control characters"
    elif "\\" in domain:
        yield "runAsUserName cannot contain more than one backslash"
    else:
        if slash and not re.fullmatch(_WINDOWS_DOMAIN, domain):
            yield "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
        if not user:
            yield "runAsUserName's User cannot be empty"
        elif len(user) > _USER_LIMIT:
            yield f"runAsUserName's User length must not be longer than {_USER_LIMIT} characters"
        if user and not user.strip(" ."):
            yield "runAsUserName's User cannot contain only periods or spaces"
        if re.search(r'["/:;|=,+*?<>@\[\]]', user):
            yield "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"


def _identity(field: str, number: int) -> Iterator[Cause]:
    if not 0 <= number <= _ID_LIMIT:
        yield causes.invalid(field, number, f"must be between 0 and {_ID_LIMIT}, inclusive")
