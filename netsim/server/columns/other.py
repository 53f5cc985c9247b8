"""Columns of the small groups: rbac, coordination, discovery, certificates, apiextensions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.quantity import milli, whole
from netsim.api.times import short_duration
from netsim.server.columns.base import AGE, NAME, NONE, Column, Printer, age, first, name, text, wide

_UNSET = "<unset>"


def _subjects(obj: Obj, kind: str) -> str:
    found = [s for s in obj.get("subjects") or () if s.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{s.get('namespace', '')}/{s.get('name', '')}" for s in found)
    return ", ".join(s.get("name", "") for s in found)


def _binding(obj: Obj, now: datetime) -> list[Any]:
    reference = obj.get("roleRef") or {}
    role = f"{reference.get('kind', '')}/{reference.get('name', '')}"
    return [name(obj), role, age(obj, now), *(_subjects(obj, kind) for kind in ("User", "Group", "ServiceAccount"))]


def _role(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj["metadata"].get("creationTimestamp", "")]


def _lease(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), (obj.get("spec") or {}).get("holderIdentity", ""), age(obj, now)]


def _slice(obj: Obj, now: datetime) -> list[Any]:
    ports = [str(port["port"]) if port.get("port") else "*" for port in obj.get("ports") or ()]
    addresses = [a for endpoint in obj.get("endpoints") or () for a in endpoint.get("addresses") or ()]
    return [name(obj), obj.get("addressType", ""), first(ports, 3, _UNSET), first(addresses, 3, _UNSET), age(obj, now)]


def csr_condition(obj: Obj) -> str:
    """ "Pending", "Approved,Issued", "Denied" …"""
    status = obj.get("status") or {}
    found = {c.get("type") for c in status.get("conditions") or ()}
    shown = "Denied" if "Denied" in found else "Approved" if "Approved" in found else "Pending"
    return shown + (",Failed" if "Failed" in found else "") + (",Issued" if status.get("certificate") else "")


def _csr(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    return [
        name(obj), age(obj, now), spec.get("signerName") or NONE, spec.get("username", ""),
        short_duration(seconds) if seconds else NONE, csr_condition(obj),
    ]  # fmt: skip


def _runtime_class(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj.get("handler", ""), age(obj, now)]


def _metrics(obj: Obj, now: datetime) -> list[Any]:
    """Usage in thousandths of a core and Ki; a pod's is that of its containers together."""
    parts = [part["usage"] for part in obj.get("containers") or [obj]]
    memory = sum(whole(part["memory"]) for part in parts) // 1024
    return [name(obj), f"{sum(milli(part['cpu']) for part in parts)}m", f"{memory}Ki", obj.get("window", "")]


_BINDING = Printer((NAME, text("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts")), _binding)
_ROLE = Printer((NAME, Column("Created At", "date")), _role)

PRINTERS: dict[Kind, Printer] = {
    kinds.ROLE_BINDINGS: _BINDING,
    kinds.CLUSTER_ROLE_BINDINGS: _BINDING,
    kinds.ROLES: _ROLE,
    kinds.CLUSTER_ROLES: _ROLE,
    kinds.CUSTOM_RESOURCE_DEFINITIONS: _ROLE,
    kinds.NODE_METRICS: Printer((NAME, text("cpu"), text("memory"), text("Window")), _metrics),
    kinds.POD_METRICS: Printer((NAME, text("cpu"), text("memory"), text("Window")), _metrics),
    kinds.RUNTIME_CLASSES: Printer((NAME, text("Handler"), AGE), _runtime_class),
    kinds.LEASES: Printer((NAME, text("Holder"), AGE), _lease),
    kinds.ENDPOINT_SLICES: Printer((NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE), _slice),
    kinds.CERTIFICATE_SIGNING_REQUESTS: Printer(
        (NAME, AGE, text("SignerName"), text("Requestor"), text("RequestedDuration"), text("Condition")), _csr
    ),
}
