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


class Grant(NamedTuple):
    """What a binding gives a subject: rules that hold in `namespace` ("": in the whole cluster)."""

    namespace: str
    rules: tuple[Rule, ...]
    binding: str
    """The binding, its role and the subject, as reviews tell why something is allowed."""
    missing: str = ""
    """The role, in the words of a 404, if there is none of that name."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything bound, by subject."""

    grants: Mapping[Subject, tuple[Grant, ...]]

    def rules_for(self, user: User, namespace: str = "") -> Iterator[Rule]:
        """The user's rules which hold in `namespace` ("" = only the cluster-wide ones)."""
        for grant in self._grants(user, namespace):
            yield from grant.rules

    def _grants(self, user: User, namespace: str) -> Iterator[Grant]:
        for subject in (("User", user.name), *(("Group", group) for group in user.groups)):
            for grant in self.grants.get(subject, ()):
                if not grant.namespace or grant.namespace == namespace:
                    yield grant

    def reason(self, user: User, asked: Attributes) -> str:
        """The binding by which a request is allowed; "" for members of system:masters, who need none."""
        if "system:masters" in user.groups:
            return ""
        found = (g for g in self._grants(user, asked.namespace) if any(rule.allows(asked) for rule in g.rules))
        return next((grant.binding for grant in found), "")

    def doubts(self, user: User, asked: Attributes) -> str:
        """What kept the user's bindings from being read, as Kubernetes says beside a refusal; "" for nothing."""
        missing = list(dict.fromkeys(g.missing for g in self._grants(user, asked.namespace) if g.missing))
        told = ", ".join(missing)
        return f"RBAC: [{told}]" if len(missing) > 1 else f"RBAC: {told}" if told else ""

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
    grants: dict[Subject, list[Grant]] = {}
    for binding in [*cluster_bindings, *bindings]:
        scope = _meta(binding, "namespace")
        reference = binding.get("roleRef") or {}
        home = scope if reference.get("kind") == "Role" else ""
        name = str(reference.get("name", ""))
        missing = "" if (home, name) in known else f'{_resource(reference)} "{name}" not found'
        for subject in binding.get("subjects") or ():
            grant = Grant(scope, known.get((home, name), ()), _told(binding, subject, scope), missing)
            grants.setdefault(_subject(subject, scope), []).append(grant)
    return Policy({subject: tuple(granted) for subject, granted in grants.items()})


def _resource(reference: Obj) -> str:
    """What is referred to, with its group; Kubernetes has it in the singular here."""
    return f"{str(reference.get('kind')).lower()}.rbac.authorization.k8s.io"


def _told(binding: Obj, subject: Obj, scope: str) -> str:
    """A grant in Kubernetes' words: ClusterRoleBinding "b" of ClusterRole "r" to User "u"."""
    reference, name = binding.get("roleRef") or {}, _meta(binding, "name")
    kind, name = ("RoleBinding", f"{name}/{scope}") if scope else ("ClusterRoleBinding", name)
    whom = str(subject.get("name", ""))
    if subject.get("kind") == "ServiceAccount":
        whom = f"{whom}/{subject.get('namespace') or scope}"
    role = f'{reference.get("kind")} "{reference.get("name")}"'
    return f'{kind} "{name}" of {role} to {subject.get("kind")} "{whom}"'


def aggregate_rules(role: Obj, cluster_roles: Iterable[Obj]) -> list[Obj]:
    """The rules of an aggregated ClusterRole: those of every other one whose labels match its aggregationRule. Where
    that one is aggregated too, as `view` is in `edit`, they are what it comes to, whatever is written in it."""
    others = sorted(cluster_roles, key=lambda item: _meta(item, "name"))
    reached, rules, within = {_meta(role, "name")}, list[Obj](), [iter(_parts(role, others))]
    while within:
        other = next(within[-1], None)
        if other is None:
            within.pop()
        elif _meta(other, "name") not in reached:
            reached.add(_meta(other, "name"))
            if other.get("aggregationRule"):
                within.append(iter(_parts(other, others)))
            else:
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


def _parts(role: Obj, others: list[Obj]) -> list[Obj]:
    """The roles whose labels match an aggregationRule."""
    selectors = list(_selectors((role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()))
    return [
        other
        for other in others
        if any(selector.matches((other.get("metadata") or {}).get("labels") or {}) for selector in selectors)
    ]


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


def missing_rights(rules: Iterable[Obj], owned: Iterable[Rule]) -> list[Obj]:
    """What of the PolicyRules `owned` lacks, as the escalation check tells it: a rule for each resource, sorted."""
    held, missing = list(owned), dict[Attributes, list[str]]()
    for policy in rules:
        for piece in _pieces(policy):
            verbs = missing.setdefault(piece._replace(verb=piece.verb if piece.path else ""), [])
            if piece.verb not in verbs and not any(_covers(rule, piece) for rule in held):
                verbs.append(piece.verb)
    return sorted((_single(piece, verbs) for piece, verbs in missing.items() if verbs), key=_order)


def _single(piece: Attributes, verbs: list[str]) -> Obj:
    if piece.path:
        return {"verbs": verbs, "nonResourceURLs": [piece.path]}
    resource = f"{piece.resource}/{piece.subresource}" if piece.subresource else piece.resource
    found: Obj = {"verbs": verbs, "apiGroups": [piece.group], "resources": [resource]}
    return found | ({"resourceNames": [piece.name]} if piece.name else {})


def _order(policy: Obj) -> list[str]:
    """As texts are ordered in which nothing is []: behind what begins with * or a slash, before letters."""
    fields = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
    return [f"[{' '.join(policy.get(key, ()))}]" for key in fields]


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
