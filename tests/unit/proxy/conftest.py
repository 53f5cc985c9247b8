"""Objects of the recordings, and short ways to make objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[2] / "golden" / "proxy"


def make_service(name: str = "web", **spec: Any) -> dict[str, Any]:
    """A Service in namespace `ns`; keyword arguments go into its spec, but `annotations` and `ingress`."""
    annotations, ingress = spec.pop("annotations", {}), spec.pop("ingress", [])
    spec = {"clusterIP": "10.96.0.10", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], **spec}
    return {
        "kind": "Service",
        "metadata": {"namespace": "ns", "name": name, "annotations": annotations},
        "spec": spec,
        "status": {"loadBalancer": {"ingress": ingress}},
    }


def make_slice(*endpoints: dict[str, Any], service: str = "web", **fields: Any) -> dict[str, Any]:
    """A slice of Service ns/web with one port, http 8080."""
    return {
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "ns",
            "name": fields.pop("name", f"{service}-1"),
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
        **fields,
    }


def make_endpoint(address: str, node: str = "node1", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


class Make:
    service = staticmethod(make_service)
    slice = staticmethod(make_slice)
    endpoint = staticmethod(make_endpoint)


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture
def golden() -> Any:
    """Reads a recording: the objects of a .json file, the text of any other."""

    def read(name: str) -> Any:
        text = (GOLDEN / name).read_text()
        return json.loads(text)["items"] if name.endswith(".json") else text

    return read
