"""Runs the probes of one container and writes their verdicts into its record."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from netsim.agent.hooks import CANNOT_EXECUTE
from netsim.agent.http_get import ask
from netsim.agent.model import Container, Obj
from netsim.agent.probes import (
    Probe,
    ProbeKind,
    ProbeState,
    fault,
    parse_probe,
    resolve_port,
    step,
)

Exec = Callable[[list[str]], Awaitable[tuple[int, str]]]
OnChange = Callable[[], None]
OnUnhealthy = Callable[[str], None]

# Seconds between the first looks at a container: it listens some moments after its start, and one that is just too
# late for the first probe must not wait out a period (a second at least) for the next.
EARLY = (0.05, 0.1, 0.2, 0.4)


class ProbeRunner:
    """The probes of one running container. `exec` runs a command in it; the callbacks tell of changes and failures."""

    def __init__(
        self, spec: Obj, container: Container, host: str, exec: Exec, changed: OnChange, unhealthy: OnUnhealthy
    ) -> None:
        self.spec, self.container, self.host, self.exec = spec, container, host, exec
        self.changed, self.unhealthy = changed, unhealthy

    async def run(self) -> None:
        """First the startup probe until it succeeds, then readiness and liveness side by side, until cancelled."""
        startup = self._parse("startup")
        if startup is not None and not self.container.started and not await self._repeat(startup, self._startup_done):
            return
        self._set_started()
        running = [self._repeat(p, None) for k in ("readiness", "liveness") if (p := self._parse(_kind(k)))]
        await asyncio.gather(*running)

    def _parse(self, kind: ProbeKind) -> Probe | None:
        return parse_probe(kind, self.spec)

    def _startup_done(self, state: ProbeState) -> bool:
        return state.verdict is True

    def _set_started(self) -> None:
        self.container.started = True
        if self._parse("readiness") is None:
            self.container.ready = True
        self.changed()

    async def _repeat(self, probe: Probe, done: Callable[[ProbeState], bool] | None) -> bool:
        """Ask again and again; True once it is done, False when the container has to be restarted."""
        state = ProbeState()
        await asyncio.sleep(probe.delay)
        if probe.kind == "readiness" and probe.handler != "exec" and not self.container.ready:
            await self._look_early(probe)
        while True:
            good, message = await self._ask(probe)
            state = step(probe, state, good)
            if not good:
                self.unhealthy(f"{probe.kind.capitalize()} probe failed: {message}")
            self._judge(probe, state)
            if done is not None and done(state):
                return True
            if probe.kind != "readiness" and state.verdict is False:
                return False
            # Spread out, as probes of pods that started together would all come at once for ever.
            await asyncio.sleep(probe.period * random.uniform(0.95, 1.05))

    async def _look_early(self, probe: Probe) -> None:
        """Wait until the container answers, but not long. Nothing counts here: the ordinary probe follows at once."""
        for pause in EARLY:
            if (await self._ask(probe))[0]:
                return
            await asyncio.sleep(min(pause, probe.period))

    def _judge(self, probe: Probe, state: ProbeState) -> None:
        container = self.container
        if probe.kind == "readiness":
            if state.verdict is not None and container.ready != state.verdict:
                container.ready = state.verdict
                self.changed()
        elif state.verdict is False and not container.unhealthy:
            container.unhealthy = f"{probe.kind} probe"
            self.changed()

    async def _ask(self, probe: Probe) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(probe.timeout):
                return await self._handler(probe)
        except TimeoutError:
            return False, fault(probe, self.spec, self.host, None)
        except OSError as error:
            return False, fault(probe, self.spec, self.host, error)
        except (ValueError, *CANNOT_EXECUTE) as error:
            return False, str(error)

    async def _handler(self, probe: Probe) -> tuple[bool, str]:
        if probe.handler == "exec":
            code, output = await self.exec([str(w) for w in probe.fields.get("command") or []])
            return code == 0, output.strip()[:1024]
        if probe.handler == "grpc":
            from netsim.agent.grpc_health import check_health

            return await check_health(self.host, int(probe.fields["port"]), str(probe.fields.get("service") or ""))
        port = resolve_port(probe.fields["port"], self.spec)
        host = probe.fields.get("host") or self.host
        if probe.handler == "httpGet":
            return await ask(probe.fields, host, port)
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        return True, ""


def _kind(name: str) -> ProbeKind:
    return "readiness" if name == "readiness" else "liveness"
