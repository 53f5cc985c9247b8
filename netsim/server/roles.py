"""The default roles and bindings of a cluster (RBAC bootstrap policy), as far as their kinds are served. Pure data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netsim.api.kinds import Obj
from netsim.server.controller_roles import CONTROLLER_NAMESPACED, CONTROLLER_RULES
from netsim.server.policy_rules import READ, WRITE, paths, rule
from netsim.server.rbac import EVERYTHING
from netsim.server.user_roles import ADD_ONS, ADMIN, APPROVERS, EDIT, VIEW

GROUP = "rbac.authorization.k8s.io"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}

_HEALTH = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH)
_EVENTS = [rule(("create", "patch", "update"), group, "events") for group in ("", "events.k8s.io")]
_REVIEWS = [
    rule(("create",), "authentication.k8s.io", "tokenreviews"),
    rule(("create",), "authorization.k8s.io", "subjectaccessreviews"),
]
_VOLUMES = ("persistentvolumeclaims", "persistentvolumes")
_NODE = [
    *_REVIEWS,
    rule(("create", *READ, "delete", "patch", "update"), "", "nodes"),
    rule(("patch", "update"), "", "nodes/status"),
    *_EVENTS,
    rule((*READ, "create", "delete"), "", "pods"),
    rule(("patch", "update"), "", "pods/status"),
    rule(("create",), "", "pods/eviction", "serviceaccounts/token"),
    rule(READ, "", "services", "serviceaccounts", "namespaces", "endpoints"),
    rule(("get",), "", "configmaps", "secrets", "persistentvolumeclaims", "persistentvolumes"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(("create", "get", "update", "patch", "delete"), "coordination.k8s.io", "leases"),
    rule(("create", *READ), "certificates.k8s.io", "certificatesigningrequests"),
    rule(READ, "node.k8s.io", "runtimeclasses"),
]
_PROXIER = [
    rule(("list", "watch"), "", "services", "endpoints"),
    rule(READ, "", "nodes"),
    rule(("list", "watch"), "discovery.k8s.io", "endpointslices"),
    rule(("list", "watch"), "networking.k8s.io", "servicecidrs"),
    *_EVENTS,
]
_SCHEDULER = [
    *_EVENTS,
    rule(("create",), "coordination.k8s.io", "leases"),
    rule((*READ, "update"), "coordination.k8s.io", "leases", names=("kube-scheduler",)),
    rule((*READ, *WRITE), "coordination.k8s.io", "leasecandidates"),
    rule(READ, "", "nodes", "namespaces", "services", "replicationcontrollers", *_VOLUMES),
    rule(READ, "storage.k8s.io", "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments"),
    rule((*READ, "delete"), "", "pods"),
    rule(("create",), "", "bindings", "pods/binding"),
    rule(("patch", "update"), "", "pods/status"),
    rule(READ, "apps,extensions", "replicasets"),
    rule(READ, "apps", "statefulsets"),
    rule(READ, "policy", "poddisruptionbudgets"),
    rule(READ, "resource.k8s.io", "deviceclasses", "resourceslices"),
    rule(("create", *READ, "patch", "update", "delete"), "resource.k8s.io", "resourceclaims"),
    rule((*READ, "patch", "update"), "resource.k8s.io", "resourceclaims/status"),
    rule(("patch", "update"), "resource.k8s.io", "resourceclaims/binding"),
    rule(("update",), "", "pods/finalizers"),
    *_REVIEWS,
]
_CONTROLLERS = [
    *_EVENTS,
    *_REVIEWS,
    {"verbs": [*READ], "apiGroups": ["*"], "resources": ["*"]},
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
_METRICS = [rule(READ, "metrics.k8s.io", "pods", "nodes")]
_BASIC_USER = [
    rule(("create",), "authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
    rule(("create",), "authentication.k8s.io", "selfsubjectreviews"),
]
_BOOTSTRAPPER = [rule(("create", *READ), "certificates.k8s.io", "certificatesigningrequests")]
_CSR_GROUP = "certificates.k8s.io"
_APPROVE_CLIENT = [rule(("create",), _CSR_GROUP, "certificatesigningrequests/nodeclient")]
_APPROVE_SELF = [rule(("create",), _CSR_GROUP, "certificatesigningrequests/selfnodeclient")]

_MONITORING = [
    paths(
        "/flagz", "/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*",
        "/statusz",
    ),
    rule(("get",), "", "nodes/metrics"),
]  # fmt: skip
_PROVISIONER = [
    rule((*READ, "create", "delete"), "", "persistentvolumes"),
    rule((*READ, "update"), "", "persistentvolumeclaims"),
    rule(READ, "storage.k8s.io", "storageclasses"),
    rule(("watch",), "", "events"),
    *_EVENTS,
]
_NODE_PROVISIONER = [
    rule(READ, "", "persistentvolumeclaims"),
    rule((*READ, "create", "patch", "delete"), "", "persistentvolumes"),
    rule(READ, "storage.k8s.io", "storageclasses"),
]
_ISSUER = [
    paths(*(f"{path}{end}" for path in ("/.well-known/openid-configuration", "/openid/v1/jwks") for end in ("", "/"))),
]
_CONTROLLER = "system:controller:"
_KUBELET_API = [
    rule(READ, "", "nodes"),
    rule(("proxy",), "", "nodes"),
    rule(("*",), "", "nodes/configz", "nodes/healthz", "nodes/log", "nodes/metrics", "nodes/pods", "nodes/proxy"),
    rule(("*",), "", "nodes/stats"),
]

_CLUSTER_ROLES: dict[str, list[Obj]] = {
    "cluster-admin": EVERYTHING,
    "system:aggregate-to-view": VIEW,
    "system:aggregate-to-edit": EDIT,
    "system:aggregate-to-admin": ADMIN,
    "system:basic-user": _BASIC_USER,
    "system:discovery": [paths(*_DISCOVERY)],
    "system:public-info-viewer": [paths(*_HEALTH)],
    "system:node": _NODE,
    "system:node-proxier": _PROXIER,
    "system:node-bootstrapper": _BOOTSTRAPPER,
    "system:auth-delegator": _REVIEWS,
    "system:monitoring": _MONITORING,
    "system:persistent-volume-provisioner": _PROVISIONER,
    "netsim:local-path-provisioner": _NODE_PROVISIONER,
    "system:service-account-issuer-discovery": _ISSUER,
    "system:kubelet-api-admin": _KUBELET_API,
    "system:kube-scheduler": _SCHEDULER,
    _METRICS_READER: _METRICS,
    "system:kube-controller-manager": _CONTROLLERS,
    "system:coredns": _COREDNS,
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": _APPROVE_CLIENT,
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": _APPROVE_SELF,
    **ADD_ONS,
    **APPROVERS,
    **{f"{_CONTROLLER}{name}": rules for name, rules in CONTROLLER_RULES.items()},
}
_AGGREGATED = {"view": "edit", "edit": "admin", "admin": ""}
"""The aggregated roles, each with the one that it is itself a part of."""
_PERSON, _TEAM, _ACCOUNT = "User", "Group", "ServiceAccount"
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
    "netsim:local-path-provisioner": ("netsim:local-path-provisioner", [(_TEAM, "system:nodes")]),
    "system:service-account-issuer-discovery": (
        "system:service-account-issuer-discovery", [(_TEAM, "system:serviceaccounts")],
    ),
    "system:monitoring": ("system:monitoring", [(_TEAM, "system:monitoring")]),
    "system:volume-scheduler": ("system:volume-scheduler", [(_PERSON, "system:kube-scheduler")]),
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
        target = name.removeprefix("system:aggregate-to-")
        users = ("view", "edit", "admin") if name == _METRICS_READER else (target,) if target != name else ()
        labels = {_aggregation_label(user): "true" for user in users}
        yield {**_object("ClusterRole", name, labels=labels), "rules": rules}
    for name, user in _AGGREGATED.items():
        selector = {"matchLabels": {_aggregation_label(name): "true"}}
        labels = {_aggregation_label(user): "true"} if user else {}
        role = _object("ClusterRole", name, labels=labels)
        yield {**role, "aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": []}


def _subjects(pairs: Sequence[tuple[str, str]]) -> list[Obj]:
    """Users, groups, and ServiceAccounts of kube-system."""
    return [
        {"kind": kind, "name": name, "namespace": "kube-system"}
        if kind == _ACCOUNT
        else {"kind": kind, "apiGroup": GROUP, "name": name}
        for kind, name in pairs
    ]


def cluster_role_bindings() -> Iterator[Obj]:
    """All default ClusterRoleBindings."""
    for name, (role, subjects) in _BINDINGS.items():
        reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
        yield {**_object("ClusterRoleBinding", name), "roleRef": reference, "subjects": _subjects(subjects)}
    accounts = {
        "system:coredns": "coredns",
        "system:kube-dns": "kube-dns",
        **{f"{_CONTROLLER}{name}": name for name in CONTROLLER_RULES},
    }
    for name, account in accounts.items():
        reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
        yield {
            **_object("ClusterRoleBinding", name),
            "roleRef": reference,
            "subjects": _subjects([(_ACCOUNT, account)]),
        }


_CONFIGURATION = "extension-apiserver-authentication"
_LOCKS = [
    rule(("create", "get", "list", "update", "watch"), "coordination.k8s.io", resource)
    for resource in ("leases", "leasecandidates")
]
_NAMESPACED: dict[tuple[str, str], list[Obj]] = {
    ("kube-public", "kubeadm:bootstrap-signer-clusterinfo"): [
        rule(("get",), "", "configmaps", names=("cluster-info",)),
    ],
    ("kube-system", f"{_CONFIGURATION}-reader"): [rule(READ, "", "configmaps", names=(_CONFIGURATION,))],
    ("kube-system", "system::leader-locking-kube-controller-manager"): _LOCKS,
    ("kube-system", "system::leader-locking-kube-scheduler"): _LOCKS,
    **{(namespace, f"{_CONTROLLER}{name}"): rules for (namespace, name), rules in CONTROLLER_NAMESPACED.items()},
}
_MANAGER, _KUBE_SCHEDULER = (_PERSON, "system:kube-controller-manager"), (_PERSON, "system:kube-scheduler")
_NAMESPACED_BINDINGS: dict[tuple[str, str], tuple[str, list[tuple[str, str]]]] = {
    ("kube-public", "kubeadm:bootstrap-signer-clusterinfo"): (
        "kubeadm:bootstrap-signer-clusterinfo", [(_PERSON, "system:anonymous")],
    ),
    ("kube-system", f"system::{_CONFIGURATION}-reader"): (f"{_CONFIGURATION}-reader", [_MANAGER, _KUBE_SCHEDULER]),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        "system::leader-locking-kube-controller-manager",
        [_MANAGER, (_ACCOUNT, "kube-controller-manager"), (_ACCOUNT, "leader-election-controller")],
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        "system::leader-locking-kube-scheduler", [_KUBE_SCHEDULER, (_ACCOUNT, "kube-scheduler")],
    ),
    **{
        (namespace, f"{_CONTROLLER}{name}"): (f"{_CONTROLLER}{name}", [(_ACCOUNT, name)])
        for namespace, name in CONTROLLER_NAMESPACED
    },
}  # fmt: skip


def namespaced() -> Iterator[Obj]:
    """The default Roles and RoleBindings. By kubeadm's, everybody may read kube-public/cluster-info, joining nodes
    above all; add-ons with a server of their own bind to extension-apiserver-authentication-reader."""
    for (namespace, name), rules in _NAMESPACED.items():
        yield {**_object("Role", name, namespace), "rules": rules}
    for (namespace, name), (role, subjects) in _NAMESPACED_BINDINGS.items():
        reference = {"apiGroup": GROUP, "kind": "Role", "name": role}
        binding = _object("RoleBinding", name, namespace)
        yield {**binding, "roleRef": reference, "subjects": _subjects(subjects)}
