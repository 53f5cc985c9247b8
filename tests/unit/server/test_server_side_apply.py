"""PATCH application/apply-patch+yaml: the answers recorded from a real API server, and what follows from them."""

from __future__ import annotations

import json
from typing import Any

Obj = dict[str, Any]
APPLY = "application/apply-patch+yaml"
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
LAST = "kubectl.kubernetes.io/last-applied-configuration"


def config_map(name: str = "ssa", **more: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def deployment(replicas: int | None = None, image: str = "x") -> Obj:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec: Obj = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    spec |= {"replicas": replicas} if replicas is not None else {}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def owned(obj: Obj) -> dict[str, Obj]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


async def apply(api: Any, config: Obj, manager: str = "m1", query: str = "", url: str = "", **more: Any) -> Any:
    """(status, answer) of an apply."""
    url = url or f"{MAPS}/{config['metadata']['name']}"
    response = await api.send("PATCH", f"{url}?fieldManager={manager}{query}", config, content_type=APPLY, **more)
    return response.status, json.loads(response.body)


async def test_the_recorded_story(api: Any) -> None:
    status, made = await apply(api, config_map(data={"a": "1", "b": "2"}))
    entry = {
        "manager": "m1", "operation": "Apply", "apiVersion": "v1", "time": "2026-11-22T12:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}},
    }  # fmt: skip
    assert status == 201 and made["metadata"]["managedFields"] == [entry]
    api.clock.move(60)
    assert await apply(api, config_map(data={"a": "1", "b": "2"})) == (200, made), "not even the time changes"
    status, refused = await apply(api, config_map(data={"a": "X"}), "m2")
    text = 'Apply failed with 1 conflict: conflict with "m1": .data.a'
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".data.a"}
    assert (status, refused["reason"], refused["message"], refused["details"]) == (
        409, "Conflict", text, {"causes": [cause]},
    )  # fmt: skip
    status, forced = await apply(api, config_map(data={"a": "X"}), "m2", "&force=true")
    assert status == 200 and owned(forced) == {"m1": {"f:data": {"f:b": {}}}, "m2": {"f:data": {"f:a": {}}}}
    assert forced["data"] == {"a": "X", "b": "2"}
    _, emptied = await apply(api, config_map(data={}))
    assert emptied["data"] == {"a": "X"} and owned(emptied)["m1"] == {"f:data": {}}


OPTIONS = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: '
REFUSED = [
    (config_map(), "", 422, f"{OPTIONS}Required value: is required for apply patch"),
    (config_map(), "x" * 129, 422, f"{OPTIONS}Too long: may not be more than 128 bytes"),
    (config_map(), "a%07", 422, f'{OPTIONS}Invalid value: "a\\u0007": invalid character U+0007 (at position 1)'),
    (config_map(metadata={"managedFields": [{"manager": "x"}]}), "m", 400, "metadata.managedFields must be nil"),
    (config_map("other"), "m", 400, "the name of the object (other) does not match the name on the URL (ssa)"),
    (
        config_map(metadata={"name": "ssa", "namespace": "x"}), "m", 400,
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    ({"data": {"a": "b"}}, "m", 400, "invalid object type: /, Kind="),
    ({**config_map(), "kind": "Secret"}, "m", 400, "invalid object type: /v1, Kind=Secret"),
    (
        config_map(foo=1), "m", 400,
        "failed to create typed patch object (/ssa; /v1, Kind=ConfigMap): .foo: field not declared in schema",
    ),
]  # fmt: skip


async def test_what_cannot_be_applied(api: Any) -> None:
    for config, manager, code, message in REFUSED:
        status, refused = await apply(api, config, manager, url=f"{MAPS}/ssa")
        assert (status, refused["message"]) == (code, message)


async def test_junk_and_force_without_apply(api: Any) -> None:
    for body in (b"[1]", b"a: [", b"'x'", b"metadata: 3\nkind: ConfigMap\napiVersion: v1"):
        refused = await api.refused("PATCH", f"{MAPS}/a?fieldManager=m", body, content_type=APPLY)
        assert (refused["code"], refused["reason"]) == (400, "BadRequest")
    url = f"{MAPS}/kube-root-ca.crt?force=true"
    refused = await api.refused("PATCH", url, {}, content_type="application/merge-patch+json")
    assert "force: Forbidden: may not be specified for non-apply patch" in refused["message"]
    refused = await api.refused("PATCH", f"{MAPS}/a?fieldManager=m", b"x", content_type="application/apply-patch+cbor")
    assert refused["code"] == 415


async def test_yaml_dry_run_and_preconditions(api: Any) -> None:
    yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'y'}\ndata:\n  a: 'yes'\n"
    dry = await api.ok("PATCH", f"{MAPS}/y?fieldManager=m&dryRun=All", yaml, content_type=APPLY)
    assert "resourceVersion" not in dry["metadata"] and owned(dry) == {"m": {"f:data": {"f:a": {}}}}
    assert (await api.refused("GET", f"{MAPS}/y"))["code"] == 404
    status, refused = await apply(api, config_map("y", metadata={"name": "y", "uid": "no"}))
    assert status == 409 and "uid mismatch: the provided object specified uid no, and no existing" in refused["message"]
    made = await api.ok("PATCH", f"{MAPS}/y?fieldManager=m", yaml, content_type=APPLY)
    for metadata, wanted in (({"uid": "no"}, (422, "Invalid")), ({"resourceVersion": "1"}, (409, "Conflict"))):
        status, refused = await apply(api, config_map("y", metadata={"name": "y", **metadata}))
        assert (status, refused["reason"]) == wanted
    status, _ = await apply(
        api, config_map("y", metadata={"name": "y", "uid": made["metadata"]["uid"]}, data={"b": "1"})
    )
    assert status == 200


