"""Rules of containers within a pod spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netsim.api import causes, validate_env, validate_security
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_STANDARD = ("cpu", "memory", "ephemeral-storage")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")


def containers(group: list[Obj], field: str, volumes: set[str], *, host_network: bool) -> Iterator[Cause]:
    """A list of containers; `volumes` are the pod's volume names."""
    for index, container in enumerate(group):
        yield from _container(container, f"{field}[{index}]", volumes, host_network=host_network)
    yield from _host_ports(group, field)


def _container(container: Obj, field: str, volumes: set[str], *, host_network: bool) -> Iterator[Cause]:
    name, image = container.get("name", ""), container.get("image", "")
    yield from causes.dns_label(f"{field}.name", name) if name else [causes.required(f"{field}.name")]
    if not image:
        yield causes.required(f"{field}.image")
    elif image != image.strip():
        yield causes.invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    if "imagePullPolicy" in container:
        yield from causes.one_of(f"{field}.imagePullPolicy", container["imagePullPolicy"], _PULL_POLICIES)
    if "terminationMessagePolicy" in container:
        policy = container["terminationMessagePolicy"]
        yield from causes.one_of(f"{field}.terminationMessagePolicy", policy, _MESSAGE_POLICIES)
    yield from _ports(container.get("ports") or [], f"{field}.ports", host_network=host_network)
    yield from validate_env.environment(container, field)
    yield from _mounts(container.get("volumeMounts") or [], f"{field}.volumeMounts", volumes)
    yield from _devices(container.get("volumeDevices") or [], f"{field}.volumeDevices", volumes)
    yield from resources(container.get("resources") or {}, f"{field}.resources")
    for probe in _PROBES:
        if probe in container:
            yield from _probe(container[probe], f"{field}.{probe}", exact=probe != "readinessProbe")
    if container.get("securityContext"):
        yield from validate_security.container_context(container["securityContext"], f"{field}.securityContext")
    for hook, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            yield from _handler(handler, f"{field}.lifecycle.{hook}", ("exec", "httpGet", "sleep", "tcpSocket"))


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


def _mounts(mounts: list[Obj], field: str, volumes: set[str]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        where, name, path = f"{field}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield causes.required(f"{where}.name")
        if name not in volumes:
            yield causes.not_found(f"{where}.name", name)
        if not path:
            yield causes.required(f"{where}.mountPath")
        elif path in seen:
            yield causes.invalid(f"{where}.mountPath", path, "must be unique")
        seen.add(path)
        if ".." in mount.get("subPath", "").split("/"):
            yield causes.invalid(f"{where}.subPath", mount["subPath"], "must not contain '..'")


def _devices(devices: list[Obj], field: str, volumes: set[str]) -> Iterator[Cause]:
    for index, device in enumerate(devices):
        where, name = f"{field}[{index}]", device.get("name", "")
        if not name:
            yield causes.required(f"{where}.name")
        if not device.get("devicePath"):
            yield causes.required(f"{where}.devicePath")
        if name not in volumes:
            yield causes.not_found(f"{where}.name", name)


def resources(found: Obj, field: str) -> Iterator[Cause]:
    """Requests and limits: known names, not negative, requests within limits; extended resources (KEP-468) in whole
    numbers, asked for and limited alike."""
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            yield from _resource(f"{field}.{side}[{name}]", name, amount)
    for name, amount in requests.items():
        limit, extended = limits.get(name), "/" in name
        if limit is None:
            if extended:
                yield causes.required(f"{field}.limits", "Limit must be set for non overcommitable resources")
        elif extended and parse_quantity(amount) != parse_quantity(limit):
            yield causes.invalid(f"{field}.requests", amount, f"must be equal to {name} limit of {limit}")
        elif parse_quantity(amount) > parse_quantity(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            yield causes.invalid(f"{field}.requests", amount, why)


def _resource(field: str, name: str, amount: Any) -> Iterator[Cause]:
    if "/" in name:
        yield from causes.qualified_name(field, name)
        if parse_quantity(amount).denominator != 1:
            yield causes.invalid(field, amount, "must be an integer")
    elif name not in _STANDARD and not name.startswith("hugepages-"):
        yield causes.invalid(field, name, "must be a standard resource type or fully qualified")
        yield causes.invalid(field, name, "must be a standard resource for containers")
    if parse_quantity(amount) < 0:
        yield causes.invalid(field, amount, "must be greater than or equal to 0")


def init_containers(group: list[Obj], field: str) -> Iterator[Cause]:
    """What holds for init containers beside the rules of all: only those that keep running (KEP-753) are probed and
    hooked."""
    for index, container in enumerate(group):
        policy, where = container.get("restartPolicy"), f"{field}[{index}]"
        if policy not in (None, "Always", "Never", "OnFailure"):
            yield causes.unsupported(f"{where}.restartPolicy", policy, ("Always", "Never", "OnFailure"))
        for name in ("lifecycle", *_PROBES) if policy != "Always" else ():
            if container.get(name) is not None:
                why = "may not be set for init containers without restartPolicy=Always"
                yield causes.forbidden(f"{where}.{name}", why)


def _handler(handler: Obj, field: str, known: tuple[str, ...]) -> Iterator[Cause]:
    given = [name for name in known if name in handler]
    if not given:
        yield causes.required(field, "must specify a handler type")
    for extra in given[1:]:
        yield causes.forbidden(f"{field}.{extra}", "may not specify more than 1 handler type")
    if "exec" in handler and not handler["exec"].get("command"):
        yield causes.required(f"{field}.exec.command")
    for name in ("httpGet", "tcpSocket", "grpc"):
        if name in handler:
            yield from causes.port_reference(f"{field}.{name}.port", handler[name].get("port"))
    if "httpGet" in handler:
        yield from _http_get(handler["httpGet"], f"{field}.httpGet")


def _http_get(action: Obj, field: str) -> Iterator[Cause]:
    if not action.get("path"):
        yield causes.required(f"{field}.path")
    yield from causes.one_of(f"{field}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))


def _probe(probe: Obj, field: str, *, exact: bool) -> Iterator[Cause]:
    yield from _handler(probe, field, ("exec", "grpc", "httpGet", "tcpSocket"))
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        yield from causes.at_least(f"{field}.{name}", probe.get(name))
    if exact and probe.get("successThreshold", 1) != 1:
        yield causes.invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1")
