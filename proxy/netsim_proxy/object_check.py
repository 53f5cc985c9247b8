"""What is wrong with an object that was written by hand, where no API server has judged it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = {dict: "an object", list: "a list", int: "a number", str: "a text"}
_REQUIRED: dict[str, dict[str, type]] = {
    "Service": {"spec.ports[].port": int},
    "EndpointSlice": {"addressType": str, "endpoints[].addresses": list},
    "Node": {},
}
_OPTIONAL: dict[str, dict[str, type]] = {
    "Service": {
        "metadata.labels": dict, "metadata.annotations": dict, "spec": dict, "spec.ports": list, "spec.ports[]": dict,
        "spec.ports[].nodePort": int, "spec.clusterIP": str, "spec.clusterIPs": list, "spec.ipFamilies": list,
        "spec.externalIPs": list, "spec.externalIPs[]": str, "spec.loadBalancerSourceRanges": list,
        "spec.loadBalancerSourceRanges[]": str, "spec.sessionAffinityConfig": dict, "spec.healthCheckNodePort": int,
        "status": dict, "status.loadBalancer": dict, "status.loadBalancer.ingress": list,
        "status.loadBalancer.ingress[]": dict,
    },
    "EndpointSlice": {
        "metadata.labels": dict, "ports": list, "ports[]": dict, "ports[].port": int, "endpoints": list,
        "endpoints[]": dict, "endpoints[].addresses[]": str, "endpoints[].conditions": dict, "endpoints[].hints": dict,
    },
    "Node": {
        "metadata.labels": dict, "spec": dict, "spec.podCIDRs": list, "status": dict, "status.addresses": list,
        "status.addresses[]": dict,
    },
}  # fmt: skip


def find_problem(obj: Mapping[str, Any]) -> str:
    """The first field that the proxy reads and cannot read: "Service ns/web: spec.ports[0].port: …"; "" if none."""
    kind, metadata = obj.get("kind", ""), obj.get("metadata") or {}
    where = f"{kind} {metadata.get('namespace', 'default')}/{metadata.get('name')}"
    for fields, required in ((_OPTIONAL, False), (_REQUIRED, True)):
        for path, wanted in fields.get(kind, {}).items():
            for place, value in _values(obj, path.replace("[]", ".[]").split(".")):
                if value is None and required:
                    return f"{where}: {place}: is missing; give {_NAMES[wanted]}"
                if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
                    return f"{where}: {place}: is {value!r}; give {_NAMES[wanted]}"
    return ""


def _values(value: Any, steps: list[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value at a path, with its place; None where the last step leads to nothing."""
    if not steps:
        yield place, value
    elif steps[0] == "[]":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _values(item, steps[1:], f"{place}[{index}]")
    elif isinstance(value, Mapping):
        yield from _values(value.get(steps[0]), steps[1:], f"{place}.{steps[0]}".lstrip("."))
