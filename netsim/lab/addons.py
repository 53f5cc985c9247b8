"""The objects every lab starts with: cluster DNS, and what nodes may read."""

from __future__ import annotations

from typing import Any

from netsim.lab.storage import storage_class
from netsim.lab.topology import DUAL, LabSpec

Obj = dict[str, Any]
_LABELS = {"k8s-app": "kube-dns"}
_NAMESPACE = "kube-system"
DNS_USER = 65532  # as in CoreDNS's image
DNS_SETTINGS = "dns.yaml"
_SCRAPED = {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"}
_SETTINGS_DIR = "/etc/coredns"
_ABOUT_SETTINGS = """\
# Changes are taken over within a minute; `netsim dns --help` lists all settings.
# A Corefile, as a second key of this ConfigMap, is read in the place of this.
"""
_SETTINGS = "pods: insecure\nttl: 30\ncache: 30\nforward: []\n"


def render_addons(spec: LabSpec, dns_user: int = DNS_USER) -> list[Obj]:
    """What nodes' proxies may read, storage, and the cluster DNS, which runs as user `dns_user`.

    Names and labels are kubeadm's (`coredns` behind `kube-dns`), so that a real CoreDNS can take their place.
    """
    dns = [_service_account(), _binding(), _settings(spec), _service(spec), _deployment(spec, dns_user)]
    return [_node_proxies(), storage_class(), *dns]


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
    both = {"clusterIPs": list(spec.dns_ips), "ipFamilyPolicy": "PreferDualStack"} if spec.ip_family == DUAL else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta("kube-dns", labels=labels, annotations=_SCRAPED),
        "spec": {
            "clusterIP": spec.dns_ip,
            **both,
            "selector": _LABELS,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
            ],
        },
    }


def _settings(spec: LabSpec) -> Obj:
    """What may be changed while the servers run (dns/README.md). Without uplink there is nobody to forward to."""
    ranges = "".join(f"- {cidr}\n" for cidr in (*spec.service_cidrs, *spec.pod_cidrs))
    text = f"{_ABOUT_SETTINGS}zone: {spec.cluster_domain}\ncluster-cidr:\n{ranges}{_SETTINGS}"
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("coredns"), "data": {DNS_SETTINGS: text}}


def _deployment(spec: LabSpec, user: int) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta("coredns", labels=_LABELS),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": _LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": _LABELS}, "spec": _pod(spec, user)},
        },
    }


_PLACES = ("--health", "0.0.0.0:8080", "--ready", "0.0.0.0:8181", "--metrics", "0.0.0.0:9153")
_BOTH = ("--listen", "0.0.0.0:53", "--listen", "[::]:53")


def _pod(spec: LabSpec, user: int) -> Obj:
    return {
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": "coredns",
        # Default, or the server would be its own upstream.
        "dnsPolicy": "Default",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_apart()]}},
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
        ],
        "containers": [_container(spec, user)],
        "volumes": [{"name": "config-volume", "configMap": {"name": "coredns"}}],
    }


def _apart() -> Obj:
    term = {"labelSelector": {"matchLabels": _LABELS}, "topologyKey": "kubernetes.io/hostname"}
    return {"weight": 100, "podAffinityTerm": term}


def _container(spec: LabSpec, user: int) -> Obj:
    return {
        "name": "coredns",
        "image": "netsim/dns",
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config", _SETTINGS_DIR, *_PLACES, *(_BOTH if spec.ip_family == DUAL else ())],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
        ],
        "volumeMounts": [{"name": "config-volume", "mountPath": _SETTINGS_DIR, "readOnly": True}],
        "livenessProbe": {
            "httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"},
            "initialDelaySeconds": 60,
            "timeoutSeconds": 5,
            "successThreshold": 1,
            "failureThreshold": 5,
        },
        # each second, unlike kubeadm's ten: a lab is up once its names are answered
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181, "scheme": "HTTP"}, "periodSeconds": 1},
        "securityContext": {
            "runAsUser": user,
            "runAsGroup": user,
            "runAsNonRoot": user != 0,
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
