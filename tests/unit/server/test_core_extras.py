"""The rest of core/v1: bindings, component statuses, resizes; warnings, field selectors, generated selectors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from netsim.api.deprecations import warnings_of
from netsim.api.kinds import INGRESSES, PERSISTENT_VOLUMES, PODS, SERVICES
from netsim.server.components import lease_problem

NS = "/api/v1/namespaces/default"
STRATEGIC = "application/strategic-merge-patch+json"
CONTAINER = {"name": "c", "image": "x:1"}


def pod(name: str, **resources: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{**CONTAINER, "resources": resources}]}}


def warnings(response: Any) -> list[str]:
    return [value for name, value in response.headers if name == "Warning"]


async def test_bindings_of_a_namespace(api: Any) -> None:
    await api.ok("POST", f"{NS}/pods", pod("p"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await api.ok("POST", f"{NS}/bindings", binding))["status"] == "Success"
    assert (await api.get(f"{NS}/pods/p"))["spec"]["nodeName"] == "n1"
    assert (await api.refused("POST", f"{NS}/bindings", binding))["code"] == 409
    gone = {"metadata": {"name": "gone"}, "target": {"name": "n1"}}
    assert (await api.refused("POST", f"{NS}/bindings", gone))["message"] == 'pods "gone" not found'


async def test_component_statuses(api: Any) -> None:
    response = await api.send("GET", "/api/v1/componentstatuses")
    assert warnings(response) == ['299 - "v1 ComponentStatus is deprecated in v1.19+"']
    items = (await api.get("/api/v1/componentstatuses"))["items"]
    assert [item["metadata"]["name"] for item in items] == ["scheduler", "controller-manager", "etcd-0"]
    assert {item["conditions"][0]["status"] for item in items} == {"True"}
    table = await api.get("/api/v1/componentstatuses", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table["rows"][2]["cells"] == ["etcd-0", "Healthy", "ok", ""]
    assert (await api.refused("GET", "/api/v1/componentstatuses/x"))["code"] == 404
    assert (await api.refused("DELETE", "/api/v1/componentstatuses/etcd-0"))["code"] == 405


def test_leases_tell_of_their_holders() -> None:
    now = datetime(2026, 1, 1, 0, 1, 0, tzinfo=UTC)
    held = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:50.000000Z"}
    assert lease_problem(None, now) == "" and lease_problem({"spec": held}, now) == ""
    assert "run out" in lease_problem({"spec": {**held, "renewTime": "2026-01-01T00:00:44.000000Z"}}, now)
    assert lease_problem({"spec": {}}, now) == "nobody holds its Lease"


def resources(**sides: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", "resources": sides}]}}


async def test_resize_changes_amounts_and_nothing_else(api: Any) -> None:
    await api.ok("POST", f"{NS}/pods", pod("p", requests={"cpu": "1"}, limits={"cpu": "2"}))
    asked = resources(requests={"cpu": "500m"})
    asked["spec"]["containers"][0]["image"] = "other"
    changed = await api.ok("PATCH", f"{NS}/pods/p/resize", asked, content_type=STRATEGIC)
    container = changed["spec"]["containers"][0]
    assert container["resources"] == {"requests": {"cpu": "500m"}, "limits": {"cpu": "2"}}
    assert container["image"] == "x:1" and changed["metadata"]["generation"] == 2
    assert (await api.get(f"{NS}/pods/p/resize"))["spec"] == changed["spec"]
    more = resources(requests={"cpu": "600m"})
    refused = await api.refused("PATCH", f"{NS}/pods/p", more, content_type=STRATEGIC)
    assert "pod updates may not change fields other than" in refused["message"]


@pytest.mark.parametrize(
    ("sides", "why"),
    [
        ({"requests": {"cpu": "3"}}, "must be less than or equal to cpu limit of 2"),
        ({"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}, 'spec: Invalid value: "Burstable": Pod QOS Class'),
        ({"requests": {"x.y/z": "1"}}, "only cpu and memory resources are mutable"),
        ({"limits": {"cpu": None}}, "resource limits cannot be removed"),
    ],
)
async def test_resizes_that_are_refused(api: Any, sides: dict[str, Any], why: str) -> None:
    await api.ok("POST", f"{NS}/pods", pod("p", requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "2"}))
    refused = await api.refused("PATCH", f"{NS}/pods/p/resize", resources(**sides), content_type=STRATEGIC)
    assert refused["code"] == 422 and why in refused["message"]


async def test_warnings(api: Any) -> None:
    made = await api.send("POST", f"{NS}/endpoints", {"metadata": {"name": "e"}})
    assert warnings(made) == ['299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"']
    body = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["1.2.3.4"]}}
    assert warnings(await api.send("POST", f"{NS}/services", body)) == [
        '299 - "spec.externalIPs is deprecated and may no longer be implemented in some clusters"'
    ]
    assert warnings(await api.send("PUT", f"{NS}/services/s", body)) == [
        '299 - "spec.externalIPs is deprecated and may no longer be implemented in some clusters"'
    ]
    config = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "labels": {"a": "b"}}}
    applied = await api.send(
        "PATCH", f"{NS}/services/s?fieldManager=m", config, content_type="application/apply-patch+yaml"
    )
    assert warnings(applied) == [
        '299 - "spec.externalIPs is deprecated and may no longer be implemented in some clusters"'
    ]
    named = await api.send("POST", f"{NS}/pods", pod("a.b"))
    assert "this is used in the Pod's hostname" in warnings(named)[0]


def test_what_authors_are_warned_of() -> None:
    ingress = {"metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "x"}}}
    assert warnings_of(INGRESSES, ingress) == [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    ]
    volume = {"metadata": {"name": "v"}, "spec": {"persistentVolumeReclaimPolicy": "Recycle"}}
    assert warnings_of(PERSISTENT_VOLUMES, volume)[0].startswith("spec.persistentVolumeReclaimPolicy: The Recycle")
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    spec = {"nodeSelector": {"beta.kubernetes.io/os": "linux"}, "containers": [{**CONTAINER, "env": twice}]}
    assert warnings_of(PODS, {"metadata": {"name": "p"}, "spec": spec}) == [
        'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    ]
    port = {"containerPort": 80, "protocol": "TCP"}
    longer = [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]
    spec = {
        "containers": [
            {**CONTAINER, "ports": [port, port], "env": longer, "resources": {"limits": {"memory": "100m"}}},
            {**CONTAINER, "name": "d", "ports": [{**port, "hostPort": 80}]},
        ]
    }
    first = "spec.containers[0].ports[0]"
    assert warnings_of(PODS, {"metadata": {"name": "p"}, "spec": spec}) == [
        'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
        f"spec.containers[0].ports[1]: duplicate port definition with {first}",
        f"spec.containers[1].ports[0]: overlapping port definition with {first}",
        "spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[1]",
    ]
    spec = {
        "containers": [CONTAINER],
        "topologySpreadConstraints": [{"topologyKey": "zone"}],
        "imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}],
        "terminationGracePeriodSeconds": -1,
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {}}]}},
    }
    term = "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm"
    assert warnings_of(PODS, {"metadata": {"name": "p"}, "spec": spec}) == [
        "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        'spec.imagePullSecrets[1].name: duplicate name "a"',
        'spec.imagePullSecrets[2].name: invalid empty name ""',
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        f"{term}.labelSelector: a null labelSelector results in matching no pod",
    ]
    service = {"metadata": {"name": "s"}, "spec": {"externalName": "a.b", "externalIPs": ["1.2.3.4"]}}
    assert warnings_of(SERVICES, service) == [
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
        'spec.externalName is ignored when spec.type is not "ExternalName"',
    ]


_JSON, _MERGE, _STRATEGIC = (f"application/{name}-patch+json" for name in ("json", "merge", "strategic-merge"))


async def test_patches_that_are_none_are_refused_in_the_words_of_go(api: Any) -> None:
    await api.post(f"{NS}/configmaps", {"metadata": {"name": "c"}})
    cannot = "json: cannot unmarshal {} into Go value of type {}"
    fields = "map[string]interface {}"
    words = {
        _JSON: ({}, "error decoding patch: " + cannot.format("object", "[]handlers.jsonPatchOp")),
        _MERGE: ([], "error decoding patch: " + cannot.format("array", fields)),
        _STRATEGIC: ([], cannot.format("array", fields)),
    }
    for media, (body, message) in words.items():
        refused = await api.refused("PATCH", f"{NS}/configmaps/c", body, content_type=media)
        assert (refused["code"], refused["message"]) == (400, message)
        missing = await api.refused("PATCH", f"{NS}/configmaps/none", body, content_type=media)
        assert missing["reason"] == "NotFound"


async def test_a_patch_whose_values_fit_no_field_is_told_with_the_patch(api: Any) -> None:
    await api.post(f"{NS}/configmaps", {"metadata": {"name": "c"}})
    for body, why in (
        ({"data": 5}, '"map[data:5]": cannot restore map from int64'),
        ({"data": {"x": 5}}, '"map[data:map[x:5]]": cannot convert int64 to string'),
        ({"immutable": "x"}, '"map[immutable:x]": unrecognized type: bool'),
    ):
        refused = await api.refused("PATCH", f"{NS}/configmaps/c", body, content_type=_STRATEGIC)
        assert (refused["code"], refused["message"]) == (422, f' "" is invalid: patch: Invalid value: {why}')
        cause = {"reason": "FieldValueInvalid", "message": f"Invalid value: {why}", "field": "patch"}
        assert refused["details"] == {"causes": [cause]}
    refused = await api.refused("PATCH", f"{NS}/configmaps/c", {"data": {"x": 5}}, content_type=_MERGE)
    assert refused["code"] == 422 and refused["message"].endswith(
        "cannot unmarshal number into Go struct field ConfigMap.data of type string"
    )


async def test_what_a_strict_patch_says_that_it_may_not(api: Any) -> None:
    await api.post(f"{NS}/configmaps", {"metadata": {"name": "c"}})
    body, strict = b'{"foo":1,"data":{"a":"1","a":"2"}}', f"{NS}/configmaps/c?fieldValidation=Strict"
    refused = await api.refused("PATCH", strict, body, content_type=_STRATEGIC)
    problem = 'strict decoding error: duplicate field "data.a", unknown field "foo"'
    assert refused["message"] == f' "" is invalid: patch: Invalid value: "map[data:map[a:2] foo:1]": {problem}'
    response = await api.send("PATCH", f"{NS}/configmaps/c", body, content_type=_STRATEGIC)
    assert [value for name, value in response.headers if name == "Warning"] == [
        '299 - "duplicate field \\"data.a\\""', '299 - "unknown field \\"foo\\""',
    ]  # fmt: skip


async def test_a_strategic_patch_cannot_change_what_an_object_is(api: Any) -> None:
    await api.post(f"{NS}/configmaps", {"metadata": {"name": "c"}})
    same = await api.ok("PATCH", f"{NS}/configmaps/c", {"kind": "Pod", "apiVersion": "v9"}, content_type=_STRATEGIC)
    assert (same["kind"], same["apiVersion"]) == ("ConfigMap", "v1")
    for media in (_MERGE, _STRATEGIC):
        nameless = await api.refused("PATCH", f"{NS}/configmaps/c", {"metadata": {"name": None}}, content_type=media)
        assert nameless["message"].endswith("(c based on URL) was undeterminable: name must be provided")


async def test_jobs_by_success_and_their_generated_selector(api: Any) -> None:
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    spec = {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}}
    made = await api.ok("POST", jobs, {"metadata": {"name": "j"}, "spec": spec, "status": {"succeeded": 9}})
    uid = made["metadata"]["uid"]
    assert made["status"] == {} and made["metadata"]["generation"] == 1
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert made["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "j", "controller-uid": uid,
        "job-name": "j",
    }  # fmt: skip
    await api.ok("PUT", f"{jobs}/j", {"metadata": {"name": "j"}, "spec": made["spec"]})
    await api.ok("PUT", f"{jobs}/j/status", {**made, "status": {"succeeded": 1}})
    found = await api.get(f"{jobs}?fieldSelector=status.successful=1")
    assert [item["metadata"]["name"] for item in found["items"]] == ["j"]
    assert (await api.get(f"{jobs}?fieldSelector=status.successful=0"))["items"] == []


async def test_a_daemon_set_counts_its_templates(api: Any) -> None:
    sets = "/apis/apps/v1/namespaces/default/daemonsets"
    labels = {"matchLabels": {"a": "b"}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
    body = {"metadata": {"name": "d"}, "spec": {"selector": labels, "template": template}}
    made = await api.ok("POST", sets, body)
    assert made["metadata"]["annotations"] == {"deprecated.daemonset.template.generation": "1"}
    again = await api.ok("PUT", f"{sets}/d", body)
    assert again["metadata"]["generation"] == 1
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "y"}]}}}}
    changed = await api.ok("PATCH", f"{sets}/d", patch, content_type=STRATEGIC)
    assert changed["metadata"]["annotations"] == {"deprecated.daemonset.template.generation": "2"}
    assert changed["metadata"]["generation"] == 2


async def test_what_is_deleted_is_shown_for_some_kinds(api: Any) -> None:
    for plural, body, kind in (
        ("services", {"spec": {"ports": [{"port": 80}]}}, "Service"),
        ("serviceaccounts", {}, "ServiceAccount"),
        ("configmaps", {}, "Status"),
    ):
        await api.post(f"{NS}/{plural}", {"metadata": {"name": "gone"}, **body})
        assert (await api.ok("DELETE", f"{NS}/{plural}/gone"))["kind"] == kind
    await api.post(f"{NS}/pods", {"metadata": {"name": "gone"}, "spec": {"containers": [CONTAINER]}})
    pod = await api.ok("DELETE", f"{NS}/pods/gone")
    assert pod["kind"] == "Pod" and pod["metadata"]["deletionGracePeriodSeconds"] == 0
    assert "deletionTimestamp" in pod["metadata"]
    await api.post("/api/v1/namespaces", {"metadata": {"name": "going"}})
    namespace = await api.ok("DELETE", "/api/v1/namespaces/going")
    assert "deletionTimestamp" in namespace["metadata"]
    assert "deletionGracePeriodSeconds" not in namespace["metadata"]


async def test_a_scale_of_none_leaves_the_number_out(api: Any) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    url = "/apis/apps/v1/namespaces/default/deployments"
    await api.post(url, {"metadata": {"name": "d"}, "spec": spec})
    assert (await api.get(f"{url}/d/scale"))["spec"] == {}
    assert (await api.merge(f"{url}/d/scale", {"spec": {"replicas": 2}}))["spec"] == {"replicas": 2}
    assert (await api.merge(f"{url}/d/scale", {"spec": {"replicas": 0}}))["spec"] == {}


async def test_an_event_stands_in_its_objects_namespace(api: Any) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "other"}})
    url = "/api/v1/namespaces/{}/events"
    node = {"metadata": {"generateName": "node."}, "involvedObject": {"kind": "Node", "name": "n"}}
    await api.post(url.format("default"), node)
    for involved in ({}, {"kind": "Pod", "name": "p"}, {"kind": "Pod", "name": "p", "namespace": "default"}):
        refused = await api.refused("POST", url.format("other"), {**node, "involvedObject": involved})
        assert refused["message"].endswith("does not match event.namespace")


async def test_bindings_and_evictions_name_their_pod_twice(api: Any) -> None:
    await api.post(f"{NS}/pods", {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}})
    for name, body in (("binding", {"target": {"name": "n"}}), ("eviction", {"metadata": {"name": "q"}})):
        refused = await api.refused("POST", f"{NS}/pods/p/{name}", body)
        assert refused["message"] == f"name in URL does not match name in {name.title()} object"


async def test_the_data_of_a_revision_is_owned_as_a_whole(api: Any) -> None:
    url = "/apis/apps/v1/namespaces/default/controllerrevisions"
    made = await api.post(url, {"metadata": {"name": "r"}, "revision": 1, "data": {"a": {"b": 1}}})
    assert made["metadata"]["managedFields"][0]["fieldsV1"]["f:data"] == {}


async def test_a_copy_of_a_pod_keeps_its_tokens_volume_for_what_is_new_in_it(api: Any) -> None:
    """As of `kubectl debug --copy-to`."""
    first = await api.ok("POST", f"{NS}/pods", pod("p"))
    (volume,) = first["spec"]["volumes"]
    spec = {key: first["spec"][key] for key in ("containers", "volumes")}
    spec["containers"] = [*spec["containers"], {"name": "d", "image": "x"}]
    copy = {"metadata": {"name": "q"}, "spec": spec}
    made = (await api.ok("POST", f"{NS}/pods", copy))["spec"]
    assert made["volumes"] == [volume]
    assert [c["volumeMounts"][0]["name"] for c in made["containers"]] == [volume["name"]] * 2


async def test_a_pod_without_an_account_is_refused_by_the_name_that_was_given(api: Any) -> None:
    spec = {**pod("p")["spec"], "serviceAccountName": "none"}
    for metadata, told in (({"generateName": "web-"}, "web-"), ({"name": "web-abcde"}, "web-abcde")):
        refused = await api.refused("POST", f"{NS}/pods", {"metadata": metadata, "spec": spec})
        why = 'error looking up service account default/none: serviceaccount "none" not found'
        assert refused["message"] == f'pods "{told}" is forbidden: {why}'


async def test_a_refusal_in_a_deprecated_version_warns_too(api: Any) -> None:
    text = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    missing = await api.send("GET", f"{NS}/endpoints/none")
    assert (missing.status, warnings(missing)) == (404, [text])


async def test_a_changed_selector_is_told_by_the_alphabet(api: Any) -> None:
    labels = {"b": "c", "a": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    body = {"metadata": {"name": "w"}, "spec": {"selector": {"matchLabels": {"b": "c"}}, "template": template}}
    url = "/apis/apps/v1/namespaces/default/deployments"
    await api.ok("POST", url, body)
    change = {"spec": {"selector": {"matchLabels": {"a": "d"}}}}
    refused = await api.refused("PATCH", f"{url}/w", change, content_type="application/merge-patch+json")
    assert 'Invalid value: {"matchLabels":{"a":"d","b":"c"}}: field is immutable' in refused["message"]
