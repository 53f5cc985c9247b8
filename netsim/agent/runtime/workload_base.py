"""What every stream workload's connection has in common."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from netsim.agent.runtime.metering import Meter, metered


class Connection(asyncio.Protocol):
    """One client connection; `connections` is its container's set, so that stopping the container ends it, and
    `meter` its container's account, to which every kind of connection adds the time of its callbacks."""

    transport: asyncio.Transport | None = None
    connections: set[asyncio.Transport] | None = None
    meter = Meter()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in {"connection_made", "data_received"} & vars(cls).keys():
            setattr(cls, name, metered(vars(cls)[name]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = stream = cast(asyncio.Transport, transport)
        if self.connections is not None:
            self.connections.add(stream)

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is not None and self.connections is not None:
            self.connections.discard(self.transport)
