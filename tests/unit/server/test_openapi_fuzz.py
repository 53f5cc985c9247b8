"""Requests made from the server's own OpenAPI documents: never a 500, and what was taken can be put back unchanged."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

from netsim.api.kinds import KINDS

JSON = "application/json"
VERSIONS = list(dict.fromkeys(kind.api_version for kind in KINDS))
CASES = 2
LIMITS = settings(
    max_examples=CASES, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def made_cases(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """A few requests (method, path, values) for each operation of a document, the same ones in every run.

    Operations that take the same body and parameters share what is made for them, since making it is what takes long.
    """
    made: dict[Hashable, list[Any]] = {}
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        takes = (
            *sorted(each.name for each in operation.query),
            *(json.dumps(each.raw_schema) for each in operation.body),
        )
        if takes not in made:
            made[takes] = drawn(operation.as_strategy())
        yield from ((operation.method, operation.path, case) for case in made[takes])


def drawn(strategy: Any) -> list[Any]:
    """A few values of a strategy, the same ones in every run."""
    found: list[Any] = []

    @seed(1)
    @LIMITS
    @given(value=strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def url_of(path: str, case: Any, number: int) -> str:
    """A case's address, for objects that some of the bodies make, and as one answer rather than a stream."""
    path = path.replace("{namespace}", "default").replace("{name}", f"n{number % 2}").replace("{path}", "a/b")
    query = {name: value for name, value in (case.query or {}).items() if name != "watch"}
    return f"{path}?{urlencode(query, doseq=True)}"


def named(body: Any, number: int) -> Any:
    """Most bodies get a name and namespace that fit their address, so that they reach what lies behind that check."""
    if number % 4 == 3 or not isinstance(body, dict):
        return body
    metadata = body.get("metadata") if isinstance(body.get("metadata"), dict) else {}
    kept = {k: v for k, v in metadata.items() if k in ("labels", "annotations", "ownerReferences")}
    return {**body, "metadata": {**kept, "name": f"n{number % 2}"}}


@pytest.mark.parametrize("version", VERSIONS)
async def test_no_request_of_the_documents_is_a_server_error(api: Any, version: str) -> None:
    document = await api.get(f"/openapi/v3/{'apis' if '/' in version else 'api'}/{version}")
    for number, (method, path, case) in enumerate(made_cases(document)):
        url, body = url_of(path, case, number), case.body if isinstance(case.body, dict | list) else None
        media = JSON if case.media_type in (None, "*/*") else case.media_type
        if media == JSON:
            body = named(body, number)
        response = await api.send(method, url, json.dumps(body).encode(), content_type=media)
        assert response.status < 500 or b"Too large resource" in response.body, f"{url} {body}: {response.body}"
    for kind in KINDS:
        if kind.api_version == version and kind.stored and not kind.view_of:
            await check_written_back(api, kind.path())


async def check_written_back(api: Any, collection: str) -> None:
    """What was taken is listed, and putting it back as it is read changes nothing: defaults stay as they are."""
    for found in (await api.get(collection))["items"]:
        metadata = found["metadata"]
        place = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
        base, _, plural = collection.rpartition("/")
        url = f"{base}/{place}{plural}/{metadata['name']}"
        assert await api.ok("PUT", url, await api.get(url)) == await api.get(url)
        assert (await api.get(url))["metadata"]["resourceVersion"] == metadata["resourceVersion"]
