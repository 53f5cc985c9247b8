"""The authorizer: RBAC over the stored roles and bindings, with the restriction of nodes to what is theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from netsim.api import errors, kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Kind, Obj
from netsim.server.codec import Decoder, prefix_of
from netsim.server.rbac import Attributes, Policy, User, aggregate_rules, compile_policy, denial
from netsim.server.requests import Target
from netsim.store.types import Store

PUBLIC_CA = "kube-root-ca.crt"
_NAMED_BY_PODS = {("", kind.plural): kind for kind in (kinds.SECRETS, kinds.CONFIG_MAPS)}
_REFERENCES = {
    "secret": "Secret", "secretRef": "Secret", "secretKeyRef": "Secret", "imagePullSecrets": "Secret",
    "configMap": "ConfigMap", "configMapRef": "ConfigMap", "configMapKeyRef": "ConfigMap",
}  # fmt: skip
_CACHE = 4096
_BEFORE_NAME = Attributes._fields.index("name")
MIRROR = "kubernetes.io/config.mirror"
NODE_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"


def attributes_of(target: Target) -> Attributes:
    """A target as the question for RBAC."""
    if not target.is_resource:
        return Attributes(target.verb, path=target.path)
    return Attributes(
        target.verb, target.group, target.resource, target.subresource, target.namespace, target.name, target.path
    )


class Authorizer:
    """Decisions from the store's state. `invalidate` must be called after every change of a role or binding."""

    def __init__(self, store: Store, decoder: Decoder) -> None:
        self._store, self._decoder = store, decoder
        self._policy: Policy | None = None
        self._generation = 0
        self._decisions: dict[tuple[User, tuple[str, ...]], bool] = {}
        self._lock = asyncio.Lock()

    def invalidate(self) -> None:
        self._generation += 1
        self._policy = None
        self._decisions.clear()

    async def policy(self) -> Policy:
        """The compiled policy, built anew after a change."""
        if self._policy is not None:
            return self._policy
        async with self._lock:
            while True:
                generation = self._generation
                policy = await self._compile()
                if generation == self._generation:
                    self._policy = policy
                    return policy

    async def _compile(self) -> Policy:
        roles = await self._objects(kinds.CLUSTER_ROLES)
        roles = [
            {**role, "rules": aggregate_rules(role, roles)} if role.get("aggregationRule") else role for role in roles
        ]
        bindings = await self._objects(kinds.CLUSTER_ROLE_BINDINGS)
        return compile_policy(
            roles, bindings, await self._objects(kinds.ROLES), await self._objects(kinds.ROLE_BINDINGS)
        )

    async def _objects(self, kind: Kind) -> list[Obj]:
        return [self._decoder(item) for item in (await self._store.list(prefix_of(kind))).items]

    async def allows(self, user: User, asked: Attributes) -> bool:
        policy = self._policy or await self.policy()
        # Thousands of objects are asked for by name, and hardly a rule has names: one answer does for all of them.
        if asked.resource and self._decide(policy.allows_any_name, user, asked, asked[:_BEFORE_NAME]):
            return True
        return self._decide(policy.allows, user, asked, asked)

    def _decide(
        self, rule: Callable[[User, Attributes], bool], user: User, asked: Attributes, key: tuple[str, ...]
    ) -> bool:
        known = self._decisions.get((user, key))
        if known is None:
            known = rule(user, asked)
            if len(self._decisions) >= _CACHE:
                self._decisions.clear()
            self._decisions[user, key] = known
        return known

    async def check(self, user: User, target: Target) -> None:
        """403 unless the user may; Kubernetes' words."""
        asked = attributes_of(target)
        if not await self.allows(user, asked):
            raise refusal(user, asked, (await self.policy()).doubts(user, asked))
        if not node_name(user):
            return
        problem = node_problem(user, target)
        if problem:
            raise _forbidden(asked, problem)
        problem = await self.node_read_problem(user, asked)
        if problem:
            raise _forbidden(asked, f"{denial(user, asked)}: {problem}")

    async def node_read_problem(self, user: User, asked: Attributes) -> str:
        """Why a node may not read a Secret or ConfigMap, "" for others: it reads those which its pods name (what the
        Node authorizer allows)."""
        node = node_name(user)
        kind = _NAMED_BY_PODS.get((asked.group, asked.resource)) if node and asked.name != PUBLIC_CA else None
        if kind is None:
            return ""
        wanted = (kind.kind, asked.name)
        for item in (await self._store.list(prefix_of(kinds.PODS, asked.namespace))).items:
            spec = self._decoder(item).get("spec") or {}
            if spec.get("nodeName") == node and wanted in named_objects(spec):
                return ""
        return f"no relationship found between node '{node}' and this object"


