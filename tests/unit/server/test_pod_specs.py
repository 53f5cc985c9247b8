"""What is remembered of pod specs says the same as looking at them anew."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.defaults import set_defaults
from netsim.api.deprecations import warnings_of
from netsim.api.json_text import duplicate_fields
from netsim.api.kinds import PODS
from netsim.api.validation import validate_create
from netsim.server.bodies import duplicate_problems
from netsim.server.pod_specs import TOKEN_VOLUME, PodSpecs

SPEC: dict[str, Any] = {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]}


def pod(spec: Any, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "n"}, "spec": spec, **({"status": status} if status else {})}


def token(suffix: str) -> dict[str, Any]:
    return {"name": TOKEN_VOLUME + suffix, "emptyDir": {}}


@pytest.mark.parametrize("status", [{}, {"phase": "Failed", "message": "m"}])
def test_a_known_spec_gets_the_same_defaults(status: dict[str, Any]) -> None:
    specs, before = PodSpecs(), copy.deepcopy(SPEC)
    specs.remember(SPEC)
    shared = specs.shared(pod(copy.deepcopy(SPEC), **status))
    assert specs.known(shared["spec"]) is not None
    assert specs.with_defaults(shared) == set_defaults(PODS, pod(SPEC, **status))
    assert before == SPEC


def test_other_specs_are_not_known() -> None:
    specs = PodSpecs()
    specs.remember(SPEC)
    for other in ({**SPEC, "hostname": "h"}, {}, None, [], "x", copy.deepcopy(SPEC)):
        assert specs.known(other) is None
    assert specs.shared({"metadata": {}}) == {"metadata": {}}
    assert specs.with_defaults(pod({**SPEC, "hostname": "h"})) == set_defaults(PODS, pod({**SPEC, "hostname": "h"}))


def test_what_is_kept_is_bounded() -> None:
    specs = PodSpecs()
    kept = [{**SPEC, "hostname": f"h{number}"} for number in range(300)]
    for spec in kept:
        specs.remember(spec)
        assert specs.problems(pod(set_defaults(PODS, pod(spec))["spec"])) == []
    assert len(specs) == len(specs._valid) == 128
    assert len(specs._by_id) == 256
    assert specs.known(kept[0]) is None and specs.known(kept[-1]) is not None
    specs.remember({**SPEC, "hostname": "x" * 20_000})
    assert len(specs) == 128 and specs.known(kept[-128]) is not None


def test_rules_are_asked_of_every_spec_that_differs() -> None:
    specs = PodSpecs()
    good = set_defaults(PODS, pod(SPEC))["spec"]
    assert specs.problems(pod({**good, "volumes": [token("aaaaa")]})) == []
    assert specs.problems(pod({**good, "volumes": [token("bbbbb")]})) == []
    assert len(specs._valid) == 1
    twice = pod({**good, "volumes": [token("ccccc"), token("ccccc")]})
    bad = pod({**good, "restartPolicy": "Sometimes"})
    paths = [pod({**good, "volumes": [token(suffix)]}) for suffix in ("../../etc", "", "aaaaa\n", "AAAAA")]
    for wrong in (twice, bad, twice, bad, {**pod(good), "metadata": {"name": "_"}}, *paths):
        assert specs.problems(wrong) == validate_create(PODS, wrong) != []


def test_a_known_spec_is_warned_of_in_the_same_words() -> None:
    specs = PodSpecs()
    env = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    spec = set_defaults(PODS, pod({"containers": [{"name": "c", "image": "i", "env": env}]}))["spec"]
    named = {**pod(spec), "metadata": {"name": "a.b", "namespace": "n"}}
    assert len(warnings_of(PODS, pod(spec))) == 1 and len(warnings_of(PODS, named)) == 2
    for each in (pod(spec), named, pod(copy.deepcopy(spec))):
        assert specs.warnings(each) == warnings_of(PODS, each), "nobody has judged it"
        assert specs.problems(each) == []
        for _ in range(2):
            assert specs.warnings(each) == warnings_of(PODS, each)
    harmless = pod(set_defaults(PODS, pod(SPEC))["spec"])
    assert specs.problems(harmless) == [] == specs.warnings(harmless)


async def test_the_second_pod_of_a_template_is_made_like_the_first(api: Any) -> None:
    path = "/api/v1/namespaces/default/pods"
    made = [await api.post(path, {"metadata": {"name": name}, "spec": SPEC}) for name in ("a", "b")]
    first, second = made
    volumes = [each["spec"].pop("volumes")[0].pop("name") for each in made]
    mounts = [each["spec"]["containers"][0].pop("volumeMounts")[0]["name"] for each in made]
    assert volumes == mounts and volumes[0] != volumes[1]
    assert (first["spec"], first["status"]) == (second["spec"], second["status"])
    fields = [each["metadata"]["managedFields"][0]["fieldsV1"] for each in made]
    assert fields[0] == fields[1]
    unknown = {"metadata": {"name": "c"}, "spec": SPEC, "speck": 1}
    refused = await api.refused("POST", f"{path}?fieldValidation=Strict", unknown)
    assert refused["code"] == 400 and "speck" in refused["message"]
    refused = await api.refused("POST", path, {"metadata": {"name": "c", "labels": {"a": 1}}, "spec": SPEC})
    assert refused["code"] == 400


NAMES = st.sampled_from(["a", "b", 'q"', "\\", "é", "\\u0022", "a:b", "{"])
PAIRS = st.recursive(
    st.one_of(st.integers(), st.none(), NAMES, st.floats(allow_nan=False, allow_infinity=False)),
    lambda below: st.one_of(st.lists(below, max_size=3), st.lists(st.tuples(NAMES, below), max_size=4).map(tuple)),
    max_leaves=12,
)


def render(value: Any, ascii_only: bool, space: str, quotes: bool) -> str:
    if isinstance(value, tuple):
        pairs = [
            f"{render(k, ascii_only, space, quotes)}{space}:{render(v, ascii_only, space, quotes)}" for k, v in value
        ]
        return "{" + f",{space}".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + f",{space}".join(render(each, ascii_only, space, quotes) for each in value) + "]"
    if quotes and isinstance(value, str):
        return json.dumps(value.replace('"', "\ue000"), ensure_ascii=False).replace("\ue000", "\\u0022")
    return json.dumps(value, ensure_ascii=ascii_only)


@given(
    PAIRS.filter(lambda value: isinstance(value, tuple)),
    st.booleans(),
    st.sampled_from(["", " ", "\n\t"]),
    st.booleans(),
)
def test_duplicates_are_found_in_every_form_of_json(value: Any, ascii_only: bool, space: str, quotes: bool) -> None:
    body = render(value, ascii_only, space, quotes).encode()
    expected = [f'duplicate field "{path}"' for path in duplicate_fields(body)]
    assert [*duplicate_problems(body, orjson.loads(body))] == expected
