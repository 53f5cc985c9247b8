"""What a command asks a running lab's API server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from netsim.cli.fault import Fault
from netsim.lab.paths import LabPaths
from netsim.lab.places import Obj

if TYPE_CHECKING:
    from netsim.api.kinds import Kind


def list_objects(paths: LabPaths, *kinds: Kind) -> list[list[Obj]]:
    """All objects of each kind, through the lab's unix socket. Raises Fault when the server does not answer."""
    from netsim.api.errors import StatusError
    from netsim.client.rest import Client
    from netsim.http.client import HttpClient

    async def fetch() -> list[list[Obj]]:
        client = Client(HttpClient(f"unix:{paths.api_socket}"))
        try:
            return [(await client.list(kind))["items"] for kind in kinds]
        finally:
            await client.close()

    try:
        return asyncio.run(fetch())
    except (OSError, StatusError) as error:
        raise Fault(f"the API server of lab `{paths.lab}` does not answer: {error}; see `netsim status`") from None
