"""What the server tells of itself and of its tokens' issuer to those who are neither kubectl nor a client library."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest

from netsim.api import kinds
from netsim.http.types import Peer, Request
from netsim.server.exposition import Process, render_metrics
from netsim.server.requests import parse_target
from netsim.server.traffic import Traffic, labels_of

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/a/deployments"


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", f"{PODS}/p", ("GET", "", "v1", "pods", "", "resource", 200)),
        ("GET", PODS, ("LIST", "", "v1", "pods", "", "namespace", 200)),
        ("GET", "/api/v1/watch/pods", ("WATCH", "", "v1", "pods", "", "cluster", 200)),
        ("POST", f"{PODS}/p/exec", ("CONNECT", "", "v1", "pods", "exec", "resource", 200)),
        ("PUT", f"{DEPLOYMENTS}/d/scale", ("PUT", "apps", "v1", "deployments", "scale", "resource", 200)),
        ("PATCH", f"{DEPLOYMENTS}/d", ("APPLY", "apps", "v1", "deployments", "", "resource", 200)),
        ("DELETE", DEPLOYMENTS, ("DELETECOLLECTION", "apps", "v1", "deployments", "", "namespace", 200)),
        ("GET", f"{PODS}/p/made-up", ("GET", "", "v1", "pods", "", "resource", 200)),
        ("GET", "/apis/made.up/v1/things", ("LIST", "", "", "", "", "", 200)),
        ("GET", "/version", ("GET", "", "", "", "", "", 200)),
        ("OPTIONS", "/version", ("OTHER", "", "", "", "", "", 200)),
    ],
)
def test_labels_of_requests(method: str, path: str, labels: Any) -> None:
    request = Request(method, path, headers=[("content-type", "application/apply-patch+yaml")])
    assert labels_of(request, parse_target(request), 200) == labels


def test_rendered_metrics() -> None:
    traffic, request = Traffic(), Request("GET", f"{PODS}/p")
    traffic.begin(request)
    traffic.count(request, parse_target(request), 404)
    text = render_metrics(traffic, 3, {kinds.PODS: 2, kinds.DEPLOYMENTS: 1}, Process(1.5, 4096, 1000.0)).splitlines()
    assert (
        'apiserver_request_total{code="404",component="apiserver",resource="pods",scope="resource",verb="GET"'
        ',version="v1"} 1'
    ) in text
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 1' in text
    assert 'apiserver_longrunning_requests{verb="WATCH"} 3' in text
    assert 'apiserver_storage_objects{resource="pods"} 2' in text
    assert 'apiserver_storage_objects{resource="deployments.apps"} 1' in text
    assert 'apiserver_resource_objects{group="apps",resource="deployments"} 1' in text
    assert {"process_cpu_seconds_total 1.5", "process_resident_memory_bytes 4096"} <= set(text)


async def test_metrics_count_and_are_not_for_everybody(api: Any, pod: Any) -> None:
    assert (await api.refused("GET", "/metrics", peer=Peer()))["code"] == 403
    await api.post(PODS, pod("p"))
    await api.refused("POST", PODS, pod("p"))
    response = await api.send("GET", "/metrics", peer=Peer(common_name="p", organizations=("system:monitoring",)))
    assert response.header("content-type").startswith("text/plain; version=0.0.4")
    text = response.body.decode().splitlines()
    created = 'component="apiserver",resource="pods",scope="namespace",verb="POST",version="v1"} 1'
    assert f'apiserver_request_total{{code="201",{created}' in text
    assert f'apiserver_request_total{{code="409",{created}' in text
    assert 'apiserver_storage_objects{resource="pods"} 1' in text
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 1' in text
    assert 'apiserver_current_inflight_requests{request_kind="mutating"} 0' in text


async def test_an_address_of_six_is_in_brackets_wherever_it_is_part_of_a_url(api: Any) -> None:
    core = api.app.core
    core.config = replace(core.config, advertise_address="fd00::1")
    [entry] = (await api.get("/api"))["serverAddressByClientCIDRs"]
    assert entry["serverAddress"] == "[fd00::1]:6443"
    assert (await api.get("/.well-known/openid-configuration"))["jwks_uri"].startswith("https://[fd00::1]:6443/")


async def test_tokens_are_checked_with_the_published_keys(api: Any) -> None:
    ask: Any = {"spec": {"audiences": ["vault"]}}
    made = await api.post("/api/v1/namespaces/default/serviceaccounts/default/token", ask)
    account = await api.post("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {"audiences": []}})
    own = account["status"]["token"]
    found = await api.get("/.well-known/openid-configuration", token=own)
    assert found["jwks_uri"] == "https://127.0.0.1:6443/openid/v1/jwks"
    response = await api.send("GET", "/openid/v1/jwks", token=own)
    assert response.header("content-type") == "application/jwk-set+json"
    (key,) = jwt.PyJWKSet.from_dict(json.loads(response.body)).keys
    token = made["status"]["token"]
    claims = jwt.decode(
        token, key, algorithms=found["id_token_signing_alg_values_supported"], audience="vault",
        issuer=found["issuer"], options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )  # fmt: skip
    assert claims["sub"] == "system:serviceaccount:default:default"
    head = token.partition(".")[0]
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["kid"] == key.key_id
    for path in ("/openid/v1/jwks", "/.well-known/openid-configuration"):
        assert (await api.refused("GET", path, peer=Peer()))["code"] == 403
    assert (await api.send("GET", "/openid/v1/other")).status == 404
