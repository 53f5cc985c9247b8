from __future__ import annotations

import copy
from typing import Any

from netsim.client.sharing import _PARTS, Sharer


def pod(name: str) -> dict[str, Any]:
    container = {"name": "web", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "b" * 5000}]}
    metadata = {"name": name, "labels": {"app": "web"}, "ownerReferences": [{"uid": "u", "name": "rs"}]}
    token = {"name": f"kube-api-access-{name}", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    container["volumeMounts"] = [{"name": token["name"], "mountPath": "/var/run"}]
    spec = {"containers": [container], "tolerations": [{"key": "k"}], "volumes": [token]}
    return {"metadata": metadata, "spec": spec}


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
    assert first["spec"]["volumes"][0]["projected"] is last["spec"]["volumes"][0]["projected"]
    ports, env = ([p["spec"]["containers"][0][name] for p in (first, last)] for name in ("ports", "env"))
    assert ports[0] is ports[1]
    assert env[0] is not env[1]  # too large to be looked up each time
    assert first["spec"]["containers"][0] is not last["spec"]["containers"][0]


def test_a_later_version_shares_what_has_not_changed_and_stays_equal() -> None:
    sharer = Sharer()
    first = sharer.share_pod({**pod("p"), "status": {"conditions": [{"type": "Ready", "status": "False"}], "ip": "1"}})
    later = {**pod("p"), "status": {"conditions": [{"type": "Ready", "status": "True"}], "ip": "1"}}
    moved = pod("p")
    moved["spec"]["nodeName"] = "n"
    del moved["metadata"]["labels"]
    expected = copy.deepcopy((later, moved))
    assert (sharer.share_pod(later, first), sharer.share_pod(moved, later)) == expected
    assert later["spec"] is first["spec"] and later["metadata"]["labels"] is first["metadata"]["labels"]
    assert moved["spec"]["tolerations"] is first["spec"]["tolerations"]
    assert first["status"]["conditions"][0]["status"] == "False" and "nodeName" not in first["spec"]


def test_nodes_share_what_they_have_in_common_and_stay_equal() -> None:
    def node(name: str) -> dict[str, Any]:
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}}
        status = {"allocatable": {"cpu": "32"}, "conditions": [{"type": "Ready", "status": "True"}]}
        return {"metadata": metadata, "spec": {"podCIDR": f"10.{name}.0.0/16"}, "status": status}

    sharer = Sharer()
    nodes = [sharer.share_node(node(name)) for name in ("1", "2")]
    assert nodes == [node("1"), node("2")]
    first, last = (each["status"] for each in nodes)
    assert first["allocatable"] is last["allocatable"] and first["conditions"][0] is last["conditions"][0]


def test_the_oldest_parts_are_forgotten() -> None:
    sharer = Sharer()
    first = sharer.share({"a": "first"})
    assert sharer.share({"a": "first"}) is first
    for n in range(_PARTS):
        sharer.share({"a": n})
    assert sharer.share({"a": "first"}) is not first
