"""What every stream workload's connection has in common."""

from __future__ import annotations

import asyncio
from typing import cast


class Connection(asyncio.Protocol):
    """One client connection; `connections` is its container's set, so that stopping the container ends it."""

    transport: asyncio.Transport | None = None
    connections: set[asyncio.Transport] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = stream = cast(asyncio.Transport, transport)
        if self.connections is not None:
            self.connections.add(stream)

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is not None and self.connections is not None:
            self.connections.discard(self.transport)
