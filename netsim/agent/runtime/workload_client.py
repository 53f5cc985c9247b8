"""The agent's side of the workload host's control socket: pipelined requests, and notice when the host is gone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

from netsim.agent.runtime.workload_spec import WorkloadSpec, dump_spec

log = logging.getLogger(__name__)
RETRY_SECONDS = 0.1
MAX_LINE = 16 * 1024 * 1024


class WorkloadError(Exception):
    """The workload host refused (a port is taken …); the text is what a program would have logged."""


class WorkloadHostGone(Exception):
    """There is no workload host at the socket now."""


class WorkloadClient:
    """One connection to the workload host, made again whenever it breaks.

    `on_connect(containers)` is called with the host's containers ({spec, started_at}) after each connection: those
    that the agent thought were running and that are not in it have died with a former host.
    """

    def __init__(self, socket_path: str, on_connect: Callable[[list[dict[str, Any]]], object]) -> None:
        self.socket_path, self.on_connect = socket_path, on_connect
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._up = asyncio.Event()

    async def run(self) -> None:
        """Keep the connection; ends only by cancellation."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self.socket_path, limit=MAX_LINE)
            except OSError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                await self._serve(reader, writer)
            finally:
                self._drop(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        reading = asyncio.create_task(self._read(reader))
        try:
            with contextlib.suppress(WorkloadHostGone):  # the reader has seen it and ends: connect again
                found = await self._ask("list")
                self.on_connect(found["containers"])
                self._up.set()
            await reading
        finally:
            reading.cancel()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                future = self._waiting.pop(answer["id"], None)
                if future is not None and not future.done():
                    future.set_result(answer)
        except ConnectionError as error:
            log.warning("workload host %s: %s", self.socket_path, error)
        finally:
            self._fail_waiting()

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(WorkloadHostGone(f"the workload host at {self.socket_path} went away"))

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._up.clear()
        self._writer = None
        self._fail_waiting()
        writer.close()

    @property
    def connected(self) -> bool:
        return self._up.is_set()

    async def _ask(self, op: str, **fields: Any) -> dict[str, Any]:
        if self._writer is None:
            raise WorkloadHostGone(f"no workload host answers at {self.socket_path}; start it with `netsim workloads`")
        number = next(self._ids)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._writer.write(json.dumps({"id": number, "op": op, **fields}).encode() + b"\n")
        answer = await future
        if "error" in answer:
            raise WorkloadError(answer["error"])
        return answer

    async def start(self, spec: WorkloadSpec) -> float:
        """Start a container and give the time it started (epoch seconds). Raises WorkloadError, WorkloadHostGone."""
        return float((await self._ask("start", spec=dump_spec(spec)))["started_at"])

    async def finish(self, container: str, quiet: float, longest: float) -> None:
        """Let a container answer on, but keep no connection, until nobody has asked for `quiet` seconds, at most for
        `longest`; it has stopped then."""
        await self._ask("finish", container=container, quiet=quiet, longest=longest)

    async def stop(self, container: str) -> None:
        await self._ask("stop", container=container)

    async def stats(self) -> dict[str, Any]:
        """{cpu_ns, memory} of the host process and, under `containers`, of each container."""
        return await self._ask("stats")

    async def wait_connected(self, seconds: float) -> None:
        """Wait for the host; raises WorkloadHostGone after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            raise WorkloadHostGone(
                f"no workload host answers at {self.socket_path}; start it with `netsim workloads`"
            ) from None
