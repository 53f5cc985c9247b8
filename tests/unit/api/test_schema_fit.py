"""The quick walk makes of an object what the slow ones make of it, wherever these find nothing to say."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api import schema
from netsim.api.decoder import decode
from netsim.api.kinds import DEPLOYMENTS, EVENTS, NODES, PODS, SECRETS, SERVICES, Kind, Obj
from netsim.api.schema_fit import fits, kept

POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "labels": {"app": "b"}, "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1},
    "spec": {
        "containers": [
            {
                "name": "a",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
            }
        ],
        "hostNetwork": True,
    },
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}
SERVICE: Obj = {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
SECRET: Obj = {"metadata": {"name": "a"}, "data": {"k": "dg=="}, "stringData": {"s": "t"}}
DEPLOYMENT: Obj = {"metadata": {"name": "a"}, "spec": {"replicas": 1, "template": {"spec": POD["spec"]}}}
NODE: Obj = {
    "metadata": {"name": "n", "creationTimestamp": None},
    "spec": {"podCIDRs": ["10.1.0.0/24"]},
    "status": {
        "capacity": {"cpu": 4, "memory": "1024Mi"},
        "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": None, "lastTransitionTime": None}],
        "images": [{"names": None, "sizeBytes": 1}],
        "nodeInfo": {"machineID": ""},
    },
}
EVENT: Obj = {
    "metadata": {"name": "e", "creationTimestamp": None, "labels": {}},
    "involvedObject": {"kind": "Pod", "name": ""},
    "source": {},
    "eventTime": "2026-01-01T00:00:00.500000+01:00",
    "firstTimestamp": None,
    "count": 0,
    "series": {"count": 1, "lastObservedTime": None},
}
WHOLE = [(PODS, POD), (SERVICES, SERVICE), (SECRETS, SECRET), (DEPLOYMENTS, DEPLOYMENT)]
LOOSE = [(NODES, NODE), (EVENTS, EVENT)]

values = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**31,
        2**63,
        1.5,
        "",
        "x",
        "1Gi",
        "1024Mi",
        " 0.5",
        "dg==",
        "dg=\n=",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.5+01:00",
        [],
        [None],
        {},
        {"a": "b"},
        {"a": None},
        {"cpu": 2},
        [{"name": None}],
    ]
)


@pytest.mark.parametrize("kind,obj", WHOLE)
def test_well_formed_objects_fit(kind: Kind, obj: Obj) -> None:
    assert fits(kind, obj)


@pytest.mark.parametrize("kind,obj", LOOSE)
def test_what_clients_of_go_write_is_kept_without_a_second_look(kind: Kind, obj: Obj) -> None:
    assert kept(kind, obj) == schema.prune(kind, obj) != obj


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values, and of one field beside those of every object."""
    listed = list(enumerate(value)) if isinstance(value, list) else []
    below = list(value.items()) if isinstance(value, dict) else listed
    found = [path, *((*path, "other") for _ in range(isinstance(value, dict)))]
    return found + [place for key, item in below for place in places(item, (*path, key))]


@given(st.sampled_from([*WHOLE, *LOOSE]), values, st.data())
def test_it_agrees_with_the_slow_walks(whole: tuple[Kind, Obj], value: Any, data: st.DataObject) -> None:
    kind, obj = whole[0], copy.deepcopy(whole[1])
    *path, last = data.draw(st.sampled_from([place for place in places(obj) if place]))
    spot = obj
    for key in path:
        spot = spot[key]
    spot[last] = value
    quiet = decode(kind, obj) == ("", [])
    assert fits(kind, obj) == (quiet and schema.prune(kind, obj) == obj)
    quick = kept(kind, obj)
    assert quick is None or (quiet and orjson.dumps(quick) == orjson.dumps(schema.prune(kind, obj)))
