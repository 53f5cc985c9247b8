"""Inputs made to cost much or to break in: each is refused at once, in words, and nothing is left behind."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from typing import Any

import pytest

from netsim.http.wire import render_response_head

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
YAML = "application/yaml"


def laughs(levels: int) -> bytes:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines).encode()


async def refused_soon(api: Any, method: str, url: str, body: Any, code: int = 400, **more: Any) -> str:
    start = time.monotonic()
    status = await api.refused(method, url, body, **more)
    assert time.monotonic() - start < 2 and status["code"] == code, status
    return str(status["message"])


@pytest.mark.parametrize("body", [laughs(9), b"a: &a [*a]", b"&a {metadata: {name: x}, data: *a}"])
async def test_yaml_that_unfolds_without_end(api: Any, body: bytes) -> None:
    assert "excessive aliasing" in await refused_soon(api, "POST", MAPS, body, content_type=YAML)


async def test_yaml_values_are_json_values(api: Any) -> None:
    body = b"metadata: {name: x0, creationTimestamp: 2020-01-01T00:00:00Z}\ndata: &d {a: b}\n"
    assert (await api.ok("POST", MAPS, body, content_type=YAML))["data"] == {"a": "b"}
    made = await api.ok("POST", MAPS, b"{metadata: {name: z}, data: {80: 2020-01-01}}", content_type=YAML)
    assert made["data"] == {"80": "2020-01-01"}
    shared = b"{metadata: {name: x1, labels: &l {a: b}, annotations: *l}, data: {a: !!binary YQ==}}\n---\nanother: one"
    made = await api.ok("POST", MAPS, shared, content_type=YAML)
    assert made["metadata"]["annotations"] == {"a": "b"} and made["data"] == {"a": "a"}
    for value in ("y", "!!set {a}", "!!python/object:os.system {}", "99999999999999999999999"):
        body = b"{metadata: {name: no}, data: {a: %s}}" % value.encode()
        assert (await api.refused("POST", MAPS, body, content_type=YAML))["code"] == 400


@pytest.mark.parametrize("depth", [300, 1000, 500_000])
async def test_deep_nesting(api: Any, depth: int) -> None:
    await api.post(MAPS, {"metadata": {"name": "there"}})
    body = b'{"x":' + b"[" * depth + b"]" * depth + b"}"
    for method, url, media in (
        ("POST", MAPS, "application/json"),
        ("POST", MAPS, YAML),
        ("PATCH", f"{MAPS}/there", "application/merge-patch+json"),
    ):
        await refused_soon(api, method, url, body, content_type=media)


async def test_a_patch_that_copies_itself(api: Any) -> None:
    await api.post(MAPS, {"metadata": {"name": "m"}, "data": {"a": "x" * 1000}})
    ops = [{"op": "copy", "from": "/data", "path": f"/data/b{i}"} for i in range(60)]
    await refused_soon(api, "PATCH", f"{MAPS}/m", ops, 413, content_type="application/json-patch+json")


BAD_OPTIONS: list[Any] = [
        {"gracePeriodSeconds": "soon"}, {"gracePeriodSeconds": 1 << 62}, {"gracePeriodSeconds": [1]},
        {"preconditions": "uid"}, {"preconditions": {"uid": {}}}, {"dryRun": 1}, {"dryRun": [{}]},
        {"propagationPolicy": {}}, {"orphanDependents": "x"}, {"kind": 1},
]  # fmt: skip


async def test_a_pod_of_endless_grace_can_be_deleted(api: Any, pod: Any) -> None:
    await api.post(PODS, pod("p", nodeName="n", terminationGracePeriodSeconds=1 << 40))
    marked = await api.ok("DELETE", f"{PODS}/p")
    assert marked["metadata"]["deletionTimestamp"].startswith("2036-")
    await api.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert (await api.refused("GET", f"{PODS}/p"))["code"] == 404


async def test_delete_options(api: Any, pod: Any) -> None:
    await api.post(PODS, pod("p", nodeName="n"))
    for body in BAD_OPTIONS:
        for method, url, sent in (
            ("DELETE", f"{PODS}/p", body),
            ("DELETE", PODS, body),
            ("POST", f"{PODS}/p/eviction", {"deleteOptions": body}),
        ):
            status = await api.refused(method, url, sent)
            assert status["code"] in (400, 409, 422), (body, status)
    assert "deletionTimestamp" not in (await api.get(f"{PODS}/p"))["metadata"]


async def test_numbers_without_end(api: Any) -> None:
    for name in ("resourceVersion", "limit", "timeoutSeconds"):
        for watch in ("", "&watch=1"):
            await refused_soon(api, "GET", f"{PODS}?{name}={'9' * 5000}{watch}", None)
    longest = await api.send("GET", f"/api/v1/namespaces?watch=1&timeoutSeconds={'9' * 19}")
    assert await anext(longest.body)
    await longest.body.aclose()
    ended = await api.send("GET", f"{PODS}?watch=1&timeoutSeconds=-5")
    async with asyncio.timeout(5):
        assert [chunk async for chunk in ended.body] == []


async def test_forged_continue_tokens(api: Any) -> None:
    starts = ("", "\0", "../../secrets/default/x", "\U0010ffff")
    for revision, start in itertools.product((-1, 0, 1 << 40, 1 << 62), starts):
        body = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).encode()
        token = base64.urlsafe_b64encode(body).decode().rstrip("=")
        response = await api.send("GET", f"{PODS}?limit=1&continue={token}")
        assert response.status in (200, 400, 410) and b'"Secret"' not in response.body


async def test_selectors_of_any_size(api: Any) -> None:
    for selector in (
        ",".join(f"k{i}=v" for i in range(5000)),
        "a in (" + ",".join(map(str, range(9000))) + ")",
        "!" * 9000,
    ):
        start = time.monotonic()
        assert (await api.send("GET", f"{PODS}?labelSelector={selector}")).status in (200, 400)
        assert time.monotonic() - start < 2


async def test_a_warning_is_one_header_whatever_it_says(api: Any) -> None:
    body = {"metadata": {"name": "w"}, "\r\nX-Evil: 1\u2603\x85": "1"}
    response = await api.send("POST", MAPS, body)
    head = render_response_head(response, framing="", date="", keep_alive=True)
    assert response.status == 201 and head.count(b"\r\n") == len(response.headers) + 3
    assert "X-Evil: 1\u2603".encode() in head


async def test_a_watch_nobody_reads_leaves_nothing(api: Any) -> None:
    before = api.app.core.hub.watchers
    response = await api.send("GET", f"{PODS}?watch=1")
    await response.body.aclose()
    assert (await api.send("HEAD", f"{PODS}?watch=1")).status == 405
    assert api.app.core.hub.watchers == before
