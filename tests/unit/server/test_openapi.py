"""OpenAPI v3 and v2 documents as values."""

from __future__ import annotations

import json
from collections.abc import Iterator

from netsim.api import kinds, schema
from netsim.api.schema_enums import ENUMS, with_enums
from netsim.server import openapi, openapi_v2
from netsim.server.operations import operations
from netsim.server.registry import STATIC, Registry, version_rank


def document(kind: kinds.Kind) -> kinds.Obj:
    found = openapi.document(STATIC, kind.group, kind.version)
    assert found is not None
    return json.loads(found[0])


def test_every_kind_has_a_patch_operation_that_validates() -> None:
    for kind in (kind for kind in kinds.KINDS if kind.stored):
        path = f"{kind.path('{namespace}')}/{{name}}"
        operation = document(kind)["paths"][path]["patch"]
        gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        assert operation["x-kubernetes-group-version-kind"] == gvk
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert names >= {"fieldValidation", "dryRun", "fieldManager", "force"}


def test_fields_that_take_few_values_say_which() -> None:
    for name, fields in ENUMS.items():
        full = next(full for full in schema.definitions() if full.endswith(f".{name}"))
        known = schema.definitions()[full]["properties"]
        assert with_enums(full, schema.definitions()[full])["properties"].keys() == known.keys()
        assert all(known[field]["type"] == "string" for field in fields), name
        assert all(list(values) == sorted(set(values)) for values in fields.values()), name
    strategy = document(kinds.DEPLOYMENTS)["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentStrategy"]
    assert strategy["properties"]["type"]["enum"] == ["Recreate", "RollingUpdate"]


def test_operations_are_named_as_generators_of_clients_know_them() -> None:
    """Names and types that kube-apiserver 1.36.2 gives them."""
    paths = document(kinds.PODS)["paths"]
    pods = "/api/v1/namespaces/{namespace}/pods"
    assert paths["/api/v1/"]["get"]["operationId"] == "getCoreV1APIResources"
    assert paths["/api/v1/pods"].keys() == {"get", "parameters"}
    named = {
        ("/api/v1/pods", "get"): "listCoreV1PodForAllNamespaces",
        (pods, "delete"): "deleteCoreV1CollectionNamespacedPod",
        (f"{pods}/{{name}}/log", "get"): "readCoreV1NamespacedPodLog",
        (f"{pods}/{{name}}/eviction", "post"): "createCoreV1NamespacedPodEviction",
        (f"{pods}/{{name}}/ephemeralcontainers", "put"): "replaceCoreV1NamespacedPodEphemeralcontainers",
        (f"{pods}/{{name}}/exec", "post"): "connectCoreV1PostNamespacedPodExec",
        (f"{pods}/{{name}}/proxy/{{path}}", "options"): "connectCoreV1OptionsNamespacedPodProxyWithPath",
        ("/api/v1/nodes", "get"): "listCoreV1Node",
        ("/api/v1/namespaces/{name}/finalize", "put"): "replaceCoreV1NamespaceFinalize",
    }
    assert {at: paths[at[0]][at[1]]["operationId"] for at in named} == named
    roles = document(kinds.ROLES)["paths"]["/apis/rbac.authorization.k8s.io/v1/roles"]["get"]
    assert roles["operationId"] == "listRbacAuthorizationV1RoleForAllNamespaces"
    assert roles["tags"] == ["rbacAuthorization_v1"]


def test_no_two_operations_have_one_name() -> None:
    names = [each.name for kind in kinds.KINDS for each in operations(kind)]
    assert len(names) == len(set(names))


