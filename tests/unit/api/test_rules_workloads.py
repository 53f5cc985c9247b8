"""Rules of workloads: what kube-apiserver 1.36 says of Jobs, CronJobs, autoscalers, pods' volumes and places, and of
the counts in a status."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.kinds import Kind
from netsim.api.schema import prune
from netsim.api.validation import validate_create, validate_update
from support.changes import merged

CONTAINER = {"name": "c", "image": "nginx:1"}
ONCE = {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}
LABELED = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
SELECTED = {"selector": {"matchLabels": {"a": "b"}}, "template": LABELED}
SCALED = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
BASES: dict[Kind, dict[str, Any]] = {
    kinds.PODS: {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}},
    kinds.JOBS: {"metadata": {"name": "j"}, "spec": {"template": ONCE, "selector": {}}},
    kinds.CRON_JOBS: {
        "metadata": {"name": "c"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": ONCE}}},
    },
    kinds.HORIZONTAL_POD_AUTOSCALERS: {
        "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": SCALED},
    },
    kinds.DEPLOYMENTS: {"metadata": {"name": "d"}, "spec": SELECTED},
    kinds.REPLICA_SETS: {"metadata": {"name": "r"}, "spec": SELECTED},
    kinds.STATEFUL_SETS: {"metadata": {"name": "s"}, "spec": SELECTED},
    kinds.DAEMON_SETS: {"metadata": {"name": "d"}, "spec": SELECTED},
    kinds.POD_DISRUPTION_BUDGETS: {"metadata": {"name": "b"}, "spec": {}},
}
INDEXED = {"spec.completionMode": "Indexed", "spec.completions": 3}
NO_NAME = 'Invalid value: "": name part must be non-empty'
VOLUME = "spec.volumes[0]"
METRIC, POLICY, SUCCESS = "spec.metrics[0]", "spec.podFailurePolicy.rules[0]", "spec.successPolicy.rules[0]"
WRONG_INDEXES = 'Invalid value: "{}": error parsing succeededIndexes: {}'
AT_LEAST_0 = "Invalid value: -1: must be greater than or equal to 0"


def succeeded(**rule: Any) -> dict[str, Any]:
    return {**INDEXED, "spec.successPolicy": {"rules": [rule]}}


def failing(**rule: Any) -> dict[str, Any]:
    return {"spec.podFailurePolicy": {"rules": [rule]}}


def measured(**metric: Any) -> dict[str, Any]:
    return {"spec.metrics": [metric]}


def refused(kind: Kind, changes: dict[str, Any]) -> list[tuple[str, str]]:
    found = validate_create(kind, set_defaults(kind, prune(kind, merged(BASES[kind], changes))))
    return [(cause.field, cause.message) for cause in found]


def within(term: dict[str, Any]) -> dict[str, Any]:
    """Changes that give a pod one preferred node."""
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]}
    return {"spec.affinity": {"nodeAffinity": preferred}}


TERM = "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference"
NEAR = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize("kind", BASES, ids=lambda kind: kind.resource)
def test_good_objects(kind: Kind) -> None:
    assert refused(kind, {}) == []


@pytest.mark.parametrize(
    ("kind", "changes", "field", "message"),
    [
        (kinds.JOBS, {"spec.completionMode": ""}, "spec.completionMode",
         'Unsupported value: "": supported values: "NonIndexed", "Indexed"'),
        (kinds.JOBS, {"spec.podReplacementPolicy": ""}, "spec.podReplacementPolicy",
         'Unsupported value: "": supported values: "Failed", "TerminatingOrFailed"'),
        (kinds.JOBS, {"spec.managedBy": ""}, "spec.managedBy", "Required value"),
        (kinds.JOBS, {"spec.managedBy": "a.b/x y"}, "spec.managedBy",
         "Invalid value: \"x y\": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"),
        (kinds.JOBS, {**INDEXED, "spec.backoffLimitPerIndex": 1, "spec.maxFailedIndexes": 4}, "spec.maxFailedIndexes",
         "Invalid value: 4: must be less than or equal to completions"),
        (kinds.JOBS, {"spec.maxFailedIndexes": 1}, "spec.backoffLimitPerIndex",
         "Required value: when maxFailedIndexes is specified"),
        (kinds.JOBS, {"spec.template.spec.restartPolicy": "X"}, "spec.template.spec.restartPolicy",
         'Unsupported value: "X": supported values: "Always", "OnFailure", "Never"'),
        (kinds.JOBS, {"spec.template.metadata": {"labels": {"a/b/c": "x"}}}, "spec.template.labels",
         'Invalid value: "a/b/c": a valid label key must consist of'),
        (kinds.JOBS, {"spec.template.metadata": {"annotations": {"Bad Key": "x"}}}, "spec.template.annotations",
         'Invalid value: "Bad Key": name part must consist of'),
        (kinds.JOBS, failing(), f"{POLICY}.action",
         'Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'),
        (kinds.JOBS, failing(action="Count"), POLICY,
         "Invalid value: specifying one of OnExitCodes and OnPodConditions is required"),
        (kinds.JOBS, failing(action="Count", onExitCodes={"operator": "In"}), f"{POLICY}.onExitCodes.values",
         "Invalid value: null: at least one value is required"),
        (kinds.JOBS, {"spec.successPolicy": {"rules": [{"succeededCount": 1}]}}, "spec.successPolicy",
         'Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: requires indexed completion mode'),
        (kinds.JOBS, succeeded(succeededCount=-1), f"{SUCCESS}.succeededCount", AT_LEAST_0),
        (kinds.JOBS, succeeded(succeededCount=4), f"{SUCCESS}.succeededCount",
         "Invalid value: 4: must be less than or equal to 3 (the number of specified completions)"),
        (kinds.JOBS, succeeded(succeededCount=3, succeededIndexes="0-1"), f"{SUCCESS}.succeededCount",
         "Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeeded"),
        (kinds.JOBS, succeeded(succeededIndexes="x"), f"{SUCCESS}.succeededIndexes",
         WRONG_INDEXES.format("x", 'cannot convert string to integer for index: "x"')),
        (kinds.JOBS, succeeded(succeededIndexes="0-9"), f"{SUCCESS}.succeededIndexes",
         WRONG_INDEXES.format("0-9", 'too large index: "9"')),
        (kinds.JOBS, succeeded(succeededIndexes="1,0"), f"{SUCCESS}.succeededIndexes",
         WRONG_INDEXES.format("1,0", "non-increasing order, previous: 1, current: 0")),
        (kinds.JOBS, succeeded(succeededIndexes="0-1-2"), f"{SUCCESS}.succeededIndexes",
         WRONG_INDEXES.format("0-1-2", 'the fragment "0-1-2" violates the requirement')),
        (kinds.CRON_JOBS, {"spec.timeZone": ""}, "spec.timeZone",
         'Invalid value: "": timeZone must be nil or non-empty string'),
        (kinds.CRON_JOBS, {"spec.timeZone": "local"}, "spec.timeZone",
         'Invalid value: "local": unknown time zone local'),
        (kinds.CRON_JOBS, {"spec.schedule": "99999999999999999999 * * * *"}, "spec.schedule",
         'Invalid value: "99999999999999999999 * * * *": failed to parse int from 99999999999999999999: strconv.Atoi: '
         'parsing "99999999999999999999": value out of range'),
        (kinds.CRON_JOBS, {"spec.jobTemplate.spec.manualSelector": True}, "spec.jobTemplate.spec.manualSelector",
         'Unsupported value: true: supported values: "nil", "false"'),
        (kinds.HORIZONTAL_POD_AUTOSCALERS, {"spec.minReplicas": 0}, "spec.metrics",
         "Forbidden: must specify at least one Object or External metric to support scaling to zero replicas"),
        (kinds.HORIZONTAL_POD_AUTOSCALERS, {"spec.behavior": {"scaleUp": {"selectPolicy": ""}}},
         "spec.behavior.scaleUp.selectPolicy", 'Unsupported value: "": supported values: "Disabled", "Max", "Min"'),
        (kinds.HORIZONTAL_POD_AUTOSCALERS, {"spec.behavior": {"scaleDown": {"policies": []}}},
         "spec.behavior.scaleDown.policies", "Required value: must specify at least one Policy"),
        (kinds.HORIZONTAL_POD_AUTOSCALERS, {"spec.behavior": {"scaleUp": {"tolerance": "-1"}}},
         "spec.behavior.scaleUp.tolerance", 'Invalid value: "-1": must be greater than or equal to 0'),
        (kinds.HORIZONTAL_POD_AUTOSCALERS, {"spec.behavior": {"scaleUp": {"stabilizationWindowSeconds": -1}}},
         "spec.behavior.scaleUp.stabilizationWindowSeconds",
         "Invalid value: -1: must be greater than or equal to zero"),
        (kinds.HORIZONTAL_POD_AUTOSCALERS, measured(type="Object", object={"target": {}}),
         f"{METRIC}.object.target.averageValue", "Required value: must set either a target value or averageValue"),
        (kinds.HORIZONTAL_POD_AUTOSCALERS,
         measured(type="ContainerResource", containerResource={"name": "x", "container": "A", "target": {}}),
         f"{METRIC}.containerResource.container", 'Invalid value: "A": a lowercase RFC 1123 label must consist of'),
        (kinds.PODS, {"spec.tolerations": [{}]}, "spec.tolerations[0].operator",
         'Invalid value: "": operator must be Exists when `key` is empty'),
        (kinds.PODS, {"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a"}]},
         "spec.topologySpreadConstraints[0].whenUnsatisfiable", 'Unsupported value: "": supported values: "DoNotSch'),
        (kinds.PODS, {"spec.affinity": {"podAffinity": {NEAR.rpartition(".")[2]: [{}]}}}, f"{NEAR}[0].topologyKey",
         NO_NAME),
        (kinds.PODS, within({"matchFields": [{}]}), f"{TERM}.matchFields[0].key",
         'Invalid value: "": not a valid field selector key'),
        (kinds.PODS, within({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["A"]}]}),
         f"{TERM}.matchFields[0].values[0]", 'Invalid value: "A": a lowercase RFC 1123 subdomain must consist of'),
    ],
)  # fmt: skip
def test_refusals(kind: Kind, changes: dict[str, Any], field: str, message: str) -> None:
    found = refused(kind, changes)
    assert [text for where, text in found if where == field and text.startswith(message)], found


@pytest.mark.parametrize(
    ("source", "field", "message"),
    [
        ({"gitRepo": {}}, "gitRepo.repository", "Required value"),
        ({"gcePersistentDisk": {}}, "persistentDisk.pdName", "Required value"),
        ({"awsElasticBlockStore": {}}, "awsElasticBlockStore.volumeID", "Required value"),
        ({"iscsi": {}}, "iscsi.targetPortal", "Required value"),
        ({"glusterfs": {"endpoints": "x"}}, "glusterfs.path", "Required value"),
        ({"rbd": {}}, "rbd.monitors", "Required value"),
        ({"cinder": {}}, "cinder.volumeID", "Required value"),
        ({"cephfs": {}}, "cephfs.monitors", "Required value"),
        ({"flexVolume": {}}, "flexVolume.driver", "Required value"),
        ({"azureFile": {}}, "azureFile.shareName", "Required value"),
        ({"vsphereVolume": {}}, "vsphereVolume.volumePath", "Required value"),
        ({"photonPersistentDisk": {}}, "photonPersistentDisk.pdID", "Required value"),
        ({"portworxVolume": {}}, "portworxVolume.volumeID", "Required value"),
        ({"storageos": {}}, "storageos.volumeName", "Required value"),
        ({"scaleIO": {}}, "scaleIO.gateway", "Required value"),
        ({"nfs": {"server": "x"}}, "nfs.path", 'Invalid value: "": must be an absolute path'),
        ({"quobyte": {"volume": "x"}}, "quobyte.registry", "Required value: must be a host:port pair or multiple"),
        ({"quobyte": {"volume": "x", "registry": "x"}}, "quobyte.registry", 'Invalid value: "x": must be a host:port'),
        ({"fc": {}}, "fc.targetWWNs", "Required value: must specify either targetWWNs or wwids, but not both"),
        ({"fc": {"targetWWNs": ["a"]}}, "fc.lun", "Required value: lun is required if targetWWNs is specified"),
        ({"fc": {"targetWWNs": ["a"], "lun": 256}}, "fc.lun", "Invalid value: 256: must be between 0 and 255, incl"),
        ({"fc": {"targetWWNs": ["a"], "wwids": ["b"]}}, "fc.targetWWNs", 'Invalid value: ["a"]: targetWWNs and wwids'),
        ({"gcePersistentDisk": {"pdName": "x", "partition": 256}}, "persistentDisk.partition",
         "Invalid value: 256: must be between 1 and 255, inclusive"),
        ({"flocker": {}}, "flocker", "Required value: one of datasetName and datasetUUID is required"),
        ({"azureDisk": {"diskName": "x", "diskURI": "y"}}, "azureDisk.diskURI",
         'Unsupported value: "y": supported values: "https://{account-name}.blob.core'),
        ({"azureDisk": {"diskName": "x", "diskURI": "y", "kind": "Managed"}}, "azureDisk.diskURI",
         'Unsupported value: "y": supported values: "/subscriptions/{sub-id}/'),
        ({"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x"}}}},
         "ephemeral.volumeClaimTemplate.metadata.name", "Forbidden: cannot be set"),
        ({"ephemeral": {"volumeClaimTemplate": {"metadata": {"uid": "x"}}}},
         "ephemeral.volumeClaimTemplate.metadata.uID", "Forbidden: cannot be set"),
    ],
)  # fmt: skip
def test_volumes(source: dict[str, Any], field: str, message: str) -> None:
    found = refused(kinds.PODS, {"spec.volumes": [{"name": "v", **source}]})
    assert [text for where, text in found if where == f"{VOLUME}.{field}" and text.startswith(message)], found


def test_only_the_first_of_several_metric_sources_is_judged() -> None:
    found = refused(kinds.HORIZONTAL_POD_AUTOSCALERS, measured(type="Pods", resource={"target": {}}, external={}))
    fields = [field.removeprefix(f"{METRIC}.") for field, _ in found]
    assert fields == [
        "external.metric.name", "external.target.type", "external.target.type", "external.target.averageValue",
        "pods", "external", "resource",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "before", "after", "field", "message"),
    [
        (kinds.DEPLOYMENTS, {}, {"replicas": -1}, "replicas", AT_LEAST_0),
        (kinds.DEPLOYMENTS, {}, {"replicas": 1, "updatedReplicas": 2}, "updatedReplicas",
         "Invalid value: 2: cannot be greater than status.replicas"),
        (kinds.DEPLOYMENTS, {}, {"replicas": 1, "availableReplicas": 1}, "availableReplicas",
         "Invalid value: 1: cannot be greater than readyReplicas"),
        (kinds.DEPLOYMENTS, {"collisionCount": 2}, {"collisionCount": 1}, "collisionCount",
         "Invalid value: 1: cannot be decremented"),
        (kinds.REPLICA_SETS, {}, {"replicas": 0, "fullyLabeledReplicas": 1}, "fullyLabeledReplicas",
         "Invalid value: 1: cannot be greater than status.replicas"),
        (kinds.STATEFUL_SETS, {}, {"replicas": 1, "availableReplicas": 1}, "availableReplicas",
         "Invalid value: 1: cannot be greater than status.readyReplicas"),
        (kinds.DAEMON_SETS, {"collisionCount": 2}, {"numberReady": 0}, "collisionCount",
         "Invalid value: 0: cannot be decremented"),
        (kinds.DAEMON_SETS, {}, {"numberReady": -1}, "numberReady", AT_LEAST_0),
        (kinds.POD_DISRUPTION_BUDGETS, {}, {"expectedPods": -1}, "expectedPods", AT_LEAST_0),
        (kinds.HORIZONTAL_POD_AUTOSCALERS, {}, {"currentReplicas": -1}, "currentReplicas", AT_LEAST_0),
        (kinds.JOBS, {}, {"failed": -1}, "failed", AT_LEAST_0),
    ],
)  # fmt: skip
def test_counts_in_a_status(kind: Kind, before: Any, after: Any, field: str, message: str) -> None:
    old = {**set_defaults(kind, BASES[kind]), "status": before}
    found = validate_update(kind, {**old, "status": after}, old)
    assert (f"status.{field}", message) in [(cause.field, cause.message) for cause in found]
    wrong = {**old, "status": after}
    assert not [cause for cause in validate_update(kind, wrong, wrong) if cause.field.startswith("status")]
