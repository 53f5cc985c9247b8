"""Admission: what Kubernetes' built-in plugins add to or refuse in new objects.

NamespaceLifecycle, LimitRanger, ServiceAccount, NodeRestriction, Priority, RuntimeClass, CertificateApproval, the
default StorageClass and IngressClass, storage protection; ResourceQuota is in `quota`, DefaultTolerationSeconds in the
defaults of pods. The deciding functions are pure; `admit_create` looks up what they need.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from netsim.api import errors, kinds
from netsim.api.errors import Cause
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import deletion_timestamp, set_condition
from netsim.server import admission_rbac, csr, rbac, roles
from netsim.server.admission_classes import admit_claim, admit_ingress, with_protection
from netsim.server.admission_priority import admit_priority, check_priority_class
from netsim.server.admission_refusal import refused_pod
from netsim.server.admission_runtime import admit_runtime
from netsim.server.authz import MIRROR, PUBLIC_CA, node_creation_problem, node_name
from netsim.server.core import Core
from netsim.server.limits import claim_problem, pod_problem, with_limits
from netsim.server.pod_specs import TOKEN_VOLUME
from netsim.server.rbac import User

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
ROOT_CA = PUBLIC_CA
_PROTECTED = ("default", "kube-system", "kube-public", "kube-node-lease")
_NOT_READY = ("node.kubernetes.io/not-ready", "NoSchedule")
_CSR_GROUP = kinds.CERTIFICATE_SIGNING_REQUESTS.group


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
    admit = _ADMIT.get(kind)
    if admit is not None:
        return await admit(core, obj)
    if kind is kinds.CERTIFICATE_SIGNING_REQUESTS:
        return _admit_request(obj, user)
    if kind.group == roles.GROUP:
        await admission_rbac.check_escalation(core, kind, obj, user)
    return obj


def _admit_request(request: Obj, user: User) -> Obj:
    if csr.claims_masters(request.get("spec") or {}):
        why = f"use of {csr.USER_SIGNER} signer with system:masters group is not allowed"
        raise errors.forbidden(kinds.CERTIFICATE_SIGNING_REQUESTS, request["metadata"]["name"], why)
    return with_requester(request, user)


async def check_approval(core: Core, new: Obj, old: Obj, user: User) -> None:
    """403 when somebody decides on a CertificateSigningRequest who may not `approve` for its signer
    (CertificateApproval)."""
    if _decisions(new) == _decisions(old):
        return
    signer = str((old.get("spec") or {}).get("signerName", ""))
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        if await core.authorizer.allows(user, rbac.Attributes("approve", _CSR_GROUP, "signers", name=name)):
            return
    why = f'user not permitted to approve requests with signerName "{signer}"'
    raise errors.forbidden(kinds.CERTIFICATE_SIGNING_REQUESTS, old["metadata"]["name"], why)


def _decisions(request: Obj) -> list[Obj]:
    conditions = (request.get("status") or {}).get("conditions") or ()
    return [condition for condition in conditions if condition.get("type") in ("Approved", "Denied")]


def with_requester(request: Obj, user: User) -> Obj:
    """A CertificateSigningRequest that says who made it; what the client wrote there is dropped."""
    spec = {k: v for k, v in (request.get("spec") or {}).items() if k not in ("username", "groups", "uid", "extra")}
    spec |= {"username": user.name, "groups": list(user.groups)}
    extra = {key: list(values) for key, values in user.extra.items()}
    return {**request, "spec": spec | ({"uid": user.uid} if user.uid else {}) | ({"extra": extra} if extra else {})}


async def _admit_pod(core: Core, pod: Obj) -> Obj:
    namespace = pod["metadata"]["namespace"]
    pod = await admit_priority(core, with_gates(await _limited(core, await _placed(core, pod)), core.now()))
    pod = await admit_runtime(core, pod)
    account_name = pod["spec"].get("serviceAccountName") or "default"
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        return pod
    account = await core.find(kinds.SERVICE_ACCOUNTS, namespace, account_name)
    if account is None:
        why = f'error looking up service account {namespace}/{account_name}: serviceaccount "{account_name}" not found'
        raise refused_pod(pod, why)
    return with_service_account(pod, account, core.new_name(TOKEN_VOLUME))


_TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")


async def topology_labels(core: Core, name: str) -> Obj:
    """The labels of a node that its pods get (PodTopologyLabels, KEP-4742); none of a node that there is not."""
    node = await core.find(kinds.NODES, "", name)
    labels = (node or {"metadata": {}})["metadata"].get("labels") or {}
    return {name: labels[name] for name in _TOPOLOGY if name in labels}


async def _placed(core: Core, pod: Obj) -> Obj:
    """A new pod that says its node, with that node's topology labels."""
    node, metadata = pod["spec"].get("nodeName"), pod["metadata"]
    labels = await topology_labels(core, node) if node else None
    return {**pod, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}} if labels else pod


