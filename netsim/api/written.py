"""The zeros that Go writes within an object though nobody has said them (pure).

A struct that is no pointer, and a field whose tag does not let it be left out, are written always: a condition without
a time says null, a container's status without a count 0. Facts: the Go types of k8s.io/api 1.36, of those types that a
valid object may hold with such a field absent. What objects say at their top is in `empty_objects`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from netsim.api.kind import Kind
from netsim.api.schema import Schema, definitions, resolve, type_of_kind

Obj = dict[str, Any]
Complete = Callable[[Any], Any]
"""A value -> the same value if nothing is to be added, else a copy with it. Of the types of its schema, without nulls
in lists and maps."""

_CONDITION: Obj = {"type": "", "status": "", "lastTransitionTime": None}
_CURRENT: Obj = {"current": {}}
_OF_RESOURCE: Obj = {"name": "", **_CURRENT}
_OF_METRIC: Obj = {"metric": {"name": ""}, **_CURRENT}
_ZEROS: dict[str, dict[str, Obj]] = {
    "io.k8s.api.core.v1": {
        "ContainerStateRunning": {"startedAt": None},
        "ContainerStateTerminated": {"exitCode": 0, "startedAt": None, "finishedAt": None},
        "ContainerStatus": {
            "name": "", "state": {}, "lastState": {}, "ready": False, "restartCount": 0, "image": "", "imageID": "",
        },
        "HTTPHeader": {"name": "", "value": ""},
        "LinuxContainerUser": {"uid": 0, "gid": 0},
        "PersistentVolumeClaimTemplate": {"metadata": {}},
        "PodCondition": {**_CONDITION, "lastProbeTime": None},
        "PodResourceClaimStatus": {"name": ""},
        "PreferredSchedulingTerm": {"weight": 0, "preference": {}},
        "ProjectedVolumeSource": {"sources": None},
        "ReplicationControllerCondition": _CONDITION,
        "ResourceFieldSelector": {"resource": "", "divisor": "0"},
        "ResourceHealth": {"resourceID": ""},
        "ResourceStatus": {"name": ""},
        "SleepAction": {"seconds": 0},
        "Sysctl": {"name": "", "value": ""},
        "VolumeMountStatus": {"name": "", "mountPath": ""},
    },
    "io.k8s.api.apps.v1": {
        "DaemonSetCondition": _CONDITION,
        "DeploymentCondition": {**_CONDITION, "lastUpdateTime": None},
        "ReplicaSetCondition": _CONDITION,
        "StatefulSetCondition": _CONDITION,
        "StatefulSetOrdinals": {"start": 0},
    },
    "io.k8s.api.batch.v1": {"JobCondition": {**_CONDITION, "lastProbeTime": None}},
    "io.k8s.api.autoscaling.v2": {
        "ContainerResourceMetricStatus": {**_OF_RESOURCE, "container": ""},
        "ExternalMetricStatus": _OF_METRIC,
        "HorizontalPodAutoscalerCondition": _CONDITION,
        "MetricStatus": {"type": ""},
        "ObjectMetricStatus": {**_OF_METRIC, "describedObject": {"kind": "", "name": ""}},
        "PodsMetricStatus": _OF_METRIC,
        "ResourceMetricStatus": _OF_RESOURCE,
    },
    "io.k8s.api.resource.v1": {
        "AllocatedDeviceStatus": {"conditions": None},
        "DeviceCapacity": {"value": "0"},
        "DeviceClaim": {"requests": None},
    },
    "io.k8s.apimachinery.pkg.apis.meta.v1": {"Condition": {**_CONDITION, "reason": "", "message": ""}},
}  # fmt: skip
_POD_STATUS = "io.k8s.api.core.v1.PodStatus"
_BY_NAME = {f"{group}.{name}": zeros for group, types in _ZEROS.items() for name, zeros in types.items()}


def with_zeros(kind: Kind, obj: Obj) -> Obj:
    """An object of a built-in kind with what its parts always write. Shares what stays as it was."""
    complete = _of_type(type_of_kind(kind))
    return obj if complete is None else dict(complete(obj))


def status_with_zeros(status: Obj) -> Obj:
    """The same of a pod's status alone."""
    complete = _of_type(_POD_STATUS)
    return status if complete is None else dict(complete(status))


@cache
def _of_type(name: str) -> Complete | None:
    """What completes values of a type; None if there is nothing to add, however deep."""
    return _of_struct(name) if _leads_to_zeros(name, frozenset()) else None


def _leads_to_zeros(name: str, above: frozenset[str]) -> bool:
    if name in _BY_NAME:
        return True
    below = {found for schema in _properties(name).values() if (found := _held_type(schema))} - above - {name}
    return any(_leads_to_zeros(found, above | {name}) for found in sorted(below))


def _properties(name: str) -> dict[str, Schema]:
    found: dict[str, Schema] = definitions()[name].get("properties", {})
    return {key: schema for key, schema in found.items() if key != "metadata"}


def _held_type(schema: Schema) -> str:
    """The type of a field, or of what the list or map in it holds; "" for none with a name."""
    return resolve(schema.get("items") or schema.get("additionalProperties") or schema)[0]


def _of_struct(name: str) -> Complete:
    zeros = _BY_NAME.get(name, {})
    fields = [
        (key, complete)
        for key, schema in _properties(name).items()
        if (complete := _of_field(schema)) is not None
    ]  # fmt: skip

    def complete_struct(value: Obj) -> Obj:
        result = value if zeros.keys() <= value.keys() else {**zeros, **value}
        for key, complete in fields:
            item = value.get(key)
            if item is None or (done := complete(item)) is item:
                continue
            result = {**result, key: done}
        return result

    return complete_struct


def _of_field(schema: Schema) -> Complete | None:
    every = _of_type(_held_type(schema)) if _held_type(schema) else None
    if every is None:
        return None
    if "items" in schema:
        return lambda items: _same_or_done(items, [every(item) for item in items])
    if "additionalProperties" in schema:
        return lambda held: _same_or_done(held, {key: every(value) for key, value in held.items()})
    return every


def _same_or_done(given: Any, done: Any) -> Any:
    """What was given where nothing in it has changed; what has not is found equal by identity."""
    return given if done == given else done
