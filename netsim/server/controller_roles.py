"""What each controller may do where it has an identity of its own (kube-system/NAME, bound to system:controller:NAME):
for all those of kube-controller-manager and cloud-controller-manager, which may run in netsim's place. Pure data."""

from __future__ import annotations

from netsim.api.kinds import Obj
from netsim.server.policy_rules import READ, rule

_FOLLOW = ("list", "watch")
_ALL = ("create", "delete", "get", "list", "patch", "update", "watch")
_KEEP = ("get", "list", "update", "watch")
_APPS, _CORE, _BATCH, _SLICES, _CSR = "apps,extensions", "", "batch", "discovery.k8s.io", "certificates.k8s.io"
_CLAIMS, _VOLUMES = "persistentvolumeclaims", "persistentvolumes"
_DEVICES, _NETWORKS, _STORAGE = "resource.k8s.io", "networking.k8s.io", "storage.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_STATUS = ("patch", "update")
_EVENTS = rule(("create", "patch", "update"), ",events.k8s.io", "events")
_CLIENT, _KUBELET_CLIENT, _SERVING, _UNKNOWN = (
    f"kubernetes.io/{signer}"
    for signer in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
)


def _own(verbs: tuple[str, ...], group: str, resource: str) -> list[Obj]:
    """A controller's own kind: the objects, their status and finalizers."""
    return [
        rule(verbs, group, resource),
        *(rule(("update",), group, f"{resource}/{part}") for part in ("status", "finalizers")),
    ]


_PODS = rule(("create", "delete", "list", "patch", "watch"), _CORE, "pods")
_REVISIONS = rule(_ALL, "apps", "controllerrevisions")
_RESTRICTED = rule(("create",), _SLICES, "endpointslices/restricted")
_SLICE_WRITER = rule(("create", "delete", *_KEEP), _SLICES, "endpointslices")

