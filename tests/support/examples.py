"""A good object of each kind that has rules of its own, for tests that change something about it."""

from __future__ import annotations

from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind

POD = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
NEVER = {"spec": {**POD["spec"], "restartPolicy": "Never"}}
SELECTED = {"selector": {"matchLabels": {"a": "b"}}, "template": POD}
BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}

BASES: dict[Kind, dict[str, Any]] = {
    kinds.PODS: {"metadata": {"name": "p"}, "spec": POD["spec"]},
    kinds.REPLICA_SETS: {"metadata": {"name": "r"}, "spec": SELECTED},
    kinds.REPLICATION_CONTROLLERS: {"metadata": {"name": "r"}, "spec": {"template": POD}},
    kinds.STATEFUL_SETS: {"metadata": {"name": "s"}, "spec": {**SELECTED, "serviceName": "s"}},
    kinds.DAEMON_SETS: {"metadata": {"name": "d"}, "spec": SELECTED},
    kinds.POD_TEMPLATES: {"metadata": {"name": "t"}, "template": POD},
    kinds.CONTROLLER_REVISIONS: {"metadata": {"name": "r"}, "data": {"a": 1}, "revision": 1},
    kinds.JOBS: {"metadata": {"name": "j"}, "spec": {"selector": {}, "manualSelector": True, "template": NEVER}},
    kinds.CRON_JOBS: {
        "metadata": {"name": "c"},
        "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": NEVER}}},
    },
    kinds.HORIZONTAL_POD_AUTOSCALERS: {
        "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "maxReplicas": 3,
            "metrics": [CPU],
        },
    },
    kinds.POD_DISRUPTION_BUDGETS: {"metadata": {"name": "p"}, "spec": {"minAvailable": 1}},
    kinds.INGRESSES: {
        "metadata": {"name": "i"},
        "spec": {
            "rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}]
        },
    },
    kinds.INGRESS_CLASSES: {"metadata": {"name": "i"}, "spec": {"controller": "a.b/c"}},
    kinds.NETWORK_POLICIES: {"metadata": {"name": "n"}, "spec": {"ingress": [{"ports": [{"port": 80}], "from": []}]}},
    kinds.PERSISTENT_VOLUMES: {
        "metadata": {"name": "v"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
    },
    kinds.PERSISTENT_VOLUME_CLAIMS: {
        "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
    kinds.STORAGE_CLASSES: {"metadata": {"name": "s"}, "provisioner": "a.b/c", "parameters": {"x": "y"}},
    kinds.VOLUME_ATTRIBUTES_CLASSES: {"metadata": {"name": "v"}, "driverName": "d", "parameters": {"x": "y"}},
    kinds.VOLUME_ATTACHMENTS: {
        "metadata": {"name": "v"},
        "spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "pv"}},
    },
    kinds.CSI_DRIVERS: {"metadata": {"name": "d"}, "spec": {}},
    kinds.RESOURCE_QUOTAS: {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "4", "requests.cpu": "1500m"}}},
    kinds.LIMIT_RANGES: {
        "metadata": {"name": "l"},
        "spec": {"limits": [{"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}}]},
    },
    kinds.PRIORITY_CLASSES: {"metadata": {"name": "p"}, "value": 10},
}
