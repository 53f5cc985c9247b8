"""Defaults of every served kind. Pure and idempotent: nothing is allocated, no clock is read.

What needs the cluster's state is the server's: cluster IPs, node ports, the service account and its token, names,
times. Address families are defaulted to single-stack IPv4 unless the object or its clusterIP says otherwise.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import copy_json
from netsim.api.pod_defaults import default_pod, default_pod_spec, fill

_RBAC = "rbac.authorization.k8s.io"
_CLIENT_IP_SECONDS = 10800


def set_defaults(kind: Kind, obj: Obj) -> Obj:
    """A copy of `obj` with every absent field that Kubernetes defaults filled in. The object must have the types of
    its schema (`schema.typed_errors`) and no nulls (`schema.prune`)."""
    filled: Obj = copy_json(obj)
    filler = _FILLERS.get(kind)
    if filler is not None:
        filler(filled)
    return filled


def _service(service: Obj) -> None:
    spec = service.setdefault("spec", {})
    fill(spec, type="ClusterIP", sessionAffinity="None")
    if spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", _CLIENT_IP_SECONDS)
    for port in spec.get("ports") or ():
        fill(port, protocol="TCP")
        if port.get("targetPort") in (None, "", 0) and "port" in port:
            port["targetPort"] = port["port"]
    if spec["type"] != "ExternalName":
        fill(spec, internalTrafficPolicy="Cluster")
        _service_addresses(spec)
    if spec["type"] in ("NodePort", "LoadBalancer") or (spec["type"] == "ClusterIP" and spec.get("externalIPs")):
        fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    service.setdefault("status", {}).setdefault("loadBalancer", {})


def _service_addresses(spec: Obj) -> None:
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]
    if not spec.get("ipFamilies"):
        given = [ip for ip in spec.get("clusterIPs") or () if ip and ip != "None"]
        spec["ipFamilies"] = ["IPv6" if ":" in ip else "IPv4" for ip in given] or ["IPv4"]
    fill(spec, ipFamilyPolicy="SingleStack" if len(spec["ipFamilies"]) == 1 else "RequireDualStack")


def _deployment(deployment: Obj) -> None:
    spec = deployment.setdefault("spec", {})
    for field, value in (("replicas", 1), ("revisionHistoryLimit", 10), ("progressDeadlineSeconds", 600)):
        spec.setdefault(field, value)
    strategy = spec.setdefault("strategy", {})
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", "25%")
        rolling.setdefault("maxUnavailable", "25%")
    _template(spec)
    deployment.setdefault("status", {})


def _replica_set(replica_set: Obj) -> None:
    spec = replica_set.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    if "template" in spec:
        _template(spec)
    replica_set.setdefault("status", {}).setdefault("replicas", 0)


def _template(spec: Obj) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def _namespace(namespace: Obj) -> None:
    metadata = namespace.setdefault("metadata", {})
    if metadata.get("name"):
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
    if not metadata.get("deletionTimestamp"):
        namespace.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    fill(namespace.setdefault("status", {}), phase="Active")


def _node(node: Obj) -> None:
    spec = node.setdefault("spec", {})
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs") and not spec.get("podCIDR"):
        spec["podCIDR"] = spec["podCIDRs"][0]
    status = node.setdefault("status", {})
    if "capacity" in status and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])


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


def _endpoint_slice(endpoint_slice: Obj) -> None:
    for port in endpoint_slice.get("ports") or ():
        port.setdefault("name", "")
        fill(port, protocol="TCP")


def _binding(binding: Obj) -> None:
    fill(binding.setdefault("roleRef", {}), apiGroup=_RBAC)
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            fill(subject, apiGroup=_RBAC)


_FILLERS: dict[Kind, Callable[[Obj], None]] = {
    kinds.PODS: default_pod,
    kinds.SERVICES: _service,
    kinds.DEPLOYMENTS: _deployment,
    kinds.REPLICA_SETS: _replica_set,
    kinds.NAMESPACES: _namespace,
    kinds.NODES: _node,
    kinds.SECRETS: _secret,
    kinds.ENDPOINTS: _endpoints,
    kinds.ENDPOINT_SLICES: _endpoint_slice,
    kinds.ROLE_BINDINGS: _binding,
    kinds.CLUSTER_ROLE_BINDINGS: _binding,
}
