from __future__ import annotations

import asyncio
import socket

import pytest

from netsim.agent.probe_runner import ProbeRunner
from netsim.agent.probes import ProbeState, fault, http_request, http_verdict, parse_probe, resolve_port, step
from netsim.agent.runtime.processes import CreateFailed
from netsim.api.errors import StatusError


def judge(probe, results):
    found = ProbeState()
    for good in results:
        found = step(probe, found, good)
    return found.verdict


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([], None),
        ([True], None),
        ([True, True], True),
        ([True, False, True], None),
        ([True, True, False], True),
        ([True, True, False, False, False], False),
        ([False] * 3 + [True], False),
        ([False] * 3 + [True] * 2, True),
    ],
)
def test_thresholds(results, verdict):
    raw = {"tcpSocket": {"port": 80}, "successThreshold": 2, "failureThreshold": 3}
    assert judge(parse_probe("readiness", {"readinessProbe": raw}), results) is verdict


REFUSED = OSError(111, "Connect call failed")
GET, TCP = {"httpGet": {"path": "ok", "port": "web"}}, {"tcpSocket": {"port": 81}}
SLOW = {"exec": {"command": ["sleep", "9"]}, "timeoutSeconds": 2}


@pytest.mark.parametrize(
    ("raw", "error", "text"),
    [
        (GET, REFUSED, 'Get "http://10.1.2.3:80/ok": dial tcp 10.1.2.3:80: connect: connection refused'),
        (
            GET,
            None,
            'Get "http://10.1.2.3:80/ok": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
        ),
        (TCP, REFUSED, "dial tcp 10.1.2.3:81: connect: connection refused"),
        (TCP, None, "dial tcp 10.1.2.3:81: i/o timeout"),
        (SLOW, None, 'command timed out: "sleep 9" timed out after 2s'),
    ],
)
def test_what_is_told_when_nothing_answers(raw, error, text):
    spec = {"name": "c", "ports": [{"name": "web", "containerPort": 80}], "livenessProbe": raw}
    assert fault(parse_probe("liveness", spec), spec, "10.1.2.3", error) == text


def test_defaults():
    probe = parse_probe("liveness", {"livenessProbe": {"exec": {"command": ["x"]}}})
    assert (probe.delay, probe.period, probe.timeout, probe.successes, probe.failures) == (0, 10, 1, 1, 3)
    assert parse_probe("startup", {"livenessProbe": {}}) is None


def test_ports_by_name():
    container = {"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}
    assert resolve_port("web", container) == 8080 and resolve_port("81", container) == 81
    with pytest.raises(ValueError, match="'nope' is not the name of a port"):
        resolve_port("nope", container)


def test_http():
    text = http_request({"path": "ok", "httpHeaders": [{"name": "Host", "value": "x"}]}, "::1", 80)
    assert text.startswith(b"GET /ok HTTP/1.1\r\nhost: x\r\n") and b"host: [::1]:80" in http_request({}, "::1", 80)
    assert http_verdict(b"HTTP/1.1 302 Found\r\n")[0] and not http_verdict(b"HTTP/1.1 404 NF\r\n")[0]
    assert http_verdict(b"SSH-2.0\r\n") == (False, "the answer is not HTTP")


async def test_startup_holds_back_readiness_and_liveness_asks_for_a_kill(container):
    codes = iter([1, 0, 0, 1, 1, 1, 1, 1])
    running, messages, changed = container(), [], asyncio.Event()

    async def execute(command):
        return next(codes), "said"

    def on_change():
        changed.set()

    quick = {"exec": {"command": ["x"]}, "periodSeconds": 0.001, "failureThreshold": 2}
    spec = {"name": "c", "startupProbe": quick, "livenessProbe": quick}
    task = asyncio.create_task(ProbeRunner(spec, running, "", execute, on_change, messages.append).run())
    async with asyncio.timeout(5):
        while not running.unhealthy:
            changed.clear()
            await changed.wait()
    task.cancel()
    assert running.started and running.ready and running.unhealthy == "liveness probe"
    assert messages[0] == "Startup probe failed: said" and "Liveness probe failed: said" in messages


async def test_a_probe_outlives_a_command_that_cannot_begin(container):
    answers = iter([StatusError(500, "InternalError", "the store is away"), CreateFailed("no helper"), (0, "")])
    running, changed = container(), asyncio.Event()

    async def execute(command):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    spec = {"name": "c", "readinessProbe": {"exec": {"command": ["x"]}, "periodSeconds": 0.001}}
    task = asyncio.create_task(ProbeRunner(spec, running, "", execute, changed.set, lambda _: None).run())
    async with asyncio.timeout(5):
        while not running.ready:
            changed.clear()
            await changed.wait()
    task.cancel()


async def test_a_container_that_listens_late_is_ready_soon_and_without_complaint(container):
    running, messages, changed = container(), [], asyncio.Event()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    spec = {"name": "c", "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 60}}
    runner = ProbeRunner(spec, running, "127.0.0.1", no_exec, changed.set, messages.append)
    first_look = asyncio.Event()
    ask = runner._ask

    async def watched(probe):
        answer = await ask(probe)
        first_look.set()
        return answer

    runner._ask = watched
    task = asyncio.create_task(runner.run())
    async with asyncio.timeout(5):
        await first_look.wait()
        assert not running.ready
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        while not running.ready:
            changed.clear()
            await changed.wait()
    task.cancel()
    server.close()
    await server.wait_closed()
    assert messages == []


async def no_exec(command):
    raise AssertionError(f"no command was to be run: {command}")
