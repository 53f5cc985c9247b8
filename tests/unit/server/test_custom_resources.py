"""CustomResourceDefinitions and their objects, over a real store in process."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from netsim.http.types import Peer
from netsim.server.app import ApiServer
from support.crontabs import COLUMNS, CRDS, SCALE, SCHEMA, TABS, definition, in_spec, tab, version

Obj = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def until(check: Callable[[], Awaitable[Any]]) -> Any:
    """What `check` gives once it is true."""
    async with asyncio.timeout(5):
        while not (found := await check()):
            await asyncio.sleep(0.005)
    return found


def conditions(crd: Obj) -> dict[str, str]:
    return {c["type"]: c["status"] for c in crd["status"]["conditions"] or ()}


async def establish(api: Any, crd: Obj) -> Obj:
    await api.post(CRDS, crd)
    name = crd["metadata"]["name"]

    async def established() -> Obj | None:
        found = await api.get(f"{CRDS}/{name}")
        return found if conditions(found).get("Established") == "True" else None

    return await until(established)


@pytest.fixture
async def tabs(api: Any) -> Any:
    """The server with CronTabs."""
    subresources = {"status": {}, "scale": SCALE}
    fields = [{"jsonPath": ".spec.image"}]
    full = version(subresources=subresources, additionalPrinterColumns=COLUMNS, selectableFields=fields)
    await establish(api, definition(full, shortNames=["ct"], categories=["all", "jobs"]))
    return api


async def test_a_definition_gets_its_names_and_is_served(api: Any) -> None:
    assert (await api.send("GET", TABS)).body == b"404 page not found\n"
    crd = await establish(api, definition(shortNames=["ct"]))
    assert crd["status"]["acceptedNames"] == {
        "plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList", "shortNames": ["ct"],
    }  # fmt: skip
    assert crd["status"]["storedVersions"] == ["v1"] and crd["spec"]["conversion"] == {"strategy": "None"}
    assert conditions(crd) == {"NamesAccepted": "True", "Established": "True"}
    listed = await api.get(TABS)
    assert (listed["kind"], listed["apiVersion"], listed["items"]) == ("CronTabList", "stable.example.com/v1", [])


async def test_discovery_in_both_forms(tabs: Any) -> None:
    groups = [group["name"] for group in (await tabs.get("/apis"))["groups"]]
    assert groups[-1] == "stable.example.com"
    resources = {r["name"]: r for r in (await tabs.get("/apis/stable.example.com/v1"))["resources"]}
    assert set(resources) == {"crontabs", "crontabs/status", "crontabs/scale"}
    assert resources["crontabs"]["shortNames"] == ["ct"] and resources["crontabs"]["categories"] == ["all", "jobs"]
    assert resources["crontabs/scale"]["kind"] == "Scale" and resources["crontabs/scale"]["group"] == "autoscaling"
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = (await tabs.get("/apis", accept=accept))["items"][-1]
    assert found["versions"][0]["resources"][0]["subresources"][0]["subresource"] == "scale"


async def test_openapi_has_the_custom_kind(tabs: Any) -> None:
    url = (await tabs.get("/openapi/v3"))["paths"]["apis/stable.example.com/v1"]["serverRelativeURL"]
    document = await tabs.get(url)
    schema = document["components"]["schemas"]["com.example.stable.v1.CronTab"]
    assert schema["x-kubernetes-group-version-kind"][0]["kind"] == "CronTab"
    assert schema["properties"]["metadata"]["$ref"].endswith("ObjectMeta")
    assert schema["properties"]["spec"]["properties"]["port"] == {
        "x-kubernetes-int-or-string": True, "format": "int-or-string",
    }  # fmt: skip
    swagger = await tabs.send("GET", "/openapi/v2", accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert b"com.example.stable.v1.CronTab" in swagger.body


async def test_objects_are_defaulted_pruned_and_counted(tabs: Any) -> None:
    made = await tabs.post(TABS, {**tab(colour="red", note=None, replicas=None, extra={"a": {"b": 1}}), "odd": 1})
    assert made["spec"] == {"cronSpec": "* * * * */5", "note": None, "extra": {"a": {"b": 1}}, "image": "busybox"}
    assert "odd" not in made and made["metadata"]["generation"] == 1
    changed = await tabs.merge(f"{TABS}/t", {"spec": {"replicas": 3}, "status": {"replicas": 9}})
    assert changed["metadata"]["generation"] == 2 and "status" not in changed
    labelled = await tabs.merge(f"{TABS}/t", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 2
    same = await tabs.merge(f"{TABS}/t", {"spec": {"replicas": 3}})
    assert same["metadata"]["resourceVersion"] == labelled["metadata"]["resourceVersion"]


async def test_unknown_fields_are_warned_of_or_refused(tabs: Any) -> None:
    response = await tabs.send("POST", TABS, tab(colour="red"))
    assert response.header("warning") == '299 - "unknown field \\"spec.colour\\""'
    refusal = await tabs.refused("POST", f"{TABS}?fieldValidation=Strict", tab("u", colour="red", ports=[{"nam": 1}]))
    assert refusal["message"] == (
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: '
        'unknown field "spec.colour", unknown field "spec.ports[0].nam"'
    )
    body = tab("v")
    body["metadata"]["labelz"] = {}
    assert (
        'unknown field "metadata.labelz"'
        in (await tabs.refused("POST", f"{TABS}?fieldValidation=Strict", body))["message"]
    )


async def test_wrong_values_are_refused(tabs: Any) -> None:
    refusal = await tabs.refused("POST", TABS, tab(replicas=0))
    assert (refusal["code"], refusal["reason"]) == (422, "Invalid")
    assert refusal["message"] == (
        'CronTab.stable.example.com "t" is invalid: spec.replicas: Invalid value: 0: '
        "spec.replicas in body should be greater than or equal to 1"
    )


async def test_status_and_scale(tabs: Any) -> None:
    await tabs.post(TABS, tab(replicas=2))
    body = {"status": {"replicas": 1, "selector": "app=x", "more": 1}, "spec": {"replicas": 7}}
    shown = await tabs.merge(f"{TABS}/t/status", body)
    assert shown["status"] == body["status"] and shown["spec"]["replicas"] == 2
    assert shown["metadata"]["generation"] == 1
    scale = await tabs.get(f"{TABS}/t/scale")
    assert scale["spec"] == {"replicas": 2} and scale["status"] == {"replicas": 1, "selector": "app=x"}
    assert (await tabs.merge(f"{TABS}/t/scale", {"spec": {"replicas": 4}}))["spec"] == {"replicas": 4}
    assert (await tabs.get(f"{TABS}/t"))["metadata"]["generation"] == 2
    refusal = await tabs.refused(
        "PUT", f"{TABS}/t/scale", {**scale, "metadata": {"name": "t"}, "spec": {"replicas": 11}}
    )
    assert refusal["code"] == 422


async def test_lists_say_that_they_do_not_go_on(tabs: Any) -> None:
    await tabs.post(TABS, tab("a"))
    await tabs.post(TABS, tab("b"))
    assert (await tabs.get(TABS))["metadata"]["continue"] == ""
    first = (await tabs.get(f"{TABS}?limit=1"))["metadata"]
    assert first["continue"] and first["remainingItemCount"] == 1
    assert "continue" not in (await tabs.get(TABS, accept=TABLE))["metadata"]
    assert "continue" not in (await tabs.get(CRDS))["metadata"]


async def test_tables_show_the_columns(tabs: Any) -> None:
    await tabs.post(TABS, tab(replicas=2))
    await tabs.merge(f"{TABS}/t/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    tabs.clock.move(90)
    table = await tabs.get(TABS, accept=TABLE)
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Schedule", "Replicas", "Ready", "Age"]
    assert table["rows"][0]["cells"] == ["t", "* * * * */5", 2, "True", "90s"]


async def test_selectors_and_patches(tabs: Any) -> None:
    await tabs.post(TABS, tab("a"))
    await tabs.post(TABS, tab("b", image="alpine"))
    listed = await tabs.get(f"{TABS}?fieldSelector=spec.image=alpine")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["b"]
    refusal = await tabs.refused("GET", f"{TABS}?fieldSelector=spec.cronSpec=x")
    assert refusal["message"] == "field label not supported: spec.cronSpec"
    strategic = "application/strategic-merge-patch+json"
    assert (await tabs.refused("PATCH", f"{TABS}/a", {}, content_type=strategic))["code"] == 415
    patch = [{"op": "replace", "path": "/spec/image", "value": "alpine"}]
    changed = await tabs.ok("PATCH", f"{TABS}/a", patch, content_type="application/json-patch+json")
    assert changed["spec"]["image"] == "alpine"
    gone = await tabs.ok("DELETE", f"{TABS}?fieldSelector=spec.image=alpine")
    assert len(gone["items"]) == 2 and (await tabs.get(TABS))["items"] == []


async def test_watch_gives_custom_objects(tabs: Any) -> None:
    async def act() -> None:
        await tabs.post(TABS, tab())
        await tabs.merge(f"{TABS}/t", {"spec": {"replicas": 2}})
        await tabs.ok("DELETE", f"{TABS}/t")

    events = await tabs.watch(f"{TABS}?watch=1", 3, act)
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[2]["object"]["kind"] == "CronTab" and events[2]["object"]["spec"]["replicas"] == 2


async def test_versions_convert_by_their_apiversion_alone(api: Any) -> None:
    older = copy.deepcopy(SCHEMA)
    older["properties"]["spec"]["properties"]["size"] = {"type": "string", "default": "small"}
    beta = {
        "name": "v1beta1",
        "served": True,
        "storage": False,
        "deprecated": True,
        "schema": {"openAPIV3Schema": older},
    }
    await establish(api, definition(version(), beta))
    made = await api.post(TABS, tab())
    assert made["apiVersion"] == "stable.example.com/v1" and "size" not in made["spec"]
    old = TABS.replace("/v1/", "/v1beta1/")
    response = await api.send("GET", f"{old}/t")
    shown = json.loads(response.body)
    assert shown["apiVersion"] == "stable.example.com/v1beta1" and shown["spec"]["size"] == "small"
    text = "stable.example.com/v1beta1 CronTab is deprecated; use stable.example.com/v1 CronTab"
    assert response.header("warning") == f'299 - "{text}"'
    await api.merge(f"{old}/t", {"spec": {"replicas": 2}})
    assert (await api.get(f"{TABS}/t"))["spec"]["replicas"] == 2
    events = await api.watch(f"{old}?watch=1", 1)
    assert events[0]["object"]["apiVersion"] == "stable.example.com/v1beta1"
    versions = (await api.get("/apis/stable.example.com"))["versions"]
    assert [entry["version"] for entry in versions] == ["v1", "v1beta1"]


async def test_the_storage_version_may_move(api: Any) -> None:
    crd = await establish(api, definition(version(), {**version("v2"), "storage": False}))
    await api.post(TABS, tab())
    crd["spec"]["versions"][0]["storage"], crd["spec"]["versions"][1]["storage"] = False, True
    await api.ok("PUT", f"{CRDS}/crontabs.stable.example.com", crd)

    async def stored() -> bool:
        found = await api.get(f"{CRDS}/crontabs.stable.example.com")
        return found["status"]["storedVersions"] == ["v1", "v2"]

    await until(stored)
    await api.post(TABS, tab("u"))
    for group_version in ("v1", "v2"):
        listed = await api.get(TABS.replace("/v1/", f"/{group_version}/"))
        assert [item["metadata"]["name"] for item in listed["items"]] == ["t", "u"]
        one = await api.get(TABS.replace("/v1/", f"/{group_version}/") + "/t")
        assert one["apiVersion"] == f"stable.example.com/{group_version}"
    crd = await api.get(f"{CRDS}/crontabs.stable.example.com")
    crd["spec"]["versions"].pop(0)
    refusal = await api.refused("PUT", f"{CRDS}/crontabs.stable.example.com", crd)
    assert refusal["details"]["causes"][0]["field"] == "status.storedVersions[0]"


async def test_names_that_are_taken_are_not_accepted(api: Any) -> None:
    await establish(api, definition(shortNames=["ct"]))
    await api.post(CRDS, definition(plural="crontabz", kind="CronTabZ", shortNames=["ct"]))

    async def judged() -> Obj | None:
        found = await api.get(f"{CRDS}/crontabz.stable.example.com")
        return found if "NamesAccepted" in conditions(found) else None

    found = await until(judged)
    assert conditions(found) == {"NamesAccepted": "False", "Established": "False"}
    [accepted] = [c for c in found["status"]["conditions"] if c["type"] == "NamesAccepted"]
    assert (accepted["reason"], accepted["message"]) == ("ShortNamesConflict", '"ct" is already in use')
    await api.ok("DELETE", f"{CRDS}/crontabs.stable.example.com")

    async def freed() -> bool:
        return conditions(await api.get(f"{CRDS}/crontabz.stable.example.com")).get("Established") == "True"

    await until(freed)


async def test_a_changed_schema_counts_at_once_and_spares_what_is_unchanged(tabs: Any) -> None:
    await tabs.post(TABS, tab(replicas=9))
    crd = await tabs.get(f"{CRDS}/crontabs.stable.example.com")
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["replicas"][
        "maximum"
    ] = 5
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["mode"] = {
        "type": "string", "default": "slow",
    }  # fmt: skip
    await tabs.ok("PUT", f"{CRDS}/crontabs.stable.example.com", crd)

    async def seen() -> bool:
        return "mode" in (await tabs.get(f"{TABS}/t"))["spec"]

    await until(seen)
    changed = await tabs.merge(f"{TABS}/t", {"spec": {"image": "alpine"}})
    assert changed["spec"]["replicas"] == 9 and changed["spec"]["mode"] == "slow"
    merge = "application/merge-patch+json"
    refusal = await tabs.refused("PATCH", f"{TABS}/t", {"spec": {"replicas": 8}}, content_type=merge)
    assert refusal["code"] == 422


async def test_deleting_a_definition_deletes_its_objects_and_ends_its_watches(tabs: Any) -> None:
    await tabs.post(TABS, tab("free"))
    held = tab("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await tabs.post(TABS, held)
    watch = asyncio.create_task(whole_watch(tabs, (await tabs.get(TABS))["metadata"]["resourceVersion"]))
    marked = await tabs.ok("DELETE", f"{CRDS}/crontabs.stable.example.com")
    assert marked["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert conditions(marked)["Terminating"] == "True"

    async def only_held() -> bool:
        return [item["metadata"]["name"] for item in (await tabs.get(TABS))["items"]] == ["held"]

    await until(only_held)
    refusal = await tabs.refused("POST", TABS, tab("late"))
    assert refusal["message"] == "create not allowed while custom resource definition is terminating"
    await tabs.merge(f"{TABS}/held", {"metadata": {"finalizers": None}})

    async def gone() -> bool:
        return (await tabs.send("GET", "/apis/stable.example.com/v1")).status == 404

    await until(gone)
    assert (await tabs.refused("GET", f"{CRDS}/crontabs.stable.example.com"))["code"] == 404
    events = await watch
    assert [event["type"] for event in events if event["object"]["metadata"]["name"] == "free"] == ["DELETED"]


async def whole_watch(api: Any, revision: str) -> list[Obj]:
    """Every event of a watch until the server ends it."""
    response = await api.send("GET", f"{TABS}?watch=1&resourceVersion={revision}")
    async with asyncio.timeout(5):
        return [json.loads(line) async for chunk in response.body for line in chunk.splitlines()]


async def test_definitions_survive_a_restart(tabs: Any, tmp_path: Any) -> None:
    await tabs.post(TABS, tab())
    await tabs.app.close()
    await tabs.app.start()
    assert (await tabs.get(f"{TABS}/t"))["spec"]["image"] == "busybox"


async def test_rules_are_held_against_objects(api: Any) -> None:
    crd = definition()
    in_spec(crd)["x-kubernetes-validations"] = [
        {"rule": "!has(self.replicas) || self.replicas != 7", "message": "seven is unlucky", "fieldPath": ".replicas"},
        {"rule": "self.cronSpec == oldSelf.cronSpec", "messageExpression": "'cronSpec was ' + oldSelf.cronSpec"},
    ]
    await establish(api, crd)
    status = await api.refused("POST", TABS, tab(replicas=7))
    assert status["message"] == (
        'CronTab.stable.example.com "t" is invalid: spec.replicas: Invalid value: seven is unlucky'
    )
    assert status["details"]["causes"] == [
        {"reason": "FieldValueInvalid", "message": "Invalid value: seven is unlucky", "field": "spec.replicas"}
    ]
    await api.post(TABS, tab(replicas=6))
    patch, media = {"spec": {"cronSpec": "* * * * *"}}, "application/merge-patch+json"
    status = await api.refused("PATCH", f"{TABS}/t", patch, content_type=media)
    assert "spec: Invalid value: cronSpec was * * * * */5" in status["message"]
    status = await api.refused("POST", TABS, tab("wrong", cronSpec=5, replicas=7))
    assert "<nil>: Invalid value: null: some validation rules were not checked" in status["message"]


async def test_rules_that_are_none_are_refused(api: Any) -> None:
    crd = definition()
    in_spec(crd)["x-kubernetes-validations"] = [{"rule": "self.replica > 0 && true"}]
    status = await api.refused("POST", CRDS, crd)
    (cause,) = status["details"]["causes"]
    assert cause["field"] == "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    assert cause["message"] == (
        r'Invalid value: {"Rule":"self.replica \u003e 0 \u0026\u0026 true","Message":"","MessageExpression":"",'
        '"Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: '
        "ERROR: <input>:1:5: undefined field 'replica'\n | self.replica > 0 && true\n | ....^"
    )


async def test_another_server_of_the_store_serves_them_too(tabs: Any, tmp_path: Any) -> None:
    first = tabs.app
    other = ApiServer(
        first.store, first.config, clock=tabs.clock, rand=random.Random(2).randrange, dial_node=first.core.dial_node
    )
    await other.start()
    try:
        second = type(tabs)(other, tabs.clock)
        await tabs.post(TABS, tab())
        assert (await second.get(f"{TABS}/t"))["spec"]["image"] == "busybox"
        await second.ok("DELETE", f"{CRDS}/crontabs.stable.example.com")

        async def gone() -> bool:
            answers = [await api.send("GET", "/apis/stable.example.com/v1") for api in (tabs, second)]
            return all(answer.status == 404 for answer in answers)

        await until(gone)
    finally:
        await other.close()


async def test_roles_name_custom_resources(tabs: Any) -> None:
    user = Peer(common_name="eve")
    status = await tabs.refused("GET", TABS, peer=user)
    assert status["message"] == (
        'crontabs.stable.example.com is forbidden: User "eve" cannot list resource "crontabs" in API group '
        '"stable.example.com" in the namespace "default"'
    )
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"apiGroups": ["stable.example.com"], "resources": ["crontabs"], "verbs": ["list"]}]
    await tabs.post(f"{roles}/roles", {"metadata": {"name": "r"}, "rules": rules})
    subject = {"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    await tabs.post(f"{roles}/rolebindings", {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]})
    assert (await tabs.get(TABS, peer=user))["kind"] == "CronTabList"


async def test_server_side_apply_merges_by_the_schema_s_keys(tabs: Any) -> None:
    async def apply(manager: str, **spec: Any) -> Obj:
        body = {**tab(), "spec": spec}
        apply_patch = "application/apply-patch+yaml"
        response = await tabs.send("PATCH", f"{TABS}/t?fieldManager={manager}", body, content_type=apply_patch)
        return json.loads(response.body)

    await apply("one", cronSpec="* * * * */5", ports=[{"name": "a", "ip": "1.1.1.1"}], tags=["x"])
    both = await apply("two", ports=[{"name": "b"}], tags=["y"])
    assert [port["name"] for port in both["spec"]["ports"]] == ["a", "b"] and both["spec"]["tags"] == ["x", "y"]
    conflict = await apply("two", ports=[{"name": "a", "ip": "2.2.2.2"}])
    assert conflict["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.ports[name="a"].ip'
