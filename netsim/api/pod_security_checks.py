"""The checks of the Pod Security Standards (KEP-2579, pure): a function for each, from a pod's metadata and spec to the
detail of what it may not have, in Kubernetes' words, or "".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from netsim.api.kinds import Obj
from netsim.api.pod_defaults import containers

_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
_SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
_VOLUMES = frozenset(
    (
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    )
)  # fmt: skip
_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
    )
)  # fmt: skip
_PROFILES = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _counted(noun: str, names: Iterable[str]) -> str:
    """'container "a"', or 'containers "a", "b"'."""
    listed = list(names)
    return f"{noun}{'s' * (len(listed) != 1)} {quoted(listed)}"


def _context(holder: Obj) -> Obj:
    return holder.get("securityContext") or {}


def _guilty(spec: Obj, test: Callable[[Obj], object]) -> list[str]:
    """The names of the containers whose security context does not pass."""
    return [container.get("name", "") for container in containers(spec) if test(_context(container))]


def _setters(spec: Obj, test: Callable[[Obj], object], annotated: bool = False) -> str:
    """Who has set what the test finds: 'pod', 'container "a"', or both; "" for nobody."""
    found = ["pod"] * bool(test(_context(spec)))
    names = _guilty(spec, test)
    found += [_counted("container", names)] * bool(names)
    return " and ".join(found + ["annotation"] * annotated)


def _on_windows(spec: Obj) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def apparmor(metadata: Obj, spec: Obj) -> str:
    def kind(context: Obj) -> str:
        found = str((context.get("appArmorProfile") or {}).get("type", ""))
        return "" if found in _PROFILES else found

    annotations = metadata.get("annotations") or {}
    told = [f'{key}="{value}"' for key, value in annotations.items() if key.startswith(_APPARMOR) and _unsafe(value)]
    kinds = {kind(context) for context in (_context(spec), *map(_context, containers(spec)))} - {""}
    names = sorted([*kinds, *told])
    return f"{_setters(spec, kind, bool(told))} must not set AppArmor profile type to {quoted(names)}" if names else ""


def _unsafe(profile: str) -> bool:
    return profile not in ("", "runtime/default") and not profile.startswith("localhost/")


def _added(context: Obj, allowed: frozenset[str]) -> list[str]:
    return [name for name in (context.get("capabilities") or {}).get("add") or () if name not in allowed]


def _forbidden_capabilities(spec: Obj, allowed: frozenset[str]) -> str:
    names = _guilty(spec, lambda context: _added(context, allowed))
    added = {name for container in containers(spec) for name in _added(_context(container), allowed)}
    who = _counted("container", names)
    return f"{who} must not include {quoted(sorted(added))} in securityContext.capabilities.add" if added else ""


def capabilities(_: Obj, spec: Obj) -> str:
    return _forbidden_capabilities(spec, _CAPABILITIES)


def all_capabilities(_: Obj, spec: Obj) -> str:
    if _on_windows(spec):
        return ""
    kept = _guilty(spec, lambda context: "ALL" not in ((context.get("capabilities") or {}).get("drop") or ()))
    must = f'{_counted("container", kept)} must set securityContext.capabilities.drop=["ALL"]' if kept else ""
    return "; ".join(filter(None, (must, _forbidden_capabilities(spec, frozenset(("NET_BIND_SERVICE",))))))


def host_namespaces(_: Obj, spec: Obj) -> str:
    return ", ".join(f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))


def host_paths(_: Obj, spec: Obj) -> str:
    names = [volume.get("name", "") for volume in spec.get("volumes") or () if "hostPath" in volume]
    return _counted("volume", names) if names else ""


def _used(spec: Obj, values: Callable[[Obj], Iterable[str]]) -> tuple[str, list[str]]:
    """'container "a" uses', and what is used in order; or ("", []) where no container uses anything."""
    used = {container.get("name", ""): set(values(container)) for container in containers(spec)}
    names = [name for name, found in used.items() if found]
    verb = "uses" if len(names) == 1 else "use"
    return f"{_counted('container', names)} {verb}" if names else "", sorted(set[str]().union(*used.values()))


def host_ports(_: Obj, spec: Obj) -> str:
    who, ports = _used(spec, lambda c: [str(port["hostPort"]) for port in c.get("ports") or () if port.get("hostPort")])
    return f"{who} hostPort{'s' * (len(ports) != 1)} {', '.join(ports)}" if ports else ""


def _hosts(container: Obj) -> Iterator[str]:
    handlers = [container.get(probe) for probe in _PROBES]
    handlers += [(container.get("lifecycle") or {}).get(hook) for hook in ("postStart", "preStop")]
    for handler in handlers:
        for action in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(action) or {}).get("host")
            if host:
                yield host


def probe_hosts(_: Obj, spec: Obj) -> str:
    who, hosts = _used(spec, _hosts)
    return f"{who} probe or lifecycle {_counted('host', hosts)}" if hosts else ""


def privileged(_: Obj, spec: Obj) -> str:
    names = _guilty(spec, lambda context: context.get("privileged"))
    return f"{_counted('container', names)} must not set securityContext.privileged=true" if names else ""


def proc_mount(_: Obj, spec: Obj) -> str:
    names = _guilty(spec, lambda context: context.get("procMount", "Default") != "Default")
    kinds = {str(_context(container).get("procMount", "Default")) for container in containers(spec)} - {"Default"}
    who = _counted("container", names)
    return f"{who} must not set securityContext.procMount to {quoted(sorted(kinds))}" if names else ""


def host_users_proc_mount(metadata: Obj, spec: Obj) -> str:
    return "" if spec.get("hostUsers") is False else proc_mount(metadata, spec)


def selinux(_: Obj, spec: Obj) -> str:
    def wrong(context: Obj) -> list[str]:
        options = context.get("seLinuxOptions") or {}
        found = [] if options.get("type", "") in _SELINUX_TYPES else ["type"]
        return found + [name for name in ("user", "role") if options.get(name)]

    contexts = [_context(spec), *map(_context, containers(spec))]
    kinds = sorted({(c.get("seLinuxOptions") or {}).get("type", "") for c in contexts} - _SELINUX_TYPES)
    found = {name for context in contexts for name in wrong(context)}
    details = [_counted("type", kinds)] * bool(kinds)
    details += [f"{name} may not be set" for name in ("user", "role") if name in found]
    who = _setters(spec, wrong)
    return f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(details)}" if who else ""


def _seccomp(context: Obj) -> str:
    return str((context.get("seccompProfile") or {}).get("type", ""))


def seccomp(_: Obj, spec: Obj) -> str:
    def unconfined(context: Obj) -> bool:
        return _seccomp(context) not in ("", *_PROFILES)

    who = _setters(spec, unconfined)
    return f'{who} must not set securityContext.seccompProfile.type to "Unconfined"' if who else ""


def seccomp_set(metadata: Obj, spec: Obj) -> str:
    if _on_windows(spec):
        return ""
    bad = seccomp(metadata, spec)
    if bad or _seccomp(_context(spec)):
        return bad
    names = _guilty(spec, lambda context: not _seccomp(context))
    wanted = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"pod or {_counted('container', names)} {wanted}" if names else ""


def sysctls(_: Obj, spec: Obj) -> str:
    names = [sysctl.get("name", "") for sysctl in _context(spec).get("sysctls") or ()]
    return ", ".join(name for name in names if name not in _SYSCTLS)


def host_process(_: Obj, spec: Obj) -> str:
    who = _setters(spec, lambda context: (context.get("windowsOptions") or {}).get("hostProcess"))
    return f"{who} must not set securityContext.windowsOptions.hostProcess=true" if who else ""


def escalation(_: Obj, spec: Obj) -> str:
    if _on_windows(spec):
        return ""
    names = _guilty(spec, lambda context: context.get("allowPrivilegeEscalation") is not False)
    return f"{_counted('container', names)} must set securityContext.allowPrivilegeEscalation=false" if names else ""


def volume_types(_: Obj, spec: Obj) -> str:
    kinds = {volume.get("name", ""): volume.keys() - {"name"} - _VOLUMES for volume in spec.get("volumes") or ()}
    names, found = [name for name, wrong in kinds.items() if wrong], set[str]().union(*kinds.values())
    if not found:
        return ""
    verb, plural = ("uses", "") if len(names) == 1 else ("use", "s" * (len(found) != 1))
    return f"{_counted('volume', names)} {verb} restricted volume type{plural} {quoted(sorted(found))}"


def non_root(_: Obj, spec: Obj) -> str:
    if spec.get("hostUsers") is False:
        return ""
    who = _setters(spec, lambda context: context.get("runAsNonRoot") is False)
    if who:
        return f"{who} must not set securityContext.runAsNonRoot=false"
    names = _guilty(spec, lambda context: not context.get("runAsNonRoot"))
    if not names or _context(spec).get("runAsNonRoot"):
        return ""
    return f"pod or {_counted('container', names)} must set securityContext.runAsNonRoot=true"


def root_user(_: Obj, spec: Obj) -> str:
    if spec.get("hostUsers") is False:
        return ""
    who = _setters(spec, lambda context: context.get("runAsUser") == 0)
    return f"{who} must not set runAsUser=0" if who else ""
