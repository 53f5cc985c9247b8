"""The table of everything the API serves. Adding a kind is adding a row; order is discovery order.

Names, verbs, short names, categories and the order of groups are those of Kubernetes 1.36 discovery. Only what is
really served is listed: `kubectl get all` asks for every kind of category `all`.
"""

from __future__ import annotations

from typing import Any

from netsim.api.kind import COLLECTION, READ_WRITE, Kind, Obj, Subresource

__all__ = ("Kind", "Obj", "Subresource", "by_kind", "by_plural", "kind_of", "split_api_version")

ALL = ("all",)
_CSR = "CertificateSigningRequest"
_CREATE = ("create",)
_READ = ("get", "list")
_CONNECT = ("create", "get")
_ANY_METHOD = ("create", "delete", "get", "patch", "update")


def _scale() -> Subresource:
    return Subresource("scale", "Scale", READ_WRITE, "autoscaling", "v1")


def _kind(api_version: str, kind: str, plural: str, *subresources: Subresource, **facts: Any) -> Kind:
    """A row: `status` adds the /status subresource after the given ones."""
    group, version = split_api_version(api_version)
    if facts.get("status"):
        subresources += (Subresource("status", kind, READ_WRITE),)
    return Kind(group, version, kind, plural, facts.pop("singular", kind.lower()), subresources=subresources, **facts)


def _review(api_version: str, kind: str, *, namespaced: bool = False) -> Kind:
    return _kind(api_version, kind, f"{kind.lower()}s", namespaced=namespaced, verbs=_CREATE)


def split_api_version(api_version: str) -> tuple[str, str]:
    """ "apps/v1" -> ("apps", "v1"); "v1" -> ("", "v1")."""
    group, slash, version = api_version.partition("/")
    return (group, version) if slash else ("", api_version)


BINDINGS = _kind("v1", "Binding", "bindings", verbs=_CREATE)
# Computed: how the control plane's parts are.
COMPONENT_STATUSES = _kind(
    "v1", "ComponentStatus", "componentstatuses", namespaced=False, short_names=("cs",), verbs=("get", "list")
)
CONFIG_MAPS = _kind("v1", "ConfigMap", "configmaps", short_names=("cm",))
ENDPOINTS = _kind("v1", "Endpoints", "endpoints", short_names=("ep",))
EVENTS = _kind("v1", "Event", "events", short_names=("ev",))
LIMIT_RANGES = _kind("v1", "LimitRange", "limitranges", short_names=("limits",))
NAMESPACES = _kind(
    "v1",
    "Namespace",
    "namespaces",
    Subresource("finalize", "Namespace", ("update",)),
    namespaced=False,
    short_names=("ns",),
    status=True,
    verbs=tuple(verb for verb in COLLECTION if verb != "deletecollection"),
)
NODES = _kind(
    "v1", "Node", "nodes", Subresource("proxy", "NodeProxyOptions", _ANY_METHOD),
    namespaced=False, short_names=("no",), status=True,
)  # fmt: skip
PERSISTENT_VOLUME_CLAIMS = _kind(
    "v1", "PersistentVolumeClaim", "persistentvolumeclaims", short_names=("pvc",), status=True
)
PERSISTENT_VOLUMES = _kind(
    "v1", "PersistentVolume", "persistentvolumes", namespaced=False, short_names=("pv",), status=True
)
PODS = _kind(
    "v1",
    "Pod",
    "pods",
    Subresource("attach", "PodAttachOptions", _CONNECT),
    Subresource("binding", "Binding", _CREATE),
    Subresource("ephemeralcontainers", "Pod", READ_WRITE),
    Subresource("eviction", "Eviction", _CREATE, "policy", "v1"),
    Subresource("exec", "PodExecOptions", _CONNECT),
    Subresource("log", "Pod", ("get",)),
    Subresource("portforward", "PodPortForwardOptions", _CONNECT),
    Subresource("proxy", "PodProxyOptions", _ANY_METHOD),
    Subresource("resize", "Pod", READ_WRITE),
    short_names=("po",),
    categories=ALL,
    status=True,
    generation=True,
)
POD_TEMPLATES = _kind("v1", "PodTemplate", "podtemplates", generation=True)
REPLICATION_CONTROLLERS = _kind(
    "v1", "ReplicationController", "replicationcontrollers", _scale(),
    short_names=("rc",), categories=ALL, status=True, generation=True,
)  # fmt: skip
RESOURCE_QUOTAS = _kind("v1", "ResourceQuota", "resourcequotas", short_names=("quota",), status=True)
SECRETS = _kind("v1", "Secret", "secrets")
SERVICE_ACCOUNTS = _kind(
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    Subresource("token", "TokenRequest", _CREATE, "authentication.k8s.io", "v1"),
    short_names=("sa",),
)
SERVICES = _kind(
    "v1", "Service", "services", Subresource("proxy", "ServiceProxyOptions", _ANY_METHOD),
    short_names=("svc",), categories=ALL, status=True,
)  # fmt: skip

