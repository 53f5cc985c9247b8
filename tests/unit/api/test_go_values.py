"""What a refused change is shown as: the differences are those that a real API server tells."""

from __future__ import annotations

import copy
import difflib
import json
from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.go_values import _facts, _one_hunk, difference, in_go
from netsim.api.kinds import Kind
from netsim.api.schema import definitions
from netsim.api.validation import validate_update
from support.changes import merged
from support.examples import BASES

_MOVED = {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers", "serviceAccount"}
_IN_OWNER = {"metadata"}
POD = {
    "metadata": {"name": "p"},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "ports": [{"containerPort": 80}],
                "resources": {"requests": {"cpu": "100m"}},
            }
        ]
    },
}


@pytest.mark.parametrize("name", _facts())
def test_every_field_of_the_api_is_known(name: str) -> None:
    group, _, short = name.rpartition(".")
    found = definitions().get(f"io.k8s.api.{group or 'core'}.v1.{short}")
    if found is None:  # types that stand within others there
        return
    keys = {key for _, key, _ in _facts()[name] if key}
    for field, _, form in _facts()[name]:
        if form[0] == "." and (field, form) in [(f, g) for f, k, g in _facts()[name] if not k]:
            keys |= {key for _, key, _ in _facts()[form[1:]]}
    assert set(found["properties"]) - _MOVED - _IN_OWNER <= keys


def told(kind: Kind, base: dict[str, Any], change: dict[str, Any]) -> str:
    """The difference in the message that refuses a change."""
    old = set_defaults(kind, copy.deepcopy(base))
    new = set_defaults(kind, merged(copy.deepcopy(base), change))
    [cause] = validate_update(kind, new, old)
    return cause.message.partition("\n")[2]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"spec.nodeSelector": {"a": "b"}}, '- "NodeSelector": null,\n+ "NodeSelector": {\n+  "a": "b"\n+ },\n'),
        (
            {"spec.containers.0.ports.0.containerPort": 81},
            '      "HostPort": 0,\n-     "ContainerPort": 80,\n+     "ContainerPort": 81,\n      "Protocol": "TCP",\n',
        ),
        (
            {"spec.containers.0.resources.requests": {"cpu": "200m"}},
            '     "Requests": {\n-     "cpu": "100m"\n+     "cpu": "200m"\n     },\n',
        ),
        ({"spec.hostPID": True}, '-  "HostPID": false,\n+  "HostPID": true,\n   "HostIPC": false,\n'),
        (
            {"spec.hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}]},
            '+ "HostAliases": [\n+  {\n+   "IP": "1.2.3.4",\n+   "Hostnames": [\n+    "a"\n+   ]\n+  }\n+ ],\n',
        ),
    ],
)
def test_what_is_another_in_a_pod_is_shown(change: dict[str, Any], wanted: str) -> None:
    assert wanted in told(kinds.PODS, POD, change)


def test_what_is_allowed_is_not_shown() -> None:
    shown = told(kinds.PODS, POD, {"spec.containers.0.image": "x", "spec.hostname": "h"})
    assert '+ "Hostname": "h"' in shown and '"Image":' not in shown


def test_characters_are_escaped_as_go_escapes_them() -> None:
    assert '+ "NodeName": "\\u003c\\u0026\\u003eä",\n' in difference("PodSpec", {}, {"nodeName": "<&>ä"})


