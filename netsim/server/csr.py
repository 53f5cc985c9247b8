"""Which CertificateSigningRequests are approved and signed (pure; the signer's effects are the caller's).

Approved by themselves: those of signers kubernetes.io/kube-apiserver-client-kubelet (by bootstrappers and by nodes for
themselves) and kubernetes.io/kubelet-serving (by nodes for themselves), as kubeadm and the kubelet's serving approvers
have it. Signed once somebody approved them: these, and kubernetes.io/kube-apiserver-client (users').
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from netsim.api.kinds import Obj

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
USER_SIGNER = "kubernetes.io/kube-apiserver-client"
SIGNERS = (CLIENT_SIGNER, SERVING_SIGNER, USER_SIGNER)
_ORGANIZATION = "system:nodes"
_PREFIX = "system:node:"
_BASE_USAGES = frozenset(("digital signature", "key encipherment"))


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do: `approve` with `reason` and `message`, or leave it to an administrator (why is in `message`)."""

    approve: bool
    reason: str = ""
    message: str = ""
    server: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the PKCS#10 request asks for."""

    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...]
    addresses: tuple[str, ...]
    others: bool


def parse_request(spec: Obj) -> tuple[bytes, Wanted]:
    """(PEM, contents) of spec.request; ValueError when it is no certificate request."""
    try:
        pem = base64.b64decode(spec.get("request", ""), validate=True)
        request = x509.load_pem_x509_csr(pem)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"spec.request is no PEM certificate request: {error}") from None
    if not request.is_signature_valid:
        raise ValueError("spec.request is not signed by its own key")
    names = [str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    organizations = tuple(str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    dns, addresses, others = _alternatives(request)
    return pem, Wanted(names[0] if len(names) == 1 else "", organizations, dns, addresses, others)


def _alternatives(request: x509.CertificateSigningRequest) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), (), False
    dns = tuple(found.get_values_for_type(x509.DNSName))
    addresses = tuple(str(ip) for ip in found.get_values_for_type(x509.IPAddress))
    return dns, addresses, len(dns) + len(addresses) != len(found)


def is_node_subject(wanted: Wanted) -> bool:
    """CN system:node:NAME and O system:nodes."""
    return (
        wanted.organizations == (_ORGANIZATION,)
        and len(wanted.common_name) > len(_PREFIX)
        and (wanted.common_name.startswith(_PREFIX))
    )


def signing_fault(spec: Obj, wanted: Wanted) -> str:
    """Why an approved request cannot be signed by its signer, or "". The signers of nodes' certificates sign for nodes
    only, whoever approved the request: their approvers are not asked about users, least of all system:masters."""
    usages, signer = set(spec.get("usages") or ()), spec.get("signerName")
    needed = "server auth" if signer == SERVING_SIGNER else "client auth"
    if needed not in usages or not usages - {needed} <= _BASE_USAGES:
        return f"usages did not match {sorted(usages)}"
    if signer == USER_SIGNER:
        return ""
    if not is_node_subject(wanted):
        return f"the subject is not that of a node (CN {_PREFIX}NAME, O {_ORGANIZATION})"
    named = bool(wanted.dns_names or wanted.addresses)
    if wanted.others or named != (signer == SERVING_SIGNER):
        return "a serving certificate is for DNS names or addresses, a client's has no alternative names"
    return ""


def claims_masters(spec: Obj) -> bool:
    """Whether a user's request is for the group system:masters, which admission refuses."""
    if spec.get("signerName") != USER_SIGNER:
        return False
    try:
        _, wanted = parse_request(spec)
    except ValueError:
        return False
    return "system:masters" in wanted.organizations


def _usages_fit(spec: Obj, needed: str) -> bool:
    usages = set(spec.get("usages") or ())
    return needed in usages and usages - {needed} <= _BASE_USAGES and "digital signature" in usages


def decide(spec: Obj, wanted: Wanted, *, bootstrapper: bool) -> Decision:
    """The decision for a request that nobody has decided on; `bootstrapper`: its author may create the nodeclient
    subresource (RBAC)."""
    author, signer = spec.get("username", ""), spec.get("signerName", "")
    if not is_node_subject(wanted):
        return Decision(False, message="the subject is not that of a node (CN system:node:NAME, O system:nodes)")
    itself = author == wanted.common_name and _ORGANIZATION in (spec.get("groups") or ())
    if signer == CLIENT_SIGNER:
        return _decide_client(spec, wanted, itself, bootstrapper)
    if signer == SERVING_SIGNER:
        return _decide_serving(spec, wanted, itself)
    return Decision(False, message=f"signer {signer} is not one of this server's")


def _decide_client(spec: Obj, wanted: Wanted, itself: bool, bootstrapper: bool) -> Decision:
    if wanted.dns_names or wanted.addresses or wanted.others or not _usages_fit(spec, "client auth"):
        return Decision(False, message="a node's client certificate has no alternative names and usage client auth")
    if not (itself or bootstrapper):
        return Decision(False, message="the author is neither that node nor a bootstrapper")
    kind = "self kubelet client" if itself and not bootstrapper else "kubelet client"
    return Decision(True, "AutoApproved", f"Auto approving {kind} certificate after SubjectAccessReview.")


def _decide_serving(spec: Obj, wanted: Wanted, itself: bool) -> Decision:
    if not itself:
        return Decision(False, message="a serving certificate is signed for the node itself only")
    if wanted.others or not (wanted.dns_names or wanted.addresses) or not _usages_fit(spec, "server auth"):
        return Decision(False, message="a serving certificate needs DNS names or addresses and usage server auth")
    return Decision(True, "AutoApproved", "Auto approving kubelet serving certificate of the node itself.", server=True)


def with_decisions(status: Obj, before: Obj) -> Obj:
    """A status whose conditions Approved and Denied are those from before, where there are as many: only the approval
    subresource changes them."""
    conditions = list(status.get("conditions") or ())
    for kind in ("Approved", "Denied"):
        held = [condition for condition in before.get("conditions") or () if condition.get("type") == kind]
        places = [index for index, condition in enumerate(conditions) if condition.get("type") == kind]
        for index, condition in zip(places, held, strict=False) if len(places) == len(held) else ():
            conditions[index] = condition
    return {**status, "conditions": conditions} if conditions else status


def with_times(new: Obj, old: Obj, now: str) -> Obj:
    """A request whose conditions say when they were written, and since when their statuses are what they are; what the
    author says of it is kept. `now` is an RFC 3339 text."""
    status, before = new.get("status") or {}, (old.get("status") or {}).get("conditions") or ()
    since = {
        (held.get("type", ""), held.get("status")): held["lastTransitionTime"]
        for held in reversed(before)
        if held.get("lastTransitionTime")
    }
    conditions = [_timed(condition, since, now) for condition in status.get("conditions") or ()]
    return {**new, "status": {**status, "conditions": conditions}} if conditions else new


def _timed(condition: Obj, since: Mapping[tuple[str, str | None], str], now: str) -> Obj:
    began = since.get((condition.get("type", ""), condition.get("status")), now)
    written, changed = condition.get("lastUpdateTime") or now, condition.get("lastTransitionTime") or began
    return {**condition, "lastUpdateTime": written, "lastTransitionTime": changed}
