"""What an update may change of the kinds in support.examples, and what it may not, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.kinds import Kind
from netsim.api.validation import validate_update
from support.changes import merged
from support.examples import BASES

STS, DS, RC, JOB = kinds.STATEFUL_SETS, kinds.DAEMON_SETS, kinds.REPLICATION_CONTROLLERS, kinds.JOBS
PV, PVC, QUOTA = kinds.PERSISTENT_VOLUMES, kinds.PERSISTENT_VOLUME_CLAIMS, kinds.RESOURCE_QUOTAS
PDB, ING = kinds.POD_DISRUPTION_BUDGETS, kinds.INGRESSES
FIXED = "field is immutable"
STS_FIXED = (
    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
    "forbidden"
)
OTHER = {"matchLabels": {"x": "y"}}
BOUND = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
GROWN = {"spec.resources.requests.storage": "2Gi"}

UPDATES: list[tuple[Kind, dict[str, Any], str, str]] = [
    (STS, {"spec.serviceName": "x"}, "spec", STS_FIXED),
    (DS, {"spec.selector": OTHER}, "spec.selector", f'Invalid value: {{"matchLabels":{{"x":"y"}}}}: {FIXED}'),
    (kinds.CONTROLLER_REVISIONS, {"data": {}}, "data", f"Invalid value: {{}}: {FIXED}"),
    (JOB, {"spec.completions": 2}, "spec.completions", f"Invalid value: 2: {FIXED}"),
    (JOB, {"spec.selector": OTHER}, "spec.selector", f'Invalid value: {{"matchLabels":{{"x":"y"}}}}: {FIXED}'),
    (JOB, {"spec.template.spec.containers.0.image": "x"}, "spec.template", "Invalid value: "),
    (kinds.INGRESS_CLASSES, {"spec.controller": "x.y/z"}, "spec.controller", f'Invalid value: "x.y/z": {FIXED}'),
    (PVC, {"spec.accessModes": ["ReadWriteMany"]}, "spec", "Forbidden: spec is immutable after creation except resour"),
    (PVC, GROWN, "spec", "Forbidden: spec is immutable after creation except resources.requests and volumeAttributes"),
    (PVC, {**BOUND, "spec.resources.requests.storage": "1Mi"}, "spec.resources.requests.storage", "Forbidden: field c"),
    (PV, {"spec.hostPath.path": "/y"}, "spec.persistentvolumesource", "Forbidden: spec.persistentvolumesource is immu"),
    (kinds.STORAGE_CLASSES, {"parameters": {}}, "parameters", f"Invalid value: {{}}: {FIXED}"),
    (kinds.STORAGE_CLASSES, {"provisioner": "x"}, "provisioner", f'Invalid value: "x": {FIXED}'),
    (kinds.VOLUME_ATTRIBUTES_CLASSES, {"driverName": "x"}, "driverName", "Forbidden: updates to driverName are forbi"),
    (kinds.VOLUME_ATTACHMENTS, {"spec.nodeName": "x"}, "spec", "Invalid value: "),
    (kinds.CSI_DRIVERS, {"spec.attachRequired": False}, "spec.attachedRequired", f"Invalid value: false: {FIXED}"),
    (QUOTA, {"spec.scopes": ["BestEffort"]}, "spec.scopes", f'Invalid value: ["BestEffort"]: {FIXED}'),
    (kinds.PRIORITY_CLASSES, {"value": 11}, "value", "Forbidden: may not be changed in an update."),
    (kinds.PRIORITY_CLASSES, {"preemptionPolicy": "Never"}, "preemptionPolicy", f'Invalid value: "Never": {FIXED}'),
]


@pytest.mark.parametrize(("kind", "changes", "field", "message"), UPDATES)
def test_immutable_fields(kind: Kind, changes: dict[str, Any], field: str, message: str) -> None:
    old = set_defaults(kind, BASES[kind])
    found = validate_update(kind, set_defaults(kind, merged(old, changes)), old)
    assert [cause for cause in found if cause.field == field and cause.message.startswith(message)], found


SUSPENDED = {"spec.suspend": True}


@pytest.mark.parametrize(
    ("kind", "before", "changes"),
    [
        (STS, {}, {"spec.replicas": 5, "spec.template.spec.containers.0.image": "x", "spec.minReadySeconds": 3}),
        (DS, {}, {"spec.template.spec.containers.0.image": "x"}),
        (RC, {}, {"spec.replicas": 0}),
        (JOB, {}, {"spec.parallelism": 3, "spec.suspend": True}),
        (JOB, SUSPENDED, {"spec.template.spec.nodeSelector": {"a": "b"}, "spec.suspend": False}),
        (
            JOB, {"spec.completionMode": "Indexed", "spec.completions": 2, "spec.parallelism": 2},
            {"spec.completions": 3, "spec.parallelism": 3},
        ),
        (PVC, BOUND, GROWN),
        (PVC, {}, {"spec.volumeName": "pv", "spec.storageClassName": "standard"}),
        (PV, {}, {"spec.persistentVolumeReclaimPolicy": "Delete", "spec.claimRef": {"name": "c", "namespace": "n"}}),
        (PDB, {}, {"spec.minAvailable": 2}),
        (QUOTA, {}, {"spec.hard": {"pods": "5"}}),
        (ING, {"metadata.annotations": {"kubernetes.io/ingress.class": "x"}}, {"spec.ingressClassName": "y"}),
    ],
)  # fmt: skip
def test_what_may_change(kind: Kind, before: dict[str, Any], changes: dict[str, Any]) -> None:
    old = set_defaults(kind, merged(BASES[kind], before))
    assert validate_update(kind, set_defaults(kind, merged(old, changes)), old) == []


def test_what_was_stored_before_a_rule_keeps_its_status() -> None:
    """Its status can be written, as long as nobody changes what it asks for."""
    old = {"metadata": {"name": "q"}, "spec": {"hard": {"services": "1"}, "scopes": ["NotBestEffort"]}}
    counted = {**old, "status": {"hard": {"services": "1"}, "used": {"services": "0"}}}
    assert validate_update(QUOTA, counted, old) == []
    assert validate_update(QUOTA, {**counted, "status": {"used": {"services": "-1"}}}, counted)
    assert validate_update(QUOTA, merged(old, {"spec.hard": {"services": "2"}}), old)
