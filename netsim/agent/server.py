"""The kubelet API: logs, exec, attach and port-forward for the API server, on the paths a real kubelet has.

Who may do what is the API server's decision; here only its client certificate (or root's) is let in.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from netsim.agent import stats
from netsim.agent.agent import Agent
from netsim.agent.model import Container, PodState
from netsim.agent.remote_logs import parse_log_options, read_log, why_no_log
from netsim.agent.worker import PodWorker
from netsim.api.prometheus import CONTENT_TYPE
from netsim.http.types import Request, Response

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
        return Response(200, [("Content-Type", CONTENT_TYPE)], text.encode())

    async def _logs(self, request: Request, worker: PodWorker, rest: list[str]) -> Response:
        state = worker.state
        container = state.containers.get(_last(rest)) if state is not None else None
        if state is None or container is None:
            return plain(400, why_no_log(worker.pod, state, _last(rest)))
        previous = request.param("previous") == "true"
        if previous and container.attempt == 0:
            return plain(400, f'previous terminated container "{container.name}" in pod "{state.name}" not found')
        path = self.agent.context.engine.log_path(state.uid, container.name, container.attempt - previous)
        try:
            options = parse_log_options(request)
        except ValueError as error:
            return plain(400, str(error))
        ended = (lambda: True) if previous else _ended(worker, container)
        return Response(200, [("Content-Type", "text/plain")], read_log(path, options, ended))

    async def _exec(self, request: Request, worker: PodWorker, rest: list[str]) -> Response:
        from netsim.agent.remote_exec import answer_exec

        name = _last(rest)
        refusal = _not_running(worker.state, name)
        return plain(refusal[0], refusal[1]) if refusal else answer_exec(self.agent.context, request, worker, name)

    async def _attach(self, request: Request, worker: PodWorker, rest: list[str]) -> Response:
        from netsim.agent.remote_attach import answer_attach

        name = _last(rest)
        refusal = _not_running(worker.state, name)
        return plain(refusal[0], refusal[1]) if refusal else answer_attach(self.agent.context, request, worker, name)

    async def _port_forward(self, request: Request, worker: PodWorker, _rest: list[str]) -> Response:
        from netsim.agent.remote_forward import answer_forward

        return answer_forward(self.agent.context, request, worker)


def _last(rest: list[str]) -> str:
    """The container in NS/POD[/UID]/CONTAINER."""
    return rest[-1] if rest else ""


def _not_running(state: PodState | None, name: str) -> tuple[int, str] | None:
    """Why a container cannot be talked to: status and text."""
    container = state.containers.get(name) if state is not None else None
    if container is None:
        return 404, f"container not found ({json.dumps(name)})"
    return None if container.running else (500, f"cannot use a completed or waiting container: {name!r} is not running")


def plain(status: int, text: str) -> Response:
    return Response(status, [("Content-Type", "text/plain; charset=utf-8")], text.encode())


def _ended(worker: PodWorker, container: Container) -> Callable[[], bool]:
    """Whether a followed attempt has ended: nothing more will come."""
    return lambda: not container.running or worker.forgotten
