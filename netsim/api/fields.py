"""The fields that a fieldSelector may name, per kind, and how they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netsim.api.go_text import quoted
from netsim.api.kinds import (
    CERTIFICATE_SIGNING_REQUESTS,
    EVENTS,
    EVENTS_V1,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICATION_CONTROLLERS,
    RESOURCE_SLICES,
    SECRETS,
    SERVICES,
    Kind,
    Obj,
)
from netsim.api.objects import dig
from netsim.api.selectors import FieldSelector, SelectorError

_COMMON = ("metadata.name", "metadata.namespace")
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

_EXTRA: dict[Kind, tuple[str, ...]] = {
    PODS: (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    SERVICES: ("spec.clusterIP", "spec.type"),
    NODES: ("spec.unschedulable",),
    NAMESPACES: ("status.phase",),
    SECRETS: ("type",),
    REPLICATION_CONTROLLERS: ("status.replicas",),
    JOBS: ("status.successful",),
    RESOURCE_SLICES: ("spec.nodeName", "spec.driver"),
    EVENTS: (
        *(f"involvedObject.{part}" for part in _REFERENCE),
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    EVENTS_V1: (
        *(f"regarding.{part}" for part in _REFERENCE),
        "reason",
        "reportingController",
        "type",
    ),
    CERTIFICATE_SIGNING_REQUESTS: ("spec.signerName",),
}
_BOOLEANS = frozenset(("spec.unschedulable", "spec.hostNetwork"))


def supported_fields(kind: Kind) -> tuple[str, ...]:
    """Every path a fieldSelector on this kind may name."""
    return (*_COMMON, *(kind.custom.fields if kind.custom else _EXTRA.get(kind, ())))


def check_field_selector(kind: Kind, selector: FieldSelector) -> None:
    """Raise SelectorError, with the API's text, if the selector names a field that this kind has not."""
    supported = supported_fields(kind)
    for path, _, _ in selector.requirements:
        if path in supported:
            continue
        if kind in _EXTRA or kind.custom:
            raise SelectorError(_unsupported(kind, path))
        names = ", ".join(f'"{name}"' for name in _COMMON)
        raise SelectorError(f'"{path}" is not a known field selector: only {names}')


def _unsupported(kind: Kind, path: str) -> str:
    """That the kind has no such field, as its conversion in Kubernetes words it."""
    if kind is JOBS:
        return f"field label {quoted(path)} not supported for Job"
    if kind is RESOURCE_SLICES:
        return f"field label not supported for {kind.api_version}, Kind={kind.kind}: {path}"
    return f"field label not supported: {path}"


def field_value(obj: Obj, path: str) -> str:
    """The field as text; "" where it is absent ("false" for booleans)."""
    if path == "source":
        return str(dig(obj, "source", "component") or obj.get("reportingComponent") or "")
    if path == "status.successful":
        return str(dig(obj, "status", "succeeded") or 0)
    if path == "status.podIPs":
        return ",".join(ip.get("ip", "") for ip in dig(obj, "status", "podIPs") or [])
    return _text(dig(obj, *path.split(".")), path)


def _text(value: Any, path: str) -> str:
    if path in _BOOLEANS:
        return "true" if value else "false"
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def reader(kind: Kind) -> Callable[[Obj, str], str]:
    """The reader that `FieldSelector.matches` wants, for objects of this kind."""
    known = frozenset(supported_fields(kind))

    def read(obj: Obj, path: str) -> str:
        if path not in known:
            raise SelectorError(f"field label not supported: {path}")
        return field_value(obj, path)

    return read
