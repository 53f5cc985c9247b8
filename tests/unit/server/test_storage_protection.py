"""Claims and volumes are created with the finalizers that keep them while they are used."""

from __future__ import annotations

from typing import Any

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/srv"}}


async def test_new_storage_is_protected(api: Any) -> None:
    claim = await api.post(
        "/api/v1/namespaces/default/persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": CLAIM}
    )
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    body = {"metadata": {"name": "v", "finalizers": ["mine.org/x"]}, "spec": VOLUME}
    volume = await api.post("/api/v1/persistentvolumes", body)
    assert volume["metadata"]["finalizers"] == ["mine.org/x", "kubernetes.io/pv-protection"]
    classes = "/apis/storage.k8s.io/v1/volumeattributesclasses"
    fast = await api.post(classes, {"metadata": {"name": "fast"}, "driverName": "a.b", "parameters": {"iops": "9"}})
    assert fast["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]
    await api.ok("DELETE", "/api/v1/namespaces/default/persistentvolumeclaims/c")
    held = await api.get("/api/v1/namespaces/default/persistentvolumeclaims/c")
    assert held["metadata"]["deletionTimestamp"]
