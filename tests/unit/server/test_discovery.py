"""Discovery, OpenAPI, version and health, beside the recording of a real API server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netsim.api.kinds import KINDS
from netsim.http.types import Peer, Request
from netsim.server.negotiate import JSON, Format, choose_format
from netsim.server.requests import parse_bool

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
KUBECTL_TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


async def test_version_and_health(api: Any) -> None:
    for path in ("/version", "/version/"):
        assert (await api.get(path))["gitVersion"] == "v1.36.2+netsim"
    for path in ("/healthz", "/livez", "/readyz", "/readyz/ping"):
        assert (await api.send("GET", path)).body == b"ok"
    assert b"[+]store ok" in (await api.send("GET", "/readyz?verbose")).body


@pytest.mark.parametrize("path", ["/api", "/api/", "/apis", "/apis/"])
async def test_aggregated_discovery_has_an_etag(api: Any, path: str) -> None:
    response = await api.send("GET", path, accept=AGGREGATED)
    assert response.header("content-type") == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    assert (response.header("cache-control"), response.header("vary")) == ("public", "Accept")
    document = json.loads(response.body)
    assert document["kind"] == "APIGroupDiscoveryList"
    headers = [("accept", AGGREGATED), ("if-none-match", response.header("etag"))]
    again = await api.app(Request("GET", path, [], headers, b"", Peer(trusted=True)))
    assert (again.status, again.body) == (304, b"")
    assert (await api.get(path))["kind"] in ("APIVersions", "APIGroupList")


async def test_every_kind_is_discovered_both_ways(api: Any) -> None:
    for kind in KINDS:
        legacy = await api.get(kind.base)
        names = {entry["name"] for entry in legacy["resources"]}
        assert {kind.plural, *(f"{kind.plural}/{sub.name}" for sub in kind.subresources)} <= names
    groups = (await api.get("/apis"))["groups"]
    assert [group["name"] for group in groups] == list(dict.fromkeys(kind.group for kind in KINDS if kind.group))


async def test_openapi_names_the_patch_of_every_kind(api: Any) -> None:
    index = (await api.get("/openapi/v3"))["paths"]
    found = set()
    for entry in index.values():
        document = await api.get(entry["serverRelativeURL"])
        schemas = document["components"]["schemas"]
        for path in document["paths"].values():
            patch = path.get("patch")
            if patch and patch["x-kubernetes-action"] == "patch":
                found.add(tuple(patch["x-kubernetes-group-version-kind"].values()))
                assert {"fieldValidation", "dryRun"} <= {parameter["name"] for parameter in patch["parameters"]}
        references = json.dumps(schemas).split('"$ref": "#/components/schemas/')[1:]
        assert {reference.partition('"')[0] for reference in references} <= set(schemas)
    scale = ("autoscaling", "v1", "Scale")
    assert found == {scale, *((kind.group, kind.version, kind.kind) for kind in KINDS if kind.stored)}


async def test_swagger_is_protobuf_or_json(api: Any) -> None:
    assert (await api.send("GET", "/openapi/v2", accept="application/yaml")).status == 406
    found = await api.send("GET", "/openapi/v2", accept="application/json")
    swagger = json.loads(found.body)
    assert swagger["swagger"] == "2.0" and found.header("etag")
    pod = swagger["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]
    reference = pod["get"]["responses"]["200"]["schema"]["$ref"].removeprefix("#/definitions/")
    assert swagger["definitions"][reference]["x-kubernetes-group-version-kind"][0]["kind"] == "Pod"
    references = json.dumps(swagger).split('"$ref": "')[1:]
    assert {ref.partition('"')[0].removeprefix("#/definitions/") for ref in references} <= swagger["definitions"].keys()
    old = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    response = await api.send("GET", "/openapi/v2", accept=old)
    assert response.body.startswith(b"\n\x032.0") and b"#/definitions/io.k8s.api.core.v1.PodSpec" in response.body
    headers = [("accept", old), ("if-none-match", response.header("etag"))]
    assert (await api.app(Request("GET", "/openapi/v2", [], headers, b"", Peer(trusted=True)))).status == 304


METADATA_OF_MANY = Format("PartialObjectMetadata", "v1", listed=True)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/json, */*", JSON),
        (KUBECTL_TABLE, Format("Table", "v1")),
        ("application/vnd.kubernetes.protobuf,application/json", JSON),
        ("application/vnd.kubernetes.protobuf, */*", JSON),
        ("application/yaml", Format(yaml=True)),
        ("application/json;q=0.1, application/yaml", Format(yaml=True)),
        ("application/yaml;q=0.1, application/json;q=0.9", JSON),
        ("*/*, application/yaml", Format(yaml=True)),
        ("application/yaml;q=x, application/json", JSON),
        ("application/json;as=Table;v=v1;g=meta.k8s.io;q=0.1, application/json;q=0.5", JSON),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", METADATA_OF_MANY),
    ],
)
def test_first_acceptable_representation(accept: str, expected: Format) -> None:
    assert choose_format(accept, ("Table", "PartialObjectMetadata")) == expected


def test_booleans_are_gos() -> None:
    assert all(map(parse_bool, ("1", "t", "T", "true", "TRUE", "True")))
    assert not any(map(parse_bool, ("0", "f", "F", "false", "FALSE", "False", "")))


async def test_groups_and_response_kinds_are_as_recorded(api: Any) -> None:
    core = (await api.get("/api", accept=AGGREGATED))["items"][0]["versions"][0]["resources"]
    assert {"group": "", "version": "", "kind": "ConfigMap"} in [entry["responseKind"] for entry in core]
    order = [item["metadata"]["name"] for item in (await api.get("/apis", accept=AGGREGATED))["items"]]
    assert order.index("storage.k8s.io") < order.index("apiextensions.k8s.io") < order.index("scheduling.k8s.io")


async def test_what_is_not_served_is_told_as_a_page(api: Any) -> None:
    for path in ("/apis/extensions/v1beta1", "/apis/nothing.example.com", "/apis/nothing.example.com/v1/things"):
        response = await api.send("GET", path)
        assert (response.status, response.body) == (404, b"404 page not found\n"), path
    for path in ("/apis/apps/v9", "/apis/apps/v9/deployments", "/api/v2"):
        assert (await api.refused("GET", path))["message"] == "the server could not find the requested resource"


async def test_legacy_documents_are_cacheable(api: Any) -> None:
    response = await api.send("GET", "/apis/apps/v1")
    headers = [("if-none-match", response.header("etag"))]
    again = await api.app(Request("GET", "/apis/apps/v1", [], headers, b"", Peer(trusted=True)))
    assert again.status == 304 and response.header("vary") == "Accept"


async def test_an_unknown_version_of_a_form_falls_back_to_the_next(api: Any) -> None:
    later = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json"
    assert (await api.get("/apis", accept=later))["kind"] == "APIGroupList"
    beta = AGGREGATED.replace("v=v2;", "v=v2beta1;")
    assert (await api.get("/apis", accept=beta))["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    table = "application/json;as=Table;v=v9;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io"
    assert (await api.get("/api/v1/nodes", accept=table))["apiVersion"] == "meta.k8s.io/v1beta1"


async def test_the_hash_of_how_objects_are_stored_is_kubernetes(api: Any) -> None:
    found = {
        (url, entry["name"]): entry.get("storageVersionHash")
        for url in (
            "/api/v1",
            "/apis/apps/v1",
            "/apis/autoscaling/v1",
            "/apis/node.k8s.io/v1",
            "/apis/apiextensions.k8s.io/v1",
        )
        for entry in (await api.get(url))["resources"]
    }
    assert found["/api/v1", "pods"] == "xPOwRZ+Yhw8=" and found["/apis/apps/v1", "deployments"] == "8aSe+NMegvE="
    assert found["/apis/autoscaling/v1", "horizontalpodautoscalers"] == "qwQve8ut294="
    assert found["/apis/node.k8s.io/v1", "runtimeclasses"] == "WQTu1GL3T2Q="
    assert found["/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"] == "jfWCUB31mvA="
    assert found["/api/v1", "events"] == "r2yiGXH7wu8="
    assert found["/api/v1", "bindings"] is None and found["/api/v1", "pods/status"] is None


async def test_a_kind_of_which_the_documents_say_so_is_shown_when_it_is_deleted(api: Any) -> None:
    classes = "/apis/resource.k8s.io/v1/deviceclasses"
    name = {"metadata": {"name": "a.example.com"}}
    await api.post(classes, {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", **name, "spec": {}})
    assert (await api.ok("DELETE", f"{classes}/a.example.com"))["kind"] == "DeviceClass"
    await api.post("/apis/node.k8s.io/v1/runtimeclasses", {**name, "handler": "runc"})
    assert (await api.ok("DELETE", "/apis/node.k8s.io/v1/runtimeclasses/a.example.com"))["kind"] == "Status"
