"""Rules of containers within a pod spec."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from typing import Any

from netsim.api import causes, errors, validate_actions, validate_env, validate_mounts, validate_security
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import canonical_quantity, parse_quantity

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_HUGE = "hugepages-"
_STANDARD = ("cpu", "memory", "ephemeral-storage")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTARTS = ("Always", "Never", "OnFailure")
_ACTIONS = ("Restart", "RestartAllContainers")
_MOST_RULES = 20


def containers(group: list[Obj], field: str, volumes: Mapping[str, Obj], pod: Obj) -> Iterator[Cause]:
    """A list of containers; `volumes` are the pod's that can be mounted, by name, `pod` is its spec."""
    for index, container in enumerate(group):
        where = f"{field}[{index}]"
        yield from _container(container, where, volumes, pod)
        if not _begins(container, field):
            yield from validate_actions.actions(container, where, pod)
    yield from _host_ports(group, field)


def _container(container: Obj, field: str, volumes: Mapping[str, Obj], pod: Obj) -> Iterator[Cause]:
    name, image = container.get("name", ""), container.get("image", "")
    yield from causes.dns_label(f"{field}.name", name) if name else [causes.required(f"{field}.name")]
    if not image:
        yield causes.required(f"{field}.image")
    elif image != image.strip():
        yield causes.invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    yield from _policy(container, field, "terminationMessagePolicy", _MESSAGE_POLICIES)
    yield from _ports(container.get("ports") or [], f"{field}.ports", host_network=bool(pod.get("hostNetwork")))
    yield from validate_env.environment(container, field, volumes)
    yield from validate_mounts.mounts_and_devices(container, field, volumes)
    yield from _policy(container, field, "imagePullPolicy", _PULL_POLICIES)
    claims = [claim.get("name", "") for claim in pod.get("resourceClaims") or ()]
    yield from resources(container.get("resources") or {}, f"{field}.resources", claims)
    yield from _resize_policies(container.get("resizePolicy") or [], f"{field}.resizePolicy", pod)
    yield from _restarts(container, field)
    if container.get("securityContext"):
        users = pod.get("hostUsers") is not False
        where = f"{field}.securityContext"
        yield from validate_security.container_context(container["securityContext"], where, host_users=users)


def _policy(container: Obj, field: str, key: str, known: tuple[str, ...]) -> Iterator[Cause]:
    if key in container:
        yield from causes.one_of(f"{field}.{key}", container[key], known)


def _begins(container: Obj, field: str) -> bool:
    """Whether it is an init container that ends before the others begin: those are neither probed nor hooked."""
    return field.endswith(".initContainers") and container.get("restartPolicy") != "Always"


def _ports(ports: list[Obj], field: str, *, host_network: bool) -> Iterator[Cause]:
    for index, port in enumerate(ports):
        where, number = f"{field}[{index}]", port.get("containerPort")
        if port.get("name"):
            yield from causes.port_name(f"{where}.name", port["name"])
        if not number:
            yield causes.required(f"{where}.containerPort")
        else:
            yield from causes.port_number(f"{where}.containerPort", number)
        if port.get("hostPort"):
            yield from causes.port_number(f"{where}.hostPort", port["hostPort"])
            if host_network and port["hostPort"] != number:
                why = "must match `hostPort` when `hostNetwork` is true"
                yield causes.invalid(f"{where}.containerPort", number, why)
        yield from causes.one_of(f"{where}.protocol", port.get("protocol"), causes.PROTOCOLS)
    yield from causes.unique((f"{field}[{i}].name", p.get("name")) for i, p in enumerate(ports))


def _host_ports(group: list[Obj], field: str) -> Iterator[Cause]:
    taken: set[tuple[Any, ...]] = set()
    for index, container in enumerate(group):
        for at, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            claim = (port.get("protocol"), port.get("hostIP", ""), port["hostPort"])
            if claim in taken:
                text = "/".join(str(part) for part in claim)
                yield causes.duplicate(f"{field}[{index}].ports[{at}].hostPort", text)
            taken.add(claim)


