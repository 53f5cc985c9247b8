"""Admission: what Kubernetes' built-in plugins add to or refuse in new objects.

NamespaceLifecycle, ServiceAccount, DefaultTolerationSeconds and Priority. The deciding functions are pure;
`admit_create` looks up what they need.
"""

from __future__ import annotations

from netsim.api import errors, kinds
from netsim.api.errors import Cause
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import deletion_timestamp
from netsim.server import rbac
from netsim.server.authz import MIRROR, PUBLIC_CA, node_creation_problem
from netsim.server.core import Core
from netsim.server.rbac import User

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
ROOT_CA = PUBLIC_CA
_PROTECTED = ("default", "kube-system", "kube-public", "kube-node-lease")
_PRIORITIES = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_RBAC_GROUP = "rbac.authorization.k8s.io"


async def check_namespace(core: Core, kind: Kind, namespace: str, name: str) -> None:
    """404 for a missing namespace, 403 with NamespaceTerminating for one being deleted."""
    found = await core.find(kinds.NAMESPACES, "", namespace)
    if found is None:
        raise errors.not_found(kinds.NAMESPACES, namespace)
    if deletion_timestamp(found) is None:
        return
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
    raise errors.forbidden(kind, name, why, [cause])


def check_namespace_deletion(kind: Kind, name: str) -> None:
    """403 for the namespaces which the cluster itself needs."""
    if kind is kinds.NAMESPACES and name in _PROTECTED[:3]:
        raise errors.forbidden(kind, name, "this namespace may not be deleted")


async def admit_create(core: Core, kind: Kind, obj: Obj, user: User) -> Obj:
    """The object with everything the plugins add; raises 403 for what they refuse."""
    problem = node_creation_problem(user, kind, obj)
    if problem:
        raise errors.forbidden(kind, obj["metadata"]["name"], problem)
    if kind is kinds.PODS:
        return await _admit_pod(core, obj)
    if kind is kinds.CERTIFICATE_SIGNING_REQUESTS:
        return with_requester(obj, user)
    if kind.group == _RBAC_GROUP:
        await check_escalation(core, kind, obj, user)
    return obj


def with_requester(request: Obj, user: User) -> Obj:
    """A CertificateSigningRequest that says who made it; what the client wrote there is dropped."""
    spec = {k: v for k, v in (request.get("spec") or {}).items() if k not in ("username", "groups", "uid", "extra")}
    spec |= {"username": user.name, "groups": list(user.groups)}
    return {**request, "spec": spec | ({"uid": user.uid} if user.uid else {})}


async def _admit_pod(core: Core, pod: Obj) -> Obj:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    pod = with_priority(with_tolerations(pod))
    account_name = pod["spec"].get("serviceAccountName") or "default"
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        return pod
    account = await core.find(kinds.SERVICE_ACCOUNTS, namespace, account_name)
    if account is None:
        why = f'error looking up service account {namespace}/{account_name}: serviceaccount "{account_name}" not found'
        raise errors.forbidden(kinds.PODS, name, why)
    return with_service_account(pod, account, core.new_name("kube-api-access-"))


def with_tolerations(pod: Obj) -> Obj:
    """The pod tolerating not-ready and unreachable nodes for 300 s unless it says something about them."""
    spec = pod.get("spec") or {}
    given = list(spec.get("tolerations") or [])

    def said(key: str) -> bool:
        return any(t.get("key", key) in (key, "") and t.get("effect", "NoExecute") in ("NoExecute", "") for t in given)

    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in _TOLERATED
        if not said(key)
    ]
    return {**pod, "spec": {**spec, "tolerations": given + added}} if added else pod


def with_priority(pod: Obj) -> Obj:
    """priority and preemptionPolicy from the priority class (the two built-in ones; none is 0)."""
    spec = pod["spec"]
    class_name = spec.get("priorityClassName", "")
    if class_name and class_name not in _PRIORITIES:
        raise errors.forbidden(
            kinds.PODS, pod["metadata"]["name"], f"no PriorityClass with name {class_name} was found"
        )
    priority = _PRIORITIES.get(class_name, 0)
    if spec.get("priority") not in (None, priority):
        why = "the integer value of priority must not be provided in pod spec; priority admission controller computed "
        raise errors.forbidden(
            kinds.PODS, pod["metadata"]["name"], f"{why}{priority} from the given PriorityClass name"
        )
    policy = spec.get("preemptionPolicy") or "PreemptLowerPriority"
    return {**pod, "spec": {**spec, "priority": priority, "preemptionPolicy": policy}}


def with_service_account(pod: Obj, account: Obj, volume: str) -> Obj:
    """The pod running as that ServiceAccount, its token, CA and namespace mounted where client libraries look."""
    spec = pod["spec"]
    name = account["metadata"]["name"]
    spec = {**spec, "serviceAccountName": name, "serviceAccount": name}
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    automount = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if not automount:
        return {**pod, "spec": spec}
    used = False
    for field in ("initContainers", "containers"):
        containers = []
        for container in spec.get(field) or ():
            mounts = container.get("volumeMounts") or []
            if not any(mount.get("mountPath") == TOKEN_MOUNT for mount in mounts):
                used = True
                mounts = [*mounts, {"name": volume, "readOnly": True, "mountPath": TOKEN_MOUNT}]
            containers.append({**container, "volumeMounts": mounts})
        if containers:
            spec[field] = containers
    if used:
        spec["volumes"] = [*(spec.get("volumes") or []), token_volume(volume)]
    return {**pod, "spec": spec}


def token_volume(name: str) -> Obj:
    """The projected volume with the token, the cluster's CA and the namespace."""
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
            }
        },
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 420}}


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
        granted, verb, target = await _bound_rules(core, obj), "bind", str((obj.get("roleRef") or {}).get("name", ""))
    resource = kind.plural if verb == "escalate" else _role_plural(obj)
    if policy.allows(user, rbac.Attributes(verb, _RBAC_GROUP, resource, namespace=namespace, name=target)):
        return
    extra = rbac.uncovered(granted, policy.rules_for(user, namespace))
    if extra:
        why = (
            f'user "{user.name}" (groups={list(user.groups)!r}) is attempting to grant RBAC permissions not currently '
            f"held:\n{extra!r}"
        )
        raise errors.forbidden(kind, obj["metadata"]["name"], why)


def _role_plural(binding: Obj) -> str:
    return "roles" if (binding.get("roleRef") or {}).get("kind") == "Role" else "clusterroles"


async def _bound_rules(core: Core, binding: Obj) -> list[Obj]:
    reference = binding.get("roleRef") or {}
    kind = kinds.ROLES if reference.get("kind") == "Role" else kinds.CLUSTER_ROLES
    namespace = binding["metadata"].get("namespace", "") if kind is kinds.ROLES else ""
    role = await core.find(kind, namespace, str(reference.get("name", "")))
    if role is None:
        raise errors.not_found(kind, str(reference.get("name", "")))
    if role.get("aggregationRule"):
        return rbac.aggregate_rules(role, await core.objects(kinds.CLUSTER_ROLES))
    return list(role.get("rules") or [])