CONTROLLER_REVISIONS = _kind("apps/v1", "ControllerRevision", "controllerrevisions")
DAEMON_SETS = _kind(
    "apps/v1", "DaemonSet", "daemonsets", short_names=("ds",), categories=ALL, status=True, generation=True
)
DEPLOYMENTS = _kind(
    "apps/v1", "Deployment", "deployments", _scale(),
    short_names=("deploy",), categories=ALL, status=True, generation=True,
)  # fmt: skip
REPLICA_SETS = _kind(
    "apps/v1", "ReplicaSet", "replicasets", _scale(),
    short_names=("rs",), categories=ALL, status=True, generation=True,
)  # fmt: skip
STATEFUL_SETS = _kind(
    "apps/v1", "StatefulSet", "statefulsets", _scale(),
    short_names=("sts",), categories=ALL, status=True, generation=True,
)  # fmt: skip

# A second view of EVENTS: one store, other field names.
EVENTS_V1 = _kind("events.k8s.io/v1", "Event", "events", short_names=("ev",), view_of="v1")

SELF_SUBJECT_REVIEWS = _review("authentication.k8s.io/v1", "SelfSubjectReview")
TOKEN_REVIEWS = _review("authentication.k8s.io/v1", "TokenReview")
LOCAL_SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io/v1", "LocalSubjectAccessReview", namespaced=True)
SELF_SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io/v1", "SelfSubjectAccessReview")
SELF_SUBJECT_RULES_REVIEWS = _review("authorization.k8s.io/v1", "SelfSubjectRulesReview")
SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io/v1", "SubjectAccessReview")

HORIZONTAL_POD_AUTOSCALERS = _kind(
    "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers",
    short_names=("hpa",), categories=ALL, status=True,
)  # fmt: skip
# An older view of the same: one CPU metric, the rest in annotations.
HORIZONTAL_POD_AUTOSCALERS_V1 = _kind(
    "autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers",
    short_names=("hpa",), categories=ALL, status=True, view_of="autoscaling/v2",
)  # fmt: skip

CRON_JOBS = _kind("batch/v1", "CronJob", "cronjobs", short_names=("cj",), categories=ALL, status=True, generation=True)
JOBS = _kind("batch/v1", "Job", "jobs", categories=ALL, status=True, generation=True)

CERTIFICATE_SIGNING_REQUESTS = _kind(
    "certificates.k8s.io/v1",
    _CSR,
    "certificatesigningrequests",
    Subresource("approval", _CSR, READ_WRITE),
    namespaced=False,
    short_names=("csr",),
    status=True,
)

