from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
import pytest

from netsim.api.errors import StatusError, forbidden, not_found
from netsim.api.kinds import EVENTS
from netsim.client.events import record_event
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.http.types import Peer, Request, Response

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "9"},
}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "uid": "u2"}}


class EventApi:
    """Events by path, as an API server keeps them."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.refuse: StatusError | None = None

    async def __call__(self, request: Request) -> Response:
        await asyncio.sleep(0)
        try:
            return Response(200, [], orjson.dumps(self._answer(request)))
        except StatusError as error:
            return Response(error.code, [], orjson.dumps(error.status()))

    def _answer(self, request: Request) -> dict[str, Any]:
        if self.refuse is not None:
            raise self.refuse
        body = orjson.loads(request.body)
        if request.method == "POST":
            self.events[f"{request.path}/{body['metadata']['name']}"] = body
        elif request.path not in self.events:
            raise not_found(EVENTS, request.path.rpartition("/")[2])
        else:
            self.events[request.path].update(body)
        return body


@pytest.fixture
def api() -> EventApi:
    return EventApi()


@pytest.fixture
def client(api: EventApi) -> Client:
    return Client(InProcessTransport(api, Peer(trusted=True)))


async def test_an_event_says_what_happened_to_what(api: EventApi, client: Client) -> None:
    await record_event(client, POD, "Normal", "Scheduled", "assigned", component="default-scheduler", host="h")
    ((path, event),) = api.events.items()
    assert re.fullmatch(r"/api/v1/namespaces/shop/events/web\.[0-9a-f]+", path)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "shop",
        "name": "web",
        "uid": "u1",
        "resourceVersion": "9",
    }
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Normal", "Scheduled", "assigned", 1)
    assert event["source"] == {"component": "default-scheduler", "host": "h"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["firstTimestamp"])
    assert event["firstTimestamp"] == event["lastTimestamp"]


async def test_events_of_cluster_scoped_objects_live_in_default(api: EventApi, client: Client) -> None:
    await record_event(client, NODE, "Normal", "Starting", "x", component="kubelet")
    assert next(iter(api.events)).startswith("/api/v1/namespaces/default/events/node-1.")


async def test_repeats_count_up_and_others_do_not(api: EventApi, client: Client) -> None:
    for _ in range(3):
        await record_event(client, POD, "Warning", "BackOff", "again", component="kubelet")
    await record_event(client, POD, "Warning", "BackOff", "another message", component="kubelet")
    await record_event(client, NODE, "Warning", "BackOff", "again", component="kubelet")
    assert sorted(event["count"] for event in api.events.values()) == [1, 1, 3]


async def test_repeats_at_once_make_one_event(api: EventApi, client: Client) -> None:
    same = (record_event(client, POD, "Warning", "BackOff", "again", component="kubelet") for _ in range(5))
    await asyncio.gather(*same)
    assert [event["count"] for event in api.events.values()] == [5]


async def test_an_expired_event_is_made_anew(api: EventApi, client: Client) -> None:
    await record_event(client, POD, "Normal", "Pulled", "x", component="kubelet")
    api.events.clear()
    await record_event(client, POD, "Normal", "Pulled", "x", component="kubelet")
    assert [event["count"] for event in api.events.values()] == [1]


async def test_a_refused_event_is_logged_and_stops_nothing(
    api: EventApi, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse = forbidden(EVENTS, "", "no")
    await record_event(client, POD, "Normal", "Pulled", "x", component="kubelet")
    assert "Pulled for web not recorded" in caplog.text
    api.refuse = None
    await record_event(client, POD, "Normal", "Pulled", "x", component="kubelet")
    assert len(api.events) == 1


async def test_an_event_may_be_about_a_part(api: EventApi, client: Client) -> None:
    for name in ("a", "b", "a"):
        part = f"spec.containers{{{name}}}"
        await record_event(client, POD, "Normal", "Pulled", "x", component="kubelet", field_path=part)
    found = {event["involvedObject"]["fieldPath"]: event["count"] for event in api.events.values()}
    assert found == {"spec.containers{a}": 2, "spec.containers{b}": 1}


async def test_too_many_events_are_not_sent_but_counted(api: EventApi, client: Client) -> None:
    for _ in range(30):
        await record_event(client, POD, "Warning", "BackOff", "again", component="kubelet")
    assert [event["count"] for event in api.events.values()] == [25]


async def test_events_with_an_action_have_the_form_of_events_k8s_io(api: EventApi, client: Client) -> None:
    """That of the scheduler; the first repeat makes a series of it."""
    who = {"component": "default-scheduler", "host": "default-scheduler-m", "action": "Scheduling"}
    await record_event(client, POD, "Warning", "FailedScheduling", "no", **who)
    (event,) = api.events.values()
    assert (event["action"], event["reportingComponent"]) == ("Scheduling", "default-scheduler")
    assert (event["reportingInstance"], event["source"]) == ("default-scheduler-m", {})
    assert (event["firstTimestamp"], event["lastTimestamp"]) == (None, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["eventTime"])
    assert not {"count", "series"} & event.keys()
    await record_event(client, POD, "Warning", "FailedScheduling", "no", **who)
    assert event["series"]["count"] == 2 and event["series"]["lastObservedTime"] >= event["eventTime"]
    assert "count" not in event and event["lastTimestamp"] is None


async def test_combined_events_tell_of_their_component_in_the_source_only(api: EventApi, client: Client) -> None:
    for number in range(10):
        await record_event(client, POD, "Normal", "Created", f"pod {number}", component="replicaset-controller")
    told = {event["message"]: (event["reportingComponent"], event["source"]) for event in api.events.values()}
    source = {"component": "replicaset-controller"}
    assert told["pod 0"] == ("replicaset-controller", source)
    assert told["(combined from similar events): pod 9"] == ("", source)


async def test_an_action_is_told_anew_for_every_version_of_the_object(api: EventApi, client: Client) -> None:
    """As kube-scheduler's: whatever the message, and from the third time on counted without a write each."""
    who = {"component": "default-scheduler", "host": "h", "action": "Scheduling"}
    for message in ("no nodes", "no room", "no room"):
        await record_event(client, POD, "Warning", "FailedScheduling", message, **who)
    (first,) = api.events.values()
    assert (first["message"], first["series"]["count"]) == ("no nodes", 2)
    changed = {**POD, "metadata": {**POD["metadata"], "resourceVersion": "10"}}
    await record_event(client, changed, "Warning", "FailedScheduling", "no room", **who)
    assert [event["message"] for event in api.events.values()] == ["no nodes", "no room"]
