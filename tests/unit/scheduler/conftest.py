"""Nodes and pods for the scheduler's tests."""

from __future__ import annotations

from typing import Any

import pytest

Obj = dict[str, Any]


class Make:
    """Small API objects."""

    @staticmethod
    def node(name: str, labels: dict[str, str] | None = None, cpu: str = "4", **spec: Any) -> Obj:
        status = {
            "allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "20"},
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        head = {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}
        return {"metadata": head, "spec": spec, "status": status}

    @staticmethod
    def pod(name: str, labels: dict[str, str] | None = None, cpu: str = "", **spec: Any) -> Obj:
        container: Obj = {"name": "c"}
        if cpu:
            container["resources"] = {"requests": {"cpu": cpu}}
        head = {"name": name, "namespace": spec.pop("namespace", "ns"), "uid": f"uid-{name}", "labels": labels or {}}
        return {"metadata": head, "spec": {"containers": [container], **spec}, "status": {"phase": "Pending"}}


@pytest.fixture
def make() -> type[Make]:
    return Make
