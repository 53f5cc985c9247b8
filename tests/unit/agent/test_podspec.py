"""Small readings of a Pod."""

from __future__ import annotations

import pytest

from netsim.agent.podspec import is_selected

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