CONTROLLER_RULES: dict[str, list[Obj]] = {
    "attachdetach-controller": [
        rule(_FOLLOW, _CORE, _CLAIMS, _VOLUMES),
        rule(READ, _CORE, "nodes"),
        rule(_STATUS, _CORE, "nodes/status"),
        rule(_FOLLOW, _CORE, "pods"),
        _EVENTS,
        rule(("create", "delete", *READ), _STORAGE, "volumeattachments"),
        rule(READ, _STORAGE, "csidrivers"),
        rule(READ, _STORAGE, "csinodes"),
    ],
    "certificate-controller": [
        rule(("delete", *READ), _CSR, "certificatesigningrequests"),
        rule(("update",), _CSR, "certificatesigningrequests/approval", "certificatesigningrequests/status"),
        rule(("approve",), _CSR, "signers", names=(_KUBELET_CLIENT,)),
        rule(("sign",), _CSR, "signers", names=(_CLIENT, _KUBELET_CLIENT, _SERVING, _UNKNOWN)),
        rule(("create",), "authorization.k8s.io", "subjectaccessreviews"),
        _EVENTS,
    ],
    "clusterrole-aggregation-controller": [
        rule(("escalate", "get", "list", "patch", "update", "watch"), "rbac.authorization.k8s.io", "clusterroles"),
    ],
    "cronjob-controller": [
        *_own(_KEEP, _BATCH, "cronjobs"),
        rule(_ALL, _BATCH, "jobs"),
        rule(("delete", *_FOLLOW), _CORE, "pods"),
        _EVENTS,
    ],
    "daemon-set-controller": [
        *_own(READ, _APPS, "daemonsets"),
        rule(_FOLLOW, _CORE, "nodes"),
        _PODS,
        rule(("create",), _CORE, "pods/binding"),
        _REVISIONS,
        _EVENTS,
    ],
    "deployment-controller": [
        *_own(_KEEP, _APPS, "deployments"),
        rule(_ALL, _APPS, "replicasets"),
        rule(_KEEP, _CORE, "pods"),
        _EVENTS,
    ],
    "device-taint-eviction-controller": [
        rule(("delete", *READ), _CORE, "pods"),
        rule(_STATUS, _CORE, "pods/status"),
        rule(READ, _DEVICES, "resourceclaims"),
        rule(READ, _DEVICES, "resourceslices"),
        rule(READ, _DEVICES, "deviceclasses"),
        _EVENTS,
    ],
    "disruption-controller": [
        rule(READ, _APPS, "deployments"),
        rule(READ, _APPS, "replicasets"),
        rule(READ, _CORE, "replicationcontrollers"),
        rule(READ, "policy", "poddisruptionbudgets"),
        rule(READ, "apps", "statefulsets"),
        rule(("update",), "policy", "poddisruptionbudgets/status"),
        rule(_STATUS, _CORE, "pods/status"),
        rule(("get",), "*", "*/scale"),
        _EVENTS,
    ],
    "endpoint-controller": [
        rule(READ, _CORE, "pods", "services"),
        rule(("create", "delete", *_KEEP), _CORE, "endpoints"),
        rule(("create",), _CORE, "endpoints/restricted"),
        _EVENTS,
    ],
    "endpointslice-controller": [
        rule(READ, _CORE, "nodes", "pods", "services"),
        rule(("update",), _CORE, "services/finalizers"),
        _SLICE_WRITER,
        _RESTRICTED,
        _EVENTS,
    ],
    "endpointslicemirroring-controller": [
        rule(READ, _CORE, "endpoints", "services"),
        rule(("update",), _CORE, "services/finalizers"),
        rule(("update",), _CORE, "endpoints/finalizers"),
        _SLICE_WRITER,
        _RESTRICTED,
        _EVENTS,
    ],
    "ephemeral-volume-controller": [
        rule(READ, _CORE, "pods"),
        rule(("update",), _CORE, "pods/finalizers"),
        rule(("create", *READ), _CORE, _CLAIMS),
        _EVENTS,
    ],
    "expand-controller": [
        rule((*READ, *_STATUS), _CORE, _VOLUMES),
        rule(_STATUS, _CORE, f"{_CLAIMS}/status"),
        rule(READ, _CORE, _CLAIMS),
        _EVENTS,
    ],
    "generic-garbage-collector": [rule(("delete", "get", "list", "patch", "update", "watch"), "*", "*"), _EVENTS],
    "horizontal-pod-autoscaler": [
        rule(READ, "autoscaling", "horizontalpodautoscalers"),
        rule(("update",), "autoscaling", "horizontalpodautoscalers/status"),
        rule(("get", "update"), "*", "*/scale"),
        rule(_FOLLOW, _CORE, "pods"),
        rule(_FOLLOW, "metrics.k8s.io", "pods"),
        rule(READ, "custom.metrics.k8s.io", "*"),
        rule(READ, "external.metrics.k8s.io", "*"),
        _EVENTS,
    ],
    "job-controller": [*_own(("get", "list", "patch", "update", "watch"), _BATCH, "jobs"), _PODS, _EVENTS],
    "legacy-service-account-token-cleaner": [
        rule(("get",), _CORE, "configmaps", names=("kube-apiserver-legacy-service-account-token-tracking",)),
        rule(("delete", "patch"), _CORE, "secrets"),
    ],
    "namespace-controller": [
        rule(("delete", *READ), _CORE, "namespaces"),
        rule(("update",), _CORE, "namespaces/finalize", "namespaces/status"),
        rule(("delete", "deletecollection", *READ), "*", "*"),
    ],
    "node-controller": [
        rule(("delete", "get", "list", "patch", "update", "watch"), _CORE, "nodes"),
        rule(_STATUS, _CORE, "nodes/status"),
        rule(_STATUS, _CORE, "pods/status"),
        rule(("delete", *READ), _CORE, "pods"),
        _EVENTS,
    ],
    "persistent-volume-binder": [
        rule(("create", "delete", *_KEEP), _CORE, _VOLUMES),
        rule(("update",), _CORE, f"{_VOLUMES}/status"),
        rule(_KEEP, _CORE, _CLAIMS),
        rule(("update",), _CORE, f"{_CLAIMS}/status"),
        rule(("create", "delete", *READ), _CORE, "pods"),
        rule(READ, _STORAGE, "storageclasses"),
        rule(_FOLLOW, _CORE, "nodes"),
        _EVENTS,
        rule(("watch",), _CORE, "events"),
    ],
    "pod-garbage-collector": [
        rule(("delete", *_FOLLOW), _CORE, "pods"),
        rule(READ, _CORE, "nodes"),
        rule(("patch",), _CORE, "pods/status"),
    ],
    "pv-protection-controller": [rule(_KEEP, _CORE, _VOLUMES), _EVENTS],
    "pvc-protection-controller": [
        rule(_KEEP, _CORE, _CLAIMS),
        rule(("update",), _CORE, f"{_CLAIMS}/status"),
        rule(READ, _CORE, "pods"),
        _EVENTS,
    ],
    "replicaset-controller": [*_own(_KEEP, _APPS, "replicasets"), _PODS, _EVENTS],
    "replication-controller": [*_own(_KEEP, _CORE, "replicationcontrollers"), _PODS, _EVENTS],
    "resource-claim-controller": [
        rule(READ, _CORE, "pods"),
        rule(("update",), _CORE, "pods/finalizers"),
        rule(("create", "delete", *READ), _DEVICES, "resourceclaims"),
        rule(_STATUS, _DEVICES, "resourceclaims", "resourceclaims/status"),
        rule(_STATUS, _CORE, "pods/status"),
        _EVENTS,
        rule(_STATUS, _DEVICES, "resourceclaims/binding"),
    ],
    "resourcequota-controller": [
        rule(_FOLLOW, "*", "*"),
        rule(("update",), _CORE, "resourcequotas/status"),
        _EVENTS,
    ],
    "root-ca-cert-publisher": [rule(("create", "update"), _CORE, "configmaps"), _EVENTS],
    "route-controller": [rule(_FOLLOW, _CORE, "nodes"), rule(("patch",), _CORE, "nodes/status"), _EVENTS],
    "selinux-warning-controller": [
        _EVENTS,
        *(rule(READ, _CORE, resource) for resource in (_VOLUMES, _CLAIMS, "pods")),
        rule(READ, _STORAGE, "csidrivers"),
    ],
    "service-account-controller": [rule(("create",), _CORE, "serviceaccounts"), _EVENTS],
    "service-cidrs-controller": [
        rule((*READ, *_STATUS), _NETWORKS, "servicecidrs"),
        rule(_STATUS, _NETWORKS, "servicecidrs/finalizers"),
        rule(_STATUS, _NETWORKS, "servicecidrs/status"),
        rule(READ, _NETWORKS, "ipaddresses"),
        _EVENTS,
    ],
    "service-controller": [
        rule(READ, _CORE, "services"),
        rule(_STATUS, _CORE, "services/status"),
        rule(_FOLLOW, _CORE, "nodes"),
        _EVENTS,
    ],
    "statefulset-controller": [
        rule(_FOLLOW, _CORE, "pods"),
        *_own(READ, "apps", "statefulsets"),
        rule(("create", "delete", "get", "patch", "update"), _CORE, "pods"),
        _REVISIONS,
        rule(("create", *READ), _CORE, _CLAIMS),
        rule(("delete", "update"), _CORE, _CLAIMS),
        rule(("update",), _CORE, "pods/finalizers"),
        _EVENTS,
    ],
    "ttl-after-finished-controller": [rule(("delete", *READ), _BATCH, "jobs"), _EVENTS],
    "ttl-controller": [rule((*_FOLLOW, *_STATUS), _CORE, "nodes"), _EVENTS],
    "validatingadmissionpolicy-status-controller": [
        rule(READ, _ADMISSION, "validatingadmissionpolicies"),
        rule(("get", *_STATUS), _ADMISSION, "validatingadmissionpolicies/status"),
        _EVENTS,
    ],
    "volumeattributesclass-protection-controller": [
        rule(READ, _CORE, _CLAIMS),
        rule(READ, _CORE, _VOLUMES),
        rule(_KEEP, _STORAGE, "volumeattributesclasses"),
        _EVENTS,
    ],
}
"""PolicyRules by the controller's name."""

CONTROLLER_NAMESPACED: dict[tuple[str, str], list[Obj]] = {
    ("kube-public", "bootstrap-signer"): [
        rule(READ, _CORE, "configmaps"),
        rule(("update",), _CORE, "configmaps", names=("cluster-info",)),
        _EVENTS,
    ],
    ("kube-system", "bootstrap-signer"): [rule(READ, _CORE, "secrets")],
    ("kube-system", "cloud-provider"): [rule(("create", *READ), _CORE, "configmaps")],
    ("kube-system", "token-cleaner"): [rule(("delete", *READ), _CORE, "secrets"), _EVENTS],
}
"""Rules within one namespace, by that and the controller's name."""
