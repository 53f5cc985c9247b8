"""Configurations and managedFields with anything in any place: refused in words or taken, never a fault."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

PODS = "/api/v1/namespaces/default/pods"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JUNK: list[Any] = [None, [], {}, "x", "", 1, -1.5, True, [None], [{}], {"": None}, {"a": {"b": [1]}}, 1 << 70]
CONTAINER = {
    "name": "c", "image": "x", "ports": [{"containerPort": 1}], "env": [{"name": "A", "value": "b"}],
    "resources": {"limits": {"cpu": "1"}}, "args": ["a"],
}  # fmt: skip
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
METADATA = {"name": "p", "labels": {"a": "b"}, "finalizers": ["x/y"], "ownerReferences": [OWNER]}
CONFIG = {
    "apiVersion": "v1", "kind": "Pod", "metadata": METADATA,
    "spec": {
        "containers": [CONTAINER, {**CONTAINER, "name": "d"}], "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
    },
}  # fmt: skip
ENTRY = {
    "manager": "m", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
    "fieldsV1": {"f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}}}}},
}  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def spoiled(rand: random.Random, value: Any) -> Any:
    copied = copy.deepcopy(value)
    for _ in range(rand.randrange(1, 3)):
        where, key = rand.choice(list(places(copied)))
        where[key] = copy.deepcopy(rand.choice(JUNK))
    return copied


@pytest.mark.parametrize("seed", range(2))
async def test_no_configuration_is_a_fault(api: Any, seed: int) -> None:
    rand = random.Random(seed)
    problems = []
    await api.ok("PATCH", f"{PODS}/p?fieldManager=m0", CONFIG, content_type=APPLY)
    taken = 0
    for _ in range(200):
        media, query, body = APPLY, f"?fieldManager=m{rand.randrange(3)}&force=true", spoiled(rand, CONFIG)
        if rand.random() < 0.3:
            media, query = MERGE, ""
            body = {"metadata": {"managedFields": spoiled(rand, [ENTRY, ENTRY]), "labels": {"n": str(rand.random())}}}
        sub = rand.choice(["", "", "/resize", "/ephemeralcontainers", "/status"])
        response = await api.send("PATCH", f"{PODS}/p{sub}{query}", body, content_type=media)
        answer = json.loads(response.body)
        taken += response.status == 200
        if response.status >= 500:
            problems.append(f"{json.dumps(body)}: {answer}")
    assert not problems, "\n".join(problems[:8])
    assert taken > 20, "most configurations should not be refused at the door"
