from __future__ import annotations

from typing import Any

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


async def test_an_aggregated_role_shows_its_rules(api: Any) -> None:
    rule = {"apiGroups": ["x.io"], "resources": ["foos"], "verbs": ["get"]}
    selectors = [{"matchLabels": {"agg": "yes"}}]
    made = await api.post(ROLES, {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": selectors}})
    follow = f"{ROLES}?watch=1&fieldSelector=metadata.name=all&resourceVersion="
    await api.post(ROLES, {"metadata": {"name": "part", "labels": {"agg": "yes"}}, "rules": [rule]})
    shown = (await api.watch(follow + made["metadata"]["resourceVersion"], 1))[0]["object"]
    assert shown["rules"] == [rule]
    await api.ok("DELETE", f"{ROLES}/part")
    gone = (await api.watch(follow + shown["metadata"]["resourceVersion"], 1))[0]["object"]
    assert not gone.get("rules")
