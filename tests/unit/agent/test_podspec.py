"""Small readings of a Pod."""

from __future__ import annotations

import pytest

from netsim.agent.podspec import is_selected, will_restart

POD = {"metadata": {"namespace": "shop", "name": "web", "labels": {"app": "web", "tier": "front"}}}


@pytest.mark.parametrize(
    ("namespace", "selector", "selected"),
    [
        ("shop", {"app": "web"}, True),
        ("shop", {"app": "web", "tier": "back"}, False),
        ("other", {"app": "web"}, False),
        ("shop", None, False),
        ("shop", {}, False),
    ],
)
def test_a_pod_is_selected_by_a_service_of_its_namespace(namespace: str, selector: dict[str, str] | None, selected):
    service = {"metadata": {"namespace": namespace, "name": "s"}, "spec": {"selector": selector}}
    assert is_selected(POD, [service]) is selected


ON_42 = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}


@pytest.mark.parametrize(
    ("field", "own", "policy", "after", "wanted"),
    [
        ("containers", {}, "Always", 0, True),
        ("containers", {}, "OnFailure", 0, False),
        ("containers", {}, "OnFailure", 1, True),
        ("containers", {}, "Never", 1, False),
        ("containers", {"restartPolicy": "OnFailure"}, "Never", 1, True),
        ("containers", {"restartPolicy": "Never"}, "Always", 1, False),
        ("initContainers", {}, "Always", 0, False),
        ("initContainers", {}, "Always", 1, True),
        ("initContainers", {"restartPolicy": "Always"}, "Never", 0, True),
        ("ephemeralContainers", {}, "Always", 1, False),
        ("containers", {"restartPolicy": "Never", "restartPolicyRules": [ON_42]}, "Always", 42, True),
        ("containers", {"restartPolicy": "Never", "restartPolicyRules": [ON_42]}, "Always", 1, False),
    ],
)
def test_what_is_started_again(pod, container, field: str, own, policy: str, after: int, wanted: bool):
    spec = {"name": "c", "image": "nginx", **own}
    made = pod({"name": "other", "image": "nginx"}, restartPolicy=policy)
    made["spec"][field] = [spec]
    assert will_restart(spec, made, container(code=after)) is wanted
