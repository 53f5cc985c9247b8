"""Columns of what keeps pods running: apps/v1, replication controllers, pod templates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import controller_of
from netsim.server.columns.base import (
    AGE,
    NAME,
    NONE,
    Column,
    Printer,
    age,
    containers,
    name,
    number,
    pairs,
    selector,
    text,
    wide,
)  # fmt: skip


def _deployment(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names, images = containers(spec.get("template"))
    return [
        name(obj), f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}", status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0), age(obj, now), names, images, selector(spec.get("selector")),
    ]  # fmt: skip


def _replica_set(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names, images = containers(spec.get("template"))
    return [
        name(obj), spec.get("replicas", 1), status.get("replicas", 0), status.get("readyReplicas", 0), age(obj, now),
        names, images, selector(spec.get("selector")),
    ]  # fmt: skip


def _stateful_set(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}"
    return [name(obj), ready, age(obj, now), *containers(spec.get("template"))]


def _daemon_set(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    counts = [status.get(field, 0) for field in _SCHEDULED]
    return [
        name(obj), *counts, pairs(pod.get("nodeSelector")), age(obj, now), *containers(spec.get("template")),
        selector(spec.get("selector")),
    ]  # fmt: skip


def _replication_controller(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        name(obj), spec.get("replicas", 1), status.get("replicas", 0), status.get("readyReplicas", 0), age(obj, now),
        *containers(spec.get("template")), pairs(spec.get("selector")),
    ]  # fmt: skip


def _pod_template(obj: Obj, now: datetime) -> list[Any]:
    template = obj.get("template") or {}
    return [name(obj), *containers(template), pairs((template.get("metadata") or {}).get("labels"))]


def _controller_revision(obj: Obj, now: datetime) -> list[Any]:
    owner = controller_of(obj)
    shown = NONE
    if owner is not None:
        group, slash, _ = str(owner.get("apiVersion", "")).partition("/")
        kind = str(owner.get("kind", "")).lower()
        shown = f"{kind}.{group}/{owner.get('name', '')}" if slash else f"{kind}/{owner.get('name', '')}"
    return [name(obj), shown, obj.get("revision", 0), age(obj, now)]


def _scale(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj["spec"].get("replicas", 0), obj["status"].get("replicas", 0), age(obj, now)]


SCALE = Kind("autoscaling", "v1", "Scale", "scales", "scale")
"""The scale subresource of workloads; not a resource by itself."""
_SCHEDULED = (
    "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
)  # fmt: skip
_PODS = (wide("Containers"), wide("Images"))
_WIDE = (*_PODS, wide("Selector"))
_COUNTS = (number("Desired"), number("Current"), number("Ready"))

PRINTERS: dict[Kind, Printer] = {
    kinds.DEPLOYMENTS: Printer((NAME, text("Ready"), text("Up-to-date"), text("Available"), AGE, *_WIDE), _deployment),
    kinds.REPLICA_SETS: Printer((NAME, *_COUNTS, AGE, *_WIDE), _replica_set),
    kinds.REPLICATION_CONTROLLERS: Printer((NAME, *_COUNTS, AGE, *_WIDE), _replication_controller),
    kinds.STATEFUL_SETS: Printer((NAME, text("Ready"), AGE, *_PODS), _stateful_set),
    kinds.DAEMON_SETS: Printer(
        (NAME, *_COUNTS, number("Up-to-date"), number("Available"), text("Node Selector"), AGE, *_WIDE), _daemon_set
    ),
    kinds.POD_TEMPLATES: Printer((NAME, text("Containers"), text("Images"), text("Pod Labels")), _pod_template),
    kinds.CONTROLLER_REVISIONS: Printer((NAME, text("Controller"), text("Revision"), AGE), _controller_revision),
    SCALE: Printer(
        (NAME, number("Desired"), Column("Available", "integer", description="Pods that there are."), AGE), _scale
    ),
}
