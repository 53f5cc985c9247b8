"""Writes that have to say the version they are of, names that are on their way out, and since when a volume is so."""

from __future__ import annotations

from typing import Any

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
VOLUMES = "/api/v1/persistentvolumes"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"


async def test_a_lease_is_replaced_only_in_a_known_version(api: Any) -> None:
    lease = {"metadata": {"name": "l"}, "spec": {}}
    made = await api.post(LEASES, lease)
    answer = await api.refused("PUT", f"{LEASES}/l", lease)
    assert (answer["code"], answer["reason"]) == (422, "Invalid")
    assert answer["message"].startswith('leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: ')
    assert (answer["details"]["kind"], answer["details"]["group"]) == ("leases", "coordination.k8s.io")
    (cause,) = answer["details"]["causes"]
    assert cause["field"] == "metadata.resourceVersion"
    assert cause["message"] == "Invalid value: 0: must be specified for an update"
    await api.ok("PUT", f"{LEASES}/l", {**made, "spec": {"holderIdentity": "h"}})
    await api.merge(f"{LEASES}/l", {"spec": {"holderIdentity": "i"}})
    assert (await api.refused("PUT", f"{LEASES}/none", {"metadata": {"name": "none"}}))["code"] == 404


async def test_a_name_that_is_on_its_way_out_is_still_taken(api: Any) -> None:
    body = {"metadata": {"name": "c", "finalizers": ["a.io/b"]}}
    url = "/api/v1/namespaces/default/configmaps"
    await api.post(url, body)
    assert (await api.refused("POST", url, body))["message"] == 'configmaps "c" already exists'
    await api.ok("DELETE", f"{url}/c")
    answer = await api.refused("POST", url, body)
    assert (answer["code"], answer["message"]) == (409, 'object is being deleted: configmaps "c" already exists')


async def test_a_volume_says_since_when_it_is_in_its_phase(api: Any) -> None:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    made = await api.post(VOLUMES, {"metadata": {"name": "v"}, "spec": spec})
    created = made["metadata"]["creationTimestamp"]
    assert made["status"] == {"phase": "Pending", "lastPhaseTransitionTime": created}
    told = {"phase": "Bound", "lastPhaseTransitionTime": "2020-01-01T00:00:00Z"}
    assert (await api.merge(f"{VOLUMES}/v/status", {"status": told}))["status"] == told
    later = await api.merge(f"{VOLUMES}/v/status", {"status": {"phase": "Released"}})
    assert later["status"]["lastPhaseTransitionTime"] >= created


async def test_events_in_the_newer_form_obey_its_rules(api: Any) -> None:
    answer = await api.refused("POST", EVENTS, {"metadata": {"name": "e"}, "regarding": {"namespace": "default"}})
    assert answer["message"].startswith(
        'Event "e" is invalid: [eventTime: Required value, type: Invalid value: "": has'
    )
    good = {
        "metadata": {"name": "e"}, "regarding": {"namespace": "default", "kind": "Pod", "name": "p"}, "type": "Normal",
        "eventTime": "2020-01-01T00:00:00.000000Z", "reportingController": "a.io/b", "reportingInstance": "i",
        "action": "A", "reason": "R",
    }  # fmt: skip
    made = await api.post(EVENTS, good)
    series = {"count": 2, "lastObservedTime": "2020-01-01T00:00:01.000000Z"}
    await api.ok("PUT", f"{EVENTS}/e", {**made, "series": series})
    answer = await api.refused("PUT", f"{EVENTS}/e", {**made, "action": "B", "series": {"count": 1}})
    fields = [cause["field"] for cause in answer["details"]["causes"]]
    assert fields == ["series.count", "series.lastObservedTime", "action"]


async def test_an_event_with_a_time_of_its_own_says_who_tells_of_it(api: Any) -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {}, "eventTime": "2020-01-01T00:00:00.000000Z", "reason": "R"}
    answer = await api.refused("POST", "/api/v1/namespaces/default/events", event)
    fields = [cause["field"] for cause in answer["details"]["causes"]]
    assert fields == [*["reportingComponent"] * 3, "reportingInstance", "action"]
