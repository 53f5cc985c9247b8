"""A CustomResourceDefinition of CronTabs, as the Kubernetes documentation's examples have it, and CronTabs."""

from __future__ import annotations

import copy
from typing import Any

Obj = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TABS = "/apis/stable.example.com/v1/namespaces/default/crontabs"
SPEC_SCHEMA: Obj = {
    "type": "object",
    "required": ["cronSpec"],
    "properties": {
        "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
        "image": {"type": "string", "default": "busybox", "enum": ["busybox", "alpine"]},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10},
        "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "note": {"type": "string", "nullable": True},
        "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "ip": {"type": "string", "format": "ipv4"}},
            },
        },
    },
}
SCHEMA: Obj = {
    "type": "object",
    "properties": {
        "spec": SPEC_SCHEMA,
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
            "x-kubernetes-preserve-unknown-fields": True,
        },
    },
}
SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}
COLUMNS = [
    {"name": "Schedule", "type": "string", "jsonPath": ".spec.cronSpec"},
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def version(name: str = "v1", **more: Any) -> Obj:
    return {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": copy.deepcopy(SCHEMA)}, **more}


def definition(*versions: Obj, plural: str = "crontabs", **names: Any) -> Obj:
    group = "stable.example.com"
    names = {"plural": plural, "kind": "CronTab", **names}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": list(versions) or [version()]}
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**kind, "metadata": {"name": f"{plural}.{group}"}, "spec": spec}


def in_spec(crd: Obj) -> Obj:
    """The schema of a definition's spec, to be changed."""
    found: Obj = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def tab(name: str = "t", **spec: Any) -> Obj:
    given = {"cronSpec": "* * * * */5", **spec}
    return {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": given}
