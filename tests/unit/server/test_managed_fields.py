"""metadata.managedFields of ordinary writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netsim.http.types import Request

Obj = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


def entries(obj: Obj) -> dict[tuple[str, str], Obj]:
    found = obj["metadata"].get("managedFields", [])
    return {(entry["manager"], entry.get("subresource", "")): entry for entry in found}


async def test_create_update_status(api: Any, pod: Callable[..., Obj]) -> None:
    made = await api.post(f"{PODS}?fieldManager=kubectl-run", pod("p", {"app": "x"}))
    (entry,) = made["metadata"]["managedFields"]
    assert {k: v for k, v in entry.items() if k != "fieldsV1"} == {
        "manager": "kubectl-run", "operation": "Update", "apiVersion": "v1", "time": "2026-11-22T12:00:00Z",
        "fieldsType": "FieldsV1",
    }  # fmt: skip
    fields = entry["fieldsV1"]
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
    assert set(fields) == {"f:metadata", "f:spec"}, "neither the type nor the status is recorded"
    assert not {"f:serviceAccountName", "f:tolerations", "f:priority", "f:volumes"} & set(fields["f:spec"])
    assert {"f:dnsPolicy", "f:restartPolicy", "f:schedulerName"} <= set(fields["f:spec"]), "defaults are"
    api.clock.move(5)
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    after = await api.merge(f"{PODS}/p/status?fieldManager=kubelet", status)
    condition = {".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {}}
    assert entries(after)["kubelet", "status"]["fieldsV1"] == {
        "f:status": {"f:conditions": {".": {}, 'k:{"type":"Ready"}': condition}, "f:phase": {}}
    }
    assert entries(after)["kubectl-run", ""] == entry


async def test_lists_given_without_items_are_their_givers(api: Any) -> None:
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    given = {"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": []}
    made = await api.post(f"{slices}?fieldManager=a", given)
    assert (made["endpoints"], made["ports"]) == (None, None)
    assert entries(made)["a", ""]["fieldsV1"] == {"f:addressType": {}, "f:endpoints": {}}
    node = {"metadata": {"name": "d"}, "spec": {"drivers": []}}
    made = await api.post("/apis/storage.k8s.io/v1/csinodes?fieldManager=a", node)
    assert entries(made)["a", ""]["fieldsV1"] == {"f:spec": {"f:drivers": {}}}
    definition = {"metadata": {"name": "r"}, "rules": None}
    made = await api.post("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles?fieldManager=a", definition)
    assert "managedFields" not in made["metadata"]


async def test_time_moves_only_with_a_field(api: Any) -> None:
    await api.post(f"{MAPS}?fieldManager=a", {"metadata": {"name": "c"}, "data": {"x": "1", "y": "1"}})
    before = await api.get(f"{MAPS}/c")
    api.clock.move(5)
    assert await api.merge(f"{MAPS}/c?fieldManager=a", {"data": {"x": "1"}}) == before
    assert await api.merge(f"{MAPS}/c?fieldManager=b", {"data": {"x": "1"}}) == before
    after = await api.merge(f"{MAPS}/c?fieldManager=b", {"data": {"y": None}})
    assert [e["time"] for e in after["metadata"]["managedFields"]] == ["2026-11-22T12:00:00Z"]
    assert entries(after)["a", ""]["fieldsV1"] == {"f:data": {".": {}, "f:x": {}}}
    after = await api.merge(f"{MAPS}/c?fieldManager=a", {"data": {"x": "2"}})
    assert entries(after)["a", ""]["time"] == "2026-11-22T12:00:05Z"
    after = await api.merge(f"{MAPS}/c?fieldManager=b", {"data": {"x": "3"}})
    assert entries(after)["b", ""]["fieldsV1"] == {"f:data": {"f:x": {}}}
    assert entries(after)["a", ""]["fieldsV1"] == {"f:data": {}}


async def test_the_user_agent_is_the_manager(api: Any) -> None:
    async def made_by(agent: str, name: str) -> str:
        headers = [("content-type", "application/json"), ("user-agent", agent)]
        body = b'{"metadata":{"name":"%s"},"data":{"a":"b"}}' % name.encode()
        from netsim.http.types import Peer

        response = await api.app(Request("POST", MAPS, [], headers, body, Peer(trusted=True)))
        assert response.status == 201
        return (await api.get(f"{MAPS}/{name}"))["metadata"]["managedFields"][0]["manager"]

    assert await made_by("kubectl/v1.37.0 (linux/amd64)", "a") == "kubectl"
    assert await made_by("my agent", "b") == "my agent"
    assert await made_by("x" * 200, "c") == "x" * 128


async def test_clients_may_write_and_clear_them(api: Any) -> None:
    await api.post(f"{MAPS}?fieldManager=a", {"metadata": {"name": "c"}, "data": {"x": "1"}})
    given = [
        {
            "manager": "me",
            "operation": "Apply",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {}},
        }
    ]
    after = await api.merge(f"{MAPS}/c", {"metadata": {"managedFields": given}})
    assert after["metadata"]["managedFields"] == given
    assert await api.merge(f"{MAPS}/c", {"metadata": {"managedFields": [{"manager": "bad"}]}}) == after
    assert await api.merge(f"{MAPS}/c", {"metadata": {"managedFields": None}}) == after
    remove = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    after = await api.ok("PATCH", f"{MAPS}/c", remove, content_type="application/json-patch+json")
    assert "managedFields" not in after["metadata"]
    after = await api.merge(f"{MAPS}/c?fieldManager=a", {"data": {"x": "2"}})
    assert "managedFields" not in after["metadata"], "untracked until somebody applies"
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"y": "1"}}
    after = await api.ok("PATCH", f"{MAPS}/c?fieldManager=m", config, content_type="application/apply-patch+yaml")
    assert set(entries(after)) == {("before-first-apply", ""), ("m", "")}


async def test_scale_binding_and_deletion(api: Any, pod: Callable[..., Obj]) -> None:
    made = await api.post(f"{PODS}?fieldManager=a", pod("p"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    await api.post(f"{PODS}/p/binding", binding)
    bound = await api.get(f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n"
    assert bound["metadata"]["managedFields"] == made["metadata"]["managedFields"], "a binding has no owner"
    marked = await api.ok("DELETE", f"{PODS}/p")
    assert marked["metadata"]["managedFields"] == made["metadata"]["managedFields"]
    assert (await api.get(f"{PODS}/p"))["metadata"]["managedFields"] == made["metadata"]["managedFields"]


async def test_every_representation_has_them(api: Any) -> None:
    await api.post(f"{MAPS}?fieldManager=%5D,%22name%22:", {"metadata": {"name": "c"}, "data": {"a": "1"}})
    one = await api.get(f"{MAPS}/c")
    assert one["metadata"]["name"] == "c" and one["metadata"]["managedFields"][0]["manager"] == '],"name":'
    (listed,) = [o for o in (await api.get(MAPS))["items"] if o["metadata"]["name"] == "c"]
    assert listed["metadata"] == one["metadata"]
    partial = await api.get(f"{MAPS}/c", accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
    assert partial["metadata"] == one["metadata"]
    table = await api.get(f"{MAPS}/c", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table["rows"][0]["object"]["metadata"] == one["metadata"]
    (event, *_) = await api.watch(f"{MAPS}?watch=1&fieldSelector=metadata.name=c", 1)
    assert event["object"]["metadata"] == one["metadata"]


async def test_metadata_may_come_with_the_status(api: Any, pod: Callable[..., Obj]) -> None:
    """So kube-controller-manager writes the revision of a Deployment. Nobody changes a pod's owners so."""
    await api.post(PODS, pod("p", {"app": "x"}))
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "1"}
    metadata = {"annotations": {"a": "1"}, "labels": {"app": "y"}, "finalizers": ["x/y"], "ownerReferences": [owner]}
    body = {"metadata": metadata}
    after = await api.merge(f"{PODS}/p/status?fieldManager=m", {**body, "status": {"phase": "Running"}})
    assert after["metadata"]["annotations"] == {"a": "1"}
    assert after["metadata"]["labels"] == {"app": "y"} and after["metadata"]["finalizers"] == ["x/y"]
    assert "ownerReferences" not in after["metadata"]
    assert entries(after)["m", "status"]["fieldsV1"] == {
        "f:metadata": {
            "f:annotations": {".": {}, "f:a": {}},
            "f:finalizers": {".": {}, 'v:"x/y"': {}},
            "f:labels": {"f:app": {}},
        },
        "f:status": {"f:phase": {}},
    }
    gone = await api.merge(
        f"{PODS}/p/status?fieldManager=m", {"metadata": {"annotations": None, "finalizers": None, "labels": None}}
    )
    assert not gone["metadata"].keys() & {"annotations", "finalizers", "labels"}
    assert entries(gone)["m", "status"]["fieldsV1"] == {"f:status": {"f:phase": {}}}
    deployment = {
        "metadata": {"name": "d", "labels": {"a": "b"}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pod("t", {"a": "b"})},
    }
    await api.post("/apis/apps/v1/namespaces/default/deployments", deployment)
    kept = await api.merge(
        "/apis/apps/v1/namespaces/default/deployments/d/status",
        {"metadata": {"labels": {"a": "c"}, "finalizers": ["x/y"]}},
    )
    assert (kept["metadata"]["labels"], kept["metadata"]["finalizers"]) == ({"a": "b"}, ["x/y"])
