"""Whatever is sent, the answer is a Status or an object, never a 500, and refused writes leave nothing behind."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from netsim.api.kinds import KINDS

JUNK: list[Any] = [
    None, [], {}, "x", 1, -1, 1.5, True, [None], [{}], {"": None}, "\x00",
    {"a": {"b": [1, {"c": None}]}}, "../..", 1 << 70,
]  # fmt: skip
FIELDS = ("metadata", "spec", "status", "data", "rules", "subjects", "roleRef", "subsets", "endpoints", "ports", "type")
METADATA = (
    "name", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "generateName", "uid",
    "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation",
)  # fmt: skip
SPEC = (
    "containers", "selector", "template", "ports", "clusterIP", "clusterIPs", "type", "replicas", "taints",
    "finalizers",
    "volumes", "tolerations", "request", "usages", "externalIPs", "ipFamilies", "ipFamilyPolicy", "podCIDR",
)  # fmt: skip
PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")


def junk(rand: random.Random) -> Any:
    """A copy: filling one in must not change the list, nor put a value into itself."""
    return copy.deepcopy(rand.choice(JUNK))


def junk_object(rand: random.Random) -> Any:
    if rand.random() < 0.1:
        return junk(rand)
    body: dict[str, Any] = {"metadata": {"name": f"n{rand.randrange(3)}"}}
    for _ in range(rand.randrange(4)):
        body[rand.choice(FIELDS)] = junk(rand)
    if isinstance(body["metadata"], dict):
        body["metadata"][rand.choice(METADATA)] = junk(rand)
    if rand.random() < 0.8:
        body["spec"] = {rand.choice(SPEC): junk(rand) for _ in range(3)}
    return body


def junk_query(rand: random.Random) -> str:
    names = ("labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "dryRun", "timeoutSeconds")
    values = ("", "a", "a=b", "!", "(", "-1", "0", "99999999999999999999", "a in (", ",", "%00", "eyJ9")
    return "&".join(f"{rand.choice(names)}={rand.choice(values)}" for _ in range(rand.randrange(3)))


@pytest.mark.parametrize("seed", range(4))
async def test_junk(api: Any, seed: int) -> None:
    rand = random.Random(seed)
    problems: list[str] = []
    for _ in range(250):
        kind = rand.choice(KINDS)
        name = f"n{rand.randrange(3)}" if rand.random() < 0.6 else ""
        sub = rand.choice(["", "", "", *(s.name for s in kind.subresources)]) if name else ""
        url = f"{kind.path('default', name, sub)}?{junk_query(rand)}"
        method = rand.choice(["GET", "POST", "POST", "PUT", "PATCH", "PATCH", "DELETE"])
        body = json.dumps(junk_object(rand)).encode() if rand.random() < 0.9 else b"\xff{]"
        media = rand.choice(PATCHES) if method == "PATCH" else rand.choice(["application/json", "", "application/yaml"])
        response = await api.send(method, url, body if method != "GET" else None, content_type=media)
        if response.status >= 500 and b'"Too large resource version' not in response.body:
            problems.append(f"{method} {url} {media} {body!r}: {response.body!r}")
    assert not problems, "\n".join(problems[:8])


async def test_what_an_object_is_is_said_in_texts(api: Any) -> None:
    url = "/api/v1/namespaces/default/configmaps"
    for field, value, found in (("kind", 0, "number"), ("apiVersion", False, "bool"), ("kind", [], "array")):
        refused = await api.refused("POST", url, {field: value, "metadata": {"name": "c"}})
        assert refused["code"] == 400 and refused["message"].endswith(
            f"json: cannot unmarshal {found} into Go struct field .{field} of type string"
        )
    for value in (False, 0, "", []):
        assert (await api.refused("POST", url, {"metadata": value}))["code"] == 400
