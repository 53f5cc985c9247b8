"""The server's own small controllers: namespaces' furniture, nodes' certificates, Services' IPAddresses.

Every namespace has the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`; they are made with the namespace
and made again when they are deleted. Requests for node certificates are approved, and approved ones are signed.
Secrets for ServiceAccounts' tokens get them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import deletion_timestamp, set_condition
from netsim.server import account_secrets, csr, ip_addresses, lifecycle
from netsim.server.admission import ROOT_CA
from netsim.server.authn import SERVER
from netsim.server.codec import prefix_of
from netsim.server.core import Core
from netsim.server.ensure import ensure
from netsim.server.event_expiry import expire_events
from netsim.server.managed import Manager
from netsim.server.rbac import Attributes, User
from netsim.server.role_aggregation import aggregate_roles

log = logging.getLogger(__name__)

_WATCHED = (
    kinds.NAMESPACES,
    kinds.SERVICE_ACCOUNTS,
    kinds.CONFIG_MAPS,
    kinds.SECRETS,
    kinds.CLUSTER_ROLES,
    kinds.CERTIFICATE_SIGNING_REQUESTS,
    kinds.SERVICES,
    kinds.IP_ADDRESSES,
    kinds.SERVICE_CIDRS,
)

_ABOUT_CA = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


async def furnish_namespace(core: Core, namespace: str) -> None:
    """Give a namespace its default ServiceAccount and the cluster's CA."""
    await ensure(core, kinds.SERVICE_ACCOUNTS, namespace, {"metadata": {"name": "default"}})
    data = {"ca.crt": core.pki.ca_pem.decode()}
    annotations = {"kubernetes.io/description": _ABOUT_CA}
    config = {"metadata": {"name": ROOT_CA, "annotations": annotations}, "data": data}
    await ensure(core, kinds.CONFIG_MAPS, namespace, config, Manager("kube-controller-manager"))
    found = await core.find(kinds.CONFIG_MAPS, namespace, ROOT_CA)
    if found is not None and found.get("data") != data:  # of the cluster that a backup was made of

        def change(old: Obj) -> Obj:
            return {**old, "data": data}

        await lifecycle.update_object(core, kinds.CONFIG_MAPS, namespace, ROOT_CA, change, SERVER)


async def refurnish(core: Core, namespace: str) -> None:
    """`furnish_namespace` for a namespace that is there and not going away."""
    found = await core.find(kinds.NAMESPACES, "", namespace)
    if found is not None and deletion_timestamp(found) is None:
        try:
            await furnish_namespace(core, namespace)
        except StatusError as error:
            if error.code not in (403, 404):  # it began to go away meanwhile
                raise


async def handle_request(core: Core, request: Obj) -> None:
    """Approve a CertificateSigningRequest if it is a node's and nobody has decided on it; sign an approved one."""
    status, spec, name = request.get("status") or {}, request["spec"], request["metadata"]["name"]
    if status.get("certificate") or any(c.get("type") in ("Denied", "Failed") for c in status.get("conditions") or ()):
        return
    try:
        pem, wanted = csr.parse_request(spec)
    except ValueError as error:
        log.info("certificate signing request %s: %s", name, error)
        return
    decision = csr.decide(spec, wanted, bootstrapper=await _may_bootstrap(core, spec))
    approved = any(c.get("type") == "Approved" for c in status.get("conditions") or ())
    if not (decision.approve or (approved and spec.get("signerName") in csr.SIGNERS)):
        log.info("certificate signing request %s is left alone: %s", name, decision.message)
        return
    if fault := csr.signing_fault(spec, wanted):
        await _settle(core, name, lambda old: failed(old, fault, core.now()))
        return
    server = spec.get("signerName") == csr.SERVING_SIGNER
    seconds = spec.get("expirationSeconds")
    lifetime = timedelta(seconds=seconds) if seconds else None
    certificate = core.pki.sign_request(pem, server=server, client=not server, lifetime=lifetime)
    await _settle(core, name, lambda old: approved_by(old, decision, core.now()), "approval")
    await _settle(core, name, lambda old: signed(old, certificate))


async def _settle(core: Core, name: str, change: Callable[[Obj], Obj], sub: str = "status") -> None:
    await lifecycle.update_object(core, kinds.CERTIFICATE_SIGNING_REQUESTS, "", name, change, SERVER, sub=sub)


def failed(request: Obj, fault: str, now: str) -> Obj:
    """The request with the condition Failed, which its signer sets on what it cannot sign."""
    status = request.get("status") or {}
    condition = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": fault}
    conditions = set_condition(status.get("conditions") or [], {**condition, "lastUpdateTime": now}, now)
    return {**request, "status": {**status, "conditions": conditions}}


