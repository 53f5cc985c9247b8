"""Downward API: fields of the pod and resources of a container as text. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from fractions import Fraction

from netsim.agent.model import Obj
from netsim.api.quantity import parse_quantity

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']*)'\]$")


def field_value(pod: Obj, path: str) -> str:
    """The text of a fieldRef's fieldPath; a list or map (podIPs, labels) comes out as kubelet writes it."""
    match = _SUBSCRIPT.match(path)
    if match:
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        found = pod["metadata"].get(path.split(".")[1]) or {}
        return "\n".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in sorted(found.items()))
    if path in ("status.podIPs", "status.hostIPs"):
        return ",".join(entry["ip"] for entry in (pod.get("status") or {}).get(path.split(".")[1]) or [])
    value: object = pod
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def resource_value(pod: Obj, container: Obj, ref: Obj, capacity: Mapping[str, Fraction]) -> str:
    """limits.X or requests.X of a container in units of the divisor, rounded up; an absent limit is the node's own."""
    name = ref.get("containerName")
    owner = next((c for c in pod["spec"]["containers"] if c["name"] == name), container) if name else container
    part, _, resource = ref["resource"].partition(".")
    resources = owner.get("resources") or {}
    raw = (resources.get(part) or {}).get(resource)
    if raw is None and part == "requests":
        raw = (resources.get("limits") or {}).get(resource)
    amount = (
        parse_quantity(raw)
        if raw is not None
        else capacity.get(resource, Fraction(0))
        if part == "limits"
        else Fraction(0)
    )
    divisor = parse_quantity(ref.get("divisor") or 1) or Fraction(1)
    return str(math.ceil(amount / divisor))
