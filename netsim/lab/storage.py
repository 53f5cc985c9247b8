"""The lab's default storage: StorageClass `standard`, served by the nodes' own local provisioner. Pure data.

Like kind's `standard` and k3s' `local-path` it binds when the first pod is placed, and deletes a volume with its claim.
"""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]
_RBAC = "rbac.authorization.k8s.io"
_NAME = "netsim:local-path-provisioner"


def render_storage() -> list[Obj]:
    """The class, and what the nodes' provisioners may do."""
    return [_storage_class(), _role(), _binding()]


def _storage_class() -> Obj:
    marks = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": marks},
        "provisioner": "netsim.io/local-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _role() -> Obj:
    rules = [
        {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": [""],
            "resources": ["persistentvolumes"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        },
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get", "list", "watch"]},
    ]
    return {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": _NAME}, "rules": rules}


def _binding() -> Obj:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _NAME},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": _NAME},
        "subjects": [{"kind": "Group", "name": "system:nodes", "apiGroup": _RBAC}],
    }
