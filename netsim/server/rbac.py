"""The RBAC evaluator: users, rules and bindings to allowed or not (pure; KEP-less, rbac.authorization.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from netsim.api.kinds import Obj
from netsim.api.selectors import LabelSelector, SelectorError, label_selector_of

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class User:
    """Who asks: what authentication found."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False, compare=False)


EVERYTHING: list[Obj] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]
"""The PolicyRules of cluster-admin."""


class Attributes(NamedTuple):
    """What is asked: a resource request, or a path when `resource` is empty."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One PolicyRule."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()

    def allows(self, asked: Attributes) -> bool:
        """Whether this rule covers the request."""
        if "*" not in self.verbs and asked.verb not in self.verbs:
            return False
        return self._resource(asked) if asked.resource else any(_path_matches(p, asked.path) for p in self.paths)

    def _resource(self, asked: Attributes) -> bool:
        if "*" not in self.groups and asked.group not in self.groups:
            return False
        full = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        wild = f"*/{asked.subresource}" if asked.subresource else "*"
        if not self.resources & {"*", full, wild}:
            return False
        return not self.names or asked.name in self.names


def _path_matches(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return pattern == path


def rule_of(policy: Obj) -> Rule:
    """A Rule from a PolicyRule object."""
    return Rule(
        frozenset(policy.get("verbs") or ()),
        frozenset(policy.get("apiGroups") or ()),
        frozenset(policy.get("resources") or ()),
        frozenset(policy.get("resourceNames") or ()),
        tuple(policy.get("nonResourceURLs") or ()),
    )


Subject = tuple[str, str]
"""("User" or "Group", name); ServiceAccounts are users named system:serviceaccount:NAMESPACE:NAME."""


def _subject(subject: Obj, namespace: str) -> Subject:
    if subject.get("kind") == "ServiceAccount":
        return ("User", f"{SERVICE_ACCOUNT_PREFIX}{subject.get('namespace') or namespace}:{subject.get('name', '')}")
    return (str(subject.get("kind", "")), str(subject.get("name", "")))


def _meta(obj: Obj, key: str) -> str:
    return str((obj.get("metadata") or {}).get(key, ""))


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything bound, by subject: `(namespace or "" for the whole cluster, rules)` pairs."""

    grants: Mapping[Subject, tuple[tuple[str, tuple[Rule, ...]], ...]]

    def rules_for(self, user: User, namespace: str = "") -> Iterator[Rule]:
        """The user's rules which hold in `namespace` ("" = only the cluster-wide ones)."""
        for subject in (("User", user.name), *(("Group", group) for group in user.groups)):
            for scope, rules in self.grants.get(subject, ()):
                if not scope or scope == namespace:
                    yield from rules

    def allows(self, user: User, asked: Attributes) -> bool:
        """The decision: is there a rule which covers the request?"""
        if "system:masters" in user.groups:
            return True
        return any(rule.allows(asked) for rule in self.rules_for(user, asked.namespace))

    def allows_any_name(self, user: User, asked: Attributes) -> bool:
        """Whether the request is allowed whatever object it names: by a rule without names."""
        if "system:masters" in user.groups:
            return True
        return any(not rule.names and rule.allows(asked) for rule in self.rules_for(user, asked.namespace))


def compile_policy(
    cluster_roles: Iterable[Obj], cluster_bindings: Iterable[Obj], roles: Iterable[Obj], bindings: Iterable[Obj]
) -> Policy:
    """A Policy from the four kinds of objects; bindings to roles that are missing grant nothing."""
    known: dict[tuple[str, str], tuple[Rule, ...]] = {}
    for role in cluster_roles:
        known["", _meta(role, "name")] = tuple(rule_of(policy) for policy in role.get("rules") or ())
    for role in roles:
        known[_meta(role, "namespace"), _meta(role, "name")] = tuple(rule_of(p) for p in role.get("rules") or ())
    grants: dict[Subject, list[tuple[str, tuple[Rule, ...]]]] = {}
    for binding in [*cluster_bindings, *bindings]:
        scope = _meta(binding, "namespace")
        reference = binding.get("roleRef") or {}
        home = scope if reference.get("kind") == "Role" else ""
        rules = known.get((home, str(reference.get("name", ""))), ())
        for subject in binding.get("subjects") or ():
            grants.setdefault(_subject(subject, scope), []).append((scope, rules))
    return Policy({subject: tuple(granted) for subject, granted in grants.items()})


def aggregate_rules(role: Obj, cluster_roles: Iterable[Obj]) -> list[Obj]:
    """The rules of an aggregated ClusterRole: those of every other one whose labels match its aggregationRule."""
    wanted = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    selectors = list(_selectors(wanted))
    own, rules = _meta(role, "name"), list[Obj]()
    for other in sorted(cluster_roles, key=lambda item: _meta(item, "name")):
        labels = (other.get("metadata") or {}).get("labels") or {}
        if _meta(other, "name") != own and any(selector.matches(labels) for selector in selectors):
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


def _selectors(wanted: Iterable[Obj]) -> Iterator[LabelSelector]:
    """Those that are selectors: one of another version's operators must not keep all roles from being read."""
    for selector in wanted:
        with suppress(SelectorError):  # it selects nothing
            yield label_selector_of(selector)


def denial(user: User, asked: Attributes) -> str:
    """Why not, as Kubernetes words it after "… is forbidden: "."""
    if not asked.resource:
        return f'User "{user.name}" cannot {asked.verb} path "{asked.path}"'
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    scope = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    return f'User "{user.name}" cannot {asked.verb} resource "{resource}" in API group "{asked.group}" {scope}'


def uncovered(rules: Iterable[Obj], owned: Iterable[Rule]) -> list[Obj]:
    """Of the PolicyRules about to be granted, those that `owned` does not cover entirely (the escalation check).

    A rule is split to single (verb, group, resource, name) or (verb, path) requests, each of which must be allowed.
    """
    held = list(owned)
    return [policy for policy in rules if not all(any(_covers(r, piece) for r in held) for piece in _pieces(policy))]


def quoted(values: Iterable[str]) -> str:
    """A list of strings as error messages show it: ["a" "b"]."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def compact(policy: Obj) -> str:
    """A PolicyRule as the escalation check's message shows it: {APIGroups:[""], Resources:["pods"], Verbs:["get"]}."""
    shown = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("ResourceNames", "resourceNames"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("Verbs", "verbs"),
    )
    parts = [f"{name}:{quoted(policy[key])}" for name, key in shown if policy.get(key)]
    return "{" + ", ".join(parts) + "}"


def _pieces(policy: Obj) -> Iterator[Attributes]:
    for verb in policy.get("verbs") or ():
        for path in policy.get("nonResourceURLs") or ():
            yield Attributes(verb, path=path)
        for group in policy.get("apiGroups") or ():
            for resource in policy.get("resources") or ():
                plural, _, sub = resource.partition("/")
                for name in policy.get("resourceNames") or ("",):
                    yield Attributes(verb, group, plural, sub, name=name)


def _covers(rule: Rule, piece: Attributes) -> bool:
    """Whether a rule holds what is granted; one with names, be it the empty name, never holds all of a resource."""
    return rule.allows(piece) and (bool(piece.name) or not rule.names)
