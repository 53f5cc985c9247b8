"""`kubectl logs`: what PodLogOptions ask for, read from a container's log as it grows."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable

from netsim.agent import podspec
from netsim.agent.container_status import container_status
from netsim.agent.model import Obj, PodState
from netsim.agent.runtime.crilog import LogOptions, render_lines, tail_lines, to_epoch
from netsim.http.types import Request

FOLLOW_SECONDS = 0.1
_WAITING = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


def why_no_log(pod: Obj | None, state: PodState | None, name: str) -> str:
    """Why a container that has never run has no log, in a kubelet's words."""
    spec = podspec.find_container(pod, name) if pod is not None else None
    if pod is None or state is None or spec is None:
        return f'container "{name}" is not known on this node'
    waiting = container_status(spec, pod, state)["state"].get("waiting") or {}
    reason = waiting.get("reason", "ContainerCreating")
    return f'container "{name}" in pod "{state.name}" is waiting to start: {_WAITING.get(reason, reason)}'


def parse_log_options(request: Request) -> LogOptions:
    """PodLogOptions from a query; ValueError names the parameter."""
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
    async for raw in raw_chunks(path, options, ended):
        text = b"".join(render_lines(raw, options))
        if left >= 0:
            text, left = text[:left], left - len(text[:left])
        if text:
            yield text
        if left == 0:
            return


async def raw_chunks(path: str, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[list[bytes]]:
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
