"""The lab's default storage: StorageClass `standard`, served by the nodes' own local provisioner. Pure data. What the
provisioners may do is among the default roles (`netsim.server.roles`), so that they may before this is there.

Like kind's `standard` and k3s' `local-path` it binds when the first pod is placed, and deletes a volume with its claim.
"""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def storage_class() -> Obj:
    """The StorageClass `standard`, the default one."""
    marks = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": marks},
        "provisioner": "netsim.io/local-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
