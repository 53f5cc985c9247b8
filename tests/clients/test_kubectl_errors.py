"""What kubectl prints when the server refuses."""

from __future__ import annotations

from typing import Any


def manifest(kind: str, name: str, rest: str = "", version: str = "v1") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\n{rest}\n"


def test_unknown_field_is_refused(kubectl: Any) -> None:
    text = kubectl.refusal("create", "-f", "-", stdin=manifest("ConfigMap", "u", "foo: bar"))
    assert 'strict decoding error: unknown field "foo"' in text
    done = kubectl("create", "--validate=warn", "-f", "-", stdin=manifest("ConfigMap", "u", "foo: bar"))
    assert 'Warning: unknown field "foo"' in done.stderr
    assert done.stdout.strip() == "configmap/u created"


def test_invalid_name(kubectl: Any) -> None:
    text = kubectl.refusal("create", "configmap", "Bad_Name")
    assert 'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of' in text


def test_duplicate_node_port(kubectl: Any) -> None:
    kubectl("create", "service", "nodeport", "one", "--tcp=80", "--node-port=30555")
    text = kubectl.refusal("create", "service", "nodeport", "two", "--tcp=80", "--node-port=30555")
    assert "spec.ports[0].nodePort: Invalid value: 30555: provided port is already allocated" in text
    outside = kubectl.refusal("create", "service", "nodeport", "two", "--tcp=80", "--node-port=80")
    assert "provided port is not in the valid range. The range of valid ports is 30000-32767" in outside
    kubectl("delete", "svc", "one")
    kubectl("create", "service", "nodeport", "two", "--tcp=80", "--node-port=30555")


def test_taken_cluster_ip(kubectl: Any) -> None:
    text = kubectl.refusal("create", "service", "clusterip", "dup", "--tcp=80", "--clusterip=10.96.0.1")
    assert "spec.clusterIPs: Invalid value: [" in text and "provided IP is already allocated" in text
    text = kubectl.refusal("create", "service", "clusterip", "dup", "--tcp=80", "--clusterip=10.1.0.1")
    assert "the provided network does not match the current range" in text


def test_unknown_kind_and_missing_object(kubectl: Any) -> None:
    text = kubectl.refusal("create", "-f", "-", stdin=manifest("Gadget", "i", version="example.com/v1beta1"))
    assert 'no matches for kind "Gadget" in version "example.com/v1beta1"' in text
    assert 'Error from server (NotFound): pods "nope" not found' in kubectl.refusal("get", "pod", "nope")
    assert "AlreadyExists" in kubectl.refusal("create", "namespace", "default")
    assert 'namespaces "nowhere" not found' in kubectl.refusal("create", "configmap", "x", "-n", "nowhere")


def test_selector_must_match_template(kubectl: Any) -> None:
    template = "{metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: x}]}}"
    body = f"spec: {{selector: {{matchLabels: {{a: b}}}}, template: {template}}}"
    text = kubectl.refusal("create", "-f", "-", stdin=manifest("Deployment", "d", body, "apps/v1"))
    assert "`selector` does not match template `labels`" in text


def test_protected_namespace(kubectl: Any) -> None:
    assert "this namespace may not be deleted" in kubectl.refusal("delete", "ns", "default")


def test_missing_service_account(kubectl: Any) -> None:
    body = "spec: {serviceAccountName: ghost, containers: [{name: c, image: x}]}"
    text = kubectl.refusal("create", "-f", "-", stdin=manifest("Pod", "p", body))
    assert 'error looking up service account default/ghost: serviceaccount "ghost" not found' in text
