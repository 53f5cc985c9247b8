"""Defaults of every served kind. Pure and idempotent: nothing is allocated, no clock is read.

What needs the cluster's state is the server's: cluster IPs, node ports, the service account and its token, names,
times. Address families are defaulted to single-stack IPv4 unless the object or its clusterIP says otherwise.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from netsim.api import device_defaults as devices
from netsim.api import kinds
from netsim.api import storage_defaults as storage
from netsim.api import workload_defaults as workloads
from netsim.api.empty_objects import fill_empty
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import copy_json
from netsim.api.pod_defaults import default_pod, fill, pod_status
from netsim.api.written import with_zeros

_RBAC = "rbac.authorization.k8s.io"
_CLIENT_IP_SECONDS = 10800
_METADATA = ("metadata",)
_SHARED: dict[Kind, tuple[str, ...]] = {
    kinds.ENDPOINT_SLICES: ("metadata", "endpoints"),
    kinds.SECRETS: ("metadata", "data", "stringData"),
    kinds.EVENTS: ("metadata", "involvedObject", "source"),
    kinds.LEASES: ("metadata", "spec"),
}
"""What has no defaults in it, and need not be copied before they are filled in; of other kinds only the metadata."""


def set_defaults(kind: Kind, obj: Obj) -> Obj:
    """`obj` with every absent field that Kubernetes defaults filled in; the input is untouched, but may share parts
    with the result. The object must have the types of its schema (`schema.typed_errors`) and no nulls
    (`schema.prune`)."""
    filler = _FILLERS.get(kind)
    if filler is None:
        return dict(obj)
    shared = _SHARED.get(kind, _METADATA)
    filled: Obj = {key: value if key in shared else copy_json(value) for key, value in obj.items()}
    if "metadata" in obj:
        filled["metadata"] = _metadata_copy(obj["metadata"])
    filler(filled)
    return with_zeros(kind, filled)


def _metadata_copy(metadata: Obj) -> Obj:
    """Metadata whose labels and annotations are its own. The rest has no defaults, and the managedFields in it can be
    larger than the object."""
    return {key: dict(value) if type(value) is dict else value for key, value in metadata.items()}


def set_pod_defaults(pod: Obj, spec: Obj, qos: str) -> Obj:
    """What `set_defaults` makes of a pod whose spec has been given its defaults before, and has that QoS class."""
    return {
        **pod,
        "spec": spec,
        "status": {"phase": "Pending", "qosClass": qos, **pod_status(pod.get("status") or {})},
    }


def _service(service: Obj) -> None:
    spec = service.setdefault("spec", {})
    fill(spec, type="ClusterIP", sessionAffinity="None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", _CLIENT_IP_SECONDS)
    for port in spec.get("ports") or ():
        fill(port, protocol="TCP")
        if port.get("targetPort") in (None, "", 0) and "port" in port:
            port["targetPort"] = port["port"]
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    if spec["type"] != "ExternalName":
        _service_addresses(spec)
    if spec["type"] in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    elif spec["type"] == "ExternalName" and spec.get("internalTrafficPolicy") in ("Cluster", "Local"):
        del spec["internalTrafficPolicy"]
    if spec["type"] in ("NodePort", "LoadBalancer") or (spec["type"] == "ClusterIP" and spec.get("externalIPs")):
        fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    balancer = service.setdefault("status", {}).setdefault("loadBalancer", {})
    for ingress in balancer.get("ingress") or ():
        if ingress.get("ip") and spec["type"] == "LoadBalancer":
            ingress.setdefault("ipMode", "VIP")


def _service_addresses(spec: Obj) -> None:
    """Without a policy a Service has one family, but where there is neither address nor selector it has both: whoever
    writes its endpoints may choose."""
    free = spec.get("clusterIP") == "None" and not spec.get("selector")
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if free else "SingleStack")
    if not spec.get("ipFamilies"):
        given = [ip for ip in spec.get("clusterIPs") or () if ip and ip != "None"]
        spec["ipFamilies"] = list(dict.fromkeys("IPv6" if ":" in ip else "IPv4" for ip in given)) or ["IPv4"]
    if free and spec["ipFamilyPolicy"] != "SingleStack" and len(spec["ipFamilies"]) == 1:
        spec["ipFamilies"] = [*spec["ipFamilies"], "IPv6" if spec["ipFamilies"] == ["IPv4"] else "IPv4"]


def _namespace(namespace: Obj) -> None:
    metadata = namespace.setdefault("metadata", {})
    if metadata.get("name"):
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
    if not metadata.get("deletionTimestamp"):
        namespace.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    fill(namespace.setdefault("status", {}), phase="Active")


def _node(node: Obj) -> None:
    spec = node.setdefault("spec", {})
    spec.pop("configSource", None)
    if spec.get("podCIDR") and spec["podCIDR"] not in (spec.get("podCIDRs") or ())[:1]:
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs") and not spec.get("podCIDR"):
        spec["podCIDR"] = spec["podCIDRs"][0]
    status = node.setdefault("status", {})
    if "capacity" in status and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])
    status.pop("config", None)
    for field, empty in _NODE_LISTS.items():
        if status.get(field):
            status[field] = [{**empty, **item} for item in status[field]]
    fill_empty(kinds.NODES, node)


_NODE_LISTS: dict[str, Obj] = {
    "addresses": {"type": "", "address": ""},
    "conditions": {"type": "", "status": "", "lastHeartbeatTime": None, "lastTransitionTime": None},
    "images": {"names": None},
    "runtimeHandlers": {"name": ""},
    "volumesAttached": {"name": "", "devicePath": ""},
}
"""What the items of the lists in a Node's status always say."""


