"""Probes: what a result means for a container (pure), and how to ask (httpGet, tcpSocket, exec)."""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import Literal

from netsim.agent.model import Obj

ProbeKind = Literal["startup", "liveness", "readiness"]
FIELDS: dict[str, str] = {"startup": "startupProbe", "liveness": "livenessProbe", "readiness": "readinessProbe"}
_REASONS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
}
HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe's timing (seconds) and thresholds, and its handler ("httpGet", …) with its fields."""

    kind: ProbeKind
    handler: str
    fields: Obj
    delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3


@dataclass(frozen=True, slots=True)
class ProbeState:
    """Results in a row of the same sort, and the verdict so far: None before the first threshold is reached."""

    good: bool = False
    row: int = 0
    verdict: bool | None = None


def parse_probe(kind: ProbeKind, container: Obj) -> Probe | None:
    """The probe of a container, None when it has none of that kind."""
    raw = container.get(FIELDS[kind])
    handler = next((h for h in HANDLERS if raw and h in raw), None)
    if not raw or handler is None:
        return None
    return Probe(
        kind,
        handler,
        raw[handler] or {},
        float(raw.get("initialDelaySeconds") or 0),
        float(raw.get("periodSeconds") or 10),
        float(raw.get("timeoutSeconds") or 1),
        int(raw.get("successThreshold") or 1),
        int(raw.get("failureThreshold") or 3),
    )


def step(probe: Probe, state: ProbeState, good: bool) -> ProbeState:
    """Take in one result. The verdict changes when enough results in a row agree."""
    row = state.row + 1 if state.row and state.good == good else 1
    needed = probe.successes if good else probe.failures
    return replace(state, good=good, row=row, verdict=good if row >= needed else state.verdict)


def resolve_port(port: int | str, container: Obj) -> int:
    """A probe's port: a number, or the name of one of the container's ports. ValueError when there is no such name."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for known in container.get("ports") or []:
        if known.get("name") == port:
            return int(known["containerPort"])
    raise ValueError(f"probe port {port!r} is not the name of a port of container {container['name']!r}")


def fault(probe: Probe, container: Obj, host: str, error: OSError | None) -> str:
    """Why nothing answered a probe, in the words that kubelet's users know; `error` is None after a timeout."""
    if probe.handler == "grpc":
        address = f"{f'[{host}]' if ':' in host else host}:{probe.fields['port']}"
        if error is None:
            return f"timeout: health rpc did not complete within {probe.timeout:g}s"
        return f'timeout: failed to connect service "{address}" within {probe.timeout:g}s: context deadline exceeded'
    if probe.handler not in ("httpGet", "tcpSocket"):
        command = " ".join(str(word) for word in probe.fields.get("command") or ())
        return str(error) if error is not None else f'command timed out: "{command}" timed out after {probe.timeout:g}s'
    host = probe.fields.get("host") or host
    address = f"{f'[{host}]' if ':' in host else host}:{resolve_port(probe.fields['port'], container)}"
    url = f"{str(probe.fields.get('scheme') or 'HTTP').lower()}://{address}{request_path(probe.fields)}"
    asked = f'Get "{url}": ' if probe.handler == "httpGet" else ""
    if error is not None:
        return f"{asked}dial tcp {address}: connect: {_REASONS.get(error.errno or 0, str(error))}"
    if asked:
        return f"{asked}context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    return f"dial tcp {address}: i/o timeout"


def request_path(fields: Obj) -> str:
    """The path that an httpGet probe asks for."""
    path = str(fields.get("path") or "/")
    return path if path.startswith("/") else "/" + path


def http_request(fields: Obj, host: str, port: int) -> bytes:
    """The request of an httpGet probe, as kubelet's probes send it."""
    own = {h["name"].lower(): h["value"] for h in fields.get("httpHeaders") or []}
    name = f"[{host}]" if ":" in host else host
    headers = {"host": f"{name}:{port}", "user-agent": "kube-probe/1.36", "accept": "*/*", **own, "connection": "close"}
    lines = [f"GET {request_path(fields)} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def http_verdict(head: bytes) -> tuple[bool, str]:
    """Whether the first line of an answer is a success (200-399), and what to say if not."""
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return False, "the answer is not HTTP"
    code = int(words[1])
    return 200 <= code < 400, f"HTTP probe failed with statuscode: {code}"
