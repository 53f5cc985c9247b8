"""What a fresh control plane gets through its API: add-ons and join tokens."""

from __future__ import annotations

import asyncio
from datetime import datetime

from netsim.api.errors import StatusError
from netsim.api.kinds import CONFIG_MAPS, SECRETS, by_kind
from netsim.api.times import format_time
from netsim.cli.fault import Fault
from netsim.client.kubeconfig import render_kubeconfig
from netsim.client.rest import Client
from netsim.http.types import Request
from netsim.lab.addons import Obj, render_addons
from netsim.lab.join import CLUSTER_INFO, SIGNATURE_PREFIX, Token, cluster_info, sign, token_secret
from netsim.lab.paths import LabPaths
from netsim.lab.topology import LabSpec

_POLL = 0.02


async def wait_for_api(client: Client) -> None:
    """Wait until the API server is ready; the time limit is the caller's."""
    while not await api_ready(client):
        await asyncio.sleep(_POLL)


async def api_ready(client: Client) -> bool:
    """Whether /readyz says so."""
    try:
        return (await client.transport(Request("GET", "/readyz"))).status == 200
    except OSError:  # the socket may be there before the server behind it
        return False


async def apply_addons(client: Client, spec: LabSpec) -> None:
    """Create what every lab starts with; what is there already stays as it is."""
    for obj in render_addons(spec):
        await create_unless_present(client, obj)


async def create_unless_present(client: Client, obj: Obj) -> None:
    """Create one object of any served kind."""
    group, _, version = obj["apiVersion"].rpartition("/")
    kind = by_kind(group, version, obj["kind"])
    if kind is None:
        raise Fault(f"{obj['kind']} ({obj['apiVersion']}) is not served by this API server")
    try:
        await client.create(kind, obj, obj["metadata"].get("namespace"))
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise


async def publish_token(client: Client, paths: LabPaths, spec: LabSpec, token: Token, expiration: datetime) -> None:
    """Make the API server accept a join token, and sign the public cluster-info with it."""
    await create_unless_present(client, token_secret(token, format_time(expiration)))
    with open(f"{paths.pki}/ca.crt", encoding="ascii") as file:
        kubeconfig = render_kubeconfig(f"https://{spec.control_plane_address}:{spec.api_port}", file.read())
    try:
        await client.create(CONFIG_MAPS, cluster_info(kubeconfig, token), "kube-public")
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        signature = {"data": {"kubeconfig": kubeconfig, f"{SIGNATURE_PREFIX}{token.id}": sign(kubeconfig, token)}}
        await client.patch(CONFIG_MAPS, CLUSTER_INFO, signature, "kube-public")


async def forget_token(client: Client, token_id: str) -> None:
    """Revoke a join token."""
    await client.delete(SECRETS, f"bootstrap-token-{token_id}", "kube-system")
    await client.patch(CONFIG_MAPS, CLUSTER_INFO, {"data": {f"{SIGNATURE_PREFIX}{token_id}": None}}, "kube-public")
