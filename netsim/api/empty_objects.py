"""What every object of a kind has before a client says anything: the structs and zeros its type always writes.

Setting a field within one of these does not set the struct itself, so managedFields names it without ".". Facts: the
Go types of k8s.io/api 1.36 (fields that are structs, not pointers, or are written when empty).
"""

from __future__ import annotations

from typing import Any

from netsim.api.kind import Kind

_POD_SPEC: dict[str, Any] = {"containers": None}
_TEMPLATE: dict[str, Any] = {"metadata": {}, "spec": _POD_SPEC}
_SPEC: dict[str, Any] = {"spec": {}, "status": {}}
_ROLE_REF = {"apiGroup": "", "kind": "", "name": ""}
_SCALE_TARGET = {"kind": "", "name": ""}
_CLAIM_SPEC: dict[str, Any] = {"devices": {}}
_NODE_INFO = dict.fromkeys(
    (
        "architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "kubeletVersion",
        "machineID", "operatingSystem", "osImage", "systemUUID",
    ),
    "",
)  # fmt: skip

_EMPTY: dict[str, dict[str, Any]] = {
    "v1/Pod": {"spec": _POD_SPEC, "status": {}},
    "v1/Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "v1/Node": {"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": _NODE_INFO}},
    "v1/Namespace": _SPEC,
    "v1/PersistentVolume": _SPEC,
    "v1/ResourceQuota": _SPEC,
    "v1/ReplicationController": {"spec": {}, "status": {"replicas": 0}},
    "v1/PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    "v1/LimitRange": {"spec": {"limits": None}},
    "v1/PodTemplate": {"template": _TEMPLATE},
    "v1/Event": {
        "involvedObject": {}, "reportingComponent": "", "reportingInstance": "", "source": {}, "eventTime": None,
        "firstTimestamp": None, "lastTimestamp": None,
    },
    "events.k8s.io/v1/Event": {
        "deprecatedSource": {}, "eventTime": None, "regarding": {}, "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
    },
    "apps/v1/Deployment": {"spec": {"selector": None, "strategy": {}, "template": _TEMPLATE}, "status": {}},
    "apps/v1/ReplicaSet": {"spec": {"selector": None, "template": _TEMPLATE}, "status": {"replicas": 0}},
    "apps/v1/StatefulSet": {
        "spec": {"selector": None, "serviceName": "", "template": _TEMPLATE, "updateStrategy": {}},
        "status": {"availableReplicas": 0, "replicas": 0},
    },
    "apps/v1/DaemonSet": {
        "spec": {"selector": None, "template": _TEMPLATE, "updateStrategy": {}},
        "status": {
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        },
    },
    "apps/v1/ControllerRevision": {"data": None, "revision": 0},
    **{f"authorization.k8s.io/v1/{name}AccessReview": _SPEC for name in ("SelfSubject", "Subject", "LocalSubject")},
    "authentication.k8s.io/v1/TokenReview": _SPEC,
    "authentication.k8s.io/v1/TokenRequest": _SPEC,
    "batch/v1/Job": {"spec": {"template": _TEMPLATE}, "status": {}},
    "batch/v1/CronJob": {
        "spec": {"jobTemplate": {"metadata": {}, "spec": {"template": _TEMPLATE}}, "schedule": ""}, "status": {},
    },
    "autoscaling/v1/HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 0, "scaleTargetRef": _SCALE_TARGET},
        "status": {"currentReplicas": 0, "desiredReplicas": 0},
    },
    "autoscaling/v2/HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 0, "scaleTargetRef": _SCALE_TARGET},
        "status": {"currentMetrics": None, "desiredReplicas": 0},
    },
    "certificates.k8s.io/v1/CertificateSigningRequest": {"spec": {"request": None, "signerName": ""}, "status": {}},
    "coordination.k8s.io/v1/Lease": {"spec": {}},
    "discovery.k8s.io/v1/EndpointSlice": {"addressType": "", "endpoints": None, "ports": None},
    "networking.k8s.io/v1/Ingress": {"spec": {}, "status": {"loadBalancer": {}}},
    "networking.k8s.io/v1/IngressClass": {"spec": {}},
    "networking.k8s.io/v1/IPAddress": {"spec": {}},
    "networking.k8s.io/v1/NetworkPolicy": {"spec": {"podSelector": {}}},
    "networking.k8s.io/v1/ServiceCIDR": {"spec": {}, "status": {}},
    "node.k8s.io/v1/RuntimeClass": {"handler": ""},
    "policy/v1/PodDisruptionBudget": {
        "spec": {},
        "status": {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0},
    },
    "rbac.authorization.k8s.io/v1/ClusterRole": {"rules": None},
    "rbac.authorization.k8s.io/v1/Role": {"rules": None},
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding": {"roleRef": _ROLE_REF},
    "rbac.authorization.k8s.io/v1/RoleBinding": {"roleRef": _ROLE_REF},
    "resource.k8s.io/v1/DeviceClass": {"spec": {}},
    "resource.k8s.io/v1/ResourceClaim": {"spec": _CLAIM_SPEC, "status": {}},
    "resource.k8s.io/v1/ResourceClaimTemplate": {"spec": {"metadata": {}, "spec": _CLAIM_SPEC}},
    "resource.k8s.io/v1/ResourceSlice": {
        "spec": {"driver": "", "pool": {"generation": 0, "name": "", "resourceSliceCount": 0}},
    },
    "scheduling.k8s.io/v1/PriorityClass": {"value": 0},
    "storage.k8s.io/v1/CSIDriver": {"spec": {}},
    "storage.k8s.io/v1/CSINode": {"spec": {"drivers": None}},
    "storage.k8s.io/v1/CSIStorageCapacity": {"storageClassName": ""},
    "storage.k8s.io/v1/StorageClass": {"provisioner": ""},
    "storage.k8s.io/v1/VolumeAttachment": {
        "spec": {"attacher": "", "nodeName": "", "source": {}}, "status": {"attached": False},
    },
    "storage.k8s.io/v1/VolumeAttributesClass": {"driverName": ""},
    "apiextensions.k8s.io/v1/CustomResourceDefinition": {
        "spec": {"group": "", "names": {"kind": "", "plural": ""}, "scope": "", "versions": None},
        "status": {"acceptedNames": {"kind": "", "plural": ""}, "conditions": None, "storedVersions": None},
    },
}  # fmt: skip

_NOTHING: dict[str, Any] = {"metadata": {}}
_WITH_METADATA = {name: {**empty, **_NOTHING} for name, empty in _EMPTY.items()}


def empty_object(kind: Kind) -> dict[str, Any]:
    """The empty object of a kind; that of a custom resource has only metadata. Shared."""
    return _WITH_METADATA.get(f"{kind.api_version}/{kind.kind}", _NOTHING)


def fill_empty(kind: Kind, obj: dict[str, Any]) -> None:
    """Put into `obj`, which is changed, what its type always writes and it does not say."""
    _fill(obj, empty_object(kind))


def _fill(obj: dict[str, Any], empty: dict[str, Any]) -> None:
    for key, value in empty.items():
        if type(value) is dict:
            _fill(obj.setdefault(key, {}), value)
        elif value is None:
            obj[key] = obj.get(key) or None
        else:
            obj.setdefault(key, value)
