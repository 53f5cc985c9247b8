"""From a Service and its pods to endpoints with their ports: what EndpointSlices and Endpoints have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import cast

from netsim.api.kinds import PODS, SERVICES, Obj
from netsim.api.objects import (
    deletion_timestamp,
    is_pod_ready,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    status_of,
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
    return [pod for pod in pods if status_of(pod).get("podIP") and not is_finished(pod)]


def address_of(pod: Obj, family: str) -> str:
    """The pod's address of that family, "" if it has none."""
    status = status_of(pod)
    addresses = [entry.get("ip", "") for entry in status.get("podIPs") or ()] or [status.get("podIP")]
    return next((ip for ip in addresses if ip and (":" in ip) == (family == "IPv6")), "")


def ports_of(service: Obj) -> Callable[[Obj], Ports]:
    """The Service's ports as a pod has them: a named targetPort is looked up in the pod's containers, and a
    port that is not found there is left out. Without names they are the same of all pods, and found once."""
    if any(isinstance(port.get("targetPort"), str) for port in service["spec"].get("ports") or ()):
        return partial(_ports_for, service)
    same = _ports_for(service, {"spec": {}})
    return lambda _pod: same


def _ports_for(service: Obj, pod: Obj) -> Ports:
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
    return ",".join(sorted(map(_port_key, ports)))


def _port_key(port: Obj) -> str:
    words = port.get("name") or "", port.get("protocol") or "TCP", port.get("port"), port.get("appProtocol") or ""
    return "{} {} {} {}".format(*words)


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
    where = status.get("podIP"), status.get("podIPs"), spec.get("nodeName")
    name = spec.get("hostname"), spec.get("subdomain"), labels_of(pod)
    return where, name, is_finished(pod), is_pod_ready(pod), deletion_timestamp(pod) is not None


def wake_services(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A pod changed: the Services that select it, before or after."""
    noted = view.noted.get("services")  # several controllers ask about the same change
    if noted is not None and noted[0] is old and noted[1] is new:
        return cast(set[str], noted[2])
    found = _services_of(view, old, new)
    view.noted["services"] = old, new, found
    return found


def _services_of(view: View, old: Obj | None, new: Obj | None) -> set[str]:
    if _relevant(old) == _relevant(new):
        return set()
    found = set(_selecting(view, new)) if new is not None else set()
    if old is not None and (new is None or labels_of(old) != labels_of(new)):
        found |= set(_selecting(view, old))
    return found


def _selecting(view: View, pod: Obj) -> Iterator[str]:
    labels, namespace = labels_of(pod), namespace_of(pod)
    for key, value in labels.items():
        for service in view.by_index(SERVICES, SELECTOR, label_value(namespace, key, value)):
            if service["spec"]["selector"].items() <= labels.items():
                yield key_of(service)
