from __future__ import annotations

import copy
from typing import Any

from netsim.client.sharing import _PARTS, Sharer


def pod(name: str) -> dict[str, Any]:
    container = {"name": "web", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "b" * 5000}]}
    metadata = {"name": name, "labels": {"app": "web"}, "ownerReferences": [{"uid": "u", "name": "rs"}]}
    return {"metadata": metadata, "spec": {"containers": [container], "tolerations": [{"key": "k"}]}}


def test_replicas_share_their_template_and_stay_equal() -> None:
    sharer = Sharer()
    pods = [pod(f"p{n}") for n in range(3)]
    before = copy.deepcopy(pods)
    for each in pods:
        sharer.share_pod(each)
    assert pods == before
    first, last = pods[0], pods[2]
    assert first["metadata"]["labels"] is last["metadata"]["labels"]
    assert first["metadata"]["ownerReferences"] is last["metadata"]["ownerReferences"]
    assert first["spec"]["tolerations"] is last["spec"]["tolerations"]
    ports, env = ([p["spec"]["containers"][0][name] for p in (first, last)] for name in ("ports", "env"))
    assert ports[0] is ports[1]
    assert env[0] is not env[1]  # too large to be looked up each time
    assert first["spec"]["containers"][0] is not last["spec"]["containers"][0]


def test_the_oldest_parts_are_forgotten() -> None:
    sharer = Sharer()
    first = sharer.share({"a": "first"})
    assert sharer.share({"a": "first"}) is first
    for n in range(_PARTS):
        sharer.share({"a": n})
    assert sharer.share({"a": "first"}) is not first
