"""Secrets of type kubernetes.io/service-account-token: filled in with a token of their ServiceAccount, valid as long as
they are there, the cluster's CA and the namespace; they go with the account (Kubernetes' token controller)."""

from __future__ import annotations

import base64
from datetime import UTC

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.api.objects import annotations_of, deletion_timestamp
from netsim.server import deletion, lifecycle
from netsim.server.authn import SERVER
from netsim.server.core import Core
from netsim.server.managed import Manager

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME, ACCOUNT_UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
_MANAGER = Manager("kube-controller-manager")
LIFETIME = 100 * 365 * 24 * 3600
"""Seconds; such a token has no end in Kubernetes."""


def account_of(secret: Obj) -> str:
    """The name of the account whose token a Secret is to hold, "" for another type of Secret."""
    return annotations_of(secret).get(ACCOUNT_NAME, "") if secret.get("type") == TYPE else ""


def is_stale(secret: Obj, account: Obj | None) -> bool:
    """Whether the account a Secret is for is not there, or is another one of that name."""
    uid = annotations_of(secret).get(ACCOUNT_UID)
    return account is None or bool(uid and uid != account["metadata"]["uid"])


def filled(secret: Obj, account: Obj, token: str, ca: bytes) -> Obj:
    """The Secret with what is missing of it."""
    values = {"ca.crt": ca, "namespace": secret["metadata"]["namespace"].encode(), "token": token.encode()}
    data = {key: base64.b64encode(value).decode() for key, value in values.items()} | (secret.get("data") or {})
    annotations = {**annotations_of(secret), ACCOUNT_UID: account["metadata"]["uid"]}
    return {**secret, "metadata": {**secret["metadata"], "annotations": annotations}, "data": data}


def is_full(secret: Obj) -> bool:
    """Whether nothing is missing of a Secret."""
    return {"ca.crt", "namespace", "token"} <= set(secret.get("data") or {}) and ACCOUNT_UID in annotations_of(secret)


async def handle_secret(core: Core, secret: Obj) -> None:
    """Fill one Secret in, or delete it if its account is not there."""
    name, namespace = account_of(secret), secret["metadata"]["namespace"]
    if not name or deletion_timestamp(secret):
        return
    account = await core.find(kinds.SERVICE_ACCOUNTS, namespace, name)
    try:
        if account is None or is_stale(secret, account):
            options = deletion.DeleteOptions(uid=secret["metadata"]["uid"])
            await deletion.delete_object(core, kinds.SECRETS, namespace, secret["metadata"]["name"], options)
        elif not is_full(secret):
            await _fill(core, secret, account)
    except StatusError as error:
        if error.code not in (404, 409):  # it went meanwhile, or is another one now
            raise


async def _fill(core: Core, secret: Obj, account: Obj) -> None:
    bound = {"kind": "Secret", **secret}
    now = core.clock().astimezone(UTC)
    token, _ = core.tokens.sign(account, now=now, token_id=core.new_uid(), seconds=LIFETIME, bound=bound)

    def change(old: Obj) -> Obj:
        return old if is_full(old) else filled(old, account, token, core.pki.ca_pem)

    namespace, name = secret["metadata"]["namespace"], secret["metadata"]["name"]
    await lifecycle.update_object(core, kinds.SECRETS, namespace, name, change, SERVER, manager=_MANAGER)


async def handle_account_gone(core: Core, account: Obj) -> None:
    """Delete the Secrets of an account that was deleted."""
    for secret in await core.objects(kinds.SECRETS, account["metadata"]["namespace"]):
        if account_of(secret) == account["metadata"]["name"]:
            await handle_secret(core, secret)
