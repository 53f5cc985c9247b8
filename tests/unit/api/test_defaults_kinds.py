"""Defaults of the kinds beside pods and Services, as a real server fills them in."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.kinds import Kind

POD = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
RETAINED = {"whenDeleted": "Retain", "whenScaled": "Retain"}
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}


def spec(kind: Kind, **given: Any) -> dict[str, Any]:
    """A defaulted spec without its pod template."""
    found = set_defaults(kind, {"metadata": {"name": "n"}, "spec": given})["spec"]
    return {key: value for key, value in found.items() if key != "template"}


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (
            kinds.STATEFUL_SETS, {},
            {
                "replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady", "serviceName": "",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": RETAINED,
            },
        ),
        (
            kinds.STATEFUL_SETS, {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}},
            {
                "replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady", "serviceName": "",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": RETAINED,
            },
        ),
        (
            kinds.DAEMON_SETS, {},
            {
                "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            },
        ),
        (
            kinds.DAEMON_SETS, {"updateStrategy": {"type": "OnDelete"}},
            {"revisionHistoryLimit": 10, "updateStrategy": {"type": "OnDelete"}},
        ),
        (
            kinds.JOBS, {},
            {
                "backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "manualSelector": False,
                "parallelism": 1, "podReplacementPolicy": "TerminatingOrFailed", "suspend": False,
            },
        ),
        (
            kinds.JOBS, {"parallelism": 3, "backoffLimitPerIndex": 1, "podFailurePolicy": {"rules": []}},
            {
                "backoffLimit": 2147483647, "backoffLimitPerIndex": 1, "completionMode": "NonIndexed",
                "manualSelector": False, "parallelism": 3, "podFailurePolicy": {"rules": None},
                "podReplacementPolicy": "Failed", "suspend": False,
            },
        ),
        (kinds.HORIZONTAL_POD_AUTOSCALERS, {"maxReplicas": 3}, {"minReplicas": 1, "maxReplicas": 3, "metrics": [CPU]}),
        (kinds.PERSISTENT_VOLUMES, {}, {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}),
        (kinds.PERSISTENT_VOLUME_CLAIMS, {}, {"volumeMode": "Filesystem"}),
        (kinds.NETWORK_POLICIES, {}, {"podSelector": {}, "policyTypes": ["Ingress"]}),
        (
            kinds.NETWORK_POLICIES, {"egress": [{"ports": [{"port": 53}]}]},
            {
                "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
                "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
            },
        ),
        (
            kinds.CSI_DRIVERS, {},
            {
                "attachRequired": True, "podInfoOnMount": False, "storageCapacity": False, "requiresRepublish": False,
                "seLinuxMount": False, "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "volumeLifecycleModes": ["Persistent"],
            },
        ),
        (kinds.POD_DISRUPTION_BUDGETS, {"minAvailable": 1}, {"minAvailable": 1}),
    ],
)  # fmt: skip
def test_specs(kind: Kind, given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert spec(kind, **given) == expected


def test_a_service_account_keeps_only_the_names_of_secrets() -> None:
    account = {"metadata": {"name": "a"}, "secrets": [{"kind": "Secret", "name": "b", "namespace": "x"}]}
    assert set_defaults(kinds.SERVICE_ACCOUNTS, account)["secrets"] == [{"name": "b"}]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (kinds.STATEFUL_SETS, {"replicas": 0, "availableReplicas": 0}),
        (
            kinds.DAEMON_SETS,
            {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0},
        ),
        (kinds.REPLICATION_CONTROLLERS, {"replicas": 0}),
        (kinds.JOBS, {}),
        (kinds.PERSISTENT_VOLUMES, {"phase": "Pending"}),
        (kinds.PERSISTENT_VOLUME_CLAIMS, {"phase": "Pending"}),
        (kinds.INGRESSES, {"loadBalancer": {}}),
        (
            kinds.POD_DISRUPTION_BUDGETS,
            {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
        ),
    ],
)
def test_first_status(kind: Kind, expected: dict[str, Any]) -> None:
    assert set_defaults(kind, {"metadata": {"name": "n"}})["status"] == expected


def test_what_types_always_write_is_there_though_nobody_says_it() -> None:
    event = set_defaults(kinds.EVENTS, {"metadata": {"name": "e"}, "involvedObject": {"name": "p"}})
    assert {key: event[key] for key in ("eventTime", "firstTimestamp", "lastTimestamp")} == dict.fromkeys(
        ("eventTime", "firstTimestamp", "lastTimestamp")
    )
    assert (event["source"], event["reportingComponent"], event["reportingInstance"]) == ({}, "", "")
    assert set_defaults(kinds.ROLES, {"metadata": {"name": "r"}})["rules"] is None
    node = set_defaults(kinds.NODES, {"metadata": {"name": "n"}, "status": {"nodeInfo": {"osImage": "Debian"}}})
    assert node["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}}
    assert (node["status"]["nodeInfo"]["osImage"], node["status"]["nodeInfo"]["kubeletVersion"]) == ("Debian", "")


def test_labels_and_selectors_from_templates() -> None:
    controller = set_defaults(kinds.REPLICATION_CONTROLLERS, {"metadata": {"name": "r"}, "spec": {"template": POD}})
    assert controller["spec"]["selector"] == controller["metadata"]["labels"] == {"a": "b"}
    assert controller["spec"]["template"]["spec"]["restartPolicy"] == "Always"
    job = set_defaults(kinds.JOBS, {"metadata": {"name": "j"}, "spec": {"template": POD}})
    assert job["metadata"]["labels"] == {"a": "b"}
    own = set_defaults(kinds.JOBS, {"metadata": {"name": "j", "labels": {"x": "y"}}, "spec": {"template": POD}})
    assert own["metadata"]["labels"] == {"x": "y"}


def test_cron_jobs_default_little_within_their_job_template() -> None:
    found = spec(kinds.CRON_JOBS, schedule="* * * * *", jobTemplate={"spec": {"template": POD}})
    job = found.pop("jobTemplate")["spec"]
    assert found == {
        "schedule": "* * * * *", "concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }  # fmt: skip
    assert list(job) == ["template"] and job["template"]["spec"]["dnsPolicy"] == "ClusterFirst"


def test_claim_templates_are_claims() -> None:
    found = spec(kinds.STATEFUL_SETS, volumeClaimTemplates=[{"metadata": {"name": "v"}, "spec": {}}])
    assert found["volumeClaimTemplates"] == [
        {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "v"},
            "spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"},
        }
    ]  # fmt: skip


def test_behavior_is_completed_where_it_is_given() -> None:
    behavior = spec(kinds.HORIZONTAL_POD_AUTOSCALERS, maxReplicas=3, behavior={})["behavior"]
    hundred = {"type": "Percent", "value": 100, "periodSeconds": 15}
    four = {"type": "Pods", "value": 4, "periodSeconds": 15}
    assert behavior == {
        "scaleUp": {"selectPolicy": "Max", "stabilizationWindowSeconds": 0, "policies": [four, hundred]},
        "scaleDown": {"selectPolicy": "Max", "policies": [hundred]},
    }


def test_limits_of_containers() -> None:
    given = {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Mi"}, "default": {"x.y/z": "1"}}
    (item,) = spec(kinds.LIMIT_RANGES, limits=[given])["limits"]
    assert item["default"] == {"cpu": "2", "x.y/z": "1"}
    assert item["defaultRequest"] == {"cpu": "2", "x.y/z": "1", "memory": "1Mi"}
    (pods,) = spec(kinds.LIMIT_RANGES, limits=[{"type": "Pod", "max": {"cpu": "2"}}])["limits"]
    assert pods == {"type": "Pod", "max": {"cpu": "2"}}


def test_classes() -> None:
    made = set_defaults(kinds.STORAGE_CLASSES, {"metadata": {"name": "s"}, "provisioner": "x"})
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    assert (
        set_defaults(kinds.PRIORITY_CLASSES, {"metadata": {"name": "p"}})["preemptionPolicy"] == "PreemptLowerPriority"
    )
    parameters = {"kind": "K", "name": "n"}
    shown = spec(kinds.INGRESS_CLASSES, controller="a/b", parameters=parameters)["parameters"]
    assert shown == {**parameters, "scope": "Cluster"}
