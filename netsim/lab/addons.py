"""The objects every lab starts with: cluster DNS, and what nodes may read."""

from __future__ import annotations

from typing import Any

from netsim.lab.storage import storage_class
from netsim.lab.topology import LabSpec

Obj = dict[str, Any]
_LABELS = {"k8s-app": "kube-dns"}
_NAMESPACE = "kube-system"


def render_addons(spec: LabSpec) -> list[Obj]:
    """What nodes' proxies may read, storage, then ServiceAccount, binding, Service and Deployment of the cluster DNS.

    Names and labels are kubeadm's (`coredns` behind `kube-dns`), so that a real CoreDNS can take their place.
    """
    return [_node_proxies(), storage_class(), _service_account(), _binding(), _service(spec), _deployment(spec)]


def _meta(name: str, **more: Any) -> Obj:
    return {"name": name, "namespace": _NAMESPACE, **more}


def _node_proxies() -> Obj:
    """A node's agent and proxy are one process with one identity, so nodes may read what kube-proxy reads."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "netsim:node-proxier"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"},
        "subjects": [{"kind": "Group", "name": "system:nodes", "apiGroup": "rbac.authorization.k8s.io"}],
    }


def _service_account() -> Obj:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("coredns")}


def _binding() -> Obj:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": _NAMESPACE}],
    }


def _service(spec: LabSpec) -> Obj:
    labels = {**_LABELS, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta("kube-dns", labels=labels),
        "spec": {
            "clusterIP": spec.dns_ip,
            "selector": _LABELS,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    }


def _deployment(spec: LabSpec) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta("coredns", labels=_LABELS),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": _LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": _LABELS}, "spec": _pod(spec)},
        },
    }


def _arguments(spec: LabSpec) -> list[str]:
    ranges = [word for cidr in (spec.service_cidr, spec.pod_cidr) for word in ("--cluster-cidr", cidr)]
    return ["--zone", spec.cluster_domain, *ranges, "--health", "0.0.0.0:8080", "--ready", "0.0.0.0:8181"]


def _pod(spec: LabSpec) -> Obj:
    return {
        "serviceAccountName": "coredns",
        # Default, or the server would be its own upstream.
        "dnsPolicy": "Default",
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        "containers": [
            {
                "name": "coredns",
                "image": "netsim/dns",
                "imagePullPolicy": "IfNotPresent",
                "args": _arguments(spec),
                "ports": [
                    {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                ],
                "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "failureThreshold": 5},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
            }
        ],
    }
