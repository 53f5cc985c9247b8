"""The default roles kept up to date at every start, as Kubernetes' auto-reconciliation does: what a role or binding
lacks is added, what was added to it stays; the annotation rbac.authorization.kubernetes.io/autoupdate: "false" keeps
one as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import annotations_of, labels_of, name_of, namespace_of
from netsim.server import lifecycle, roles
from netsim.server.authn import SERVER
from netsim.server.core import Core
from netsim.server.deletion import DeleteOptions, delete_object
from netsim.server.ensure import ensure
from netsim.server.rbac import aggregate_rules, rule_of, uncovered

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


async def reconcile_roles(core: Core) -> None:
    """Make or complete all default roles and bindings."""
    plain, aggregated = list[Obj](), list[Obj]()
    for role in roles.cluster_roles():
        (aggregated if role.get("aggregationRule") else plain).append(role)
    await _reconcile_all(core, kinds.CLUSTER_ROLES, plain)
    own = {name_of(role) for role in aggregated}
    stored = [role for role in await core.objects(kinds.CLUSTER_ROLES) if name_of(role) not in own]
    whole = [{**role, "rules": aggregate_rules(role, [*stored, *aggregated])} for role in aggregated]
    await _reconcile_all(core, kinds.CLUSTER_ROLES, whole)
    await _reconcile_all(core, kinds.CLUSTER_ROLE_BINDINGS, roles.cluster_role_bindings())
    for obj in roles.namespaced():
        await _reconcile(core, kinds.ROLES if obj["kind"] == "Role" else kinds.ROLE_BINDINGS, obj)


async def _reconcile_all(core: Core, kind: Kind, wanted: Iterable[Obj]) -> None:
    """All at once, so that the store can write many in one go."""
    await asyncio.gather(*(_reconcile(core, kind, obj) for obj in wanted))


async def _reconcile(core: Core, kind: Kind, wanted: Obj) -> None:
    namespace, name = namespace_of(wanted), name_of(wanted)
    present = await core.find(kind, namespace, name)
    if present is not None and _refers_elsewhere(present, wanted):
        await delete_object(core, kind, namespace, name, DeleteOptions())
        present = None
    if present is None:
        await ensure(core, kind, namespace, wanted)
    elif completed(present, wanted) != present:
        await lifecycle.update_object(core, kind, namespace, name, lambda old: completed(old, wanted), SERVER)


def _protected(present: Obj) -> bool:
    return annotations_of(present).get(AUTOUPDATE) == "false"


def _refers_elsewhere(present: Obj, wanted: Obj) -> bool:
    """A binding cannot be pointed at another role; it is made anew."""
    return "roleRef" in wanted and present.get("roleRef") != wanted["roleRef"] and not _protected(present)


def completed(present: Obj, wanted: Obj) -> Obj:
    """The stored role or binding with what it lacks of the default one."""
    if _protected(present):
        return present
    metadata = dict(present["metadata"])
    metadata["labels"] = {**wanted["metadata"].get("labels", {}), **labels_of(present)}
    metadata["annotations"] = {**wanted["metadata"].get("annotations", {}), **annotations_of(present)}
    new = {**present, "metadata": metadata}
    if "roleRef" in wanted:
        have = list(present.get("subjects") or ())
        return {**new, "subjects": have + [s for s in wanted["subjects"] if not _has(have, s)]}
    have = list(present.get("rules") or ())
    missing = [] if have == wanted["rules"] else uncovered(wanted["rules"], map(rule_of, have))
    return {**new, "rules": have + missing} if missing or "rules" in present else new


def _has(subjects: list[Obj], wanted: Obj) -> bool:
    keys = ("kind", "name", "namespace")
    return any(all((s.get(key) or "") == (wanted.get(key) or "") for key in keys) for s in subjects)
