"""The default roles and bindings of a cluster (RBAC bootstrap policy), as far as their kinds are served. Pure data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netsim.api.kinds import Obj
from netsim.server.rbac import EVERYTHING

GROUP = "rbac.authorization.k8s.io"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_ALL = (*_READ, *_WRITE)


def rule(verbs: Sequence[str], group: str, *resources: str, names: Sequence[str] = ()) -> Obj:
    """A PolicyRule for resources of one group."""
    found: Obj = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources)}
    return found | ({"resourceNames": list(names)} if names else {})


def paths(*urls: str) -> Obj:
    """A PolicyRule for reading non-resource paths."""
    return {"verbs": ["get"], "nonResourceURLs": list(urls)}


_HEALTH = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH)
_EVENTS = [rule(("create", "patch", "update"), group, "events") for group in ("", "events.k8s.io")]
_REVIEWS = [
    rule(("create",), "authentication.k8s.io", "tokenreviews"),
    rule(("create",), "authorization.k8s.io", "subjectaccessreviews"),
]
_VIEWED = ("configmaps", "endpoints", "pods", "serviceaccounts", "services", "services/status", "events", "namespaces")
_APPS = ("deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets", "statefulsets/scale")
_VIEW = [
    rule(_READ, "", *_VIEWED, "pods/log", "pods/status", "limitranges", "resourcequotas", "persistentvolumeclaims"),
    rule(_READ, "apps", *_APPS, "daemonsets", "controllerrevisions", "deployments/status", "replicasets/status"),
    rule(_READ, "discovery.k8s.io", "endpointslices"),
    rule(_READ, "events.k8s.io", "events"),
    rule(_READ, "batch", "jobs", "cronjobs"),
    rule(_READ, "networking.k8s.io", "ingresses", "networkpolicies"),
    rule(_READ, "policy", "poddisruptionbudgets"),
    rule(_READ, "autoscaling", "horizontalpodautoscalers"),
]
_EDIT = [
    rule(_READ, "", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"),
    rule(_WRITE, "", "pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "configmaps", "endpoints"),
    rule(_WRITE, "", "secrets", "services", "services/proxy", "serviceaccounts", "events", "persistentvolumeclaims"),
    rule(("create",), "", "pods/eviction", "serviceaccounts/token"),
    rule(("impersonate",), "", "serviceaccounts"),
    rule(_WRITE, "apps", *_APPS, "daemonsets", "deployments/rollback"),
    rule(_WRITE, "batch", "jobs", "cronjobs"),
    rule(_WRITE, "networking.k8s.io", "ingresses", "networkpolicies"),
    rule(_WRITE, "policy", "poddisruptionbudgets"),
    rule(_WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(_WRITE, "events.k8s.io", "events"),
]
_ADMIN = [
    rule(("create",), "authorization.k8s.io", "localsubjectaccessreviews"),
    rule(_ALL, GROUP, "roles", "rolebindings"),
]
_NODE = [
    *_REVIEWS,
    rule(("create", *_READ, "delete", "patch", "update"), "", "nodes"),
    rule(("patch", "update"), "", "nodes/status"),
    *_EVENTS,
    rule((*_READ, "create", "delete"), "", "pods"),
    rule(("patch", "update"), "", "pods/status"),
    rule(("create",), "", "pods/eviction", "serviceaccounts/token"),
    rule(_READ, "", "services", "serviceaccounts", "namespaces", "endpoints"),
    rule(("get",), "", "configmaps", "secrets", "persistentvolumeclaims", "persistentvolumes"),
    rule(_READ, "discovery.k8s.io", "endpointslices"),
    rule(("create", "get", "update", "patch", "delete"), "coordination.k8s.io", "leases"),
    rule(("create", *_READ), "certificates.k8s.io", "certificatesigningrequests"),
]
_PROXIER = [
    rule(("list", "watch"), "", "services", "endpoints"),
    rule(_READ, "", "nodes"),
    rule(("list", "watch"), "discovery.k8s.io", "endpointslices"),
    *_EVENTS,
]
_SCHEDULER = [
    *_EVENTS,
    rule(("create", *_READ, "update", "patch"), "coordination.k8s.io", "leases"),
    rule(_READ, "", "nodes", "namespaces", "services", "replicationcontrollers"),
    rule((*_READ, "patch", "update"), "", "persistentvolumeclaims", "persistentvolumes"),
    rule(_READ, "storage.k8s.io", "storageclasses", "csinodes", "csidrivers", "csistoragecapacities"),
    rule((*_READ, "delete"), "", "pods"),
    rule(("create",), "", "bindings", "pods/binding"),
    rule(("patch", "update"), "", "pods/status"),
    rule(_READ, "apps", "replicasets", "statefulsets"),
    rule(_READ, "policy", "poddisruptionbudgets"),
    *_REVIEWS,
]
_CONTROLLERS = [
    *_EVENTS,
    *_REVIEWS,
    {"verbs": [*_READ], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["update", "patch", "delete", "deletecollection"], "apiGroups": ["*"], "resources": ["*"]},
    rule(("create",), "", "pods", "endpoints", "configmaps", "secrets", "serviceaccounts", "serviceaccounts/token"),
    rule(("create",), "", "pods/eviction", "namespaces", "persistentvolumeclaims"),
    rule(("create",), "apps", "replicasets", "controllerrevisions"),
    rule(("create",), "batch", "jobs"),
    rule(("create",), "discovery.k8s.io", "endpointslices"),
    rule(("create",), "discovery.k8s.io", "endpointslices/restricted"),
    rule(("create",), "coordination.k8s.io", "leases"),
]
_COREDNS = [
    rule(("list", "watch"), "", "endpoints", "services", "pods", "namespaces"),
    rule(("list", "watch"), "discovery.k8s.io", "endpointslices"),
]
_METRICS_READER = "system:aggregated-metrics-reader"
_METRICS = [rule(_READ, "metrics.k8s.io", "pods", "nodes")]
_BASIC_USER = [
    rule(("create",), "authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
    rule(("create",), "authentication.k8s.io", "selfsubjectreviews"),
]
_BOOTSTRAPPER = [rule(("create", *_READ), "certificates.k8s.io", "certificatesigningrequests")]
_CSR_GROUP = "certificates.k8s.io"
_APPROVE_CLIENT = [rule(("create",), _CSR_GROUP, "certificatesigningrequests/nodeclient")]
_APPROVE_SELF = [rule(("create",), _CSR_GROUP, "certificatesigningrequests/selfnodeclient")]

_MONITORING = [
    paths("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"),
]
_PROVISIONER = [
    rule((*_READ, "create", "delete"), "", "persistentvolumes"),
    rule((*_READ, "update"), "", "persistentvolumeclaims"),
    rule(_READ, "storage.k8s.io", "storageclasses"),
    rule(("watch",), "", "events"),
    *_EVENTS,
]
_KUBELET_API = [
    rule(_READ, "", "nodes"),
    rule(("proxy",), "", "nodes"),
    rule(("*",), "", "nodes/configz", "nodes/healthz", "nodes/log", "nodes/metrics", "nodes/pods", "nodes/proxy"),
    rule(("*",), "", "nodes/stats"),
]

_CLUSTER_ROLES: dict[str, list[Obj]] = {
    "cluster-admin": EVERYTHING,
    "system:aggregate-to-view": _VIEW,
    "system:aggregate-to-edit": _EDIT,
    "system:aggregate-to-admin": _ADMIN,
    "system:basic-user": _BASIC_USER,
    "system:discovery": [paths(*_DISCOVERY)],
    "system:public-info-viewer": [paths(*_HEALTH)],
    "system:node": _NODE,
    "system:node-proxier": _PROXIER,
    "system:node-bootstrapper": _BOOTSTRAPPER,
    "system:auth-delegator": _REVIEWS,
    "system:monitoring": _MONITORING,
    "system:persistent-volume-provisioner": _PROVISIONER,
    "system:kubelet-api-admin": _KUBELET_API,
    "system:kube-scheduler": _SCHEDULER,
    _METRICS_READER: _METRICS,
    "system:kube-controller-manager": _CONTROLLERS,
    "system:coredns": _COREDNS,
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": _APPROVE_CLIENT,
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": _APPROVE_SELF,
}
_AGGREGATED = {"view": ("view",), "edit": ("view", "edit"), "admin": ("view", "edit", "admin")}
_PERSON, _TEAM = "User", "Group"
_BINDINGS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "cluster-admin": ("cluster-admin", [(_TEAM, "system:masters")]),
    "system:basic-user": ("system:basic-user", [(_TEAM, "system:authenticated")]),
    "system:discovery": ("system:discovery", [(_TEAM, "system:authenticated")]),
    "system:public-info-viewer": (
        "system:public-info-viewer", [(_TEAM, "system:authenticated"), (_TEAM, "system:unauthenticated")],
    ),
    "system:node": ("system:node", [(_TEAM, "system:nodes")]),
    "system:node-proxier": ("system:node-proxier", [(_PERSON, "system:kube-proxy")]),
    "system:kube-scheduler": ("system:kube-scheduler", [(_PERSON, "system:kube-scheduler")]),
    "system:kube-controller-manager": ("system:kube-controller-manager", [(_PERSON, "system:kube-controller-manager")]),
    "system:monitoring": ("system:monitoring", [(_TEAM, "system:monitoring")]),
    "kubeadm:kubelet-bootstrap": ("system:node-bootstrapper", [(_TEAM, "system:bootstrappers")]),
    "kubeadm:node-autoapprove-bootstrap": (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient", [(_TEAM, "system:bootstrappers")],
    ),
    "kubeadm:node-autoapprove-certificate-rotation": (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", [(_TEAM, "system:nodes")],
    ),
}  # fmt: skip


def _object(kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Obj:
    metadata: Obj = {"name": name, "labels": {**_LABELS, **(labels or {})}, "annotations": dict(_ANNOTATIONS)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}


def _aggregation_label(name: str) -> str:
    return f"rbac.authorization.k8s.io/aggregate-to-{name}"


def cluster_roles() -> Iterator[Obj]:
    """All default ClusterRoles; view, edit and admin are aggregated."""
    for name, rules in _CLUSTER_ROLES.items():
        target = "view" if name == _METRICS_READER else name.removeprefix("system:aggregate-to-")
        labels = {
            _aggregation_label(user): "true" for user in _AGGREGATED if target != name and target in _AGGREGATED[user]
        }
        yield {**_object("ClusterRole", name, labels=labels), "rules": rules}
    for name in _AGGREGATED:
        selector = {"matchLabels": {_aggregation_label(name): "true"}}
        yield {**_object("ClusterRole", name), "aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": []}


def _subjects(pairs: Sequence[tuple[str, str]]) -> list[Obj]:
    return [{"kind": kind, "apiGroup": GROUP, "name": name} for kind, name in pairs]


def cluster_role_bindings() -> Iterator[Obj]:
    """All default ClusterRoleBindings."""
    for name, (role, subjects) in _BINDINGS.items():
        reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
        yield {**_object("ClusterRoleBinding", name), "roleRef": reference, "subjects": _subjects(subjects)}
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "system:coredns"}
    account = {"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}
    yield {**_object("ClusterRoleBinding", "system:coredns"), "roleRef": reference, "subjects": [account]}


def namespaced() -> Iterator[Obj]:
    """The role by which everybody, joining nodes above all, may read kube-public/cluster-info (as kubeadm has it)."""
    name = "kubeadm:bootstrap-signer-clusterinfo"
    rules = [rule(("get",), "", "configmaps", names=("cluster-info",))]
    yield {**_object("Role", name, "kube-public"), "rules": rules}
    reference = {"apiGroup": GROUP, "kind": "Role", "name": name}
    subjects = _subjects([(_PERSON, "system:anonymous")])
    yield {**_object("RoleBinding", name, "kube-public"), "roleRef": reference, "subjects": subjects}
