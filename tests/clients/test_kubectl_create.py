"""kubectl's generators, whose bodies are protobuf, and its questions about who may do what."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
from collections.abc import Callable
from typing import Any

import jwt

from netsim.lab.join import parse_token, token_secret


def test_create_from_protobuf(kubectl: Any) -> None:
    kubectl("create", "namespace", "gen")
    kubectl("create", "configmap", "c", "-n", "gen", "--from-literal=a=1", "--from-literal=b=two")
    assert kubectl.out("get", "cm", "c", "-n", "gen", "-o", "jsonpath={.data.b}") == "two"
    kubectl("create", "secret", "generic", "s", "-n", "gen", "--from-literal=k=v")
    assert kubectl.out("get", "secret", "s", "-n", "gen", "-o", "jsonpath={.data.k}") == base64.b64encode(b"v").decode()
    kubectl("create", "deployment", "d", "-n", "gen", "--image=nginx:1.7.9", "--replicas=0", "--port=80")
    spec = json.loads(kubectl.out("get", "deploy", "d", "-n", "gen", "-o", "json"))["spec"]
    assert spec["replicas"] == 0
    assert spec["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    kubectl("create", "service", "clusterip", "svc", "-n", "gen", "--tcp=80:8080")
    kubectl("create", "service", "nodeport", "np", "-n", "gen", "--tcp=81", "--node-port=30181")
    kubectl("create", "service", "loadbalancer", "lb", "-n", "gen", "--tcp=82")
    kubectl("create", "service", "externalname", "ext", "-n", "gen", "--external-name=example.com")
    rows = {r.split()[0]: r.split() for r in kubectl.out("get", "svc", "-n", "gen").splitlines()[1:]}
    assert rows["np"][4] == "81:30181/TCP"
    assert rows["lb"][3] == "<pending>"
    assert rows["ext"][1:4] == ["ExternalName", "<none>", "example.com"]
    kubectl("create", "serviceaccount", "bot", "-n", "gen")
    kubectl("expose", "deploy", "d", "-n", "gen", "--port=80", "--name=exposed")
    assert kubectl.out("get", "svc", "exposed", "-n", "gen", "-o", "jsonpath={.spec.selector.app}") == "d"
    kubectl("create", "role", "reader", "-n", "gen", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "readers", "-n", "gen", "--role=reader", "--serviceaccount=gen:bot")
    assert "Role/reader" in kubectl.out("get", "rolebinding", "readers", "-n", "gen")


def test_dry_run_stores_nothing(kubectl: Any) -> None:
    kubectl("create", "configmap", "dry", "--from-literal=a=1", "--dry-run=server")
    assert "not found" in kubectl.refusal("get", "cm", "dry")
    kubectl("create", "service", "nodeport", "dry", "--tcp=80", "--node-port=30999", "--dry-run=server")
    kubectl("create", "service", "nodeport", "wet", "--tcp=80", "--node-port=30999")
    kubectl("delete", "svc", "wet")


def test_token_signs_in_and_dies_with_its_account(kubectl: Any, kubectl_as: Callable[[str], Any]) -> None:
    kubectl("create", "serviceaccount", "mortal")
    token = kubectl.out("create", "token", "mortal", "--duration=10m")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["sub"] == "system:serviceaccount:default:mortal"
    bot = kubectl_as(f'{{token: "{token}"}}')
    assert "system:serviceaccount:default:mortal" in bot.out("auth", "whoami")
    refused = bot.refusal("get", "pods")
    assert (
        'pods is forbidden: User "system:serviceaccount:default:mortal" cannot list resource "pods" in API group "" '
        'in the namespace "default"'
    ) in refused
    kubectl("create", "clusterrolebinding", "mortal-view", "--clusterrole=view", "--serviceaccount=default:mortal")
    assert bot("get", "pods").returncode == 0
    assert bot.out("auth", "can-i", "list", "services") == "yes"
    assert bot("auth", "can-i", "delete", "pods", ok=False).stdout.strip() == "no"
    assert "pods" in bot.out("auth", "can-i", "--list")
    kubectl("delete", "clusterrolebinding", "mortal-view")
    assert "forbidden" in bot.refusal("get", "pods")
    kubectl("delete", "serviceaccount", "mortal")
    assert "You must be logged in to the server" in bot.refusal("get", "pods")


def test_admin_may_everything(kubectl: Any) -> None:
    assert kubectl.out("auth", "can-i", "*", "*") == "yes"
    assert kubectl("auth", "can-i", "list", "pods", "--as=y", "--as-group=x", ok=False).stdout.strip() == "no"
    assert "kubernetes-admin" in kubectl.out("auth", "whoami")


def ask(server: Any, path: str) -> tuple[int, str]:
    """A GET over TLS without credentials."""
    context = ssl.create_default_context(cadata=server.running.pki.ca_pem.decode())
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", server.port, context=context)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_anonymous_sees_the_version_only(server: Any, kubectl_as: Callable[[str], Any]) -> None:
    assert ask(server, "/healthz") == (200, "ok")
    assert "v1.36.2+netsim" in ask(server, "/version")[1]
    status, body = ask(server, "/api/v1/pods")
    assert status == 403
    assert 'User \\"system:anonymous\\" cannot list resource \\"pods\\" in API group' in body
    assert ask(server, "/apis")[0] == 403
    wrong = kubectl_as("{token: not-a-token}")
    assert "Unauthorized" in wrong.refusal("get", "--raw", "/api/v1/pods")


def test_bootstrap_token_may_ask_for_a_certificate(kubectl: Any, kubectl_as: Callable[[str], Any]) -> None:
    token = "abcdef.0123456789abcdef"
    kubectl("create", "-f", "-", stdin=json.dumps(token_secret(parse_token(token))))
    joiner = kubectl_as(f"{{token: {token}}}")
    assert "system:bootstrappers" in joiner.out("auth", "whoami")
    assert joiner.out("auth", "can-i", "create", "certificatesigningrequests") == "yes"
    assert "forbidden" in joiner.refusal("get", "nodes")


def test_explain(kubectl: Any) -> None:
    text = kubectl.out("explain", "pod.spec.containers")
    assert "imagePullPolicy" in text and "KIND:       Pod" in text
    assert "clusterIP" in kubectl.out("explain", "service.spec")
    assert "  enum: Always, IfNotPresent, Never\n" in text


def test_discovery(kubectl: Any) -> None:
    names = kubectl.out("api-resources", "-o", "name").splitlines()
    assert {"pods", "services", "deployments.apps", "endpointslices.discovery.k8s.io"} <= set(names)
    assert "Server Version: v1.36.2+netsim" in kubectl.out("version")


def test_describe(kubectl: Any) -> None:
    kubectl("run", "described", "--image=nginx")
    assert "Service Account:  default" in kubectl.out("describe", "pod", "described")
    assert "10.96.0.1" in kubectl.out("describe", "svc", "kubernetes")
    kubectl("describe", "ns", "default")
    kubectl("get", "events", "-A")
    kubectl("events", "-A")
