"""The kubelet API: logs, exec and attach for the API server, on the paths a real kubelet has.

Who may do what is the API server's decision; here only its client certificate (or root's) is let in.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import unquote

from netsim.agent import stats
from netsim.agent.agent import Agent
from netsim.agent.model import Container, PodState
from netsim.agent.runtime.crilog import LogOptions, render_lines, tail_lines, to_epoch
from netsim.agent.worker import PodWorker
from netsim.http.types import Request, Response

FOLLOW_SECONDS = 0.1
ADMINS = "system:masters"

Route = Callable[[Request, PodWorker, list[str]], Awaitable[Response]]


class KubeletApi:
    """The handler of one node's kubelet port."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.routes: dict[str, Route] = {
            "containerLogs": self._logs,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
        }

    async def __call__(self, request: Request) -> Response:
        """Answer one request; text/plain errors, as a kubelet's."""
        if not (request.peer.trusted or ADMINS in request.peer.organizations):
            return plain(401, "Unauthorized: a client certificate of the group system:masters is needed")
        parts = [unquote(p) for p in request.path.strip("/").split("/")]
        if parts == ["healthz"]:
            return plain(200, "ok")
        if parts[0] in ("pods", "stats", "metrics"):
            return self._pods() if parts[0] == "pods" else await self._measured("/".join(parts))
        route = self.routes.get(parts[0])
        if route is None or len(parts) < 3:
            return plain(404, f"404 page not found: {request.path}")
        worker = self.agent.find(parts[1], parts[2])
        if worker is None or worker.state is None:
            return plain(404, f'pod "{parts[2]}_{parts[1]}" does not exist on this node')
        return await route(request, worker, parts[3:])

    def _pods(self) -> Response:
        items = [w.pod for w in self.agent.workers.values() if w.pod is not None]
        body = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}).encode()
        return Response(200, [("Content-Type", "application/json")], body)

    async def _measured(self, path: str) -> Response:
        """What the node and its pods use: /stats/summary, /metrics/resource, /metrics."""
        measurer = self.agent.measurer
        if path == "stats/summary":
            body = json.dumps(stats.render_summary(await measurer.stats())).encode()
            return Response(200, [("Content-Type", "application/json")], body)
        if path == "metrics/resource":
            text = stats.render_resource_metrics(await measurer.stats())
        elif path == "metrics":
            text = stats.render_agent_metrics(await measurer.stats(), measurer.own_sample(), measurer.started_at)
        else:
            return plain(404, f"404 page not found: /{path}")
        return Response(200, [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")], text.encode())

    async def _logs(self, request: Request, worker: PodWorker, rest: list[str]) -> Response:
        state = worker.state
        container = state.containers.get(_last(rest)) if state is not None else None
        if state is None or container is None:
            name = _last(rest)
            return plain(
                400, f'container "{name}" in pod "{state.name if state else ""}" is waiting to start: ContainerCreating'
            )
        previous = request.param("previous") == "true"
        if previous and container.attempt == 0:
            return plain(400, f'previous terminated container "{container.name}" in pod "{state.name}" not found')
        path = self.agent.context.engine.log_path(state.uid, container.name, container.attempt - previous)
        try:
            options = parse_log_options(request)
        except ValueError as error:
            return plain(400, str(error))
        ended = _always if previous else _ended(worker, container)
        return Response(200, [("Content-Type", "text/plain")], read_log(path, options, ended))

    async def _exec(self, request: Request, worker: PodWorker, rest: list[str]) -> Response:
        from netsim.agent.remote_exec import answer_exec

        name = _last(rest)
        refusal = _not_running(worker.state, name)
        return plain(400, refusal) if refusal else answer_exec(self.agent.context, request, worker, name)

    async def _attach(self, request: Request, worker: PodWorker, rest: list[str]) -> Response:
        from netsim.agent.remote_attach import answer_attach

        name = _last(rest)
        refusal = _not_running(worker.state, name)
        return plain(400, refusal) if refusal else answer_attach(self.agent.context, request, worker, name)

    async def _port_forward(self, _request: Request, worker: PodWorker, _rest: list[str]) -> Response:
        name = worker.state.name if worker.state is not None else ""
        return plain(
            501,
            f"port-forward is not served by netsim yet (pod {name}); reach the pod from a place in the lab instead: "
            "`netsim exec client -- curl …` through a Service's NodePort, or `netsim exec NODE -- curl http://POD_IP:PORT`",
        )


def _last(rest: list[str]) -> str:
    """The container in NS/POD[/UID]/CONTAINER."""
    return rest[-1] if rest else ""


def _not_running(state: PodState | None, name: str) -> str:
    container = state.containers.get(name) if state is not None else None
    if container is None:
        return f"container not found ({name!r})"
    return "" if container.running else f"cannot use a completed or waiting container: {name!r} is not running"


def plain(status: int, text: str) -> Response:
    return Response(status, [("Content-Type", "text/plain; charset=utf-8")], text.encode())


def _always() -> bool:
    return True


def _ended(worker: PodWorker, container: Container) -> Callable[[], bool]:
    """Whether a followed attempt has ended: nothing more will come."""
    return lambda: not container.running or worker.forgotten


def parse_log_options(request: Request) -> LogOptions:
    """PodLogOptions from a query; ValueError names the parameter."""
    import time

    since = 0.0
    if request.param("sinceSeconds"):
        since = time.time() - _number(request, "sinceSeconds")
    elif request.param("sinceTime"):
        since = to_epoch(request.param("sinceTime").encode())
    return LogOptions(
        follow=request.param("follow") in ("true", "1"),
        tail=_number(request, "tailLines", -1),
        since=since,
        timestamps=request.param("timestamps") in ("true", "1"),
        limit=_number(request, "limitBytes", -1),
        stream=request.param("stream") or "All",
    )


def _number(request: Request, name: str, default: int = 0) -> int:
    text = request.param(name)
    if text and not text.isdigit():
        raise ValueError(f"{name}: {text!r} is not a number of 0 or more")
    return int(text) if text else default


async def read_log(path: str, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Chunks of a log as asked for. Following ends when `ended` says so and all was read, or with the reader."""
    left = options.limit
    async for raw in _raw_chunks(path, options, ended):
        text = b"".join(render_lines(raw, options))
        if left >= 0:
            text, left = text[:left], left - len(text[:left])
        if text:
            yield text
        if left == 0:
            return


async def _raw_chunks(path: str, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[list[bytes]]:
    """Complete raw lines: what is there (its tail), then what comes, also over a rotation of the file."""
    lines, position, inode = await asyncio.to_thread(_read_from, path, 0, None)
    yield tail_lines(lines, options.tail)
    while options.follow:
        last = ended()
        lines, position, inode = await asyncio.to_thread(_read_from, path, position, inode)
        if lines:
            yield lines
        elif last:
            return
        await asyncio.sleep(FOLLOW_SECONDS)


def _read_from(path: str, position: int, inode: int | None) -> tuple[list[bytes], int, int | None]:
    """Complete lines from `position` on, the position after them, the file's inode; a new file is read from 0."""
    try:
        with open(path, "rb") as file:
            now = os.fstat(file.fileno()).st_ino
            file.seek(position if inode in (None, now) else 0)
            start = file.tell()
            data = file.read()
    except FileNotFoundError:
        return [], 0, None
    whole = data[: data.rfind(b"\n") + 1]
    return whole.splitlines(keepends=True), start + len(whole), now
