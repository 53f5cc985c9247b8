"""Columns of resource.k8s.io/v1: claims for devices, and what drivers offer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import deletion_timestamp, dig
from netsim.server.columns.base import AGE, NAME, Printer, age, name, text


def _state(claim: Obj) -> str:
    deleted, status = deletion_timestamp(claim) is not None, claim.get("status") or {}
    states = ["deleted"] if deleted else []
    if status.get("allocation") is None:
        states += [] if deleted else ["pending"]
    else:
        states += ["allocated", "reserved"] if status.get("reservedFor") else ["allocated"]
    return ",".join(states)


def _claim(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), _state(obj), age(obj, now)]


def _slice(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [name(obj), spec.get("nodeName", ""), spec.get("driver", ""), dig(spec, "pool", "name") or "", age(obj, now)]


PRINTERS: dict[Kind, Printer] = {
    kinds.RESOURCE_CLAIMS: Printer((NAME, text("State"), AGE), _claim),
    kinds.RESOURCE_SLICES: Printer((NAME, text("Node"), text("Driver"), text("Pool"), AGE), _slice),
}
