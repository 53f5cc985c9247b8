"""The RBAC evaluator on the bootstrap policy and on small policies."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.kinds import CLUSTER_ROLES, LEASES, NODES
from netsim.api.validation import validate_create
from netsim.server import roles
from netsim.server.authz import node_pod_problem, node_problem
from netsim.server.rbac import (
    Attributes,
    Policy,
    Rule,
    User,
    aggregate_rules,
    compile_policy,
    denial,
    missing_rights,
    rule_of,
    uncovered,
)  # fmt: skip
from netsim.server.requests import Target


def bootstrap() -> Policy:
    cluster = list(roles.cluster_roles())
    cluster = [
        {**role, "rules": aggregate_rules(role, cluster)} if "aggregationRule" in role else role for role in cluster
    ]
    spaced = list(roles.namespaced())
    extra = [
        {
            "metadata": {"name": name},
            "roleRef": {"kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "User", "name": name}],
        }
        for name in ("view", "edit", "admin")
    ]
    return compile_policy(
        cluster,
        [*roles.cluster_role_bindings(), *extra],
        [obj for obj in spaced if obj["kind"] == "Role"],
        [obj for obj in spaced if obj["kind"] == "RoleBinding"],
    )


POLICY = bootstrap()
ANYBODY = User("system:anonymous", ("system:unauthenticated",))
SOMEBODY = User("someone", ("system:authenticated",))
NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
COREDNS = User("system:serviceaccount:kube-system:coredns", ("system:serviceaccounts", "system:authenticated"))
JOINING = User("system:bootstrap:abcdef", ("system:bootstrappers", "system:authenticated"))


def path(url: str) -> Attributes:
    return Attributes("get", path=url)


def res(
    verb: str, resource: str, group: str = "", sub: str = "", namespace: str = "default", name: str = ""
) -> Attributes:
    return Attributes(verb, group, resource, sub, namespace, name)


@pytest.mark.parametrize(
    ("user", "asked", "allowed"),
    [
        (User("a", ("system:masters",)), res("delete", "anything", "any.group"), True),
        (ANYBODY, path("/healthz"), True),
        (ANYBODY, path("/version"), True),
        (ANYBODY, path("/apis"), False),
        (ANYBODY, res("get", "pods"), False),
        (ANYBODY, res("get", "configmaps", namespace="kube-public", name="cluster-info"), True),
        (ANYBODY, res("get", "configmaps", namespace="kube-public", name="other"), False),
        (ANYBODY, res("get", "configmaps", namespace="default", name="cluster-info"), False),
        (SOMEBODY, path("/apis/apps/v1"), True),
        (SOMEBODY, path("/openapi/v3"), True),
        (SOMEBODY, res("create", "selfsubjectaccessreviews", "authorization.k8s.io"), True),
        (SOMEBODY, res("list", "pods"), False),
        (NODE, res("update", "nodes", sub="status"), True),
        (NODE, res("patch", "pods", sub="status"), True),
        (NODE, res("patch", "pods"), False),
        (NODE, res("create", "serviceaccounts", sub="token"), True),
        (NODE, res("update", "leases", "coordination.k8s.io"), True),
        (NODE, res("delete", "services"), False),
        (COREDNS, res("watch", "endpointslices", "discovery.k8s.io", namespace=""), True),
        (COREDNS, res("list", "secrets", namespace=""), False),
        (JOINING, res("create", "certificatesigningrequests", "certificates.k8s.io"), True),
        (JOINING, res("list", "nodes"), False),
        (User("system:kube-proxy"), res("watch", "services", namespace=""), True),
        (User("system:kube-scheduler"), res("create", "pods", sub="binding"), True),
        (User("system:kube-scheduler"), res("update", "leases", "coordination.k8s.io"), False),
        (User("system:kube-scheduler"), res("update", "leases", "coordination.k8s.io", name="kube-scheduler"), True),
        (User("system:kube-scheduler"), res("list", "storageclasses", "storage.k8s.io", namespace=""), True),
        (User("system:kube-controller-manager"), res("update", "deployments", "apps", "status"), True),
        (User("view"), res("list", "pods"), True),
        (User("view"), res("get", "pods", sub="log"), True),
        (User("view"), res("get", "secrets"), False),
        (User("view"), res("create", "pods", sub="exec"), False),
        (User("edit"), res("get", "secrets"), True),
        (User("edit"), res("create", "pods", sub="exec"), True),
        (User("edit"), res("create", "roles", "rbac.authorization.k8s.io"), False),
        (User("admin"), res("create", "roles", "rbac.authorization.k8s.io"), True),
        (User("admin"), res("delete", "nodes"), False),
    ],
)  # fmt: skip
def test_default_roles(user: User, asked: Attributes, allowed: bool) -> None:
    assert POLICY.allows(user, asked) is allowed


def policy(**fields: Any) -> Rule:
    return rule_of({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], **fields})


@pytest.mark.parametrize(
    ("rule", "asked", "allowed"),
    [
        (policy(resources=["*"]), res("get", "pods", sub="log"), True),
        (policy(resources=["pods"]), res("get", "pods", sub="log"), False),
        (policy(resources=["*/log"]), res("get", "pods", sub="log"), True),
        (policy(resourceNames=["a"]), res("get", "pods", name="a"), True),
        (policy(resourceNames=["a"]), res("get", "pods"), False),
        (policy(apiGroups=["apps"]), res("get", "pods"), False),
        (policy(verbs=["*"]), res("delete", "pods"), True),
        (rule_of({"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}), path("/logs/x/y"), True),
        (rule_of({"verbs": ["get"], "nonResourceURLs": ["/logs"]}), path("/logs/x"), False),
    ],
)
def test_rules(rule: Rule, asked: Attributes, allowed: bool) -> None:
    assert rule.allows(asked) is allowed


def test_role_binding_holds_in_its_namespace_only() -> None:
    role = {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}
    subject = {"kind": "ServiceAccount", "name": "bot"}
    binding = {
        "metadata": {"name": "b", "namespace": "a"}, "subjects": [subject],
        "roleRef": {"kind": "ClusterRole", "name": "r"},
    }  # fmt: skip
    bound = compile_policy([role], [], [], [binding])
    bot = User("system:serviceaccount:a:bot")
    assert bound.allows(bot, res("get", "pods", namespace="a"))
    assert not bound.allows(bot, res("get", "pods", namespace="b"))
    assert not bound.allows(bot, res("get", "pods", namespace=""))


def test_denial_words() -> None:
    assert denial(SOMEBODY, res("get", "deployments", "apps", "scale")) == (
        'User "someone" cannot get resource "deployments/scale" in API group "apps" in the namespace "default"'
    )
    assert denial(ANYBODY, path("/metrics")) == 'User "system:anonymous" cannot get path "/metrics"'


def test_escalation_is_found() -> None:
    wanted = [{"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods"]}]
    held = [policy()]
    assert uncovered(wanted, held) == wanted
    assert uncovered([{**wanted[0], "verbs": ["get"]}], held) == []
    nameless = [policy(resourceNames=[""])]
    assert uncovered([{**wanted[0], "verbs": ["get"]}], nameless) == [{**wanted[0], "verbs": ["get"]}]


def test_nodes_write_only_what_is_theirs() -> None:
    def write(kind: Any, name: str) -> str:
        return node_problem(NODE, Target("update", "/", kind.group, "v1", kind.plural, name=name, kind=kind))

    assert write(NODES, "n1") == "" and write(LEASES, "n1") == ""
    assert write(NODES, "n2") == 'node "n1" is not allowed to modify node "n2"'
    assert write(LEASES, "n2") != ""
    assert node_pod_problem(NODE, {"spec": {"nodeName": "n2"}}) != ""
    assert node_pod_problem(NODE, {"spec": {"nodeName": "n1"}}) == ""
    assert node_pod_problem(SOMEBODY, {"spec": {"nodeName": "n2"}}) == ""


def test_aggregation_by_expressions() -> None:
    def role(name: str, **labels: str) -> Any:
        rules = [{"verbs": ["get"], "apiGroups": [""], "resources": [name]}]
        return {"metadata": {"name": name, "labels": labels}, "rules": rules}

    others = [role("pods", tier="base"), role("secrets", tier="top"), role("nodes", tier="base", hidden="yes")]
    expressions = [
        {"key": "tier", "operator": "In", "values": ["base"]},
        {"key": "hidden", "operator": "DoesNotExist"},
    ]
    wanted = {"matchLabels": {"tier": "base"}, "matchExpressions": expressions}
    whole = {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [wanted]}}
    assert [rule["resources"] for rule in aggregate_rules(whole, others)] == [["pods"]]
    odd = {"matchExpressions": [{"key": "tier", "operator": "Like", "values": ["base"]}]}
    assert aggregate_rules({**whole, "aggregationRule": {"clusterRoleSelectors": [odd]}}, others) == []
    (cause,) = validate_create(CLUSTER_ROLES, {**whole, "aggregationRule": {"clusterRoleSelectors": []}})
    assert cause.field == "aggregationRule.clusterRoleSelectors"
    assert validate_create(CLUSTER_ROLES, {**whole, "aggregationRule": {"clusterRoleSelectors": [odd]}})


@pytest.mark.parametrize(
    ("account", "asked", "allowed"),
    [
        ("deployment-controller", res("create", "replicasets", "apps"), True),
        ("deployment-controller", res("update", "deployments", "apps", "status"), True),
        ("deployment-controller", res("create", "pods"), False),
        ("job-controller", res("create", "pods"), True),
        ("statefulset-controller", res("create", "persistentvolumeclaims"), True),
        ("endpoint-controller", res("create", "endpoints"), True),
        ("node-controller", res("get", "secrets"), False),
        ("attachdetach-controller", res("create", "volumeattachments", "storage.k8s.io", namespace=""), True),
        ("attachdetach-controller", res("delete", "pods"), False),
        ("resource-claim-controller", res("patch", "resourceclaims", "resource.k8s.io", "status"), True),
        ("service-controller", res("patch", "services", sub="status"), True),
        ("service-controller", res("patch", "services"), False),
        ("ttl-controller", res("patch", "nodes", namespace=""), True),
        ("legacy-service-account-token-cleaner", res("delete", "secrets"), True),
        ("token-cleaner", res("delete", "secrets", namespace="kube-system"), True),
        ("token-cleaner", res("delete", "secrets"), False),
        ("bootstrap-signer", res("update", "configmaps", namespace="kube-public", name="cluster-info"), True),
        ("bootstrap-signer", res("update", "configmaps", namespace="kube-public", name="other"), False),
        ("kube-scheduler", res("update", "leases", "coordination.k8s.io", namespace="kube-system"), True),
    ],
)
def test_controllers_roles(account: str, asked: Attributes, allowed: bool) -> None:
    assert POLICY.allows(User(f"system:serviceaccount:kube-system:{account}"), asked) is allowed


def test_nodes_may_provision_before_the_lab_has_its_objects() -> None:
    for verb in ("list", "watch", "create", "patch", "delete"):
        assert POLICY.allows(NODE, res(verb, "persistentvolumes", namespace=""))
    assert POLICY.allows(NODE, res("list", "storageclasses", "storage.k8s.io", namespace=""))
    assert POLICY.allows(NODE, res("watch", "persistentvolumeclaims", namespace=""))


def test_the_escalation_check_tells_what_is_lacking_and_no_more() -> None:
    held = [rule_of(each) for each in ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},)]
    wanted = [
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "nodes"]},
        {"verbs": ["watch"], "apiGroups": [""], "resources": ["nodes"]},
        {"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": ["a"]},
        {"verbs": ["get"], "nonResourceURLs": ["/x"]},
    ]
    assert missing_rights(wanted, held) == [
        {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["nodes"]},
        {"verbs": ["get"], "nonResourceURLs": ["/x"]},
        {"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": ["a"]},
        {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]},
    ]
    assert missing_rights(wanted[:1], [rule_of(wanted[0])]) == []


def test_an_aggregated_role_is_part_of_the_role_that_aggregates_it() -> None:
    def aggregated(name: str, into: str) -> dict[str, Any]:
        labels = {f"to-{into}": "true"} if into else {}
        selectors = [{"matchLabels": {f"to-{name}": "true"}}]
        return {
            "metadata": {"name": name, "labels": labels},
            "aggregationRule": {"clusterRoleSelectors": selectors},
            "rules": [{"verbs": ["stale"]}],
        }

    view, edit, admin = aggregated("view", "edit"), aggregated("edit", "admin"), aggregated("admin", "view")
    own = {"metadata": {"name": "own", "labels": {"to-view": "true"}}, "rules": [{"verbs": ["get"]}]}
    for role in (view, edit, admin):  # in a circle too
        assert aggregate_rules(role, [view, edit, admin, own]) == own["rules"]


def test_a_refusal_tells_of_roles_that_are_missing() -> None:
    def bound(name: str, kind: str, namespace: str = "") -> dict[str, Any]:
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        subjects = [{"kind": "User", "name": "x"}]
        return {"metadata": metadata, "roleRef": {"kind": kind, "name": name}, "subjects": subjects}

    asked = Attributes("get", resource="pods", namespace="ns")
    one = compile_policy([], [], [], [bound("other", "Role", "ns"), bound("far", "Role", "elsewhere")])
    assert one.doubts(User("x"), asked) == 'RBAC: role.rbac.authorization.k8s.io "other" not found'
    assert one.doubts(User("y"), asked) == one.doubts(User("x"), asked._replace(namespace="")) == ""
    two = compile_policy([], [bound("all", "ClusterRole")], [], [bound("other", "Role", "ns")])
    group = "rbac.authorization.k8s.io"
    assert (
        two.doubts(User("x"), asked) == f'RBAC: [clusterrole.{group} "all" not found, role.{group} "other" not found]'
    )
