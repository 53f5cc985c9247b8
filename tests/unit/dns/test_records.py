"""The index kept object by object equals one built anew, and counts only changes that matter."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim_dns.index import Index, build_index
from netsim_dns.records import view_service, view_slice

Obj = dict[str, Any]


def namespace(name: str) -> Obj:
    return {"kind": "Namespace", "metadata": {"name": name}}


def service(name: str, spec: Obj, ns: str = "a") -> Obj:
    return {"kind": "Service", "metadata": {"name": name, "namespace": ns}, "spec": spec}


def slice_of(name: str, svc: str, addresses: list[str], ns: str = "a", **more: Any) -> Obj:
    endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
    meta = {"name": name, "namespace": ns, "labels": {"kubernetes.io/service-name": svc}}
    base = {"kind": "EndpointSlice", "metadata": meta, "addressType": "IPv4", "endpoints": endpoints, "ports": []}
    return base | more


ips = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
specs = st.one_of(
    ips.map(lambda ip: {"clusterIPs": [ip], "ports": [{"name": "http", "port": 80}]}),
    st.just({"clusterIP": "None", "clusterIPs": ["None"]}),
    st.just({"type": "ExternalName", "externalName": "www.example.test"}),
    st.just({"clusterIP": ""}),
)
services = st.builds(service, st.sampled_from(["x", "y"]), specs, st.sampled_from(["a", "b"]))
slices = st.builds(slice_of, st.sampled_from(["s1", "s2"]), st.sampled_from(["x", "y"]), st.lists(ips, max_size=3))
objects = st.one_of(services, slices, st.sampled_from(["a", "b"]).map(namespace))
steps = st.lists(st.tuples(objects, st.booleans()), max_size=30)


def identity(obj: Obj) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def comparable(index: Index) -> tuple[Any, ...]:
    by_ip = {k: sorted(v) for k, v in index.by_cluster_ip.items()}
    by_endpoint = {k: sorted(v) for k, v in index.by_endpoint_ip.items()}
    return index.namespaces, index.services, index.slices, index.slices_of, by_ip, by_endpoint


@given(steps)
def test_incremental_equals_built(changes: list[tuple[Obj, bool]]) -> None:
    index, present = Index(), {}
    for obj, keep in changes:
        old = present.pop(identity(obj), None)
        if keep:
            present[identity(obj)] = obj
        index.apply(obj["kind"], old, obj if keep else None, 1) if keep or old else None
    assert comparable(index) == comparable(build_index(present.values(), 1))


def test_only_what_matters_raises_generation_and_serial() -> None:
    index = Index()
    svc = service("x", {"clusterIPs": ["10.0.0.1"]})
    assert index.apply("Service", None, svc, 7)
    assert (index.generation, index.serial) == (1, 7)
    relabelled = svc | {"metadata": svc["metadata"] | {"labels": {"a": "b"}}}
    assert not index.apply("Service", svc, relabelled, 8)
    assert not index.apply("Pod", None, {"kind": "Pod", "metadata": {"name": "p"}}, 8)
    assert (index.generation, index.serial) == (1, 7)
    assert index.apply("Service", relabelled, None, 9)
    assert (index.generation, index.serial, index.services, index.by_cluster_ip) == (2, 9, {}, {})


EXTERNAL = ("", ".", "192.0.2.1", "x" * 64 + ".example", ".".join(["x" * 50] * 5))


@pytest.mark.parametrize(
    "spec", [{"clusterIP": ""}, {}, *({"type": "ExternalName", "externalName": name} for name in EXTERNAL)]
)
def test_services_without_anything_to_answer(spec: Obj) -> None:
    assert view_service(service("x", spec)) is None


def test_only_ready_counts_and_absent_is_ready() -> None:
    obj = slice_of("s", "x", ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    obj["endpoints"][0]["conditions"] = {"ready": False, "serving": True, "terminating": True}
    obj["endpoints"][1]["conditions"] = {}
    view = view_slice(obj)
    assert view is not None
    assert [endpoint.name for endpoint in view.endpoints] == [b"10-0-0-2", b"10-0-0-3"]


def test_slices_of_no_service_or_of_names_are_ignored() -> None:
    unlabelled = slice_of("s", "x", ["10.0.0.1"])
    unlabelled["metadata"]["labels"] = {}
    assert view_slice(unlabelled) is None
    assert view_slice(slice_of("s", "x", ["www.example.test"], addressType="FQDN")) is None


def test_one_change_among_ten_thousand_services_touches_one() -> None:
    rng = random.Random(1)
    many = [namespace("a")] + [
        service(f"s{i}", {"clusterIPs": [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"]}) for i in range(10_000)
    ]
    index = build_index(many, 1)
    before = dict(index.services)
    chosen = rng.randrange(1, 10_001)
    index.apply("Service", many[chosen], service(f"s{chosen - 1}", {"clusterIPs": ["10.9.9.9"]}), 2)
    changed = [key for key in before if before[key] is not index.services[key]]
    assert changed == [(b"a", f"s{chosen - 1}".encode())]
