"""Creating, changing and deleting objects: metadata, generations, status, defaults, grace, finalizers, dry runs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}},
    },
}
POD = {"containers": [{"name": "c", "image": "x:1"}]}
JOB = {"metadata": {"name": "old"}, "spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}}
CONTROLLER = {
    "metadata": {"name": "old"},
    "spec": {"selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}},
}


async def revision(api: Any) -> str:
    return (await api.get(MAPS))["metadata"]["resourceVersion"]


async def test_pod_gets_its_defaults_and_account(api: Any, pod: Any) -> None:
    made = await api.post(PODS, pod("p"))
    spec = made["spec"]
    assert spec["securityContext"] == {} and spec["restartPolicy"] == "Always" and spec["priority"] == 0
    assert spec["serviceAccountName"] == "default"
    assert [t["key"] for t in spec["tolerations"]] == ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
    mount = spec["containers"][0]["volumeMounts"][0]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    volume = spec["volumes"][0]
    assert volume["name"] == mount["name"] and volume["name"].startswith("kube-api-access-")
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    plain = await api.post(PODS, pod("plain", automountServiceAccountToken=False))
    assert "volumes" not in plain["spec"]


async def test_update_that_changes_nothing_is_no_write(api: Any) -> None:
    made = await api.post(MAPS, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    before = await revision(api)
    again = await api.ok("PUT", f"{MAPS}/a", made)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    await api.merge(f"{MAPS}/a", {"data": {"k": "v"}})
    assert await revision(api) == before


async def test_generation_counts_changes_of_the_spec_and_of_a_deployments_annotations(api: Any) -> None:
    assert (await api.post(DEPLOYMENTS, DEPLOYMENT))["metadata"]["generation"] == 1
    assert (await api.merge(f"{DEPLOYMENTS}/web", {"metadata": {"labels": {"x": "y"}}}))["metadata"]["generation"] == 1
    status = await api.merge(f"{DEPLOYMENTS}/web/status", {"status": {"replicas": 1}, "spec": {"replicas": 9}})
    assert (status["metadata"]["generation"], status["spec"]["replicas"]) == (1, 1)
    changed = await api.merge(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 2}, "status": {"replicas": 7}})
    assert (changed["metadata"]["generation"], changed["status"]["replicas"]) == (2, 1)
    annotated = {"metadata": {"annotations": {"x": "y"}}}
    assert (await api.merge(f"{DEPLOYMENTS}/web/status", annotated))["metadata"]["generation"] == 2
    again = await api.merge(f"{DEPLOYMENTS}/web", {"metadata": {"annotations": {"x": "z"}}})
    assert again["metadata"]["generation"] == 3  # they go on to its ReplicaSets
    assert "generation" not in (await api.post(MAPS, {"metadata": {"name": "m"}}))["metadata"]


async def test_scale(api: Any) -> None:
    await api.post(DEPLOYMENTS, DEPLOYMENT)
    scale = await api.get(f"{DEPLOYMENTS}/web/scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 1},
        {"replicas": 0, "selector": "a=b"},
    )
    assert (await api.merge(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 3}}))["spec"]["replicas"] == 3
    await api.ok("PUT", f"{DEPLOYMENTS}/web/scale", {**scale, "metadata": {"name": "web"}, "spec": {"replicas": 0}})
    assert (await api.get(f"{DEPLOYMENTS}/web"))["spec"]["replicas"] == 0
    stale = {**scale, "spec": {"replicas": 4}}
    assert (await api.refused("PUT", f"{DEPLOYMENTS}/web/scale", stale))["reason"] == "Conflict"
    table = await api.get(f"{DEPLOYMENTS}/web/scale", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"] == ["web", 0, 0, "0s"]
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    assert "spec" not in await api.get(f"{DEPLOYMENTS}/web/scale", accept=accept)


async def test_pods_get_the_place_of_their_node(api: Any, pod: Any) -> None:
    place = {"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r"}
    await api.post("/api/v1/nodes", {"metadata": {"name": "n1", "labels": {**place, "other": "x"}}})
    await api.post(PODS, pod("bound", {"app": "web", "topology.kubernetes.io/zone": "mine"}))
    metadata = {"name": "bound", "labels": {"more": "y"}, "annotations": {"a": "1"}}
    await api.post(f"{PODS}/bound/binding", {"metadata": metadata, "target": {"kind": "Node", "name": "n1"}})
    bound = (await api.get(f"{PODS}/bound"))["metadata"]
    assert bound["labels"] == {"app": "web", "more": "y", **place} and bound["annotations"] == {"a": "1"}
    made = await api.post(PODS, pod("made", nodeName="n1"))
    assert made["metadata"]["labels"].items() >= place.items()
    elsewhere = await api.post(PODS, pod("elsewhere", nodeName="gone"))
    assert not (elsewhere["metadata"].get("labels") or {}).keys() & place.keys()


async def test_binding_sets_the_node_once(api: Any, pod: Any) -> None:
    await api.post(PODS, pod("p"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    await api.merge(f"{PODS}/p/status", {"status": {"nominatedNodeName": "n9"}})
    assert (await api.post(f"{PODS}/p/binding", binding))["status"] == "Success"
    bound = await api.get(f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n1"
    assert "nominatedNodeName" not in bound["status"]
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    status = await api.refused("POST", f"{PODS}/p/binding", binding)
    why = 'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'
    assert (status["code"], status["message"]) == (409, why)
    await api.post(PODS, pod("gated", schedulingGates=[{"name": "example.com/wait"}]))
    status = await api.refused("POST", f"{PODS}/gated/binding", {**binding, "metadata": {"name": "gated"}})
    assert "pod gated has non-empty .spec.schedulingGates" in status["message"]


async def test_scheduled_pod_is_deleted_with_grace(api: Any, pod: Any) -> None:
    await api.post(PODS, pod("p", nodeName="n1"))
    marked = await api.ok("DELETE", f"{PODS}/p")
    metadata = marked["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 30
    assert metadata["deletionTimestamp"] == "2026-11-22T12:00:30Z"
    shorter = await api.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 5})
    assert shorter["metadata"]["deletionTimestamp"] == "2026-11-22T12:00:05Z"
    last = await api.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert (last["kind"], last["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 0)
    assert (await api.refused("GET", f"{PODS}/p"))["code"] == 404


async def test_finalizers_and_propagation(api: Any) -> None:
    await api.post(MAPS, {"metadata": {"name": "f", "finalizers": ["x.y/z"]}})
    marked = await api.ok("DELETE", f"{MAPS}/f")
    assert marked["metadata"]["deletionTimestamp"]
    await api.merge(f"{MAPS}/f", {"metadata": {"finalizers": None}})
    assert (await api.refused("GET", f"{MAPS}/f"))["code"] == 404
    await api.post(DEPLOYMENTS, DEPLOYMENT)
    foreground = await api.ok("DELETE", f"{DEPLOYMENTS}/web", {"propagationPolicy": "Foreground"})
    assert foreground["metadata"]["finalizers"] == ["foregroundDeletion"]
    for options, told in (
        ({"propagationPolicy": "Sideways"}, 'supported values: "Foreground", "Background", "Orphan", "nil"'),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, "orphanDependents and deletionPropagation cannot"),
    ):
        refused = await api.refused("DELETE", f"{DEPLOYMENTS}/web", options)
        assert refused["code"] == 422 and told in refused["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/apis/batch/v1/namespaces/default/jobs", JOB),
        ("/api/v1/namespaces/default/replicationcontrollers", CONTROLLER),
    ],
)
async def test_pods_of_jobs_and_replication_controllers_stay_unless_asked(api: Any, path: str, body: Any) -> None:
    """As they did before garbage collection; of a Job's the client is told."""
    await api.post(path, body)
    answer = await api.send("DELETE", f"{path}/old?dryRun=All")
    assert json.loads(answer.body)["metadata"]["finalizers"] == ["orphan"]
    told = [value for name, value in answer.headers if name.lower() == "warning"]
    assert len(told) == (body is JOB) and all("child pods are preserved by default when jobs" in text for text in told)
    marked = await api.ok("DELETE", f"{path}/old", {"propagationPolicy": "Foreground"})
    assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]
    kept = await api.ok("DELETE", f"{path}/old")
    assert kept["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_namespace_goes_through_terminating_and_finalize(api: Any) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "t"}})
    assert {i["metadata"]["name"] for i in (await api.get("/api/v1/namespaces/t/serviceaccounts"))["items"]} == {
        "default"
    }
    marked = await api.ok("DELETE", "/api/v1/namespaces/t")
    assert marked["status"]["phase"] == "Terminating"
    status = await api.refused("POST", "/api/v1/namespaces/t/configmaps", {"metadata": {"name": "late"}})
    assert (status["code"], status["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    await api.ok("PUT", "/api/v1/namespaces/t/finalize", {**marked, "spec": {"finalizers": []}})
    assert (await api.refused("GET", "/api/v1/namespaces/t"))["code"] == 404


async def test_deleted_furniture_comes_back(api: Any) -> None:
    before = await api.get("/api/v1/namespaces/default/serviceaccounts/default")
    await api.ok("DELETE", "/api/v1/namespaces/default/serviceaccounts/default")
    async with asyncio.timeout(5):
        while True:
            response = await api.send("GET", "/api/v1/namespaces/default/serviceaccounts/default")
            if response.status == 200:
                break
            await asyncio.sleep(0)
    assert before["metadata"]["uid"].encode() not in response.body


async def test_dry_run_has_no_effects(api: Any) -> None:
    before = await revision(api)
    made = await api.post(f"{MAPS}?dryRun=All", {"metadata": {"generateName": "d-"}})
    assert "resourceVersion" not in made["metadata"]
    services = "/api/v1/namespaces/default/services"
    body = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}]}}
    await api.post(f"{services}?dryRun=All", body)
    await api.ok("DELETE", "/api/v1/namespaces/default/serviceaccounts/default", {"dryRun": ["All"]})
    assert await revision(api) == before
    assert (await api.post(services, body))["spec"]["ports"][0]["nodePort"] == 30001


