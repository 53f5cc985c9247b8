"""Writes that have to say the version they are of, names that are on their way out, and since when a volume is so."""

from __future__ import annotations

import json
from typing import Any

from netsim.http.types import Peer

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


async def test_a_put_makes_what_is_missing_of_some_kinds(api: Any) -> None:
    services, ports = "/api/v1/namespaces/default/services", [{"port": 80}]
    body = {"metadata": {"name": "s", "resourceVersion": "7"}, "spec": {"ports": ports}}
    answer = await api.send("PUT", f"{services}/s", body)
    assert answer.status == 201
    made = json.loads(answer.body)
    assert made["spec"]["clusterIP"] and made["metadata"]["managedFields"][0]["operation"] == "Update"
    assert (await api.send("PUT", f"{services}/s", made)).status == 200
    assert (await api.send("PUT", f"{LEASES}/none", {"metadata": {"name": "none"}, "spec": {}})).status == 201
    answer = await api.refused(
        "PUT", f"{services}/t", {"metadata": {"name": "t", "uid": "u"}, "spec": {"ports": ports}}
    )
    assert (answer["code"], answer["reason"]) == (409, "Conflict")
    assert answer["message"].endswith("UID in precondition: u, UID in object meta: ")
    await api.ok("PUT", f"{services}/t?dryRun=All", {"metadata": {"name": "t"}, "spec": {"ports": ports}})
    assert (await api.refused("GET", f"{services}/t"))["code"] == 404
    assert (await api.refused("PUT", f"{services}/t/status", {"metadata": {"name": "t"}}))["code"] == 404
    maps = "/api/v1/namespaces/default/configmaps/none"
    assert (await api.refused("PUT", maps, {"metadata": {"name": "none"}}))["code"] == 404


async def test_a_put_that_would_make_something_needs_the_right_to(api: Any) -> None:
    rules = [{"apiGroups": [""], "resources": ["endpoints"], "verbs": ["update"]}]
    base = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api.post(f"{base}/roles", {"metadata": {"name": "r"}, "rules": rules})
    subjects = [{"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}]
    role = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    await api.post(f"{base}/rolebindings", {"metadata": {"name": "b"}, "subjects": subjects, "roleRef": role})
    url, body = "/api/v1/namespaces/default/endpoints/e", {"metadata": {"name": "e"}}
    answer = await api.refused("PUT", url, body, peer=Peer(common_name="ann"))
    assert answer["code"] == 403 and 'User "ann" cannot create resource "endpoints"' in answer["message"]
    await api.ok("PUT", url, body)
    await api.ok("PUT", url, body, peer=Peer(common_name="ann"))


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
