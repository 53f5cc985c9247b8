"""From a Service and its pods to endpoints with their ports: what EndpointSlices and Endpoints have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from netsim.api.kinds import PODS, SERVICES, Obj
from netsim.api.objects import (
    deletion_timestamp,
    dig,
    is_pod_ready,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from netsim.controllers.pods import is_finished
from netsim.controllers.view import SELECTOR, View, label_value, selected

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"

Ports = tuple[Obj, ...]


def has_selector(service: Obj) -> bool:
    """Whether endpoints of the Service are derived from pods; others are left to whoever writes them."""
    spec = service["spec"]
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def is_headless(service: Obj) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def families_of(service: Obj) -> list[str]:
    """EndpointSlice address types of the Service, "IPv4" and "IPv6"."""
    return list(service["spec"].get("ipFamilies") or ["IPv4"])


def pods_of(view: View, service: Obj) -> list[Obj]:
    """The selected pods that have an address and have not ended."""
    pods = selected(view, PODS, namespace_of(service), service["spec"]["selector"])
    return [pod for pod in pods if dig(pod, "status", "podIP") and not is_finished(pod)]


def address_of(pod: Obj, family: str) -> str:
    """The pod's address of that family, "" if it has none."""
    listed = [entry.get("ip", "") for entry in dig(pod, "status", "podIPs") or []]
    addresses = listed or [dig(pod, "status", "podIP")]
    return next((ip for ip in addresses if ip and (":" in ip) == (family == "IPv6")), "")


def ports_for(service: Obj, pod: Obj) -> Ports:
    """The Service's ports as this pod has them: a named targetPort is looked up in the pod's containers, and a
    port that is not found there is left out."""
    found = ((port, target_port(port, pod)) for port in service["spec"].get("ports") or [])
    return tuple(_port(port, number) for port, number in found if number is not None)


def _port(port: Obj, number: int) -> Obj:
    entry: Obj = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
    return entry | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})


def target_port(port: Obj, pod: Obj) -> int | None:
    """The number behind a Service port in that pod."""
    target = port.get("targetPort") or port.get("port")
    if isinstance(target, int):
        return target
    protocol = port.get("protocol", "TCP")
    for candidate in _container_ports(pod):
        if candidate.get("name") == target and candidate.get("protocol", "TCP") == protocol:
            return int(candidate["containerPort"])
    return None


def _container_ports(pod: Obj) -> Iterator[Obj]:
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or []), *sidecars]:
        yield from container.get("ports") or []


def ports_key(ports: Iterable[Obj]) -> str:
    """Equal for equal sets of ports, in whatever order."""
    return json.dumps(sorted((_normal(port) for port in ports), key=lambda p: (p["name"], str(p))), sort_keys=True)


def _normal(port: Obj) -> Obj:
    return {"name": port.get("name") or "", "protocol": port.get("protocol") or "TCP", "port": port.get("port")} | (
        {"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {}
    )


def target_reference(pod: Obj) -> Obj:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}


def hostname_of(pod: Obj, service: Obj) -> str:
    """spec.hostname if the pod's subdomain is this Service, else ""."""
    spec = pod["spec"]
    return str(spec.get("hostname") or "") if spec.get("subdomain") == name_of(service) else ""


def conditions_of(pod: Obj, service: Obj) -> dict[str, bool]:
    """ready, serving and terminating of the endpoint: a leaving pod may still serve but is not ready, unless the
    Service publishes addresses that are not ready."""
    serving = is_pod_ready(pod)
    terminating = deletion_timestamp(pod) is not None
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    return {"ready": ready, "serving": serving, "terminating": terminating}


def _relevant(pod: Obj | None) -> tuple[object, ...]:
    """What endpoints are made of, to tell changes that matter."""
    if pod is None:
        return ()
    status, spec = pod.get("status") or {}, pod["spec"]
    return (
        *(spec.get("nodeName"), status.get("podIP"), status.get("podIPs"), labels_of(pod)),
        *(is_finished(pod), is_pod_ready(pod), deletion_timestamp(pod) is not None),
        *(spec.get("hostname"), spec.get("subdomain")),
    )


def wake_services(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A pod changed: the Services that select it, before or after."""
    if _relevant(old) == _relevant(new):
        return ()
    keys: set[str] = set()
    for pod in (old, new):
        if pod is not None:
            keys |= set(_selecting(view, pod))
    return keys


def _selecting(view: View, pod: Obj) -> Iterator[str]:
    labels = labels_of(pod)
    for key, value in labels.items():
        for service in view.by_index(SERVICES, SELECTOR, label_value(namespace_of(pod), key, value)):
            if service["spec"]["selector"].items() <= labels.items():
                yield key_of(service)