async def test_yaml_untyped_and_bare_bodies(api: Any) -> None:
    made = await api.ok("POST", MAPS, b"metadata: {name: yaml}\ndata: {a: b}\n", content_type="application/yaml")
    assert made["data"] == {"a": "b"}
    assert (await api.ok("POST", MAPS, {"metadata": {"name": "bare"}}, content_type=""))["kind"] == "ConfigMap"
    status = await api.refused("POST", MAPS, {"metadata": {"name": "t"}, "data": {"a": 1}})
    assert status["code"] == 400 and "cannot unmarshal number" in status["message"]


async def test_warnings_for_unknown_and_duplicate_fields(api: Any) -> None:
    body = b'{"metadata":{"name":"w","name":"w"},"foo":1}'
    response = await api.send("POST", MAPS, body)
    warnings = [value for name, value in response.headers if name == "Warning"]
    assert warnings == ['299 - "duplicate field \\"metadata.name\\""', '299 - "unknown field \\"foo\\""']
    status = await api.refused("POST", f"{MAPS}?fieldValidation=Strict", body)
    assert 'strict decoding error: duplicate field "metadata.name", unknown field "foo"' in status["message"]


async def test_both_views_of_an_event(api: Any) -> None:
    event = {
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "R", "message": "m", "type": "Normal",
    }  # fmt: skip
    await api.post("/api/v1/namespaces/default/events", event)
    view = await api.get("/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert (view["regarding"]["name"], view["note"], view["apiVersion"]) == ("p", "m", "events.k8s.io/v1")
    found = await api.get("/api/v1/events?fieldSelector=involvedObject.name=p,type=Normal")
    assert len(found["items"]) == 1
    view = await api.get("/apis/events.k8s.io/v1/events?fieldSelector=regarding.name=p")
    assert view["items"][0]["note"] == "m"


@pytest.mark.parametrize("count", [8])
async def test_concurrent_patches_all_land(api: Any, count: int) -> None:
    await api.post(MAPS, {"metadata": {"name": "race"}})
    await asyncio.gather(*(api.merge(f"{MAPS}/race", {"data": {f"k{i}": "v"}}) for i in range(count)))
    assert len((await api.get(f"{MAPS}/race"))["data"]) == count


async def test_eviction(api: Any, pod: Any) -> None:
    await api.post(PODS, pod("p", nodeName="n1"))
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert (await api.post(f"{PODS}/p/eviction", eviction))["status"] == "Success"
    assert (await api.get(f"{PODS}/p"))["metadata"]["deletionGracePeriodSeconds"] == 30


@pytest.mark.parametrize("version", ["5", 5, {"a": "1"}])
async def test_a_new_object_has_no_resource_version(api: Any, version: Any) -> None:
    body = {"metadata": {"name": "versioned", "resourceVersion": version}}
    refused = await api.refused("POST", "/api/v1/namespaces/default/configmaps", body)
    assert (refused["code"], refused["reason"]) == (400, "BadRequest")
    assert "resourceVersion" in refused["message"]


async def test_amounts_are_answered_in_their_one_form_and_other_texts_for_them_change_nothing(api: Any) -> None:
    def quota(amount: str) -> dict[str, Any]:
        return {"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": amount}}}

    url = "/api/v1/namespaces/default/resourcequotas"
    made = await api.post(url, quota("0.5"))
    assert made["spec"]["hard"] == {"requests.cpu": "500m"}
    again = await api.ok("PUT", f"{url}/q", quota("0.50"))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


async def test_a_namespace_of_what_is_in_none_is_overlooked(api: Any) -> None:
    """As manifests have it that put everything, ClusterRoles too, into one namespace."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": [],
        "metadata": {"name": "r", "namespace": "shop"},
    }  # fmt: skip
    made = await api.post(ROLES, role)
    changed = await api.ok("PUT", f"{ROLES}/r", {**role, "metadata": role["metadata"] | {"labels": {"a": "b"}}})
    merged = await api.merge(f"{ROLES}/r", {"metadata": {"namespace": "shop", "labels": {"c": "d"}}})
    assert merged["metadata"]["labels"] == {"a": "b", "c": "d"}
    url = f"{ROLES}/applied?fieldManager=m"
    applying = {**role, "metadata": {"name": "applied", "namespace": "shop"}}
    applied = await api.ok("PATCH", url, applying, content_type="application/apply-patch+yaml")
    again = await api.ok("PATCH", url, applying, content_type="application/apply-patch+yaml")
    for answer in (made, changed, merged, applied, again):
        assert "namespace" not in answer["metadata"]
    assert again["metadata"]["resourceVersion"] == applied["metadata"]["resourceVersion"]