INGRESS_CLASSES = _kind("networking.k8s.io/v1", "IngressClass", "ingressclasses", namespaced=False, generation=True)
INGRESSES = _kind("networking.k8s.io/v1", "Ingress", "ingresses", short_names=("ing",), status=True, generation=True)
IP_ADDRESSES = _kind("networking.k8s.io/v1", "IPAddress", "ipaddresses", namespaced=False, short_names=("ip",))
NETWORK_POLICIES = _kind(
    "networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", short_names=("netpol",), generation=True
)
SERVICE_CIDRS = _kind("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", namespaced=False, status=True)

POD_DISRUPTION_BUDGETS = _kind(
    "policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", short_names=("pdb",), status=True, generation=True
)

CLUSTER_ROLE_BINDINGS = _kind(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
CLUSTER_ROLES = _kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
ROLE_BINDINGS = _kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
ROLES = _kind("rbac.authorization.k8s.io/v1", "Role", "roles")

CSI_DRIVERS = _kind("storage.k8s.io/v1", "CSIDriver", "csidrivers", namespaced=False, generation=True)
CSI_NODES = _kind("storage.k8s.io/v1", "CSINode", "csinodes", namespaced=False)
CSI_STORAGE_CAPACITIES = _kind("storage.k8s.io/v1", "CSIStorageCapacity", "csistoragecapacities")
STORAGE_CLASSES = _kind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False, short_names=("sc",))
VOLUME_ATTACHMENTS = _kind("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", namespaced=False, status=True)
VOLUME_ATTRIBUTES_CLASSES = _kind(
    "storage.k8s.io/v1", "VolumeAttributesClass", "volumeattributesclasses", namespaced=False, short_names=("vac",)
)

CUSTOM_RESOURCE_DEFINITIONS = _kind(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions",
    namespaced=False, short_names=("crd", "crds"), categories=("api-extensions",), status=True, generation=True,
)  # fmt: skip

PRIORITY_CLASSES = _kind(
    "scheduling.k8s.io/v1",
    "PriorityClass",
    "priorityclasses",
    namespaced=False,
    short_names=("pc",),
    generation=True,
)
LEASES = _kind("coordination.k8s.io/v1", "Lease", "leases")
RUNTIME_CLASSES = _kind("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", namespaced=False)
ENDPOINT_SLICES = _kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", generation=True)

# Devices are written down and read here, by whoever allocates them.
DEVICE_CLASSES = _kind("resource.k8s.io/v1", "DeviceClass", "deviceclasses", namespaced=False, generation=True)
RESOURCE_CLAIMS = _kind("resource.k8s.io/v1", "ResourceClaim", "resourceclaims", status=True)
RESOURCE_CLAIM_TEMPLATES = _kind("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates")
RESOURCE_SLICES = _kind("resource.k8s.io/v1", "ResourceSlice", "resourceslices", namespaced=False, generation=True)

# Computed when they are read, never stored.
NODE_METRICS = _kind("metrics.k8s.io/v1beta1", "NodeMetrics", "nodes", namespaced=False, singular="", verbs=_READ)
POD_METRICS = _kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods", singular="", verbs=_READ)

KINDS: tuple[Kind, ...] = tuple(value for value in globals().values() if isinstance(value, Kind))

_BY_PLURAL = {(k.group, k.version, k.plural): k for k in KINDS}
_BY_KIND = {(k.group, k.version, k.kind): k for k in KINDS}


def by_plural(group: str, version: str, plural: str) -> Kind | None:
    """The served kind of that group ("" for core), version and plural name."""
    return _BY_PLURAL.get((group, version, plural))


def by_kind(group: str, version: str, kind: str) -> Kind | None:
    """The served kind of that group ("" for core), version and kind name."""
    return _BY_KIND.get((group, version, kind))


def kind_of(obj: Obj) -> Kind | None:
    """The served kind that an object's apiVersion and kind name."""
    group, version = split_api_version(str(obj.get("apiVersion", "")))
    return by_kind(group, version, str(obj.get("kind", "")))
