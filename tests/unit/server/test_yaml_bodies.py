"""YAML bodies: what Go's reader makes of them, and its words. All were heard from kube-apiserver 1.36."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.server.yaml_body import yaml_to_json

MAPS = "/api/v1/namespaces/default/configmaps"
YAML, APPLY = "application/yaml", "application/apply-patch+yaml"
HEAD = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"b: 1\na: 2020-01-01", b'{"a":"2020-01-01","b":1}'),
        (b"{y: n, 1: x, 1.5: z}", b'{"1":"x","1.5":"z","true":false}'),
        (b"a: &x [1]\nb: *x", b'{"a":[1],"b":[1]}'),
        (b"a: !!binary YQ==", b'{"a":"a"}'),
        (b"a: 1\n---\n}", b'{"a":1}'),
        (b"", b"null"),
    ],
)
def test_json_of_yaml(body: bytes, text: bytes) -> None:
    assert yaml_to_json(body) == (text, [])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a: b: c", "yaml: mapping values are not allowed in this context"),
        (b"a:\n  b: c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
        (HEAD + b"data: {name: a\nb:\n", "yaml: line 4: did not find expected ',' or '}'"),
        (b"\tx: 1", "yaml: found character that cannot start any token"),
        (b"{~: q}", 'unsupported map key of type: %!s(<nil>), key: <nil>, value: "q"'),
    ],
)
def test_what_is_no_yaml(body: bytes, words: str) -> None:
    with pytest.raises(ValueError) as refusal:
        yaml_to_json(body)
    assert str(refusal.value) == words


async def test_keys_that_are_given_twice(api: Any) -> None:
    body = HEAD + b"zoo: 1\ndata:\n  a: '1'\n  a: '2'\nabc: 1\n"
    refused = await api.refused("POST", f"{MAPS}?fieldValidation=Strict", body, content_type=YAML)
    assert refused["message"] == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:\n'
        '  line 7: key "a" already set in map, unknown field "abc", unknown field "zoo"'
    )
    warned = await api.send("POST", f"{MAPS}?fieldValidation=Warn", body, content_type=YAML)
    assert [value for name, value in warned.headers if name == "Warning"] == [
        '299 - "line 7: key \\"a\\" already set in map"',
        '299 - "unknown field \\"abc\\""',
        '299 - "unknown field \\"zoo\\""',
    ]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (HEAD + b"data: {a: b}\ndata: {c: d}\n", 5),
        (b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},"data":{"a":"b"},"data":{"c":"d"}}', 1),
    ],
)
async def test_keys_that_are_applied_twice(api: Any, body: bytes, line: int) -> None:
    url = f"{MAPS}/m?fieldManager=m"
    refused = await api.refused("PATCH", f"{url}&fieldValidation=Strict", body, content_type=APPLY)
    assert refused["message"] == (
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
        f'  line {line}: key "data" already set in map'
    )
    warned = await api.send("PATCH", url, body, content_type=APPLY)
    expected = ("Warning", f'299 - "line {line}: key \\"data\\" already set in map"')
    assert warned.status == 201 and expected in warned.headers
