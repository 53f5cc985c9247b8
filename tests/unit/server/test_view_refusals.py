"""Refusals of objects that are stored under the name of another resource."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import errors, kinds
from netsim.api.errors import StatusError
from netsim.server.views import shown_refusal

EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_events_in_the_newer_form_are_missed_by_its_name(api: Any, method: str) -> None:
    patch = {"body": {}, "content_type": "application/merge-patch+json"} if method == "PATCH" else {}
    answer = await api.refused(method, f"{EVENTS}/none", **patch)
    assert answer["message"] == 'events.events.k8s.io "none" not found'
    assert answer["details"] == {"name": "none", "group": "events.k8s.io", "kind": "events"}
    answer = await api.refused(method, "/api/v1/namespaces/default/events/none", **patch)
    assert (answer["message"], answer["details"]) == ('events "none" not found', {"name": "none", "kind": "events"})


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (errors.already_exists(kinds.EVENTS, "e"), 'events.events.k8s.io "e" already exists'),
        (errors.invalid(kinds.EVENTS, "e", []), 'Event "e" is invalid: []'),
        (errors.not_found(kinds.NAMESPACES, "events"), 'namespaces "events" not found'),
        (errors.unavailable("events"), "events"),
    ],
)
def test_only_the_resource_is_told_by_another_name(refusal: StatusError, message: str) -> None:
    assert shown_refusal(kinds.EVENTS_V1, refusal).message == message
    assert shown_refusal(kinds.EVENTS, refusal) is refusal
