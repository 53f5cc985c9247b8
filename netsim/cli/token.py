"""`netsim token`: make a token with which a machine joins the cluster as a node."""

from __future__ import annotations

import asyncio
import secrets
import string
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from netsim.cli.fault import Fault
from netsim.cli.options import Lab, make_app, need_root, running_lab
from netsim.lab.join import Token

app = make_app()
_ALPHABET = string.ascii_lowercase + string.digits


@app.command(epilog="Example: netsim token --hours 1")
def token(
    lab: Lab = "default",
    hours: Annotated[float, typer.Option(metavar="H", min=0.01, help="How long it is valid.")] = 24.0,
) -> None:
    """Make a join token and print the command for the new node. Run it where the API server runs."""
    need_root("token")
    spec, paths = running_lab(lab)
    made = Token(_random(6), _random(16))
    from netsim.api.errors import StatusError
    from netsim.cli.setup import publish_token
    from netsim.client.rest import Client
    from netsim.http.client import HttpClient

    async def publish() -> None:
        client = Client(HttpClient(f"unix:{paths.api_socket}"))
        try:
            await publish_token(client, paths, spec, made, datetime.now(UTC) + timedelta(hours=hours))
        finally:
            await client.close()

    try:
        asyncio.run(publish())
    except (OSError, StatusError) as error:
        raise Fault(f"the API server of lab `{lab}` did not take the token: {error}") from None
    print(f"netsim node --server https://{spec.control_plane_address}:{spec.fabric_port} --token {made}")


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
