"""Container lifecycle hooks (core/v1 LifecycleHandler): sleep, exec, httpGet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from netsim.agent.env import ConfigError
from netsim.agent.http_get import ask
from netsim.agent.model import Container, Obj
from netsim.agent.probes import resolve_port
from netsim.agent.runtime.processes import CreateFailed
from netsim.api.errors import StatusError

if TYPE_CHECKING:
    from netsim.agent.worker import PodWorker

CANNOT_EXECUTE = (CreateFailed, ConfigError, StatusError)
"""What a command in a container may fail with before it has begun, beside OSError: an in-process one needs a helper."""


class HookFailed(Exception):
    """A hook did not succeed; the text is for the node's log: events do not show it, since it may hold secrets."""


def post_start(spec: Obj) -> Obj | None:
    """The postStart hook of a container, None when it has none."""
    return (spec.get("lifecycle") or {}).get("postStart") or None


def set_ready(spec: Obj, container: Container) -> None:
    """A container without probes that could say otherwise is ready once it runs and its postStart hook is over."""
    if not any(spec.get(f) for f in ("startupProbe", "readinessProbe")):
        container.started = container.ready = True


async def run_hook(worker: PodWorker, spec: Obj, hook: Obj) -> None:
    """Run one hook of a running container to its end. Raises HookFailed."""
    try:
        if hook.get("sleep"):
            await asyncio.sleep(float(hook["sleep"]["seconds"]))
        elif hook.get("exec"):
            await _execute(worker, spec, hook["exec"])
        elif hook.get("httpGet"):
            await _get(worker, spec, hook["httpGet"])
    except (OSError, ValueError, *CANNOT_EXECUTE) as error:
        raise HookFailed(str(error)) from error


async def _execute(worker: PodWorker, spec: Obj, action: Obj) -> None:
    command = [str(word) for word in action.get("command") or []]
    code, output = await worker.context.execute(worker, spec["name"], command)
    if code:
        raise HookFailed(f"command {command} exited with {code}: {output.strip()}")


async def _get(worker: PodWorker, spec: Obj, action: Obj) -> None:
    own = worker.state.ips[0] if worker.state is not None and worker.state.ips else worker.context.config.node_ip
    good, message = await ask(action, action.get("host") or own, resolve_port(action.get("port") or 80, spec))
    if not good:
        raise HookFailed(message)