async def test_what_others_own_is_left_alone(api: Any) -> None:
    await api.post(DEPLOYMENTS, deployment(3))
    status, refused = await apply(api, deployment(5, "y"), "m", url=f"{DEPLOYMENTS}/d")
    assert status == 409 and refused["message"] == (
        'Apply failed with 2 conflicts: conflicts with "unknown" using apps/v1:\n- .spec.replicas\n'
        '- .spec.template.spec.containers[name="c"].image'
    )
    status, applied = await apply(api, deployment(3), "m", url=f"{DEPLOYMENTS}/d")
    assert status == 200 and applied["metadata"]["generation"] == 1, "the same values are owned together"
    status, applied = await apply(api, deployment(), "m", url=f"{DEPLOYMENTS}/d")
    assert applied["spec"]["replicas"] == 3 and "f:replicas" not in owned(applied)["m"]["f:spec"]


async def test_scale_and_status(api: Any) -> None:
    await apply(api, deployment(3), "m", url=f"{DEPLOYMENTS}/d")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 4}}
    status, refused = await apply(api, scale, "hpa", url=f"{DEPLOYMENTS}/d/scale")
    assert status == 409 and refused["details"]["causes"][0]["field"] == ".spec.replicas"
    status, scaled = await apply(api, scale, "hpa", "&force=true", url=f"{DEPLOYMENTS}/d/scale")
    assert status == 200 and scaled["kind"] == "Scale" and scaled["spec"] == {"replicas": 4}
    wanted = {"status": {"observedGeneration": 7}, **{k: v for k, v in deployment().items() if k != "spec"}}
    status, applied = await apply(api, wanted, "boss", url=f"{DEPLOYMENTS}/d/status")
    assert status == 200 and applied["status"]["observedGeneration"] == 7
    entries = {e["manager"]: e for e in (await api.get(f"{DEPLOYMENTS}/d"))["metadata"]["managedFields"]}
    assert entries["hpa"]["subresource"] == "scale" and entries["hpa"]["apiVersion"] == "apps/v1"
    assert entries["hpa"]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in entries["m"]["fieldsV1"]["f:spec"]
    assert entries["boss"]["subresource"] == "status"
    assert entries["boss"]["fieldsV1"] == {"f:status": {"f:observedGeneration": {}}}
    status, refused = await apply(api, {**scale, "spec": {"replicas": -1}}, "hpa", url=f"{DEPLOYMENTS}/d/scale")
    assert status == 422


