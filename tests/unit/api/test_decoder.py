"""The decoder's words for values that fit no field, and for what strict decoding refuses. All were heard from
kube-apiserver 1.36."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from netsim.api import kinds
from netsim.api.decoder import Misfit, decode, decode_error
from netsim.api.json_text import as_written
from netsim.api.kinds import Kind
from netsim.api.patch_words import converted
from netsim.api.schema import prune
from netsim.api.schema_fit import fits

LAYOUT = "2006-01-02T15:04:05Z07:00"
MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
NO_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NO_SUFFIX = "unable to parse quantity's suffix"


def unmarshal(found: str, field: str, wanted: str) -> str:
    return f"json: cannot unmarshal {found} into Go struct field {field} of type {wanted}"


def in_container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", **fields}]}}


@pytest.mark.parametrize(
    ("kind", "obj", "message"),
    [
        (
            kinds.PODS,
            in_container(ports=[{"protocol": 5}]),
            unmarshal("number", "ContainerPort.spec.containers.ports.protocol", "v1.Protocol"),
        ),
        (
            kinds.PODS,
            in_container(resources={"limits": []}),
            unmarshal("array", "ResourceRequirements.spec.containers.resources.limits", "v1.ResourceList"),
        ),
        (
            kinds.PODS,
            {"spec": {"volumes": [{"hostPath": {"path": 5}}]}},
            unmarshal("number", "HostPathVolumeSource.spec.volumes.VolumeSource.hostPath.path", "string"),
        ),
        (
            kinds.PODS,
            {"spec": {"volumes": [{"configMap": {"items": [5]}}]}},
            unmarshal("number", "ConfigMapVolumeSource.spec.volumes.VolumeSource.configMap.items", "v1.KeyToPath"),
        ),
        (
            kinds.PODS,
            {"spec": {"ephemeralContainers": [{"livenessProbe": {"exec": {"command": "x"}}}]}},
            unmarshal(
                "string",
                "ExecAction.spec.ephemeralContainers.EphemeralContainerCommon.livenessProbe.ProbeHandler.exec.command",
                "[]string",
            ),
        ),
        (
            kinds.PODS,
            in_container(securityContext={"capabilities": {"add": [True]}}),
            unmarshal("bool", "Capabilities.spec.containers.securityContext.capabilities.add", "v1.Capability"),
        ),
        (kinds.PODS, {"metadata": {"uid": {}}}, unmarshal("object", "ObjectMeta.metadata.uid", "types.UID")),
        (
            kinds.PODS,
            {"metadata": {"creationTimestamp": 5}},
            unmarshal("number", "ObjectMeta.metadata.creationTimestamp", "string"),
        ),
        (kinds.SECRETS, {"data": {"a": 5}}, unmarshal("number", "Secret.data", "[]uint8")),
        (
            kinds.SERVICES,
            {"spec": {"ports": [{"targetPort": 99999999999}]}},
            unmarshal("number 99999999999", "ServicePort.spec.ports.targetPort", "int32"),
        ),
        (  # what reads itself ends the decoding, also after something else was found
            kinds.SERVICES,
            {"spec": {"type": 5, "ports": [{"targetPort": []}]}},
            unmarshal("array", "ServicePort.spec.ports.targetPort", "int32"),
        ),
        (
            kinds.SERVICES,
            {"spec": {"type": 5, "ports": 6}},
            unmarshal("number", "ServiceSpec.spec.type", "v1.ServiceType"),
        ),
        (
            kinds.CUSTOM_RESOURCE_DEFINITIONS,
            {"spec": {"versions": [{"schema": {"openAPIV3Schema": {"additionalProperties": 5}}}]}},
            "boolean or JSON schema expected",
        ),
        (kinds.PODS, {"metadata": {"managedFields": [{"fieldsV1": 5}]}}, ""),
        (kinds.CONTROLLER_REVISIONS, {"data": "x"}, ""),
    ],
)
def test_wrong_types_are_told_in_go_s_words(kind: Kind, obj: dict[str, Any], message: str) -> None:
    assert decode_error(kind, obj) == message
    assert decode_error(kind, as_written(orjson.dumps(obj))) == message


@pytest.mark.parametrize(
    ("text", "number"), [(b"1.50", "1.50"), (b"1e3", "1e3"), (b"-1.0", "-1.0"), (b"1" + b"0" * 30, "1" + "0" * 30)]
)
def test_numbers_are_told_as_they_are_written(text: bytes, number: str) -> None:
    obj = as_written(b'{"spec": {"replicas": %s}}' % text)
    assert decode_error(kinds.DEPLOYMENTS, obj) == unmarshal(
        f"number {number}", "DeploymentSpec.spec.replicas", "int32"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", f' as "{LAYOUT}": cannot parse "x" as "2006"'),
        ("", f' as "{LAYOUT}": cannot parse "" as "2006"'),
        ("2020-01-01", f' as "{LAYOUT}": cannot parse "" as "T"'),
        ("2020-01-01 00:00:00Z", f' as "{LAYOUT}": cannot parse " 00:00:00Z" as "T"'),
        ("2020-01-01T00:00:00", f' as "{LAYOUT}": cannot parse "" as "Z07:00"'),
        ("2020-13-01T00:00:00Z", ": month out of range"),
        ("2020-01-01T24:00:00Z", ": hour out of range"),
        ("2021-02-29T00:00:00Z", ": day out of range"),
        ("2020-01-01T00:00:00+25:00", ": time zone offset hour out of range"),
        ("2020-01-01T00:00:00+01:61", ": time zone offset minute out of range"),
        ("2020-01-01T00:00:00Zx", ': extra text: "x"'),
    ],
)
def test_times(text: str, said: str) -> None:
    assert decode_error(kinds.PODS, {"metadata": {"creationTimestamp": text}}) == f'parsing time "{text}"{said}'
    assert not fits(kinds.PODS, {"metadata": {"creationTimestamp": text}})


def test_times_with_microseconds_want_six_digits() -> None:
    said = f'parsing time "2026-01-01T00:00:00Z" as "{MICRO_LAYOUT}": cannot parse "Z" as ".000000"'
    assert decode_error(kinds.LEASES, {"spec": {"renewTime": "2026-01-01T00:00:00Z"}}) == said
    assert decode_error(kinds.LEASES, {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}) == ""


@pytest.mark.parametrize(
    ("text", "kept"),
    [("2020-02-29T01:00:00+01:00", "2020-02-29T00:00:00Z"), ("2020-01-01T1:00:00.5Z", "2020-01-01T01:00:00Z")],
)
def test_times_are_kept_in_utc(text: str, kept: str) -> None:
    pod = {"metadata": {"creationTimestamp": text}}
    assert decode_error(kinds.PODS, pod) == ""
    assert prune(kinds.PODS, pod) == {"metadata": {"creationTimestamp": kept}}


@pytest.mark.parametrize(
    ("amount", "said", "kept"),
    [
        (" 1 ", "", "1"), ("1.", "", "1"), ("-", "", "0"), (".", "", "0"), ("Ki", "", "0"), ("1e-3", "", "1e-3"),
        ("9999999999999999999999", "", "9999999999999999999999"), ("1Kii", NO_SUFFIX, None), ("1ee", NO_SUFFIX, None),
        ("1K", NO_SUFFIX, None), ("--1", NO_SUFFIX, None), ("1x", NO_QUANTITY, None), ("", NO_QUANTITY, None),
        ("1.5.5", NO_QUANTITY, None), (True, NO_QUANTITY, None), ({}, NO_QUANTITY, None),
    ],
)  # fmt: skip
def test_amounts(amount: Any, said: str, kept: str | None) -> None:
    pod = in_container(resources={"limits": {"cpu": amount}})
    assert decode_error(kinds.PODS, pod) == said
    if kept is not None:
        assert prune(kinds.PODS, pod) == in_container(resources={"limits": {"cpu": kept}})


def test_strict_decoding_tells_in_the_order_of_the_text() -> None:
    text = (
        b'{"x": 1, "metadata": {"name": "a", "name": "b", "labels": {"k": "", "k": ""}}, "x": 2, "data": {}, "y": {}}'
    )
    expected = [
        'unknown field "x"',
        'duplicate field "metadata.name"',
        'duplicate field "metadata.labels.k"',
        'unknown field "y"',
    ]
    assert decode(kinds.CONFIG_MAPS, as_written(text)) == ("", expected)
    wrong = b'{"x": 1, "data": 5}'  # a wrong type comes before
    assert decode(kinds.CONFIG_MAPS, as_written(wrong)).strict == []
    many = {f"f{n}": 1 for n in range(200)}
    assert len(decode(kinds.CONFIG_MAPS, many).strict) == 100


@pytest.mark.parametrize(
    ("misfit", "words"),
    [
        (Misfit("number", "ContainerPort.x.protocol", "v1.Protocol", "string"), "cannot convert int64 to v1.Protocol"),
        (Misfit("string", "PodSpec.spec.containers", "[]v1.Container", "array"), "cannot restore slice from string"),
        (Misfit("array", "Pod.spec", "v1.PodSpec", "object"), "cannot restore struct from: slice"),
        (Misfit("string", "R.limits", "v1.ResourceList", "object"), "cannot restore map from string"),
    ],
)
def test_strategic_patches_have_other_words(misfit: Misfit, words: str) -> None:
    assert converted(misfit) == words
