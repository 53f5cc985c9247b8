"""Names of new objects: which each kind takes, and what is told of an object that has none."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

NS = "namespaces/default"
BUDGETS = f"/apis/policy/v1/{NS}/poddisruptionbudgets"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
NEWER_EVENTS = f"/apis/events.k8s.io/v1/{NS}/events"
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"
REQUIRED = ("metadata.name", "Required value: name or generateName is required")
EVENT = {
    "eventTime": "2024-01-01T00:00:00.000000Z", "reportingController": "a.b/c", "reportingInstance": "x",
    "action": "a", "reason": "b", "type": "Normal", "regarding": {"namespace": "default"},
}  # fmt: skip


def signing_request() -> dict[str, Any]:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = builder.sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(Encoding.PEM)
    return {"request": base64.b64encode(pem).decode(), "signerName": "a.b/c", "usages": ["client auth"]}


async def told(api: Any, path: str, body: dict[str, Any]) -> list[tuple[str, str]]:
    """The fields and messages of the causes why an object is refused."""
    answer = await api.refused("POST", path, body)
    assert answer["code"] == 422
    return [(cause["field"], cause["message"]) for cause in answer["details"]["causes"]]


async def test_a_limit_range_names_itself(api: Any) -> None:
    path = f"/api/v1/{NS}/limitranges"
    made = await api.post(path, {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}, "metadata": {}})
    name = made["metadata"]["name"]
    assert str(UUID(name)) == name != made["metadata"]["uid"]
    prefixed = await api.post(path, {"spec": {"limits": []}, "metadata": {"generateName": "mine-"}})
    assert prefixed["metadata"]["name"].startswith("mine-")


async def test_of_an_object_without_a_name_all_that_is_wrong_is_told(api: Any) -> None:
    target = {"kind": "Deployment", "name": "x"}
    body = {"metadata": {}, "spec": {"maxReplicas": 3, "scaleTargetRef": target}}
    assert await told(api, f"/apis/autoscaling/v2/{NS}/horizontalpodautoscalers", body) == [
        REQUIRED,
        ("spec.scaleTargetRef.apiVersion", 'Invalid value: "": apiVersion must specify API group'),
    ]
    assert await told(api, f"/api/v1/{NS}/configmaps", {"metadata": {}}) == [REQUIRED]


@pytest.mark.parametrize(("path", "spec"), [(BUDGETS, {"minAvailable": 1}), (CSRS, None)])
async def test_names_that_need_only_fit_a_path(api: Any, path: str, spec: dict[str, Any] | None) -> None:
    spec = spec or signing_request()
    for name in ("A_b", "A", "x" * 254):
        made = await api.post(f"{path}?dryRun=All", {"metadata": {"name": name}, "spec": spec})
        assert made["metadata"]["name"] == name
    for name, why in (("a/b", "may not contain '/'"), ("%", "may not contain '%'"), ("..", "may not be '..'")):
        body = {"metadata": {"name": name}, "spec": spec}
        assert await told(api, path, body) == [("metadata.name", f'Invalid value: "{name}": {why}')]


async def test_events_of_the_newer_form_have_narrower_names(api: Any) -> None:
    ((field, message),) = await told(api, NEWER_EVENTS, {"metadata": {"name": "A_b"}, **EVENT})
    assert field == "metadata.name" and SUBDOMAIN in message
    body = {"metadata": {"name": "A_b"}, "involvedObject": {"namespace": "default"}}
    assert (await api.post(f"/api/v1/{NS}/events", body))["metadata"]["name"] == "A_b"


async def test_a_definition_says_at_once_what_it_stores_and_goes_without_grace(api: Any) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": "x.io", "names": {"plural": "foos", "kind": "Foo"}, "scope": "Namespaced",
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }  # fmt: skip
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = await api.post(path, {"metadata": {"name": "foos.x.io", "finalizers": ["a.b/c"]}, "spec": spec})
    names = {"kind": "", "plural": ""}
    assert made["status"] == {"acceptedNames": names, "conditions": None, "storedVersions": ["v1"]}
    gone = await api.ok("DELETE", f"{path}/foos.x.io?gracePeriodSeconds=5")
    assert gone["metadata"]["deletionTimestamp"] and gone["metadata"]["generation"] == 1
    assert "deletionGracePeriodSeconds" not in gone["metadata"]
