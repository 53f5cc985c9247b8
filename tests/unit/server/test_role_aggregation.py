from __future__ import annotations

from typing import Any

from netsim.server.rbac import aggregate_rules

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


def test_roles_that_are_all_made_of_one_another_take_no_longer_than_others() -> None:
    every, rule = [{"matchLabels": {"a": "b"}}], {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    labels = {"a": "b"}
    roles: list[Any] = [
        {"metadata": {"name": f"r{n}", "labels": labels}, "aggregationRule": {"clusterRoleSelectors": every}}
        for n in range(40)
    ]
    assert aggregate_rules(roles[7], [*roles, {"metadata": {"name": "z", "labels": labels}, "rules": [rule]}]) == [rule]
