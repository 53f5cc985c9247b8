"""What a fresh control plane gets through its API: add-ons and join tokens."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from datetime import datetime

from netsim.api.errors import StatusError
from netsim.api.kinds import CONFIG_MAPS, SECRETS, Kind, by_kind
from netsim.api.times import format_time
from netsim.cli.fault import Fault
from netsim.client.kubeconfig import render_kubeconfig
from netsim.client.rest import Client
from netsim.http.types import Request
from netsim.lab.addons import DNS_USER, Obj, render_addons
from netsim.lab.join import CLUSTER_INFO, Token, cluster_info, cluster_info_patch, token_secret, tokens_in
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
    for obj in render_addons(spec, dns_user()):
        await create_unless_present(client, obj)


def dns_user() -> int:
    """The user as whom the DNS pods run: not root, unless only root can read this installation."""
    import netsim

    others_read = all(os.stat(path).st_mode & stat.S_IROTH for path in (netsim.__file__, sys.executable))
    return DNS_USER if others_read else 0


async def create_unless_present(client: Client, obj: Obj) -> None:
    """Create one object of any served kind."""
    group, _, version = obj["apiVersion"].rpartition("/")
    kind = by_kind(group, version, obj["kind"])
    if kind is None:
        raise Fault(f"{obj['kind']} ({obj['apiVersion']}) is not served by this API server")
    name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace")
    try:
        await client.create(kind, obj, namespace)
    except StatusError:
        # A Service with a fixed address is Invalid, not AlreadyExists: the address is taken, by itself.
        if await get_if_present(client, kind, name, namespace) is None:
            raise


async def get_if_present(client: Client, kind: Kind, name: str, namespace: str | None = None) -> Obj | None:
    """The object, None when there is none."""
    try:
        return await client.get(kind, name, namespace)
    except StatusError as error:
        if error.code != 404:
            raise
        return None


async def publish_token(client: Client, paths: LabPaths, spec: LabSpec, token: Token, expiration: datetime) -> None:
    """Make the API server accept a join token, and sign the public cluster-info with every token there is."""
    await _put_token(client, token, expiration)
    with open(f"{paths.pki}/ca.crt", encoding="ascii") as file:
        kubeconfig = render_kubeconfig(f"https://{spec.control_plane_address}:{spec.fabric_port}", file.read())
    # Read before the tokens: the signature of one that is made meanwhile is then never taken for a stale one.
    present = await get_if_present(client, CONFIG_MAPS, CLUSTER_INFO, "kube-public")
    wanted = cluster_info(kubeconfig, *tokens_in((await client.list(SECRETS, "kube-system"))["items"]))
    if present is None:
        await create_unless_present(client, wanted)
    await client.patch(CONFIG_MAPS, CLUSTER_INFO, cluster_info_patch(present or {}, wanted), "kube-public")


async def _put_token(client: Client, token: Token, expiration: datetime) -> None:
    """Create the token's Secret, or renew the one that is there: its secret part and its expiration."""
    secret = token_secret(token, format_time(expiration))
    await create_unless_present(client, secret)
    await client.patch(SECRETS, secret["metadata"]["name"], {"data": secret["data"]}, "kube-system")
