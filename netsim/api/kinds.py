"""The table of everything the API serves. Adding a kind is adding a row; order is discovery order.

Names, verbs, short names and categories are those of Kubernetes 1.36 discovery. Only what is really served is listed:
`kubectl get all` asks for every kind of category `all`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]

_COLLECTION = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_NO_COLLECTION_DELETE = ("create", "delete", "get", "list", "patch", "update", "watch")
_READ_WRITE = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object. `group`, `version`, `kind` name what it takes or answers; an empty group and
    version mean those of the parent kind."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One served resource. `verbs` ("create",) alone marks a review, answered at once and never stored."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    generation: bool = False
    subresources: tuple[Subresource, ...] = ()
    verbs: tuple[str, ...] = _COLLECTION

    @property
    def api_version(self) -> str:
        """ "v1" for the core group, else "group/version"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        """Kind of a list of these, such as "PodList"."""
        return f"{self.kind}List"

    @property
    def stored(self) -> bool:
        """False for reviews: create-only kinds which are answered and forgotten."""
        return "get" in self.verbs

    @property
    def resource(self) -> str:
        """ "pods" or "deployments.apps", as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def base(self) -> str:
        """ "/api/v1" or "/apis/GROUP/VERSION"."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str = "", sub: str = "") -> str:
        """REST path of the collection (no name), an object, or its subresource. Without a namespace the
        collection over all namespaces is meant."""
        parts = [self.base]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, sub) if part]
        return "/".join(parts)

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name, if this kind has it."""
        return next((sub for sub in self.subresources if sub.name == name), None)


def _status(kind: str) -> Subresource:
    return Subresource("status", kind, _READ_WRITE)


_SCALE = Subresource("scale", "Scale", _READ_WRITE, "autoscaling", "v1")
_RBAC = "rbac.authorization.k8s.io"
_CSR = "CertificateSigningRequest"

CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", "configmap", short_names=("cm",))
ENDPOINTS = Kind("", "v1", "Endpoints", "endpoints", "endpoints", short_names=("ep",))
EVENTS = Kind("", "v1", "Event", "events", "event", short_names=("ev",))
NAMESPACES = Kind(
    "",
    "v1",
    "Namespace",
    "namespaces",
    "namespace",
    namespaced=False,
    short_names=("ns",),
    status=True,
    subresources=(Subresource("finalize", "Namespace", ("update",)), _status("Namespace")),
    verbs=_NO_COLLECTION_DELETE,
)
NODES = Kind(
    "",
    "v1",
    "Node",
    "nodes",
    "node",
    namespaced=False,
    short_names=("no",),
    status=True,
    subresources=(_status("Node"),),
)
PODS = Kind(
    "",
    "v1",
    "Pod",
    "pods",
    "pod",
    short_names=("po",),
    categories=("all",),
    status=True,
    generation=True,
    subresources=(
        Subresource("attach", "PodAttachOptions", ("create", "get")),
        Subresource("binding", "Binding", ("create",)),
        Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
        Subresource("exec", "PodExecOptions", ("create", "get")),
        Subresource("log", "Pod", ("get",)),
        Subresource("portforward", "PodPortForwardOptions", ("create", "get")),
        _status("Pod"),
    ),
)
SECRETS = Kind("", "v1", "Secret", "secrets", "secret")
SERVICE_ACCOUNTS = Kind(
    "",
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    "serviceaccount",
    short_names=("sa",),
    subresources=(Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),),
)
SERVICES = Kind(
    "",
    "v1",
    "Service",
    "services",
    "service",
    short_names=("svc",),
    categories=("all",),
    status=True,
    subresources=(_status("Service"),),
)
DEPLOYMENTS = Kind(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    "deployment",
    short_names=("deploy",),
    categories=("all",),
    status=True,
    generation=True,
    subresources=(_SCALE, _status("Deployment")),
)
REPLICA_SETS = Kind(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    "replicaset",
    short_names=("rs",),
    categories=("all",),
    status=True,
    generation=True,
    subresources=(_SCALE, _status("ReplicaSet")),
)
# A second view of EVENTS: one store, other field names.
EVENTS_V1 = Kind("events.k8s.io", "v1", "Event", "events", "event", short_names=("ev",))
SELF_SUBJECT_REVIEWS = Kind(
    "authentication.k8s.io",
    "v1",
    "SelfSubjectReview",
    "selfsubjectreviews",
    "selfsubjectreview",
    namespaced=False,
    verbs=("create",),
)
TOKEN_REVIEWS = Kind(
    "authentication.k8s.io", "v1", "TokenReview", "tokenreviews", "tokenreview", namespaced=False, verbs=("create",)
)
LOCAL_SUBJECT_ACCESS_REVIEWS = Kind(
    "authorization.k8s.io",
    "v1",
    "LocalSubjectAccessReview",
    "localsubjectaccessreviews",
    "localsubjectaccessreview",
    verbs=("create",),
)
SELF_SUBJECT_ACCESS_REVIEWS = Kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    "selfsubjectaccessreview",
    namespaced=False,
    verbs=("create",),
)
SELF_SUBJECT_RULES_REVIEWS = Kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    "selfsubjectrulesreview",
    namespaced=False,
    verbs=("create",),
)
SUBJECT_ACCESS_REVIEWS = Kind(
    "authorization.k8s.io",
    "v1",
    "SubjectAccessReview",
    "subjectaccessreviews",
    "subjectaccessreview",
    namespaced=False,
    verbs=("create",),
)
CERTIFICATE_SIGNING_REQUESTS = Kind(
    "certificates.k8s.io",
    "v1",
    _CSR,
    "certificatesigningrequests",
    "certificatesigningrequest",
    namespaced=False,
    short_names=("csr",),
    status=True,
    subresources=(Subresource("approval", _CSR, _READ_WRITE), _status(_CSR)),
)
CLUSTER_ROLE_BINDINGS = Kind(
    _RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", namespaced=False
)
CLUSTER_ROLES = Kind(_RBAC, "v1", "ClusterRole", "clusterroles", "clusterrole", namespaced=False)
ROLE_BINDINGS = Kind(_RBAC, "v1", "RoleBinding", "rolebindings", "rolebinding")
ROLES = Kind(_RBAC, "v1", "Role", "roles", "role")
LEASES = Kind("coordination.k8s.io", "v1", "Lease", "leases", "lease")
ENDPOINT_SLICES = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice", generation=True)

KINDS: tuple[Kind, ...] = (
    CONFIG_MAPS,
    ENDPOINTS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    DEPLOYMENTS,
    REPLICA_SETS,
    EVENTS_V1,
    SELF_SUBJECT_REVIEWS,
    TOKEN_REVIEWS,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    LEASES,
    ENDPOINT_SLICES,
)

_BY_PLURAL = {(k.group, k.version, k.plural): k for k in KINDS}
_BY_KIND = {(k.group, k.version, k.kind): k for k in KINDS}


def by_plural(group: str, version: str, plural: str) -> Kind | None:
    """The served kind of that group ("" for core), version and plural name."""
    return _BY_PLURAL.get((group, version, plural))


def by_kind(group: str, version: str, kind: str) -> Kind | None:
    """The served kind of that group ("" for core), version and kind name."""
    return _BY_KIND.get((group, version, kind))


def split_api_version(api_version: str) -> tuple[str, str]:
    """ "apps/v1" -> ("apps", "v1"); "v1" -> ("", "v1")."""
    group, slash, version = api_version.partition("/")
    return (group, version) if slash else ("", api_version)


def kind_of(obj: Obj) -> Kind | None:
    """The served kind that an object's apiVersion and kind name."""
    group, version = split_api_version(str(obj.get("apiVersion", "")))
    return by_kind(group, version, str(obj.get("kind", "")))