def resources(found: Obj, field: str, pod_claims: Collection[str] = ()) -> Iterator[Cause]:
    """Requests and limits: known names, not negative, requests within limits; extended resources (KEP-468) and huge
    pages in whole numbers, asked for and limited alike. `pod_claims` are the names of the pod's resource claims."""
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            yield from _resource(f"{field}.{side}[{name}]", name, amount)
    for name, amount in requests.items():
        limit, extended = limits.get(name), "/" in name or name.startswith(_HUGE)
        if limit is None:
            if extended:
                yield causes.required(f"{field}.limits", "Limit must be set for non overcommitable resources")
        elif extended and parse_quantity(amount) != parse_quantity(limit):
            yield causes.invalid(f"{field}.requests", amount, f"must be equal to {name} limit of {limit}")
        elif parse_quantity(amount) > parse_quantity(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            yield causes.invalid(f"{field}.requests", amount, why)
    names = limits.keys() | requests.keys()
    if any(name.startswith(_HUGE) for name in names) and not names & {"cpu", "memory"}:
        yield causes.forbidden(field, "HugePages require cpu or memory")
    yield from _claims(found.get("claims") or [], f"{field}.claims", pod_claims)


def pod_resources(spec: Obj, field: str) -> Iterator[Cause]:
    """Requests and limits of a whole pod (KEP-2837): of cpu, memory and huge pages, and not less than those of its
    containers."""
    whole: Obj = spec.get("resources") or {}
    if "claims" in whole:
        yield causes.forbidden(f"{field}.claims", "claims may not be set for Resources at pod-level")
    for side in ("limits", "requests"):
        for name in whole.get(side) or ():
            if name not in ("cpu", "memory") and not name.startswith(_HUGE):
                yield causes.unsupported(f"{field}.{side}[{name}]", name, ("cpu", _HUGE, "memory"))
    claims = [claim.get("name", "") for claim in spec.get("resourceClaims") or ()]
    yield from resources(whole, field, claims)
    for name, amount in (whole.get("requests") or {}).items():
        parts = [(c.get("resources") or {}).get("requests") or {} for c in spec.get("containers") or ()]
        total = sum((parse_quantity(part[name]) for part in parts if name in part), Fraction())
        if total > parse_quantity(amount):
            shown = canonical_quantity(str(float(total)))
            why = f"must be greater than or equal to aggregate container requests of {shown}"
            yield causes.invalid(f"{field}.requests[{name}]", amount, why)
    for index, container in enumerate(spec.get("containers") or ()):
        for name, amount in ((container.get("resources") or {}).get("limits") or {}).items():
            limit = (whole.get("limits") or {}).get(name)
            if limit is not None and parse_quantity(amount) > parse_quantity(limit):
                why = f"must be less than or equal to pod limits of {limit}"
                yield causes.invalid(f"{field}.containers[{index}][{name}].limits", amount, why)


def _claims(claims: list[Obj], field: str, pod_claims: Collection[str]) -> Iterator[Cause]:
    """Which of the pod's resource claims, or which requests of them, a container uses."""
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(claims):
        where, name, request = f"{field}[{index}]", claim.get("name", ""), claim.get("request", "")
        if not name:
            yield causes.required(where)
            continue
        if request:
            yield from causes.dns_label(f"{where}.request", request)
        if {(name, ""), (name, request)} & seen or (not request and any(other == name for other, _ in seen)):
            yield causes.duplicate(where, f"{name}/{request}" if request and (name, "") not in seen else name)
        seen.add((name, request))
        if name not in pod_claims:
            among = f": {', '.join(sorted(pod_claims))}" if pod_claims else " which is empty"
            why = f"must be one of the names in pod.spec.resourceClaims{among}"
            yield Cause(errors.NOT_FOUND, f"Not found: {causes.shown(name)}: {why}", where)


def resource_name(name: str, field: str) -> Iterator[Cause]:
    """The name of what a container has some amount of."""
    if "/" not in name and name not in _STANDARD and not name.startswith(_HUGE):
        yield causes.invalid(field, name, "must be a standard resource type or fully qualified")
        yield causes.invalid(field, name, "must be a standard resource for containers")


def _resource(field: str, name: str, amount: Any) -> Iterator[Cause]:
    if "/" in name:
        yield from causes.qualified_name(field, name)
        if parse_quantity(amount).denominator != 1:
            yield causes.invalid(field, amount, "must be an integer")
    else:
        yield from resource_name(name, field)
    if parse_quantity(amount) < 0:
        yield causes.invalid(field, amount, "must be greater than or equal to 0")


def _resize_policies(policies: list[Obj], field: str, pod: Obj) -> Iterator[Cause]:
    """Kubernetes names the list, not the entry, but for one that comes again."""
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            yield causes.duplicate(f"{field}[{index}]", name)
        seen.add(name)
        yield from causes.one_of(field, name, ("cpu", "memory"))
        yield from causes.one_of(field, restart, ("NotRequired", "RestartContainer"))
        if pod.get("restartPolicy") == "Never" and restart != "NotRequired":
            why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            yield causes.invalid(field, restart, why)


def _restarts(container: Obj, field: str) -> Iterator[Cause]:
    """A container's own restart policy, and by exit code (KEP-5307)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is None and rules:
        yield causes.required(f"{field}.restartPolicy", "must specify restartPolicy when restart rules are used")
        if ".initContainers[" in field:
            return
    elif policy is not None and policy not in _RESTARTS:
        yield causes.unsupported(f"{field}.restartPolicy", policy, _RESTARTS)
    if len(rules) > _MOST_RULES:
        yield causes.too_many(f"{field}.restartPolicyRules", len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        where, codes = f"{field}.restartPolicyRules[{index}]", rule.get("exitCodes")
        if rule.get("action", "") not in _ACTIONS:
            yield causes.unsupported(f"{where}.action", rule.get("action", ""), _ACTIONS)
        if codes is None:
            yield causes.required(f"{where}.exitCodes", "must be specified")
        elif codes.get("operator", "") not in ("In", "NotIn"):
            yield causes.unsupported(f"{where}.exitCodes.operator", codes.get("operator", ""), ("In", "NotIn"))


def init_containers(group: list[Obj], field: str) -> Iterator[Cause]:
    """What holds for init containers beside the rules of all: only those that keep running (KEP-753) are probed and
    hooked, or restarted to be resized."""
    for index, container in enumerate(group):
        where = f"{field}[{index}]"
        if not _begins(container, field):
            continue
        for name in ("lifecycle", *validate_actions.PROBES):
            if container.get(name) is not None:
                why = "may not be set for init containers without restartPolicy=Always"
                yield causes.forbidden(f"{where}.{name}", why)
        for at, policy in enumerate(container.get("resizePolicy") or ()):
            if policy.get("restartPolicy") == "RestartContainer":
                why = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                yield causes.invalid(f"{where}.resizePolicy[{at}].restartPolicy", "RestartContainer", why)
