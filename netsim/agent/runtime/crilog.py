"""Container logs in the CRI format (`TIME STREAM F|P TEXT`): a writer, and pure selection for a reader."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_BYTES = 10 * 1024 * 1024


def log_time(epoch: float) -> str:
    """RFC 3339 with nanoseconds, as log lines carry it."""
    whole = int(epoch)
    moment = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{int((epoch - whole) * 1e9):09d}Z"


def render_line(epoch: float, text: str, stream: str = "stdout") -> bytes:
    return f"{log_time(epoch)} {stream} F {text}\n".encode()


class LogFile:
    """An appending log that is made on its first write and starts anew (keeping one old file) at 10 MiB."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._pending: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Keep a rendered line until `flush`."""
        self._pending.append(line)

    @property
    def dirty(self) -> bool:
        return bool(self._pending)

    def flush(self) -> None:
        """Append what is pending; a log whose directory is gone (its pod was removed) is dropped."""
        if not self._pending:
            return
        data, self._pending = b"".join(self._pending), []
        try:
            size = self._append(data)
        except FileNotFoundError:
            if not self._make_directory():
                return
            size = self._append(data)
        if size > MAX_BYTES:
            os.replace(self.path, self.path + ".1")

    def _append(self, data: bytes) -> int:
        with open(self.path, "ab", buffering=0) as file:
            file.write(data)
            return file.tell()

    def _make_directory(self) -> bool:
        """Make POD/logs/CONTAINER, unless POD is gone."""
        directory = os.path.dirname(self.path)
        pod = os.path.dirname(os.path.dirname(directory))
        if not os.path.isdir(pod):
            return False
        os.makedirs(directory, exist_ok=True)
        return True


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What PodLogOptions asks for; `since` is in epoch seconds, -1 means "all" for `tail` and `limit`."""

    follow: bool = False
    tail: int = -1
    since: float = 0.0
    timestamps: bool = False
    limit: int = -1
    stream: str = "All"


_LINE = re.compile(rb"^(\S+) (stdout|stderr) ([FP]) (.*)$", re.DOTALL)


def parse_line(raw: bytes) -> tuple[bytes, str, bool, bytes] | None:
    """(time, stream, whether the line is complete, text) of a raw log line, None for one that is damaged."""
    match = _LINE.match(raw.rstrip(b"\n"))
    return (match[1], match[2].decode(), match[3] == b"F", match[4]) if match else None


def render_lines(raw: Iterable[bytes], options: LogOptions) -> Iterator[bytes]:
    """The text a client sees of raw lines, without regard to `tail` and `limit`. Partial lines are joined."""
    for line in raw:
        parsed = parse_line(line)
        if parsed is None:
            continue
        moment, stream, complete, text = parsed
        if options.since and to_epoch(moment) < options.since:
            continue
        if options.stream not in ("All", "") and stream != options.stream.lower():
            continue
        shown = moment.replace(b"+00:00", b"Z") + b" "  # conmon writes UTC's offset in full
        yield (shown if options.timestamps else b"") + text + (b"\n" if complete else b"")


def tail_lines(raw: list[bytes], count: int) -> list[bytes]:
    """The last `count` raw lines; all for a negative count."""
    return raw if count < 0 else raw[len(raw) - count :] if count < len(raw) else raw


def to_epoch(moment: bytes) -> float:
    """Epoch seconds of a log line's time; nanoseconds are cut to the microseconds that datetime has."""
    text = moment.decode()
    cut = re.sub(r"(\.\d{6})\d+", r"\1", text)
    return datetime.fromisoformat(cut).timestamp()
