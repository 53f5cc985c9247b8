from __future__ import annotations

import base64
from typing import Any

from netsim.server.account_secrets import ACCOUNT_NAME, ACCOUNT_UID, TYPE, account_of, is_full, is_stale

ACCOUNTS, SECRETS = "/api/v1/namespaces/default/serviceaccounts", "/api/v1/namespaces/default/secrets"


def secret(account: str, **more: str) -> dict[str, Any]:
    annotations = {ACCOUNT_NAME: account, **more}
    return {"metadata": {"name": f"{account}-token", "annotations": annotations}, "type": TYPE}


async def next_state(api: Any, made: dict[str, Any]) -> dict[str, Any]:
    """The next event of a Secret after `made`."""
    name, revision = made["metadata"]["name"], made["metadata"]["resourceVersion"]
    events = await api.watch(f"{SECRETS}?watch=1&resourceVersion={revision}&fieldSelector=metadata.name={name}", 1)
    found: dict[str, Any] = events[0]
    return found


def test_which_secrets_are_stale() -> None:
    account = {"metadata": {"name": "a", "uid": "1"}}
    assert account_of(secret("a")) == "a" and account_of({**secret("a"), "type": "Opaque"}) == ""
    assert not is_stale(secret("a"), account) and not is_stale(secret("a", **{ACCOUNT_UID: "1"}), account)
    assert is_stale(secret("a"), None) and is_stale(secret("a", **{ACCOUNT_UID: "2"}), account)


async def test_a_token_secret_is_filled_in_and_goes_with_its_account(api: Any) -> None:
    account = await api.post(ACCOUNTS, {"metadata": {"name": "robot"}})
    full = (await next_state(api, await api.post(SECRETS, secret("robot"))))["object"]
    assert is_full(full) and full["metadata"]["annotations"][ACCOUNT_UID] == account["metadata"]["uid"]
    writers = [entry["manager"] for entry in full["metadata"]["managedFields"]]
    assert "kube-controller-manager" in writers and "kube-apiserver" not in writers
    token = base64.b64decode(full["data"]["token"]).decode()
    who = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
    await api.ok("DELETE", f"{ACCOUNTS}/robot")
    assert (await next_state(api, full))["type"] == "DELETED"
    assert (await api.refused("GET", "/version", token=token))["code"] == 401


async def test_a_token_secret_without_an_account_is_deleted(api: Any) -> None:
    made = await api.post(SECRETS, secret("nobody"))
    assert (await next_state(api, made))["type"] == "DELETED"
