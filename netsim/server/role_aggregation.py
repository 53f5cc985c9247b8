"""The rules of aggregated ClusterRoles, written into them for people to see (Kubernetes' clusterrole-aggregation).

Authorisation aggregates by itself (authz): what is written here never lags behind what is allowed.
"""

from __future__ import annotations

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.server import lifecycle
from netsim.server.authn import SERVER
from netsim.server.core import Core
from netsim.server.rbac import aggregate_rules


async def aggregate_roles(core: Core) -> None:
    """Bring `rules` of every ClusterRole with an aggregationRule up to date."""
    roles = await core.objects(kinds.CLUSTER_ROLES)
    for role in roles:
        if role.get("aggregationRule") and aggregate_rules(role, roles) != (role.get("rules") or []):
            await _write(core, role["metadata"]["name"], aggregate_rules(role, roles))


async def _write(core: Core, name: str, rules: list[Obj]) -> None:
    def change(old: Obj) -> Obj:
        return {**old, "rules": rules} if old.get("aggregationRule") else old

    try:
        await lifecycle.update_object(core, kinds.CLUSTER_ROLES, "", name, change, SERVER)
    except StatusError as error:
        if error.code != 404:  # it went meanwhile
            raise
