"""Type facts of kinds that are not part of Kubernetes' own schemas: metrics.k8s.io, as metrics-server publishes it."""

from __future__ import annotations

from typing import Any

_REF = "#/components/schemas/"
_META = {"$ref": f"{_REF}io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
_TIME = {"$ref": f"{_REF}io.k8s.apimachinery.pkg.apis.meta.v1.Time"}
_QUANTITY = {"$ref": f"{_REF}io.k8s.apimachinery.pkg.api.resource.Quantity"}
_USAGE: dict[str, Any] = {"type": "object", "additionalProperties": _QUANTITY}
_TEXT = {"type": "string"}
_PREFIX = "io.k8s.metrics.pkg.apis.metrics.v1beta1."


def _metrics(kind: str, **more: Any) -> dict[str, Any]:
    fields = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _META, "timestamp": _TIME, "window": _TEXT, **more}
    gvk = {"group": "metrics.k8s.io", "version": "v1beta1", "kind": kind}
    required = sorted({"timestamp", "window", *more})
    return {"type": "object", "properties": fields, "required": required, "x-kubernetes-group-version-kind": [gvk]}


EXTRA: dict[str, dict[str, Any]] = {
    f"{_PREFIX}ContainerMetrics": {
        "type": "object", "properties": {"name": _TEXT, "usage": _USAGE}, "required": ["name", "usage"],
    },
    f"{_PREFIX}NodeMetrics": _metrics("NodeMetrics", usage=_USAGE),
    f"{_PREFIX}PodMetrics": _metrics(
        "PodMetrics", containers={"type": "array", "items": {"$ref": f"{_REF}{_PREFIX}ContainerMetrics"}}
    ),
}  # fmt: skip
