"""Columns of apps/v1."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.server.columns.base import AGE, NAME, Column, Printer, age, containers, name, selector, text, wide


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


_WIDE = (wide("Containers"), wide("Images"), wide("Selector"))

PRINTERS: dict[Kind, Printer] = {
    kinds.DEPLOYMENTS: Printer((NAME, text("Ready"), text("Up-to-date"), text("Available"), AGE, *_WIDE), _deployment),
    kinds.REPLICA_SETS: Printer(
        (NAME, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"), AGE, *_WIDE),
        _replica_set,
    ),
}
