"""Admission of roles and their bindings: nobody grants what he does not hold himself."""

from __future__ import annotations

from netsim.api import errors, kinds
from netsim.api.kinds import Kind, Obj
from netsim.server import rbac
from netsim.server.core import Core
from netsim.server.rbac import User
from netsim.server.roles import GROUP


async def check_escalation(core: Core, kind: Kind, obj: Obj, user: User) -> None:
    """403 when a role or binding would grant what its author does not hold (unless allowed to escalate or bind)."""
    if "system:masters" in user.groups:
        return
    namespace = obj["metadata"].get("namespace", "")
    policy = await core.authorizer.policy()
    if obj.get("aggregationRule") and rbac.uncovered(rbac.EVERYTHING, policy.rules_for(user)):
        raise errors.forbidden(
            kind, obj["metadata"]["name"], "must have cluster-admin privileges to use an aggregationRule"
        )
    if kind in (kinds.ROLES, kinds.CLUSTER_ROLES):
        granted, verb, target = obj.get("rules") or [], "escalate", obj["metadata"]["name"]
    else:
        granted, verb, target = (
            await _bound_rules(core, kind, obj),
            "bind",
            str((obj.get("roleRef") or {}).get("name", "")),
        )
    resource = kind.plural if verb == "escalate" else _role_plural(obj)
    if policy.allows(user, rbac.Attributes(verb, GROUP, resource, namespace=namespace, name=target)):
        return
    extra = rbac.missing_rights(granted, policy.rules_for(user, namespace))
    if extra:
        why = (
            f'user "{user.name}" (groups={rbac.quoted(user.groups)}) is attempting to grant RBAC permissions not '
            "currently held:\n" + "\n".join(map(rbac.compact, extra))
        )
        raise errors.forbidden(kind, obj["metadata"]["name"], why)


def _role_plural(binding: Obj) -> str:
    return "roles" if (binding.get("roleRef") or {}).get("kind") == "Role" else "clusterroles"


async def _bound_rules(core: Core, binding_kind: Kind, binding: Obj) -> list[Obj]:
    reference = binding.get("roleRef") or {}
    kind = kinds.ROLES if reference.get("kind") == "Role" else kinds.CLUSTER_ROLES
    namespace = binding["metadata"].get("namespace", "") if kind is kinds.ROLES else ""
    role = await core.find(kind, namespace, str(reference.get("name", "")))
    if role is None:  # in the words of Kubernetes, which names the binding's resource
        raise errors.not_found(binding_kind, str(reference.get("name", "")))
    if role.get("aggregationRule"):
        return rbac.aggregate_rules(role, await core.objects(kinds.CLUSTER_ROLES))
    return list(role.get("rules") or [])
