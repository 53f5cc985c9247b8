"""The empty fields that Go leaves out of an object's JSON (pure).

They follow from the tags of its types, which `protobuf.json` tells: false, 0 and "" of a field that is neither a
pointer nor always written, and an empty list or map unless the type requires it.
"""

from __future__ import annotations

from functools import cache

from netsim.api import protobuf

_WRITTEN = frozenset(
    (
        "ClusterRole.rules", "CustomResourceDefinitionStatus.conditions",
        "CustomResourceDefinitionStatus.storedVersions", "EndpointSlice.endpoints", "EndpointSlice.ports",
        "HPAScalingRules.policies", "HorizontalPodAutoscalerStatus.currentMetrics", "Role.rules",
    )
)  # fmt: skip
"""Lists that are written when they are empty, though the types do not require them, or refused then."""
_API = "io.k8s.api."
_SCALARS = frozenset(("bool", "bytes", "double", "int", "string"))


@cache
def omitted_fields(name: str, required: tuple[str, ...]) -> frozenset[str]:
    """Fields of a type (by its OpenAPI name) that are left out when they are false, 0, "", [] or {}."""
    short = name.rpartition(".")[2]
    return frozenset(
        field
        for field, form, flags in protobuf.fields_of(message_of(name))
        if field not in required and f"{short}.{field}" not in _WRITTEN and _left_out(form, flags)
    )


def message_of(name: str) -> str:
    """The name that `protobuf.json` has for a type: that of its group before its own, outside the core."""
    short = name.rpartition(".")[2]
    group, _, version = name.removesuffix(f".{short}").removeprefix(_API).rpartition(".")
    first = f"{group.rpartition('.')[2]}.{short}"
    older = f"autoscaling1.{short}" if (group, version) == ("autoscaling", "v1") else first
    return next((known for known in (older, first, short) if protobuf.fields_of(known)), "")


def _left_out(form: str, flags: str) -> bool:
    """Whether an empty value of that type and with those flags is left out: structs never are."""
    return "r" in flags or "m" in flags or (form in _SCALARS and "k" not in flags)