def refusal(user: User, asked: Attributes, doubts: str = "") -> StatusError:
    """The 403 for a request that RBAC does not cover; `doubts` tells what it could not read."""
    why = denial(user, asked)
    return _forbidden(asked, f"{why}: {doubts}" if doubts else why)


def _forbidden(asked: Attributes, why: str) -> StatusError:
    kind = next((k for k in kinds.KINDS if (k.group, k.plural) == (asked.group, asked.resource)), None)
    if kind is not None:
        return errors.forbidden(kind, asked.name, why)
    if not asked.resource:
        return StatusError(403, "Forbidden", f"forbidden: {why}", {})
    resource = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    subject = f'{resource} "{asked.name}"' if asked.name else resource
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", {k: v for k, v in details.items() if v})


def node_name(user: User) -> str:
    """The node a user is, or ""."""
    if NODE_GROUP not in user.groups or not user.name.startswith(NODE_PREFIX):
        return ""
    return user.name.removeprefix(NODE_PREFIX)


def node_problem(user: User, target: Target) -> str:
    """What a node may not write: other Nodes and other nodes' Leases (NodeRestriction). Which pods are its own is
    checked against the stored pod in `node_pod_problem`."""
    node = node_name(user)
    if not node or target.verb in ("get", "list", "watch") or not target.name:
        return ""
    if target.kind is kinds.NODES and target.name != node:
        return f'node "{node}" is not allowed to modify node "{target.name}"'
    if target.kind is kinds.LEASES and target.name != node:
        return f'node "{node}" is not allowed to modify lease "{target.namespace}/{target.name}"'
    return ""


def named_objects(value: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) of the Secrets and ConfigMaps named anywhere in a part of a pod spec."""
    if isinstance(value, list):
        for item in value:
            yield from named_objects(item)
    elif isinstance(value, dict):
        for field, item in value.items():
            if field in _REFERENCES:
                for reference in item if isinstance(item, list) else [item]:
                    yield _REFERENCES[field], str(reference.get("secretName") or reference.get("name", ""))
            elif isinstance(item, (dict, list)):
                yield from named_objects(item)


def node_creation_problem(user: User, kind: Kind, obj: Obj) -> str:
    """What a node may not create: a Node or Lease of another name, and any pod but the mirror of a static one that runs
    on it; another could borrow any ServiceAccount."""
    node = node_name(user)
    if not node:
        return ""
    if kind in (kinds.NODES, kinds.LEASES) and obj["metadata"].get("name") != node:
        return f'node "{node}" is not allowed to create {kind.singular} "{obj["metadata"].get("name")}"'
    return _node_pod_creation_problem(user, obj) if kind is kinds.PODS else ""


def _node_pod_creation_problem(user: User, pod: Obj) -> str:
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        return f'pod does not have "{MIRROR}" annotation, node "{node_name(user)}" can only create mirror pods'
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName") or next(named_objects(spec), None):
        return "a mirror pod may not name ServiceAccounts, Secrets or ConfigMaps"
    return node_pod_problem(user, pod)


def node_pod_problem(user: User, pod: Obj) -> str:
    """What a node may not do: write a pod that runs elsewhere."""
    node = node_name(user)
    where = (pod.get("spec") or {}).get("nodeName", "")
    if not node or where == node:
        return ""
    return f'node "{node}" can only modify pods with spec.nodeName set to itself'
