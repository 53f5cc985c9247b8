"""Of a patched object only what is new is looked at, and it is kept as if all had been."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from netsim.api import schema
from netsim.api.kinds import PODS, Obj
from netsim.server.bodies import Source
from netsim.server.typed import typed_object

SPEC: Obj = {"containers": [{"name": "c", "image": "i"}]}
LABELS = {"a": "b"}
OLD: Obj = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "p", "labels": LABELS, "uid": "u"},
    "spec": SPEC,
    "status": {"phase": "Pending"},
}


@pytest.mark.parametrize(
    "changed",
    [
        {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}]}},
        {"metadata": {"name": "p", "labels": LABELS, "annotations": {}, "creationTimestamp": None}},
        {"metadata": {"name": "p", "labels": {}, "uid": "u"}, "status": None},
        {"metadata": {}},
        {"status": {"startTime": "2026-01-01T01:00:00+01:00"}},
    ],
)
@pytest.mark.parametrize("known", [{}, OLD, {"spec": SPEC}])
def test_what_is_new_in_an_object_is_kept_as_if_all_were(changed: dict[str, Any], known: Obj) -> None:
    warnings: list[str] = []
    new = typed_object(PODS, OLD | changed, Source(), "Strict", warnings, known)
    assert orjson.dumps(new) == orjson.dumps(schema.prune(PODS, OLD | changed)) and not warnings