async def _limited(core: Core, pod: Obj) -> Obj:
    """The pod with its namespace's LimitRanges applied; 403 when it does not keep to them."""
    limits = await core.objects(kinds.LIMIT_RANGES, pod["metadata"]["namespace"])
    if not limits:
        return pod
    pod = with_limits(pod, limits)
    problem = pod_problem(pod, limits)
    if problem:
        raise errors.forbidden(kinds.PODS, pod["metadata"]["name"], problem)
    return pod


def check_node_labels(new: Obj, old: Obj, user: User) -> None:
    """403 when a node changes a pod's labels with its status (NodeRestriction)."""
    node = node_name(user)
    if node and new["metadata"].get("labels") != old["metadata"].get("labels"):
        why = f'node "{node}" cannot update labels through pod status'
        raise errors.forbidden(kinds.PODS, old["metadata"]["name"], why)


async def admit_claim_change(core: Core, claim: Obj) -> Obj:
    """The claim, if its namespace's LimitRanges allow it; 403 if not."""
    limits = await core.objects(kinds.LIMIT_RANGES, claim["metadata"]["namespace"])
    problem = claim_problem(claim, limits)
    if problem:
        raise errors.forbidden(kinds.PERSISTENT_VOLUME_CLAIMS, claim["metadata"]["name"], problem)
    return claim


async def _admit_new_claim(core: Core, claim: Obj) -> Obj:
    claim = await admit_claim_change(core, await admit_claim(core, claim))
    return with_protection(kinds.PERSISTENT_VOLUME_CLAIMS, claim)


async def _admit_volume(core: Core, volume: Obj) -> Obj:
    return with_protection(kinds.PERSISTENT_VOLUMES, volume)


async def _admit_attributes_class(core: Core, obj: Obj) -> Obj:
    return with_protection(kinds.VOLUME_ATTRIBUTES_CLASSES, obj)


async def _admit_node(core: Core, node: Obj) -> Obj:
    """A new Node takes no pods until the node controller has seen it ready (TaintNodesByCondition)."""
    taints = (node.get("spec") or {}).get("taints") or []
    if any((taint.get("key"), taint.get("effect")) == _NOT_READY for taint in taints):
        return node
    tainted = [*taints, dict(zip(("key", "effect"), _NOT_READY, strict=True))]
    return {**node, "spec": {**(node.get("spec") or {}), "taints": tainted}}


async def _admit_priority_class(core: Core, obj: Obj) -> Obj:
    await check_priority_class(core, obj)
    return obj


_ADMIT: dict[Kind, Callable[[Core, Obj], Awaitable[Obj]]] = {
    kinds.PERSISTENT_VOLUME_CLAIMS: _admit_new_claim,
    kinds.PERSISTENT_VOLUMES: _admit_volume,
    kinds.VOLUME_ATTRIBUTES_CLASSES: _admit_attributes_class,
    kinds.INGRESSES: admit_ingress,
    kinds.NODES: _admit_node,
    kinds.PRIORITY_CLASSES: _admit_priority_class,
}


_ADMIT_CHANGE: dict[Kind, Callable[[Core, Obj], Awaitable[Obj]]] = {
    kinds.PERSISTENT_VOLUME_CLAIMS: admit_claim_change,
    kinds.PRIORITY_CLASSES: _admit_priority_class,
}


async def check_update(core: Core, kind: Kind, new: Obj) -> None:
    """403 for a change that a plugin refuses."""
    admit = _ADMIT_CHANGE.get(kind)
    if admit is not None:
        await admit(core, new)


def with_gates(pod: Obj, now: str) -> Obj:
    """A pod with scheduling gates says that it waits for them (KEP-3521)."""
    if not (pod.get("spec") or {}).get("schedulingGates"):
        return pod
    status = pod.get("status") or {}
    text = "Scheduling is blocked due to non-empty scheduling gates"
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": text}
    return {**pod, "status": {**status, "conditions": set_condition(status.get("conditions") or [], gated, now)}}


def with_service_account(pod: Obj, account: Obj, volume: str) -> Obj:
    """The pod running as that ServiceAccount, its token, CA and namespace mounted where client libraries look."""
    spec = pod["spec"]
    name = account["metadata"]["name"]
    spec = {**spec, "serviceAccountName": name, "serviceAccount": name}
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    own = next((v["name"] for v in spec.get("volumes") or () if str(v.get("name")).startswith(TOKEN_VOLUME)), "")
    volume = own or volume  # a copy of a pod has its volume already
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
    if used and not own:
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
