"""Rules of pods and pod templates, and of what an update of a pod may change."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from netsim.api import (
    causes,
    go_values,
    validate_containers,
    validate_ephemeral,
    validate_os,
    validate_placement,
    validate_security,
    validate_volumes,
)
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_PREEMPTION = ("Never", "PreemptLowerPriority")
_SEARCHES, _SEARCH_LIMIT, _OVERRIDE_LIMIT = 32, 2048, 64
_SECONDS_LIMIT = 2**31 - 1
_UPDATE_MESSAGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod(obj: Obj) -> Iterator[Cause]:
    yield from pod_spec(obj.get("spec") or {}, "spec")


def pod_create(obj: Obj) -> Iterator[Cause]:
    yield from pod(obj)
    if (obj.get("spec") or {}).get("ephemeralContainers"):
        yield from validate_ephemeral.ephemeral_containers(obj["spec"])
        yield causes.forbidden("spec.ephemeralContainers", "cannot be set on create")


def pod_spec(spec: Obj, field: str, *, extra_volumes: Collection[str] = ()) -> Iterator[Cause]:
    """A pod's or template's spec; `field` is its path, `extra_volumes` are volumes that it gets from elsewhere."""
    good, problems = validate_volumes.judge(spec.get("volumes") or [], f"{field}.volumes")
    yield from problems
    volumes = {**{name: {"persistentVolumeClaim": {}} for name in extra_volumes}, **good}
    yield from _resource_claims(spec.get("resourceClaims") or [], f"{field}.resourceClaims")
    if not spec.get("containers"):
        yield causes.required(f"{field}.containers")
    for group in ("initContainers", "containers"):
        yield from validate_containers.containers(spec.get(group) or [], f"{field}.{group}", volumes, spec)
    yield from validate_containers.init_containers(spec.get("initContainers") or [], f"{field}.initContainers")
    yield from validate_security.pod_context(spec, field)
    yield from _unique_containers(spec, field)
    policy = spec.get("restartPolicy")
    if policy and policy not in _RESTART_POLICIES:
        yield causes.unsupported(f"{field}.restartPolicy", policy, _RESTART_POLICIES, ordered=True)
    yield from causes.one_of(f"{field}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    yield from _dns(spec, field)
    yield from _seconds(spec, field)
    yield from validate_placement.placement(spec, field)
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            yield from causes.dns_label(f"{field}.{name}", spec[name])
    for name in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if spec.get(name):
            yield from causes.dns_subdomain(f"{field}.{name}", spec[name])
    yield from _host_parts(spec, field)
    if spec.get("preemptionPolicy") is not None:
        yield from causes.one_of(f"{field}.preemptionPolicy", spec["preemptionPolicy"], _PREEMPTION)
    yield from validate_containers.resources({"limits": spec.get("overhead") or {}}, f"{field}.overhead")
    yield from validate_os.system(spec, field)
    yield from validate_containers.pod_resources(spec, f"{field}.resources")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from causes.ip_address(f"{field}.hostAliases[{index}].ip", alias.get("ip", ""))
        for at, name in enumerate(alias.get("hostnames") or ()):
            yield from causes.dns_subdomain(f"{field}.hostAliases[{index}].hostnames[{at}]", name)


def _host_parts(spec: Obj, field: str) -> Iterator[Cause]:
    """What does not go together with namespaces of the host, or with users of one's own (KEP-127)."""
    if spec.get("hostUsers") is False:
        for name in ("hostPID", "hostIPC"):
            if spec.get(name):
                yield causes.forbidden(f"{field}.H{name[1:]}", "when `hostUsers` is false")
    override, where = spec.get("hostnameOverride"), f"{field}.hostnameOverride"
    if override is None:
        return
    for name in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(name):
            yield causes.forbidden(where, f"may not be specified when {name} is true")
    if len(override) > _OVERRIDE_LIMIT:
        yield causes.too_long(where, _OVERRIDE_LIMIT)
    yield from causes.dns_subdomain(where, override)


def _resource_claims(claims: list[Obj], field: str) -> Iterator[Cause]:
    """Devices that a pod asks for (KEP-4381): each claim is there by name or made from a template."""
    for index, claim in enumerate(claims):
        where, name = f"{field}[{index}]", claim.get("name", "")
        yield from causes.dns_label(f"{where}.name", name) if name else [causes.required(f"{where}.name")]
        given = [part for part in ("resourceClaimName", "resourceClaimTemplateName") if part in claim]
        if not given:
            why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield causes.invalid(where, claim, why)
        elif len(given) > 1:
            why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield causes.invalid(where, claim, why)
        for part in given:
            yield from causes.dns_subdomain(f"{where}.{part}", claim[part])
    yield from causes.unique((f"{field}[{index}].name", claim.get("name")) for index, claim in enumerate(claims))


def _unique_containers(spec: Obj, field: str) -> Iterator[Cause]:
    yield from causes.unique(
        (f"{field}.{group}[{index}].name", container.get("name"))
        for group in ("initContainers", "containers", "ephemeralContainers")
        for index, container in enumerate(spec.get(group) or ())
    )


