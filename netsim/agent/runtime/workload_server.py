"""The workload host: one process per node in which all in-process containers of the node live.

It is apart from the agent: when the agent dies everything here answers on, and a new agent finds it by `list`. The
control protocol is JSON lines over a unix socket: `{"id": 1, "op": "start", "spec": {…}}`,
`{"id": 2, "op": "finish", "container": ID, "quiet": S, "longest": S}`, `{"id": 3, "op": "stop", "container": ID}`,
`{"id": 4, "op": "list"}`, `{"id": 5, "op": "stats"}`; each is answered by `{"id": N, …}` or `{"id": N, "error": TEXT}`,
`finish` when the container has stopped and others meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from typing import Any

from netsim.agent.runtime.workload_spec import load_spec
from netsim.agent.runtime.workloads import WorkloadHost

log = logging.getLogger(__name__)
MAX_LINE = 1024 * 1024


async def serve_control(host: WorkloadHost, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer in order what is done at once, and beside it what takes its time: that goes on without the agent."""

    async def answer(asked: dict[str, Any]) -> None:
        said = await _answer(host, asked)
        try:
            writer.write(json.dumps(said).encode() + b"\n")
            await writer.drain()
        except ConnectionError:
            log.info("the agent went away before it was answered")

    try:
        while line := await reader.readline():
            asked = _parse(line)
            if asked.get("op") == "finish":
                host.spawn(answer(asked))
            else:
                await answer(asked)
    except ConnectionError:
        log.info("the agent went away")
    finally:
        writer.close()


def _parse(line: bytes) -> dict[str, Any]:
    """A control line, {} for one that is none."""
    try:
        asked = json.loads(line)
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


async def _answer(host: WorkloadHost, asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request; what is wrong with it is the answer too."""
    try:
        return {"id": asked["id"], **await _perform(host, asked)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        return {"id": asked.get("id"), "error": text}


async def _perform(host: WorkloadHost, asked: dict[str, Any]) -> dict[str, Any]:
    match asked["op"]:
        case "start":
            return await host.start(load_spec(asked["spec"]))
        case "finish":
            return await host.finish(str(asked["container"]), float(asked["quiet"]), float(asked["longest"]))
        case "stop":
            return host.stop(str(asked["container"]))
        case "list":
            return host.list()
        case "stats":
            return host.stats()
    raise ValueError(f"op {asked['op']!r} is none of start, finish, stop, list, stats")


async def serve_workloads(socket_path: str, stop: asyncio.Event | None = None) -> None:
    """Run the host until `stop` is set (or for ever). A socket file left by a dead host is replaced."""
    host = WorkloadHost()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_control(host, reader, writer)

    with contextlib.suppress(FileNotFoundError):  # none is left from before
        os.unlink(socket_path)
    os.makedirs(os.path.dirname(socket_path), exist_ok=True)
    server = await asyncio.start_unix_server(serve, socket_path, limit=MAX_LINE)
    os.chmod(socket_path, 0o600)
    try:
        await (stop or asyncio.Event()).wait()
    finally:
        server.close()
        for container in list(host.running):
            host.stop(container)
        host.flush()
        with contextlib.suppress(FileNotFoundError):  # the lab was taken down with its directory
            os.unlink(socket_path)


def run_workload_host(socket_path: str) -> None:
    """Serve the workloads of one node until SIGTERM or SIGINT. Blocks; run it in the node's network namespace.

    What a container is (kind, ports, banner) comes with each start request, so the host needs no image catalogue.
    """
    import uvloop

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve_workloads(socket_path, stop)

    uvloop.run(main())


def main() -> None:
    """`python -m netsim.agent.runtime.workload_server SOCKET`: the host as a program of its own."""
    import sys

    logging.basicConfig(level=logging.INFO)
    run_workload_host(sys.argv[1])


if __name__ == "__main__":
    main()
