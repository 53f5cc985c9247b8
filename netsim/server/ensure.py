"""Objects of the server's own making that have to be there."""

from __future__ import annotations

from netsim.api.errors import StatusError
from netsim.api.kinds import Kind, Obj
from netsim.server import lifecycle
from netsim.server.authn import SERVER
from netsim.server.core import Core
from netsim.server.managed import Manager

_OWN = Manager()


async def ensure(core: Core, kind: Kind, namespace: str, obj: Obj, manager: Manager = _OWN) -> None:
    """Create an object of the server's own unless it is there, in the name of `manager`."""
    obj = {"kind": kind.kind, "apiVersion": kind.api_version, **obj}
    if await core.find(kind, namespace, obj["metadata"]["name"]) is not None:
        return
    try:
        await lifecycle.create_object(core, kind, namespace, obj, SERVER, manager=manager)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