def _dns(spec: Obj, field: str) -> Iterator[Cause]:
    config = spec.get("dnsConfig") or {}
    servers = config.get("nameservers") or []
    if spec.get("dnsPolicy") == "None" and not servers:
        if spec.get("dnsConfig") is None:
            yield causes.required(f"{field}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
        else:
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield causes.required(f"{field}.dnsConfig.nameservers", why)
        return
    if len(servers) > 3:
        why = "must not have more than 3 nameservers"
        yield causes.invalid(f"{field}.dnsConfig.nameservers", servers, why)
    for index, server in enumerate(servers):
        yield from causes.ip_address(f"{field}.dnsConfig.nameservers[{index}]", server)
    yield from _searches(config.get("searches") or [], f"{field}.dnsConfig.searches")
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield causes.required(f"{field}.dnsConfig.options[{index}]", "must not be empty")


def _searches(domains: list[str], field: str) -> Iterator[Cause]:
    """Domains to look names up in; they may have underscores, and be the root (KEP-4427)."""
    if len(domains) > _SEARCHES:
        yield causes.invalid(field, domains, f"must not have more than {_SEARCHES} search paths")
    if len(" ".join(domains)) > _SEARCH_LIMIT:
        why = f"must not have more than {_SEARCH_LIMIT} characters (including spaces) in the search list"
        yield causes.invalid(field, domains, why)
    for index, domain in enumerate(domains):
        if domain != ".":
            yield from causes.dns_subdomain(f"{field}[{index}]", domain.removesuffix(".").replace("_", "0"))


def _seconds(spec: Obj, field: str) -> Iterator[Cause]:
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _SECONDS_LIMIT:
        why = f"must be between 1 and {_SECONDS_LIMIT}, inclusive"
        yield causes.invalid(f"{field}.activeDeadlineSeconds", deadline, why)
    where = f"{field}.terminationGracePeriodSeconds"
    yield from causes.at_least(where, spec.get("terminationGracePeriodSeconds"))


def pod_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """A pod's spec may change only in images, activeDeadlineSeconds (set or shortened), added tolerations, a
    negative grace period, removed scheduling gates, and, as long as there are gates, the nodes it may run on."""
    now, before = new.get("spec") or {}, old.get("spec") or {}
    if now == before:
        return
    for group in ("initContainers", "containers"):
        if len(now.get(group) or ()) != len(before.get(group) or ()):
            yield causes.forbidden(f"spec.{group}", "pod updates may not add or remove containers")
            return
    yield from _deadline_update(now, before)
    yield from _tolerations_update(now, before)
    yield from _gates_update(now, before)
    if before.get("schedulingGates"):
        yield from validate_placement.tightened(now, before)
    left = _without_allowed(now, before)
    if left != before:
        yield causes.forbidden("spec", f"{_UPDATE_MESSAGE}\n{go_values.difference('PodSpec', before, left)}")


def _deadline_update(now: Obj, before: Obj) -> Iterator[Cause]:
    field, asked, held = (
        "spec.activeDeadlineSeconds",
        now.get("activeDeadlineSeconds"),
        before.get("activeDeadlineSeconds"),
    )
    if held is not None and asked is None:
        yield causes.invalid(field, asked, "must not update from a positive integer to nil value")
    elif held is not None and asked is not None and asked > held:
        yield causes.invalid(field, asked, "must be less than or equal to previous value")


def _timeless(toleration: Obj) -> Obj:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _tolerations_update(now: Obj, before: Obj) -> Iterator[Cause]:
    kept = [_timeless(t) for t in now.get("tolerations") or ()]
    if any(_timeless(toleration) not in kept for toleration in before.get("tolerations") or ()):
        why = "existing toleration can not be modified except its tolerationSeconds"
        yield causes.forbidden("spec.tolerations", why)


def _gates_update(now: Obj, before: Obj) -> Iterator[Cause]:
    for gate in now.get("schedulingGates") or ():
        if gate not in (before.get("schedulingGates") or ()):
            why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'"
            yield causes.forbidden("spec.schedulingGates", why)


def _without_allowed(now: Obj, before: Obj) -> Obj:
    """A changed spec with the changes taken back that there may be: what is left must be as it was."""
    free = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and now.get("terminationGracePeriodSeconds") == 1:
        free.append("terminationGracePeriodSeconds")
    if before.get("schedulingGates"):
        free.append("nodeSelector")
        now = _with_node_affinity(now, before)
    for group in ("initContainers", "containers"):
        if now.get(group):
            pairs = zip(now[group], before[group], strict=True)
            now = {**now, group: [_with_field(container, held, "image") for container, held in pairs]}
    for name in free:
        now = _with_field(now, before, name)
    return now


def _with_node_affinity(now: Obj, before: Obj) -> Obj:
    affinity = _with_field(now.get("affinity"), before.get("affinity"), "nodeAffinity")
    if affinity == (before.get("affinity") or {}):
        return _with_field(now, before, "affinity")
    return {**now, "affinity": affinity}


def _with_field(obj: Obj | None, source: Obj | None, field: str) -> Obj:
    """An object with the field of another, without it if that has none."""
    kept = {key: value for key, value in (obj or {}).items() if key != field}
    return {**kept, field: source[field]} if source and field in source else kept