def test_operations_tell_what_they_take_and_answer() -> None:
    def types(path: str, method: str) -> tuple[str, str]:
        operation = paths[path][method]
        taken = next(iter(operation.get("requestBody", {}).get("content", {}).values()), {}).get("schema", {})
        answered = next(iter(operation["responses"]["200"]["content"].values()))["schema"]
        return taken.get("$ref", "").rpartition(".")[2], answered.get("$ref", answered.get("type")).rpartition(".")[2]

    paths = document(kinds.PODS)["paths"]
    pod = "/api/v1/namespaces/{namespace}/pods/{name}"
    assert types("/api/v1/pods", "get") == ("", "PodList")
    assert types(pod, "delete") == ("DeleteOptions", "Pod")
    assert types(pod, "patch") == ("Patch", "Pod")
    assert types("/api/v1/namespaces/{namespace}/configmaps/{name}", "delete") == ("DeleteOptions", "Status")
    assert types(f"{pod}/eviction", "post") == ("Eviction", "Eviction")
    assert types(f"{pod}/log", "get") == ("", "string")
    assert types("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", "post") == ("TokenRequest",) * 2
    assert types("/api/v1/namespaces/{namespace}/replicationcontrollers/{name}/scale", "get") == ("", "Scale")
    asked = {each["name"] for each in paths[f"{pod}/log"]["get"]["parameters"]}
    assert {"follow", "tailLines", "sinceSeconds", "previous"} <= asked


def test_documents_are_closed_and_named_with_their_hash() -> None:
    for group, version in STATIC.group_versions():
        found = openapi.document(STATIC, group, version)
        assert found is not None
        text, schemas = found[0].decode(), json.loads(found[0])["components"]["schemas"]
        mentioned = {part.partition('"')[0] for part in text.split(schema.REF)[1:]}
        assert mentioned and mentioned <= schemas.keys()
    [body, _] = openapi.index(STATIC)
    url = json.loads(body)["paths"]["api/v1"]["serverRelativeURL"]
    tag = (openapi.document(STATIC, "", "v1") or (b"", ""))[1]
    assert url == f"/openapi/v3/api/v1?hash={tag.strip(chr(34))}"
    assert openapi.document(STATIC, "apps", "v9") is None


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, bytes) of the length-delimited fields of a message; varints are skipped."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        number, wire = divmod(varint(), 8)
        size = varint()
        if wire == 2:
            yield number, data[at : at + size]
            at += size


def named(data: bytes, number: int) -> dict[str, bytes]:
    """The NamedX messages in a field, by name."""
    entries = [dict(fields(entry)) for found, entry in fields(data) if found == number]
    return {entry[1].decode(): entry[2] for entry in entries}


def test_swagger_has_the_types_with_their_extensions() -> None:
    whole = dict(fields(openapi_v2.encode([kinds.DEPLOYMENTS])))
    assert whole[1] == b"2.0"
    types = named(whole[9], 1)
    assert {"io.k8s.api.apps.v1.Deployment", "io.k8s.api.core.v1.PodSpec"} <= types.keys()
    extensions = named(types["io.k8s.api.apps.v1.Deployment"], 31)
    gvk = json.loads(dict(fields(extensions["x-kubernetes-group-version-kind"]))[2])
    assert gvk == [{"group": "apps", "kind": "Deployment", "version": "v1"}]
    spec = dict(fields(types["io.k8s.api.core.v1.PodSpec"]))
    containers = named(spec[25], 1)["containers"]
    assert json.loads(dict(fields(named(containers, 31)["x-kubernetes-patch-merge-key"]))[2]) == "name"
    patch = dict(fields(named(whole[8], 2)["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]))[8]
    assert b"dryRun" in patch and b"x-kubernetes-group-version-kind" in patch


def test_versions_sort_as_kubernetes_sorts_them() -> None:
    wanted = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    assert sorted(reversed(wanted), key=version_rank) == wanted


def test_a_registry_keeps_the_table_first() -> None:
    other = kinds.Kind("a.example.com", "v1", "Thing", "things", "thing")
    registry = Registry([other])
    assert registry.kinds[: len(kinds.KINDS)] == kinds.KINDS and registry.groups()[-1] == "a.example.com"
    assert registry.by_plural("a.example.com", "v1", "things") is other and not STATIC.has_group("a.example.com")
