"""A container's environment: declared variables, references and Services' variables, as kubelet makes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

from netsim.agent.downward import field_value, resource_value
from netsim.agent.model import Obj

Fetch = Callable[[str, str], dict[str, bytes] | None]
"""(kind "ConfigMap" or "Secret", name) -> its decoded data, None when there is no such object."""

_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")


class ConfigError(Exception):
    """A variable or volume refers to something that is not there; the container waits (CreateContainerConfigError)."""

    reason = "CreateContainerConfigError"


class CreateError(ConfigError):
    """A container cannot be made of its image and what the pod says; it waits (CreateContainerError)."""

    reason = "CreateContainerError"


class MountError(ConfigError):
    """A volume's content is not there; the pod waits as one whose containers are still made (FailedMount)."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """$(NAME) becomes the value of NAME, `$$` a `$`; a reference to an unknown name stays as it is."""

    def one(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return values.get(match[2], match[0])

    return _REFERENCE.sub(one, text)


def referenced(text: str) -> set[str]:
    """The names of the variables that a text refers to."""
    return {match[2] for match in _REFERENCE.finditer(text) if match[2] is not None}


def container_env(
    pod: Obj,
    container: Obj,
    services: Iterable[Obj],
    fetch: Fetch,
    capacity: Mapping[str, Fraction],
    now: Obj | None = None,
) -> dict[str, str]:
    """All variables by name: Services' first, then envFrom, then env in order, each able to use the ones before it.

    `now` is the pod's status as of this moment (its addresses), when newer than `pod`. Raises ConfigError.
    """
    live = {**pod, "status": {**(pod.get("status") or {}), **(now or {})}}
    service_values = service_env(pod, services)
    declared = _env_from(container, fetch)
    for variable in container.get("env") or []:
        value = _value(variable, live, container, service_values | declared, fetch, capacity)
        if value is not None:
            declared[variable["name"]] = value
    return service_values | declared


def _env_from(container: Obj, fetch: Fetch) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        kind, ref = (
            ("ConfigMap", source["configMapRef"]) if source.get("configMapRef") else ("Secret", source["secretRef"])
        )
        data = fetch(kind, ref["name"])
        if data is None and not ref.get("optional"):
            raise ConfigError(f'{kind.lower()} "{ref["name"]}" not found')
        found |= {source.get("prefix", "") + k: v.decode("utf-8", "replace") for k, v in (data or {}).items()}
    return found


def _value(
    variable: Obj, pod: Obj, container: Obj, known: Mapping[str, str], fetch: Fetch, capacity: Mapping[str, Fraction]
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    if source.get("fieldRef"):
        return field_value(pod, source["fieldRef"]["fieldPath"])
    if source.get("resourceFieldRef"):
        return resource_value(pod, container, source["resourceFieldRef"], capacity)
    kind, ref = (
        ("ConfigMap", source["configMapKeyRef"])
        if source.get("configMapKeyRef")
        else ("Secret", source["secretKeyRef"])
    )
    return _key(kind, ref, fetch)


def _key(kind: str, ref: Obj, fetch: Fetch) -> str | None:
    data = fetch(kind, ref["name"])
    if data is not None and ref["key"] in data:
        return data[ref["key"]].decode("utf-8", "replace")
    if ref.get("optional"):
        return None
    if data is None:
        raise ConfigError(f'{kind.lower()} "{ref["name"]}" not found')
    raise ConfigError(f"couldn't find key {ref['key']} in {kind} {ref['name']}")


def service_env(pod: Obj, services: Iterable[Obj]) -> dict[str, str]:
    """Variables of the Services of the pod's namespace (unless enableServiceLinks is false) and default/kubernetes."""
    namespace, links = pod["metadata"]["namespace"], pod["spec"].get("enableServiceLinks", True)
    chosen: dict[str, Obj] = {}
    for service in services:
        meta = service["metadata"]
        if service["spec"].get("clusterIP") in (None, "", "None"):
            continue
        if meta["namespace"] == "default" and meta["name"] == "kubernetes":
            chosen.setdefault(meta["name"], service)
        elif links is not False and meta["namespace"] == namespace:
            chosen[meta["name"]] = service
    return {k: v for name in sorted(chosen) for k, v in _one_service(chosen[name]).items()}


def _one_service(service: Obj) -> dict[str, str]:
    prefix, ip = _upper(service["metadata"]["name"]), service["spec"]["clusterIP"]
    ports = service["spec"].get("ports") or []
    if not ports:
        return {}
    found = {f"{prefix}_SERVICE_HOST": ip, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    found |= {f"{prefix}_SERVICE_PORT_{_upper(p['name'])}": str(p["port"]) for p in ports if p.get("name")}
    found[f"{prefix}_PORT"] = _url(ip, ports[0])
    for port in ports:
        found |= _port_env(f"{prefix}_PORT_{port['port']}_{_protocol(port).upper()}", ip, port)
    return found


def _port_env(prefix: str, ip: str, port: Obj) -> dict[str, str]:
    return {
        prefix: _url(ip, port),
        f"{prefix}_PROTO": _protocol(port),
        f"{prefix}_PORT": str(port["port"]),
        f"{prefix}_ADDR": ip,
    }


def _protocol(port: Obj) -> str:
    return str(port.get("protocol") or "TCP").lower()


def _url(ip: str, port: Obj) -> str:
    host = f"[{ip}]" if ":" in ip else ip
    return f"{_protocol(port)}://{host}:{port['port']}"


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def references(pod: Obj, container: Obj) -> set[tuple[str, str]]:
    """(kind, name) of the ConfigMaps and Secrets that a container's variables need."""
    found = set()
    for source in container.get("envFrom") or []:
        found |= {
            (k, source[f]["name"]) for k, f in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")) if source.get(f)
        }
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        found |= {
            (k, source[f]["name"])
            for k, f in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef"))
            if source.get(f)
        }
    return found
