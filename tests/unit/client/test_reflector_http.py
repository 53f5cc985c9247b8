"""The reflector over a real connection to a server that vanishes and returns."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from netsim.api.kinds import CONFIG_MAPS
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim.http.client import HttpClient
from netsim.http.server import HttpServer, serve


def listening(port: int = 0) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


async def has(cache: Cache, value: str) -> None:
    async with asyncio.timeout(10):
        while (cache.get("d/a") or {"data": {}})["data"].get("v") != value:
            await asyncio.sleep(0.005)


async def test_server_vanishes_and_returns_without_a_relist(api: Any) -> None:
    api.put("a", "0")
    server: HttpServer = await serve(api, listening())
    client = Client(HttpClient(f"http://127.0.0.1:{server.port}"))
    cache = Cache()
    values: list[str] = []
    cache.on_change(lambda key, old, new: values.append((new or {})["data"]["v"]))
    task = asyncio.ensure_future(Reflector(client, CONFIG_MAPS, cache).run())
    try:
        for round_ in range(3):
            api.put("a", f"{round_} while up")
            await has(cache, f"{round_} while up")
            await server.close()
            api.put("a", f"{round_} while down")
            server = await serve(api, listening(server.port))
            await has(cache, f"{round_} while down")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()
        await server.close()
    assert values[0] in ("0", "0 while up")
    assert values[-6:] == [f"{n} while {state}" for n in range(3) for state in ("up", "down")]
    assert sum(request.param("watch") == "" for request in api.seen) == 1