def _definition(crd: Obj) -> None:
    spec = crd.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        fill(names, singular=names["kind"].lower(), listKind=f"{names['kind']}List")
    fill(spec.setdefault("conversion", {}), strategy="None")


def _secret(secret: Obj) -> None:
    fill(secret, type="Opaque")
    texts = secret.pop("stringData", None)
    if texts:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def _endpoints(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            fill(port, protocol="TCP")


def _service_account(account: Obj) -> None:
    """Of the Secrets it refers to only the names are kept."""
    if account.get("secrets"):
        account["secrets"] = [{"name": secret["name"]} if secret.get("name") else {} for secret in account["secrets"]]


def _endpoint_slice(endpoint_slice: Obj) -> None:
    for port in endpoint_slice.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")
    found = endpoint_slice.get("endpoints") or ()
    if any("conditions" not in endpoint or "deprecatedTopology" in endpoint for endpoint in found):
        endpoint_slice["endpoints"] = [_endpoint(endpoint) for endpoint in found]
    fill_empty(kinds.ENDPOINT_SLICES, endpoint_slice)


def _endpoint(endpoint: Obj) -> Obj:
    """Of an older version's topology the newer one keeps nothing."""
    return {"conditions": {}, **{key: value for key, value in endpoint.items() if key != "deprecatedTopology"}}


def _zeros(kind: Kind) -> Callable[[Obj], None]:
    """For kinds that have no other defaults than what their types always write."""
    return lambda obj: fill_empty(kind, obj)


def _binding(binding: Obj) -> None:
    fill(binding.setdefault("roleRef", {}), apiGroup=_RBAC)
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            fill(subject, apiGroup=_RBAC)


def _limit_range(limit_range: Obj) -> None:
    """For containers: default limits from the maxima, default requests from the default limits, else the minima."""
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        limits = {**(item.get("max") or {}), **(item.get("default") or {})}
        requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
        item |= {name: amounts for name, amounts in (("default", limits), ("defaultRequest", requests)) if amounts}
    fill_empty(kinds.LIMIT_RANGES, limit_range)


def _quota(quota: Obj) -> None:
    quota.setdefault("spec", {})
    quota.setdefault("status", {})


def _lease(lease: Obj) -> None:
    """Of coordinated elections, whose gate is off, nothing is kept."""
    spec = lease.setdefault("spec", {})
    if "strategy" in spec or "preferredHolder" in spec:
        lease["spec"] = {key: value for key, value in spec.items() if key not in ("strategy", "preferredHolder")}


def _network_policy(policy: Obj) -> None:
    """The directions a policy is about, where it does not say: incoming, and outgoing if it has rules for that."""
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _ingress(ingress: Obj) -> None:
    ingress.setdefault("status", {}).setdefault("loadBalancer", {})
    spec = ingress.get("spec") or {}
    paths = [path for rule in spec.get("rules") or () for path in (rule.get("http") or {}).get("paths") or ()]
    for backend in (spec.get("defaultBackend"), *(path.get("backend") for path in paths)):
        if backend and "resource" in backend:
            backend["resource"].setdefault("apiGroup", None)


def _ingress_class(ingress_class: Obj) -> None:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def _priority_class(priority_class: Obj) -> None:
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")
    priority_class.setdefault("value", 0)


def _controller_revision(revision: Obj) -> None:
    revision.setdefault("revision", 0)


_FILLERS: dict[Kind, Callable[[Obj], None]] = {
    kinds.PODS: default_pod,
    kinds.SERVICES: _service,
    kinds.DEPLOYMENTS: workloads.deployment,
    kinds.REPLICA_SETS: workloads.replica_set,
    kinds.REPLICATION_CONTROLLERS: workloads.replication_controller,
    kinds.STATEFUL_SETS: workloads.stateful_set,
    kinds.DAEMON_SETS: workloads.daemon_set,
    kinds.JOBS: workloads.job,
    kinds.CRON_JOBS: workloads.cron_job,
    kinds.POD_TEMPLATES: workloads.pod_template,
    kinds.CONTROLLER_REVISIONS: _controller_revision,
    kinds.HORIZONTAL_POD_AUTOSCALERS: workloads.autoscaler,
    kinds.POD_DISRUPTION_BUDGETS: workloads.disruption_budget,
    kinds.LEASES: _lease,
    kinds.LIMIT_RANGES: _limit_range,
    kinds.RESOURCE_QUOTAS: _quota,
    kinds.NETWORK_POLICIES: _network_policy,
    kinds.INGRESSES: _ingress,
    kinds.INGRESS_CLASSES: _ingress_class,
    kinds.PRIORITY_CLASSES: _priority_class,
    kinds.PERSISTENT_VOLUMES: storage.default_volume,
    kinds.PERSISTENT_VOLUME_CLAIMS: storage.default_own_claim,
    kinds.STORAGE_CLASSES: storage.default_storage_class,
    kinds.CSI_DRIVERS: storage.default_csi_driver,
    kinds.CSI_NODES: storage.default_csi_node,
    kinds.VOLUME_ATTACHMENTS: storage.default_attachment,
    kinds.DEVICE_CLASSES: _zeros(kinds.DEVICE_CLASSES),
    kinds.RESOURCE_CLAIMS: devices.default_claim,
    kinds.RESOURCE_CLAIM_TEMPLATES: devices.default_claim_template,
    kinds.RESOURCE_SLICES: devices.default_slice,
    kinds.NAMESPACES: _namespace,
    kinds.NODES: _node,
    kinds.SECRETS: _secret,
    kinds.SERVICE_ACCOUNTS: _service_account,
    kinds.CUSTOM_RESOURCE_DEFINITIONS: _definition,
    kinds.ENDPOINTS: _endpoints,
    kinds.ENDPOINT_SLICES: _endpoint_slice,
    kinds.EVENTS: _zeros(kinds.EVENTS),
    kinds.ROLES: _zeros(kinds.ROLES),
    kinds.CLUSTER_ROLES: _zeros(kinds.CLUSTER_ROLES),
    kinds.ROLE_BINDINGS: _binding,
    kinds.CLUSTER_ROLE_BINDINGS: _binding,
}
