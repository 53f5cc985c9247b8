"""Validation of the workload, batch, networking, storage, policy and autoscaling kinds, and of where pods run: what is
refused, at which field, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.causes import dns_label
from netsim.api.defaults import set_defaults
from netsim.api.kinds import Kind, Obj
from netsim.api.validate_pods import pod_spec
from netsim.api.validation import validate_create, validate_update
from support.changes import merged
from support.examples import BASES


@pytest.mark.parametrize("kind", BASES, ids=lambda kind: kind.resource)
def test_good_objects_are_accepted_and_may_stay_as_they_are(kind: Kind) -> None:
    obj = set_defaults(kind, BASES[kind])
    assert validate_create(kind, obj) == []
    assert validate_update(kind, obj, obj) == []


T = "spec.template.spec"
M = "spec.metrics[0]"
P = "spec.rules[0].http.paths[0]"
L = "spec.limits[0]"
STS, DS, RC, JOB, CRON = (
    kinds.STATEFUL_SETS, kinds.DAEMON_SETS, kinds.REPLICATION_CONTROLLERS, kinds.JOBS, kinds.CRON_JOBS,
)  # fmt: skip
HPA, PDB, ING, NETPOL = (
    kinds.HORIZONTAL_POD_AUTOSCALERS, kinds.POD_DISRUPTION_BUDGETS, kinds.INGRESSES, kinds.NETWORK_POLICIES,
)  # fmt: skip
PV, PVC, QUOTA, LIMITS = (
    kinds.PERSISTENT_VOLUMES, kinds.PERSISTENT_VOLUME_CLAIMS, kinds.RESOURCE_QUOTAS, kinds.LIMIT_RANGES,
)  # fmt: skip
C0, R = "spec.containers.0", "spec.containers[0].resources"
AFFINITY = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
NODE_TERM = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
    {"matchExpressions": [{"key": "k", "operator": "Gt", "values": ["1", "2"]}]}]}}}  # fmt: skip
POD_TERM = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0}]}}
SPREAD = {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}

REFUSALS: list[tuple[Kind, dict[str, Any], str, str]] = [
    # what keeps pods running
    (DS, {"spec.selector": {}}, "spec.selector", "Invalid value: {}: empty selector is invalid for daemonset"),
    (DS, {"spec.template.spec.restartPolicy": "Never"}, f"{T}.restartPolicy", 'Unsupported value: "Never": supp'),
    (DS, {"spec.template.spec.activeDeadlineSeconds": 1}, f"{T}.activeDeadlineSeconds", "Forbidden: activeDeadlineS"),
    (DS, {"spec.updateStrategy": {"type": "X"}}, "spec.updateStrategy.type", 'Unsupported value: "X": supported valu'),
    (
        DS, {"spec.updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}},
        "spec.updateStrategy.rollingUpdate.maxUnavailable", "Required value: cannot be 0 when maxSurge is 0",
    ),
    (
        DS, {"spec.updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}, "spec.updateStrategy.rollingUpdate.maxSurge",
        "Invalid value: 1: may not be set when maxUnavailable is non-zero",
    ),
    (STS, {"spec.selector": ...}, "spec.selector", "Required value"),
    (STS, {"spec.template.metadata.labels": {}}, "spec.template.metadata.labels", "Invalid value: {}: `selector` does"),
    (STS, {"spec.podManagementPolicy": "X"}, "spec.podManagementPolicy", "Invalid value: \"X\": must be 'OrderedReady"),
    (STS, {"spec.replicas": -1}, "spec.replicas", "Invalid value: -1: must be greater than or equal to 0"),
    (
        STS, {"spec.persistentVolumeClaimRetentionPolicy": {"whenScaled": "X"}},
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
        'Unsupported value: "X": supported values: "Delete", "Retain"',
    ),
    (
        STS, {"spec.template.spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        f"{T}.containers[0].volumeMounts[0].name", 'Not found: "v"',
    ),
    (RC, {"spec.selector": {"x": "y"}}, "spec.template.metadata.labels", 'Invalid value: {"a":"b"}: `selector` does n'),
    (RC, {"spec.template": ...}, "spec.template", "Required value"),
    (kinds.CONTROLLER_REVISIONS, {"data": ...}, "data", "Required value: data is mandatory"),
    (STS, {"metadata.name": "a.b"}, "metadata.name", 'Invalid value: "a.b": must not contain dots'),
    # jobs
    (JOB, {"spec.template.spec.restartPolicy": ...}, f"{T}.restartPolicy", 'Required value: valid values: "OnFailure"'),
    (JOB, {"spec.template.spec.restartPolicy": "X"}, f"{T}.restartPolicy", 'Unsupported value: "X": supported values'),
    (JOB, {"spec.managedBy": "x"}, "spec.managedBy", 'Invalid value: "x": must be a domain-prefixed path (such as "ac'),
    (JOB, {"spec.managedBy": "x.y/" + "z" * 60}, "spec.managedBy", "Too long: may not be more than 63 bytes"),
    (JOB, {f"{T}.ephemeralContainers": [{"name": "e"}]}, f"{T}.ephemeralContainers", "Forbidden: ephemeral containers"),
    (JOB, {"spec.completions": -1}, "spec.completions", "Invalid value: -1: must be greater than or equal to 0"),
    (JOB, {"spec.completionMode": "Indexed", "spec.parallelism": 1}, "spec.completions", "Required value: when comple"),
    (JOB, {"spec.backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex", "Invalid value: 1: requires indexed complet"),
    (
        JOB, {"spec.podFailurePolicy": {"rules": [{"action": "Ignore"}]}}, "spec.podFailurePolicy.rules[0]",
        "Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
    ),
    (
        JOB, {"metadata.uid": "u", "spec.manualSelector": False}, "spec.template.metadata.labels[job-name]",
        "Invalid value: \"\": must be 'j'",
    ),
    (CRON, {"spec.schedule": ""}, "spec.schedule", "Required value"),
    (CRON, {"spec.schedule": "* * *"}, "spec.schedule", 'Invalid value: "* * *": expected exactly 5 fields, found 3: '),
    (CRON, {"spec.schedule": "61 * * * *"}, "spec.schedule", 'Invalid value: "61 * * * *": end of range (61) above ma'),
    (CRON, {"spec.schedule": "TZ=UTC 0 0 * * *"}, "spec.schedule", 'Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ'),
    (CRON, {"spec.timeZone": "Mars/X"}, "spec.timeZone", 'Invalid value: "Mars/X": unknown time zone Mars/X'),
    (CRON, {"spec.concurrencyPolicy": "X"}, "spec.concurrencyPolicy", 'Unsupported value: "X": supported values: "All'),
    (CRON, {"metadata.name": "a" * 53}, "metadata.name", f'Invalid value: "{"a" * 53}": must be no more than 52 chara'),
    (
        CRON, {"spec.jobTemplate.spec.template.spec.restartPolicy": "Always"},
        "spec.jobTemplate.spec.template.spec.restartPolicy", 'Required value: valid values: "OnFailure", "Never"',
    ),
    (
        CRON, {"spec.jobTemplate.spec.selector": {}}, "spec.jobTemplate.spec.selector",
        "Invalid value: {}: `selector` will be auto-generated",
    ),
    # autoscaling and disruption
    (HPA, {"spec.minReplicas": 0}, "spec.minReplicas", "Invalid value: 0: must be greater than or equal to 1"),
    (HPA, {"spec.maxReplicas": ...}, "spec.maxReplicas", "Required value: must be set and greater than 0"),
    (HPA, {"spec.maxReplicas": -1}, "spec.maxReplicas", "Invalid value: -1: must be greater than or equal to 1"),
    (
        HPA, {"spec.scaleTargetRef.apiVersion": "v1"}, "spec.scaleTargetRef.apiVersion",
        'Invalid value: "v1": apiVersion must specify API group',
    ),
    (HPA, {"spec.minReplicas": 5}, "spec.maxReplicas", "Invalid value: 3: must be greater than or equal to `minReplic"),
    (HPA, {"spec.scaleTargetRef.name": ...}, "spec.scaleTargetRef.name", "Required value"),
    (HPA, {"spec.metrics.0.type": "Pods"}, f"{M}.pods", "Required value: must populate information for the given met"),
    (
        HPA, {"spec.metrics.0": {"type": "Pods", "resource": {}, "pods": {}}}, f"{M}.resource",
        "Forbidden: must populate the given metric source only",
    ),
    (HPA, {"spec.metrics.0.type": "X"}, f"{M}.type", 'Unsupported value: "X": supported values: "ContainerResource"'),
    (
        HPA, {"spec.metrics.0.resource.target": {"type": "Utilization"}}, f"{M}.resource.target.averageUtilization",
        "Required value: must set either a target raw value or a target utilization",
    ),
    (
        HPA, {"spec.behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601}}},
        "spec.behavior.scaleUp.stabilizationWindowSeconds", "Invalid value: 3601: must be less than or equal to 3600",
    ),
    (
        PDB, {"spec.maxUnavailable": 1}, "spec",
        'Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,"UnhealthyPodEvictionPolicy":null}: minA',
    ),
    (
        kinds.PRIORITY_CLASSES, {"metadata.name": "system-x"}, "metadata.name",
        "Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is",
    ),
    (PDB, {"spec.minAvailable": "101%"}, "spec.minAvailable", 'Invalid value: "101%": must not be greater than 100%'),
    (PDB, {"spec.minAvailable": "x"}, "spec.minAvailable", 'Invalid value: "x": a valid percent string must be a num'),
    # networking
    (ING, {"spec.rules": ...}, "spec", "Invalid value: null: either `defaultBackend` or `rules` must be specified"),
    (ING, {"spec.rules.0.host": "1.2.3.4"}, "spec.rules[0].host", 'Invalid value: "1.2.3.4": must be a DNS name, not'),
    (ING, {"spec.rules.0.host": "a.*.b"}, "spec.rules[0].host", 'Invalid value: "a.*.b": a wildcard DNS-1123 subdoma'),
    (ING, {"spec.rules.0.http.paths": []}, "spec.rules[0].http.paths", "Required value"),
    (ING, {"spec.rules.0.http.paths.0.pathType": ...}, f"{P}.pathType", "Required value: pathType must be specified"),
    (ING, {"spec.rules.0.http.paths.0.pathType": "X"}, f"{P}.pathType", 'Unsupported value: "X": supported values: "E'),
    (ING, {"spec.rules.0.http.paths.0.path": "x"}, f"{P}.path", 'Invalid value: "x": must be an absolute path'),
    (ING, {"spec.rules.0.http.paths.0.path": "/a//b"}, f"{P}.path", "Invalid value: \"/a//b\": must not contain '//'"),
    (ING, {"spec.rules.0.http.paths.0.backend": {}}, f"{P}.backend", 'Invalid value: "": resource or service backend '),
    (
        ING, {"spec.rules.0.http.paths.0.backend.service.port": {}}, f"{P}.backend",
        "Required value: port name or number is required",
    ),
    (ING, {"spec.tls": [{"hosts": ["A"]}]}, "spec.tls[0].hosts[0]", 'Invalid value: "A": a lowercase RFC 1123 subdom'),
    (
        ING, {"metadata.annotations": {"kubernetes.io/ingress.class": "x"}, "spec.ingressClassName": "y"},
        "annotations.kubernetes.io/ingress.class",
        'Invalid value: "x": must match `ingressClassName` when both are specified',
    ),
    (kinds.INGRESS_CLASSES, {"spec.controller": "x"}, "spec.controller", 'Invalid value: "x": must be a domain-prefix'),
    (NETPOL, {"spec.ingress.0.from": [{}]}, "spec.ingress[0].from[0]", "Required value: must specify a peer"),
    (NETPOL, {"spec.ingress.0.ports.0.port": 0}, "spec.ingress[0].ports[0].port", "Invalid value: 0: must be between"),
    (NETPOL, {"spec.ingress.0.ports.0.endPort": 79}, "spec.ingress[0].ports[0].endPort", "Invalid value: 80: must be "),
    (
        NETPOL, {"spec.ingress.0.from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]},
        "spec.ingress[0].from[0].ipBlock.except[0]",
        'Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
    ),
    (
        NETPOL, {"spec.ingress.0.from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]},
        "spec.ingress[0].from[0]", "Forbidden: may not specify both ipBlock and another peer",
    ),
    (NETPOL, {"spec.policyTypes": ["X"]}, "spec.policyTypes[0]", 'Unsupported value: "X": supported values: "Ingress"'),
    # storage
    (PV, {"spec.hostPath": ...}, "spec", "Required value: must specify a volume type"),
    (PV, {"spec.nfs": {"server": "s", "path": "/"}}, "spec.nfs", "Forbidden: may not specify more than 1 volume type"),
    (PV, {"spec.capacity": ...}, "spec.capacity", "Required value"),
    (PV, {"spec.accessModes": ["X"]}, "spec.accessModes", 'Unsupported value: "X": supported values: "ReadOnlyMany"'),
    (PV, {"spec.hostPath.path": "/a/../b"}, "spec.hostPath.path", "Invalid value: \"/a/../b\": must not contain '..'"),
    (PV, {"spec.hostPath": ..., "spec.local": {"path": "/x"}}, "spec.nodeAffinity", "Required value: Local volume req"),
    (PVC, {"spec.accessModes": []}, "spec.accessModes", "Required value: at least 1 access mode is required"),
    (PVC, {"spec.resources": {}}, "spec.resources[storage]", "Required value"),
    (
        PVC, {"spec.accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}, "spec.accessModes",
        "Forbidden: may not use ReadWriteOncePod with other access modes",
    ),
    (kinds.STORAGE_CLASSES, {"provisioner": ...}, "provisioner", "Required value"),
    (kinds.STORAGE_CLASSES, {"volumeBindingMode": "X"}, "volumeBindingMode", 'Unsupported value: "X": supported valu'),
    (kinds.VOLUME_ATTACHMENTS, {"spec.source": {}}, "spec.source", "Required value: must specify exactly one of inli"),
    # limits
    (
        kinds.LIMIT_RANGES, {"spec.limits": [{"type": "Container", "min": {"selector": "1"}}]},
        "spec.limits[0].min[selector]",
        'Invalid value: "selector": must be a standard resource type or fully qualified',
    ),
    (
        kinds.LIMIT_RANGES, {"spec.limits": [{"type": "Pod", "max": {"pods": "1"}}]}, "spec.limits[0].max[pods]",
        'Invalid value: "pods": must be a standard resource for containers',
    ),
    (QUOTA, {"spec.hard": {"pods": "-1"}}, "spec.hard[pods]", 'Invalid value: "-1": must be greater than or equal to'),
    (QUOTA, {"spec.hard": {"pods": "500m"}}, "spec.hard[pods]", 'Invalid value: "500m": must be an integer'),
    (QUOTA, {"spec.hard": {"foo": "1"}}, "spec.hard[foo]", 'Invalid value: "foo": must be a standard resource type or'),
    (QUOTA, {"spec.scopes": ["X"]}, "spec.scopes", 'Invalid value: ["X"]: unsupported scope'),
    (
        QUOTA, {"spec.hard": {"services": "1"}, "spec.scopes": ["NotBestEffort"]}, "spec.scopes",
        'Invalid value: ["NotBestEffort"]: unsupported scope applied to resource',
    ),
    (
        QUOTA, {"spec.hard": {"cpu": "1"}, "spec.scopeSelector": {"matchExpressions": [
            {"scopeName": "BestEffort", "operator": "Exists"},
        ]}},
        "spec.scopeSelector.matchExpressions",
        'Invalid value: {"MatchExpressions":[{"ScopeName":"BestEffort","Operator":"Exists","Values":null}]}: unsupp',
    ),
    (LIMITS, {"spec.limits.0.min": {"cpu": "2"}}, f"{L}.min[cpu]", 'Invalid value: "2": min value 2 is greater than m'),
    (
        LIMITS, {"spec.limits.0.default": {"cpu": "2"}}, f"{L}.default[cpu]",
        'Invalid value: "1": default value 2 is greater than max value 1',
    ),
    (
        LIMITS, {"spec.limits.0.default": {"cpu": "200m"}, "spec.limits.0.defaultRequest": {"cpu": "300m"}},
        f"{L}.defaultRequest[cpu]",
        'Invalid value: "300m": default request value 300m is greater than default limit value 200m',
    ),
    (LIMITS, {"spec.limits.0.type": "X"}, f"{L}.type", 'Invalid value: "X": must be a standard limit type or fully qu'),
    (LIMITS, {"spec.limits.1": {"type": "Container"}}, "spec.limits[1].type", 'Duplicate value: "Container"'),
    (
        LIMITS, {"spec.limits.0": {"type": "Pod", "default": {"cpu": "1"}}}, f"{L}.default",
        "Forbidden: may not be specified when `type` is 'Pod'",
    ),
    (
        LIMITS, {"spec.limits.0.maxLimitRequestRatio": {"cpu": "11"}}, f"{L}.maxLimitRequestRatio[cpu]",
        'Invalid value: "11": ratio 11 is greater than max/min = 10.000000',
    ),
    (kinds.PRIORITY_CLASSES, {"metadata.name": "system-x"}, "metadata.name", "Forbidden: priority class names with 's"),
    (kinds.PRIORITY_CLASSES, {"value": 1000000001}, "value", "Forbidden: maximum allowed value of a user defined prio"),
    # where pods run
    (kinds.PODS, {"spec.affinity": NODE_TERM}, f"{AFFINITY}[0].matchExpressions[0].values", "Required value: must be "),
    (
        kinds.PODS, {"spec.affinity": POD_TERM},
        "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight",
        "Invalid value: 0: must be in the range 1-100",
    ),
    (
        kinds.PODS, {"spec.affinity": POD_TERM},
        "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey",
        "Required value: can not be empty",
    ),
    (
        kinds.PODS, {"spec.topologySpreadConstraints": [{**SPREAD, "maxSkew": 0}]},
        "spec.topologySpreadConstraints[0].maxSkew", "Invalid value: 0: must be greater than zero",
    ),
    (
        kinds.PODS, {"spec.topologySpreadConstraints": [SPREAD, SPREAD]},
        "spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}", 'Duplicate value: "{z, DoNotSchedule}"',
    ),
    (
        kinds.PODS, {"spec.containers.0.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]},
        "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath",
        'Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x',
    ),
    (
        kinds.PODS, {"spec.containers.0.envFrom": [{}]}, "spec.containers[0].envFrom",
        'Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
    ),
    (
        kinds.PODS, {"spec.volumes": [{"name": "v", "persistentVolumeClaim": {}}]},
        "spec.volumes[0].persistentVolumeClaim.claimName", "Required value",
    ),
    # what containers ask for and may do
    (kinds.PODS, {C0: {"resources": {"limits": {"foo": "1"}}}}, f"{R}.limits[foo]", 'Invalid value: "foo": must be a'),
    (kinds.PODS, {C0: {"resources": {"limits": {"a/b": "1m"}}}}, f"{R}.limits[a/b]", 'Invalid value: "1m": must be an'),
    (kinds.PODS, {C0: {"resources": {"requests": {"a/b": "1"}}}}, f"{R}.limits", "Required value: Limit must be set"),
    (
        kinds.PODS, {C0: {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}},
        "spec.containers[0].securityContext",
        'Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation`',
    ),
    (
        kinds.PODS, {"spec.initContainers": [{"name": "i", "image": "x", "startupProbe": {"exec": {}}}]},
        "spec.initContainers[0].startupProbe",
        "Forbidden: may not be set for init containers without restartPolicy=Always",
    ),
    (
        kinds.PODS, {"spec.securityContext": {"runAsUser": -1}}, "spec.securityContext.runAsUser",
        "Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "field", "message"), REFUSALS)
def test_refusals(kind: Kind, changes: dict[str, Any], field: str, message: str) -> None:
    if C0 in changes:
        changes = {C0: {"name": "c", "image": "x", **changes[C0]}}
    found = validate_create(kind, set_defaults(kind, merged(BASES[kind], changes)))
    assert [cause for cause in found if cause.field == field and cause.message.startswith(message)], found


def test_an_autoscaler_may_name_what_core_has_to_scale() -> None:
    """As `kubectl autoscale rc` does."""
    target = {"kind": "ReplicationController", "name": "rc", "apiVersion": "v1"}
    hpa = {"metadata": {"name": "h", "namespace": "ns"}, "spec": {"maxReplicas": 2, "scaleTargetRef": target}}
    assert validate_create(HPA, set_defaults(HPA, hpa)) == []


def test_no_selector_matches_no_template() -> None:
    template = {"metadata": {"labels": {"app": "q"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    found = validate_create(
        kinds.DEPLOYMENTS, {"metadata": {"name": "d", "namespace": "n"}, "spec": {"template": template}}
    )
    assert [cause.field for cause in found][:2] == ["spec.selector", "spec.template.metadata.labels"]


def test_claims_of_a_stateful_set_are_volumes_of_its_pods() -> None:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    changes = {
        "spec.volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": asked}],
        "spec.template.spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    assert validate_create(STS, set_defaults(STS, merged(BASES[STS], changes))) == []
    changes["spec.volumeClaimTemplates"] = [{"metadata": {"name": "v"}}]
    wrong = set_defaults(STS, merged(BASES[STS], changes))
    where = "spec.volumeClaimTemplates[0].spec"
    fields = [cause.field for cause in validate_create(STS, wrong)]
    assert fields == [f"{where}.accessModes", f"{where}.resources[storage]"]
    assert validate_update(STS, wrong, wrong) == [], "what is immutable may stay wrong"


def test_a_claim_is_filled_from_a_claim_or_from_what_its_group_names() -> None:
    for source, field in (
        ({"kind": "Pod", "name": "p"}, "spec.dataSourceRef"),
        ({"apiGroup": "A", "kind": "K", "name": "n"}, "spec.dataSourceRef.apiGroup"),
        ({"kind": "PersistentVolumeClaim"}, "spec.dataSourceRef.name"),
    ):
        found = validate_create(PVC, set_defaults(PVC, merged(BASES[PVC], {"spec.dataSourceRef": source})))
        assert [cause.field for cause in found] == [field.replace("Ref", ""), field]


def test_a_claim_keeps_no_source_of_an_unknown_kind() -> None:
    for source, kept in (({"kind": "Pod", "name": "p"}, False), ({"kind": "PersistentVolumeClaim", "name": "p"}, True)):
        claim = set_defaults(PVC, merged(BASES[PVC], {"spec.dataSource": source}))
        assert ("dataSource" in claim["spec"]) is kept
        assert validate_create(PVC, claim) == []


def _with_volumes(*volumes: Obj) -> Obj:
    mounts = [{"name": "v", "mountPath": "/v"}]
    return {"containers": [{"name": "c", "image": "i", "volumeMounts": mounts}], "volumes": [*volumes]}


@pytest.mark.parametrize(
    ("volume", "told"),
    [
        (  # the first in Kubernetes' order is the one that is meant, and what is wrong with others is not told
            {"secret": {}, "emptyDir": {}, "downwardAPI": {}},
            [("secret", "Forbidden: may not specify more than 1 volume type"),
             ("downwarAPI", "Forbidden: may not specify more than 1 volume type")],
        ),
        ({"nfs": {"server": "s", "path": "x"}}, [("nfs.path", 'Invalid value: "x": must be an absolute path')]),
        (
            {"configMap": {"name": "c", "items": [{}]}},
            [("configMap.items[0].key", "Required value"), ("configMap.items[0].path", "Required value")],
        ),
        (
            {"downwardAPI": {"items": [{"path": "a"}]}},
            [("downwardAPI", "Required value: one of fieldRef and resourceFieldRef is required")],
        ),
        (
            {"projected": {"sources": [{"secret": {}, "configMap": {"name": "c"}}, {"serviceAccountToken": {}}]}},
            [("projected.sources[0]", "Forbidden: may not specify more than 1 volume type per source"),
             ("projected.sources[0].secret.name", "Required value"), ("projected.path", "Required value")],
        ),
    ],
)  # fmt: skip
def test_a_volume_that_breaks_rules_cannot_be_mounted(volume: Obj, told: list[tuple[str, str]]) -> None:
    found = [(cause.field, cause.message) for cause in pod_spec(_with_volumes({"name": "v", **volume}), "s")]
    named = [(field.removeprefix("s.volumes[0]."), text) for field, text in found if field.startswith("s.volumes")]
    assert named == told
    assert ("s.containers[0].volumeMounts[0].name", 'Not found: "v"') in found


def test_names_that_are_too_long_or_have_dots() -> None:
    def words(name: str) -> list[str]:
        return [cause.message.rpartition('": ')[2] for cause in dns_label("f", name)]

    assert words("a" * 63) == [] and words("a" * 64) == ["must be no more than 63 characters"]
    assert words("a.b") == ["must not contain dots"]
    assert len(words("A" * 64)) == 2
