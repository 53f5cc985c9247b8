"""Termination messages: the file a container may write its last words to (terminationMessagePath), or its log's end."""

from __future__ import annotations

import os
from collections.abc import Sequence

from netsim.agent.model import Obj
from netsim.agent.runtime.crilog import LogOptions, render_lines
from netsim.agent.runtime.spec import Bind

MAX_MESSAGE = 4096
FALLBACK_BYTES, FALLBACK_LINES = 2048, 80
FILE = "termination-log"


def bind(bundle: str, spec: Obj) -> Bind:
    """The container's message file, made empty, where the container finds it."""
    path = f"{bundle}/{FILE}"
    with open(path, "wb") as file:
        os.fchmod(file.fileno(), 0o666)
    return Bind(path, spec["terminationMessagePath"], read_only=False)


def read_message(bundle: str, log: str, spec: Obj, code: int) -> str:
    """What an ended container had to say: its file, or for a failed one without words the end of its log if asked."""
    said = _tail(f"{bundle}/{FILE}", MAX_MESSAGE, from_start=True)
    if not said and code and spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        said = last_words(_tail(log, 4 * FALLBACK_BYTES).splitlines(keepends=True))
    return said.decode(errors="replace")


def last_words(raw: Sequence[bytes]) -> bytes:
    """The last 80 lines of log lines, at most 2,048 bytes (pure)."""
    lines = list(render_lines(raw, LogOptions()))
    return b"".join(lines[-FALLBACK_LINES:])[-FALLBACK_BYTES:]


def _tail(path: str, size: int, *, from_start: bool = False) -> bytes:
    try:
        with open(path, "rb") as file:
            if not from_start:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(0, end - size))
            return file.read(size)
    except FileNotFoundError:
        return b""
