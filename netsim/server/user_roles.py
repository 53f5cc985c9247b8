"""What the default roles of people (view, edit, admin) and of add-ons grant, and who may approve certificates: as in
Kubernetes, rule for rule. Rules for resources that are not served are there too: roles that people make may hold no
more than their makers, and manifests copied from elsewhere name such resources. Pure data."""

from __future__ import annotations

from netsim.api.kinds import Obj
from netsim.server.policy_rules import READ, WRITE, rule

_ALL = (*WRITE, *READ)
_EVENTS, _CLAIMS = ",events.k8s.io", "persistentvolumeclaims"
_SCALED = ("deployments", "deployments/scale", "replicasets", "replicasets/scale")
_APPS = ("daemonsets", *_SCALED, "statefulsets", "statefulsets/scale")
_OLD = ("daemonsets", *_SCALED, "ingresses", "networkpolicies", "replicationcontrollers/scale")
_CONTROLLERS = ("replicationcontrollers", "replicationcontrollers/scale")
_INTO_PODS = ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy")
_STATUS = ("daemonsets/status", "deployments/status", "replicasets/status")

VIEW: list[Obj] = [
    rule(READ, "", "configmaps", "endpoints", _CLAIMS, f"{_CLAIMS}/status", "pods", *_CONTROLLERS, "serviceaccounts"),
    rule(READ, "", "services", "services/status"),
    rule(READ, "", "bindings", "limitranges", "namespaces/status", "pods/log", "pods/status"),
    rule(READ, "", "replicationcontrollers/status", "resourcequotas", "resourcequotas/status"),
    rule(READ, "", "namespaces"),
    rule(READ, _EVENTS, "events"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(READ, "apps", "controllerrevisions", *_APPS, *_STATUS, "statefulsets/status"),
    rule(READ, "autoscaling", "horizontalpodautoscalers", "horizontalpodautoscalers/status"),
    rule(READ, "batch", "cronjobs", "cronjobs/status", "jobs", "jobs/status"),
    rule(READ, "extensions", *_OLD, *_STATUS, "ingresses/status"),
    rule(READ, "policy", "poddisruptionbudgets", "poddisruptionbudgets/status"),
    rule(READ, "networking.k8s.io", "ingresses", "ingresses/status", "networkpolicies"),
    rule(READ, "resource.k8s.io", "resourceclaims", "resourceclaims/status", "resourceclaimtemplates"),
]
EDIT: list[Obj] = [
    rule(READ, "", *_INTO_PODS, "secrets", "services/proxy"),
    rule(("impersonate",), "", "serviceaccounts"),
    rule(WRITE, "", "pods", *_INTO_PODS),
    rule(("create",), "", "pods/eviction"),
    rule(WRITE, "", "configmaps", _CLAIMS, *_CONTROLLERS, "secrets", "serviceaccounts", "services", "services/proxy"),
    rule(("create",), "", "serviceaccounts/token"),
    rule(WRITE, _EVENTS, "events"),
    rule(WRITE, "apps", *_APPS, "deployments/rollback"),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "cronjobs", "jobs"),
    rule(WRITE, "extensions", *_OLD, "deployments/rollback"),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, "networking.k8s.io", "ingresses", "networkpolicies"),
    rule(_ALL, "coordination.k8s.io", "leases"),
    rule(WRITE, "resource.k8s.io", "resourceclaims", "resourceclaimtemplates"),
]
ADMIN: list[Obj] = [
    rule(("create",), "authorization.k8s.io", "localsubjectaccessreviews"),
    rule(_ALL, "rbac.authorization.k8s.io", "rolebindings", "roles"),
]
ADD_ONS: dict[str, list[Obj]] = {
    "system:heapster": [
        rule(READ, "", "events", "namespaces", "nodes", "pods"),
        rule(READ, "extensions", "deployments"),
    ],
    "system:kube-aggregator": [rule(READ, "", "endpoints", "services")],
    "system:kube-dns": [rule(("list", "watch"), "", "endpoints", "services")],
    "system:node-problem-detector": [
        rule(("get",), "", "nodes"),
        rule(("patch",), "", "nodes/status"),
        rule(("create", "patch", "update"), _EVENTS, "events"),
    ],
    "system:volume-scheduler": [
        rule((*READ, "patch", "update"), "", "persistentvolumes", _CLAIMS),
        rule(READ, "storage.k8s.io", "storageclasses"),
    ],
}
APPROVERS: dict[str, list[Obj]] = {
    f"system:certificates.k8s.io:{name}-approver": [
        rule(("approve",), "certificates.k8s.io", "signers", names=(f"kubernetes.io/{name}",))
    ]
    for name in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
}
