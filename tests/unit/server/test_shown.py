"""How answers look to people and what every answer carries, as a real kube-apiserver 1.36 was seen to do."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from netsim.http.types import Peer, Request, Response
from netsim.server.shown import show

MAPS = "/api/v1/namespaces/default/configmaps"


async def ask(api: Any, path: str, agent: str = "", method: str = "GET", **headers: str) -> Response:
    path, _, query = path.partition("?")
    fields = [("user-agent", agent), *((name.replace("_", "-"), value) for name, value in headers.items())]
    pairs = [(key, value) for key, _, value in (part.partition("=") for part in query.split("&") if part)]
    return await api.app(Request(method, path, pairs, fields, b"", Peer(trusted=True)))


@pytest.mark.parametrize(
    ("agent", "query", "indented"),
    [
        ("curl/8.5.0", "", True), ("Wget/1.21", "", True), ("Mozilla/5.0 (X11)", "", True),
        ("kubectl/v1.37.1", "", False), ("", "", False), ("kubectl/v1.37.1", "?pretty=true", True),
        ("curl/8.5.0", "?pretty=0", False), ("curl/8.5.0", "?pretty=", True),
    ],
)  # fmt: skip
async def test_people_get_lines(api: Any, agent: str, query: str, indented: bool) -> None:
    for path in ("/api/v1/namespaces/default", "/api/v1/namespaces", "/api/v1/namespaces/none", "/apis/apps"):
        body = (await ask(api, path + query, agent)).body
        assert isinstance(body, bytes)
        assert (b'\n  "kind": ' in body) == indented, body
        assert body.endswith(b"\n") == (
            not indented
        )  # after `kubectl get --raw` the prompt stands on a line of its own


async def test_metadata_come_in_the_usual_order_to_people(api: Any) -> None:
    await api.post(
        MAPS, {"metadata": {"name": "m", "annotations": {"a": "b"}, "labels": {"c": "d"}}, "data": {"z": "1"}}
    )
    usual = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "labels",
        "annotations",
        "managedFields",
    ]
    shown = json.loads((await ask(api, f"{MAPS}/m", "curl/8")).body)
    assert list(shown["metadata"]) == usual
    items = json.loads((await ask(api, MAPS, "curl/8")).body)["items"]
    assert list(items[-1]["metadata"]) == usual
    assert shown == await api.get(f"{MAPS}/m")


async def test_a_long_list_ends_its_line(api: Any) -> None:
    for number in range(20):  # as many are kept joined
        await api.post(MAPS, {"metadata": {"name": f"m{number}"}})
    for _ in range(2):
        assert (await ask(api, MAPS)).body.endswith(b"}]}\n")


def test_only_whole_json_is_touched() -> None:
    text = Response(200, [("Content-Type", "text/plain")], b"{}")
    show(text)
    assert text.body == b"{}"
    nothing = Response(304, [("Content-Type", "application/json")])
    show(nothing)
    assert nothing.body == b""


async def test_version_and_paths_are_always_lines(api: Any) -> None:
    for path in ("/version", "/"):
        assert (await ask(api, path)).body.startswith(b'{\n  "')
    paths = json.loads((await ask(api, "/")).body)["paths"]
    assert {"/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/livez/ping", "/version"} <= set(paths)
    assert paths == sorted(set(paths))
    for path in paths:
        assert (await ask(api, path, accept="application/json, */*, protobuf")).status == 200, path


async def test_every_answer_has_an_audit_id(api: Any) -> None:
    seen = [(await ask(api, path)).header("audit-id") for path in ("/version", MAPS, f"{MAPS}/none", "/nothing")]
    assert len({uuid.UUID(text) for text in seen}) == len(seen)
    assert (await ask(api, MAPS, audit_id="mine")).header("audit-id") == "mine"


async def test_what_has_no_head(api: Any) -> None:
    codes = {path: (await ask(api, path, method="HEAD")).status for path in ("/version", "/api", "/apis/apps/v1")}
    assert set(codes.values()) == {405}
    assert (await ask(api, "/healthz", method="HEAD")).status == 200
    assert (await ask(api, "/", method="PUT")).status == 200


async def test_checks_can_be_left_out(api: Any) -> None:
    body = (await ask(api, "/readyz?verbose&exclude=store&exclude=none")).body
    assert body.splitlines() == [
        b"[+]ping ok", b"[+]store excluded: ok", b"[+]watch-cache ok",
        b'warn: some health checks cannot be excluded: no matches for "none"', b"readyz check passed",
    ]  # fmt: skip
