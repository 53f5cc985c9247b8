"""What an answer is written as: YAML of refusals, metadata of lists and of one, Tables of what a deletion takes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

MAPS = "/api/v1/namespaces/default/configmaps"
ONE, LIST = (f"application/json;as=PartialObjectMetadata{end};g=meta.k8s.io;v=v1" for end in ("", "List"))


async def make(api: Any, *names: str) -> None:
    for name in names:
        await api.ok("POST", MAPS, {"metadata": {"name": name, "labels": {"some": "label"}}})


@pytest.mark.parametrize("accept", ["application/yaml", "application/yaml, application/json"])
async def test_refusals_are_yaml_for_who_asks_for_it(api: Any, accept: str) -> None:
    answer = await api.send("GET", f"{MAPS}/none", accept=accept)
    assert (answer.status, answer.header("content-type")) == (404, "application/yaml")
    assert yaml.safe_load(answer.body)["message"] == 'configmaps "none" not found'
    answer = await api.send("GET", f"{MAPS}?watch=1", accept=accept)
    assert (answer.status, answer.header("content-type")) == (406, "application/yaml")
    assert "application/json;stream=watch" in yaml.safe_load(answer.body)["message"]


async def test_refusals_are_json_for_who_can_read_nothing(api: Any) -> None:
    answer = await api.send("GET", MAPS, accept="text/html")
    assert (answer.status, answer.header("content-type")) == (406, "application/json")


async def test_metadata_is_asked_for_as_what_it_is(api: Any) -> None:
    await make(api, "a")
    one = await api.refused("GET", MAPS, accept=f"{ONE},application/json")
    assert (
        one["message"]
        == "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    )
    many = await api.refused("GET", f"{MAPS}/a", accept=LIST)
    wanted = "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"
    assert (many["code"], many["reason"], many["message"]) == (406, "NotAcceptable", wanted)
    assert (await api.send("GET", MAPS, accept=LIST)).status == 200
    shown = await api.send("GET", f"{MAPS}/a", accept=ONE.replace("json", "yaml"))
    assert yaml.safe_load(shown.body)["kind"] == "PartialObjectMetadata"


async def test_what_a_deletion_took_is_shown_as_asked(api: Any) -> None:
    await make(api, "a", "b")
    url = f"{MAPS}?labelSelector=some=label"
    table = await api.ok("DELETE", url, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    assert (table["kind"], [row["cells"][0] for row in table["rows"]]) == ("Table", ["a", "b"])
    await make(api, "a")
    shown = await api.ok("DELETE", url, accept=LIST)
    assert (shown["kind"], len(shown["items"])) == ("PartialObjectMetadataList", 1)
    await make(api, "a")
    ended = await api.send("DELETE", f"{MAPS}/a", accept="application/yaml")
    assert yaml.safe_load(ended.body)["status"] == "Success"


@pytest.mark.parametrize(
    ("query", "code"), [("continue=x", 422), ("continue=x&resourceVersion=0", 422), ("limit=1", 200)]
)
async def test_a_watch_has_no_pages(api: Any, query: str, code: int) -> None:
    answer = await api.send("GET", f"{MAPS}?watch=1&{query}")
    assert answer.status == code
    if code == 200:
        await answer.body.aclose()


@pytest.mark.parametrize("path", ["namespaces/default/pods/none", "namespaces/default/services/none", "nodes/none"])
async def test_a_proxy_leads_only_to_what_is_there(api: Any, path: str) -> None:
    assert (await api.refused("GET", f"/api/v1/{path}/proxy"))["code"] == 404
