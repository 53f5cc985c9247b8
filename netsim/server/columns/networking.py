"""Columns of networking.k8s.io/v1."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.server.columns.base import AGE, NAME, NONE, Printer, age, first, name, selector, text

_HOSTS_SHOWN = 3
_ADDRESS_LIMIT, _ADDRESS_CUT = 16, 13


def _ingress(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    found = (status.get("loadBalancer") or {}).get("ingress") or []
    address = ",".join(sorted({entry.get("ip") or entry.get("hostname", "") for entry in found} - {""}))
    if len(address) > _ADDRESS_LIMIT:
        address = f"{address[:_ADDRESS_CUT]}..."
    return [
        name(obj), spec.get("ingressClassName") or NONE, first(hosts, _HOSTS_SHOWN, "*"), address,
        "80, 443" if spec.get("tls") else "80", age(obj, now),
    ]  # fmt: skip


def _ingress_class(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    given = spec.get("parameters")
    shown = NONE
    if given:
        group = f".{given['apiGroup']}" if given.get("apiGroup") is not None else ""
        shown = f"{given.get('kind', '')}{group}/{given.get('name', '')}"
    return [name(obj), spec.get("controller", ""), shown, age(obj, now)]


def _network_policy(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), selector((obj.get("spec") or {}).get("podSelector")), age(obj, now)]


def _ip_address(obj: Obj, now: datetime) -> list[Any]:
    """Kubernetes has no column for the age that it tells, too."""
    parent = (obj.get("spec") or {}).get("parentRef")
    if not parent:
        return [name(obj), NONE]
    resource = f"{parent.get('resource', '')}.{parent.get('group', '')}".rstrip(".").lower()
    return [name(obj), "/".join(filter(None, (resource, parent.get("namespace"), parent.get("name"))))]


def _service_cidr(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), ",".join((obj.get("spec") or {}).get("cidrs") or ()), age(obj, now)]


PRINTERS: dict[Kind, Printer] = {
    kinds.INGRESSES: Printer((NAME, text("Class"), text("Hosts"), text("Address"), text("Ports"), AGE), _ingress),
    kinds.INGRESS_CLASSES: Printer((NAME, text("Controller"), text("Parameters"), AGE), _ingress_class),
    kinds.IP_ADDRESSES: Printer((NAME, text("ParentRef")), _ip_address),
    kinds.NETWORK_POLICIES: Printer((NAME, text("Pod-Selector"), AGE), _network_policy),
    kinds.SERVICE_CIDRS: Printer((NAME, text("CIDRs"), AGE), _service_cidr),
}