def approved_by(request: Obj, decision: csr.Decision, now: str) -> Obj:
    """The request with its Approved condition."""
    status = request.get("status") or {}
    conditions = status.get("conditions") or []
    if any(c.get("type") == "Approved" for c in conditions):
        return request
    condition = {"type": "Approved", "status": "True", "reason": decision.reason, "message": decision.message}
    conditions = set_condition(conditions, {**condition, "lastUpdateTime": now}, now)
    return {**request, "status": {**status, "conditions": conditions}}


def signed(request: Obj, certificate: bytes) -> Obj:
    """The request with its certificate."""
    encoded = base64.b64encode(certificate).decode()
    return {**request, "status": {**(request.get("status") or {}), "certificate": encoded}}


async def _may_bootstrap(core: Core, spec: Obj) -> bool:
    user = User(spec.get("username", ""), tuple(spec.get("groups") or ()))
    asked = Attributes("create", "certificates.k8s.io", "certificatesigningrequests", "nodeclient")
    return await core.authorizer.allows(user, asked)


class Housekeeper:
    """Runs the controllers on the hub's events."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        after = self._core.store.revision
        for kind in _WATCHED:
            self._tasks.append(asyncio.get_running_loop().create_task(self._follow(kind, after)))
        self._tasks.append(asyncio.get_running_loop().create_task(expire_events(self._core)))
        await self._catch_up()

    async def _catch_up(self) -> None:
        """What events would have had done."""
        core = self._core
        for namespace in await core.objects(kinds.NAMESPACES):
            name = namespace["metadata"]["name"]
            await self._attempt(refurnish(core, name), name)
        for request in await core.objects(kinds.CERTIFICATE_SIGNING_REQUESTS):
            await self._attempt(handle_request(core, request), request["metadata"]["name"])
        await self._attempt(aggregate_roles(core), "aggregated ClusterRoles")
        await self._attempt(ip_addresses.ensure_range(core), ip_addresses.DEFAULT_RANGE)
        await self._attempt(ip_addresses.follow_all(core), "IPAddresses")
        for secret in await core.objects(kinds.SECRETS):
            await self._attempt(account_secrets.handle_secret(core, secret), secret["metadata"]["name"])

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await task

    async def _follow(self, kind: Kind, after: int) -> None:
        core = self._core
        while True:
            subscription = core.hub.subscribe(prefix_of(kind), after)
            if subscription is None:
                after = core.store.revision
                await self._catch_up()
                await asyncio.sleep(0)
                continue
            try:
                while not subscription.closed:
                    for frame in await subscription.take():
                        obj = frame.new(core.decoder) or frame.old()
                        if obj is not None and kind is kinds.SERVICES:
                            had = ip_addresses.addresses_of(frame.old())
                            await self._attempt(ip_addresses.follow_service(core, obj, had), frame.event.key)
                        elif obj is not None:
                            await self._attempt(self._react(kind, frame.event.type, obj), frame.event.key)
                after = max(after, subscription.seen)
            finally:
                core.hub.unsubscribe(subscription)
            if core.hub.closed:
                return

    async def _react(self, kind: Kind, event: str, obj: Obj) -> None:
        if kind is kinds.CERTIFICATE_SIGNING_REQUESTS and event != "DELETED":
            await handle_request(self._core, obj)
        elif kind is kinds.NAMESPACES and event == "ADDED":
            await refurnish(self._core, obj["metadata"]["name"])
        elif kind is kinds.CLUSTER_ROLES:
            await aggregate_roles(self._core)
        elif kind is kinds.SECRETS and event != "DELETED":
            await account_secrets.handle_secret(self._core, obj)
        elif event == "DELETED" and kind is kinds.IP_ADDRESSES:
            await ip_addresses.follow_address(self._core, obj)
        elif event == "DELETED" and kind is kinds.SERVICE_CIDRS:
            await ip_addresses.ensure_range(self._core)
        elif event == "DELETED" and kind in (kinds.SERVICE_ACCOUNTS, kinds.CONFIG_MAPS):
            if kind is kinds.SERVICE_ACCOUNTS:
                await account_secrets.handle_account_gone(self._core, obj)
            if obj["metadata"]["name"] in ("default", ROOT_CA):
                await refurnish(self._core, obj["metadata"]["namespace"])

    async def _attempt(self, work: Awaitable[None], what: str) -> None:
        try:
            await work
        except Exception:
            log.exception("housekeeping failed on %s", what)