def pod_part(**spec: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def entry_of(obj: Obj, manager: str) -> Obj:
    return next(entry for entry in obj["metadata"]["managedFields"] if entry["manager"] == manager)


async def test_amounts_of_a_pod_are_applied_by_resize(api: Any, pod: Any) -> None:
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "1", "memory": "1Mi"}}}
    await apply(api, pod_part(containers=[container]), "author", url=f"{PODS}/p")
    more = pod_part(containers=[{"name": "c", "image": "other", "resources": {"requests": {"cpu": "2"}}}])
    status, refused = await apply(api, more, "sizer", url=f"{PODS}/p/resize")
    where = '.spec.containers[name="c"].resources.requests.cpu'
    assert (status, refused["message"]) == (409, f'Apply failed with 1 conflict: conflict with "author": {where}')
    status, sized = await apply(api, more, "sizer", "&force=true", url=f"{PODS}/p/resize")
    (now,) = sized["spec"]["containers"]
    assert (status, now["image"], now["resources"]) == (200, "x", {"requests": {"cpu": "2", "memory": "1Mi"}})
    entry = entry_of(sized, "sizer")
    assert (entry["operation"], entry["subresource"]) == ("Apply", "resize")
    key = 'k:{"name":"c"}'
    owned_now = {".": {}, "f:resources": {"f:requests": {"f:cpu": {}}}}
    assert entry["fieldsV1"] == {"f:spec": {"f:containers": {key: owned_now}}}
    left = entry_of(sized, "author")["fieldsV1"]["f:spec"]["f:containers"][key]["f:resources"]
    assert left == {"f:requests": {"f:memory": {}}}
    better = pod_part(containers=[{"name": "c", "resources": limits}])
    status, refused = await apply(api, better, "sizer", "&force=true", url=f"{PODS}/p/resize")
    assert status == 422 and "Pod QOS Class may not change as a result of resizing" in refused["message"]
    assert (await apply(api, pod_part(), "sizer", url=f"{PODS}/no/resize"))[0] == 400, "another name"
    assert (await apply(api, pod_part() | {"metadata": {"name": "no"}}, url=f"{PODS}/no/resize"))[0] == 404


async def test_ephemeral_containers_are_applied(api: Any, pod: Any) -> None:
    await api.post(PODS, pod("p"))
    debug = pod_part(ephemeralContainers=[{"name": "d", "image": "busybox"}])
    url = f"{PODS}/p/ephemeralcontainers"
    status, added = await apply(api, debug, "m1", url=url)
    assert status == 200 and [c["name"] for c in added["spec"]["ephemeralContainers"]] == ["d"]
    entry = entry_of(added, "m1")
    assert (entry["operation"], entry["subresource"]) == ("Apply", "ephemeralcontainers")
    fields = {".": {}, "f:image": {}, "f:name": {}}
    assert entry["fieldsV1"] == {"f:spec": {"f:ephemeralContainers": {'k:{"name":"d"}': fields}}}
    assert await apply(api, debug, "m1", url=url) == (200, added)
    status, refused = await apply(api, debug | {"spec": {}}, "m1", url=url)
    assert status == 422 and "may not be removed" in refused["message"]
    other = pod_part(ephemeralContainers=[{"name": "d", "image": "other"}])
    status, refused = await apply(api, other, "m2", url=url)
    assert (status, refused["reason"]) == (409, "Conflict") and ".image" in refused["message"]


async def test_kubectl_takes_over_what_its_client_side_apply_set(api: Any) -> None:
    told = json.dumps(config_map(data={"a": "1", "b": "2"}))
    made = config_map(metadata={"name": "ssa", "annotations": {LAST: told}}, data={"a": "1", "b": "2"})
    await api.post(f"{MAPS}?fieldManager=kubectl-client-side-apply", made)
    status, _ = await apply(api, config_map(data={"a": "9"}), "another")
    assert status == 409
    status, applied = await apply(api, config_map(data={"a": "9", "b": "2"}), "kubectl")
    assert status == 200 and applied["data"] == {"a": "9", "b": "2"}
    assert json.loads(applied["metadata"]["annotations"][LAST])["data"] == {"a": "9", "b": "2"}
    await api.merge(f"{MAPS}/ssa?fieldManager=editor", {"data": {"b": "edited"}})
    status, refused = await apply(api, config_map(data={"a": "9", "b": "3"}), "kubectl")
    assert status == 409 and refused["message"].endswith('conflict with "editor" using v1: .data.b')


async def test_an_apply_needs_leave_to_create(api: Any) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "get"]}]
    await api.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}
    await api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    from netsim.http.types import Peer

    eve = Peer(common_name="eve")
    status, refused = await apply(api, config_map(data={"a": "1"}), peer=eve)
    assert status == 403 and "cannot create resource" in refused["message"]
    await apply(api, config_map(data={"a": "1"}))
    status, _ = await apply(api, config_map(data={"b": "1"}), "eve", peer=eve)
    assert status == 200


async def test_only_of_an_object_that_is_not_there_the_name_must_be_said(api: Any) -> None:
    nameless = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}
    status, refused = await apply(api, nameless, url=f"{MAPS}/ssa")
    assert (status, refused["message"]) == (
        400, "the name of the object (ssa based on URL) was undeterminable: name must be provided",
    )  # fmt: skip
    await api.post(MAPS, {"metadata": {"name": "ssa"}})
    status, applied = await apply(api, nameless, url=f"{MAPS}/ssa")
    assert (status, applied["data"], list(owned(applied))) == (200, {"a": "1"}, ["m1"])