def test_a_difference_is_told_to_the_letter() -> None:
    old = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "x"}
    new = {**old, "storageClassName": "y", "volumeMode": "Filesystem"}
    assert difference("PersistentVolumeClaimSpec", {**old, "volumeMode": "Filesystem"}, new) == (
        "@@ -10,7 +10,7 @@\n"
        "   }\n"
        "  },\n"
        '  "VolumeName": "",\n'
        '- "StorageClassName": "x",\n'
        '+ "StorageClassName": "y",\n'
        '  "VolumeMode": "Filesystem",\n'
        '  "DataSource": null,\n'
        '  "DataSourceRef": null,\n'
    )
    source, other = {"hostPath": {"path": "/x", "type": ""}}, {"hostPath": {"path": "/y", "type": ""}}
    assert difference("PersistentVolumeSource", source, other) == (
        "@@ -2,7 +2,7 @@\n"
        '  "GCEPersistentDisk": null,\n'
        '  "AWSElasticBlockStore": null,\n'
        '  "HostPath": {\n'
        '-  "Path": "/x",\n'
        '+  "Path": "/y",\n'
        '   "Type": ""\n'
        "  },\n"
        '  "Glusterfs": null,\n'
    )


def test_a_claims_growth_before_it_is_bound_is_shown() -> None:
    change = {"spec.resources.requests": {"storage": "2Gi"}}
    assert '-   "storage": "1Gi"\n+   "storage": "2Gi"\n' in told(
        kinds.PERSISTENT_VOLUME_CLAIMS, BASES[kinds.PERSISTENT_VOLUME_CLAIMS], change
    )


def test_nobody_changes_what_is_compared() -> None:
    """The old object is shared, the new one about to be stored."""
    kind = kinds.PERSISTENT_VOLUME_CLAIMS
    old = set_defaults(kind, {**BASES[kind], "status": {"phase": "Bound"}})
    new = merged(old, {"spec.volumeName": "v", "spec.storageClassName": "c", "spec.resources.requests.storage": "2Gi"})
    before = json.dumps([old, new])
    validate_update(kind, new, old)
    assert json.dumps([old, new]) == before


def test_a_jobs_template_is_quoted_as_go_has_it() -> None:
    template = {"metadata": {"labels": {"b": "1", "a": "2"}}, "spec": {"containers": [{"name": "c"}]}}
    shown = in_go("PodTemplateSpec", template)
    assert list(shown) == ["labels", "Spec"] and list(shown["labels"]) == ["a", "b"]
    assert list(shown["Spec"])[:3] == ["Volumes", "InitContainers", "Containers"]
    assert shown["Spec"]["Containers"][0]["Resources"] == {"Limits": None, "Requests": None, "Claims": None}
    probe = in_go("Probe", {"tcpSocket": {"port": "http"}})
    assert (probe["TCPSocket"], probe["PeriodSeconds"]) == ({"Port": "http", "Host": ""}, 0)


def with_values(values: list[str]) -> dict[str, Any]:
    env = [{"name": f"E{index}", "value": value} for index, value in enumerate(values)]
    return {"containers": [{"name": "c", "image": "i", "env": env}]}


def test_a_large_spec_is_shown_in_one_piece() -> None:
    """Its shortest diff would take minutes."""
    values = [f"v{index}" for index in range(5000)]
    shown = difference("PodSpec", with_values(values), with_values(values[::-1])).splitlines()
    assert sum(line.startswith("@@ ") for line in shown) == 1
    assert sum(line.startswith("-") for line in shown) == sum(line.startswith("+") for line in shown) > 20_000
    one = difference("PodSpec", with_values(values), with_values([*values[:9], "x", *values[10:]])).splitlines()
    assert [line for line in one if line[0] in "+-"] == ['-     "Value": "v9",', '+     "Value": "x",']
    assert len(one) == 9


@pytest.mark.parametrize(
    ("before", "now"),
    [("abcdefghi", "abcdXfghi"), ("abc", "Xabc"), ("abc", "abcX"), ("aXbc", "abc"), ("aaaa", "aaa"), ("a", "b"),
     ("abcd", "abcdabcd"), ("abcdefghij", "abcdefgXYZhij")],
)  # fmt: skip
def test_what_changed_in_one_place_is_shown_as_the_shortest_diff_does(before: str, now: str) -> None:
    old, new = ([f"{char}\n" for char in text] for text in (before, now))
    assert _one_hunk(old, new)[1:] == list(difflib.unified_diff(old, new))[3:]
